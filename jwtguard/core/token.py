"""A verified token: what verification found out, and what each request gets of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast, final

from .claims import Claims, Period, roles_of, scopes_of

if TYPE_CHECKING:
    from .issuer import Issuer
    from .keyloader import KeySource, RefreshingKeySource
    from .keys import Key, KeySet


class Verified:
    """What verification found out about one token: shared by all requests that carry it.

    Nothing here is handed out without a copy, so a request cannot change it for another.
    """

    published: tuple[object, Any] = (None, None)
    """What the last rule made of it (`publish.Published`): most tokens meet one rule again."""
    is_told = False
    """Whether an observer was told that it was verified."""
    signed: "Verified | None" = None
    """What the token says itself, where introspection said more."""
    checked: object = None
    """At which version of the revocations it was none of them."""
    _scopes: frozenset[str] | None = None
    _roles: frozenset[str] | None = None

    def __init__(
        self,
        raw: str,
        issued_by: "Issuer",
        tenant: str | None,
        header: Claims,
        claims: Claims,
        period: Period,
        key: "Key | None",
        keys: "KeySet",
        source: "KeySource",
    ) -> None:
        self.raw = raw
        self.issued_by = issued_by
        self.tenant = tenant
        self.header = header
        self.claims = claims
        self.valid_from, self.valid_until = period
        self.key = key
        self.keys = keys
        self.source = source
        self.refreshing = (
            cast("RefreshingKeySource", source) if issued_by.refreshes and key is not None else None
        )
        self.containers = [
            (name, _copier(claims[name])) for name in claims if type(claims[name]) in _CONTAINERS
        ]

    @property
    def scopes(self) -> frozenset[str]:
        """Worked out when somebody asks."""
        if self._scopes is None:
            self._scopes = scopes_of(self.claims)
        return self._scopes

    @property
    def roles(self) -> frozenset[str]:
        """Worked out when somebody asks."""
        if self._roles is None:
            self._roles = roles_of(self.claims, self.issued_by.roles)
        return self._roles


_CONTAINERS = frozenset({dict, list})


def _copier(value: Any) -> Callable[[], Any]:
    """What copies *value*: its own `copy` where nothing in it could change."""
    inside = value.values() if type(value) is dict else value
    if any(type(item) in _CONTAINERS for item in inside):
        return lambda: copied(value)
    copy: Callable[[], Any] = value.copy
    return copy


def copied(value: Any) -> Any:
    """A copy of JSON that shares nothing with the original that could change."""
    if type(value) is dict:
        return {k: copied(v) for k, v in value.items()}
    if type(value) is list:
        copy = value.copy()
        for index, item in enumerate(copy):
            if type(item) in _CONTAINERS:
                copy[index] = copied(item)
        return copy
    return value


@final
class VerifiedToken:
    """A token that was verified. Only verification makes one (in tests: `testing.verified`).

    ``claims`` is a dict of this request's own: changing it changes nothing for any other.
    """

    __slots__ = ("_verified", "claims")

    claims: Claims
    _verified: Verified

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError(
            "a VerifiedToken comes from guard.verify(...) or a guarded request; "
            "in tests use jwtguard.testing.verified(...)"
        )

    @property
    def header(self) -> Claims:
        """The JOSE header, a copy."""
        copy: Claims = copied(self._verified.header)
        return copy

    @property
    def issuer(self) -> str:
        """The configured name of the issuer."""
        return self._verified.issued_by.name

    @property
    def subject(self) -> str | None:
        """``sub`` (RFC 7519 section 4.1.2); unique only within its issuer."""
        subject: str | None = self._verified.claims.get("sub")
        return subject

    @property
    def identity(self) -> tuple[str, str | None]:
        """(issuer, subject): what identifies somebody across issuers."""
        return self.issuer, self.subject

    @property
    def scopes(self) -> frozenset[str]:
        """From ``scope`` (RFC 8693 section 4.2) or ``scp``."""
        return self._verified.scopes

    @property
    def roles(self) -> frozenset[str]:
        """United from the claims that the issuer's ``roles`` name."""
        return self._verified.roles

    @property
    def tenant(self) -> str | None:
        """Which of the issuer's ``tenants`` sent it."""
        return self._verified.tenant

    @property
    def expires_at(self) -> datetime | None:
        """``exp`` in UTC, or None where the token has none."""
        exp = self._verified.claims.get("exp")
        return None if exp is None else datetime.fromtimestamp(exp, UTC)

    @property
    def raw(self) -> str:
        """The token as it was sent, for calls on behalf of its owner."""
        return self._verified.raw

    def __getitem__(self, claim: str) -> Any:
        return self.claims[claim]

    def __contains__(self, claim: object) -> bool:
        return claim in self.claims

    def get(self, claim: str, default: Any = None) -> Any:
        """The claim, or *default* where it is absent."""
        return self.claims.get(claim, default)

    def __repr__(self) -> str:
        return f"<VerifiedToken issuer={self.issuer!r}>"

    def __copy__(self) -> "VerifiedToken":
        return self.__deepcopy__({})

    def __deepcopy__(self, _: object) -> "VerifiedToken":
        token = token_for_request(self._verified)
        token.claims = copied(self.claims)
        return token

    def __reduce__(self) -> NoReturn:
        raise TypeError("a VerifiedToken is not pickled: pass .claims, or verify again")


_new = object.__new__


def token_for_request(verified: Verified) -> VerifiedToken:
    """A token for one request, with claims of its own."""
    token: VerifiedToken = _new(VerifiedToken)
    token._verified = verified
    token.claims = claims = verified.claims.copy()
    for name, copy in verified.containers:
        claims[name] = copy()
    return token
