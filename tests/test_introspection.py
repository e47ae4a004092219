"""Introspection over real HTTP: one exchange for many, and an endpoint that misbehaves."""

import asyncio
import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from jwtguard import Guard, Introspection, Issuer, asgi, transport, wsgi
from jwtguard.core.introspection import MAX_ANSWER, MAX_EXCHANGES

from .contract import bearer
from .doors import Ask, environ_of, scope_of

ISSUER = "https://issuer.test/"
AUDIENCE = "https://api.test"
OPAQUE = "opaque-token"


def good(**claims):
    claims = {"active": True, "aud": AUDIENCE, "sub": "alice", "exp": time.time() + 600} | claims
    return json.dumps(claims).encode()


def answer(body=None, status=200, *fields):
    """What makes the endpoint answer this."""

    def behave(handler):
        data = good() if body is None else body
        handler.send_response(status)
        names = {name.lower() for name, _ in fields}
        if "content-length" not in names:
            handler.send_header("Content-Length", str(len(data)))
        for name, value in fields:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return behave


class Endpoint:
    """An introspection endpoint on loopback; ``forms`` is what it was asked."""

    def __init__(self, behave=None):
        self.behave = behave or answer()
        self.forms = []
        self.headers = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.forms.append(parse_qs(body.decode(), strict_parsing=True))
                endpoint.headers.append(dict(self.headers))
                endpoint.behave(self)

            def do_GET(self):
                endpoint.forms.append(None)
                endpoint.behave(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 200

            def handle_error(self, *_):
                pass  # a client that hung up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/introspect"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def guard(self, **words):
        self.introspection = Introspection(
            self.url,
            client_id="service",
            client_secret="s p:é",
            insecure_http=True,
            **({"timeout": 5} | words),
        )
        issuer = Issuer(
            ISSUER,
            audience=AUDIENCE,
            algorithms=(),
            keys=None,
            introspection=self.introspection,
        )
        return Guard([issuer])


def ask_of(raw):
    return Ask("/x", headers=tuple(bearer(f"Bearer {raw}").items()))


def by_thread(guard):
    """A door for threads: raw token -> status."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    door = wsgi.GuardMiddleware(app, guard)

    def ask(raw=OPAQUE):
        got = []
        list(door(environ_of(ask_of(raw)), lambda status, headers: got.append(int(status[:3]))))
        return got[0]

    return ask


def by_task(guard):
    """A door for tasks: raw token -> status, to await."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    door = asgi.GuardMiddleware(app, guard)

    async def ask(raw=OPAQUE):
        got = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            if message["type"] == "http.response.start":
                got.append(message["status"])

        await door(scope_of(ask_of(raw)), receive, send)
        return got[0]

    return ask


def held(endpoint):
    """Makes the endpoint wait until it is let go."""
    free, then = threading.Event(), endpoint.behave

    def behave(handler):
        free.wait(10)
        then(handler)

    endpoint.behave = behave
    return free


def until(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_an_opaque_token_is_verified_by_its_endpoint():
    raw = "a+b/c~d=="
    with Endpoint() as endpoint:
        guard = endpoint.guard()
        assert by_thread(guard)(raw) == 200
        assert asyncio.run(by_task(guard)(raw)) == 200
        assert guard.verify(raw).subject == "alice"
        assert asyncio.run(guard.averify(raw))["iss"] == ISSUER
    assert endpoint.forms == [{"token": [raw], "token_type_hint": ["access_token"]}]
    [headers] = endpoint.headers
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Authorization"] == "Basic c2VydmljZTpzK3AlM0ElQzMlQTk="


@pytest.mark.parametrize(("behave", "status"), [(None, 200), (answer(b"{}", 500), 503)])
def test_threads_and_tasks_wait_for_one_exchange(behave, status):
    with Endpoint(behave) as endpoint, ThreadPoolExecutor(26) as pool:
        guard = endpoint.guard()
        free = held(endpoint)
        threads = [pool.submit(by_thread(guard)) for _ in range(25)]

        async def tasks():
            ask = by_task(guard)
            return await asyncio.gather(*(ask() for _ in range(25)))

        loop = pool.submit(asyncio.run, tasks())

        def waiting():
            return [len(asking.waiting) for asking in endpoint.introspection._asking.values()]

        until(lambda: waiting() == [50])
        free.set()
        statuses = [thread.result() for thread in threads] + loop.result()
    assert statuses == [status] * 50
    assert len(endpoint.forms) == 1
    assert endpoint.introspection._asking == {}


def test_a_task_that_is_cancelled_fails_nobody():
    async def story(endpoint, guard, free):
        ask = by_task(guard)
        leader = asyncio.create_task(ask())
        while not endpoint.forms:
            await asyncio.sleep(0.005)
        others = [asyncio.create_task(ask()) for _ in range(5)]
        await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        free.set()
        return await asyncio.gather(*others)

    with Endpoint() as endpoint:
        guard = endpoint.guard()
        free = held(endpoint)
        assert asyncio.run(story(endpoint, guard, free)) == [200] * 5
    assert len(endpoint.forms) == 1
    assert endpoint.introspection._asking == {}


def test_nothing_is_left_where_all_are_cancelled():
    async def story(guard):
        tasks = [asyncio.create_task(by_task(guard)()) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with Endpoint() as endpoint:
        guard = endpoint.guard()
        free = held(endpoint)
        asyncio.run(story(guard))
        assert endpoint.introspection._asking == {}
        until(lambda: not running())  # the limit is one of exchanges, and nobody waits for this one
        free.set()
        assert by_thread(guard)() == 200


def running():
    """The exchanges that the process's transport is making."""
    return [task for task in asyncio.all_tasks(transport.shared()._loop) if not task.done()]


def test_only_so_many_tokens_are_asked_about_at_once():
    with Endpoint() as endpoint, ThreadPoolExecutor(MAX_EXCHANGES) as pool:
        guard = endpoint.guard()
        free = held(endpoint)
        ask = by_thread(guard)
        busy = [pool.submit(ask, f"t{index}") for index in range(MAX_EXCHANGES)]
        until(lambda: len(endpoint.introspection._asking) == MAX_EXCHANGES)

        begun = time.monotonic()
        assert ask("one-more") == 503
        assert time.monotonic() - begun < 1
        free.set()
        assert {one.result() for one in busy} == {200}
        assert ask("one-more") == 200
    assert len(endpoint.forms) == MAX_EXCHANGES + 1


def hang(handler):
    time.sleep(0.5)
    handler.close_connection = True


def hang_up(handler):
    handler.close_connection = True


def drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "999")
    handler.end_headers()
    for byte in b'{"active": true, ' * 3:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.02)


CUT = ("Content-Length", "5000"), ("Connection", "close")


def truncated(handler):
    answer(None, 200, *CUT)(handler)
    handler.close_connection = True


MISBEHAVING = {
    "HTML": answer(b"<html>active: true</html>"),
    "empty": answer(b""),
    "204": answer(b"", 204),
    "cut off": truncated,
    "half an object": answer(good()[:-1]),
    "huge": answer(b" " * MAX_ANSWER + good()),
    "gzip": answer(gzip.compress(good()), 200, ("Content-Encoding", "gzip")),
    "never": hang,
    "dripping": drip,
    "hanging up": hang_up,
    "400": answer(status=400),
    "401": answer(status=401),
    "403": answer(status=403),
    "404": answer(status=404),
    "429": answer(status=429),
    "500": answer(status=500),
    "503": answer(status=503),
    "not saying": answer(b'{"sub": "alice"}'),
    "saying it twice": answer(b'{"active": false, "active": true}'),
}


@pytest.mark.parametrize("behave", MISBEHAVING.values(), ids=MISBEHAVING)
def test_an_endpoint_that_misbehaves_is_503(behave):
    with Endpoint(behave) as endpoint:
        guard = endpoint.guard(timeout=0.3)
        assert by_thread(guard)() == 503
        assert asyncio.run(by_task(guard)()) == 503
        assert endpoint.introspection._asking == {}
        assert len(endpoint.forms) == 2
        # And works again as soon as the endpoint does.
        endpoint.behave = answer()
        assert by_thread(guard)() == 200


def test_nobody_listens():
    with Endpoint() as endpoint:
        guard = endpoint.guard()
    assert by_thread(guard)() == 503


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    with Endpoint() as elsewhere:
        with Endpoint(answer(b"", status, ("Location", elsewhere.url))) as endpoint:
            assert by_thread(endpoint.guard())() == 503
        assert elsewhere.forms == []


def test_no_cookie_of_the_endpoint_comes_back():
    with Endpoint(answer(None, 200, ("Set-Cookie", "a=b; Path=/"))) as endpoint:
        ask = by_thread(endpoint.guard())
        assert [ask("one"), ask("two")] == [200, 200]
    assert not any("cookie" in name.lower() for one in endpoint.headers for name in one)


def test_inactive_is_401_and_remembered_for_a_moment():
    with Endpoint(answer(b'{"active": false}')) as endpoint:
        guard = endpoint.guard(negative_ttl=0.2)
        ask = by_thread(guard)
        assert [ask(), ask(), asyncio.run(by_task(guard)())] == [401] * 3
        assert len(endpoint.forms) == 1
        endpoint.behave = answer()
        time.sleep(0.25)
        assert ask() == 200


def test_plain_http_is_not_spoken_without_leave():
    with Endpoint() as endpoint:
        guard = endpoint.guard()
        endpoint.introspection.insecure = False
        assert by_thread(guard)() == 503
    assert endpoint.forms == []
