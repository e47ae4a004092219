"""Keys that are fetched: a JWK Set at an address, which discovery may have to find first.

Theory of operation. A source holds one immutable `Snapshot` and swaps it whole.

- Until ``fresh_until`` it is used as it is. From ``refresh_at`` on, somewhat before, the next
  request starts a refresh in the background and waits for nothing.
- Until ``stale_until`` it is still used where refreshes fail: a provider that is down takes nobody
  with it whose keys are known.
- After that, and before the first answer, a request waits for an exchange.

Asking is rationed by one number: between the ends of two exchanges lie at least ``cooldown``
seconds, whoever asks and why; after failures more, doubled each time and jittered, so that a fleet
does not come back as one. A token with an unknown ``kid`` may cause an exchange, but only within
that ration, and for one ``kid`` only at every second turn of it (PyJWT CVE-2026-48524).

Many requests may wait for one exchange: each yields the same `Fetch`, named by its ``flight``, and
gets the same answer; the first one back reads it, the others find the work done. One exchange for
all of them, the deadline, the size, redirects and TLS are the transport's.
"""

import logging
import math
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self, TypedDict, Unpack

from .discovery import TENANT, address_problems, discovered, discovery_address, document_of
from .errors import FetchError, KeysUnavailable, Problem
from .freshness import freshness
from .keys import KeySet, parse_jwk_set
from .model import Clock, Fetch, Fetched, Flow

log = logging.getLogger("jwtguard.keys")

MAX_ABSENT_KIDS = 1024
ABSENT_FOR = 2  # times the cooldown, and no longer than the set that lacks it is fresh
MAX_NOTES = 10  # lines of log about one answer
MAX_BACKOFF = 32  # times the cooldown
MAX_BACKOFF_WITHOUT_KEYS = 4
REFRESH_AHEAD = 0.75  # of the time that a set is fresh

_NO_KEYS = KeySet()


class Snapshot:
    """What one answer said, and how long it counts; times in seconds since the epoch."""

    __slots__ = ("fetched_at", "fresh_until", "keys", "refresh_at", "stale_until", "validator")

    def __init__(
        self,
        keys: KeySet,
        validator: tuple[str, str] | None,
        fetched_at: float,
        fresh: float,
        stale: float,
    ) -> None:
        self.keys = keys
        self.validator = validator  # address and entity tag: a tag means nothing elsewhere
        self.fetched_at = fetched_at
        self.refresh_at = fetched_at + fresh * REFRESH_AHEAD
        self.fresh_until = fetched_at + fresh
        self.stale_until = fetched_at + max(fresh, stale)


class RemoteWords(TypedDict, total=False):
    """The parameters that every source of fetched keys has, by `RemoteKeys`' names."""

    cooldown: float
    min_fresh: float
    max_fresh: float
    max_stale: float
    timeout: float
    max_bytes: int
    insecure_http: bool
    clock: Clock
    jitter: Callable[[], float]


