"""The ASGI door: ``app = GuardMiddleware(app, guard)``, for http and websocket."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from . import drive, lifetime
from .core.errors import InvalidRequest, JWTGuardError
from .core.model import Allow, Decision, Deny, Flow, Pairs, Request
from .core.policy import Access
from .guard import Guard
from .interface import expect, refuse_own_prefix, wrong_door
from .transport import for_loops

if TYPE_CHECKING:
    from .transport import Client

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders = Sequence[tuple[bytes, bytes]]


class GuardMiddleware:
    """Judges every request and WebSocket handshake before *app* sees it.

    On success the scope that *app* gets, a copy, holds ``jwtguard.token`` (a `VerifiedToken`, or
    None where nobody was authenticated) and ``jwtguard.claims``.

    The HTTP exchanges that a key source asks for are made by *client*, an httpx2 client for
    jwtguard alone, or by *fetch*, ``async Fetch -> Fetched``, which raises `errors.FetchError`.
    *fetch* is called once for all requests that wait for the same. The guard's own `Guard.warm`,
    `Guard.verify` and their kin make exchanges in the same way from then on.

    WebSockets and server-sent events end *expiry_grace* seconds after their token does; with None
    they go on for as long as they like.
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
        refuse_own_prefix(app)
        self.app = app
        self.guard = guard
        self.exchanges = for_loops(guard, client, fetch)
        self._watch = (
            None if expiry_grace is None else lifetime.Watch(guard, self.exchanges, expiry_grace)
        )
        # Servers ask whether `app.__call__` is a coroutine function, and then call the class's:
        # that one is not, so that it can say at once that a WSGI server is calling.
        vars(self)["__call__"] = self._connection

    def __call__(self, scope: Scope, receive: Receive, send: Send | None = None) -> Awaitable[None]:
        """Judge one connection."""
        if send is None:
            raise wrong_door("wsgi")
        return self._connection(scope, receive, send)

    async def _connection(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            return await self.app(scope, receive, send)
        if kind not in ("http", "websocket"):
            # The ASGI specification asks for an exception where a type is not understood.
            raise JWTGuardError(f"ASGI scope of type {kind!r} cannot be judged")
        guard = self.guard
        decision = decide(scope, guard, receive=receive)
        if not isinstance(decision, Allow):
            if not isinstance(decision, Deny):
                decision = await drive.arun(decision, *self.exchanges)
            if isinstance(decision, Deny):
                if kind == "http":
                    return await respond(decision, send, "http.response")
                return await refuse_handshake(decision, scope, receive, send)
        if guard.response_headers or decision.added:
            send = _completing(send, guard.response_headers, decision.added)
        if decision.subprotocol is not None:
            send = _choosing(send, decision.subprotocol)
        seen = published(scope, decision, guard)
        if decision.token is None or self._watch is None:
            return await self.app(seen, receive, send)
        if kind == "websocket":
            return await lifetime.websocket(
                self.app, seen, receive, send, self._watch, decision.token
            )
        stream = lifetime.EventStream(self._watch, decision.token, send)
        try:
            return await self.app(seen, receive, stream.send)
        except lifetime.ConnectionEnded:
            return None  # the app has nothing more to say to anybody
        finally:
            if stream.connection is not None:
                stream.connection.forget()


def decide(
    scope: Scope,
    guard: Guard,
    is_public: Callable[[], bool] | None = None,
    access: Access | None = None,
    receive: Receive | None = None,
    again: bool = False,
) -> Decision | Flow[Decision]:
    """Allow or Deny the request of *scope*, or the flow that leads there.

    *is_public*, *access* and *again* as in `Guard.judge`. A token that met the rule before passes,
    whether it had to be there or not. *receive* brings the body where the guard itself is asked
    for something.
    """
    if scope["type"] == "http":
        path, raw_path = _target(scope)
        field = _lone_authorization(scope["headers"])
        allow = guard.recall(scope["method"], path, raw_path, field, is_public)
        if allow is not None:
            return allow
    request = ScopeRequest(scope, receive)
    return guard.judge(request, is_public=is_public, access=access, again=again)


def _lone_authorization(headers: RawHeaders) -> str | None:
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                return None
            found = value
    return None if found is None else found.decode("latin-1")


class ScopeHeaders:
    """Request headers of an ASGI scope; names come in lower case (ASGI HTTP specification)."""

    __slots__ = ("_headers",)

    def __init__(self, headers: RawHeaders) -> None:
        self._headers = headers

    def get_all(self, name: str) -> Sequence[str]:
        """Every value under *name*."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self._headers if key == wanted]


class ScopeRequest(Request):
    """A request that reads of its scope only what somebody asks for."""

    __slots__ = ("_receive", "_scope")

    def __init__(self, scope: Scope, receive: Receive | None = None) -> None:
        self._scope = scope
        self._receive = receive
        self.path, self.raw_path = _target(scope)
        headers: RawHeaders = scope["headers"]
        if scope["type"] == "websocket":
            self.websocket = True
            self.method = "GET"
            headers = _with_subprotocols(headers, scope.get("subprotocols") or ())
        else:
            self.websocket = False
            self.method = scope["method"]
        self.headers = ScopeHeaders(headers)

    async def read_body(self, max_bytes: int) -> bytes:
        """The body, of all ``http.request`` messages."""
        body, more = b"", self._receive is not None
        while more and len(body) <= max_bytes:
            assert self._receive is not None
            message = await self._receive()
            if message["type"] != "http.request":
                raise InvalidRequest(hint="the client went away")
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    def __getattr__(self, name: str) -> Any:
        read = _LATER.get(name)
        if read is None:
            raise AttributeError(name)
        return read(self._scope)


_LATER: dict[str, Callable[[Scope], str | None]] = {
    "query": lambda scope: (scope.get("query_string") or b"").decode("latin-1"),
    "scheme": lambda scope: scope.get("scheme") or "http",
    "client": lambda scope: scope["client"][0] if scope.get("client") else None,
    "mount": lambda scope: scope.get("root_path") or "",
}


def _target(scope: Scope) -> tuple[str, str | None]:
    """The path the app routes, and the target as on the wire where the server gives it."""
    path: str = scope["path"]
    mount: str | None = scope.get("root_path")
    raw_path: bytes | None = scope.get("raw_path")
    return (
        _below(path, mount) if mount else path,
        None if raw_path is None else raw_path.decode("latin-1"),
    )


def _below(path: str, mount: str) -> str:
    """The path less the mount prefix, as Starlette's router takes it off; "" is refused."""
    if path == mount:
        return "/"
    if path.startswith(mount + "/"):
        return path[len(mount) :]
    return "" if mount in path else path


def _with_subprotocols(headers: RawHeaders, offered: Sequence[str]) -> RawHeaders:
    """The offer as a header field, where a server hands it over parsed only."""
    if not offered or any(name == b"sec-websocket-protocol" for name, _ in headers):
        return headers
    return [*headers, (b"sec-websocket-protocol", ", ".join(offered).encode("latin-1"))]


class _Names:
    """Header names that the app must not see, in any spelling that frameworks confuse.

    Other names that were met are remembered, at most 1,024 of at most 64 bytes: clients invent
    names.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._others: set[bytes] = set()

    def removed_from(self, headers: RawHeaders) -> RawHeaders:
        """The headers without these."""
        if self._others.issuperset(map(_name, headers)):
            return headers
        return [header for header in headers if not self._are_meant_by(header[0])]

    def _are_meant_by(self, name: bytes) -> bool:
        if name.decode("latin-1").lower().replace("_", "-") in self._names:
            return True
        if len(name) <= 64:
            if len(self._others) >= 1024:
                self._others.clear()
            self._others.add(name)
        return False


_name = itemgetter(0)


_names = lru_cache(maxsize=256)(_Names)


def _raw(headers: Pairs) -> list[tuple[bytes, bytes]]:
    """Header pairs as ASGI has them; values in UTF-8."""
    return [
        (name.lower().encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers
    ]


def published(given: Scope, allow: Allow, guard: Guard) -> Scope:
    """A copy of the scope, as the app may see it where *allow* was decided."""
    token = allow.token
    published = allow.published
    scope: dict[str, Any] = dict(given)
    if token is None or "jwtguard.token" in given:
        # Nobody was authenticated here, or another guard in front published somebody else.
        scope = {key: value for key, value in given.items() if not key.startswith("jwt_")}
    scope["jwtguard.token"] = token
    scope["jwtguard.guard"] = guard
    get = given.get
    # As `_place`: written out, because this is on the way of every request.
    scope["jwtguard.target"] = given["type"], get("method"), get("root_path"), given["path"]
    if token is None:
        scope["jwtguard.claims"] = {}
    else:
        scope["jwtguard.claims"] = token.claims
        if published.variables:
            scope.update(published.variables)
    if allow.remove:
        if published.raw_headers is None:
            published.raw_headers = _raw(published.headers)
        kept = _names(allow.remove).removed_from(scope["headers"])
        scope["headers"] = [*kept, *published.raw_headers]
    if allow.query is not None:
        scope["query_string"] = allow.query.encode("latin-1")
    if allow.subprotocol is not None:
        offer = dict(published.headers).get("sec-websocket-protocol", "")
        scope["subprotocols"] = [word.strip() for word in offer.split(",") if word.strip()]
    return scope


def is_published(scope: Scope, guard: Guard) -> bool:
    """Whether *guard* has judged this very request further out, so that it need not again.

    It could not, where it took the credentials out. What was mounted, rewritten or given another
    method in between is another request.
    """
    return scope.get("jwtguard.guard") is guard and scope.get("jwtguard.target") == _place(scope)


def _place(scope: Scope) -> tuple[str, str | None, str | None, str]:
    return scope["type"], scope.get("method"), scope.get("root_path"), scope["path"]


async def respond(deny: Deny, send: Send, kind: str) -> None:
    """Send a refusal by messages of *kind*, such as ``http.response``."""
    await send({"type": f"{kind}.start", "status": deny.status, "headers": _raw(deny.headers)})
    await send({"type": f"{kind}.body", "body": deny.body})


async def refuse_handshake(deny: Deny, scope: Scope, receive: Receive, send: Send) -> None:
    """The refusal itself where the server can send one, else close before accept."""
    if (await receive())["type"] != "websocket.connect":
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await respond(deny, send, "websocket.http.response")
    else:
        # RFC 6455 section 7.4.1: 1008, policy violation. Servers make a 403 of it.
        await send({"type": "websocket.close", "code": 1008, "reason": ""})


def _completing(send: Send, missing: Pairs, added: Pairs) -> Send:
    """A send that adds the *missing* headers the app did not set, and *added* ones."""
    defaults, more = _raw(missing), _raw(added)

    async def complete(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers: list[tuple[bytes, bytes]] = [*message.get("headers", ())]
            given = {name.lower() for name, _ in headers}
            headers += [header for header in defaults if header[0] not in given]
            headers += more
            message = {**message, "headers": headers}
        await send(message)

    return complete


def _choosing(send: Send, subprotocol: str) -> Send:
    """A send that chooses the marker's subprotocol where the app accepts without a choice."""

    async def choose(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": subprotocol}
        await send(message)

    return choose
