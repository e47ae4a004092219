"""Where requests are counted: in one process (`MemoryRateStore`), or for all in Redis.

`limits` brings the scripts that count in Redis or Valkey. Only `RedisRateStore` needs it:
``pip install 'jwtguard-middleware[ratelimit]'``.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from .core.errors import Problem
from .core.rates import MemoryRateStore, RateStore, Used
from .core.wording import one_of
from .stores.server import Server

if TYPE_CHECKING:
    from limits.storage import RedisStorage

__all__ = ["MemoryRateStore", "RateStore", "RedisRateStore"]

WHEN_DOWN = ("allow", "refuse")
MAX_TIMEOUT = 5  # seconds


class RedisRateStore:
    """Counts in the Redis or Valkey at *url*, for every process with the same rules and *prefix*.

    - ``prefix``: what its keys begin with; they hold fingerprints, no subject and no address.
    - ``when_down``: what becomes of requests while it cannot be asked: "allow" lets them through
      uncounted, "refuse" answers 503.
    - ``timeout``: seconds for each of its answers.

    Problems are reported by `Guard`.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "jwtguard:",
        when_down: Literal["allow", "refuse"] = "allow",
        timeout: float = 0.25,
    ) -> None:
        self.when_down: str = when_down
        self._server = Server(url, answer=timeout)
        self._prefix = f"{prefix}rate"
        self._made: tuple[object, RedisStorage] | None = None
        problems: list[Problem] = list(self._server.problems)
        if find_spec("limits") is None:
            what = "takes limits: pip install 'jwtguard-middleware[ratelimit]'"
            problems.append(("redis", what))
        if not isinstance(prefix, str) or not prefix.isprintable():
            problems.append(("prefix", f"is printable text; found {prefix!r}"))
        if when_down not in WHEN_DOWN:
            problems.append(("when_down", one_of(when_down, WHEN_DOWN)))
        if type(timeout) not in (int, float) or not 0 < timeout <= MAX_TIMEOUT:
            what = f"is a number of seconds, at most {MAX_TIMEOUT}; found {timeout!r}"
            problems.append(("timeout", what))
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __repr__(self) -> str:
        return f"<RedisRateStore {self._server.place}>"

    def hit(self, key: str, quota: int, window: int, now: float) -> tuple[bool, Used]:
        """Count a request if it is within the quota; whether it was, and the counts after it."""
        return self._server.ask(lambda client: _hit(self._counts(client), key, quota, window))

    def look(self, key: str, window: int, now: float) -> Used:
        """The counts, without counting anything. It is Redis' clock that counts, not *now*."""
        return self._server.ask(lambda client: _look(self._counts(client), key, window))

    async def ahit(self, key: str, quota: int, window: int, now: float) -> tuple[bool, Used]:
        """`hit`, on an event loop."""
        return await self._server.aask(
            lambda client: _hit(self._counts(client), key, quota, window)
        )

    async def alook(self, key: str, window: int, now: float) -> Used:
        """`look`, on an event loop."""
        return await self._server.aask(lambda client: _look(self._counts(client), key, window))

    def _counts(self, client: Any) -> "RedisStorage":
        """What counts through *client*, of which each process has one."""
        if self._made is None or self._made[0] is not client:
            from limits.storage import RedisStorage

            pool = client.connection_pool
            storage = RedisStorage("redis://", connection_pool=pool, key_prefix=self._prefix)
            self._made = client, storage
        return self._made[1]


def _hit(counts: "RedisStorage", key: str, quota: int, window: int) -> tuple[bool, Used]:
    allowed = counts.acquire_sliding_window_entry(key, quota, window)
    return allowed, _look(counts, key, window)


def _look(counts: "RedisStorage", key: str, window: int) -> Used:
    previous, previous_left, current, current_left = counts.get_sliding_window(key, window)
    # The count before ends with the present window, the present one is kept for one more.
    return Used(previous, current, previous_left or max(0.0, current_left - window))
