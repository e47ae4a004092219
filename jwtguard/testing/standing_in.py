"""A fake issuer in the place of a configured one, for a while.

The seam is ``guard.verifier``: for the block it is one that puts the stand-in where the rules say
the original, with a memory of verified tokens of its own. So no token of before is found within,
none of within afterwards, an exchange that is under way ends where it began, and neither the
issuer (another guard may share it) nor anything on the way of a request changes. Nothing in
a configuration leads here.
"""

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jwtguard import drive
from jwtguard.core.candidates import Candidates
from jwtguard.core.claims import Claims
from jwtguard.core.errors import ConfigurationError, KeysUnavailable
from jwtguard.core.extractor import FromCookie
from jwtguard.core.guard import Guard
from jwtguard.core.introspection import Introspection
from jwtguard.core.issuer import Issuer
from jwtguard.core.keys import KeySet
from jwtguard.core.model import Clock, Flow
from jwtguard.core.token import Verified
from jwtguard.core.verifier import Verifier
from jwtguard.core.wording import one_of

if TYPE_CHECKING:
    from .issuer import FakeIssuer


class Following:
    """A key source that always has the fake issuer's keys of the moment."""

    problems = ()

    def __init__(self, idp: "FakeIssuer") -> None:
        self._idp = idp

    def current(self) -> KeySet:
        """The keys of the moment."""
        return self._idp.key_set()


class Asked(Following):
    """The same for an issuer whose keys are fetched: while it is down, no new ones are had."""

    def current(self) -> KeySet:
        """The keys that were published when it could last be asked."""
        return self._idp.key_set(last_seen=True)

    def lookup(self, algorithm: str, kid: str | None) -> Flow[None]:
        """Raises KeysUnavailable while the issuer is down."""
        if self._idp.down:
            raise KeysUnavailable(hint="the fake issuer is down")
        return
        yield


class AskedHere(Introspection):
    """Introspection whose exchanges are made in the process."""

    def __init__(self, idp: "FakeIssuer", given: Introspection) -> None:
        super().__init__(
            idp.introspection_endpoint,
            client_id="stand-in",
            client_secret="stand-in",  # noqa: S106 - the fake issuer lets everybody ask
            when=given.when,
            ttl=given.ttl,
            negative_ttl=given.negative_ttl,
            clock=idp.clock,
        )
        self.issuer = given.issuer
        self._idp = idp

    def ask(self, raw: str, *, was_good: bool = False) -> Flow[tuple[Claims, bool]]:
        """What the fake issuer says of an active token; as `Introspection.ask`."""
        return drive.run(super().ask(raw, was_good=was_good), self._idp.fetch)
        yield


def stand_in(issuer: Issuer, idp: "FakeIssuer") -> Issuer:
    """The configured issuer with the keys, and the introspection, of the fake one."""
    other = copy.copy(issuer)
    if issuer.has_keys:
        other.source = Asked(idp) if issuer.fetches else Following(idp)
    other.refreshes = False
    other.tenancy = copy.copy(issuer.tenancy)
    other.tenancy.have_own_keys = False
    if issuer.introspection is not None:
        other.introspection = AskedHere(idp, issuer.introspection)
    return other


@dataclass(frozen=True, eq=False)
class _Place:
    """Who stands in for whom."""

    original: Issuer
    stand_in: Issuer
    clock: Clock | None


@dataclass(frozen=True)
class _Before:
    """What a guard had when nobody stood in."""

    verifier: Verifier
    issuers: tuple[Issuer, ...]
    clock: Clock
    cache_size: int


