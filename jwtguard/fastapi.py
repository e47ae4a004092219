"""For FastAPI apps: the guard in front, and dependencies that say what an endpoint wants.

install(app, guard)
reader = Security(Protected(guard), scopes=["reports:read"])

@app.get("/reports")
async def reports(token: Annotated[VerifiedToken, reader]): ...
"""

from collections.abc import Sequence
from functools import cached_property
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Literal, Unpack

import fastapi.security
from fastapi import FastAPI, HTTPException, Security, WebSocketException
from fastapi.exception_handlers import http_exception_handler
from fastapi.openapi import models
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase
from starlette.exceptions import HTTPException as AnyHTTPException

from . import asgi, drive, starlette
from .asgi import Scope
from .core.errors import ConfigurationError
from .core.model import Allow, Deny
from .core.requirement import REQUIREMENT_WORDS, Requirement, RequirementWords
from .core.token import VerifiedToken
from .guard import Guard
from .openapi import BEARER, Scheme, security_schemes
from .requires import judge, requirement_from
from .starlette import Refusal, can_send_refusals, outermost, request_of
from .transport import for_loops

if TYPE_CHECKING:
    from .transport import Client

__all__ = ["Protected", "Refused", "docs_paths", "install"]


class Refused(HTTPException):
    """What a `Protected` dependency raises: the guard's refusal, ``deny``, as an exception.

    It is answered exactly as the guard itself would, unless the app has a handler of its own for
    ``HTTPException`` (and no `install`), or for the status: those see ``status_code``, ``headers``
    and ``detail``.
    """

    def __init__(self, deny: Deny) -> None:
        # Those two are of the guard's body; a handler of the user's writes another one.
        kept = {
            n: v for n, v in deny.headers if n.lower() not in ("content-length", "content-type")
        }
        detail = None if deny.error is None else deny.error.description
        super().__init__(deny.status, detail, kept)
        self.deny = deny


async def _answer(_: object, refused: Exception) -> Refusal:
    assert isinstance(refused, Refused)
    return Refusal(refused.deny)


def install(
    app: FastAPI,
    guard: Guard,
    *,
    client: "Client | None" = None,
    fetch: drive.FetchAsync | None = None,
    expiry_grace: float | None = 0.0,
) -> None:
    """`jwtguard.starlette.install`, and one shape for all refusals.

    Those of `Protected` dependencies are answered as the guard's own, also where the app handles
    ``HTTPException`` in its own way; for another body give the guard an ``error_body``.
    """
    starlette.install(app, guard, client=client, fetch=fetch, expiry_grace=expiry_grace)
    app.add_exception_handler(Refused, _answer)


def docs_paths(app: FastAPI) -> list[str]:
    """The paths of the app's own documentation, for ``Rule(docs_paths(app), access="public")``."""
    if not app.openapi_url:
        return []
    redirect = app.swagger_ui_oauth2_redirect_url if app.docs_url else None
    return [path for path in (app.openapi_url, app.docs_url, redirect, app.redoc_url) if path]


_IN_SIGHT = (
    "a Protected dependency alone cannot take the token out of what the endpoint sees, as a query "
    "or subprotocol credential has to be: put the guard in front with install(app, guard)"
)


class _Told(SecurityBase):
    """One more way to bring a token, for OpenAPI alone."""

    def __init__(self, name: str, scheme: Scheme) -> None:
        self.scheme_name = name
        self.model = _model(scheme)

    async def __call__(self) -> None:
        return None


def _model(scheme: Scheme) -> models.SecurityBase:
    kinds: dict[str, type[models.SecurityBase]] = {
        "http": models.HTTPBearer,
        "apiKey": models.APIKey,
        "openIdConnect": models.OpenIdConnect,
    }
    return kinds[scheme["type"]].model_validate(scheme)


