"""The request that a proxy asks about, out of the one that it sends."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from jwtguard.asgi import Receive, Scope, ScopeRequest
from jwtguard.core.model import Request

from .proxies import Askers

BY_HEADERS = (
    ("x-original-method", "x-original-uri"),  # nginx
    ("x-forwarded-method", "x-forwarded-uri"),  # Caddy, Traefik
)
WANTED = "X-Original-Method and X-Original-URI, or X-Forwarded-Method and X-Forwarded-Uri"

Fields = Mapping[str, Sequence[str]]


class Unjudged(Exception):
    """A question that gets no verdict; *status* for the proxy, the text for the log."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


class OriginalHeaders:
    """Request headers as the client sent them; names in lower case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def get_all(self, name: str) -> Sequence[str]:
        """Every value under *name*."""
        name = name.lower()
        if name == "host":  # Traefik asks under the name of this server
            return self._fields.get("x-forwarded-host") or self._fields.get(name, ())
        if name == "x-forwarded-for":  # who the client is has been said; see `Original.client`
            return ()
        return self._fields.get(name, ())


class Original(Request):
    """What the client asked for.

    Method and target are named by headers, of one kind only, or the target stands behind the name
    of the policy (*tail*), as Envoy's path prefix has it. Everything about it is a proxy's word:
    who is not believed must not get as far as here. Raises Unjudged.
    """

    __slots__ = ("_receive", "_scope")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        fields: Fields,
        tail: str | None,
        askers: Askers,
    ) -> None:
        self._scope = scope
        self._receive = receive
        named = [kind for kind in BY_HEADERS if kind[0] in fields or kind[1] in fields]
        if tail is None:
            if len(named) != 1:
                kinds = "both kinds" if named else "neither"
                raise Unjudged(400, f"a question names {WANTED}; found {kinds}")
            self.method, self.raw_path = (_one(fields, name) for name in named[0])
        else:
            if named:
                raise Unjudged(400, f"two targets: one in the path, one in {named[0][1]}")
            self.method = scope["method"]
            query = scope["query_string"].decode("latin-1")
            self.raw_path = f"{tail}?{query}" if query else tail
        path, _, self.query = self.raw_path.partition("?")
        # As servers decode it, but what is not ASCII has no place in a target (RFC 3986 section
        # 2): it becomes U+FFFD, which no path may hold.
        self.path = unquote(path.encode("latin-1").decode("ascii", "replace"))
        self.headers = OriginalHeaders(fields)
        self.scheme = _scheme(fields)
        self.client = askers.client(fields.get("x-forwarded-for", ()))
        # Proxies take Upgrade away, which is for one hop; these get here. Over HTTP/2 the version
        # is all there is of a handshake (RFC 8441 section 5).
        self.websocket = "sec-websocket-version" in fields or "sec-websocket-key" in fields
        self.mount = ""

    async def read_body(self, max_bytes: int) -> bytes:
        """The body, where the proxy handed the request itself on."""
        return await ScopeRequest(self._scope, self._receive).read_body(max_bytes)


def _one(fields: Fields, name: str) -> str:
    values = fields.get(name, ())
    if len(values) != 1:
        raise Unjudged(400, f"a question names {WANTED}, each once; found {len(values)} {name}")
    return values[0]


def _scheme(fields: Fields) -> str:
    values = fields.get("x-forwarded-proto", ())
    if not values:
        return "http"  # nobody says that it was https
    scheme = values[0].lower()
    if len(values) != 1 or scheme not in ("http", "https", "ws", "wss"):
        raise Unjudged(400, f"X-Forwarded-Proto is http or https, once; found {list(values)}")
    return scheme
