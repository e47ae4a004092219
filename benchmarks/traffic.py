"""Requests as a server hands them over, and what stands at both ends of them.

A server makes new strings for every request, so nothing here is used twice: a string that was
looked up once knows its hash, and a cache would look faster than it is.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jwtguard import Guard, Issuer, JWKSet, Rule, Secret, asgi, wsgi
from jwtguard.core.keyloader import AnyKeys
from jwtguard.observe import Observer
from jwtguard.testing import private_key, public_jwk, sign

from .stopwatch import Variant, one_batch

ISSUER = "https://login.example.com/"
AUDIENCE = "https://api.example.com"
NEEDED_SCOPE = "reports:read"
PATHS = [b"/reports/2026/%d" % number for number in range(64)]
QUERY = b"page=2"

_HEADERS = [
    (b"host", b"api.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"application/json"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"referer", b"https://app.example.com/reports"),
    (b"cookie", b"theme=dark; consent=2026-11-01"),
    (b"x-request-id", b"5f2b8c1e-7d3a-4f6b-9c0d-1e2f3a4b5c6d"),
    (b"x-forwarded-for", b"203.0.113.7"),
]


def _fresh(value: bytes) -> bytes:
    return bytes(bytearray(value))


def wsgi_request(token: bytes, path: bytes = PATHS[0]) -> dict[str, Any]:
    """An environ as gunicorn makes it, every text in it new."""
    environ: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": b"https".decode(),
        "wsgi.input": None,
        "wsgi.errors": None,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "SERVER_SOFTWARE": "gunicorn",
        "SERVER_PROTOCOL": b"HTTP/1.1".decode(),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": b"203.0.113.7".decode(),
        "REMOTE_PORT": "51234",
        "SCRIPT_NAME": "",
        "REQUEST_METHOD": b"GET".decode(),
        "PATH_INFO": path.decode(),
        "QUERY_STRING": QUERY.decode(),
        "RAW_URI": (path + b"?" + QUERY).decode(),
    }
    for name, value in _HEADERS:
        environ[f"HTTP_{name.decode().upper().replace('-', '_')}"] = value.decode()
    environ["HTTP_" + b"AUTHORIZATION".decode()] = (b"Bearer " + token).decode()
    return environ


def asgi_request(token: bytes, path: bytes = PATHS[0]) -> dict[str, Any]:
    """A scope as uvicorn makes it, every text in it new."""
    headers = [(_fresh(name), _fresh(value)) for name, value in _HEADERS]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("203.0.113.7", 51234),
        "scheme": "https",
        "root_path": "",
        "method": b"GET".decode(),
        "path": path.decode(),
        "raw_path": _fresh(path),
        "query_string": _fresh(QUERY),
        "headers": [*headers, (_fresh(b"authorization"), b"Bearer " + token)],
        "state": {},
    }


_RESPONSE_HEADERS = [("Content-Type", "application/json")]


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The empty app."""
    start_response("200 OK", _RESPONSE_HEADERS)
    return [b"{}"]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """The empty app."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def wsgi_caller(app: Any, answer: str = "200 OK") -> Callable[[dict[str, Any]], None]:
    """Call *app* as a server does, and see to it that it gives this answer."""

    def start_response(status: str, headers: Any) -> None:
        assert status == answer, status

    def call(environ: dict[str, Any]) -> None:
        app(environ, start_response)

    return call


def asgi_caller(app: Any) -> Callable[[dict[str, Any]], None]:
    """The same without an event loop: nothing here waits, so one step is the whole request."""

    async def receive() -> Any:
        raise AssertionError("an empty request")

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    def call(scope: dict[str, Any]) -> None:
        try:
            app(scope, receive, send).send(None)
        except StopIteration:
            return
        raise AssertionError("the app waited for something")

    return call


@dataclass(frozen=True, slots=True)
class Door:
    """A kind of interface: how its requests are made, how they are sent, and the two apps."""

    request: Callable[..., dict[str, Any]]
    caller: Callable[[Any], Callable[[dict[str, Any]], None]]
    app: Any
    middleware: Any

    def guarded(self, guard: Guard) -> Any:
        """The empty app behind *guard*."""
        return self.middleware(self.app, guard)

    def variant(
        self, app: Any, tokens: Iterable[bytes], paths: Iterable[bytes] | None = None
    ) -> Variant:
        """Requests to *app* with these tokens, on PATHS in turn where no paths are given."""
        pairs = zip(tokens, itertools.cycle(PATHS) if paths is None else paths, strict=False)
        return Variant(
            lambda count: [self.request(*pair) for pair in itertools.islice(pairs, count)],
            self.caller(app),
        )

    def seen(self, guard: Guard, tokens: Sequence[bytes]) -> Variant:
        """Requests with *tokens*, each of which *guard* has seen."""
        variant = self.variant(self.guarded(guard), itertools.cycle(tokens))
        one_batch(variant, len(tokens))
        return variant


DOORS = {
    "WSGI": Door(wsgi_request, wsgi_caller, wsgi_app, wsgi.GuardMiddleware),
    "ASGI": Door(asgi_request, asgi_caller, asgi_app, asgi.GuardMiddleware),
}


class Signer:
    """Mints tokens of one algorithm."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.key = private_key(algorithm)
        self._number = itertools.count()
        self._now = int(time.time())

    @property
    def verifying_key(self) -> Any:
        """The secret, or the public key, loaded."""
        return self.key if isinstance(self.key, bytes) else self.key.public_key()

    @property
    def written_key(self) -> bytes:
        """The secret, or the public key as PEM text: what stands in a file."""
        if isinstance(self.key, bytes):
            return self.key
        pem: bytes = self.key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return pem

    @property
    def jwks(self) -> dict[str, Any]:
        """The key as its issuer publishes it."""
        return {"keys": [public_jwk(self.key, kid="k1")]}

    def guard(
        self,
        rules: Sequence[Rule] | None = None,
        cache_size: int = 4096,
        keys: AnyKeys | None = None,
        issuers: Iterable[str] = (ISSUER,),
        observer: Observer | None = None,
    ) -> Guard:
        """A guard that trusts these tokens, of all *issuers* alike; *keys* where not at hand."""
        if keys is None:
            keys = Secret(self.key) if isinstance(self.key, bytes) else JWKSet(self.jwks)
        words: dict[str, Any] = {
            "audience": AUDIENCE,
            "algorithms": [self.algorithm],
            "keys": keys,
        }
        return Guard(
            [Issuer(issuer, **words) for issuer in issuers],
            _rules() if rules is None else rules,
            forward={"X-User-Id": "sub"},
            cache_size=cache_size,
            observer=observer,
        )

    def tokens(self, count: int, issuers: Sequence[str] = (ISSUER,)) -> list[bytes]:
        """*count* valid tokens, all different, of the *issuers* in turn."""
        return [
            self._token(next(self._number), issuer)
            for issuer in itertools.islice(itertools.cycle(issuers), count)
        ]

    def _token(self, number: int, issuer: str) -> bytes:
        claims = {
            "iss": issuer,
            "aud": AUDIENCE,
            "sub": f"user-{number}",
            "iat": self._now,
            "exp": self._now + 7200,
            "jti": f"{number:032x}",
            "client_id": "web",
            "scope": "reports:read reports:write profile",
            "roles": ["analyst", "editor"],
        }
        return sign(claims, self.key, self.algorithm, {"kid": "k1"}).encode()


def _rules() -> list[Rule]:
    return [
        Rule(["/health", "/login", "/static/**"], access="public"),
        Rule("/feed", access="optional"),
        Rule("/admin/**", any_role=["admin", "superuser"]),
        Rule("/reports/**", methods=["GET"], scopes=NEEDED_SCOPE),
        Rule("/reports/**", scopes="reports:write"),
        Rule("/tenants/{tenant}/**", require={"tenant_id": {"path": "tenant"}}),
    ]
