"""The verified-token cache: what parse and signature check found, bounded.

Two generations of half the size each. A find in the older one moves to the newer; when the newer
is full it becomes the older one, and what nobody asked for since is gone. That keeps what is in
use about as well as a least-recently-used list, without a lock: every step is one operation on a
dict, and the worst that two threads can do to each other is to forget an entry.

Only good tokens are kept, under their exact text (RFC 8725 says nothing here; LiteLLM
CVE-2026-35030 shows what a shortened key does). Refusals are never stored, so a flood of bad
tokens takes no memory. The bound: ``size`` tokens of at most 4 KiB each, and their claims.
"""

from .token import Verified

MAX_CACHED_TOKEN = 4096  # characters; longer tokens are verified every time


class TokenCache:
    """At most ``size`` verified tokens; 0 keeps none."""

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._new: dict[str, Verified] = {}
        self._old: dict[str, Verified] = {}

    def get(self, token: str) -> Verified | None:
        """What is known about exactly this token."""
        found = self._new.get(token)
        if found is None:
            found = self._old.get(token)
            if found is not None:
                self.put(found)
        return found

    def put(self, verified: Verified) -> None:
        """Keep a verified token, unless it is too long to be worth its memory."""
        if len(verified.raw) > MAX_CACHED_TOKEN:
            return
        if len(self._new) >= self._half:
            self._old, self._new = self._new, {}
        if self._half:
            self._new[verified.raw] = verified

    def __len__(self) -> int:
        return len(self._new.keys() | self._old.keys())
