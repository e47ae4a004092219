"""A clock that a test moves."""

import time


class Clock:
    """Seconds since the epoch, standing still until it is moved.

    It is what ``Guard(clock=…)``, ``RemoteKeys(clock=…)`` and ``FakeIssuer(clock=…)`` take::

        clock = Clock()
        guard = Guard([idp.trusted()], clock=clock)
        clock.advance(3600)

    *now* is where it starts: the time of the machine where not given.
    """

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move it forward, or back where *seconds* is negative."""
        self.now += seconds

    def __repr__(self) -> str:
        return f"<Clock {self.now:.0f}>"
