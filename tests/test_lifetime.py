"""WebSockets and server-sent events end with their token. The guard's clock is moved by hand."""

import asyncio
import json

import pytest

from jwtguard import Guard, Issuer, RemoteKeys, Revocations, drive, errors, lifetime
from jwtguard.asgi import GuardMiddleware
from jwtguard.core import Fetched
from jwtguard.testing import FakeIssuer

from .doors import Ask, scope_of

START = 1_800_000_000
SOON = 0.02  # seconds that tokens here have left when the connection begins
EVENTS = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"Content-Type", b"text/event-stream; charset=utf-8")],
}
CLOSE = {"type": "websocket.close", "code": 1008, "reason": "the token has ended"}
END = {"type": "http.response.body", "body": b"", "more_body": False}


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


class Client:
    """The other end: what the app sent, and a receive that waits as a quiet client does."""

    def __init__(self, *messages):
        self.sent = []
        self.left = False
        self._messages = list(messages)

    async def receive(self):
        if self._messages:
            return self._messages.pop(0)
        try:
            await asyncio.sleep(60)
        finally:
            self.left = True

    async def send(self, message):
        self.sent.append(message)


def connect(app, client, *, websocket=True, expires=SOON, clock=None, **words):
    clock = clock or Clock()
    idp = FakeIssuer(clock=lambda: START)
    guard = Guard([idp.trusted(leeway=0)], clock=clock)
    scope = scope_of(
        Ask("/x", headers=[("Authorization", idp.bearer(expires=expires))], websocket=websocket)
    )
    guarded = GuardMiddleware(app, guard, **words)
    asyncio.run(asyncio.wait_for(guarded(scope, client.receive, client.send), 10))
    return clock


def passing(clock, seconds=SOON * 2):
    """The clock moves on before anybody looks at the token again."""
    clock.now = START + seconds


def test_a_websocket_that_waits_for_its_client_ends_with_its_token():
    clock, client, seen = Clock(), Client({"type": "websocket.connect"}), []

    async def app(scope, receive, send):
        seen.append(await receive())
        await send({"type": "websocket.accept"})
        passing(clock)
        seen.append(await receive())
        seen.append(await receive())

    connect(app, client, clock=clock)
    ended = {"type": "websocket.disconnect", "code": 1008, "reason": "the token has ended"}
    assert seen == [{"type": "websocket.connect"}, ended, ended]
    assert client.sent == [{"type": "websocket.accept"}, CLOSE]
    assert client.left, "nobody waits for the client any more"


def test_a_websocket_that_only_sends_ends_with_its_token():
    clock, client = Clock(), Client()

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        passing(clock)
        while True:
            await send({"type": "websocket.send", "text": "x"})
            await asyncio.sleep(SOON / 4)

    connect(app, client, clock=clock)
    assert client.sent[-1] == CLOSE
    assert client.sent.count(CLOSE) == 1


def test_what_an_app_sends_too_late_is_an_oserror_as_asgi_asks():
    clock, raised = Clock(), []

    async def app(scope, receive, send):
        passing(clock)
        await receive()
        try:
            await send({"type": "websocket.send", "text": "x"})
        except OSError as error:
            raised.append(error)

    connect(app, Client(), clock=clock)
    assert [type(error) for error in raised] == [lifetime.ConnectionEnded]


def test_messages_pass_while_the_token_is_good():
    client, seen = Client({"type": "websocket.connect"}, {"type": "websocket.receive"}), []

    async def app(scope, receive, send):
        seen.extend([await receive(), await receive()])
        await send({"type": "websocket.accept"})

    connect(app, client, expires=3600)
    assert [message["type"] for message in seen] == ["websocket.connect", "websocket.receive"]
    assert client.sent == [{"type": "websocket.accept"}]


def test_server_sent_events_end_with_their_token():
    clock, client = Clock(), Client()

    async def app(scope, receive, send):
        await send(EVENTS)
        passing(clock)
        while True:
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            await asyncio.sleep(SOON / 4)

    connect(app, client, websocket=False, clock=clock)
    assert client.sent[0] == EVENTS
    assert client.sent[-1] == END
    assert client.sent.count(END) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"y"), (b"CONTENT-TYPE", b"Text/Event-Stream")],
        [(b"content-type", b" text/event-stream")],
        [(b"content-type", b"text/plain"), (b"content-type", b"text/event-stream")],
        ((b"content-type", b"text/event-stream"), (b"x", b"y")),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [list, iter], ids=["sequence", "iterator"])
