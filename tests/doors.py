"""One way to send a raw request through each door, and what came of it.

A door is ``door(guard, ask, fetch=None) -> Answer``; :data:`DOORS` holds them by name. Each builds
what a real server would hand over for the same bytes: gunicorn for WSGI, uvicorn for ASGI. The
last two are the drivers, with the smallest door that follows `Allow` and `Deny` to the letter.
"""

import asyncio
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from jwtguard import Guard, VerifiedToken, asgi, drive, wsgi
from jwtguard.core import Allow, Deny, Fetch, Fetched, Request

Pairs = Sequence[tuple[str, str]]
FetchSync = Callable[[Fetch], Fetched]

# What the app behind every door answers with.
APP_HEADERS = (("Content-Type", "text/plain"), ("Referrer-Policy", "no-referrer"))
APP_BODY = b"the app"


@dataclass(frozen=True)
class Ask:
    """A request as on the wire; header values are latin-1 text.

    ``mount`` is where the guarded app stands; ``raw`` says whether the server hands over the raw
    target.
    """

    target: str = "/"
    method: str = "GET"
    headers: Pairs = ()
    scheme: str = "https"
    websocket: bool = False
    mount: str = ""
    raw: bool = True
    body: bytes = b""

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Seen:
    """What the app was given. Header names are lower case, with dashes: as frameworks read them."""

    path: str
    query: str
    headers: dict[str, list[str]]
    token: VerifiedToken | None
    claims: Mapping[str, Any]
    variables: dict[str, str]
    subprotocols: list[str]


@dataclass
class Answer:
    """The response, and what the app saw, which is None where it was not reached.

    A WebSocket handshake that is accepted counts as 200, so that one table serves every door.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    seen: Seen | None = None
    subprotocol: str | None = None

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


def _gathered(pairs: Pairs) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name.lower().replace("_", "-"), []).append(value)
    return headers


def _words(headers: Mapping[str, list[str]]) -> list[str]:
    field_value = ",".join(headers.get("sec-websocket-protocol", ()))
    return [word.strip() for word in field_value.split(",") if word.strip()]


def _variables(published: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in published.items() if key.startswith("jwt_")}


# --- WSGI ---------------------------------------------------------------------------------------


def environ_of(ask: Ask) -> dict[str, Any]:
    """The environ that gunicorn makes of *ask*."""
    path = ask.target.partition("?")[0].partition("#")[0]
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": ask.method,
        "SCRIPT_NAME": ask.mount.encode().decode("latin-1"),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": ask.query,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(ask.body)),
        "wsgi.input": io.BytesIO(ask.body),
        "wsgi.url_scheme": ask.scheme.replace("ws", "http"),
    }
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(environ["SCRIPT_NAME"])
    if ask.raw:
        environ["RAW_URI"] = ask.target
    headers = [*ask.headers, *([("Upgrade", "websocket")] if ask.websocket else [])]
    for name, values in _gathered(headers).items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = ",".join(values)
    return environ


def wsgi_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through `jwtguard.wsgi.GuardMiddleware`."""
    answer = Answer(0)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        headers = {
            key[5:].lower().replace("_", "-"): [value.encode("latin-1").decode("utf-8", "replace")]
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        answer.seen = Seen(
            environ["PATH_INFO"].encode("latin-1").decode(),
            environ["QUERY_STRING"],
            headers,
            environ["jwtguard.token"],
            environ["jwtguard.claims"],
            _variables(environ),
            _words(headers),
        )
        start_response("200 OK", list(APP_HEADERS))
        return [APP_BODY]

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answer.status, answer.headers = int(status[:3]), headers

    answer.body = b"".join(
        wsgi.GuardMiddleware(app, guard, fetch=fetch)(environ_of(ask), start_response)
    )
    return answer


# --- ASGI ---------------------------------------------------------------------------------------


def scope_of(ask: Ask) -> dict[str, Any]:
    """The scope that uvicorn makes of *ask*."""
    path = ask.target.partition("?")[0]
    scope: dict[str, Any] = {
        "type": "websocket" if ask.websocket else "http",
        "path": unquote(path),
        "root_path": ask.mount,
        "query_string": ask.query.encode("latin-1"),
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in ask.headers],
        "scheme": ask.scheme.replace("http", "ws") if ask.websocket else ask.scheme,
        "client": ("127.0.0.1", 40000),
    }
    if ask.raw:
        scope["raw_path"] = path.encode("latin-1")
    if ask.websocket:
        scope["subprotocols"] = _words(_gathered(ask.headers))
        scope["extensions"] = {"websocket.http.response": {}}
    else:
        scope["method"] = ask.method
    return scope


