"""``jwtguard keys``: which keys each issuer has now, from where, and until when."""

import json
import sys
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from jwtguard.core.issuer import Issuer
from jwtguard.core.keyloader import KeySource
from jwtguard.core.keys import Key
from jwtguard.core.remote import RemoteKeys

from .checking import counted, find
from .output import painted, printable, wrapped
from .sources import Notes, fetch_keys, named, origin
from .tokens import when


def run(given: Namespace) -> int:
    """0 where every issuer has keys, 1 where one has none."""
    guard = find(given.target)
    notes = fetch_keys(guard)
    if given.json:
        report = [_as_json(issuer, notes) for issuer in guard.issuers]
        print(json.dumps({"issuers": report}, indent=2))
    else:
        for issuer in guard.issuers:
            _print(issuer, notes)
    return 0 if all(_count(issuer) or not _wants_keys(issuer) for issuer in guard.issuers) else 1


_WITHOUT = {
    True: "keys are each tenant's own, and no tenant has spoken",
    False: "introspected, no keys",
}


def _wants_keys(issuer: Issuer) -> bool:
    """Whether it should have keys by now: not where nobody knows yet which tenants will speak."""
    return issuer.has_keys and bool(issuer.sources)


def _count(issuer: Issuer) -> int:
    return sum(len(source.current().keys) for source in issuer.sources)


def _times(source: KeySource) -> tuple[float, float] | None:
    """Until when the keys are fresh, and until when they are used where a refresh fails."""
    snapshot = source.snapshot if isinstance(source, RemoteKeys) else None
    return None if snapshot is None else (snapshot.fresh_until, snapshot.stale_until)


def _served(key: Key, issuer: Issuer) -> list[str]:
    """The algorithms a key may verify for this issuer."""
    return [name for name in issuer.algorithms if name in key.algorithms]


def _print(issuer: Issuer, notes: Notes) -> None:
    number = _count(issuer)
    out = sys.stdout
    count = painted(counted(number, "key"), "green" if number else "red", out)
    print(
        f"{printable(issuer.name)}: {count if _wants_keys(issuer) else _WITHOUT[issuer.has_keys]}"
    )
    for source in issuer.sources:
        print(wrapped(f"from {printable(origin(source))}", 2))
        if (times := _times(source)) is not None:
            fresh, stale = times
            print(wrapped(f"fresh until {when(fresh)}", 4))
            if stale > fresh:
                print(wrapped(f"used until {when(stale)} where refreshes fail", 4))
        for note in notes.get(source, ()):
            print(wrapped(f"{painted('note', 'yellow', out)}: {printable(note)}", 4))
        for key in source.current().keys:
            served = " ".join(_served(key, issuer)) or "nothing that the issuer lists"
            print(wrapped(f"{printable(named(key))}: {served}", 4))


def _as_json(issuer: Issuer, notes: Notes) -> dict[str, Any]:
    def of(source: KeySource) -> dict[str, Any]:
        fresh, used = _times(source) or (None, None)
        keys = [
            {"kid": key.kid, "type": key.kind, "algorithms": _served(key, issuer)}
            for key in source.current().keys
        ]
        return {
            "from": origin(source),
            "fresh_until": _iso(fresh),
            "used_until": _iso(used),
            "keys": keys,
            "notes": list(notes.get(source, ())),
        }

    sources = [of(source) for source in issuer.sources]
    return {"name": issuer.name, "issuer": issuer.issuer, "sources": sources}


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
