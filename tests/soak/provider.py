"""An identity provider on loopback that fails in every way it can.

Two issuers live here: ``/people`` has a JWK Set at a known address, ``/partners`` is found by
discovery. Whoever follows a redirect is handed the keys of an attacker.
"""

import contextlib
import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

from jwtguard.signing import PrivateKey, private_key, public_jwk

TIMEOUT = 1.5  # seconds that the guards give an exchange
MAX_BYTES = 1 << 16
FRESH = 2  # seconds; so the guards ask every second and a half
ELSEWHERE = "/elsewhere"
PEOPLE, PARTNERS = "/people", "/partners"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks"

Wire = socket.socket


def _head(status: str, length: int, *more: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {length}", "Connection: close", *more)
    return "\r\n".join([*lines, "", ""]).encode()


def _good(wire: Wire, body: bytes) -> None:
    wire.sendall(_head("200 OK", len(body), f"Cache-Control: max-age={FRESH}") + body)


def _slow(wire: Wire, body: bytes) -> None:
    time.sleep(TIMEOUT * 1.5)
    _good(wire, body)


def _silent(wire: Wire, body: bytes) -> None:
    wire.recv(1)  # until the client gives up


def _error(wire: Wire, body: bytes) -> None:
    wire.sendall(_head("500 Internal Server Error", len(body)) + body)


def _garbage(wire: Wire, body: bytes) -> None:
    _good(wire, b"<html>\x00\xff\xfe Sorry </html>")


def _no_http(wire: Wire, body: bytes) -> None:
    wire.sendall(b"\x16\x03\x01 no HTTP at all\n\n" + body)


def _redirect(wire: Wire, body: bytes) -> None:
    wire.sendall(_head("302 Found", 0, f"Location: {ELSEWHERE}"))


def _huge(wire: Wire, body: bytes) -> None:
    _good(wire, body + b" " * (MAX_BYTES * 4))


def _half(wire: Wire, body: bytes) -> None:
    wire.sendall(_head("200 OK", len(body)) + body[: len(body) // 2])


def _drip(wire: Wire, body: bytes) -> None:
    wire.sendall(_head("200 OK", len(body)))
    for byte in body:
        wire.sendall(bytes([byte]))
        time.sleep(0.1)


def _compressed(wire: Wire, body: bytes) -> None:
    packed = gzip.compress(body)
    wire.sendall(_head("200 OK", len(packed), "Content-Encoding: gzip") + packed)


FAULTS: dict[str, Callable[[Wire, bytes], None]] = {
    "slow": _slow,
    "silent": _silent,
    "500": _error,
    "garbage": _garbage,
    "no HTTP": _no_http,
    "redirect": _redirect,
    "huge": _huge,
    "half": _half,
    "drip": _drip,
    "compressed": _compressed,
}
DOWN = "down"  # connections are refused
EMPTY = "empty set"
OTHER_KEYS = "other keys"  # under the same names
OTHER_ISSUER = "other issuer"  # in the discovery document
ALL_FAULTS = (*FAULTS, DOWN, EMPTY, OTHER_KEYS, OTHER_ISSUER)


class Provider:
    """``fault`` names what is wrong at the moment; None: nothing."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {}
        """Those that are published, by ``kid``."""
        self.attacker = private_key("ES256")
        self.fault: str | None = None
        self.asked: Counter[str] = Counter()  # by fault
        self.followed = 0  # redirects
        self._others: dict[str, PrivateKey] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._listen()

    def publish(self, kid: str, *, without: str | None = None) -> None:
        """One more key; *without*: one that is withdrawn."""
        kept = {name: key for name, key in self.keys.items() if name != without}
        self.keys = kept | {kid: private_key("ES256")}
        self._others = {name: private_key("ES256") for name in self.keys}

    def become(self, fault: str | None) -> None:
        """Fail like this from now on."""
        before, self.fault = self.fault, fault
        if fault == DOWN:
            self._close()
        elif before == DOWN:
            self._socket = socket.create_server(("127.0.0.1", self._port))
            self._listen()

    def stop(self) -> None:
        """For good."""
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes up `accept`
        self._socket.close()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening: Wire) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = listening.accept()
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with contextlib.suppress(OSError), wire:
            wire.settimeout(TIMEOUT * 5)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                if not (more := wire.recv(65536)):
                    return
                request += more
            fault = self.fault
            self.asked[fault or "healthy"] += 1
            body = self._document(request.split(b" ")[1].decode(), fault)
            FAULTS.get(fault or "", _good)(wire, body)

    def _document(self, path: str, fault: str | None) -> bytes:
        if path == ELSEWHERE:
            self.followed += 1
            found: object = _set({"attacker": self.attacker})
        elif path == PARTNERS + DISCOVERY:
            address = self.url + PARTNERS
            said = "https://other.test" if fault == OTHER_ISSUER else address
            found = {"issuer": said, "jwks_uri": address + JWKS}
        elif fault == EMPTY:
            found = {"keys": []}
        else:
            found = _set(self._others if fault == OTHER_KEYS else self.keys)
        return json.dumps(found).encode()


def _set(keys: dict[str, PrivateKey]) -> dict[str, object]:
    return {"keys": [public_jwk(key, kid=kid, alg="ES256", use="sig") for kid, key in keys.items()]}
