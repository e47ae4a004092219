"""A store for one process."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from jwtguard import forks
from jwtguard.core.errors import FetchError, Problem

MAX_ENTRIES = 10_000


class _Kept(NamedTuple):
    until: float
    value: bytes
    may_go: bool


class MemoryStore:
    """A store in this process's memory; other processes see nothing of it.

    ``max_entries``: how many values it keeps. Where there are more, those that were `put` and
    would be forgotten soonest go; what was `add`-ed stays for its time, and where there is no room
    for more of it, `errors.FetchError` is raised. ``clock``: seconds, from any start.

    Problems are reported by `Guard`.
    """

    def __init__(
        self, max_entries: int = MAX_ENTRIES, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.problems: tuple[Problem, ...] = ()
        if type(max_entries) is not int or max_entries < 1:
            what = f"is a number of values, 1 or more; found {max_entries!r}"
            self.problems = (("max_entries", what),)
        self._max = max_entries
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self.begin()
        forks.again(self)

    def begin(self) -> None:
        """In a forked child nobody lets go of what the parent's threads held."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MemoryStore entries={len(self._kept)}>"

    def get(self, name: str) -> bytes | None:
        """The value, or None."""
        kept = self._kept.get(name)
        return kept.value if kept is not None and self._clock() < kept.until else None

    def put(self, name: str, value: bytes, ttl: float) -> None:
        """Keep a value for *ttl* seconds."""
        with self._lock:
            self._keep(name, value, ttl, may_go=True)

    def add(self, name: str, value: bytes, ttl: float) -> bool:
        """Keep a value for *ttl* seconds if there is none; whether there was none."""
        with self._lock:
            if self.get(name) is not None:
                return False
            self._keep(name, value, ttl, may_go=False)
            return True

    def remove(self, name: str) -> None:
        """Forget a value."""
        with self._lock:
            self._kept.pop(name, None)

    async def aget(self, name: str) -> bytes | None:
        """`get`, on an event loop."""
        return self.get(name)

    async def aput(self, name: str, value: bytes, ttl: float) -> None:
        """`put`, on an event loop."""
        self.put(name, value, ttl)

    async def aadd(self, name: str, value: bytes, ttl: float) -> bool:
        """`add`, on an event loop."""
        return self.add(name, value, ttl)

    async def aremove(self, name: str) -> None:
        """`remove`, on an event loop."""
        self.remove(name)

    def _keep(self, name: str, value: bytes, ttl: float, *, may_go: bool) -> None:
        now = self._clock()
        if name not in self._kept and len(self._kept) >= self._max:
            self._make_room(now)
        self._kept[name] = _Kept(now + ttl, value, may_go)

    def _make_room(self, now: float) -> None:
        """An eighth at a time, as it takes looking at everything."""
        self._kept = {name: kept for name, kept in self._kept.items() if now < kept.until}
        if len(self._kept) < self._max:
            return
        may_go = [(kept.until, name) for name, kept in self._kept.items() if kept.may_go]
        if not may_go:
            raise FetchError(f"the store in memory holds {len(self._kept)} values that must stay")
        for _, name in sorted(may_go)[: self._max // 8 + 1]:
            del self._kept[name]
