"""The log line of a refusal, logger ``jwtguard.refused``: all that the client is not told.

Values are escaped and cut; tokens and subjects appear as fingerprints only.
"""

import hashlib
import logging
from typing import Any

from .errors import AuthError, ClaimError, Unavailable
from .model import Request

log = logging.getLogger("jwtguard.refused")

MAX_VALUE = 200  # characters


def fingerprint(text: str) -> str:
    """Eight hexadecimal digits that stand for *text* (SHA-256, shortened)."""
    return "#" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def escaped(value: object) -> str:
    """A value on one line, printable ASCII, at most 200 characters."""
    text = value if isinstance(value, str) else repr(value)
    text = text[: MAX_VALUE + 1]  # before escaping, which may be long
    text = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "~"


def _shown(fact: object, error: AuthError) -> object:
    """A subject stays a fingerprint where it is what was found."""
    if isinstance(fact, str) and fact == error.subject:
        return fingerprint(fact)
    return fact


def report(
    error: AuthError,
    request: Request,
    ref: str,
    rule: str | None,
    raw: str | None,
    level: int | None = None,
    *,
    enforced: bool = True,
) -> None:
    """Write the line. The same facts are attributes of the log record."""
    if level is None:
        level = logging.ERROR if isinstance(error, Unavailable) else logging.WARNING
    if not log.isEnabledFor(level):
        return
    facts: dict[str, Any] = {
        "status": error.status,
        "reason": error.reason,
        "ref": ref,
        "rule": rule,
        "method": request.method,
        "path": request.path,
        "issuer": error.issuer,
        "sub": None if error.subject is None else fingerprint(error.subject),
        "token": None if raw is None else fingerprint(raw),
        "claim": error.claim if isinstance(error, ClaimError) else None,
        "found": _shown(error.found, error),
        "want": _shown(error.want, error),
        "hint": error.hint,
    }
    facts = {k: v if v is None or k == "status" else escaped(v) for k, v in facts.items()}
    facts["enforced"] = enforced
    line = [f"{facts['status']} {facts['reason']} ref={ref}"]
    if not enforced:
        line.append("enforced=false")
    if rule is not None:
        line.append(f"rule={facts['rule']}")
    line.append(f"{facts['method']} {facts['path']}")
    line += [f"{k}={facts[k]}" for k in ("issuer", "sub", "token") if facts[k] is not None]
    line += [f'{k}="{facts[k]}"' for k in ("found", "want", "hint") if facts[k] is not None]
    log.log(level, "%s", " ".join(line), extra=facts)
