"""A store in Redis or Valkey, for all processes that have its key."""

from collections.abc import Callable
from typing import Any

from jwtguard.core.errors import Problem
from jwtguard.core.sealing import Sealing

from .server import Server


class RedisStore:
    """A store in the Redis or Valkey at *url*.

    ``key``: text or bytes, 32 bytes or more, the same for all processes that share it. Names are
    kept as HMACs with it, values encrypted (AES-256-GCM), so that who reads the server's memory or
    its backups learns nothing and can put nothing there that would be taken for ours. ``prefix``:
    what the names begin with.

    Connecting and answering take at most 0.25 seconds each; after that, `errors.FetchError`.
    Problems are reported by `Guard`.
    """

    def __init__(self, url: str, *, key: str | bytes, prefix: str = "jwtguard:") -> None:
        self._server = Server(url)
        self._sealing = Sealing(key)
        self._prefix = prefix
        self.problems: tuple[Problem, ...] = (*self._server.problems, *self._sealing.problems)

    def __repr__(self) -> str:
        return f"<RedisStore {self._server.place}>"

    def get(self, name: str) -> bytes | None:
        """The value, or None."""
        return self._server.ask(self._getting(name))

    def put(self, name: str, value: bytes, ttl: float) -> None:
        """Keep a value for *ttl* seconds."""
        self._server.ask(self._setting(name, value, ttl, nx=False))

    def add(self, name: str, value: bytes, ttl: float) -> bool:
        """Keep a value for *ttl* seconds if there is none; whether there was none."""
        return self._server.ask(self._setting(name, value, ttl, nx=True))

    def remove(self, name: str) -> None:
        """Forget a value."""
        self._server.ask(lambda client: client.delete(self._prefix + self._sealing.name(name)))

    async def aget(self, name: str) -> bytes | None:
        """`get`, on an event loop."""
        return await self._server.aask(self._getting(name))

    async def aput(self, name: str, value: bytes, ttl: float) -> None:
        """`put`, on an event loop."""
        await self._server.aask(self._setting(name, value, ttl, nx=False))

    async def aadd(self, name: str, value: bytes, ttl: float) -> bool:
        """`add`, on an event loop."""
        return await self._server.aask(self._setting(name, value, ttl, nx=True))

    async def aremove(self, name: str) -> None:
        """`remove`, on an event loop."""
        sealed = self._prefix + self._sealing.name(name)
        await self._server.aask(lambda client: client.delete(sealed))

    def _getting(self, name: str) -> Callable[[Any], bytes | None]:
        sealed = self._sealing.name(name)

        def get(client: Any) -> bytes | None:
            found = client.get(self._prefix + sealed)
            return None if found is None else self._sealing.opened(sealed, found)

        return get

    def _setting(self, name: str, value: bytes, ttl: float, *, nx: bool) -> Callable[[Any], bool]:
        sealed = self._sealing.name(name)
        hidden = self._sealing.seal(sealed, value)
        milliseconds = max(1, round(ttl * 1000))

        def set_(client: Any) -> bool:
            return bool(client.set(self._prefix + sealed, hidden, px=milliseconds, nx=nx))

        return set_