def test_server_sent_events_are_known_by_their_type_and_keep_their_headers(headers, form):
    clock, client = Clock(), Client()

    async def app(scope, receive, send):
        await send({**EVENTS, "headers": form(headers)})
        passing(clock)
        await asyncio.sleep(SOON * 3)
        with pytest.raises(OSError, match="has ended"):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    connect(app, client, websocket=False, clock=clock)
    assert client.sent == [{**EVENTS, "headers": list(headers)}, END]


def test_other_answers_are_sent_to_their_end():
    clock, client = Clock(), Client()
    start = {**EVENTS, "headers": [(b"x", b"y"), (b"content-type", b"text/plain")]}

    async def app(scope, receive, send):
        await send(start)
        passing(clock)
        await asyncio.sleep(SOON * 3)
        await send({"type": "http.response.body", "body": b"the end"})

    connect(app, client, websocket=False, clock=clock)
    assert client.sent == [start, {"type": "http.response.body", "body": b"the end"}]


def test_events_that_end_by_themselves_are_watched_no_longer():
    client = Client()

    async def app(scope, receive, send):
        await send(EVENTS)
        await send(END)

    connect(app, client, websocket=False, expires=3600)
    assert client.sent == [EVENTS, END]


def test_grace_is_given_in_seconds():
    clock, client, times = Clock(), Client(), []

    async def app(scope, receive, send):
        loop = asyncio.get_running_loop()
        passing(clock)
        times.append(loop.time())
        await receive()
        times.append(loop.time())

    connect(app, client, clock=clock, expiry_grace=0.2)
    assert times[1] - times[0] > 0.15


def test_without_an_end_connections_go_on():
    clock, client = Clock(), Client()

    async def app(scope, receive, send):
        passing(clock)
        await asyncio.sleep(SOON * 3)
        await send({"type": "websocket.accept"})

    connect(app, client, clock=clock, expiry_grace=None)
    assert client.sent == [{"type": "websocket.accept"}]


@pytest.mark.parametrize("seconds", [-1, "5", True, float("inf"), float("nan")])
def test_a_grace_that_is_no_number_of_seconds_is_refused(seconds):
    with pytest.raises(errors.ConfigurationError, match="expiry_grace"):
        GuardMiddleware(
            lambda scope, receive, send: None, Guard([FakeIssuer().trusted()]), expiry_grace=seconds
        )


def test_what_an_app_raises_comes_through_and_ends_the_watch():
    async def app(scope, receive, send):
        raise LookupError("in the app")

    with pytest.raises(LookupError, match="in the app"):
        connect(app, Client(), expires=3600)


def renewed(guard, token, *answers):
    flow = guard.renew_flow(token)
    try:
        wanted = next(flow)
        for answer in answers:
            wanted = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        return wanted
    except StopIteration as stop:
        return stop.value


def test_a_token_whose_key_was_removed_is_no_longer_good():
    clock, idp = Clock(), FakeIssuer(clock=lambda: START)
    guard = Guard([idp.trusted(leeway=0)], clock=clock)
    token = guard.verify(idp.token(expires=3600))
    assert renewed(guard, token) == 3600
    clock.now += 600
    assert renewed(guard, token) == 3000
    idp.rotate(keep=0)
    with pytest.raises(errors.KeyNotFound):
        renewed(guard, token)


def test_an_outage_ends_nothing_before_the_tokens_own_end():
    clock, idp = Clock(), FakeIssuer(clock=lambda: START)
    keys = RemoteKeys(
        "https://k.test/", clock=clock, max_stale=100, max_fresh=100, jitter=lambda: 0
    )
    guard = Guard([idp.trusted(keys=keys, leeway=10)], clock=clock)
    flow = guard.verify_flow(idp.token(expires=3600))
    next(flow)
    with pytest.raises(StopIteration) as stop:
        flow.send(Fetched(200, {}, json.dumps(idp.jwks()).encode()))
    token = stop.value.value
    clock.now += 200  # the keys are too old to be used
    assert renewed(guard, token, errors.FetchError("down")) == 3410
    clock.now += 3410
    with pytest.raises(errors.TokenExpired):
        renewed(guard, token)


