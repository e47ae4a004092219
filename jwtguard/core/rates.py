"""How many requests in how much time: what is written, and the arithmetic of counting.

A limit is a number of requests, its quota, in a window of whole seconds. The count of the window
before fades out while the present one goes on (a sliding window counter), so that no boundary of a
window lets twice as many through, and a client is two numbers whatever its quota. The same
arithmetic is done in `limits`' Redis storage, whose scripts are used where processes share counts.
"""

import hashlib
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .errors import Problem
from .wording import did_you_mean

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}  # seconds
ADDRESS = "address"
CLAIM = "claim:"
MAX_QUOTA = 1_000_000_000
MAX_WINDOW = 31 * UNITS["day"]

_rate = re.compile(r"([0-9]+) ?(?:/| per ) ?([0-9]+ ?)?([a-z]+?)s?", re.IGNORECASE).fullmatch
_WORDS = ("limit", "burst", "by")
_EXAMPLE = "such as '10/second' or '100/5 minutes'"

Rate = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
"""A rate as it is written: text, a table of `limit`, `burst` and `by`, or a list of these."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``quota`` requests in ``window`` seconds.

    ``claim`` is the claim's name or JSON Pointer, None where it is by address; ``name`` tells it
    apart from the others of its rule, ``place`` is the rule. ``begin`` is what its keys are made
    from besides who is counted, ``policy`` how clients are told of it.
    """

    text: str
    quota: int
    window: int
    claim: str | None
    name: str = ADDRESS
    place: str = ""
    begin: str = field(init=False, repr=False, compare=False)
    policy: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.place, str(self.quota), str(self.window), self.claim or "")
        object.__setattr__(self, "begin", "".join(map(_apart, parts)))
        policy = f'"{self.name}";q={self.quota};w={self.window}'
        object.__setattr__(self, "policy", policy)

    def __str__(self) -> str:
        return f"{self.text} by {ADDRESS if self.claim is None else self.claim}"


def _apart(part: str) -> str:
    """Text that cannot be taken for another text with something behind it."""
    return f"{len(part)}:{part}"


class Used(NamedTuple):
    """The count of the window before, of the present one, and how many seconds are left of it."""

    previous: int
    current: int
    left: float


def remaining(limit: Limit, used: Used) -> int:
    """How many requests more would pass at this moment."""
    fading = int(used.previous * used.left / limit.window)
    return max(0, limit.quota - used.current - fading)


def wait(limit: Limit, used: Used) -> int:
    """In how many whole seconds one more request passes, where none does now; at least 1."""
    room = limit.quota - used.current
    if room > 0:  # once less than that is left of the count before
        seconds = used.left - room * limit.window / max(used.previous, 1)
    else:  # the present window is the one before by then
        seconds = used.left + limit.window * (1 - limit.quota / used.current)
    return max(0, int(seconds)) + 1


@runtime_checkable
class RateStore(Protocol):
    """Where requests are counted, at once."""

    def hit(self, key: str, quota: int, window: int, now: float) -> tuple[bool, Used]:
        """Count a request if it is within the quota; whether it was, and the counts after it."""
        ...

    def look(self, key: str, window: int, now: float) -> Used:
        """The counts, without counting anything."""
        ...


@runtime_checkable
class SharedRateStore(RateStore, Protocol):
    """One that takes I/O: asked through an `Ask`, and down where it raises anything.

    ``when_down`` says what becomes of requests then: "allow" or "refuse".
    """

    when_down: str

    def ahit(self, key: str, quota: int, window: int, now: float) -> Awaitable[tuple[bool, Used]]:
        """As `hit`, on an event loop."""
        ...

    def alook(self, key: str, window: int, now: float) -> Awaitable[Used]:
        """As `look`, on an event loop."""
        ...


Counted = tuple[int, int, int]  # the number of the window, the count of the one before, of this one


