"""At home in Quart: `jwtguard.flask` on its async side, for requests and for WebSockets.

jwt = JWTGuard()
jwt.init_app(app, guard)

@app.websocket("/feed")
@requires(scopes="feed:read")
async def feed():
    await websocket.send(f"for {current_token.subject}")

`requires` and `current_token` work behind `jwtguard.asgi.GuardMiddleware` too.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Unpack, cast
from weakref import WeakSet

import quart
from werkzeug.datastructures import Headers
from werkzeug.local import LocalProxy

from . import asgi, drive
from .asgi import ScopeRequest
from .config import Target
from .core.claims import Claims
from .core.errors import ConfigurationError
from .core.model import Allow, Deny
from .core.requirement import Requirement, RequirementWords
from .core.token import VerifiedToken
from .flask.extension import (
    JUDGED,
    Extension,
    guard_of,
    is_automatic,
    public,
    put_first,
    refuse_class,
)
from .guard import Guard
from .lifetime import Watch
from .requires import View, judge, mark, published_token, requirement_from
from .transport import for_loops

if TYPE_CHECKING:
    from flask.sansio.blueprints import Blueprint
    from quart.wrappers import BaseRequestWebsocket
    from quart.wrappers.response import ResponseBody

    from .transport import Client

__all__ = ["JWTGuard", "current_claims", "current_token", "public", "requires"]


class JWTGuard:
    """Judges every request and WebSocket handshake of a Quart app, before anything of the app's.

    As `jwtguard.flask.JWTGuard`. A handshake is refused before it is accepted. WebSockets and
    server-sent events end *expiry_grace* seconds after their token does; with None they go on for
    as long as they like.
    """

    def __init__(
        self,
        app: quart.Quart | None = None,
        guard: Target | None = None,
        *,
        client: "Client | None" = None,
        fetch: drive.FetchAsync | None = None,
        expiry_grace: float | None = 0.0,
    ) -> None:
        self._protected: WeakSet[Blueprint] = WeakSet()
        if app is not None:
            self.init_app(app, guard, client=client, fetch=fetch, expiry_grace=expiry_grace)
        elif (guard, client, fetch) != (None, None, None):
            raise ConfigurationError("without an app there is nothing to guard: JWTGuard(app, …)")

    def init_app(
        self,
        app: quart.Quart,
        guard: Target | None = None,
        *,
        client: "Client | None" = None,
        fetch: drive.FetchAsync | None = None,
        expiry_grace: float | None = 0.0,
    ) -> None:
        """Put *guard* in front of *app*: a Guard, a file, a mapping, or ``module:guard``.

        None: ``app.config["JWTGUARD"]``, else what the environment variable ``JWTGUARD_CONFIG``
        names. *client*, *fetch* and *expiry_grace* as for `jwtguard.asgi.GuardMiddleware`.

        Raises `errors.ConfigurationError`, also where there is no guard to be found.
        """
        if not isinstance(app, quart.Quart):
            raise ConfigurationError(
                f"init_app takes a Quart app; found {type(app).__name__} (Flask: jwtguard.flask)"
            )
        found = guard_of(app, guard)
        exchanges = for_loops(found, client, fetch)
        watch = None if expiry_grace is None else Watch(found, exchanges, expiry_grace)
        door = _Door(app, found, self._protected, exchanges, watch)
        door.enter(app.before_request, app.before_request_funcs, door.judge)
        door.enter(app.after_request, app.after_request_funcs, door.complete)
        door.enter(app.before_websocket, app.before_websocket_funcs, door.judge)
        door.enter(app.after_websocket, app.after_websocket_funcs, door.complete)
        app.teardown_websocket(door.forget)

    def protect(
        self,
        blueprint: quart.Blueprint,
        requirement: Requirement | None = None,
        /,
        **words: Unpack[RequirementWords],
    ) -> None:
        """Every view of *blueprint*, and of those registered on it, wants a `Requirement`.

        As `jwtguard.flask.JWTGuard.protect`; WebSocket views are among them.

        Raises `errors.ConfigurationError` for words that make no sense.
        """
        wanted = requirement_from(requirement, words)
        name = f"protect:{blueprint.name}"

        async def refuse() -> quart.Response | None:
            return None if is_automatic(_connection()) else await _refusal(wanted, name)

        mark(refuse, wanted)
        put_first(blueprint.before_request, blueprint.before_request_funcs, refuse)
        put_first(blueprint.before_websocket, blueprint.before_websocket_funcs, refuse)
        self._protected.add(blueprint)


def _receive(connection: "BaseRequestWebsocket") -> asgi.Receive:
    """The body, which Quart has begun to receive itself."""

    async def receive() -> asgi.Message:
        body = await cast(quart.Request, connection).get_data()
        return {"type": "http.request", "body": body}

    return receive


def _connection() -> "BaseRequestWebsocket":
    """The request, or the WebSocket, that is handled."""
    proxy: Any = quart.websocket if quart.has_websocket_context() else quart.request
    found: BaseRequestWebsocket = proxy._get_current_object()
    return found


# --- judging --------------------------------------------------------------------------------------


class _Door(Extension):
    def __init__(
        self,
        app: quart.Quart,
        guard: Guard,
        protected: "WeakSet[Blueprint]",
        exchanges: drive.OnLoops,
        watch: Watch | None,
    ) -> None:
        super().__init__(app, guard, protected)
        self._exchanges = exchanges
        self._watch = watch

    async def judge(self) -> quart.Response | None:
        """The refusal of this request or handshake, or None."""
        if not self.is_checked:
            self.check_routes()
        connection, guard = _connection(), self.guard
        scope = cast(asgi.Scope, connection.scope)
        is_http = scope["type"] == "http"
        if is_http and connection.method != scope["method"].upper():
            raise self.changed_method(connection)
        decision: Allow | Deny | None = None
        if not asgi.is_published(scope, guard):
            if is_automatic(connection):
                decision = self.let_through(ScopeRequest(scope))
            if decision is None:
                routed = _routed(connection, scope)
                is_public = partial(self.is_open, connection)
                found = asgi.decide(routed, guard, is_public, receive=_receive(connection))
                if isinstance(found, (Allow, Deny)):
                    decision = found
                else:
                    decision = await drive.arun(found, *self._exchanges)
        setattr(connection, JUDGED, getattr(decision, "added", ()))
        if isinstance(decision, Deny):
            return await _response(decision)
        if decision is not None:
            self._publish(connection, scope, decision)
            if decision.token is not None and self._watch is not None:
                if is_http:
                    vars(connection)[_ENDS_WITH] = decision.token
                else:
                    ending = _end(cast(quart.Websocket, connection), self._watch, decision.token)
                    vars(connection)[_ENDING] = asyncio.create_task(ending)
        return None

    def _publish(self, connection: "BaseRequestWebsocket", given: asgi.Scope, allow: Allow) -> None:
        scope = asgi.published(given, allow, self.guard)
        connection.scope = cast(Any, scope)
        if allow.remove:
            headers = connection.headers
            for name in [k for k, _ in headers if k.lower().replace("_", "-") in allow.remove]:
                headers.remove(name)  # in every spelling; the next of them finds nothing
            for name, value in allow.set:
                headers.add(name.title(), _latin1(value))
        if allow.subprotocol is not None:
            _choose(cast(quart.Websocket, connection), scope["subprotocols"], allow.subprotocol)
        if allow.remove or allow.query is not None:
            self.read_again(connection, allow)

    async def complete(self, response: Any) -> Any:
        """The response as the guard wants it to be; the last ``after_request`` function."""
        connection = _connection()
        if not hasattr(connection, JUDGED):
            self.check_entered()
            # An error came up before it was anybody's turn, as in a URL value preprocessor.
            response = await self.judge() or response
        if response is not None:  # of a WebSocket that was accepted there is none
            self.add_headers(response, getattr(connection, JUDGED))
        token = vars(connection).get(_ENDS_WITH)
        if token is not None and isinstance(response, quart.Response):
            assert self._watch is not None
            if response.mimetype == "text/event-stream":
                body = _until_end(response.response, self._watch, token)
                response.response = cast("ResponseBody", body)
        return response

    async def forget(self, error: BaseException | None) -> None:
        """The WebSocket is over."""
        ending = vars(_connection()).pop(_ENDING, None)
        if ending is not None:
            ending.cancel()


# Attributes of a connection.
_ENDING = "_jwtguard_ending"  # the task that closes a WebSocket
_ENDS_WITH = "_jwtguard_ends_with"  # the token that an answer with events ends with


def _routed(connection: "BaseRequestWebsocket", scope: asgi.Scope) -> asgi.Scope:
    """*scope* with the path that Quart routes: outside its mount that is none of the client's."""
    if scope.get("root_path") and ScopeRequest(scope).path not in ("", connection.path):
        return {**scope, "path": connection.path, "root_path": ""}
    return scope


