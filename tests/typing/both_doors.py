# pyright: strict
"""The two doors in front of an app, with a client and a fetch of one's own."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import httpx2

from jwtguard import Guard, asgi, wsgi
from jwtguard.asgi import Receive, Scope, Send
from jwtguard.core import Fetch, Fetched

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b""]


async def async_app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})


def ask(fetch: Fetch) -> Fetched:
    return Fetched(200, {}, fetch.body or b"")


async def aask(fetch: Fetch) -> Fetched:
    return Fetched(200, {}, fetch.body or b"")


def guarded(guard: Guard) -> "list[WSGIApplication]":
    return [
        wsgi.GuardMiddleware(app, guard),
        wsgi.GuardMiddleware(app, guard, client=httpx2.Client()),
        wsgi.GuardMiddleware(app, guard, fetch=ask),
    ]


def guarded_too(guard: Guard) -> list[asgi.App]:
    return [
        asgi.GuardMiddleware(async_app, guard),
        asgi.GuardMiddleware(async_app, guard, client=httpx2.AsyncClient(), expiry_grace=5),
        asgi.GuardMiddleware(async_app, guard, fetch=aask, expiry_grace=None),
    ]
