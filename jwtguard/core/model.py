"""The values that travel: a request in, a decision out, and what a flow asks for between them."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, final

from .claims import Claims, Period, roles_of, scopes_of
from .errors import AuthError

if TYPE_CHECKING:
    from .issuer import Issuer
    from .keys import Key, KeySet
    from .policy import Rule

T = TypeVar("T")


class Headers(Protocol):
    """Request headers by name, whatever a server keeps them in."""

    def get_all(self, name: str) -> Sequence[str]:
        """Every value sent under *name* (case does not count), in order."""
        ...


class HeaderList:
    """:class:`Headers` over a list of (name, value) pairs."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs

    def get_all(self, name: str) -> Sequence[str]:
        """Every value under *name*."""
        name = name.lower()
        return [value for key, value in self.pairs if key.lower() == name]


class OtherHeaders:
    """:class:`Headers` over somebody's object that may answer None, as `email.message` does."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def get_all(self, name: str) -> Sequence[str]:
        """Every value under *name*."""
        return self._headers.get_all(name) or ()


class Request:
    """What a door knows of a request before the app sees it.

    ``path`` is the decoded path the app routes, relative to where the guard stands; ``raw_path``
    the target as on the wire where the server gives it; ``mount`` the prefix that addresses sent
    to browsers need in front; ``query`` as on the wire, without the question mark.
    """

    __slots__ = (
        "client",
        "headers",
        "method",
        "mount",
        "path",
        "query",
        "raw_path",
        "scheme",
        "websocket",
    )

    def __init__(
        self,
        method: str,
        path: str,
        *,
        raw_path: str | None = None,
        query: str = "",
        headers: Headers | list[tuple[str, str]] | tuple[tuple[str, str], ...] = (),
        scheme: str = "https",
        client: str | None = None,
        websocket: bool = False,
        mount: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.headers: Headers = (
            HeaderList(headers) if isinstance(headers, (list, tuple)) else OtherHeaders(headers)
        )
        self.scheme = scheme
        self.client = client
        self.websocket = websocket
        self.mount = mount

    def header(self, name: str) -> str | None:
        """The one value of *name*; None where there is none or more than one."""
        values = self.headers.get_all(name)
        return values[0] if len(values) == 1 else None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path!r}>"


@dataclass(frozen=True, slots=True)
class Fetch:
    """An HTTP exchange the core asks for. ``timeout`` in seconds, ``max_bytes`` in bytes.

    ``insecure_http`` allows plain http to private addresses. ``flight`` names who asks (a source)
    and for the how-manieth time: exchanges of one flight are one.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float = 5.0
    max_bytes: int = 1_048_576
    insecure_http: bool = False
    flight: tuple[object, int] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer to a :class:`Fetch`; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Background:
    """A flow to start and not to wait for; the flow that yields it is resumed with None."""

    flow: "Flow[None]"


Flow = Generator[Fetch | Background, Any, T]
"""A computation that may ask for HTTP exchanges; `jwtguard.drive` runs it.

It yields a `Fetch` and is sent a `Fetched`, or has `errors.FetchError` thrown in; or it yields a
`Background` and is sent None.
"""


class Verified:
    """What verification found out about one token: shared by all requests that carry it.

    Nothing here is handed out without a copy, so a request cannot change it for another.
    """

    published: tuple[object, Any] = (None, None)
    """What the last rule made of it (`publish.Published`): most tokens meet one rule again."""
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
    ) -> None:
        self.raw = raw
        self.issued_by = issued_by
        self.tenant = tenant
        self.header = header
        self.claims = claims
        self.valid_from, self.valid_until = period
        self.key = key
        self.keys = keys
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


Pairs = Sequence[tuple[str, str]]

Published = tuple[Pairs, Mapping[str, str], str | None]
"""What a token becomes on a rule: forwarded headers, variables, the name for REMOTE_USER."""

NOTHING: Published = ((), MappingProxyType({}), None)


class Allow:
    """Let the request through, changed as said here.

    ``token`` is None where nobody was authenticated. ``remove`` holds header names (lower case,
    with dashes) that the app must not see in any spelling, ``set`` the headers it gets instead,
    ``variables`` what to publish beside the token, ``query`` the query to hand on (None: as it
    is), ``remote_user`` the name for WSGI's ``REMOTE_USER``, ``subprotocol`` the WebSocket
    subprotocol to choose where the app chooses none.
    """

    status = 200
    query: str | None = None
    subprotocol: str | None = None

    def __init__(
        self,
        token: VerifiedToken | None,
        rule: "Rule | None",
        remove: frozenset[str] = frozenset(),
        published: Published = NOTHING,
    ) -> None:
        self.token = token
        self.rule = rule
        self.remove = remove
        self.published = published

    @property
    def set(self) -> list[tuple[str, str]]:
        """The headers the app gets."""
        return list(self.published[0])

    @property
    def variables(self) -> Mapping[str, str]:
        """What is published beside the token."""
        return self.published[1]

    @property
    def remote_user(self) -> str | None:
        """The name for WSGI's ``REMOTE_USER``."""
        return self.published[2]

    def __repr__(self) -> str:
        return f"<Allow token={self.token!r}>"


class Deny:
    """Send exactly this. ``error`` is None only for the answer to a CORS preflight.

    ``ref`` is what the client can name and the log line holds.
    """

    __slots__ = ("body", "error", "headers", "ref", "status")

    def __init__(
        self,
        error: AuthError | None,
        status: int | None = None,
        headers: Pairs = (),
        body: bytes = b"",
        ref: str = "",
    ) -> None:
        self.error = error
        self.status = status or (error.status if error else 204)
        self.headers = headers
        self.body = body
        self.ref = ref

    def __repr__(self) -> str:
        return f"<Deny {self.status} {self.error!r}>"


Decision = Allow | Deny
Clock = Callable[[], float]
"""Seconds since the epoch, like `time.time`."""
