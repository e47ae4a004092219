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
    """Microseconds that a request takes behind a door.

    ``fetches``: how often the keys were fetched meanwhile; ``begun``: how often a request began it.
    """

    door: str
    refreshing: bool
    p50: float
    p99: float
    slowest: float
    fetches: int
    begun: int


def measure(seconds: float) -> list[Row]:
    """Two rows for each door, without and with refreshes, from *seconds* in all."""
    signer = Signer("RS256")
    return [row for name in DOORS for row in _door(name, signer, seconds / len(DOORS))]


def _door(name: str, signer: Signer, seconds: float) -> list[Row]:
    tokens = signer.tokens(len(PATHS))
    with Provider(signer.jwks) as calm, Provider(signer.jwks) as busy:
        sources = {
            calm: calm.keys(),
            busy: busy.keys(min_fresh=FRESH, max_fresh=FRESH, cooldown=FRESH / 2),
        }
        variants = {}
        for provider, source in sources.items():
            guard = signer.guard(keys=source)
            guard.warm()
            variants[provider] = DOORS[name].seen(guard, tokens)
            provider.delay = DELAY
            provider.asked = source.begun = 0
        times: dict[Provider, list[float]] = {provider: [] for provider in sources}
        until = perf_counter() + seconds
        while perf_counter() < until:
            for provider, variant in variants.items():  # periods of either kind, in turn
                times[provider] += _one_period(variant)
                while provider.open:  # what began in a period ends in it
                    time.sleep(0.01)
    return [
        Row(
            name,
            provider is busy,
            percentile(found, 0.5),
            percentile(found, 0.99),
            max(found),
            provider.asked,
            sources[provider].begun,
        )
        for provider, found in times.items()
    ]


def _one_period(variant: Variant) -> list[float]:
    times: list[float] = []
    until = perf_counter() + PERIOD
    while perf_counter() < until:
        times += each_call(variant, BATCH)
    return times
