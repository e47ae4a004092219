"""Requests with the target as on the wire, as servers hand them to an app.

Test clients do not: some resolve ``/a/../b`` before they send it, some keep the raw target from
the app, and what a guard says of ``/a%2Fb`` on a real server cannot be seen then. Here the target
goes through as it is written, and the app gets what gunicorn or uvicorn would give it.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from jwtguard.asgi import App, Message

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Headers = Mapping[str, str] | list[tuple[str, str]] | tuple[tuple[str, str], ...]

HOST = "testserver"


@dataclass(frozen=True)
class Answer:
    """A response. ``headers`` are as sent, in order."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value under *name* (case does not count), or None. Two are a ValueError."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        if len(values) > 1:
            raise ValueError(f"{name} stands {len(values)} times")
        return values[0] if values else None

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def wsgi_request(
    app: "WSGIApplication",
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    *,
    scheme: str = "https",
) -> Answer:
    """One request to a WSGI app, with ``RAW_URI`` as gunicorn sends it.

    *target* is what stands in the request line, such as ``/files/a%2Fb?c=d``.
    """
    pairs = _pairs(headers)
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": HOST,
        "SERVER_PORT": "443" if scheme == "https" else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in pairs:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        # Servers join fields of one name.
        environ[key] = (
            f"{environ[key]},{value}" if key.startswith("HTTP_") and key in environ else value
        )
    began: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Any:
        began.append((status, list(headers)))
        return written.append

    chunks = app(environ, start_response)
    try:
        sent = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    status, answered = began[-1]
    return Answer(int(status[:3]), answered, b"".join(written) + sent)


async def asgi_request(
    app: App,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    *,
    scheme: str = "https",
) -> Answer:
    """One request to an ASGI app, with ``raw_path`` as uvicorn sends it.

    *target* is what stands in the request line, such as ``/files/a%2Fb?c=d``.
    """
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in _pairs(headers)
        ],
        "client": ("127.0.0.1", 50000),
        "server": (HOST, 443 if scheme == "https" else 80),
    }
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    began: list[Message] = []
    sent: list[bytes] = []

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            began.append(message)
        elif message["type"] == "http.response.body":
            sent.append(message.get("body", b""))

    await app(scope, receive, send)
    answered = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in began[-1].get("headers", ())]
    return Answer(began[-1]["status"], answered, b"".join(sent))


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    pairs = list(headers) if isinstance(headers, (list, tuple)) else list(headers.items())
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.append(("Host", HOST))
    return pairs
