"""Tokens that ended before their time: logged out, withdrawn, signed with a key that leaked.

What was revoked is looked up when a token is verified, and again for a token seen before whenever
something was revoked since: until then, one comparison says that nothing was.

The memory is bounded by a number of entries. Where more are wanted, the ones that could be
forgotten soonest go, and leave a floor: every token of their issuer that was issued before they
were revoked is refused, so that what is gone from memory readmits nothing. Keys go last, and leave
nothing of their issuer standing.
"""

import hashlib
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack

from .claims import MAX_TIME, Claims
from .errors import Problem, TokenRevoked
from .wording import one_of

if TYPE_CHECKING:
    from .model import Clock, Flow
    from .token import Verified

KINDS = ("jti", "sid", "sub", "kid")
MAX_ENTRIES = 100_000
MAX_VALUE = 255  # characters (OpenID Connect Core 1.0 section 2); longer ones are kept as hashes
MAX_SKEW = 60.0  # seconds that the clock of somebody who issues tokens may be ahead of ours
SESSION = "session"  # the name of login's own issuer, and of the credentials it makes

_KEPT_LONGER, _KEPT_LONGEST = 3e11, 6e11  # behind all times


class Entry(NamedTuple):
    """Something revoked. Times are seconds since the epoch.

    ``kind`` is the claim that names it ("jti", "sid", "sub"), or "kid" for a key; ``issuer`` the
    configured name of the issuer, None for all. Tokens issued ``before`` have ended; ``until`` is
    when none of them can be valid any more, ``at`` when they were revoked.
    """

    kind: str
    value: str
    issuer: str | None = None
    before: float = math.inf
    until: float = math.inf
    at: float = 0.0

    @property
    def rank(self) -> float:
        """Where more are wanted than fit, those with the lowest rank are forgotten."""
        if self.kind == "kid":
            return _KEPT_LONGEST + self.at
        return self.until if self.until <= MAX_TIME else _KEPT_LONGER + self.at

    @property
    def floor(self) -> float:
        """The time before which every token of the issuer was issued that this entry ends."""
        if self.before < math.inf or self.kind == "kid":  # who has a key writes any time
            return self.before
        return self.at + MAX_SKEW

    def united(self, other: "Entry") -> "Entry":
        """What ends the tokens of both."""
        return self._replace(
            before=max(self.before, other.before),
            until=max(self.until, other.until),
            at=max(self.at, other.at),
        )


class RevokeWords(TypedDict, total=False):
    """What `Revocations.revoke` takes by name."""

    issuer: str | None
    before: float | None
    until: float | None


