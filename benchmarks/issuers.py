"""Choosing the issuer: what a token costs must not grow with how many are trusted."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .stopwatch import Variant, time_in_turn
from .traffic import DOORS, Signer, wsgi_caller

COUNTS = (1, 1_000)
ALGORITHMS = ("HS256", "RS256")
TOKENS = 1_000  # as many whatever the number of issuers; one of each where there are enough
CACHE = TOKENS // 4  # of the guard that gets new tokens: it has forgotten each when it comes again


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds that a request takes longer than the empty app alone.

    ``unknown``: a token of an issuer that nobody trusts, refused.
    """

    algorithm: str
    issuers: int
    seen: float
    new: float
    unknown: float


def measure(counts: Sequence[int], rounds: int, batch: int) -> list[Row]:
    """A row for each algorithm and number of issuers, through the WSGI door."""
    door = DOORS["WSGI"]
    rows = []
    for algorithm in ALGORITHMS:
        signer = Signer(algorithm)
        foreign = signer.tokens(TOKENS, ["https://elsewhere.example.net/"])
        variants: dict[str, Variant] = {}
        for count in counts:
            trusted = [f"https://login.example.com/{number}/v2.0" for number in range(count)]
            tokens = signer.tokens(TOKENS, trusted)
            small = door.guarded(signer.guard(cache_size=CACHE, issuers=trusted))
            variants |= {
                f"empty {count}": door.variant(door.app, itertools.cycle(tokens)),
                f"seen {count}": door.seen(signer.guard(issuers=trusted), tokens),
                f"new {count}": door.variant(small, itertools.cycle(tokens)),
                f"unknown {count}": Variant(
                    door.variant(small, itertools.cycle(foreign)).prepare,
                    wsgi_caller(small, "401 Unauthorized"),
                ),
            }
        times = time_in_turn(variants, rounds, batch)
        for count in counts:
            added: list[Any] = [
                times.added(f"{what} {count}", f"empty {count}")
                for what in ("seen", "new", "unknown")
            ]
            rows.append(Row(algorithm, count, *added))
    return rows
