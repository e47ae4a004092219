"""For Litestar apps.

install(app, guard)

@get("/reports", guards=[requires(scopes="reports:read")])
async def reports(request: Request[VerifiedToken, VerifiedToken, State]) -> str:
    return f"for {request.auth.subject}"
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Unpack

from litestar import Litestar, Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, WebSocketException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme
from litestar.routes import ASGIRoute

from . import asgi, drive
from .asgi import App, Receive, Scope, ScopeRequest, Send
from .core.errors import AmbiguousTarget, ConfigurationError
from .core.model import Deny
from .core.requirement import Requirement, RequirementWords
from .guard import Guard
from .openapi import security_schemes
from .requires import judge, mark, requirement_from

if TYPE_CHECKING:
    from .transport import Client

__all__ = ["Refused", "install", "openapi_components", "openapi_security", "requires"]


def install(
    app: Litestar,
    guard: Guard,
    *,
    client: "Client | None" = None,
    fetch: drive.FetchAsync | None = None,
    expiry_grace: float | None = 0.0,
) -> None:
    """Put *guard* in front of *app*: before it routes, and inside of its CORS.

    - ``request.user`` and ``request.auth`` are the `VerifiedToken`, or None where the guard
      authenticated nobody.
    - At start-up the keys that must be fetched are fetched; an outage stops nothing.

    *client*, *fetch* and *expiry_grace* as in `jwtguard.asgi.GuardMiddleware`. Raises
    `errors.ConfigurationError` where the app has a guard.
    """
    if not isinstance(app, Litestar):
        raise ConfigurationError(
            f"install(app, guard) takes a Litestar app; found {type(app).__name__}. "
            "For any other one: jwtguard.asgi.GuardMiddleware(app, guard)"
        )
    outer: Any = app
    at = "asgi_handler"
    # Not as one of Litestar's own middleware: those run after it has routed, and cut the path.
    for inner in _chain(app.asgi_handler):
        if isinstance(inner, asgi.GuardMiddleware):
            raise ConfigurationError("the app has a guard; install one, with the rules of both")
        if getattr(inner, "config", None) is app.cors_config is not None:
            outer, at = inner, "app"
    inside = _Inside(getattr(outer, at), app)
    middleware = asgi.GuardMiddleware(
        inside, guard, client=client, fetch=fetch, expiry_grace=expiry_grace
    )
    setattr(outer, at, middleware)

    async def warm() -> None:
        await drive.arun_all(guard.warm_flows(), *middleware.exchanges)

    app.on_startup.append(warm)
    app.exception_handlers.setdefault(Refused, _answer)


def _chain(app: object) -> list[object]:
    """An app and what it wraps, from the outside."""
    found: list[object] = []
    while app is not None and app not in found:
        found.append(app)
        app = getattr(app, "app", None)
    return found


_PATH = "jwtguard.path"  # in the scope: the path that was judged; Litestar cuts it for mounted apps


class _Inside:
    """Between the guard and the app."""

    def __init__(self, inner: App, app: Litestar) -> None:
        self.app = inner
        self._litestar = app
        self._known_routes = -1
        self._mounts: list[str] = []
        self._plain: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_torn(scope):
            guard: Guard = scope["jwtguard.guard"]
            request = ScopeRequest(scope)
            error = AmbiguousTarget("ambiguous_path", found=request.path)
            deny = guard.refusal(error, request, "litestar:mount")
            if request.websocket:
                await asgi.refuse_handshake(deny, scope, receive, send)
            else:
                await asgi.respond(deny, send, "http.response")
        else:
            scope["user"] = scope["auth"] = scope["jwtguard.token"]
            scope[_PATH] = scope["path"]
            await self.app(scope, receive, send)

    def _is_torn(self, scope: Scope) -> bool:
        """Whether Litestar would take ``/filesX`` to what is mounted at ``/files``.

        It compares beginnings and not segments, and rules for ``/files/**`` do not speak of that
        path.
        """
        routes = self._litestar.routes
        if len(routes) != self._known_routes:
            self._known_routes = len(routes)
            self._mounts = [
                route.path
                for route in routes
                if isinstance(route, ASGIRoute)
                and route.route_handler.is_mount
                and route.path != "/"
            ]
            self._plain = {route.path for route in routes if not route.path_parameters}
        if not self._mounts:
            return False
        path = ScopeRequest(scope).path.rstrip("/")
        return path not in self._plain and any(
            path.startswith(mount) and not path.startswith(f"{mount}/") for mount in self._mounts
        )


# --- requires -----------------------------------------------------------------------------------


class Refused(HTTPException):
    """What `requires` raises: the guard's refusal, ``deny``, as an exception.

    It is answered exactly as the guard itself would, unless the app has a handler for it.
    """

    def __init__(self, deny: Deny) -> None:
        detail = "" if deny.error is None else deny.error.description
        # Those two are of the guard's body; a handler of the user's writes another one.
        kept = {
            n: v for n, v in deny.headers if n.lower() not in ("content-length", "content-type")
        }
        super().__init__(detail=detail, status_code=deny.status, headers=kept)
        self.deny = deny


class _Answer(Response[None]):
    """The guard's refusal as it is."""

    def __init__(self, deny: Deny) -> None:
        super().__init__(None)
        self._deny = deny

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        return self._send

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi.respond(self._deny, send, "http.response")


def _answer(_: Request[Any, Any, Any], refused: Exception) -> Response[None]:
    assert isinstance(refused, Refused)
    return _Answer(refused.deny)


def requires(
    requirement: Requirement | None = None, /, **words: Unpack[RequirementWords]
) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """A Litestar guard: handlers, controllers, routers or the app want a valid token that meets a
    `Requirement`, one object or its words.

    ``guards=[requires(scopes="reports:read")]``. Path parameters are the handler's, converted:
    ``requires(require={"sub": {"path": "user_id"}})``. On a WebSocket a refusal is a close with
    1008 before the accept.

    Raises `errors.ConfigurationError` for words that make no sense, when it is called, and where
    no guard saw the request.
    """
    wanted = requirement_from(requirement, words)
    return mark(_Required(wanted), wanted)


class _Required:
    def __init__(self, wanted: Requirement) -> None:
        self._wanted = wanted
        # Litestar asks whether this is a coroutine function, else it calls in a thread. The class's
        # own is a plain function, so that it can say at once that it is used as a decorator.
        vars(self)["__call__"] = self._judge

    def __call__(
        self,
        connection: ASGIConnection[Any, Any, Any, Any],
        handler: BaseRouteHandler | None = None,
    ) -> Awaitable[None]:
        if handler is None:
            raise ConfigurationError(
                "requires(…) is no decorator in Litestar; write @get(…, guards=[requires(…)])"
            )
        return self._judge(connection, handler)

    async def _judge(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        scope: Any = connection.scope
        deny = judge(
            self._wanted,
            scope,
            lambda: ScopeRequest({**scope, "path": scope.get(_PATH, scope["path"])}),
            connection.path_params,
            handler,
        )
        if deny is None:
            return
        if scope["type"] == "websocket":
            # RFC 6455 section 7.4.1: policy violation.
            raise WebSocketException(detail="", code=1008)
        raise Refused(deny)


# --- OpenAPI ------------------------------------------------------------------------------------


def openapi_components(guard: Guard) -> Components:
    """The ways to bring a token, for ``OpenAPIConfig(components=…)``."""
    return Components(
        security_schemes={
            name: SecurityScheme(
                type=scheme["type"],  # type: ignore[arg-type]
                scheme=scheme.get("scheme"),
                bearer_format=scheme.get("bearerFormat"),
                name=scheme.get("name"),
                security_scheme_in=scheme.get("in"),  # type: ignore[arg-type]
                open_id_connect_url=scheme.get("openIdConnectUrl"),
            )
            for name, scheme in security_schemes(guard).items()
        }
    )


def openapi_security(guard: Guard, *scopes: str) -> list[SecurityRequirement]:
    """That one of them is needed, for ``OpenAPIConfig(security=…)`` or a handler's."""
    return [{name: list(scopes)} for name in security_schemes(guard)]