class MemoryRateStore:
    """Counts in this process alone, for at most *max_keys* clients and claims.

    Two generations, as in the cache of tokens: who is still being counted when the newer is full
    moves along, so that a flood of new addresses makes nobody forget whom it holds back. Two
    threads that count for one client at the very same moment may count one request.
    """

    def __init__(self, max_keys: int = 100_000) -> None:
        self.problems: list[Problem] = []
        if type(max_keys) is not int or max_keys < 2:
            self.problems.append(("max_keys", f"is a number, 2 or more; found {max_keys!r}"))
            max_keys = 2
        self._half = max_keys // 2
        self._new: dict[str, Counted] = {}
        self._old: dict[str, Counted] = {}

    def hit(self, key: str, quota: int, window: int, now: float) -> tuple[bool, Used]:
        """Count a request if it is within the quota; whether it was, and the counts after it."""
        number, left = int(now // window), window - now % window
        previous, current = self._counts(key, number)
        allowed = int(previous * left / window) + current < quota
        if key not in self._new and len(self._new) >= self._half:
            self._old, self._new = self._new, {}
        current += allowed
        self._new[key] = (number, previous, current)
        return allowed, Used(previous, current, left)

    def look(self, key: str, window: int, now: float) -> Used:
        """The counts, without counting anything."""
        return Used(*self._counts(key, int(now // window)), window - now % window)

    def _counts(self, key: str, number: int) -> tuple[int, int]:
        was, previous, current = self._new.get(key) or self._old.get(key) or (number, 0, 0)
        if was == number:
            return previous, current
        return (current, 0) if was == number - 1 else (0, 0)

    def __len__(self) -> int:
        return len(self._new.keys() | self._old.keys())


def key_for(limit: Limit, who: Sequence[str]) -> str:
    """Under which key *who* is counted: a fingerprint (SHA-256, 128 bits of it).

    A store that others can read learns no subject and no address as it is.
    """
    text = limit.begin + "".join(map(_apart, who))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# --- what is written -----------------------------------------------------------------------------


def as_limits(
    given: object, where: str = "rate", place: str = ""
) -> tuple[list[Limit], list[Problem]]:
    """The limits that a rate says, the shortest window first, and what is wrong with it.

    *where* it is written, and the *place* that keys are told apart by: they count together in all
    processes whose limits have one place.

    The order matters because the first that is exceeded ends it: who hammers at a limit of
    seconds does not use up that of the day.
    """
    if given is None:
        return [], []
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        written = [(where, given)]
    else:
        written = [(f"{where}[{index}]", one) for index, one in enumerate(given)]
    limits: list[Limit] = []
    problems: list[Problem] = []
    if not written:
        problems.append((where, "is empty; leave it out for no limit"))
    for at, one in written:
        if isinstance(one, Mapping):
            found = _read_table(at, one, problems)
        else:
            found = _read_text(at, one, problems)
        if found is None:
            continue
        if any((found.claim, found.window) == (other.claim, other.window) for other in limits):
            what = f"there are two limits of {found.window} s for the same; keep the lower one"
            problems.append((at, what))
        limits.append(replace(found, place=place))
    return _named(sorted(limits, key=lambda limit: limit.window)), problems


def _named(limits: list[Limit]) -> list[Limit]:
    """With names that say no more than clients need: address, address-2, claim."""
    named: list[Limit] = []
    for limit in limits:
        kind = ADDRESS if limit.claim is None else "claim"
        number = sum((other.claim is None) == (limit.claim is None) for other in named) + 1
        named.append(replace(limit, name=kind if number == 1 else f"{kind}-{number}"))
    return named


def _read_text(place: str, given: object, problems: list[Problem]) -> Limit | None:
    """`10/second`: that many in that time."""
    match = _rate(given.strip()) if isinstance(given, str) else None
    if match is None:
        problems.append((place, f"is a number of requests in a time, {_EXAMPLE}; found {given!r}"))
        return None
    number, unit = int(match[1][:20]), match[3].lower()
    if unit not in UNITS:
        known = ", ".join(UNITS)
        hint = did_you_mean(unit, UNITS)
        problems.append((place, f"{match[3]!r} is no unit of time; known are {known}{hint}"))
        return None
    window = int((match[2] or "1")[:20]) * UNITS[unit]
    if not (0 < number <= MAX_QUOTA and 0 < window <= MAX_WINDOW):
        what = f"allows 1 to {MAX_QUOTA} requests in 1 second to 31 days; found {given!r}"
        problems.append((place, what))
        return None
    return Limit(str(given).strip(), number, window, None)


def _read_table(place: str, given: Mapping[str, Any], problems: list[Problem]) -> Limit | None:
    """`{ limit = "10/second", burst = 20, by = "claim:sub" }`."""
    before = len(problems)
    for word in given:
        if word not in _WORDS:
            hint = did_you_mean(word, _WORDS) or f"; known are {', '.join(_WORDS)}"
            problems.append((f"{place}.{word}", f"is not a word of a rate{hint}"))
    claim = _read_by(f"{place}.by", given.get("by", ADDRESS), problems)
    if "limit" not in given:
        more = ": a burst is how many of them may come at once" if "burst" in given else ""
        problems.append((f"{place}.limit", f"is missing, {_EXAMPLE}{more}"))
        return None
    limit = _read_text(f"{place}.limit", given["limit"], problems)
    if limit is None:
        return None
    limit = replace(limit, claim=claim)
    if given.get("burst") is not None:
        limit = _with_burst(f"{place}.burst", limit, given["burst"], problems)
    return limit if len(problems) == before else None


def _read_by(place: str, by: object, problems: list[Problem]) -> str | None:
    if by == ADDRESS:
        return None
    if isinstance(by, str) and by.startswith("/"):
        return by
    if isinstance(by, str) and by.startswith(CLAIM) and by != CLAIM:
        return by.removeprefix(CLAIM)
    hint = did_you_mean(by, [ADDRESS, "claim:sub"])
    problems.append(
        (
            place,
            f"is 'address', 'claim:NAME' or a JSON Pointer such as '/org/id'; found {by!r}{hint}",
        )
    )
    return None


def _with_burst(place: str, limit: Limit, burst: object, problems: list[Problem]) -> Limit:
    """The same rate over the window in which *burst* requests come to it.

    So 10 a second with a burst of 20 is 20 in 2 seconds: never more than 20 at once, and 10 a
    second in the long run.
    """
    if type(burst) is not int or not 0 < burst <= MAX_QUOTA:
        problems.append((place, f"is how many may come at once, 1 or more; found {burst!r}"))
        return limit
    seconds, rest = divmod(burst * limit.window, limit.quota)
    if rest or not 0 < seconds <= MAX_WINDOW:
        near = _bursts_near(limit, burst)
        what = f"{burst} at {limit.text} is no whole number of seconds (1 to 31 days){near}"
        problems.append((place, what))
        return limit
    return replace(limit, text=f"{limit.text} burst {burst}", quota=burst, window=seconds)


def _bursts_near(limit: Limit, burst: int) -> str:
    """The bursts below and above *burst* that come out even."""
    for_seconds = (burst * limit.window // limit.quota, -(-burst * limit.window // limit.quota))
    fitting = [
        str(quota)
        for seconds in for_seconds
        if 0 < seconds <= MAX_WINDOW
        for quota, rest in [divmod(seconds * limit.quota, limit.window)]
        if not rest
    ]
    return f"; {' or '.join(fitting)} would be" if fitting else ""
