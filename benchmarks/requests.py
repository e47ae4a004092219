"""Added time per request: seen and new tokens, beside raw crypto and the PyJWT middleware."""

import hmac
import itertools
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from jwtguard import asgi, wsgi

from . import traffic
from .peer import ASGIPeer, WSGIPeer
from .stopwatch import Variant, time_in_turn
from .traffic import Signer

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")
SEEN = len(traffic.PATHS)  # different tokens that are seen again and again
CACHE = 1024  # small, so that a run of new tokens pushes others out as it does in service


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds that a request takes longer than the empty app alone."""

    door: str
    algorithm: str
    raw: float
    seen: float
    elsewhere: float  # a seen token on a path that nobody asked for before
    new: float
    peer: float
    loaded: float  # the peer with its key loaded once

    def seen_ratio(self, peer: float) -> float:
        """A seen token, as a share of the PyJWT middleware."""
        return self.seen / peer

    def new_ratio(self, peer: float) -> float:
        """What a new token costs beyond raw crypto, as a share of what the peer costs beyond it."""
        return (self.new - self.raw) / (peer - self.raw)


def measure(algorithm: str, rounds: int, batch: int) -> list[Row]:
    """A row for each door."""
    signer = Signer(algorithm)
    seen = signer.tokens(SEEN)
    new = signer.tokens((rounds + 1) * batch)
    key = signer.verifying_key
    checks = [_signature(token, algorithm) for token in new[: SEEN * 4]]
    variants = {
        "nothing": Variant(_taking(itertools.cycle(checks)), _nothing),
        "raw": Variant(_taking(itertools.cycle(checks)), _raw_check(algorithm, key)),
    }
    doors = {
        "WSGI": (
            traffic.wsgi_request, traffic.wsgi_caller, traffic.wsgi_app, wsgi.GuardMiddleware,
            WSGIPeer,
        ),
        "ASGI": (
            traffic.asgi_request, traffic.asgi_caller, traffic.asgi_app, asgi.GuardMiddleware,
            ASGIPeer,
        ),
    }  # fmt: skip
    for door, (request, caller, app, middleware, peer) in doors.items():

        def requests(
            tokens: Iterable[bytes],
            paths: Iterable[bytes] = itertools.cycle(traffic.PATHS),
            make: Any = request,
        ) -> Callable[[int], list[Any]]:
            pairs = zip(tokens, paths, strict=False)
            return lambda count: [make(*pair) for pair in itertools.islice(pairs, count)]

        behind_guard = caller(middleware(app, signer.guard(cache_size=CACHE)))
        for token, path in zip(seen, traffic.PATHS, strict=True):
            behind_guard(request(token, path))
        # A guard of its own for the new tokens, so that they do not push out the seen ones.
        behind_other_guard = caller(middleware(app, signer.guard(cache_size=CACHE)))
        behind_peer = caller(peer(app, signer.written_key, algorithm))
        behind_loaded = caller(peer(app, key, algorithm))
        variants |= {
            f"{door} empty": Variant(requests(itertools.cycle(seen)), caller(app)),
            f"{door} seen": Variant(requests(itertools.cycle(seen)), behind_guard),
            f"{door} elsewhere": Variant(
                requests(
                    itertools.cycle(seen), map(b"/reports/2025/%d".__mod__, itertools.count())
                ),
                behind_guard,
            ),
            f"{door} new": Variant(requests(iter(new)), behind_other_guard),
            f"{door} peer": Variant(requests(iter(new)), behind_peer),
            f"{door} loaded": Variant(requests(iter(new)), behind_loaded),
        }
    times = time_in_turn(variants, rounds, batch)
    raw = times.added("raw", "nothing")
    return [
        Row(
            door,
            algorithm,
            raw,
            *(
                times.added(f"{door} {what}", f"{door} empty")
                for what in ("seen", "elsewhere", "new", "peer", "loaded")
            ),
        )
        for door in doors
    ]


def _taking(endless: Iterator[Any]) -> Callable[[int], Sequence[Any]]:
    return lambda count: list(itertools.islice(endless, count))


def _nothing(_: Any) -> None:
    pass


def _signature(token: bytes, algorithm: str) -> tuple[bytes, bytes]:
    """Signing input and signature, in the form that `cryptography` wants."""
    signing_input, _, text = token.rpartition(b".")
    signature = urlsafe_b64decode(text + b"==")
    if algorithm == "ES256":
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        signature = utils.encode_dss_signature(r, s)
    return signing_input, signature


def _raw_check(algorithm: str, key: Any) -> Callable[[tuple[bytes, bytes]], object]:
    """The least that any verification of the signature must do."""
    if algorithm == "HS256":
        return lambda check: hmac.new(key, check[0], "sha256").digest() == check[1]
    if algorithm == "EdDSA":
        return lambda check: key.verify(check[1], check[0])
    more: tuple[Any, ...] = {
        "RS256": (padding.PKCS1v15(), hashes.SHA256()),
        "ES256": (ec.ECDSA(hashes.SHA256()),),
    }[algorithm]
    return lambda check: key.verify(check[1], check[0], *more)