class RemoteKeys:
    """A JWK Set (RFC 7517 section 5) at an https address.

    - ``cooldown``: seconds between two exchanges at least.
    - ``min_fresh``, ``max_fresh``: bounds, in seconds, of what ``Cache-Control: max-age`` may say;
      ``max_fresh`` where it says nothing.
    - ``max_stale``: seconds that keys are used after they were fetched while refreshes fail.
    - ``timeout``: seconds for a whole exchange; ``max_bytes``: of an answer.
    - ``insecure_http``: allow plain http, to loopback and private addresses only.
    - ``clock``: seconds since the epoch; ``jitter``: a number from 0 to 1.

    Problems are reported by `Guard`.
    """

    _address = "jwks_uri"
    _may_be_template = False

    def __init__(
        self,
        jwks_uri: str,
        *,
        cooldown: float = 30,
        min_fresh: float = 60,
        max_fresh: float = 3600,
        max_stale: float = 86_400,
        timeout: float = 5,
        max_bytes: int = 1_048_576,
        insecure_http: bool = False,
        clock: Clock = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = jwks_uri
        self.cooldown = cooldown
        self.min_fresh = min_fresh
        self.max_fresh = max_fresh
        self.max_stale = max_stale
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.insecure = insecure_http
        self._clock = clock
        self._jitter = jitter
        self._snapshot: Snapshot | None = None
        self._attempt = 0  # how many exchanges have ended
        self._failures = 0  # how many of the last ones failed
        self._not_before = float("-inf")  # when the next exchange may start
        self._absent: dict[str | None, float] = {}  # kid -> until when nobody asks for it again
        self._busy_until = -math.inf  # until then somebody is taken to be asking
        self.problems: Sequence[Problem] = tuple(self._find_problems())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def _find_problems(self) -> Iterable[Problem]:
        yield from address_problems(self._address, self.url, self.insecure)
        if isinstance(self.url, str) and TENANT in self.url and not self._may_be_template:
            yield (
                self._address,
                f"only discovery takes {TENANT}; this address is asked for as it is",
            )
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        wrong = {n: v for n, v in numbers.items() if not _is_amount(v, zero=n in _MAY_BE_ZERO)}
        for name, value in wrong.items():
            unit = "bytes" if name == "max_bytes" else "seconds"
            least = ", 0 or more" if name in _MAY_BE_ZERO else " above 0"
            yield name, f"is a number of {unit}{least}; found {value!r}"
        # A max_fresh below the default of min_fresh takes that along.
        if not wrong and self.min_fresh > max(self.max_fresh, 60):
            yield "min_fresh", f"is {self.min_fresh:g}, more than max_fresh, {self.max_fresh:g}"
        if not isinstance(self.insecure, bool):
            yield "insecure_http", f"is true or false; found {self.insecure!r}"

    # --- what is known ---

    @property
    def snapshot(self) -> Snapshot | None:
        """What the last good answer said and how long it counts; None before the first."""
        return self._snapshot

    def current(self) -> KeySet:
        """The keys known now; none before the first answer and after ``max_stale``."""
        snapshot = self._snapshot
        if snapshot is None or self._clock() >= snapshot.stale_until:
            return _NO_KEYS
        return snapshot.keys

    def due(self) -> bool:
        """Whether it is time to refresh ahead of expiry, and nobody has begun to."""
        snapshot = self._snapshot
        return snapshot is not None and self._clock() >= max(
            snapshot.refresh_at, self._not_before, self._busy_until
        )

    # --- asking ---

    def lookup(self, algorithm: str, kid: str | None) -> Flow[None]:
        """Fetch the set where none is known, or where it may know this *kid* by now.

        Raises KeysUnavailable (503) where that would be too early or came to nothing: a key that
        may exist is not missing.
        """
        now = self._clock()
        too_early = self._is_early(now)  # looked at first: see `_ended`
        known = bool(self.current().keys)
        if known and not self._failures and now < self._absent.get(kid, -math.inf):
            return
        if too_early:
            if known and not self._failures:
                return
            raise self._unavailable()
        yield from self.refresh()
        if self._failures:
            raise self._unavailable()
        if not self.current().find(algorithm, kid):
            self._remember_absent(kid)

    def refresh(self) -> Flow[None]:
        """Ask again, unless that is too early. A failure is logged and leaves the keys as they
        are.

        From the call on, before the flow is begun, nothing is `due`: many requests may see that it
        is time, and one of them is enough.
        """
        is_time = not self._is_early(self._clock())
        if is_time:
            # Somebody who began may never end: he was cancelled, or stayed behind when we were
            # forked. Discovery makes two exchanges.
            self._busy_until = self._clock() + 2 * self.timeout
        return self._refresh(self._attempt if is_time else -1)

    def _is_early(self, now: float) -> bool:
        # More than the longest wait ahead: the clock was set back, and nobody waits for that.
        return 0 < self._not_before - now <= self.cooldown * MAX_BACKOFF * 1.25

    def _refresh(self, attempt: int) -> Flow[None]:
        failures = self._failures + 1
        if attempt != self._attempt:
            return  # too early, or another one has ended meanwhile
        try:
            yield from self._exchange(attempt)
        except (FetchError, ValueError) as error:
            if attempt == self._attempt:
                self._failed(error, attempt, failures)

    def _exchange(self, attempt: int) -> Flow[None]:
        yield from self._ask_for_set(self.url, attempt)

    def _ask_for_set(self, url: str, attempt: int) -> Flow[None]:
        snapshot = self._snapshot
        headers = {"Accept": "application/jwk-set+json, application/json"}
        validator = None if snapshot is None else snapshot.validator
        if validator is not None and validator[0] == url:
            headers["If-None-Match"] = validator[1]
        answer = yield self._fetch(url, attempt, headers)
        if attempt != self._attempt:
            return  # another waiter has read this very answer
        if answer.status == 304 and snapshot is not None and "If-None-Match" in headers:
            self._succeeded(snapshot.keys, validator, answer, attempt)
            return
        keys = _usable(url, document_of(url, answer))
        etag = answer.headers.get("etag", "")
        validator = (url, etag) if _entity_tag(etag) else None
        if attempt == self._attempt:
            self._succeeded(keys, validator, answer, attempt)

    def _fetch(self, url: str, attempt: int, headers: dict[str, str]) -> Fetch:
        return Fetch(
            url,
            headers=headers,
            timeout=self.timeout,
            max_bytes=self.max_bytes,
            insecure_http=self.insecure,
            flight=(self, attempt),
        )

    def _succeeded(
        self,
        keys: KeySet,
        validator: tuple[str, str] | None,
        answer: Fetched,
        attempt: int,
    ) -> None:
        now = self._clock()
        before = self._snapshot
        if before is not None and (keys.keys, keys.disabled) == (
            before.keys.keys,
            before.keys.disabled,
        ):
            keys = before.keys  # the same object, so that what it verified need not be looked up
        elif before is not None:
            log.info("%s: the keys changed, %d now", self.url, len(keys))
            self._absent.clear()
        fresh = freshness(answer, self.min_fresh, self.max_fresh)
        self._snapshot = Snapshot(keys, validator, now, fresh, self.max_stale)
        self._ended(attempt, 0, self.cooldown)
        self._accepted(now, None if answer.status == 304 else answer.body)

    def _failed(self, error: Exception, attempt: int, failures: int) -> None:
        # Where nobody can be served, somebody looks more often whether that is over.
        most = MAX_BACKOFF if self.current().keys else MAX_BACKOFF_WITHOUT_KEYS
        wait = self.cooldown * min(2 ** (failures - 1), most) * (1 + self._jitter() / 4)
        snapshot = self._snapshot
        kept = (
            "no keys are known"
            if snapshot is None
            else (
                f"keys of {self._clock() - snapshot.fetched_at:.0f} s ago are used for "
                f"{max(0.0, snapshot.stale_until - self._clock()):.0f} s more"
            )
        )
        self._ended(attempt, failures, wait)
        why = str(error).removeprefix(f"{self.url}: ").removeprefix(f"{self.url} ")
        log.error("%s: %s; %s; asked again in %.0f s", self.url, why, kept, wait)

    def _ended(self, attempt: int, failures: int, wait: float) -> None:
        """Write down how an attempt ended, after its keys.

        Threads that got one answer may all come here: each writes the same, and the number, by
        which the others see that there is nothing left to do, comes last.
        """
        self._failures = failures
        self._not_before = self._clock() + wait
        self._busy_until = -math.inf
        self._attempt = attempt + 1

    def _remember_absent(self, kid: str | None) -> None:
        snapshot = self._snapshot
        if snapshot is not None:
            if len(self._absent) >= MAX_ABSENT_KIDS:
                self._absent.clear()
            # Not for as long as the set is fresh: a set may be published after the first token.
            until = self._clock() + ABSENT_FOR * self.cooldown
            self._absent[kid] = min(until, snapshot.fresh_until)

    def _unavailable(self) -> KeysUnavailable:
        wait = max(1, math.ceil(self._not_before - self._clock()))
        return KeysUnavailable(retry_after=wait, hint=f"{self.url}; asked again in {wait} s")

    # --- across a restart ---

    def _start_from(self, document: object, fetched_at: float) -> None:
        """Begin with a set of an earlier life: used like any stale one, and due for a refresh.

        Raises ValueError or FetchError where it has no usable key.
        """
        keys = _usable(self.url, document)
        self._snapshot = Snapshot(keys, None, fetched_at, 0, self.max_stale)

    def _accepted(self, fetched_at: float, body: bytes | None) -> None:
        """Told of every good answer. *body*: the set as it came; None where it is as before."""


class Discovery(RemoteKeys):
    """The keys of an OpenID provider, found by its discovery document.

    ``url`` is the document's address; where it is not given, the issuer's with
    ``/.well-known/openid-configuration`` behind it (OpenID Connect Discovery 1.0 section 4). The
    document's ``issuer`` must be the issuer itself. The other parameters are those of `RemoteKeys`.
    """

    _address = "url"
    _may_be_template = True

    def __init__(self, url: str | None = None, **words: Unpack[RemoteWords]) -> None:
        self.issuer: str | None = None
        self._words = words
        super().__init__(url, **words)  # type: ignore[arg-type]

    def _find_problems(self) -> Iterable[Problem]:
        found = super()._find_problems()
        return found if self.url is not None else (p for p in found if p[0] != self._address)

    def of(self, issuer: str | None) -> Iterable[Problem]:
        """Told by the `Issuer` whose keys these are."""
        if self.issuer is not None and self.issuer != issuer:
            yield "keys", f"are those of {self.issuer!r}; give each issuer a Discovery of its own"
            return
        self.issuer = issuer
        if issuer is None:
            yield "keys", "are found by discovery, which needs the issuer's iss value"
        elif not isinstance(issuer, str):
            return
        elif "?" in issuer:
            yield "keys", "cannot be discovered for an iss with a query; use RemoteKeys"
        elif self.url is None:
            self.url = discovery_address(issuer)
            yield from address_problems("keys", self.url.replace(TENANT, "t"), self.insecure)
        elif TENANT in issuer and TENANT not in self.url:
            yield (
                "keys.url",
                f"each tenant has a document of its own: put {TENANT} into the address",
            )

    def for_tenant(self, issuer: str, tenant: str) -> Self:
        """The same for one tenant of a template, with keys of its own."""
        url = None if self.url is None else self.url.replace(TENANT, tenant)
        source = type(self)(url, **self._words)
        source.issuer = issuer
        return source

    def _exchange(self, attempt: int) -> Flow[None]:
        answer = yield self._fetch(self.url, attempt, {"Accept": "application/json"})
        if attempt != self._attempt:
            return
        jwks_uri = discovered(self.url, answer, self.issuer, "jwks_uri", self.insecure)
        yield from self._ask_for_set(jwks_uri, attempt)


def _usable(url: str, document: object) -> KeySet:
    """The usable keys of a set; what is left out is logged. Raises ValueError or FetchError."""
    keys, notes = parse_jwk_set(document, symmetric=False)
    for note in notes[:MAX_NOTES]:
        log.warning("%s: left out %s", url, note)
    if len(notes) > MAX_NOTES:
        log.warning("%s: %d more left out", url, len(notes) - MAX_NOTES)
    if not keys.keys:
        raise FetchError(f"{url} has no usable key")
    return keys


_MAY_BE_ZERO = ("cooldown", "min_fresh", "max_fresh", "max_stale")
_NUMBERS = (*_MAY_BE_ZERO, "timeout", "max_bytes")


def _is_amount(value: object, *, zero: bool) -> bool:
    if type(value) not in (int, float) or not value < math.inf:  # type: ignore[operator]
        return False
    return value >= 0 if zero else value > 0  # type: ignore[operator]


# RFC 9110 section 8.8.3, without obs-text, which not every client can send back.
_entity_tag = re.compile(r'(?:W/)?"[!#-~]{0,1024}"').fullmatch
