"""``jwtguard revoke``: end tokens, a session, a subject or a key."""

import time
from argparse import Namespace
from datetime import UTC, datetime

from jwtguard.core.errors import Unavailable
from jwtguard.core.revocation import KINDS, SESSION, Entry
from jwtguard.core.wording import did_you_mean
from jwtguard.guard import Guard
from jwtguard.revocations.following import Following

from .checking import find
from .output import WrongUse, complain, printable, wrapped


def run(given: Namespace) -> int:
    """0 where it is revoked, 1 where nobody could be told."""
    guard = find(given.target)
    revocations = guard.revocations
    if not isinstance(revocations, Following):
        raise WrongUse(
            "the configuration names no place where revocations are shared: add [revocation] with "
            'file = "revoked.jsonl" or redis = { env = "REDIS_URL" }'
        )
    kind = next(kind for kind in KINDS if getattr(given, kind) is not None)
    _check_issuer(guard, given.issuer)
    until = None if given.seconds is None else time.time() + given.seconds
    before = None if given.before is None else _time(given.before)
    try:
        entry = revocations.revoke(
            kind, getattr(given, kind), issuer=given.issuer, before=before, until=until
        )
    except ValueError as error:
        raise WrongUse(f"--{error}") from None
    except Unavailable as error:
        complain(f"jwtguard: nothing was revoked: {error.hint}")
        return 1
    print(wrapped(printable(_said(entry))))
    return 0


def _check_issuer(guard: Guard, name: str | None) -> None:
    names = [*(issuer.name for issuer in guard.issuers), SESSION]
    if name is not None and name not in names:
        raise WrongUse(f"--issuer: {name!r} is none of {names}{did_you_mean(name, names)}")


def _time(text: str) -> float:
    if text.isdecimal() and len(text) >= 9:  # else it may be a year
        return float(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise WrongUse(
            f"--before: is a time such as 2027-01-15T08:00:00Z, or seconds since 1970; "
            f"found {text!r}"
        )
    return found.timestamp()


def _said(entry: Entry) -> str:
    issuer = "every issuer" if entry.issuer is None else f"issuer {entry.issuer}"
    what = f"revoked: {entry.kind} {entry.value} of {issuer}"
    if entry.before < float("inf"):
        what += f", tokens issued before {_shown(entry.before)}"
    if entry.until < float("inf"):
        what += f", until {_shown(entry.until)}"
    return what


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
