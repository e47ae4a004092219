"""Many waiters of a user's own `fetch`: one exchange, and nobody waits for ever."""

import asyncio
import contextlib
import gc
import logging
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from weakref import ref

import httpx2
import pytest
from fastapi import FastAPI

from jwtguard import Guard, Issuer, RemoteKeys, asgi, drive, errors, fastapi, starlette, wsgi
from jwtguard.core import Fetch
from jwtguard.core.keys import KeySet
from jwtguard.flights import Flights, ajoined, in_children, joined
from jwtguard.testing import FakeIssuer
from jwtguard.transport import for_loops, for_threads

from .contract import bearer
from .doors import Ask, environ_of, scope_of

URL = "https://issuer.test/jwks"
idp = FakeIssuer(algorithm="ES256")


class Source:
    """Who asks."""


def guard_of(*sources):
    return Guard(
        [
            Issuer(
                idp.issuer if index == 0 else f"https://{index}.test/",
                name=f"i{index}",
                audience=idp.audience,
                algorithms=["ES256"],
                keys=source,
            )
            for index, source in enumerate(sources or [RemoteKeys(idp.jwks_uri, timeout=2)])
        ]
    )


class Asked:
    """A user's way to make exchanges, which counts them and takes a while."""

    def __init__(self, seconds=0.1, raises=None):
        self.seconds = seconds
        self.raises = raises
        self.fetches = []
        self.threads = []

    def _answer(self, fetch):
        if self.raises is not None:
            raise self.raises
        return idp.fetch(fetch)

    def fetch(self, fetch):
        self.fetches.append(fetch)
        self.threads.append(threading.current_thread())
        time.sleep(self.seconds)
        return self._answer(fetch)

    async def afetch(self, fetch):
        self.fetches.append(fetch)
        await asyncio.sleep(self.seconds)
        return self._answer(fetch)


def wish(source, timeout=2.0, attempt=0):
    return Fetch(idp.jwks_uri, timeout=timeout, flight=(source, attempt))


def wsgi_door(guard, **words):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    guarded = wsgi.GuardMiddleware(app, guard, **words)

    def ask(value):
        answer = []
        environ = environ_of(Ask("/x", headers=tuple(bearer(value).items())))
        b"".join(guarded(environ, lambda status, headers: answer.append(int(status[:3]))))
        return answer[0]

    return ask


def asgi_door(guard, **words):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = asgi.GuardMiddleware(app, guard, **words)

    async def ask(value):
        answer = []

        async def send(message):
            answer.append(message)

        await guarded(scope_of(Ask("/x", headers=tuple(bearer(value).items()))), None, send)
        return answer[0]["status"]

    return ask


def said(future):
    """The outcome of a waiter: an answer, or the error that it got."""
    error = future.exception(5)
    return future.result() if error is None else error


# --- through the doors --------------------------------------------------------------------------


@pytest.mark.parametrize(("raises", "status"), [(None, 200), (ValueError("a secret"), 503)])
def test_threads_at_one_door_or_two_make_one_call(raises, status):
    way, guard = Asked(raises=raises), guard_of()
    doors = [wsgi_door(guard, fetch=way.fetch) for _ in range(2)]
    with ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(doors[n % 2], idp.bearer(f"user{n}")) for n in range(30)]
        assert {one.result() for one in asked} == {status}
    assert len(way.fetches) == 1


@pytest.mark.parametrize(("raises", "status"), [(None, 200), (ValueError("a secret"), 503)])
def test_requests_on_several_loops_make_one_call(raises, status):
    way, guard = Asked(raises=raises), guard_of()
    doors = [asgi_door(guard, fetch=way.afetch) for _ in range(2)]

    async def many(first):
        asked = (doors[n % 2](idp.bearer(f"user{n}")) for n in range(first, first + 50))
        return await asyncio.gather(*asked)

    with ThreadPoolExecutor(2) as pool:
        statuses = [*pool.map(lambda first: asyncio.run(many(first)), (0, 50))]
    assert statuses == [[status] * 50] * 2
    assert len(way.fetches) == 1


def test_what_names_no_flight_is_a_call_of_its_own():
    way, fetch = Asked(0.01), Fetch(idp.jwks_uri)
    ask, aask = joined(way.fetch), ajoined(way.afetch)
    with ThreadPoolExecutor(3) as pool:
        assert {one.status for one in pool.map(ask, [fetch] * 3)} == {200}

    async def main():
        return await asyncio.gather(*map(aask, [fetch] * 3))

    assert {one.status for one in asyncio.run(main())} == {200}
    assert len(way.fetches) == 6


def test_another_attempt_and_another_source_are_calls_of_their_own():
    way, source = Asked(0), Source()
    ask = joined(way.fetch)
    for wanted in (wish(source), wish(source), wish(source, attempt=1), wish(Source())):
        assert ask(wanted).status == 200
    assert len(way.fetches) == 3


