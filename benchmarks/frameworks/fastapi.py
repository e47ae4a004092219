"""FastAPI beside the dependency of its tutorial, and Starlette's AuthenticationMiddleware."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Response, Security
from fastapi.security import OAuth2PasswordBearer
from starlette.middleware import Middleware

from benchmarks.frameworks import Beyond, Form
from benchmarks.frameworks.starlette import MIDDLEWARE, authentication
from benchmarks.peer import Checker, Refused
from benchmarks.traffic import NEEDED_SCOPE, Signer, asgi_caller, asgi_request
from jwtguard import Guard
from jwtguard.fastapi import Protected, install

TUTORIAL = {"PyJWT": Beyond("tutorial", "empty")}
FORMS = [
    Form(
        "install",
        Beyond("guard", "bare"),
        {MIDDLEWARE: Beyond("peer", "bare")},
    ),
    Form("Protected", Beyond("Protected", "empty"), TUTORIAL),
    Form("Protected, guarded", Beyond("guard Protected", "guard empty"), TUTORIAL),
]
request, caller = asgi_request, asgi_caller


def apps(signer: Signer) -> dict[str, FastAPI]:
    guard = signer.guard()
    checker = Checker(signer)
    empty = Depends(_nothing)
    protected = Security(Protected(guard), scopes=[NEEDED_SCOPE])
    return {
        "bare": _app(),
        "empty": _app(empty),
        "guard": _app(guard=guard),
        "guard empty": _app(empty, guard),
        "guard Protected": _app(protected, guard),
        "Protected": _app(protected),
        "peer": _app(middleware=[authentication(checker)]),
        "tutorial": _app(Depends(_tutorial(checker))),
    }


def _app(
    dependency: Any = None, guard: Guard | None = None, middleware: list[Middleware] | None = None
) -> FastAPI:
    app = FastAPI(openapi_url=None, middleware=middleware)

    if dependency is None:

        @app.get("/reports/2026/{number}")
        async def bare() -> Response:
            return Response(b"{}")
    else:

        @app.get("/reports/2026/{number}")
        async def view(found: Annotated[Any, dependency]) -> Response:
            return Response(b"{}")

    if guard is not None:
        install(app, guard)
    return app


async def _nothing() -> None:
    pass


def _tutorial(checker: Checker) -> Any:
    bearer = OAuth2PasswordBearer(tokenUrl="token")

    async def current_claims(token: Annotated[str, Depends(bearer)]) -> dict[str, Any]:
        try:
            return checker.token(token)
        except Refused:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None

    return current_claims
