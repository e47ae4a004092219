"""An issuer: an authorization server we trust, and what its tokens must be like."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .algorithms import ALGORITHMS
from .claims import Claims, Period, Times, check_audience, check_required, check_times
from .errors import AlgorithmNotAllowed, ClaimMismatch, Problem, UnknownIssuer
from .jose import Header, normal_type
from .keyloader import (
    AnyKeys,
    KeySource,
    RefreshingKeySource,
    RemoteKeySource,
    SeveralSources,
    as_source,
)
from .remote import Discovery
from .requirement import Requirement
from .wording import as_list, did_you_mean

DEFAULT_ROLES = ("roles", "role", "/realm_access/roles")
DEFAULT_TYPES: frozenset[str | None] = frozenset({None, "jwt", "at+jwt"})


class Issuer:
    """A trusted issuer.

    - ``issuer``: its ``iss`` value, compared exactly. None for tokens that carry no ``iss``.
      With ``{tenant}`` in it, a template for the ``tenants`` listed.
    - ``name``: how rules and logs call it; the issuer text where not given.
    - ``audience``: the ``aud`` values that mean this service; None, written out, is not checked.
    - ``algorithms``: the ``alg`` values it signs with (RFC 8725 section 3.1); never ``none``.
    - ``keys``: one key source or a list of them.
    - ``typ``: the JOSE header's ``typ`` that tokens must have (RFC 8725 section 3.11), such as
      ``at+jwt`` (RFC 9068); None accepts none, ``JWT`` and ``at+jwt``.
    - ``required_claims``: claims that must be there; ``leeway``: seconds of clock difference;
      ``max_age``: seconds since ``iat`` after which a token is too old.
    - ``require``: claims that every token must show, in the words of `Requirement`'s ``require``.
    - ``roles``: claims (or JSON Pointers) that hold roles.
    - ``any_iss``: an issuer without an ``iss`` value also takes tokens with an unconfigured one.

    Problems are reported by `Guard`, all at once.
    """

    def __init__(
        self,
        issuer: str | None = None,
        *,
        name: str | None = None,
        audience: str | Sequence[str] | None,
        algorithms: str | Sequence[str],
        keys: AnyKeys,
        typ: str | None = None,
        required_claims: Iterable[str] = ("exp",),
        leeway: float = 10,
        max_age: float | None = None,
        require: Mapping[str, Any] | Sequence[Mapping[str, Any]] = {},
        roles: str | Iterable[str] = DEFAULT_ROLES,
        tenants: Iterable[str] = (),
        any_iss: bool = False,
    ) -> None:
        self.issuer = issuer
        self.name = name if name is not None else issuer if issuer is not None else "default"
        audiences = as_list(audience)
        self.audience = None if audience is None else frozenset(filter(_is_text, audiences))
        self.algorithms = tuple(as_list(algorithms))
        self.source = as_source(keys)
        told = [
            problem
            for source in self.sources
            if isinstance(source, Discovery)
            for problem in source.of(issuer)
        ]
        self.remote = self.source if isinstance(self.source, RemoteKeySource) else None
        self.refreshing = self.source if isinstance(self.source, RefreshingKeySource) else None
        self.typ = typ
        self.types = DEFAULT_TYPES if typ is None else frozenset({normal_type(str(typ))})
        self.required_claims = tuple(as_list(required_claims))
        self.leeway = leeway
        self.max_age = max_age
        self.require = require
        self._shown = Requirement(require=require)
        self.roles = tuple(as_list(roles))
        self.tenants = tuple(as_list(tenants))
        self.any_iss = any_iss
        self.problems: list[Problem] = [
            *told,
            *self._identity_problems(),
            *_audience_problems(audience, audiences),
            *self._claim_problems(),
            *self._key_problems(),
        ]

    def __repr__(self) -> str:
        return f"<Issuer {self.name!r}>"

    @property
    def sources(self) -> tuple[KeySource, ...]:
        """Where its keys come from, one by one in the order given."""
        source = self.source
        return source.sources if isinstance(source, SeveralSources) else (source,)

    def spellings(self) -> dict[str, str | None]:
        """Every ``iss`` value that is this issuer's, with the tenant it stands for."""
        if self.issuer is None:
            return {}
        if self.tenants:
            return {self.issuer.replace("{tenant}", tenant): tenant for tenant in self.tenants}
        return {self.issuer: None}

    # --- start-up ---

    def _identity_problems(self) -> Iterable[Problem]:
        if self.issuer is not None and (not isinstance(self.issuer, str) or not self.issuer):
            yield "issuer", f"is text, the tokens' iss value; found {self.issuer!r}"
        elif not isinstance(self.name, str) or not self.name:
            yield "name", f"is text; found {self.name!r}"
        elif self.issuer is not None and "{tenant}" in self.issuer and not self.tenants:
            yield "tenants", "the issuer holds {tenant}; list the tenants that may speak"
        elif self.tenants and "{tenant}" not in (self.issuer or ""):
            yield "tenants", "need a place in the issuer, as in https://host/{tenant}/v2.0"
        for tenant in self.tenants:
            if not isinstance(tenant, str) or not tenant or "/" in tenant:
                yield "tenants", f"a tenant is text without a slash; found {tenant!r}"
        if not isinstance(self.any_iss, bool):
            yield "any_iss", f"is true or false; found {self.any_iss!r}"
        elif self.any_iss and self.issuer is not None:
            yield "any_iss", "is for an issuer without an iss value; remove it or the issuer"

    def _claim_problems(self) -> Iterable[Problem]:
        if self.typ is not None and not isinstance(self.typ, str):
            yield "typ", f"is text, such as 'at+jwt'; found {self.typ!r}"
        elif self.types == {"bearer"}:
            yield (
                "typ",
                "'Bearer' is a payload claim of some providers (Keycloak); here stands the JOSE "
                'header\'s typ. Remove it, or write require={"typ": "Bearer"}',
            )
        elif self.typ is not None and self.types == {""}:
            yield "typ", "is empty; leave it out to accept none, JWT and at+jwt"
        for name in self.required_claims:
            if not isinstance(name, str) or not name:
                yield "required_claims", f"are claim names; found {name!r}"
        if not _is_seconds(self.leeway):
            yield "leeway", f"is a number of seconds, 0 or more; found {self.leeway!r}"
        if self.max_age is not None and not (_is_seconds(self.max_age) and self.max_age > 0):
            yield "max_age", f"is a number of seconds above 0; found {self.max_age!r}"
        yield from self._shown.problems
        for name in sorted(self._shown.parameter_names):
            yield (
                "require",
                f'{{"path": {name!r}}} compares with the path of a request, which an issuer does '
                "not know; write it into a rule",
            )
        for name in self.roles:
            if not isinstance(name, str) or not name:
                yield "roles", f"are claim names or JSON Pointers; found {name!r}"

    def _key_problems(self) -> Iterable[Problem]:
        broken = False
        if not self.algorithms:
            broken = True
            yield "algorithms", "is empty; name the alg values this issuer signs with"
        for name in self.algorithms:
            if isinstance(name, str) and name in ALGORITHMS:
                continue
            broken = True
            if str(name).lower() == "none":
                yield "algorithms", "'none' means unsigned tokens, which are never accepted"
            else:
                known = ", ".join(ALGORITHMS)
                yield (
                    "algorithms",
                    f"{name!r} is not an algorithm; known are {known}"
                    f"{did_you_mean(name, ALGORITHMS)}",
                )
        for where, what in self.source.problems:
            broken = True
            yield f"keys.{where}".replace(".[", "[").rstrip("."), what
        if self.remote is not None:
            if any(isinstance(n, str) and n.startswith("HS") for n in self.algorithms):
                yield (
                    "algorithms",
                    "HS* needs a secret, and keys that are fetched are public; list the asymmetric "
                    "algorithms the provider signs with, such as RS256",
                )
        elif not broken:
            yield from self._unserved()

    def _unserved(self) -> Iterable[Problem]:
        keys = self.source.current()
        for name in self.algorithms:
            if any(name in key.algorithms for key in keys.keys):
                continue
            kinds = sorted({key.kind for key in keys.keys})
            if not kinds:
                yield "keys", "hold no key at all"
                return
            if ALGORITHMS[name].symmetric and "oct" in kinds:
                need = ALGORITHMS[name].hash_bytes
                yield "algorithms", f"{name} needs a secret of at least {need} bytes"
            elif ALGORITHMS[name].symmetric:
                yield (
                    "algorithms",
                    f"{name} is signed with a shared secret, but the keys are public keys: anybody "
                    "who has them could sign. Use Secret, or the keys' own algorithm",
                )
            else:
                wants = ALGORITHMS[name].kind
                yield "algorithms", f"{name} needs a key of type {wants}; found {', '.join(kinds)}"

    # --- requests ---

    def check(self, header: Header, claims: Claims, times: Times, now: float) -> Period:
        """Everything about a token that takes no key. Returns from when until when it is valid.

        Raises AlgorithmNotAllowed, or a ClaimError.
        """
        if header.algorithm not in self.algorithms:
            raise AlgorithmNotAllowed(found=header.algorithm, want=" or ".join(self.algorithms))
        if header.typ not in self.types:
            want = self.typ or "none, JWT or at+jwt"
            raise ClaimMismatch("typ", "typ_mismatch", found=header.values.get("typ"), want=want)
        period = check_times(times, now, self.leeway, self.max_age)
        if self.audience is not None:
            check_audience(claims, self.audience)
        check_required(claims, self.required_claims, self.max_age)
        self.check_shown(claims)
        if "cnf" in claims:
            # RFC 7800: bound to a key of its sender, so it is no plain bearer token.
            hint = "the token wants a proof of possession"
            raise ClaimMismatch("cnf", "sender_constrained", hint=hint)
        return period

    def check_shown(self, claims: Claims) -> None:
        """The claims show what ``require`` asks for. Raises ClaimMismatch."""
        unmet = self._shown.unmet(claims, {})
        if unmet is not None:
            name, value = unmet
            raise ClaimMismatch(name, found=value, want=f"{name} as in the issuer's require")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _audience_problems(given: object, audiences: Sequence[object]) -> Iterable[Problem]:
    if given is not None and not (audiences and all(map(_is_text, audiences))):
        yield (
            "audience",
            "is text or a list of text; write None (false in a file) to say that it is not "
            f"checked; found {given!r}",
        )