# --- whoever began it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (ValueError("a secret"), "the transport raised ValueError"),
        (KeyboardInterrupt("a secret"), "the transport raised KeyboardInterrupt"),
        (SystemExit("a secret"), "the transport raised SystemExit"),
        (errors.FetchError("down"), "down"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_thread_whose_call_raises_tells_the_others(raised, text):
    way, source = Asked(0.2, raised), Source()
    ask = joined(way.fetch)
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(ask, wish(source)) for _ in range(5)]
        found = [said(one) for one in waiting]
    assert len(way.fetches) == 1
    others = [error for error in found if error is not raised]
    assert len({id(error) for error in others}) == 4
    assert [(type(error), str(error)) for error in others] == [(errors.FetchError, text)] * 4


@pytest.mark.parametrize("raised", [ValueError("a secret"), errors.ConfigurationError("a secret")])
def test_a_task_whose_call_raises_gives_each_an_error_of_its_own(raised):
    way, source = Asked(0.05, raised), Source()
    aask = ajoined(way.afetch)

    async def main():
        asked = (aask(wish(source)) for _ in range(5))
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(main())
    assert len({id(error) for error in found}) == 5
    assert {type(error) for error in found} == {errors.FetchError}
    assert len(way.fetches) == 1


def test_a_cancelled_request_fails_nobody():
    way, source = Asked(0.1), Source()
    aask = ajoined(way.afetch)

    async def main():
        tasks = [asyncio.create_task(aask(wish(source))) for _ in range(4)]
        await asyncio.sleep(0.03)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert [answer.status for answer in others] == [200, 200, 200]
    assert len(way.fetches) == 1


@pytest.mark.parametrize("begun", [0.05, 0], ids=["while it asks", "before it asks"])
def test_a_loop_that_ends_tells_those_on_other_loops(begun, caplog):
    way, source = Asked(30), Source()
    aask, joining = ajoined(way.afetch), threading.Event()

    async def leave():
        task = asyncio.create_task(aask(wish(source, timeout=10)))
        await asyncio.sleep(0)
        joining.set()
        await asyncio.sleep(begun or 0.02)
        assert not task.done()

    async def stay():
        await asyncio.to_thread(joining.wait, 5)
        return await aask(wish(source, timeout=10))

    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        staying, leaving = pool.submit(asyncio.run, stay()), pool.submit(asyncio.run, leave())
        leaving.result(5)
        error = said(staying)
    assert str(error) == f"{idp.jwks_uri}: the event loop that asked has ended"
    assert time.monotonic() - began < 3
    assert caplog.records == []


def test_a_loop_that_stands_still_lets_nobody_wait_for_ever():
    way, source = Asked(0), Source()
    aask = ajoined(way.afetch)
    still = asyncio.new_event_loop()
    leader = still.create_task(aask(wish(source, timeout=0.1)))
    still.call_soon(still.stop)
    still.run_forever()  # the exchange is begun, and goes no further
    with pytest.raises(errors.FetchError, match=r"no answer within 0\.2 s$"):
        asyncio.run(aask(wish(source, timeout=0.1)))
    # Who comes later begins anew.
    assert asyncio.run(aask(wish(source, timeout=0.1))).status == 200
    with pytest.raises(errors.FetchError):  # it was to be there long ago
        still.run_until_complete(leader)
    still.run_until_complete(asyncio.sleep(0.01))
    still.close()


def test_a_thread_that_never_comes_back_lets_nobody_wait_for_ever():
    over, source = threading.Event(), Source()

    def hang(fetch):
        over.wait(10)
        return idp.fetch(fetch)

    ask = joined(hang)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(ask, wish(source, timeout=0.1))
        time.sleep(0.05)
        with pytest.raises(errors.FetchError, match=r"no answer within 0\.2 s$"):
            ask(wish(source, timeout=0.1))
        over.set()
        assert leader.result(5).status == 200


def test_a_call_that_nobody_can_join_any_more_is_cancelled():
    ended = []

    async def forever(fetch):
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(fetch.flight)

    async def main():
        source = Source()
        task = asyncio.create_task(ajoined(forever)(wish(source, timeout=10)))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        assert ended == []  # somebody may come for it
        del source, task
        gc.collect()
        await asyncio.sleep(0.02)
        assert ended == [None]

    asyncio.run(main())


@pytest.mark.parametrize("raises", [None, ValueError("a secret")])
def test_an_outcome_goes_with_its_source(raises):
    way = Asked(0, raises)

    def one():
        source = Source()
        with contextlib.suppress(ValueError):
            joined(way.fetch)(wish(source))
        return ref(source)

    async def another():
        source = Source()
        with contextlib.suppress(errors.FetchError):
            await ajoined(way.afetch)(wish(source))
        return ref(source)

    found = [one(), asyncio.run(another())]
    if raises is not None:
        raises.__traceback__ = None  # which is the user's own
    gc.collect()
    assert [source() for source in found] == [None, None]
    assert len(way.fetches) == 2


