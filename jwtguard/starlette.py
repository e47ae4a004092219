"""For Starlette apps, and what FastAPI's door shares with them.

install(app, guard)

@requires(scopes="reports:read")
async def reports(request):
    return PlainTextResponse(f"for {request.user.token.subject}")
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Unpack, cast

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from . import asgi, drive
from .asgi import App, Receive, Scope, ScopeRequest, Send
from .core.errors import ConfigurationError
from .core.model import Deny
from .core.requirement import Requirement, RequirementWords
from .core.token import VerifiedToken
from .guard import Guard
from .interface import apps_inside, expect
from .requires import View, judge, mark, refuse_open_routes, requirement_from
from .transport import check

if TYPE_CHECKING:
    from .transport import Client

__all__ = ["GuardMiddleware", "TokenUser", "install", "requires"]

log = logging.getLogger("jwtguard")


class TokenUser(BaseUser):
    """``request.user`` where somebody was authenticated: who a token speaks of.

    ``identity`` is ``issuer:sub``, or ``issuer:tenant:sub`` where the issuer has tenants, which no
    two people share; ``display_name`` the claim ``name`` (OpenID Connect Core section 5.1), else
    ``sub``.
    """

    __slots__ = ("token",)

    def __init__(self, token: VerifiedToken) -> None:
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        name = self.token.get("name")
        return name if isinstance(name, str) else self.token.subject or ""

    @property
    def identity(self) -> str:
        token = self.token
        return ":".join(filter(None, (token.issuer, token.tenant, token.subject)))

    def __repr__(self) -> str:
        return f"<TokenUser issuer={self.token.issuer!r}>"


class _Nobody(UnauthenticatedUser):
    @property
    def identity(self) -> str:
        return ""  # Starlette 1.0 raises here


_NOBODY = _Nobody()


class _Credentials(AuthCredentials):
    """``request.auth`` of a token; the list is made when somebody asks."""

    def __init__(self, token: VerifiedToken) -> None:
        self._token = token

    def __getattr__(self, name: str) -> Any:
        if name != "scopes":
            raise AttributeError(name)
        self.scopes = ["authenticated", *self._token.scopes]
        return self.scopes


class GuardMiddleware(asgi.GuardMiddleware):
    """`jwtguard.asgi.GuardMiddleware` that makes itself at home in a Starlette app.

    - ``request.user`` is a `TokenUser` or Starlette's ``UnauthenticatedUser``; ``request.auth``
      has the token's scopes, and "authenticated" where there is one, so that Starlette's own
      ``@requires`` works.
    - At start-up the keys that must be fetched are fetched; an outage stops nothing.
    - Raises `errors.ConfigurationError` at start-up, or at the first request, where a route leads
      past the ``requires`` of its endpoint.
    """

    def __init__(
        self,
        app: App,
        guard: Guard,
        *,
        client: "Client | None" = None,
        fetch: drive.FetchAsync | None = None,
        expiry_grace: float | None = 0.0,
    ) -> None:
        expect(app, guard, "asgi")
        inside = _Inside(app)
        super().__init__(inside, guard, client=client, fetch=fetch, expiry_grace=expiry_grace)
        inside.warm = lambda: drive.arun_all(guard.warm_flows(), *self.exchanges)


class _Inside:
    """Between the guard and the app."""

    warm: Callable[[], Any]

    def __init__(self, app: App) -> None:
        self.app = app
        self._is_checked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._start(scope, receive, send)
        else:
            if not self._is_checked:
                self._check(scope)
            token = scope["jwtguard.token"]
            if token is None:
                scope["user"], scope["auth"] = _NOBODY, AuthCredentials()
            else:
                scope["user"] = TokenUser(token)
                scope["auth"] = _Credentials(token)
            scope[STANDS_BELOW] = scope.get("root_path", "")
            await self.app(scope, receive, send)

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
        except ConfigurationError as error:
            # Without this message servers take it that the app knows no lifespan, and go on.
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await self.warm()
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        app = scope.get("app")
        refuse_open_routes(endpoints(self.app, app))
        in_front = _in_front(getattr(app, "user_middleware", ()))
        if in_front:
            log.info("in front of the guard: %s", " ".join(in_front))
        self._is_checked = True


STANDS_BELOW = "jwtguard.root_path"
"""Where in the scope it stands which mount prefix the guard in front judged paths below."""


def request_of(scope: Scope) -> ScopeRequest:
    """The request as the guard sees it, also from within a mounted app."""
    return ScopeRequest(outermost(scope))


def outermost(scope: Scope) -> Scope:
    """*scope* with the mount prefix of the app that the rules are written for.

    That is the one which the guard is in front of; where there is no middleware, the outermost.
    """
    own = scope.get("root_path", "")
    mount = scope.get(STANDS_BELOW, scope.get("app_root_path", own))
    return scope if mount == own else {**scope, "root_path": mount}


def endpoints(*apps: object) -> Iterator[Callable[..., Any]]:
    """What the routes of *apps* lead to, through routers, mounted apps and middleware."""
    for one in apps_inside(*apps):
        endpoint = getattr(one, "endpoint", None)
        if callable(endpoint):
            yield endpoint


def install(
    app: Starlette,
    guard: Guard,
    *,
    client: "Client | None" = None,
    fetch: drive.FetchAsync | None = None,
    expiry_grace: float | None = 0.0,
) -> None:
    """Put *guard* in front of *app*: outside of its middleware, but inside of ``CORSMiddleware``.

    So preflights are answered and refusals carry the headers that let a page read them. What
    ``add_middleware`` adds afterwards stands in front of the guard. *client*, *fetch* and
    *expiry_grace* as in `jwtguard.asgi.GuardMiddleware`.

    Raises `errors.ConfigurationError` where the app has started, or has a guard.
    """
    if not isinstance(app, Starlette):
        raise ConfigurationError(
            f"install(app, guard) takes a Starlette or FastAPI app; found {type(app).__name__}. "
            "For any other one: jwtguard.asgi.GuardMiddleware(app, guard)"
        )
    if not isinstance(guard, Guard):
        raise ConfigurationError(
            f"install(app, guard) takes a Guard; found {type(guard).__name__}. "
            "jwtguard.from_toml(path) makes one of a file"
        )
    check(client, fetch, is_async=True)
    if app.middleware_stack is not None:
        raise ConfigurationError("the app has started; call install before it serves requests")
    given = app.user_middleware
    if any(_is_a(one, asgi.GuardMiddleware) for one in given):
        raise ConfigurationError("the app has a guard; install one, with the rules of both")
    place = max((at + 1 for at, one in enumerate(given) if _is_a(one, CORSMiddleware)), default=0)
    words = {"guard": guard, "client": client, "fetch": fetch, "expiry_grace": expiry_grace}
    given.insert(place, Middleware(GuardMiddleware, **words))  # type: ignore[arg-type]


def _in_front(middleware: Sequence[Middleware]) -> list[str]:
    """The names of what sees requests before a guard among *middleware* judges them."""
    names: list[str] = []
    for one in middleware:
        if _is_a(one, asgi.GuardMiddleware):
            return names
        names.append(getattr(one.cls, "__name__", repr(one.cls)))
    return []


def _is_a(middleware: Middleware, wanted: type) -> bool:
    return isinstance(middleware.cls, type) and issubclass(middleware.cls, wanted)


# --- refusals -----------------------------------------------------------------------------------


class Refusal(Response):
    """The guard's refusal as it is, whatever header stands in it twice."""

    def __init__(self, deny: Deny) -> None:
        super().__init__(deny.body, deny.status)
        self.raw_headers = [
            (name.lower().encode(), value.encode("utf-8", "surrogateescape"))
            for name, value in deny.headers
        ]


