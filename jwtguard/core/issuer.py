"""An issuer: an authorization server we trust, and what its tokens must be like."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .algorithms import ALGORITHMS
from .claims import Claims, Period, Times, check_audience, check_required, check_times
from .errors import AlgorithmNotAllowed, ClaimMismatch, Problem
from .introspection import Introspection
from .jose import Header, normal_type
from .keyloader import (
    AnyKeys,
    KeySource,
    LocalKeys,
    RefreshingKeySource,
    RemoteKeySource,
    SeveralSources,
    as_source,
)
from .keys import KeySet
from .remote import Discovery
from .requirement import Requirement
from .tenants import AnyTenants, Tenants
from .wording import as_list, did_you_mean

DEFAULT_ROLES = ("roles", "role", "/realm_access/roles")
DEFAULT_TYPES: frozenset[str | None] = frozenset({None, "jwt", "at+jwt"})


class Issuer:
    """A trusted issuer.

    - ``issuer``: its ``iss`` value, compared exactly. None for tokens that carry no ``iss``.
      With ``{tenant}`` in it, a template for ``tenants``.
    - ``name``: how rules and logs call it; the issuer text where not given.
    - ``audience``: the ``aud`` values that mean this service; None, written out, is not checked.
    - ``algorithms``: the ``alg`` values it signs with (RFC 8725 section 3.1); never ``none``.
    - ``keys``: one key source or a list of them; None where introspection alone vouches.
    - ``typ``: the JOSE header's ``typ`` that tokens must have (RFC 8725 section 3.11), such as
      ``at+jwt`` (RFC 9068); None accepts none, ``JWT`` and ``at+jwt``.
    - ``required_claims``: claims that must be there; ``leeway``: seconds of clock difference;
      ``max_age``: seconds since ``iat`` after which a token is too old.
    - ``require``: claims that every token must show, in the words of `Requirement`'s ``require``.
    - ``roles``: claims (or JSON Pointers) that hold roles.
    - ``tenants``: a list, or a function that is asked about a name out of an unverified token and
      says True; with `Discovery` each tenant has keys of its own.
    - ``introspection``: whom to ask about tokens that are no JWTs, or all (`Introspection`).
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
        keys: AnyKeys | None,
        typ: str | None = None,
        required_claims: Iterable[str] = ("exp",),
        leeway: float = 10,
        max_age: float | None = None,
        require: Mapping[str, Any] | Sequence[Mapping[str, Any]] = {},
        roles: str | Iterable[str] = DEFAULT_ROLES,
        tenants: AnyTenants = (),
        any_iss: bool = False,
        introspection: Introspection | None = None,
    ) -> None:
        self.issuer = issuer
        self.name = name if name is not None else issuer if issuer is not None else "default"
        audiences = as_list(audience)
        self.audience = None if audience is None else frozenset(filter(_is_text, audiences))
        self.algorithms = tuple(as_list(algorithms))
        self.has_keys = keys is not None
        given: AnyKeys = LocalKeys(KeySet()) if keys is None else keys
        self.source = as_source(given)
        told = [
            problem
            for source in self.given_sources
            if isinstance(source, Discovery)
            for problem in source.of(issuer)
        ]
        self.fetches = isinstance(self.source, RemoteKeySource)
        self.refreshes = isinstance(self.source, RefreshingKeySource)
        self.tenancy = Tenants(issuer, tenants, given)
        self.tenants = self.tenancy.listed
        self.spellings = self._spellings()
        self.introspection = introspection
        self.asks_always = isinstance(introspection, Introspection) and (
            introspection.when == "always"
        )
        # Whether a JWT, too, is what introspection says and nothing else.
        self.only_asked = self.asks_always and not self.has_keys
        self.typ = typ
        self.types = DEFAULT_TYPES if typ is None else frozenset({normal_type(str(typ))})
        self.required_claims = tuple(as_list(required_claims))
        self.leeway = leeway
        self.max_age = max_age
        self.require = require
        self._shown = Requirement(require=require)
        self.roles = tuple(as_list(roles))
        self.any_iss = any_iss
        self.id_tokens_for: set[str] = set()
        """The clients whose id_tokens it makes too: those of the `jwtguard.Login`s at it."""
        self.problems: list[Problem] = [
            *told,
            *self._identity_problems(),
            *self.tenancy.problems,
            *self._introspection_problems(),
            *_audience_problems(audience, audiences),
            *self._claim_problems(),
            *self._key_problems(),
        ]

    def __repr__(self) -> str:
        return f"<Issuer {self.name!r}>"

    @property
    def given_sources(self) -> tuple[KeySource, ...]:
        """The key sources as they were given, one by one in their order."""
        source = self.source
        return source.sources if isinstance(source, SeveralSources) else (source,)

    @property
    def sources(self) -> tuple[KeySource, ...]:
        """Where its keys come from, one by one in the order given; where each tenant has its own,
        those of the tenants that are listed or have spoken."""
        if not self.tenancy.have_own_keys:
            return self.given_sources if self.has_keys else ()
        return tuple(
            one
            for source in self.tenancy.sources()
            for one in (source.sources if isinstance(source, SeveralSources) else (source,))
        )

    def source_of(self, tenant: str | None) -> KeySource:
        """Where the keys for a token of this tenant are."""
        if tenant is None or not self.tenancy.have_own_keys:
            return self.source
        return self.tenancy.keys_of(tenant)

    def _spellings(self) -> dict[str, str | None]:
        """Every ``iss`` value that is written out, with the tenant it stands for."""
        if not isinstance(self.issuer, str):
            return {}
        if self.tenancy.listed:
            return {self.tenancy.spelling(tenant): tenant for tenant in self.tenancy.listed}
        return {} if self.tenancy.are_asked_for else {self.issuer: None}

    # --- start-up ---

    def _identity_problems(self) -> Iterable[Problem]:
        if self.issuer is not None and (not isinstance(self.issuer, str) or not self.issuer):
            yield "issuer", f"is text, the tokens' iss value; found {self.issuer!r}"
        elif not isinstance(self.name, str) or not self.name:
            yield "name", f"is text; found {self.name!r}"
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

    def _introspection_problems(self) -> Iterable[Problem]:
        introspection = self.introspection
        if introspection is None:
            return
        if not isinstance(introspection, Introspection):
            yield "introspection", f"is an Introspection(…); found {type(introspection).__name__}"
            return
        yield from ((f"introspection.{where}", what) for where, what in introspection.problems)
        documents = [one.url for one in self.given_sources if isinstance(one, Discovery)]
        yield from introspection.of(self.issuer, documents[0] if documents else None)

    def _key_problems(self) -> Iterable[Problem]:
        broken = False
        if not self.has_keys:
            if self.introspection is None:
                yield "keys", "is None, which is for an issuer with introspection=…; give its keys"
            elif self.algorithms:
                yield "algorithms", "without keys no signature is checked; leave it empty"
            return
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
        if self.fetches:
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
        if header.algorithm not in self.algorithms and not self.only_asked:
            want = " or ".join(self.algorithms) or "no JWT: this issuer's tokens are introspected"
            raise AlgorithmNotAllowed(found=header.algorithm, want=want)
        if header.typ not in self.types:
            want = self.typ or "none, JWT or at+jwt"
            raise ClaimMismatch("typ", "typ_mismatch", found=header.values.get("typ"), want=want)
        return self.check_claims(claims, times, now)

    def check_claims(self, claims: Claims, times: Times, now: float) -> Period:
        """The same for claims, wherever they come from. Raises a ClaimError."""
        period = check_times(times, now, self.leeway, self.max_age)
        if self.audience is not None:
            check_audience(claims, self.audience)
        check_required(claims, self.required_claims, self.max_age)
        self.check_shown(claims)
        if "nonce" in claims and not self.id_tokens_for.isdisjoint(as_list(claims.get("aud"))):
            # Login always asks with a nonce, so that an id_token of its own can be told from an
            # access token (RFC 8725 section 3.12).
            raise ClaimMismatch("nonce", "id_token", hint="an id_token is no access token")
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