def test_a_table_forgets_an_outcome_after_a_while():
    flights, source, begun = Flights(), Source(), []

    def begin():
        begun.append(Future())
        return begun[-1]

    for _ in range(2):
        flights.join(wish(source, timeout=0.05), begin)
    assert len(begun) == 1
    time.sleep(0.15)
    assert flights.join(wish(source, timeout=0.05), begin) is begun[1]


# --- the guard asks as its doors do -------------------------------------------------------------


def client_of(kind, asked):
    def handle(request):
        asked.append(request)
        found = idp.fetch(Fetch(str(request.url)))
        return httpx2.Response(found.status, content=found.body)

    return kind(transport=httpx2.MockTransport(handle))


def in_thread(guard):
    guard.warm()
    return guard.verify(idp.token("bob")).subject


def on_loop(guard):
    async def main():
        await guard.awarm()
        return (await guard.averify(idp.token("bob"))).subject

    return asyncio.run(main())


@pytest.mark.parametrize("kind", [httpx2.Client, httpx2.AsyncClient])
@pytest.mark.parametrize("door", [wsgi_door, asgi_door])
@pytest.mark.parametrize("by", [in_thread, on_loop])
def test_a_doors_client_serves_its_guard_in_threads_and_on_loops(kind, door, by):
    guard, asked = guard_of(), []
    door(guard, client=client_of(kind, asked))
    assert by(guard) == "bob"
    assert len(asked) == 1


def test_a_doors_fetch_serves_its_guard_where_it_can():
    way, guard = Asked(0), guard_of()
    wsgi_door(guard, fetch=way.fetch)
    assert in_thread(guard) == "bob"
    other, guard = Asked(0), guard_of()
    asgi_door(guard, fetch=other.afetch)
    assert on_loop(guard) == "bob"
    assert [len(way.fetches), len(other.fetches)] == [1, 1]


def test_the_last_door_with_a_way_of_its_own_counts():
    first, second, guard = Asked(0), Asked(0), guard_of()
    without = wsgi_door(guard)
    for way in (first, second):
        wsgi_door(guard, fetch=way.fetch)
    assert without(idp.bearer()) == 200
    wsgi_door(guard)
    assert in_thread(guard) == "bob"
    assert [len(first.fetches), len(second.fetches)] == [0, 1]


def test_a_view_that_asks_for_itself_asks_as_the_door_in_front():
    way, guard = Asked(0), guard_of()
    protected = fastapi.Protected(guard)
    asgi_door(guard, fetch=way.afetch)
    fetched = asyncio.run(protected._exchanges[0](Fetch(idp.jwks_uri)))
    assert (fetched.status, len(way.fetches)) == (200, 1)


# --- warm ---------------------------------------------------------------------------------------


def sources(count):
    return [RemoteKeys(f"{URL}/{index}", timeout=5) for index in range(count)]


def warm_in_threads(guard, way):
    wsgi_door(guard, fetch=way.fetch)
    guard.warm()


def warm_on_loop(guard, way):
    asgi_door(guard, fetch=way.afetch)
    asyncio.run(guard.awarm())


def warm_at_lifespan(guard, way):
    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"

    door = starlette.GuardMiddleware(app, guard, fetch=way.afetch)
    asyncio.run(door({"type": "lifespan"}, app, app))


every_warm = pytest.mark.parametrize("warm", [warm_in_threads, warm_on_loop, warm_at_lifespan])


@every_warm
def test_warm_waits_for_all_sources_at_once_and_leaves_no_thread(warm):
    way, before = Asked(0.3, errors.FetchError("silent")), threading.active_count()
    guard = guard_of(*sources(8))
    begun = time.monotonic()
    warm(guard, way)
    assert time.monotonic() - begun < 1.2  # one after the other: 2.4
    assert len(way.fetches) == 8
    assert threading.active_count() == before


@every_warm
def test_warm_asks_no_more_than_so_many_at_once(warm):
    way = Asked(0.05, errors.FetchError("silent"))
    most, now, lock = [0], [0], threading.Lock()
    answer = way._answer

    def leave(fetch):
        with lock:
            now[0] -= 1
        return answer(fetch)

    class Counting(list):
        def append(self, fetch):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            super().append(fetch)

    way._answer, way.fetches = leave, Counting()
    warm(guard_of(*sources(drive.AT_ONCE + 8)), way)
    assert len(way.fetches) == drive.AT_ONCE + 8
    assert 1 < most[0] <= drive.AT_ONCE