def test_a_withdrawn_key_is_found_out_where_no_request_comes_in():
    clock, idp = Clock(), FakeIssuer(clock=lambda: START)
    keys = RemoteKeys("https://k.test/", clock=clock, max_fresh=100)
    guard = Guard([idp.trusted(keys=keys)], clock=clock)
    raw = idp.token(expires=3600)

    def provider(fetch):
        return Fetched(200, {}, json.dumps(idp.jwks()).encode())

    token = drive.run(guard.verify_flow(raw), provider)
    clock.now += 99
    idp.rotate(keep=0)
    drive.run(guard.renew_flow(token), provider)
    with pytest.raises(errors.KeyNotFound):
        drive.run(guard.renew_flow(token), provider)


def test_a_function_that_breaks_ends_nothing_before_the_tokens_own_end_and_then_ends_it(caplog):
    clock, idp = Clock(), FakeIssuer("https://idp.test/acme", clock=lambda: START)
    broken = []

    def tenants(name):
        if broken:
            raise broken[0]
        return True

    words = {"keys": idp.trusted().source, "audience": idp.audience, "algorithms": ["RS256"]}
    issuer = Issuer("https://idp.test/{tenant}", tenants=tenants, leeway=10, **words)
    guard = Guard([issuer], clock=clock, cache_size=0)
    token = guard.verify(idp.token(expires=3600))
    broken.append(OSError("the database of tenants"))
    clock.now += 600
    assert renewed(guard, token) == 3010
    assert "unexpected OSError" in caplog.text
    assert "database" not in caplog.text
    clock.now += 3010
    with pytest.raises(errors.TokenExpired):
        renewed(guard, token)


def test_a_tokens_own_end_is_max_age_too():
    clock, idp = Clock(), FakeIssuer(clock=lambda: START)
    source = idp.trusted().source
    issuer = idp.trusted(keys=Breakable(source), max_age=60, leeway=0)
    guard = Guard([issuer], clock=clock, cache_size=0)
    token = guard.verify(idp.token(expires=3600))
    issuer.source.broken = True
    assert renewed(guard, token) == 60
    clock.now += 60
    with pytest.raises(errors.TokenTooOld):
        renewed(guard, token)


class Breakable:
    problems = ()
    broken = False

    def __init__(self, source):
        self._source = source

    def current(self):
        if self.broken:
            raise RuntimeError
        return self._source.current()


# --- revoked tokens -----------------------------------------------------------------------------


def revocable(expires=3600):
    revocations = Revocations()
    idp = FakeIssuer()
    guard = Guard([idp.trusted()], revocations=revocations)
    return revocations, guard, [idp.bearer(f"user-{n}", expires=expires) for n in range(3)]


def open_websocket(guarded, bearer):
    client = Client({"type": "websocket.connect"})
    scope = scope_of(Ask("/x", headers=[("Authorization", bearer)], websocket=True))
    task = asyncio.ensure_future(guarded(scope, client.receive, client.send))
    return client, task


async def listening(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


def test_a_websocket_ends_within_a_second_of_the_revocation_of_its_token_and_no_other_does():
    revocations, guard, bearers = revocable()

    async def run():
        loop = asyncio.get_running_loop()
        guarded = GuardMiddleware(listening, guard)
        connections = [open_websocket(guarded, bearer) for bearer in bearers]
        await asyncio.sleep(0.05)
        for ended, name in enumerate(("user-0", "user-1")):
            begun = loop.time()
            await revocations.arevoke("sub", name, before=3e9)
            await asyncio.wait_for(connections[ended][1], 5)
            assert loop.time() - begun < 1
            open_ones = [not task.done() for _, task in connections]
            assert open_ones == [number > ended for number in range(3)]
        assert [client.sent[-1] for client, _ in connections[:2]] == [CLOSE, CLOSE]
        connections[2][1].cancel()
        await asyncio.wait([connections[2][1]])
        # Nobody waits, so nobody looks; and then again.
        await asyncio.sleep(2 * lifetime.LISTEN)
        client, task = open_websocket(guarded, bearers[2])
        await asyncio.sleep(0.05)
        revocations.revoke("sub", "user-2", before=3e9)
        await asyncio.wait_for(task, 5)
        assert client.sent[-1] == CLOSE

    asyncio.run(run())


def test_what_is_revoked_while_a_token_is_looked_at_is_not_missed():
    revocations, _, _ = revocable()

    async def run():
        news = lifetime._News(revocations)
        version = news.version
        revocations.revoke("sub", "somebody")
        await asyncio.wait_for(news.wait(60, version), 1)
        await asyncio.wait_for(news.wait(0.01, news.version), 1)

    asyncio.run(run())
