"""The WSGI door (PEP 3333): ``app = GuardMiddleware(app, guard)``."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from . import drive
from .core.errors import InvalidRequest
from .core.model import Allow, Decision, Deny, Pairs, Request
from .guard import Guard
from .interface import expect, wrong_door
from .transport import for_threads

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .transport import Client


class GuardMiddleware:
    """Judges every request before *app* sees it.

    On success ``environ`` holds ``jwtguard.token`` (a `VerifiedToken`, or None where nobody was
    authenticated) and ``jwtguard.claims``.

    The HTTP exchanges that a key source asks for are made by *client*, an httpx2 client for
    jwtguard alone, or by *fetch*, ``Fetch -> Fetched``, which raises `errors.FetchError`.
    *fetch* is called once for all requests that wait for the same. The guard's own `Guard.warm`,
    `Guard.verify` and their kin make exchanges in the same way from then on.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        guard: Guard,
        *,
        client: "Client | None" = None,
        fetch: drive.FetchSync | None = None,
    ) -> None:
        expect(app, guard, "wsgi")
        self.app = app
        self.guard = guard
        self._exchanges = for_threads(guard, client, fetch)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", *too_many: object
    ) -> Iterable[bytes]:
        """Judge one request."""
        if too_many:
            raise wrong_door("asgi")
        guard = self.guard
        path, raw_path = _target(environ)
        field = environ.get("HTTP_AUTHORIZATION")
        # As `decide` begins: written out, because this is on the way of every request.
        allow = guard.recall(environ["REQUEST_METHOD"], path, raw_path, field)
        if allow is None:
            decision = _judged(environ, guard, self._exchanges)
            if isinstance(decision, Deny):
                start_response(_status_line(decision.status), list(decision.headers))
                return [decision.body]
            allow = decision
        publish(environ, allow, guard)
        if guard.response_headers or allow.added:
            start_response = _completing(start_response, guard.response_headers, allow.added)
        return self.app(environ, start_response)


def decide(
    environ: "WSGIEnvironment",
    guard: Guard,
    exchanges: drive.InThreads,
    is_public: Callable[[], bool] | None = None,
) -> Decision:
    """Allow or Deny the request of *environ*; *is_public* as in `Guard.judge`."""
    path, raw_path = _target(environ)
    field = environ.get("HTTP_AUTHORIZATION")
    allow = guard.recall(environ["REQUEST_METHOD"], path, raw_path, field, is_public)
    return _judged(environ, guard, exchanges, is_public) if allow is None else allow


def _judged(
    environ: "WSGIEnvironment",
    guard: Guard,
    exchanges: drive.InThreads,
    is_public: Callable[[], bool] | None = None,
) -> Decision:
    decision = guard.judge(EnvironRequest(environ), is_public=is_public)
    if isinstance(decision, (Allow, Deny)):
        return decision
    return drive.run(decision, *exchanges)


class EnvironHeaders:
    """Request headers in a WSGI environ; a server has joined fields of one name with commas."""

    __slots__ = ("_environ",)

    def __init__(self, environ: "WSGIEnvironment") -> None:
        self._environ = environ

    def get_all(self, name: str) -> Sequence[str]:
        """The value under *name*, if there is one."""
        value = self._environ.get(_key(name))
        return () if value is None else (value,)