def asgi_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through `jwtguard.asgi.GuardMiddleware`."""
    answer = Answer(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raw = [
            (name.decode("latin-1"), value.decode("utf-8", "replace"))
            for name, value in scope["headers"]
        ]
        answer.seen = Seen(
            scope["path"].removeprefix(scope["root_path"]),
            scope["query_string"].decode("latin-1"),
            _gathered(raw),
            scope["jwtguard.token"],
            scope["jwtguard.claims"],
            _variables(scope),
            list(scope.get("subprotocols", ())),
        )
        headers = [(name.lower().encode(), value.encode()) for name, value in APP_HEADERS]
        if scope["type"] == "websocket":
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept", "headers": headers})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": APP_BODY})

    async def receive() -> dict[str, Any]:
        kind = "websocket.connect" if ask.websocket else "http.request"
        return {"type": kind, "body": ask.body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "websocket.accept":
            answer.status, answer.body = 200, APP_BODY
            answer.subprotocol = message.get("subprotocol")
        elif message["type"].endswith(".start"):
            answer.status = message["status"]
        else:
            answer.body += message["body"]
            return
        answer.headers = [(n.decode(), v.decode("latin-1")) for n, v in message["headers"]]

    guarded = asgi.GuardMiddleware(app, guard, fetch=waiting(fetch) if fetch else None)
    asyncio.run(guarded(scope_of(ask), receive, send))
    return answer


def waiting(fetch: FetchSync) -> drive.FetchAsync:
    """*fetch* for an event loop; it really gives way in between."""

    async def wait(wanted: Fetch) -> Fetched:
        await asyncio.sleep(0)
        return fetch(wanted)

    return wait


# --- the drivers --------------------------------------------------------------------------------


class Asked(Request):
    """A request with its body."""

    __slots__ = ("body",)

    def read_body(self, max_bytes: int) -> bytes:
        return self.body[: max_bytes + 1]


def request_of(ask: Ask) -> Asked:
    """The `Request` that a door written by hand makes of *ask*."""
    path = unquote(ask.target.partition("?")[0])
    request = Asked(
        ask.method,
        path.removeprefix(ask.mount) or ("/" if ask.mount else ""),
        raw_path=ask.target if ask.raw else None,
        query=ask.query,
        headers=ask.headers,
        scheme=ask.scheme,
        websocket=ask.websocket,
        mount=ask.mount,
    )
    request.body = ask.body
    return request


def _told(guard: Guard, ask: Ask, decision: Allow | Deny) -> Answer:
    if isinstance(decision, Deny):
        return Answer(decision.status, list(decision.headers), decision.body)
    given = {name.lower() for name, _ in APP_HEADERS}
    missing = [pair for pair in guard.response_headers if pair[0].lower() not in given]
    headers = {
        name: values
        for name, values in _gathered(ask.headers).items()
        if name not in decision.remove
    }
    headers |= _gathered(decision.set)
    token = decision.token
    seen = Seen(
        request_of(ask).path,
        ask.query if decision.query is None else decision.query,
        headers,
        token,
        {} if token is None else token.claims,
        dict(decision.variables),
        _words(headers),
    )
    headers_sent = [*APP_HEADERS, *missing, *decision.added]
    return Answer(200, headers_sent, APP_BODY, seen, decision.subprotocol)


def decide_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through ``guard.decide``, or its flow where a *fetch* is given."""
    request = request_of(ask)
    if fetch is None:
        return _told(guard, ask, guard.decide(request))
    return _told(guard, ask, drive.run(guard.decide_flow(request), fetch))


def adecide_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through ``guard.adecide``, or its flow where a *fetch* is given."""
    request = request_of(ask)
    if fetch is None:
        return _told(guard, ask, asyncio.run(guard.adecide(request)))
    return _told(guard, ask, asyncio.run(drive.arun(guard.decide_flow(request), waiting(fetch))))


Door = Callable[..., Answer]

BOTH: dict[str, Door] = {"wsgi": wsgi_door, "asgi": asgi_door}
DOORS: dict[str, Door] = {**BOTH, "decide": decide_door, "adecide": adecide_door}


def do_without(missing: ModuleNotFoundError) -> None:
    """Leave out the door of a framework that scripts/matrix does not install.

    It names them in JWTGUARD_WITHOUT. Any other has to be there: a table that has lost a door
    must not pass.
    """
    if (missing.name or "").partition(".")[0] not in os.environ.get("JWTGUARD_WITHOUT", "").split():
        raise missing
