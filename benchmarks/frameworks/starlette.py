"""Starlette beside its AuthenticationMiddleware on PyJWT."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationError, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.frameworks import Beyond, Form
from benchmarks.peer import Checker, Refused
from benchmarks.traffic import NEEDED_SCOPE, Signer, asgi_caller, asgi_request
from jwtguard import Guard
from jwtguard.starlette import install, requires

MIDDLEWARE = "AuthenticationMiddleware"
FORMS = [
    Form(
        "install",
        Beyond("guard", "bare"),
        {MIDDLEWARE: Beyond("peer", "bare")},
    ),
    Form(
        "@requires, guarded",
        Beyond("guard @requires", "guard @empty"),
        {"PyJWT": Beyond("@peer", "@empty")},
    ),
]
request, caller = asgi_request, asgi_caller


class Backend:
    """What AuthenticationMiddleware asks."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        try:
            claims = self.checker.bearer(conn.headers.get("authorization"))
        except Refused:
            raise AuthenticationError("refused") from None
        return AuthCredentials(claims["scope"].split()), SimpleUser(claims["sub"])


def authentication(checker: Checker) -> Middleware:
    return Middleware(AuthenticationMiddleware, backend=Backend(checker))  # type: ignore[arg-type]


def apps(signer: Signer) -> dict[str, Starlette]:
    guard = signer.guard()
    checker = Checker(signer)
    needs = requires(scopes=NEEDED_SCOPE)

    def by_hand(view: Any) -> Any:
        @wraps(view)
        async def decorated(request: Request) -> Any:
            try:
                request.state.claims = checker.bearer(request.headers.get("authorization"))
            except Refused:
                return Response("refused", 401)
            return await view(request)

        return decorated

    return {
        "bare": _app(),
        "@empty": _app(_empty),
        "guard": _app(guard=guard),
        "guard @empty": _app(_empty, guard=guard),
        "guard @requires": _app(needs, guard=guard),
        "peer": _app(middleware=[authentication(checker)]),
        "@peer": _app(by_hand),
    }


def _app(
    decorate: Callable[[Any], Any] | None = None,
    guard: Guard | None = None,
    middleware: list[Middleware] | None = None,
) -> Starlette:
    async def view(request: Request) -> Response:
        return Response(b"{}")

    endpoint = view if decorate is None else decorate(view)
    app = Starlette(routes=[Route("/reports/2026/{number}", endpoint)], middleware=middleware)
    if guard is not None:
        install(app, guard)
    return app


def _empty(view: Any) -> Any:
    @wraps(view)
    async def decorated(request: Request) -> Any:
        return await view(request)

    return decorated
