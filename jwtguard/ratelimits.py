"""Where requests are counted: in one process (`MemoryRateStore`), or for all in Redis.

`limits` brings the scripts that count in Redis, and speaks to it with redis-py (Valkey too). Only
`RedisRateStore` needs them: ``pip install 'jwtguard-middleware[ratelimit]'``.
"""

import asyncio
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from .core.errors import ConfigurationError
from .core.rates import MemoryRateStore, RateStore, Used
from .core.wording import one_of

if TYPE_CHECKING:
    from limits import aio, storage

__all__ = ["MemoryRateStore", "RateStore", "RedisRateStore"]

WHEN_DOWN = ("allow", "refuse")


class RedisRateStore:
    """Counts in Redis or Valkey, for every process that has the same rules and *prefix*.

    - ``url``: ``redis://host:6379/0``, ``rediss://…`` (TLS), ``unix:///run/redis.sock``.
    - ``prefix``: what its keys begin with; they hold fingerprints, no subject and no address.
    - ``when_down``: what becomes of requests while it cannot be asked: "allow" lets them through
      uncounted, "refuse" answers 503.
    - ``timeout``: seconds for connecting, and for each answer.

    Raises `errors.ConfigurationError`.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "jwtguard:",
        when_down: Literal["allow", "refuse"] = "allow",
        timeout: float = 0.25,
    ) -> None:
        problems = []
        if not isinstance(prefix, str) or not prefix.isprintable():
            problems.append(("prefix", f"is printable text; found {prefix!r}"))
        if when_down not in WHEN_DOWN:
            problems.append(("when_down", one_of(when_down, WHEN_DOWN)))
        if type(timeout) not in (int, float) or not 0 < timeout <= 5:
            problems.append(("timeout", f"is a number of seconds, at most 5; found {timeout!r}"))
        if problems:
            raise ConfigurationError(problems)
        self.when_down: str = when_down
        # `limits` puts a colon behind it.
        self._options: dict[str, Any] = {"key_prefix": f"{prefix}rate"}
        self._options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        self._url = url.replace("unix://", "redis+unix://", 1) if isinstance(url, str) else ""
        self._lock = Lock()
        self._on_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, aio.storage.RedisStorage]
        self._on_loops = WeakKeyDictionary()
        self._in_threads = self._connect()

    def _connect(self) -> "storage.RedisStorage":
        """What speaks to Redis in threads; it connects when it is first asked."""
        try:
            from limits.storage import RedisStorage
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise ConfigurationError(
                "counting in Redis takes limits and redis: "
                "pip install 'jwtguard-middleware[ratelimit]'"
            ) from None
        # Once more, at once: a connection of the pool may be from before Redis was started anew.
        self._options["retry"] = Retry(NoBackoff(), 1)
        try:
            return RedisStorage(self._url, **self._options)
        except ValueError:  # its text may quote what stands where a password should
            what = (
                "is no address such as 'redis://127.0.0.1:6379/0', 'rediss://…' or 'unix:///…' "
                "(what is special in a password is %-escaped)"
            )
            raise ConfigurationError([("redis", what)]) from None

    def __repr__(self) -> str:
        return "<RedisRateStore>"  # a password may be in its address

    def hit(self, key: str, quota: int, window: int, now: float) -> tuple[bool, Used]:
        """Count a request if it is within the quota; whether it was, and the counts after it."""
        allowed = self._in_threads.acquire_sliding_window_entry(key, quota, window)
        return allowed, self.look(key, window, now)

    def look(self, key: str, window: int, now: float) -> Used:
        """The counts, without counting anything. It is Redis' clock that counts, not *now*."""
        return _used(self._in_threads.get_sliding_window(key, window), window)

    async def ahit(self, key: str, quota: int, window: int, now: float) -> tuple[bool, Used]:
        """As `hit`."""
        allowed = await self._on_loop().acquire_sliding_window_entry(key, quota, window)
        return allowed, await self.alook(key, window, now)

    async def alook(self, key: str, window: int, now: float) -> Used:
        """As `look`."""
        return _used(await self._on_loop().get_sliding_window(key, window), window)

    def _on_loop(self) -> "aio.storage.RedisStorage":
        """The connections of this event loop, which no other loop may use."""
        from limits.aio.storage import RedisStorage

        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._on_loops.get(loop)
            if found is None:
                found = RedisStorage(
                    f"async+{self._url}", implementation="redispy", **self._options
                )
                self._on_loops[loop] = found
        return found

    async def aclose(self) -> None:
        """Close the connections of this event loop, as at the end of a lifespan."""
        with self._lock:
            found = self._on_loops.pop(asyncio.get_running_loop(), None)
        if found is not None:
            bridge: Any = found.bridge
            await bridge.get_connection().aclose()

    def close(self) -> None:
        """Close the connections that threads have used."""
        client: Any = self._in_threads.get_connection()
        client.close()


def _used(window: tuple[int, float, int, float], seconds: int) -> Used:
    """The counts as `limits` has them: each with the time to its end, of the present one the end
    of being remembered, which is one window later."""
    previous, previous_left, current, current_left = window
    return Used(previous, current, previous_left or max(0.0, current_left - seconds))
