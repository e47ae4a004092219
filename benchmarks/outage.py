"""Known tokens while the provider is down: what each request takes, beside the same in peace.

Keys past their freshness are those that a guard keeps asking for, in the background and in vain:
every 30 seconds by default, and ever more seldom after failures. Here it begins at a quarter of a
second, so that a run of some seconds holds several attempts.
"""

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from .provider import Keys, Provider
from .stopwatch import Variant, each_call, percentile
from .traffic import DOORS, PATHS, Signer

BATCH = 1_000  # calls in a row, so that an attempt is mostly felt by those that caused it
FRESH = ("answers", "stopped, keys fresh")
COOLDOWN = 0.25  # seconds
STATES = (*FRESH, "refuses, keys old", "is silent, keys old")


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds that a request takes behind a door, and how many attempts failed meanwhile."""

    door: str
    provider: str
    p50: float
    p99: float
    failed: int


def measure(seconds: float) -> list[Row]:
    """A row for each door and state of the provider, from *seconds* in all."""
    signer = Signer("RS256")
    tokens = signer.tokens(len(PATHS))
    sources: dict[tuple[str, str], Keys] = {}
    variants: dict[tuple[str, str], Variant] = {}
    with ExitStack() as stack:
        for state in STATES:
            for name, door in DOORS.items():
                provider = stack.enter_context(Provider(signer.jwks))
                source = (
                    provider.keys()
                    if state in FRESH
                    else provider.keys(min_fresh=0.01, max_fresh=0.01, cooldown=COOLDOWN, timeout=1)
                )
                guard = signer.guard(keys=source)
                guard.warm()
                sources[name, state] = source
                variants[name, state] = door.seen(guard, tokens)
                provider.silent = state == STATES[3]
                if state in STATES[1:3]:
                    provider.stop()
        time.sleep(COOLDOWN)  # from here on old keys are asked for
        times = _in_turn(variants, seconds)
    return [
        Row(
            *at,
            percentile(times[at], 0.5),
            percentile(times[at], 0.99),
            source._attempt - 1,  # the first one brought the keys
        )
        for at, source in sources.items()
    ]


def _in_turn(
    variants: dict[tuple[str, str], Variant], seconds: float
) -> dict[tuple[str, str], list[float]]:
    times: dict[tuple[str, str], list[float]] = {at: [] for at in variants}
    order = list(variants)
    shuffle = random.Random(1).shuffle
    until = perf_counter() + seconds
    while perf_counter() < until:
        shuffle(order)
        for at in order:
            times[at] += each_call(variants[at], BATCH)
    return times
