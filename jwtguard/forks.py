"""What must begin anew in a forked child: locks that a thread of the parent's may hold, threads
that are not there, connections that are the parent's.
"""

from typing import Protocol
from weakref import WeakSet

from .flights import in_children


class Begins(Protocol):
    """Something with a beginning."""

    def begin(self) -> None:
        """Forget what is the parent's."""
        ...


_all: WeakSet[Begins] = WeakSet()


def again(thing: Begins) -> None:
    """Call its `begin` in every child that this process forks, for as long as it is there."""
    _all.add(thing)


def _forked() -> None:
    for thing in list(_all):
        thing.begin()


in_children(_forked)