class _WithStandIns(Verifier):
    """Verifies as ever, with stand-ins in the places of some issuers."""

    def __init__(self, before: _Before, places: Sequence[_Place], clock: Clock) -> None:
        was = before.verifier
        super().__init__(before.cache_size, clock, was.revocations, was.shared)
        self.before = before
        self.places = places
        self._stand_ins = {place.original: place.stand_in for place in places}

    def recall(self, raw: str, candidates: Candidates) -> Verified | None:
        return super().recall(raw, _Swapped.of(candidates, self._stand_ins))

    def verify(
        self, raw: str, candidates: Candidates, *, may_ask: bool = True
    ) -> Verified | Flow[Verified]:
        swapped = _Swapped.of(candidates, self._stand_ins)
        return super().verify(raw, swapped, may_ask=may_ask)


class _Swapped(Candidates):
    """The issuers that may speak on a rule, some of them by a stand-in."""

    def __init__(self, candidates: Candidates, stand_ins: Mapping[Issuer, Issuer]) -> None:
        self._candidates = candidates
        self._stand_ins = stand_ins
        self.issuers = frozenset(stand_ins.get(one, one) for one in candidates.issuers)
        asked = candidates.introspecting
        self.introspecting = None if asked is None else stand_ins.get(asked, asked)

    @classmethod
    def of(cls, candidates: Candidates, stand_ins: Mapping[Issuer, Issuer]) -> Candidates:
        return candidates if isinstance(candidates, cls) else cls(candidates, stand_ins)

    def choose(self, claims: Claims) -> tuple[Issuer, str | None]:
        issuer, tenant = self._candidates.choose(claims)
        return self._stand_ins.get(issuer, issuer), tenant


_lock = threading.Lock()


@contextmanager
def stood_in(
    guard: Guard, original: Issuer, stand_in: Issuer, clock: Clock | None
) -> Iterator[None]:
    """Put the stand-in into its place for the block. Blocks may overlap: the last one counts."""
    place = _Place(original, stand_in, clock)
    with _lock:
        before, places = _now(guard)
        _arrange(guard, before, [*places, place])
    try:
        yield
    finally:
        with _lock:
            before, places = _now(guard)
            _arrange(guard, before, [one for one in places if one is not place])


def _now(guard: Guard) -> tuple[_Before, Sequence[_Place]]:
    verifier = guard.verifier
    if isinstance(verifier, _WithStandIns):
        return verifier.before, verifier.places
    return _Before(verifier, guard.issuers, guard._clock, guard._setup.given.cache_size), ()


def _arrange(guard: Guard, before: _Before, places: Sequence[_Place]) -> None:
    clock = next((p.clock for p in reversed(places) if p.clock is not None), before.clock)
    stand_ins = {place.original: place.stand_in for place in places}
    guard.issuers = tuple(stand_ins.get(one, one) for one in before.issuers)
    guard._clock = clock
    guard.verifier = _WithStandIns(before, places, clock) if places else before.verifier


def chosen(guard: Guard, name: str | None) -> Issuer:
    """The configured issuer of this name, or the only one. Raises ConfigurationError."""
    if not isinstance(guard, Guard):
        raise ConfigurationError(
            f"standing_in takes the Guard; found {type(guard).__name__}. "
            "GuardMiddleware(app, guard) keeps it as .guard"
        )
    issuers = _now(guard)[0].issuers
    found = [issuer for issuer in issuers if name in (None, issuer.name)]
    if len(found) != 1:
        names = tuple(issuer.name for issuer in issuers)
        what = "is missing; " if name is None else ""
        raise ConfigurationError([("name", what + one_of(name, names))])
    return found[0]


def clock_of(guard: Guard) -> Clock:
    """The guard's time."""
    return guard._clock


def origin_of(guard: Guard) -> str | None:
    """A page that may send cookies along: the guard's own site, or the first of ``origins``."""
    setup = guard._setup
    return setup.public_origin or min(setup.origins, default=None)


def cookie_of(guard: Guard) -> str | None:
    """The name of the first cookie that a rule reads a token from."""
    places = (place for rule in guard.policy.rules for place in rule.ambient)
    return next((place.name for place in places if isinstance(place, FromCookie)), None)
