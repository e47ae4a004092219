"""Revocations for several threads."""

import threading
from collections.abc import Iterable
from typing import Unpack

from jwtguard.core import revocation
from jwtguard.core.revocation import Entry, RevokeWords
from jwtguard.flights import in_children


class Revocations(revocation.Revocations):
    __doc__ = f"""What was revoked, in this process.

    ``max_entries``: how much of it is remembered, {revocation.MAX_ENTRIES:,} unless said otherwise;
    what does not fit leaves a floor, see the documentation. ``clock``: seconds since the epoch.
    """

    _lock = threading.RLock()  # one for all: nobody holds it for long

    def add(self, entries: Iterable[Entry]) -> list[Entry]:
        """Hold these; returns those that were news."""
        with self._lock:
            return super().add(entries)

    def discard(self, entries: Iterable[Entry]) -> None:
        """Hold these no longer, if they are held as they stand here."""
        with self._lock:
            super().discard(entries)

    def raise_floor(self, issuer: str | None, floor: float) -> None:
        """Refuse every token of *issuer* (None: of anybody) that was issued before *floor*."""
        with self._lock:
            super().raise_floor(issuer, floor)

    async def arevoke(self, kind: str, value: str, **words: Unpack[RevokeWords]) -> Entry:
        """`revoke`, on an event loop."""
        return self.revoke(kind, value, **words)


def _unlock() -> None:
    """In a forked child nobody lets go of what the parent's threads held."""
    Revocations._lock = threading.RLock()


in_children(_unlock)
