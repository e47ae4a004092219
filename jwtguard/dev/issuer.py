"""The issuer of a run: it signs for every issuer of the configuration, whatever is asked for."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from jwtguard.core.claims import Claims, check_types
from jwtguard.core.errors import AuthError
from jwtguard.core.extractor import FromCookie
from jwtguard.core.issuer import Issuer
from jwtguard.core.jose import json_object
from jwtguard.core.wording import as_list
from jwtguard.guard import Guard
from jwtguard.signing import sign

from .keys import Keys, file_name, jwks, key_id, kind_for


class Unclear(ValueError):
    """What was asked for makes no token; the text says what to write."""


@dataclass(frozen=True)
class Wish:
    """What a token should say.

    - ``claims``: JSON text of further claims; they count instead of everything else, and one that
      is null is left out.
    - ``expires``: seconds from now.
    """

    issuer: str = ""
    tenant: str = ""
    sub: str = "alice"
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    claims: str = ""
    expires: str = "3600"


@dataclass(frozen=True)
class DevIssuer:
    """*guard* is made of the derived configuration."""

    guard: Guard
    keys: Keys = field(repr=False)

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """Those of the configuration, in its order."""
        return self.guard.issuers

    @property
    def jwks(self) -> Mapping[str, Any]:
        """What an issuer publishes: no secret."""
        return jwks(self.keys)

    def key_file(self, issuer: Issuer) -> str | None:
        """The file with the private key for *issuer*; None where a secret signs."""
        return file_name(kind_for(issuer.algorithms[0]))

    def named(self, name: str) -> Issuer:
        """The issuer of this name, or the first. Raises Unclear."""
        for issuer in self.issuers:
            if name in ("", issuer.name):
                return issuer
        known = ", ".join(issuer.name for issuer in self.issuers)
        raise Unclear(f"issuer: there is no {name!r}; there are {known}")

    def token(self, wish: Wish) -> tuple[str, Claims]:
        """A token, and its claims. Raises Unclear."""
        issuer = self.named(wish.issuer)
        claims = self._claims(issuer, wish)
        header = {} if issuer.typ is None else {"typ": issuer.typ}
        return signed(self.keys, claims, issuer.algorithms[0], header), claims

    def _claims(self, issuer: Issuer, wish: Wish) -> Claims:
        now = int(time.time())
        audience = sorted(issuer.audience or ())
        claims: Claims = {
            "iss": _iss(issuer, wish.tenant),
            "sub": wish.sub or None,
            "aud": audience[0] if len(audience) == 1 else audience or None,
            "iat": now,
            "exp": now + _seconds(wish.expires),
            "scope": " ".join(wish.scopes) or None,
        }
        if wish.roles:
            where = issuer.roles[0] if issuer.roles else "roles"
            put(claims, where, list(wish.roles))
        claims = required(issuer) | claims | json_claims(wish.claims)
        return {name: value for name, value in claims.items() if value is not None}

    # --- what the page offers ---

    def offered(self, *words: str) -> list[str]:
        """Every role or scope that a rule asks for, under these words."""
        found = dict.fromkeys(
            one
            for bound in self.guard.policy.rules
            for word in words
            for one in getattr(bound.rule.requirement, word)
        )
        return list(found)

    @property
    def cookies(self) -> list[str]:
        """The names of the cookies that rules read tokens from."""
        places = (place for bound in self.guard.policy.rules for place in bound.rule.places)
        return list(dict.fromkeys(one.name for one in places if isinstance(one, FromCookie)))


def signed(
    keys: Keys, claims: Claims, algorithm: str, header: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """A token of these claims. Raises Unclear where they make none."""
    try:
        check_types(json_object(json.dumps(claims, ensure_ascii=False).encode()))
    except AuthError as error:
        raise Unclear(f"claims: {error}, found {error.found!r}") from None
    except ValueError:
        raise Unclear("claims: not what a JWT can hold; see the numbers and the text") from None
    kind = kind_for(algorithm)
    return sign(claims, keys[kind], algorithm, {"kid": key_id(kind), **header})


def required(issuer: Issuer) -> Claims:
    """What every token of this issuer must have, filled with something that passes."""
    claims: Claims = {}
    alternatives = as_list(issuer.require)
    for name, wanted in (alternatives[0] if alternatives else {}).items():
        value = _passing(wanted)
        if value is not None:
            put(claims, name, value)
    now = int(time.time())
    own = {"jti": secrets.token_hex(8), "nbf": now, "auth_time": now}
    for name in issuer.required_claims:
        if name not in ("iss", "sub", "aud", "iat", "exp", "scope"):
            claims.setdefault(name, own.get(name, "dev"))
    return claims


def _passing(wanted: Any) -> Any:
    """A value that passes a test of ``require``; None where none comes to mind."""
    if isinstance(wanted, list):
        return wanted[0] if wanted else None
    if not isinstance(wanted, Mapping):
        return wanted
    for operator, operand in wanted.items():
        if operator in ("gte", "lte"):
            return operand
        if operator in ("gt", "lt"):
            return operand + (1 if operator == "gt" else -1)
        if operator == "all":
            return as_list(operand)
        if operator in ("ne", "not_in") or (operator == "exists" and operand is True):
            return "dev"
    return None  # matches, or a claim that must be absent


def put(claims: Claims, name: str, value: Any) -> None:
    """Set a claim, or what a JSON Pointer leads to (RFC 6901)."""
    if not name.startswith("/"):
        claims[name] = value
        return
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")]
    for part in way:
        claims = claims.setdefault(part, {})
    claims[last] = value


def _iss(issuer: Issuer, tenant: str) -> str | None:
    for spelling, name in issuer.spellings.items():
        if tenant in ("", name):
            return spelling
    if issuer.spellings:
        raise Unclear(f"tenant: {issuer.name} has {', '.join(issuer.tenants) or 'none'}")
    return None


def _seconds(text: str) -> int:
    try:
        return int(text or "3600")
    except ValueError:
        raise Unclear("expires: a number of seconds, such as 3600") from None


def json_claims(text: str) -> Claims:
    """Claims that somebody wrote as JSON. Raises Unclear."""
    try:
        found = json.loads(text or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unclear(f'claims: JSON such as {{"tier": 2}}: {error}') from None
    if not isinstance(found, dict):
        raise Unclear('claims: a JSON object, such as {"tier": 2}')
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def listed(texts: Iterable[str], separators: str) -> tuple[str, ...]:
    """Words out of form fields, each once; any of *separators* is between two."""
    words: list[str] = []
    for text in texts:
        for separator in separators:
            text = text.replace(separator, "\n")
        words += filter(None, map(str.strip, text.split("\n")))
    return tuple(dict.fromkeys(words))
