"""The bodies that the guard itself reads, as servers hand them over."""

import asyncio
import io
from urllib.parse import urlencode

import pytest

from jwtguard import asgi, wsgi
from tests.doors import Ask, environ_of, scope_of

from .people import Provider, site
from .test_signing_out import logout_token

TELL = Ask("/auth/backchannel-logout", "POST")
LIMIT = 65_536


def through_wsgi(environ):
    """The status that *environ* is answered with; the app behind is not reached."""
    provider = Provider()
    said = []

    def start_response(status, headers):
        said.append(int(status[:3]))

    def app(*_):
        pytest.fail("reached")

    guarded = wsgi.GuardMiddleware(app, site(provider), fetch=provider)
    b"".join(guarded({**environ_of(TELL), **environ}, start_response))
    return said


def body():
    return urlencode({"logout_token": logout_token(Provider())}).encode()


class Endless(io.RawIOBase):
    """An input that never ends, and says how much of it was wanted."""

    wanted = 0

    def read(self, size=-1):
        assert 0 <= size <= LIMIT + 1
        self.wanted += size
        return b"a" * size


def test_wsgi_reads_as_far_as_content_length_says():
    good = body()
    for length, status in [
        (str(len(good)), 200),
        (str(len(good) - 1), 400),
        ("0", 400),
        ("", 400),
        (None, 400),
        ("-1", 400),
        ("x", 400),
        ("\u0663", 400),
        ("1e3", 400),
        ("9" * 12, 400),
    ]:
        environ = {"CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(good)}
        assert through_wsgi({k: v for k, v in environ.items() if v is not None}) == [status]


def test_wsgi_reads_a_body_without_a_length_where_the_server_says_that_it_ends():
    """Transfer-Encoding: chunked, as gunicorn and waitress hand it over."""
    environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}

    assert through_wsgi({**environ, "wsgi.input": io.BytesIO(body())}) == [200]
    assert through_wsgi({**environ, "wsgi.input": io.BytesIO(b"")}) == [400]


@pytest.mark.parametrize("environ", [{"CONTENT_LENGTH": "99999999"}, {"wsgi.input_terminated": 1}])
def test_wsgi_reads_no_more_than_it_needs(environ):
    endless = Endless()

    environ = {"CONTENT_LENGTH": "", "wsgi.input": endless, **environ}
    assert through_wsgi(environ) == [400]
    assert endless.wanted == LIMIT + 1


def test_a_body_that_breaks_off_is_refused():
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError("gone")

    assert through_wsgi({"CONTENT_LENGTH": "5", "wsgi.input": Broken()}) == [400]


def through_asgi(messages):
    provider = Provider()
    said, left = [], list(messages)

    async def receive():
        return left.pop(0)

    async def send(message):
        if message["type"] == "http.response.start":
            said.append(message["status"])

    async def app(*_):
        pytest.fail("reached")

    async def fetch(wanted):
        return provider(wanted)

    guarded = asgi.GuardMiddleware(app, site(provider), fetch=fetch)
    asyncio.run(guarded(scope_of(TELL), receive, send))
    return said, len(left)


def piece(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_asgi_puts_the_pieces_together():
    good = body()
    pieces = [piece(good[i : i + 100]) for i in range(0, len(good), 100)]

    assert through_asgi([*pieces, piece(b"", False)]) == ([200], 0)
    assert through_asgi([piece(good, False)]) == ([200], 0)
    assert through_asgi([{"type": "http.request"}]) == ([400], 0)


def test_asgi_stops_where_it_is_too_much():
    pieces = [piece(b"a" * 40_000) for _ in range(100)]

    assert through_asgi(pieces) == ([400], 98)


def test_asgi_refuses_who_went_away():
    assert through_asgi([piece(b"logout_token="), {"type": "http.disconnect"}]) == ([400], 0)
