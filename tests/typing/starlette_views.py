# pyright: strict
"""A Starlette app."""

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from jwtguard import Guard, Requirement, VerifiedToken
from jwtguard.starlette import GuardMiddleware, TokenUser, install, requires


@requires(scopes="reports:read", require={"sub": {"path": "user"}})
async def reports(request: Request) -> PlainTextResponse:
    user = request.user
    assert isinstance(user, TokenUser)
    token: VerifiedToken = user.token
    return PlainTextResponse(f"{user.display_name} {user.identity} {token.subject}")


@requires(Requirement(any_role=["admin"]))
def summary(request: Request) -> PlainTextResponse:
    return PlainTextResponse("")


@requires(roles="admin")
class Users(HTTPEndpoint):
    @requires(scopes="users:read")
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("")


@requires(scopes="chat")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()


def size(endpoint: type[HTTPEndpoint]) -> int:
    return len(endpoint.__name__)


size(Users)  # what is decorated keeps its type


def create_app(guard: Guard) -> Starlette:
    app = Starlette(
        routes=[Route("/reports/{user}", reports), Route("/x", summary), Route("/users", Users)],
        middleware=[Middleware(GuardMiddleware, guard=guard)],
    )
    outer = Starlette(routes=[WebSocketRoute("/chat", chat), Mount("/", app)])
    install(outer, guard, expiry_grace=None)
    return outer