def _latin1(text: str) -> str:
    """UTF-8 bytes as Quart shows all header bytes."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _choose(websocket: quart.Websocket, offered: list[str], marker: str) -> None:
    """Offer the app what is left; *marker* is chosen where it accepts without a choice."""
    websocket.requested_subprotocols[:] = offered
    accept = websocket.accept

    async def choose(
        headers: dict[str, str] | Headers | None = None, subprotocol: str | None = None
    ) -> None:
        await accept(headers, subprotocol or marker)

    websocket.accept = choose  # type: ignore[method-assign]


async def _end(websocket: quart.Websocket, watch: Watch, token: VerifiedToken) -> None:
    await watch.end_of(token)
    # RFC 6455 section 7.4.1: 1008, policy violation. The server then tells the app.
    with suppress(RuntimeError):  # closed by the app itself
        await websocket.close(1008, "the token has ended")


@asynccontextmanager
async def _until_end(
    body: "ResponseBody", watch: Watch, token: VerifiedToken
) -> AsyncIterator[AsyncIterable[Any]]:
    """*body*, cancelled as where the client leaves; the end of the answer is then sent as ever."""
    over = asyncio.timeout(None)

    async def end() -> None:
        await watch.end_of(token)
        over.reschedule(asyncio.get_running_loop().time())

    try:
        async with over:
            ending = asyncio.create_task(end())
            try:
                async with body as events, aclosing(_before(over, events)) as kept:
                    yield kept
            finally:
                ending.cancel()
    except TimeoutError:
        if not over.expired():  # it is the app's own
            raise


async def _before(over: asyncio.Timeout, events: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    """What comes before the end, also from an app that goes on when it is cancelled."""
    async for event in events:
        if over.expired():
            return
        yield event


async def _response(deny: Deny) -> quart.Response:
    connection = _connection()
    if isinstance(connection, quart.Websocket):
        scope = cast(asgi.Scope, connection.scope)
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await connection.close(1008)  # before it is accepted; servers make a 403 of it
    response = quart.Response(deny.body, deny.status)
    response.headers = Headers(list(deny.headers))  # just these
    return response


async def _refusal(wanted: Requirement, view: str) -> quart.Response | None:
    connection = _connection()
    scope = cast(asgi.Scope, connection.scope)
    deny = judge(wanted, scope, lambda: ScopeRequest(scope), connection.view_args or {}, view)
    return None if deny is None else await _response(deny)


def requires(
    requirement: Requirement | None = None, /, **words: Unpack[RequirementWords]
) -> Callable[[View], View]:
    """A view, also of a WebSocket, wants a valid token that meets a `Requirement`.

    As `jwtguard.flask.requires`; it stands below the route.

    Raises `errors.ConfigurationError` for words that make no sense, when the view is defined, and
    where no guard saw the request.
    """
    wanted = requirement_from(requirement, words)

    def decorate(view: View) -> View:
        name = getattr(refuse_class(view), "__qualname__", repr(view))
        is_async = inspect.iscoroutinefunction(view)

        @wraps(view)
        async def required(*args: Any, **kwargs: Any) -> Any:
            refusal = await _refusal(wanted, name)
            if refusal is not None:
                return refusal
            on_loop = view if is_async else quart.current_app.ensure_async(view)
            return await cast(Any, on_loop)(*args, **kwargs)

        return mark(cast(View, required), wanted, view)

    return decorate


def _token() -> VerifiedToken | None:
    return published_token(cast(asgi.Scope, _connection().scope))


def _claims() -> Claims:
    token = _token()
    return {} if token is None else token.claims


current_token = cast(VerifiedToken, LocalProxy(_token))
"""The `VerifiedToken` of the request; false in an ``if`` where nobody was authenticated."""

current_claims = cast(Claims, LocalProxy(_claims))
"""Its claims, ``{}`` where nobody was authenticated. ``dict(current_claims)`` is a plain dict."""
