"""What several processes share: a store of values that are forgotten after a while."""

from collections.abc import Awaitable, Sequence
from typing import Protocol, runtime_checkable

from .errors import Problem


@runtime_checkable
class Store(Protocol):
    """Values by name, for a time. `jwtguard.stores` has one in memory and one in Redis.

    Each method stands twice, for threads and (with an ``a`` in front) for event loops. They raise
    `errors.FetchError` where the store cannot be asked, within a time of the store's own.

    Whoever uses a store puts no token into a name. Values may be secret: what leaves the process
    is encrypted by the store.
    """

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with its configuration."""
        ...

    def get(self, name: str) -> bytes | None:
        """The value, or None where there is none, or it was there for its time."""
        ...

    def put(self, name: str, value: bytes, ttl: float) -> None:
        """Keep a value for *ttl* seconds, in the place of what was there."""
        ...

    def add(self, name: str, value: bytes, ttl: float) -> bool:
        """Keep a value for *ttl* seconds if there is none, and say whether there was none.

        Of several who ask at once, one is told True. What was added is not forgotten early.
        """
        ...

    def remove(self, name: str) -> None:
        """Forget a value, if it is there."""
        ...

    def aget(self, name: str) -> Awaitable[bytes | None]:
        """`get`, on an event loop."""
        ...

    def aput(self, name: str, value: bytes, ttl: float) -> Awaitable[None]:
        """`put`, on an event loop."""
        ...

    def aadd(self, name: str, value: bytes, ttl: float) -> Awaitable[bool]:
        """`add`, on an event loop."""
        ...

    def aremove(self, name: str) -> Awaitable[None]:
        """`remove`, on an event loop."""
        ...