def _is_seconds(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")  # type: ignore[operator]


class Candidates:
    """The issuers that may speak on a rule, found by ``iss`` (RFC 8725 section 3.8).

    ``known`` is every configured ``iss`` value: a token that carries one of them is judged by
    that issuer alone, or refused where the rule does not list it.
    """

    def __init__(
        self, known: dict[str, tuple[Issuer, str | None]], issuers: Iterable[Issuer]
    ) -> None:
        self._known = known
        several = list(issuers)
        nameless = [issuer for issuer in several if issuer.issuer is None]
        self._nameless = nameless[0] if len(nameless) == 1 else None
        if self._nameless is None:  # of several without iss none may speak: which would it be?
            several = [issuer for issuer in several if issuer.issuer is not None]
        self.issuers = frozenset(several)

    def choose(self, claims: Claims) -> tuple[Issuer, str | None]:
        """The issuer and tenant that must answer for these claims. Raises UnknownIssuer."""
        iss = claims.get("iss")
        if iss in self._known:
            issuer, tenant = self._known[iss]
            if issuer in self.issuers:
                return issuer, tenant
            raise UnknownIssuer(
                "issuer_not_for_rule", found=iss, want=self._wanted(), hint="the rule lists others"
            )
        nameless = self._nameless
        if nameless is not None and ("iss" not in claims or nameless.any_iss):
            return nameless, None
        raise UnknownIssuer(found=iss, want=self._wanted(), hint=self._near_miss(iss))

    def _wanted(self) -> str:
        return " or ".join(sorted(issuer.issuer or "no iss" for issuer in self.issuers))

    def _near_miss(self, iss: object) -> str | None:
        if not isinstance(iss, str):
            return "the token carries no iss"
        for known in self._known:
            if iss.rstrip("/") == known.rstrip("/"):
                return "differs by a trailing slash"
            if iss.partition("://")[2] == known.partition("://")[2] != "":
                return "differs in the scheme"
        return None
