"""Limits that several processes count together in a real Redis, which goes away and comes back."""

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from jwtguard import Guard, Rule
from jwtguard.core import Request
from jwtguard.core.rates import Limit, remaining, wait
from jwtguard.ratelimits import RedisRateStore
from jwtguard.testing import FakeIssuer, sign

from .redis_server import RedisServer
from .servers import SECRET, serve

idp = FakeIssuer(algorithm="HS256")
ALICE, BOB = idp.token("alice"), idp.token("bob")


@pytest.fixture
def server(tmp_path):
    running = RedisServer(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def make_store(server):
    def make(**words):
        store = RedisRateStore(server.url, **words)
        assert store.problems == ()
        return store

    return make


def make_guard(store, rate="5/hour", **words):
    return Guard([idp.trusted()], [Rule("/x", rate=rate)], rate_store=store, **words)


def request(raw=ALICE, client="203.0.113.7", path="/x"):
    return Request("GET", path, headers=[("Authorization", f"Bearer {raw}")], client=client)


def ask(guard, *given, **words):
    return guard.decide(request(*given, **words))


def statuses(guard, times, *given, **words):
    return [ask(guard, *given, **words).status for _ in range(times)]


def on_a_loop(guard, times):
    """What as many requests at once get on an event loop."""

    async def main():
        decisions = await asyncio.gather(*(guard.adecide(request()) for _ in range(times)))
        return Counter(decision.status for decision in decisions)

    return asyncio.run(main())


def test_threads_and_loops_of_several_processes_count_together(make_store):
    guards = [make_guard(make_store(), "50/hour") for _ in range(3)]

    on_loops = on_a_loop(guards[0], 20)
    with ThreadPoolExecutor(8) as pool:
        in_threads = Counter(pool.map(lambda n: ask(guards[n % 3]).status, range(60)))

    assert on_loops == {200: 20}
    assert in_threads == {200: 30, 429: 30}
    assert on_a_loop(guards[1], 10) == {429: 10}


def test_what_is_told_is_what_comes(make_store):
    store = make_store()
    limit = Limit("", 4, 2, None)

    passed = [store.hit("a", 4, 2, 0) for _ in range(6)]

    assert [allowed for allowed, _ in passed] == [True] * 4 + [False] * 2
    assert [remaining(limit, used) for _, used in passed] == [3, 2, 1, 0, 0, 0]
    assert remaining(limit, store.look("a", 2, 0)) == 0
    time.sleep(wait(limit, passed[-1][1]))
    assert store.hit("a", 4, 2, 0)[0]
    assert store.look("b", 2, 0) == (0, 0, 0.0)


def test_failures_are_counted_for_all(make_store):
    guards = [make_guard(make_store(), failed_rate="4/hour") for _ in range(2)]
    forged = ALICE[:-6] + "AAAAAA"

    found = [ask(guard, forged, path="/y").status for guard in guards * 3]

    assert found == [401] * 4 + [429] * 2
    assert ask(guards[0], BOB, path="/y").status == 429
    assert ask(guards[0], BOB, path="/y", client="203.0.113.8").status == 200


def test_keys_in_redis_name_nobody_and_end(server, make_store):
    rates = ["5/minute", {"limit": "5/minute", "by": "claim:sub"}]
    guard = make_guard(make_store(prefix="test:"), rates, failed_rate="5/minute")
    statuses(guard, 2)
    statuses(guard, 2, ALICE[:-6] + "AAAAAA", path="/y")

    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        keys = client.keys("*")
        ends = [client.ttl(key) for key in keys]

    assert len(keys) == 3
    for key in keys:
        assert key.startswith("test:rate:{")
        assert len(key) == len("test:rate:{}") + 32
    assert all(0 < end <= 120 for end in ends)


def test_while_redis_is_down_requests_pass_and_are_counted_when_it_is_back(server, make_store):
    guard = make_guard(make_store())
    assert statuses(guard, 6) == [200] * 5 + [429]

    server.kill()
    begun = time.monotonic()
    assert statuses(guard, 50) == [200] * 50
    assert time.monotonic() - begun < 1
    server.start()
    time.sleep(1.05)

    assert statuses(guard, 6) == [200] * 5 + [429]


def test_while_redis_is_down_requests_are_refused_where_that_was_written(server, make_store):
    guard = make_guard(make_store(when_down="refuse"), failed_rate="5/hour")
    assert ask(guard).status == 200

    server.kill()
    assert statuses(guard, 3) == [503] * 3
    assert ask(guard).error.reason == "rates_unavailable"
    assert ask(guard, path="/y").status == 200  # verified before, and no rate
    assert ask(guard, BOB, path="/y").status == 503


def test_a_redis_that_hangs_costs_a_timeout_once_a_second(server, make_store):
    guard = make_guard(make_store(timeout=0.1))
    assert ask(guard).status == 200

    server.hang()
    begun = time.monotonic()
    assert statuses(guard, 50) == [200] * 50
    first = time.monotonic() - begun
    time.sleep(1)
    begun = time.monotonic()
    assert on_a_loop(guard, 20) == {200: 20}
    second = time.monotonic() - begun
    server.resume()

    assert first < 1
    assert second < 1


def test_a_restart_of_redis_is_nobodys_error(server, make_store):
    guard = make_guard(make_store(when_down="refuse"))
    assert ask(guard).status == 200

    server.kill()
    server.start()

    assert ask(guard).status == 200


@pytest.mark.parametrize(
    ("name", "app", "options"),
    [
        ("gunicorn", "tests.live.limited:wsgi_app", ["--workers", "3"]),
        ("uvicorn-h11", "tests.live.limited:asgi_app", ["--workers", "2", "--no-proxy-headers"]),
    ],
)
def test_the_workers_of_a_server_count_together(name, app, options, server, tmp_path):
    alice = sign({"exp": int(time.time()) + 600, "sub": "alice"}, SECRET.encode(), "HS256")
    with serve(name, app, tmp_path, options=options, REDIS_URL=server.url) as web:
        replies = [web.get("/open", "X-Forwarded-For: 203.0.113.7") for _ in range(30)]
        other = web.get("/open", "X-Forwarded-For: 203.0.113.8")
        mine = [
            web.get(
                "/mine", f"X-Forwarded-For: 203.0.113.{n}", f"Authorization: Bearer {alice}"
            ).status
            for n in range(8)
        ]
        guesses = [
            web.get(
                "/mine", "X-Forwarded-For: 198.51.100.1", f"Authorization: Bearer {alice[:-6]}{n}"
            ).status
            for n in range(100_000, 100_006)
        ]

    assert [reply.status for reply in replies] == [200] * 20 + [429] * 10
    assert replies[0].header("ratelimit-policy") == '"address";q=20;w=3600'
    assert replies[0].header("ratelimit") == '"address";r=19;t=3600'
    assert int(replies[-1].header("retry-after")) > 3000
    assert replies[-1].header("ratelimit").startswith('"address";r=0;t=')
    assert other.status == 200
    assert mine == [200] * 5 + [429] * 3
    assert guesses == [401] * 3 + [429] * 3
