"""Added time per request: seen and new tokens, beside raw crypto and the PyJWT middleware."""

import hmac
import itertools
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from . import traffic
from .peer import ASGIPeer, WSGIPeer
from .stopwatch import Variant, one_batch, time_in_turn
from .traffic import DOORS, Signer

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")
SEEN = len(traffic.PATHS)  # different tokens that are seen again and again
PEERS = {"WSGI": WSGIPeer, "ASGI": ASGIPeer}
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
    for name, door in DOORS.items():
        guarded = door.guarded(signer.guard(cache_size=CACHE))
        # A guard of its own for the new tokens, so that they do not push out the seen ones.
        other = door.guarded(signer.guard(cache_size=CACHE))
        peer = PEERS[name](door.app, signer.written_key, algorithm)
        loaded = PEERS[name](door.app, key, algorithm)
        paths = itertools.cycle(traffic.PATHS)
        elsewhere = map(b"/reports/2025/%d".__mod__, itertools.count())
        own = {
            "empty": door.variant(door.app, itertools.cycle(seen), paths),
            "seen": door.variant(guarded, itertools.cycle(seen), paths),
            "elsewhere": door.variant(guarded, itertools.cycle(seen), elsewhere),
            "new": door.variant(other, iter(new), paths),
            "peer": door.variant(peer, iter(new), paths),
            "loaded": door.variant(loaded, iter(new), paths),
        }
        one_batch(own["seen"], SEEN)
        variants |= {f"{name} {what}": variant for what, variant in own.items()}
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
        for door in DOORS
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
