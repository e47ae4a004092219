"""The door of Quart: what a view sees of what `jwtguard.quart.JWTGuard` judged."""

import asyncio
from typing import Any

import quart
from quart.routing import QuartRule

from jwtguard import Guard
from jwtguard.quart import JWTGuard, current_claims, current_token

from .doors import (
    APP_BODY,
    APP_HEADERS,
    Answer,
    Ask,
    FetchSync,
    Seen,
    _gathered,
    _variables,
    scope_of,
    waiting,
)

# What never comes to the app: Quart raises an IndexError for an empty path, and routes the mount
# prefix alone, without a slash, as no path at all.
OF_QUART_ITSELF = {
    "a query alone in the raw target is refused, on public paths too",
    "the mount prefix alone is /",
}


def served(ask: Ask) -> dict[str, Any]:
    """The scope of *ask*, with what Quart wants to know besides."""
    return {"http_version": "1.1", "asgi": {"spec_version": "2.4"}, **scope_of(ask)}


async def send_through(app: Any, scope: dict[str, Any], answer: Answer, body: bytes = b"") -> None:
    """Let *app* serve one connection, and write down what it sends."""
    sent: asyncio.Queue[Any] = asyncio.Queue()
    first = "websocket.connect" if scope["type"] == "websocket" else "http.request"
    incoming = [{"type": first, "body": body, "more_body": False}]

    async def receive() -> Any:
        return incoming.pop() if incoming else await sent.get()

    async def send(message: Any) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            answer.status, answer.body = 200, APP_BODY
            answer.subprotocol = message.get("subprotocol")
        elif kind == "websocket.close":
            answer.status = answer.status or message["code"]
        elif kind.endswith(".start"):
            answer.status = message["status"]
        elif kind.endswith(".body"):
            answer.body += message["body"]
        if "headers" in message:
            pairs = message["headers"]
            answer.headers = [(n.decode(), v.decode("latin-1")) for n, v in pairs]

    await app(scope, receive, send)


def quart_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through `jwtguard.quart.JWTGuard`."""
    answer = Answer(0)

    def look(connection: Any) -> None:
        pairs = [(k, v.encode("latin-1").decode("utf-8", "replace")) for k, v in connection.headers]
        raw = [
            (k.decode("latin-1"), v.decode("utf-8", "replace"))
            for k, v in connection.scope["headers"]
        ]
        assert _gathered(pairs) == _gathered(raw) | {"remote-addr": ["127.0.0.1"]}
        assert connection.scope["query_string"] == connection.query_string
        is_websocket = connection.scope["type"] == "websocket"
        answer.seen = Seen(
            connection.path,
            connection.query_string.decode("latin-1"),
            _gathered(pairs),
            current_token._get_current_object(),
            dict(current_claims),
            _variables(connection.scope),
            connection.requested_subprotocols if is_websocket else [],
        )

    async def view(**arguments: Any) -> quart.Response:
        look(quart.request)
        return quart.Response(APP_BODY, headers=dict(APP_HEADERS))

    async def websocket_view(**arguments: Any) -> None:
        look(quart.websocket)
        await quart.websocket.accept(dict(APP_HEADERS))

    app = quart.Quart(__name__, static_folder=None)
    app.secret_key = "sessions read cookies before anybody else does"
    app.testing = True
    for pattern in ("/", "/<path:path>"):
        for endpoint, websocket in (("any", False), ("websocket", True)):
            app.url_map.add(
                QuartRule(pattern, endpoint=endpoint, strict_slashes=False, websocket=websocket)
            )
    app.view_functions |= {"any": view, "websocket": websocket_view}
    JWTGuard(app, guard, fetch=waiting(fetch) if fetch else None)
    asyncio.run(send_through(app, served(ask), answer, ask.body))
    if ask.method == "HEAD" and answer.seen:
        answer.body = APP_BODY
    return answer
