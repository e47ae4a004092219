"""An entry in writing: a JSON object on a line of its own.

``{"sub": "alice", "issuer": "people", "before": 1800000000, "until": 1800086400, "at": …}``: one of
the kinds with its value, and what else is known; times in seconds since 1970.
"""

import json
import math

from jwtguard.core.jose import json_object
from jwtguard.core.revocation import KINDS, Entry, entry_of
from jwtguard.core.wording import did_you_mean

_WORDS = (*KINDS, "issuer", "before", "until", "at")


def line_of(entry: Entry) -> str:
    """The entry as text, without a newline; the same text for equal entries."""
    said: dict[str, object] = {entry.kind: entry.value}
    if entry.issuer is not None:
        said["issuer"] = entry.issuer
    for name in ("before", "until"):
        value = getattr(entry, name)
        if value < math.inf:
            said[name] = _short(value)
    said["at"] = _short(entry.at)
    return json.dumps(said, ensure_ascii=True, separators=(",", ":"))


def entry_in(line: str | bytes) -> Entry:
    """The entry in a line. Raises ValueError with what is wrong."""
    given = json_object(line.encode() if isinstance(line, str) else line)
    kinds = [word for word in given if word in KINDS]
    for word in given:
        if word not in _WORDS:
            raise ValueError(f"{word!r} is not a word of a line{did_you_mean(word, _WORDS)}")
    if len(kinds) != 1:
        raise ValueError(f"names one of {', '.join(KINDS)}; found {len(kinds)} of them")
    (kind,) = kinds
    at = given.get("at", 0)
    if type(at) not in (int, float) or not 0 <= at < math.inf:
        raise ValueError(f"at: is seconds since 1970; found {at!r}")
    if kind == "sub" and "before" not in given:
        raise ValueError('before: is missing; which tokens of a "sub" have ended?')
    return entry_of(
        kind,
        given[kind],
        issuer=given.get("issuer"),
        before=given.get("before"),
        until=given.get("until"),
        now=float(at),
    )


def _short(seconds: float) -> float | int:
    rounded = round(seconds, 3)
    return int(rounded) if rounded == int(rounded) else rounded
