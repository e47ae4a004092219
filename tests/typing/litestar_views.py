# pyright: strict
"""A Litestar app."""

from typing import Any

from litestar import Controller, Litestar, Request, WebSocket, get, websocket
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig

from jwtguard import Guard, Requirement, VerifiedToken
from jwtguard.litestar import Refused, install, openapi_components, openapi_security, requires


@get("/reports", guards=[requires(scopes="reports:read")])
async def reports(request: Request[VerifiedToken, VerifiedToken, State]) -> str:
    return request.auth.subject or ""


class Users(Controller):
    path = "/users"
    guards = [requires(Requirement(any_role=["admin"]))]  # noqa: RUF012 - as Litestar wants it

    @get()
    async def users(self) -> list[str]:
        return []


@websocket("/live", guards=[requires(roles=["a"], check=lambda token, request: True)])
async def live(socket: WebSocket[VerifiedToken, VerifiedToken, State]) -> None:
    await socket.accept()


def status(_: Request[Any, Any, Any], refused: Refused) -> int:
    return refused.status_code


def create_app(guard: Guard) -> Litestar:
    app = Litestar(
        [reports, Users, live],
        openapi_config=OpenAPIConfig(
            title="Reports",
            version="1",
            components=openapi_components(guard),
            security=openapi_security(guard, "reports:read"),
        ),
    )
    install(app, guard, expiry_grace=30)
    return app
