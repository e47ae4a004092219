"""The pages told to WSGI and to ASGI, behind the guard, each on a server of its own."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

from jwtguard import Guard, asgi, wsgi
from jwtguard.drive import FetchAsync, FetchSync

from .pages import Page, Pages, Visit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
MAX_BODY = 65_536  # bytes of a form


class NeedsUvicorn(Exception):
    """There is no ASGI server in this environment."""


def wsgi_app(pages: Pages) -> "WSGIApplication":
    """The pages as a WSGI app."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        visit = Visit(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            query=environ.get("QUERY_STRING", ""),
            header=lambda name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""),
            body=environ["wsgi.input"].read(min(int(length), MAX_BODY))
            if length.isdigit()
            else b"",
            token=environ["jwtguard.token"],
            protocol="WSGI",
        )
        page = pages.answer(visit)
        start_response(f"{page.status} {HTTPStatus(page.status).phrase}", list(page.headers))
        return [_content(visit, page)]

    return app


def asgi_app(pages: Pages) -> asgi.App:
    """The pages as an ASGI app."""

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        visit = Visit(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            header=lambda name: headers.get(name.encode(), b"").decode("latin-1"),
            body=await _read(receive),
            token=scope["jwtguard.token"],
            protocol="ASGI",
        )
        page = pages.answer(visit)
        raw = [(name.lower().encode(), value.encode()) for name, value in page.headers]
        await send({"type": "http.response.start", "status": page.status, "headers": raw})
        await send({"type": "http.response.body", "body": _content(visit, page)})

    return app


def _content(visit: Visit, page: Page) -> bytes:
    return b"" if visit.method == "HEAD" else page.body


async def _read(receive: asgi.Receive) -> bytes:
    body = b""
    while len(body) < MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body[:MAX_BODY]


# --- servers ------------------------------------------------------------------------------------


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback interface; 0 takes a free port. Raises OSError."""
    return socket.create_server((HOST, port))


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """The demo prints its own lines."""


@contextmanager
def serve_wsgi(
    pages: Pages, guard: Guard, sock: socket.socket, fetch: FetchSync | None
) -> Iterator[None]:
    """werkzeug's server, in a thread."""
    port: int = sock.getsockname()[1]
    app = wsgi.GuardMiddleware(wsgi_app(pages), guard, fetch=fetch)
    server = make_server(HOST, port, app, threaded=True, request_handler=_Quiet, fd=sock.fileno())
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def serve_asgi(
    pages: Pages, guard: Guard, sock: socket.socket, fetch: FetchAsync | None
) -> Iterator[None]:
    """uvicorn, in a thread. Raises NeedsUvicorn."""
    try:
        import uvicorn
    except ImportError:
        raise NeedsUvicorn from None
    config = uvicorn.Config(
        asgi.GuardMiddleware(asgi_app(pages), guard, fetch=fetch),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()
