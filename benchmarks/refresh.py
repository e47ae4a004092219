"""Known tokens while their keys are fetched anew: no request may wait for it."""

import time
from dataclasses import dataclass
from time import perf_counter

from .provider import Provider
from .stopwatch import Variant, each_call, percentile
from .traffic import DOORS, PATHS, Signer

BATCH = 100
DELAY = 0.3  # seconds that the provider takes
FRESH = 0.2  # seconds that an answer is fresh, so that each period holds two refreshes
PERIOD = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds that a request takes behind a door; refreshes begun meanwhile."""

    door: str
    refreshing: bool
    p50: float
    p99: float
    slowest: float
    refreshes: int


def measure(seconds: float) -> list[Row]:
    """A row for each door with and without refreshes: periods of either kind, in turn."""
    signer = Signer("RS256")
    tokens = signer.tokens(len(PATHS))
    rows = []
    for name, door in DOORS.items():
        times: dict[bool, list[float]] = {False: [], True: []}
        variants: dict[bool, Variant] = {}
        with Provider(signer.jwks) as calm, Provider(signer.jwks) as busy:
            for provider, words in (
                (calm, {}),
                (busy, {"min_fresh": FRESH, "max_fresh": FRESH, "cooldown": FRESH / 2}),
            ):
                guard = signer.guard(keys=provider.keys(**words))
                guard.warm()
                variants[provider is busy] = door.seen(guard, tokens)
            busy.delay = DELAY
            begun = busy.asked
            until = perf_counter() + seconds / len(DOORS)
            while perf_counter() < until:
                for refreshing, variant in variants.items():
                    times[refreshing] += _one_period(variant)
                    while busy.open:  # what began in this period ends in it
                        time.sleep(0.01)
            refreshes = busy.asked - begun
        rows += [
            Row(
                name,
                refreshing,
                percentile(found, 0.5),
                percentile(found, 0.99),
                max(found),
                refreshes if refreshing else 0,
            )
            for refreshing, found in times.items()
        ]
    return rows


def _one_period(variant: Variant) -> list[float]:
    times: list[float] = []
    until = perf_counter() + PERIOD
    while perf_counter() < until:
        times += each_call(variant, BATCH)
    return times