class Protected(SecurityBase):
    """A dependency: a valid token that meets a `Requirement`, one object or its words.

    ``Annotated[VerifiedToken, Security(Protected(guard), scopes=["a"])]``, on http and WebSocket
    routes. Behind the guard's middleware it takes the token that was verified there. Without, it
    reads the credentials and trusts the issuers of the first rule that matches, whose requirement
    counts too; a rule that is public does not open it. ``.optional`` is the same for
    ``VerifiedToken | None``.

    Raises `Refused` (on WebSockets, where the server cannot send a response instead of accepting,
    ``WebSocketException``), and `errors.ConfigurationError` when it is made.
    """

    def __init__(
        self,
        guard: Guard,
        requirement: Requirement | None = None,
        *,
        client: "Client | None" = None,
        fetch: drive.FetchAsync | None = None,
        **words: Unpack[RequirementWords],
    ) -> None:
        if not isinstance(guard, Guard):
            raise ConfigurationError(
                f"Protected(guard) takes a Guard; found {type(guard).__name__}"
            )
        self.guard = guard
        self.requirement = requirement_from(requirement, words)
        self._wanted: dict[tuple[str, ...], Requirement] = {(): self.requirement}
        self._exchanges = for_loops(guard, client, fetch)
        self._tell()

    def _tell(self) -> None:
        """OpenAPI gets one scheme of each dependency, so the others are dependencies of this."""
        schemes = security_schemes(self.guard) or {"bearer": BEARER}
        first, *others = (_Told(*one) for one in schemes.items())
        self.scheme_name, self.model = first.scheme_name, first.model
        keyword = Parameter.KEYWORD_ONLY
        self.__signature__ = Signature(
            [
                Parameter("connection", keyword, annotation=HTTPConnection),
                Parameter("scopes", keyword, annotation=fastapi.security.SecurityScopes),
                *(Parameter(f"_{i}", keyword, default=Security(o)) for i, o in enumerate(others)),
            ]
        )

    async def __call__(
        self, connection: HTTPConnection, scopes: fastapi.security.SecurityScopes, **_: None
    ) -> VerifiedToken:
        token = await self.token(connection, scopes.scopes, "protected")
        assert token is not None
        return token

    @cached_property
    def optional(self) -> "_Optional":
        """No credentials are nobody, None; bad ones are refused, as by an ``optional`` rule."""
        return _Optional(self)

    async def token(
        self,
        connection: HTTPConnection,
        scopes: Sequence[str],
        access: Literal["protected", "optional"],
    ) -> VerifiedToken | None:
        """The token of a connection that may pass; None only for an "optional" *access*."""
        scope = connection.scope
        was_judged = scope.get("jwtguard.guard") is self.guard
        token: VerifiedToken | None = scope["jwtguard.token"] if was_judged else None
        if token is None:
            decision = asgi.decide(outermost(scope), self.guard, access=access, again=was_judged)
            if not isinstance(decision, (Allow, Deny)):
                decision = await drive.arun(decision, *self._exchanges)
            if isinstance(decision, Deny):
                raise _refused(scope, decision)
            if decision.reported is not None and access == "protected":
                # Report-only is for rules; what an endpoint wants itself is enforced.
                name = f"requires:{_name(scope)}"
                raise _refused(
                    scope, self.guard.refusal(decision.reported, request_of(scope), name)
                )
            if decision.query is not None or decision.subprotocol is not None:
                raise ConfigurationError(_IN_SIGHT)
            token = decision.token
            if "jwtguard.guard" not in scope:  # for the other dependencies of this endpoint
                scope["jwtguard.guard"], scope["jwtguard.token"] = self.guard, token
                scope["jwtguard.claims"] = {} if token is None else token.claims
            if token is None and access == "optional":
                return None
        wanted = self._requirement(tuple(scopes))
        if token is None or wanted:
            published = {"jwtguard.token": token, "jwtguard.guard": self.guard}
            arguments = scope.get("path_params", {})
            deny = judge(wanted, published, lambda: request_of(scope), arguments, _name(scope))
            if deny is not None:
                raise _refused(scope, deny)
        return token

    def _requirement(self, scopes: tuple[str, ...]) -> Requirement:
        """The own one, with the scopes that ``Security`` gave to an endpoint."""
        wanted = self._wanted.get(scopes)
        if wanted is None:
            words = {word: getattr(self.requirement, word) for word in REQUIREMENT_WORDS}
            words["scopes"] = list(dict.fromkeys((*self.requirement.scopes, *scopes)))
            wanted = self._wanted[scopes] = requirement_from(None, words)
        return wanted


class _Optional(SecurityBase):
    """`Protected.optional`."""

    def __init__(self, protected: Protected) -> None:
        self._protected = protected
        self.scheme_name, self.model = protected.scheme_name, protected.model
        self.__signature__ = protected.__signature__

    async def __call__(
        self, connection: HTTPConnection, scopes: fastapi.security.SecurityScopes, **_: None
    ) -> VerifiedToken | None:
        return await self._protected.token(connection, scopes.scopes, "optional")


def _name(scope: Scope) -> str:
    """The endpoint's, for the log."""
    name: str = getattr(scope.get("endpoint"), "__qualname__", "Protected")
    return name


def _refused(scope: Scope, deny: Deny) -> Exception:
    if scope["type"] == "websocket" and not can_send_refusals(scope):
        return WebSocketException(1008)  # RFC 6455 section 7.4.1: policy violation
    handlers, _ = scope.get("starlette.exception_handlers", ({}, {}))
    # Where FastAPI's own handler would write its body, the guard's is written; see `Refused`.
    if HTTPException not in handlers and handlers.get(AnyHTTPException) is http_exception_handler:
        handlers.setdefault(Refused, _answer)
    return Refused(deny)
