"""Litestar beside its own JWTAuth."""

from typing import Any

from litestar import Litestar, get
from litestar.exceptions import PermissionDeniedException
from litestar.security.jwt import JWTAuth, Token

from benchmarks.frameworks import Beyond, Form
from benchmarks.traffic import AUDIENCE, ISSUER, NEEDED_SCOPE, Signer, asgi_caller, asgi_request
from jwtguard import Guard
from jwtguard.litestar import install, requires

FORMS = [
    Form("install", Beyond("guard", "bare"), {"JWTAuth": Beyond("peer", "bare")}),
    Form(
        "requires, guarded",
        Beyond("guard requires", "guard empty"),
        {"JWTAuth": Beyond("peer scope", "empty")},
    ),
]
request, caller = asgi_request, asgi_caller


def apps(signer: Signer) -> dict[str, Litestar]:
    guard = signer.guard()
    needs = requires(scopes=NEEDED_SCOPE)
    auth = JWTAuth[Any](
        token_secret=signer.written_key,  # type: ignore[arg-type]
        retrieve_user_handler=_user,
        algorithm=signer.algorithm,
        accepted_audiences=[AUDIENCE],
        accepted_issuers=[ISSUER],
    )
    return {
        "bare": _app(),
        "empty": _app(_empty),
        "guard": _app(guard=guard),
        "guard empty": _app(_empty, guard),
        "guard requires": _app(needs, guard),
        "peer": _app(auth=auth),
        "peer scope": _app(_peer_scope, auth=auth),
    }


def _app(judge: Any = None, guard: Guard | None = None, auth: Any = None) -> Litestar:
    @get("/reports/2026/{number:str}", guards=None if judge is None else [judge])
    async def view() -> str:
        return "{}"

    app = Litestar(
        [view],
        openapi_config=None,
        logging_config=None,
        on_app_init=None if auth is None else [auth.on_app_init],
    )
    if guard is not None:
        install(app, guard)
    return app


async def _empty(connection: Any, handler: Any) -> None:
    pass


async def _user(token: Token, connection: Any) -> str:
    return token.sub


async def _peer_scope(connection: Any, handler: Any) -> None:
    if NEEDED_SCOPE not in connection.auth.extras["scope"].split():
        raise PermissionDeniedException
