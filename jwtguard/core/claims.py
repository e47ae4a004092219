"""The claims of a token, checked before any key is looked at (RFC 7519 section 4.1).

Types are checked whether or not a claim is needed: a token with a boolean ``exp`` is malformed
even where nobody asked for ``exp``. Times are JSON numbers in seconds since the epoch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import (
    ClaimMismatch,
    MissingClaim,
    TokenExpired,
    TokenNotYetValid,
    TokenTooOld,
)

Claims = dict[str, Any]
"""A JSON object: the claims of a token, or its JOSE header."""

MAX_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second that datetime knows

Times = tuple[float | None, float | None, float | None]
"""``exp``, ``nbf`` and ``iat``; None where absent."""

Period = tuple[float, float]
"""From when until when a token is valid: ``from <= now < until``, in seconds."""

_NUMBERS = frozenset({int, float})


def check_types(claims: Claims) -> Times:
    """Registered claims have their RFC 7519 type where present. Raises ClaimMismatch."""
    for name in ("exp", "nbf", "iat"):
        if name in claims:
            value = claims[name]
            # type() and not isinstance(): True is an int. NaN fails both comparisons.
            if type(value) not in _NUMBERS or not 0 <= value <= MAX_TIME:
                raise ClaimMismatch(name, "claim_type", found=value, want="seconds since 1970")
    for name in ("iss", "sub", "jti"):
        if name in claims and type(claims[name]) is not str:
            raise ClaimMismatch(name, "claim_type", found=claims[name], want="a string")
    audience = claims.get("aud", "")
    if type(audience) is not str and not (
        type(audience) is list and all(type(one) is str for one in audience)
    ):
        raise ClaimMismatch("aud", "claim_type", found=audience, want="a string or strings")
    return claims.get("exp"), claims.get("nbf"), claims.get("iat")


def check_audience(claims: Claims, wanted: frozenset[str]) -> None:
    """``aud`` names one of *wanted*, by whole strings (RFC 7519 section 4.1.3)."""
    audience = claims.get("aud")
    if audience is None:
        raise MissingClaim("aud", "audience_missing", want=_listed(wanted))
    found = [audience] if isinstance(audience, str) else audience
    if wanted.isdisjoint(found):
        raise ClaimMismatch(
            "aud",
            "audience_mismatch",
            found=audience,
            want=_listed(wanted),
            hint=_near_miss(found, wanted),
        )


def _listed(wanted: Iterable[str]) -> str:
    return " or ".join(sorted(wanted))


def _near_miss(found: Iterable[str], wanted: Iterable[str]) -> str | None:
    for one in found:
        for other in wanted:
            if one.rstrip("/") == other.rstrip("/"):
                return "differs by a trailing slash"
            if one.casefold() == other.casefold():
                return "differs in upper and lower case"
    return None


def check_times(times: Times, now: float, leeway: float, max_age: float | None) -> Period:
    """The token is valid *now*. Raises the error that says what is wrong."""
    exp, nbf, iat = times
    start, end = float("-inf"), float("inf")
    if exp is not None:
        end = exp + leeway
        if now >= end:
            raise TokenExpired("exp", found=exp, want=f"> {now:.0f}", hint=_ago(now - exp))
    if nbf is not None:
        start = nbf - leeway
        if now < start:
            raise TokenNotYetValid("nbf", found=nbf, want=f"<= {now:.0f}", hint=_ahead(nbf - now))
    if iat is not None:
        if now < iat - leeway:
            raise TokenNotYetValid(
                "iat", "issued_in_future", found=iat, want=f"<= {now:.0f}", hint=_ahead(iat - now)
            )
        start = max(start, iat - leeway)
        if max_age is not None:
            end = min(end, iat + max_age + leeway)
            if now >= end:
                want = f"max_age {max_age:g} s"
                raise TokenTooOld("iat", found=iat, want=want, hint=_ago(now - iat))
    return start, end


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago"


def _ahead(seconds: float) -> str:
    return f"{seconds:.0f} s ahead; a clock may be wrong"


def check_required(claims: Claims, names: Iterable[str], max_age: float | None) -> None:
    """Every required claim is there. Raises MissingClaim. A null is not there."""
    for name in names:
        if claims.get(name) is None:
            raise MissingClaim(name, want=f"the claim {name}")
    if max_age is not None and "iat" not in claims:
        raise MissingClaim("iat", want="iat, because max_age is set")


_ABSENT = object()


def lookup(claims: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The claim *name*, or what a JSON Pointer (RFC 6901, starts with "/") leads to."""
    if not name.startswith("/"):
        return claims.get(name, default)
    value: Any = claims
    for part in name[1:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(part, _ABSENT)
        elif isinstance(value, list) and part.isascii() and part.isdigit():
            # RFC 6901 section 4: no leading zeros
            plain = len(part) < 10 and part == str(int(part)) and int(part) < len(value)
            value = value[int(part)] if plain else _ABSENT
        else:
            return default
        if value is _ABSENT:
            return default
    return value


def scopes_of(claims: Claims) -> frozenset[str]:
    """``scope`` (RFC 8693 section 4.2), else ``scp``: text split on spaces, or a list of text."""
    value = claims["scope"] if "scope" in claims else claims.get("scp")
    if isinstance(value, str):
        return frozenset(filter(None, value.split(" ")))  # RFC 6749 section 3.3: spaces only
    if isinstance(value, list):
        return frozenset(one for one in value if isinstance(one, str))
    return frozenset()


def roles_of(claims: Claims, names: Sequence[str]) -> frozenset[str]:
    """The strings that the named claims hold, united; text is one role and never split."""
    roles: set[str] = set()
    for name in names:
        value = lookup(claims, name)
        if isinstance(value, str):
            roles.add(value)
        elif isinstance(value, list):
            roles.update(one for one in value if isinstance(one, str))
    return frozenset(roles)
