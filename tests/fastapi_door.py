"""The contract table's way through the doors of Starlette, FastAPI and Litestar."""

import asyncio
import re
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from litestar import Litestar, asgi
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import jwtguard.fastapi
import jwtguard.litestar
import jwtguard.starlette
from jwtguard import Guard

from .doors import (
    APP_BODY,
    APP_HEADERS,
    Answer,
    Ask,
    Door,
    FetchSync,
    Seen,
    _gathered,
    _variables,
    scope_of,
    waiting,
)


def seen_by(scope: Any) -> Seen:
    """What an app that reads *scope* was given."""
    raw = [
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, value in scope["headers"]
    ]
    return Seen(
        scope["path"].removeprefix(scope["root_path"]),
        scope["query_string"].decode("latin-1"),
        _gathered(raw),
        scope["jwtguard.token"],
        scope["jwtguard.claims"],
        _variables(scope),
        list(scope.get("subprotocols", ())),
    )


def through(app: Any, ask: Ask, answer: Answer) -> Answer:
    """Send *ask* to an ASGI app, as uvicorn would."""

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
            answer.body += message.get("body", b"")
            return
        answer.headers = [(n.decode(), v.decode("latin-1")) for n, v in message["headers"]]

    scope = {**scope_of(ask), "asgi": {"version": "3.0"}, "http_version": "1.1"}
    asyncio.run(app(scope, receive, send))
    if answer.status == 307 and answer.header("Location") == f"{ask.mount}/" != ask.target:
        # Starlette sends who asks for the mount prefix alone to the slash behind it.
        return through(app, replace(ask, target=f"{ask.mount}/"), answer)
    return answer


def _views(answer: Answer) -> tuple[Any, Any]:
    """An http and a WebSocket endpoint for `answer`."""

    def note(connection: HTTPConnection) -> None:
        token = connection.scope["jwtguard.token"]
        assert connection.user.is_authenticated == (token is not None)
        assert set(connection.auth.scopes) == (
            set() if token is None else {"authenticated", *token.scopes}
        )
        answer.seen = seen_by(connection.scope)

    async def http(request: Request) -> Response:
        note(request)
        response = Response(APP_BODY)
        response.raw_headers = [(n.lower().encode(), v.encode()) for n, v in APP_HEADERS]
        return response

    async def websocket(websocket: WebSocket) -> None:
        note(websocket)
        headers = [(n.lower().encode(), v.encode()) for n, v in APP_HEADERS]
        await websocket.accept(headers=headers)

    return http, websocket


def starlette_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through `jwtguard.starlette.install`."""
    answer = Answer(0)
    http, websocket = _views(answer)
    route = Route("/{path:path}", http)
    route.methods = {ask.method}
    app = Starlette(routes=[route, WebSocketRoute("/{path:path}", websocket)])
    jwtguard.starlette.install(app, guard, fetch=waiting(fetch) if fetch else None)
    return through(app, ask, answer)


def fastapi_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through `jwtguard.fastapi.install`."""
    answer = Answer(0)
    http, websocket = _views(answer)
    app = FastAPI(openapi_url=None)
    app.add_api_route("/{path:path}", http, response_model=None)
    app.routes[-1].methods = {ask.method}
    app.add_api_websocket_route("/{path:path}", websocket)
    jwtguard.fastapi.install(app, guard, fetch=waiting(fetch) if fetch else None)
    return through(app, ask, answer)


def litestar_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through `jwtguard.litestar.install`."""
    answer = Answer(0)

    @asgi("/", is_mount=True, copy_scope=True)
    async def everything(scope: Any, receive: Any, send: Any) -> None:
        assert scope["user"] is scope["auth"] is scope["jwtguard.token"]
        answer.seen = seen_by({**scope, "path": scope["jwtguard.path"]})
        # Litestar itself merges slashes before it routes, and adds one at the end.
        assert scope["path"].strip("/") == re.sub("/+", "/", answer.seen.path).strip("/")
        headers = [(n.lower().encode(), v.encode()) for n, v in APP_HEADERS]
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept", "headers": headers})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": APP_BODY})

    # Its logging would take the place of the handlers that listen here.
    app = Litestar([everything], openapi_config=None, logging_config=None)
    jwtguard.litestar.install(app, guard, fetch=waiting(fetch) if fetch else None)
    return through(app, ask, answer)


FASTAPI_DOORS: dict[str, Door] = {
    "starlette": starlette_door,
    "fastapi": fastapi_door,
    "litestar": litestar_door,
}