def can_send_refusals(scope: Scope) -> bool:
    """Whether the server can send a response instead of accepting a WebSocket handshake."""
    return "websocket.http.response" in (scope.get("extensions") or {})


async def refuse_handshake(websocket: WebSocket, deny: Deny) -> None:
    """The refusal itself where the server can send one, else a close before the accept."""
    if can_send_refusals(websocket.scope):
        await websocket.send_denial_response(Refusal(deny))
    else:
        await websocket.close(1008)  # RFC 6455 section 7.4.1: policy violation


# --- requires -----------------------------------------------------------------------------------


def requires(
    requirement: Requirement | None = None, /, **words: Unpack[RequirementWords]
) -> Callable[[View], View]:
    """An endpoint wants a valid token that meets a `Requirement`: one object, or its words.

    For functions (sync, async, WebSocket) and for ``HTTPEndpoint`` and ``WebSocketEndpoint``
    classes. Path parameters are the route's: ``@requires(require={"sub": {"path": "user_id"}})``.
    A guard must stand in front. In FastAPI, `jwtguard.fastapi.Protected` tells OpenAPI too.

    Raises `errors.ConfigurationError` for words that make no sense, when the endpoint is defined,
    and where no guard saw the request.
    """
    wanted = requirement_from(requirement, words)

    def decorate(view: View) -> View:
        name = getattr(view, "__qualname__", repr(view))

        def refusal(scope: Scope) -> Deny | None:
            arguments: Mapping[str, object] = scope.get("path_params") or {}
            return judge(wanted, scope, lambda: request_of(scope), arguments, name)

        if inspect.isclass(view):
            _guard_class(view, refusal)
            return cast(View, mark(view, wanted))
        if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view):
            raise ConfigurationError(f"{name} yields its answer; use jwtguard.fastapi.Protected")

        @wraps(view)
        def required(*args: Any, **kwargs: Any) -> Any:
            deny = refusal(_connection(args, kwargs, name).scope)
            return view(*args, **kwargs) if deny is None else Refusal(deny)

        @wraps(view)
        async def required_async(*args: Any, **kwargs: Any) -> Any:
            connection = _connection(args, kwargs, name)
            deny = refusal(connection.scope)
            if deny is None:
                return await view(*args, **kwargs)
            if isinstance(connection, WebSocket):
                return await refuse_handshake(connection, deny)
            return Refusal(deny)

        chosen = required_async if inspect.iscoroutinefunction(view) else required
        return mark(cast(View, chosen), wanted, view)

    return decorate


def _guard_class(view: Any, refusal: Callable[[Scope], Deny | None]) -> None:
    """Judge before ``dispatch``, in the class itself: whatever route leads to it, or inherits."""
    dispatch = getattr(view, "dispatch", None)
    if dispatch is None:
        raise ConfigurationError(
            f"{view.__qualname__} is no HTTPEndpoint or WebSocketEndpoint; requires is for them "
            "and for functions"
        )

    @wraps(dispatch)
    async def required(self: Any) -> None:
        deny = refusal(self.scope)
        if deny is None:
            await dispatch(self)
        elif self.scope["type"] == "websocket":
            await refuse_handshake(WebSocket(self.scope, self.receive, self.send), deny)
        else:
            await Refusal(deny)(self.scope, self.receive, self.send)

    view.dispatch = required


def _connection(args: tuple[Any, ...], kwargs: dict[str, Any], view: str) -> HTTPConnection:
    for one in (*args, *kwargs.values()):
        if isinstance(one, HTTPConnection):
            return one
    raise ConfigurationError(
        f"{view} gets no request to judge; give it a parameter `request: Request`, or in FastAPI "
        "use jwtguard.fastapi.Protected"
    )
