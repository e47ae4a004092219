"""Requests with the target as on the wire: the app gets what servers hand over."""

import asyncio
from wsgiref.validate import validator

import httpx2
import pytest
import starlette.testclient
import werkzeug.test

from jwtguard import Guard, Rule, asgi, wsgi
from jwtguard.testing import Answer, Clock, FakeIssuer, asgi_request, wsgi_request

idp = FakeIssuer(algorithm="ES256")
guard = Guard(
    [idp.trusted()],
    [Rule("/files/**", opaque_tail=True), Rule("/public/**", access="public")],
)


def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    seen = [environ["PATH_INFO"], environ["RAW_URI"], environ["QUERY_STRING"], body.decode()]
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Name", environ["HTTP_HOST"])])
    return ["|".join(seen).encode("latin-1")]


async def async_app(scope, receive, send):
    body = (await receive())["body"]
    host = dict(scope["headers"])[b"host"]
    seen = [scope["path"], scope["raw_path"].decode(), scope["query_string"].decode()]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-name", host)]})
    text = "|".join([*seen, body.decode()])
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
    await send({"type": "http.response.body"})


def through_wsgi(method, target, headers=(), body=b""):
    return wsgi_request(wsgi.GuardMiddleware(app, guard), method, target, headers, body)


def through_asgi(method, target, headers=(), body=b""):
    guarded = asgi.GuardMiddleware(async_app, guard)
    return asyncio.run(asgi_request(guarded, method, target, headers, body))


both = pytest.mark.parametrize("send", [through_wsgi, through_asgi], ids=["wsgi", "asgi"])

TARGETS = {
    "/public/a": 200,
    "/public/caf%C3%A9": 200,
    "/public/100%25": 200,
    "/public/a%2Fb": 400,
    "/public/a/../b": 400,
    "/public/%2e%2e/b": 400,
    "//public/a": 400,
    "/public/a;b": 400,
    "http://evil.test/public/a": 400,
    "/files/a%2Fb": 401,
}


@both
@pytest.mark.parametrize(("target", "status"), TARGETS.items(), ids=TARGETS)
def test_a_target_is_judged_as_it_is_written(send, target, status):
    assert send("GET", target).status == status


@both
def test_the_app_sees_the_target_and_the_body(send):
    headers = {"Authorization": idp.bearer()}

    answer = send("POST", "/files/a%2Fb?c=%2F", headers, b"x")

    path, raw, query, body = answer.body.decode().split("|")
    assert (path, raw.partition("?")[0]) == ("/files/a/b", "/files/a%2Fb")
    assert (query, body) == ("c=%2F", "x")
    assert answer.header("x-name") == "testserver"


@both
def test_headers_are_a_mapping_or_pairs(send):
    host = [("Host", "a.test"), ("Authorization", idp.bearer())]

    assert send("GET", "/x", host).header("X-Name") == "a.test"
    assert send("GET", "/x", [*host, ("Authorization", idp.bearer())]).status == 400


@both
def test_a_refusal_can_be_read(send):
    answer = send("GET", "/x")

    assert answer.status == 401
    assert answer.json()["code"] == "no_credentials"
    assert answer.header("WWW-Authenticate") == "Bearer"
    assert answer.header("X-None") is None


def test_a_header_that_stands_twice_has_no_one_value():
    with pytest.raises(ValueError, match="A stands 2 times"):
        Answer(200, [("a", "1"), ("A", "2")], b"").header("A")


def test_the_environ_is_one_that_wsgi_allows():
    def plain(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["CONTENT_TYPE"].encode()]

    headers = {"Content-Type": "text/plain", "X-A": "b"}

    assert wsgi_request(validator(plain), "GET", "/a?b", headers).body == b"text/plain"


def test_what_an_app_writes_comes_before_what_it_returns():
    def plain(environ, start_response):
        start_response("200 OK", [])(b"first ")
        return [b"second"]

    assert wsgi_request(plain, "GET", "/").body == b"first second"


def test_a_clock_stands_still_until_it_is_moved():
    clock = Clock(10)
    assert (clock(), clock()) == (10, 10)

    clock.advance(2.5)
    clock.advance(-0.5)

    assert clock() == 12
    assert repr(clock) == "<Clock 12>"
    assert Clock()() > 1_700_000_000


# --- what test clients hand over (the table of docs/testing.md) ----------------------------------


def targets():
    """Two apps that note the path and the raw target they were given, and the notes."""
    seen = []

    def app(environ, start_response):
        seen.append((environ["PATH_INFO"], environ.get("RAW_URI") or environ.get("REQUEST_URI")))
        start_response("200 OK", [])
        return [b""]

    async def async_app(scope, receive, send):
        raw = scope.get("raw_path")
        seen.append((scope["path"], None if raw is None else raw.decode()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app, async_app, seen


def by_werkzeug(app, async_app, target):
    werkzeug.test.Client(app).get(target)


def by_starlette(app, async_app, target):
    starlette.testclient.TestClient(async_app).get(target)


def by_httpx2_wsgi(app, async_app, target):
    with httpx2.Client(transport=httpx2.WSGITransport(app=app), base_url="http://t") as client:
        client.get(target)


def by_httpx2_asgi(app, async_app, target):
    async def ask():
        transport = httpx2.ASGITransport(app=async_app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://t") as client:
            await client.get(target)

    asyncio.run(ask())


CLIENTS = {
    by_werkzeug: (("/a/b", "/a%2Fb"), ("/a/../b", "/a/../b")),
    by_starlette: (("/a/b", "/a%2Fb"), ("/b", "/b")),
    by_httpx2_asgi: (("/a/b", "/a%2Fb"), ("/b", "/b")),
    by_httpx2_wsgi: (("/a/b", None), ("/b", None)),
}


@pytest.mark.parametrize(("client", "found"), CLIENTS.items(), ids=[c.__name__ for c in CLIENTS])
def test_what_a_test_client_hands_over(client, found):
    app, async_app, seen = targets()

    for target in ("/a%2Fb", "/a/../b"):
        client(app, async_app, target)

    assert tuple(seen) == found
