"""Connections that stay open end when their token does: WebSockets and server-sent events.

A request is judged once, but a WebSocket or an event stream may outlive its token by days. So the
token of an open connection is looked at again when it expires, and every 30 seconds in between:
its key may have left the key set, its issuer may have been asked and say that it is not active.
Where something was revoked, all are looked at within half a second.
Where it is no longer good, the client sees the connection closed and the app a disconnect. An
outage ends nothing before the token's own end.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from . import drive
from .core.errors import AuthError, ConfigurationError, JWTGuardError
from .core.revocation import Revocations
from .core.token import VerifiedToken
from .guard import Guard

log = logging.getLogger("jwtguard")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

RECHECK = 30.0  # seconds between two looks at a token
LISTEN = 0.5  # seconds between two looks at whether something was revoked


class ConnectionEnded(JWTGuardError, OSError):
    """The app sent something after the end of its connection; ASGI asks for an OSError."""


class Watch:
    """Looks at tokens of open connections. *grace*: seconds they go on after their token.

    Raises ConfigurationError.
    """

    def __init__(self, guard: Guard, exchanges: drive.OnLoops, grace: object) -> None:
        if type(grace) not in (int, float) or not 0 <= grace < math.inf:  # type: ignore[operator]
            raise ConfigurationError(
                f"expiry_grace is a number of seconds, or None; found {grace!r}"
            )
        self._guard = guard
        self._exchanges = exchanges
        self._news = None if guard.revocations is None else _News(guard.revocations)
        self._grace: float = grace  # type: ignore[assignment]

    async def end_of(self, token: VerifiedToken) -> None:
        """Return when connections opened with *token* are over."""
        try:
            while True:
                version = self._news and self._news.version
                flow = self._guard.renew_flow(token)
                left = min(RECHECK, await drive.arun(flow, *self._exchanges))
                if self._news is None:
                    await asyncio.sleep(left)
                else:
                    await self._news.wait(left, version)
        except AuthError as error:
            log.info("a connection ends: %s, issuer=%s", error.reason, token.issuer)
        await asyncio.sleep(self._grace)


class _News:
    """Wakes those who wait when something is revoked. On each event loop, one looks for all."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, set[asyncio.Future[None]]]
        self._waiting = WeakKeyDictionary()

    @property
    def version(self) -> object:
        return self._revocations.version

    async def wait(self, seconds: float, version: object) -> None:
        """Return after *seconds*, or where something was revoked since *version*."""
        if self.version is not version:
            return
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = set()
            loop.call_later(LISTEN, self._look, loop, version)
        woken = loop.create_future()
        waiting.add(woken)
        try:
            await asyncio.wait([woken], timeout=seconds)
        finally:
            waiting.discard(woken)

    def _look(self, loop: asyncio.AbstractEventLoop, version: object) -> None:
        waiting, now = self._waiting[loop], self.version
        if not waiting:
            del self._waiting[loop]
            return
        if now is not version:
            for woken in waiting:
                if not woken.done():
                    woken.set_result(None)
        loop.call_later(LISTEN, self._look, loop, now)


class _Connection:
    """What an app has to do with a client until the token ends."""

    def __init__(self, watch: Watch, token: VerifiedToken, send: Send, closing: Message) -> None:
        self._send = send
        self._sending = asyncio.Lock()
        self._closing = closing
        self.over = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._end(watch, token))

    async def _end(self, watch: Watch, token: VerifiedToken) -> None:
        await watch.end_of(token)
        self.over.set()
        async with self._sending:
            await self._send(self._closing)

    async def send(self, message: Message) -> None:
        """What the app sends. Raises ConnectionEnded."""
        async with self._sending:
            if self.over.is_set():
                raise ConnectionEnded("the token of this connection has ended")
            await self._send(message)

    def forget(self) -> None:
        """The app is done."""
        self._task.cancel()


async def websocket(
    app: App,
    scope: MutableMapping[str, Any],
    receive: Receive,
    send: Send,
    watch: Watch,
    token: VerifiedToken,
) -> None:
    """Run *app* for a WebSocket, which ends with *token*."""
    # RFC 6455 section 7.4.1: 1008, policy violation.
    ended = {"code": 1008, "reason": "the token has ended"}
    connection = _Connection(watch, token, send, {"type": "websocket.close", **ended})

    async def until_over() -> Message:
        receiving = asyncio.ensure_future(receive())
        over = asyncio.ensure_future(connection.over.wait())
        try:
            await asyncio.wait({receiving, over}, return_when=asyncio.FIRST_COMPLETED)
            if connection.over.is_set():
                return {"type": "websocket.disconnect", **ended}
            return receiving.result()
        finally:
            receiving.cancel()
            over.cancel()

    try:
        await app(scope, until_over, connection.send)
    except ConnectionEnded:
        pass  # it has nothing more to say to anybody
    finally:
        connection.forget()


class EventStream:
    """The answer to a request: if it turns out to be server-sent events, they end with *token*.

    What the app receives then is the server's to say: a disconnect, once the answer is complete.
    """

    __slots__ = ("_send", "_token", "_watch", "connection")

    def __init__(self, watch: Watch, token: VerifiedToken, send: Send) -> None:
        self._watch = watch
        self._token = token
        self._send = send
        self.connection: _Connection | None = None

    def send(self, message: Message) -> Awaitable[None]:
        """What the app sends. A plain function: this is on the way of every answer."""
        if self.connection is not None:
            return self.connection.send(message)
        if message["type"] != "http.response.start":
            return self._send(message)
        headers = message.get("headers", ())
        if not isinstance(headers, list):  # any iterable may stand there, and be used up by us
            headers = list(headers)
            message = {**message, "headers": headers}
        if _begin_events(headers):
            end = {"type": "http.response.body", "body": b"", "more_body": False}
            self.connection = _Connection(self._watch, self._token, self._send, end)
        return self._send(message)


def _begin_events(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        is_type = len(name) == 12 and name.lower() == b"content-type"
        # Space around a field's value is not part of it (RFC 9110 section 5.5).
        if is_type and value.strip()[:17].lower() == b"text/event-stream":
            return True
    return False
