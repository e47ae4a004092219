"""What an OpenID provider answers to those who ask it for keys and about tokens."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from jwtguard.core.claims import Claims
from jwtguard.core.errors import FetchError, InvalidToken
from jwtguard.core.keyloader import LocalKeys
from jwtguard.core.model import Fetch, Fetched
from jwtguard.core.verifier import verify_jws

if TYPE_CHECKING:
    from .issuer import FakeIssuer

MAX_BODY = 65_536  # bytes of a request


def answered(idp: "FakeIssuer", fetch: Fetch) -> Fetched:
    """The answer to one exchange. Raises FetchError while the provider is down."""
    if idp.down:
        raise FetchError(f"{fetch.url}: the fake issuer is down")
    status, document = _document(idp, fetch.method, fetch.url, fetch.body or b"")
    return Fetched(status, {"content-type": "application/json"}, json.dumps(document).encode())


def _document(idp: "FakeIssuer", method: str, url: str, body: bytes) -> tuple[int, Claims]:
    if url == idp.discovery_url:
        return 200, {
            "issuer": idp.issuer,
            "jwks_uri": idp.jwks_uri,
            "introspection_endpoint": idp.introspection_endpoint,
            "authorization_endpoint": f"{idp.address}/authorize",
            "token_endpoint": f"{idp.address}/token",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "id_token_signing_alg_values_supported": [idp.algorithm],
        }
    if url == idp.jwks_uri:
        return 200, idp.jwks()
    if url == f"{idp.address}/token" and method == "POST":
        return idp.sign_ins.tokens(idp.token, body)
    if url == idp.introspection_endpoint:
        asked = parse_qs(body.decode("utf-8", "replace")).get("token", [])
        if method != "POST" or len(asked) != 1:
            return 400, {"error": "invalid_request"}
        return 200, idp.introspected(asked[0])
    return 404, {"error": "not_found"}


def own_claims(idp: "FakeIssuer", raw: str) -> Claims | None:
    """The claims of a JWT that the issuer's keys have signed."""
    try:
        _, payload = verify_jws(raw, LocalKeys(idp.key_set()), [idp.algorithm])
    except InvalidToken:
        return None
    claims: Claims = json.loads(payload)
    return claims


class _Handler(BaseHTTPRequestHandler):
    timeout = 2  # seconds; a client that says nothing must not keep the server from ending

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        length = max(0, min(int(self.headers.get("Content-Length") or 0), MAX_BODY))
        asked = Fetch(
            f"{server.address}{self.path}", method=self.command, body=self.rfile.read(length)
        )
        try:
            answer = answered(server.idp, asked)
        except FetchError:
            return  # nothing is said, and the connection ends
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass  # a test's output is the test's


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # those that answer are waited for

    def __init__(self, idp: "FakeIssuer") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.idp = idp
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client went away


@contextmanager
def served(idp: "FakeIssuer") -> Iterator[str]:
    """A server for the block; afterwards its threads have ended and its port is closed."""
    server = _Server(idp)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
