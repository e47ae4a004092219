"""Time several things fairly: short batches in turn, so that a slow moment hits all alike."""

import gc
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Any


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing to time.

    ``prepare(n)`` makes the arguments of n calls and is not timed; ``call`` takes one of them.
    """

    prepare: Callable[[int], Sequence[Any]]
    call: Callable[[Any], object]


class Times:
    """Microseconds per call, a figure for each round and variant."""

    def __init__(self, rounds: Mapping[str, Sequence[float]]) -> None:
        self._rounds = rounds

    def added(self, name: str, base: str) -> float:
        """What *name* takes beyond *base*: the median of the differences, round by round."""
        pairs = zip(self._rounds[name], self._rounds[base], strict=True)
        return median(one - other for one, other in pairs)

    def whole(self, name: str) -> float:
        """What *name* takes: the median of the rounds."""
        return median(self._rounds[name])


def time_in_turn(variants: Mapping[str, Variant], rounds: int, batch: int) -> Times:
    """Time *batch* calls of each variant in every round, in an order that changes."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    shuffle = random.Random(1).shuffle
    for name in order:  # what is lazily made is made here
        one_batch(variants[name], batch)
    gc.collect()
    gc.freeze()  # so that only what requests leave behind is looked at
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                found[name].append(one_batch(variants[name], batch))
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return Times(found)


def one_batch(variant: Variant, batch: int) -> float:
    """Microseconds per call over one batch."""
    arguments = variant.prepare(batch)
    call = variant.call
    start = perf_counter_ns()
    for argument in arguments:
        call(argument)
    return (perf_counter_ns() - start) / 1000 / len(arguments)


def each_call(variant: Variant, batch: int) -> list[float]:
    """Microseconds of every single call of one batch."""
    arguments = variant.prepare(batch)
    call = variant.call
    times = []
    gc.disable()
    try:
        for argument in arguments:
            start = perf_counter_ns()
            call(argument)
            times.append((perf_counter_ns() - start) / 1000)
    finally:
        gc.enable()
    return times


def percentile(times: Sequence[float], share: float) -> float:
    """The time that this share of *times* does not exceed."""
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]
