"""Quart beside PyJWT by hand; from Quart's request on, as what is before it makes tasks."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import quart

from benchmarks.frameworks import Beyond, Form
from benchmarks.peer import Checker, Refused
from benchmarks.traffic import NEEDED_SCOPE, Signer, asgi_caller, asgi_request
from jwtguard import Guard
from jwtguard.quart import JWTGuard, requires

FORMS = [
    Form(
        "JWTGuard",
        Beyond("guard", "bare"),
        {"PyJWT": Beyond("peer", "bare")},
    ),
    Form(
        "@requires, guarded",
        Beyond("guard @requires", "guard @empty"),
        {"PyJWT": Beyond("@peer", "@empty")},
    ),
]
request = asgi_request


def caller(app: quart.Quart) -> Callable[[dict[str, Any]], None]:
    async def handle(scope: Any, receive: Any, send: Any) -> None:
        made = app.asgi_http_class(app, scope)._create_request_from_scope(send)
        response: Any = await app.handle_request(made)
        await send({"type": "http.response.start", "status": response.status_code})

    return asgi_caller(handle)


def apps(signer: Signer) -> dict[str, quart.Quart]:
    guard = signer.guard()
    checker = Checker(signer)
    needs = requires(scopes=NEEDED_SCOPE)

    async def judge() -> tuple[str, int] | None:
        try:
            quart.g.claims = checker.bearer(quart.request.headers.get("Authorization"))
        except Refused:
            return "refused", 401
        return None

    def by_hand(view: Any) -> Any:
        @wraps(view)
        async def decorated(*args: Any, **kwargs: Any) -> Any:
            return await judge() or await view(*args, **kwargs)

        return decorated

    peer = _app()
    peer.before_request(judge)
    return {
        "bare": _app(),
        "@empty": _app(_empty),
        "guard": _app(guard=guard),
        "guard @empty": _app(_empty, guard=guard),
        "guard @requires": _app(needs, guard=guard),
        "peer": peer,
        "@peer": _app(by_hand),
    }


def _app(decorate: Callable[[Any], Any] | None = None, guard: Guard | None = None) -> quart.Quart:
    app = quart.Quart("benchmark")

    async def view(number: str) -> quart.Response:
        return quart.Response(b"{}")

    app.get("/reports/2026/<number>")(view if decorate is None else decorate(view))
    if guard is not None:
        JWTGuard(app, guard)
    return app


def _empty(view: Any) -> Any:
    @wraps(view)
    async def decorated(*args: Any, **kwargs: Any) -> Any:
        return await view(*args, **kwargs)

    return decorated
