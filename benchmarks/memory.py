"""Memory while ever new valid tokens arrive: bounded by the verified-token cache."""

import hashlib
import hmac
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jwtguard.core.model import Allow, Request

from .traffic import AUDIENCE, ISSUER, Signer


@dataclass(frozen=True, slots=True)
class Row:
    """After so many tokens: how many are remembered, and MiB of growth since the first."""

    tokens: int
    remembered: int
    growth: float


def marks(tokens: int) -> tuple[int, ...]:
    """When to look: when the cache is full, and on the way to *tokens*."""
    return tuple(sorted({min(10_000, tokens), tokens // 10, tokens // 2, tokens}))


def measure(at: Sequence[int], cache_size: int = 4096) -> list[Row]:
    """Judge ``at[-1]`` requests, each with a valid token of its own; a row at each mark."""
    signer = Signer("HS256")
    guard = signer.guard(cache_size=cache_size)
    rows = []
    start = None
    for number, token in enumerate(_tokens(signer.key, range(at[-1] + 1))):
        headers = [("authorization", f"Bearer {token}")]
        decision = guard.decide(Request("GET", "/api/orders", headers=headers))
        assert isinstance(decision, Allow), decision
        if start is None:
            start = _resident()
        elif number in at:
            rows.append(Row(number, len(guard.verifier._cache), (_resident() - start) / 2**20))
    return rows


def _tokens(key: bytes, numbers: Iterable[int]) -> Iterator[str]:
    header = _base64url(b'{"alg":"HS256","typ":"JWT"}')
    now = int(time.time())
    signature = hmac.new(key, digestmod=hashlib.sha256)
    for number in numbers:
        payload = (
            f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"user-{number}","iat":{now},'
            f'"exp":{now + 7200},"jti":"{number:032x}","scope":"reports:read profile",'
            '"roles":["analyst","editor"]}'
        )
        signed = header + b"." + _base64url(payload.encode())
        signing = signature.copy()
        signing.update(signed)
        yield (signed + b"." + _base64url(signing.digest())).decode()


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _resident() -> int:
    """Bytes of memory in use now (Linux), or at the most so far (elsewhere)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