class Revocations:
    """What was revoked, at most ``max_entries`` of it; ``clock``: seconds since the epoch.

    Not for several writers at a time: `jwtguard.Revocations` is.
    """

    look_again: float = math.inf
    """Until when (by the guard's clock) ``version`` alone says whether anything changed."""
    problems: tuple[Problem, ...] = ()

    def __init__(self, *, max_entries: int = MAX_ENTRIES, clock: "Clock" = time.time) -> None:
        self.version: object = object()
        """Another one each time that something was revoked."""
        self._clock = clock
        self._max = max_entries
        self._groups: dict[tuple[str, str | None], dict[str, Entry]] = {}
        self._floors: dict[str | None, float] = {}
        self.count = 0
        if type(max_entries) is not int or max_entries < 1:
            found = f"is a number of revocations, 1 or more; found {max_entries!r}"
            self.problems = (("max_entries", found),)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} entries={self.count}>"

    @property
    def age(self) -> float:
        """For how many seconds nothing could be heard of what others revoked; 0 where there are
        no others. For a metric.
        """
        return 0.0

    @property
    def floors(self) -> dict[str | None, float]:
        """By issuer (None: all of them): the time before which no issued token is good."""
        return dict(self._floors)

    @property
    def entries(self) -> list[Entry]:
        """Everything that is held."""
        return [entry for group in list(self._groups.values()) for entry in list(group.values())]

    # --- revoking ---

    def revoke(
        self,
        kind: str,
        value: str,
        *,
        issuer: str | None = None,
        before: float | None = None,
        until: float | None = None,
    ) -> Entry:
        """End tokens.

        - ``kind``, ``value``: "jti" ends one token, "sid" those of a session, "sub" those of a
          subject, "kid" those that were signed with a key.
        - ``issuer``: the configured name of the issuer whose tokens are meant. A ``jti`` needs
          it (RFC 7519 section 4.1.7); without it, the tokens of every issuer are.
        - ``before``: seconds since the epoch; ends only tokens issued before. Of a subject, it is
          now unless said otherwise, so that the next login counts; of the rest, everything ends.
        - ``until``: seconds since the epoch at which the last of these tokens has expired anyway;
          None if you do not know.

        Raises ValueError.
        """
        entry = entry_of(kind, value, issuer=issuer, before=before, until=until, now=self._clock())
        self.add([entry])
        return entry

    def revoke_flow(self, kind: str, value: str, **words: Unpack[RevokeWords]) -> "Flow[Entry]":
        """`revoke` in a flow, as others may have to be told."""
        yield from ()
        return self.revoke(kind, value, **words)

    def add(self, entries: Iterable[Entry]) -> list[Entry]:
        """Hold these; returns those that were news."""
        news = []
        for entry in entries:
            group = self._groups.setdefault((entry.kind, entry.issuer), {})
            known = group.get(entry.value)
            united = entry if known is None else known.united(entry)
            if united != known:
                group[entry.value] = united
                self.count += known is None
                news.append(entry)
        if self.count > self._max:
            self._forget(self._clock())
        if news:
            self.version = object()
        return news

    def discard(self, entries: Iterable[Entry]) -> None:
        """Hold these no longer, if they are held as they stand here."""
        for entry in entries:
            if self._groups.get((entry.kind, entry.issuer), {}).get(entry.value) == entry:
                self._remove(entry)
        self.version = object()

    def raise_floor(self, issuer: str | None, floor: float) -> None:
        """Refuse every token of *issuer* (None: of anybody) that was issued before *floor*."""
        if floor > self._floors.get(issuer, -math.inf):
            self._floors[issuer] = floor
            self.version = object()

    def _forget(self, now: float) -> None:
        """Make room, an eighth at a time, as it takes looking at them all."""
        live = []
        for entry in self.entries:
            if now < entry.until:
                live.append(entry)
            else:
                self._remove(entry)
        if self.count > self._max:
            live.sort(key=lambda entry: entry.rank)
            for entry in live[: self.count - (self._max - self._max // 8)]:
                self.raise_floor(entry.issuer, entry.floor)
                self._remove(entry)
        if len(self._floors) > self._max:  # of so many issuers, one for all
            self.raise_floor(None, max(self._floors.values()))
            self._floors = {None: self._floors[None]}

    def _remove(self, entry: Entry) -> None:
        group = self._groups[entry.kind, entry.issuer]
        del group[entry.value]
        if not group:
            del self._groups[entry.kind, entry.issuer]
        self.count -= 1

    # --- asking ---

    def check(self, known: "Verified", now: float) -> None:
        """Raises TokenRevoked; Unavailable where it cannot be said whether it was."""
        version = self.version
        self.look(now)
        entry = self._entry_against(known, now)
        if entry is None and known.signed is not None:
            entry = self._entry_against(known.signed, now)
        if entry is not None:
            claims = known.claims
            error = TokenRevoked(found=entry, want="nothing that was revoked")
            error.issuer, error.subject = known.issued_by.name, claims.get("sub")
            raise error
        known.checked = version

    def warm(self) -> None:
        """At start-up: for those that hear of others, begin to."""

    def look(self, now: float) -> None:
        """For those that hear of others: raises Unavailable where nothing was heard too long."""

    def _entry_against(self, known: "Verified", now: float) -> str | None:
        """What ends this token, in a word for the log."""
        if not self._groups and not self._floors:
            return None
        issuer = known.issued_by.name
        issued = issued_at(known.claims, issuer)
        for kind, value in _names_of(known):
            value = shortened(value)
            for of in (issuer, None):
                entry = self._groups.get((kind, of), {}).get(value)
                if entry is not None and now < entry.until and issued < entry.before:
                    return kind
        for of in (issuer, None):
            if issued < self._floors.get(of, -math.inf):
                return "issued before what is forgotten"
        return None


def _names_of(known: "Verified") -> list[tuple[str, str]]:
    """Under which names a token can be revoked."""
    claims = known.claims
    names = [(kind, claims.get(kind)) for kind in ("jti", "sid", "sub")]
    # What the header says, and what the key is called that a token without a kid was signed with.
    names.append(("kid", known.header.get("kid")))
    if known.key is not None:
        names.append(("kid", known.key.kid))
    return [(kind, value) for kind, value in names if isinstance(value, str)]


def issued_at(claims: Claims, issuer: str) -> float:
    """When a token was issued; where it does not say so, before anything was revoked.

    A session is as old as its login, however often its token was made anew.
    """
    issued: float = claims.get("iat", -math.inf)
    if issuer == SESSION and type(claims.get("auth_time")) in (int, float):
        issued = min(issued, claims["auth_time"])
    return issued


def shortened(value: str) -> str:
    """*value*, or what stands for one that is too long to be kept."""
    if len(value) <= MAX_VALUE:
        return value
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def entry_of(
    kind: str,
    value: str,
    *,
    issuer: str | None = None,
    before: float | None = None,
    until: float | None = None,
    now: float,
) -> Entry:
    """An entry, checked. Raises ValueError with what is wrong."""
    if kind not in KINDS:
        raise ValueError(f"kind: {one_of(kind, KINDS)}")
    if not isinstance(value, str) or not value:
        raise ValueError(f"{kind}: is text, as it stands in the token; found {value!r}")
    if issuer is not None and (not isinstance(issuer, str) or not issuer):
        raise ValueError(f"issuer: is the configured name of an issuer; found {issuer!r}")
    if kind == "jti" and issuer is None:
        raise ValueError("issuer: is missing; a jti is one token only together with its issuer")
    if kind == "jti" and before is not None:
        raise ValueError("before: does not go with a jti, which is one token; remove it")
    for name, given in (("before", before), ("until", until)):
        if given is not None and not (type(given) in (int, float) and 0 <= given <= MAX_TIME):
            raise ValueError(f"{name}: is seconds since 1970; found {given!r}")
    if before is None:
        before = now if kind == "sub" else math.inf
    return Entry(
        kind,
        shortened(value),
        issuer,
        float(before),
        math.inf if until is None else float(until),
        now,
    )