class Broken:
    """A key source of a user's, with a defect in one of its methods."""

    problems = ()

    def __init__(self, place):
        self.place = place

    def _fail_in(self, place):
        if place == self.place:
            raise RuntimeError("a secret")

    def current(self):
        self._fail_in("current")
        return KeySet()

    def due(self):
        self._fail_in("due")
        return False

    def lookup(self, algorithm, kid):
        yield Fetch(URL)

    def refresh(self):
        self._fail_in("refresh")
        return self._refresh()

    def _refresh(self):
        yield Fetch(URL)
        self._fail_in("flow")


@every_warm
@pytest.mark.parametrize("place", ["current", "due", "refresh", "flow"])
def test_a_source_that_raises_stops_no_start_and_no_other_source(warm, place, caplog):
    good = RemoteKeys(idp.jwks_uri)
    warm(guard_of(Broken(place), good), Asked(0))
    assert len(good.current()) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "unexpected RuntimeError at start-up"
    ]
    assert "secret" not in caplog.text


# --- what a door takes --------------------------------------------------------------------------


def fetch(wanted):
    raise AssertionError(wanted)


async def afetch(wanted):
    raise AssertionError(wanted)


class Callable:
    async def __call__(self, wanted):
        raise AssertionError(wanted)


CLIENT = httpx2.Client()
WRONG = [
    ({"client": "x"}, {"client": "x"}, "an httpx2.AsyncClient; found builtins.str"),
    (
        {"client": httpx2.Client},
        {"client": httpx2.Client},
        "an httpx2.AsyncClient; found builtins.type",
    ),
    (
        {"client": CLIENT, "fetch": fetch},
        {"client": CLIENT, "fetch": afetch},
        "two ways to make exchanges; give one",
    ),
    ({"fetch": "x"}, {"fetch": "x"}, "def fetch(wanted: Fetch) -> Fetched`; found str"),
    ({"fetch": afetch}, {"fetch": fetch}, "async"),
    ({"fetch": Callable()}, {"fetch": lambda wanted: None}, "async"),
]


@pytest.mark.parametrize(("in_threads", "on_loops", "text"), WRONG)
def test_what_cannot_make_exchanges_is_an_error_at_the_door(in_threads, on_loops, text):
    for make, given in [
        (wsgi_door, in_threads),
        (asgi_door, on_loops),
        (lambda guard, **words: fastapi.install(FastAPI(), guard, **words), on_loops),
        (fastapi.Protected, on_loops),
    ]:
        with pytest.raises(errors.ConfigurationError) as failure:
            make(guard_of(), **given)
        assert text in str(failure.value)


def test_a_fetch_of_the_other_kind_is_told_what_to_be():
    with pytest.raises(errors.ConfigurationError, match=r"`def fetch\(.* found one that is async"):
        wsgi_door(guard_of(), fetch=afetch)
    with pytest.raises(errors.ConfigurationError, match=r"`async def fetch\(.* that is not async"):
        asgi_door(guard_of(), fetch=fetch)


# --- in the background --------------------------------------------------------------------------


def defective():
    yield Fetch(idp.jwks_uri)
    raise RuntimeError("a secret")


def in_a_thread():
    _, start = for_threads(guard_of(), None, idp.fetch)
    start(defective())


def in_a_task():
    _, start = for_loops(guard_of(), None, idp.afetch)

    async def main():
        start(defective())
        await asyncio.sleep(0.05)

    asyncio.run(main())


def on_our_loop():
    _, start = for_threads(guard_of(), client_of(httpx2.AsyncClient, []), None)
    start(defective())


@pytest.mark.parametrize("start", [in_a_thread, in_a_task, on_our_loop])
def test_a_defect_in_the_background_is_logged_without_its_text(start, caplog):
    start()
    until = time.monotonic() + 3
    while not caplog.records and time.monotonic() < until:
        time.sleep(0.01)
    assert [(one.name, one.levelno, one.getMessage()) for one in caplog.records] == [
        ("jwtguard", logging.ERROR, "unexpected RuntimeError in the background")
    ]
    assert "secret" not in caplog.text


# --- fork ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_decorators", [True, False])
def test_where_uwsgi_runs_us_its_own_hook_says_that_it_forked(monkeypatch, has_decorators):
    """It forks in C, and by default os.register_at_fork hears nothing of it."""
    called = []
    uwsgi = ModuleType("uwsgi")
    uwsgi.post_fork_hook = lambda: called.append("theirs")
    decorators = ModuleType("uwsgidecorators")
    decorators.postfork_chain = []
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    # None is what Python takes for a module that is not there.
    found = decorators if has_decorators else None
    monkeypatch.setitem(sys.modules, "uwsgidecorators", found)

    in_children(lambda: called.append("ours"))

    if has_decorators:
        for reset in decorators.postfork_chain:
            reset()
        assert called == ["ours"]
    else:
        uwsgi.post_fork_hook()
        assert called == ["theirs", "ours"]
