"""What the tokens of an issuer must be like, as far as its configuration says it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jwtguard.core.claims import Claims
from jwtguard.core.issuer import Issuer
from jwtguard.core.token import copied
from jwtguard.core.wording import as_list


@dataclass
class Shape:
    """How a `FakeIssuer` makes a token beyond what a test asks for.

    - ``typ``: the JOSE header's; ``opaque``: whether its tokens are no JWTs.
    - ``claims``: what every token carries; ``required``: claims that get a made-up value where
      nobody gave one.
    - ``roles``: the claim (or JSON Pointer) that roles go to.
    """

    typ: str | None = None
    opaque: bool = False
    claims: Claims = field(default_factory=dict)
    required: tuple[str, ...] = ()
    roles: str = "roles"

    @classmethod
    def of(cls, issuer: Issuer) -> "Shape":
        """What a configured issuer asks for."""
        return cls(
            typ=issuer.typ,
            opaque=not issuer.has_keys,
            claims=_met(issuer.require),
            required=issuer.required_claims,
            roles="roles" if "roles" in issuer.roles or not issuer.roles else issuer.roles[0],
        )

    def complete(self, claims: Claims, now: int) -> Claims:
        """*claims*, and what else a good token has."""
        full: Claims = copied(self.claims) | claims
        for name in self.required:
            if name not in full:
                full[name] = _made_up(name, now)
        return full


def put(claims: Claims, name: str, value: object) -> None:
    """Set the claim *name*, or what a JSON Pointer (RFC 6901) leads to; objects on the way are
    made."""
    if not name.startswith("/"):
        claims[name] = value
        return
    *way, last = (part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/"))
    for part in way:
        inner = claims.get(part)
        claims[part] = claims = dict(inner) if isinstance(inner, Mapping) else {}
    claims[last] = value


def _made_up(name: str, now: int) -> object:
    if name in ("nbf", "auth_time", "updated_at"):
        return now
    return secrets.token_hex(8) if name == "jti" else f"test-{name}"


def _met(require: Any) -> Claims:
    """Claims that meet ``require``; of several alternatives, the first."""
    alternatives = [one for one in as_list(require) if one]
    claims: Claims = {}
    for name, wanted in alternatives[0].items() if alternatives else ():
        value = _value(wanted)
        if value is not None:
            put(claims, name, value)
    return claims


def _value(wanted: Any) -> Any:
    """A value that is as wanted; None where there is none, or no way to guess one."""
    if not isinstance(wanted, Mapping):
        return as_list(wanted)[0]
    if "all" in wanted:
        return as_list(wanted["all"])
    bounds = [wanted[word] for word in ("gte", "lte") if word in wanted]
    bounds += [wanted["gt"] + 1] if "gt" in wanted else []
    bounds += [wanted["lt"] - 1] if "lt" in wanted else []
    if bounds:
        return bounds[0]
    return "test" if wanted.get("exists") is True or {"ne", "not_in"} & wanted.keys() else None
