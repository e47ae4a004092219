"""The values that travel: a request in, a decision out, and what a flow asks for between them."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .errors import AuthError, InvalidRequest
from .token import VerifiedToken

if TYPE_CHECKING:
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

    def read_body(self, max_bytes: int) -> "bytes | Awaitable[bytes]":
        """The body, for requests that the guard answers itself; doors know where it is.

        Of a longer one than *max_bytes* at least one byte more. Raises errors.InvalidRequest.
        """
        raise InvalidRequest(hint="this door hands over no body")

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
    # Neither shows in a repr: a client secret and a token may be in them.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: float = 5.0
    max_bytes: int = 1_048_576
    insecure_http: bool = False
    flight: tuple[object, int] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer to a :class:`Fetch`; header names become lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __post_init__(self) -> None:
        # RFC 9110 section 5.1: case does not count, and a transport may hand on what was sent.
        lowered = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", lowered)


@dataclass(frozen=True, slots=True)
class Background:
    """A flow to start and not to wait for; the flow that yields it is resumed with None."""

    flow: "Flow[None]"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that is no HTTP exchange: to a shared store, or for a request's own body.

    ``in_threads`` answers without an event loop, ``on_loops`` on one, where it may return an
    awaitable. Whatever they raise is thrown in, as `errors.FetchError` if it is no `AuthError`.
    """

    in_threads: Callable[..., Any]
    on_loops: Callable[..., Any]
    arguments: tuple[Any, ...] = field(default=(), repr=False)


Flow = Generator[Fetch | Background | Ask, Any, T]
"""A computation that may ask for something; `jwtguard.drive` runs it.

It yields a `Fetch` and is sent a `Fetched`, or has `errors.FetchError` thrown in; a `Background`
and is sent None; or an `Ask` and is sent the answer.
"""


Pairs = Sequence[tuple[str, str]]


class Published:
    """What a token becomes on a rule: forwarded headers, variables, the name for REMOTE_USER.

    All requests that carry the token there share it. So the ASGI door keeps the headers here as it
    writes them, ``raw_headers``, and hands out copies.
    """

    __slots__ = ("headers", "raw_headers", "user", "variables")

    def __init__(
        self,
        headers: Pairs = (),
        variables: Mapping[str, str] = MappingProxyType({}),
        user: str | None = None,
    ) -> None:
        self.headers = headers
        self.variables = variables
        self.user = user
        self.raw_headers: Sequence[tuple[bytes, bytes]] | None = None


NOTHING = Published()


class Allow:
    """Let the request through, changed as said here.

    ``token`` is None where nobody was authenticated. ``remove`` holds header names (lower case,
    with dashes) that the app must not see in any spelling, ``set`` the headers it gets instead,
    ``variables`` what to publish beside the token, ``query`` the query to hand on (None: as it
    is), ``remote_user`` the name for WSGI's ``REMOTE_USER``, ``subprotocol`` the WebSocket
    subprotocol to choose where the app chooses none, ``added`` headers for
    the app's response, beside whatever it sets itself. ``reported`` is why it would have been
    refused, were the rule enforced already (``report_until``).
    """

    status = 200
    query: str | None = None
    subprotocol: str | None = None
    added: Pairs = ()
    reported: AuthError | None = None

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
        return list(self.published.headers)

    @property
    def variables(self) -> Mapping[str, str]:
        """What is published beside the token."""
        return self.published.variables

    @property
    def remote_user(self) -> str | None:
        """The name for WSGI's ``REMOTE_USER``."""
        return self.published.user

    def __repr__(self) -> str:
        return f"<Allow token={self.token!r}>"


class Deny:
    """Send exactly this. ``error`` is None where the guard answers in the app's place without
    refusing: a CORS preflight, or a protected resource's metadata.

    ``ref`` is what the client can name and the log line holds, ``rule`` the label of the rule (or
    view) that refused.
    """

    __slots__ = ("body", "error", "headers", "ref", "rule", "status")

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
        self.rule: str | None = None

    def __repr__(self) -> str:
        return f"<Deny {self.status} {self.error!r}>"


Decision = Allow | Deny
Clock = Callable[[], float]
"""Seconds since the epoch, like `time.time`."""