@lru_cache(maxsize=256)  # asked for by the core and the configuration, never by a client
def _key(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


@lru_cache(maxsize=256)
def _keys(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(map(_key, names))


class EnvironRequest(Request):
    """A request that reads of its environ only what somebody asks for."""

    __slots__ = ("_environ",)

    def __init__(self, environ: "WSGIEnvironment") -> None:
        self._environ = environ
        self.method = environ["REQUEST_METHOD"]
        self.path, self.raw_path = _target(environ)
        self.headers = EnvironHeaders(environ)
        self.websocket = "HTTP_UPGRADE" in environ and "websocket" in [
            protocol.strip().lower() for protocol in environ["HTTP_UPGRADE"].split(",")
        ]  # RFC 9110 section 7.8: a list

    def read_body(self, max_bytes: int) -> bytes:
        """The body, as far as ``CONTENT_LENGTH`` says (PEP 3333), or the server that it ends.

        A chunked one has no length.
        """
        environ, wanted = self._environ, max_bytes + 1
        length = environ.get("CONTENT_LENGTH") or ""
        if length or not environ.get("wsgi.input_terminated"):
            length = length or "0"
            if not length.isascii() or not length.isdigit() or len(length) > 9:
                raise InvalidRequest(hint="Content-Length is no number")
            wanted = min(int(length), wanted)
        body: bytes = environ["wsgi.input"].read(wanted)
        return body

    def __getattr__(self, name: str) -> Any:
        key = _LATER.get(name)
        if key is None:
            raise AttributeError(name)
        value = self._environ.get(key) or ""
        return _utf8(value) if name == "mount" else value


_LATER = {
    "query": "QUERY_STRING",
    "scheme": "wsgi.url_scheme",
    "client": "REMOTE_ADDR",
    "mount": "SCRIPT_NAME",
}


def _target(environ: "WSGIEnvironment") -> tuple[str, str | None]:
    """The path the app routes, and the target as on the wire where the server gives it."""
    get = environ.get
    path = get("PATH_INFO") or "/"
    raw_path = get("RAW_URI") or get("REQUEST_URI")
    if raw_path != get("REQUEST_URI", raw_path):
        raw_path = ""  # two targets, which is one too many
    return path if path.isascii() else _utf8(path), raw_path


def _utf8(text: str) -> str:
    """PEP 3333 hands over bytes as latin-1; what is not UTF-8 stays visible to the path check."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _latin1(text: str) -> str:
    """The other way round: UTF-8 bytes as PEP 3333 wants to see them."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def publish(environ: "WSGIEnvironment", allow: Allow, guard: Guard) -> None:
    """Make the app see what *allow* says."""
    token = allow.token
    published = allow.published
    pop, get = environ.pop, environ.get
    if token is None or "jwtguard.token" in environ:
        # Nobody was authenticated here, or another guard in front published somebody else.
        for key in [key for key in environ if key.startswith("jwt_")]:
            del environ[key]
    environ["jwtguard.token"] = token
    environ["jwtguard.guard"] = guard
    # As `_place`: written out, because this is on the way of every request.
    environ["jwtguard.target"] = environ["REQUEST_METHOD"], get("SCRIPT_NAME"), get("PATH_INFO")
    pop("REMOTE_USER", None)
    if token is None:
        environ["jwtguard.claims"] = {}
        pop("AUTH_TYPE", None)
    else:
        environ["jwtguard.claims"] = token.claims
        environ["AUTH_TYPE"] = "Bearer"
        user = published.user
        if user is not None:
            environ["REMOTE_USER"] = user if user.isascii() else _latin1(user)
        if published.variables:
            environ.update(published.variables)
    if allow.remove:
        for key in _keys(allow.remove):
            pop(key, None)
    for name, value in published.headers:
        environ[_key(name)] = value if value.isascii() else _latin1(value)
    if allow.query is not None:
        _replace_query(environ, allow.query)


def is_published(environ: "WSGIEnvironment", guard: Guard) -> bool:
    """Whether *guard* has judged this very request further out, so that it need not again.

    It could not, where it took the credentials out. What was mounted, rewritten or given another
    method in between is another request.
    """
    by = environ.get("jwtguard.guard")
    return by is guard and environ.get("jwtguard.target") == _place(environ)


def _place(environ: "WSGIEnvironment") -> tuple[str, str | None, str | None]:
    return environ["REQUEST_METHOD"], environ.get("SCRIPT_NAME"), environ.get("PATH_INFO")


def _replace_query(environ: "WSGIEnvironment", query: str) -> None:
    environ["QUERY_STRING"] = query
    for key in ("RAW_URI", "REQUEST_URI"):  # they hold the query too
        if key in environ:
            path = environ[key].partition("?")[0]
            environ[key] = f"{path}?{query}" if query else path


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _completing(start_response: "StartResponse", missing: Pairs, added: Pairs) -> "StartResponse":
    """A start_response that adds the *missing* headers the app did not set, and *added* ones."""

    def complete(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        given = {name.lower() for name, _ in headers}
        headers = [*headers, *((n, v) for n, v in missing if n.lower() not in given), *added]
        return (
            start_response(status, headers, exc_info)
            if exc_info
            else start_response(status, headers)
        )

    return complete
