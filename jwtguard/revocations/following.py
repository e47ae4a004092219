"""Revocations that come from elsewhere: a thread follows them, and requests never wait for it.

The thread is started by the first request of a process, and again in each forked child. It knows
when it last heard of its source; where that is too long ago, the user has said what counts.
"""

import asyncio
import logging
import math
import threading
import time
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from jwtguard import forks
from jwtguard.core.errors import FetchError, Problem, Unavailable
from jwtguard.core.revocation import MAX_ENTRIES
from jwtguard.core.wording import one_of

from .locked import Revocations

if TYPE_CHECKING:
    from jwtguard.core.model import Clock

log = logging.getLogger("jwtguard.revocations")

FIRST = 0.5  # seconds in which the first requests of a process wait for what was revoked
FIRST_ON_LOOP = 0.05  # the same where waiting stops everybody; 503 then
PAUSE = 0.5  # seconds between two looks, or two attempts
MIN_AGE = 5  # seconds
WHEN_STALE = ("allow", "refuse")


class Following(Revocations, ABC):
    """Revocations that a thread keeps up to date.

    ``max_age`` (seconds) and ``when_stale`` say together what happens where nothing was heard of
    the source for so long: "refuse" every token with 503, or "allow" what is not known to be
    revoked.
    """

    def __init__(
        self,
        *,
        max_age: float | None,
        when_stale: str | None,
        max_entries: int = MAX_ENTRIES,
        clock: "Clock" = time.time,
    ) -> None:
        super().__init__(max_entries=max_entries, clock=clock)
        self.max_age = max_age
        self.when_stale = when_stale
        self.problems = (*self.problems, *self._stale_problems())
        self.look_again = -math.inf
        self._heard = -math.inf
        self._is_followed = False  # by a thread of this process
        self._attempted = threading.Event()
        self._wait_until = 0.0
        self._is_lost = False
        forks.again(self)

    def _stale_problems(self) -> list[Problem]:
        problems = []
        age = self.max_age
        if age is not None and not (type(age) in (int, float) and MIN_AGE <= age < math.inf):
            problems.append(("max_age", f"is {MIN_AGE} seconds or more; found {age!r}"))
        if self.when_stale is not None and self.when_stale not in WHEN_STALE:
            problems.append(("when_stale", one_of(self.when_stale, WHEN_STALE)))
        return problems

    @property
    def age(self) -> float:
        """Seconds since the source was last heard of; infinite where it never was."""
        return max(0.0, self._clock() - self._heard)

    def warm(self) -> None:
        """Begin to follow, and wait a moment for what there is."""
        with self._lock:
            if not self._is_followed:
                ours = (weakref.ref(self),)
                name = "jwtguard-revocations"
                threading.Thread(target=_follow, args=ours, name=name, daemon=True).start()
                self._is_followed = True
                self._wait_until = time.monotonic() + FIRST
        if self._heard == -math.inf:
            wait = self._wait_until - time.monotonic()
            self._attempted.wait(max(0.0, min(wait, FIRST_ON_LOOP) if _is_on_loop() else wait))

    def look(self, now: float) -> None:
        """Raises Unavailable where nothing was heard for too long, and that counts."""
        if not self._is_followed or self._heard == -math.inf:
            self.warm()
        if self._heard == -math.inf and not self._attempted.is_set():
            hint = f"what is in {self.source} is being read"
            raise Unavailable("revocations_stale", retry_after=1, hint=hint)
        if self.when_stale != "refuse" or self.max_age is None:
            self.look_again = math.inf
            return
        if now >= self._heard + self.max_age:
            ever = self._heard > -math.inf
            hint = f"for {now - self._heard:.0f} s" if ever else "since the start"
            hint = f"nothing was heard of {self.source} {hint}"
            raise Unavailable("revocations_stale", retry_after=1, hint=hint)

    def begin(self) -> None:
        """In a forked child there is no thread of ours; the next request starts one."""
        self._is_followed = False
        self._attempted = threading.Event()
        self.look_again = -math.inf

    # --- in the thread ---

    @property
    @abstractmethod
    def source(self) -> str:
        """What is followed, for log lines."""

    @abstractmethod
    def step(self) -> float:
        """Follow the source for a second at most; for how many seconds to pause then.

        Calls `heard` where the source answered. Raises FetchError where it did not.
        """

    def heard(self) -> None:
        """The source answered, and everything that it has is known."""
        self._heard = self._clock()
        if self.when_stale == "refuse" and self.max_age is not None:
            self.look_again = self._heard + self.max_age
        self._attempted.set()

    def _stepped(self) -> float:
        try:
            pause = self.step()
        except Exception as error:
            if not self._is_lost:
                # A foreign exception's text may hold anything.
                what = error if isinstance(error, FetchError) else f"{type(error).__name__}"
                log.error("revocations are not heard of: %s: %s", self.source, what)
            self._is_lost = True
            self._attempted.set()
            return PAUSE
        if self._is_lost:
            log.info("revocations are heard of again: %s", self.source)
            self._is_lost = False
        return pause


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _follow(of: "weakref.ref[Following]") -> None:
    """What the thread does, until nobody has the revocations any more."""
    while (following := of()) is not None:
        pause = following._stepped()
        del following
        time.sleep(pause)
