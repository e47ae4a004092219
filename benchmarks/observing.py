"""Telling observers: what it adds to a token that was seen before."""

import itertools
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from jwtguard.observe import Observer
from jwtguard.observe.otel import OpenTelemetryObserver
from jwtguard.observe.prometheus import PrometheusObserver

from .stopwatch import Variant, time_in_turn
from .traffic import DOORS, PATHS, Signer


class Silent(Observer):
    """The least that an observer can be."""

    def recalled(self, rule: str, token: Any) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds that a request with a known token takes longer than the empty app alone."""

    door: str
    nobody: float
    silent: float
    prometheus: float
    otel: float  # outside of any span


def measure(rounds: int, batch: int) -> list[Row]:
    """A row for each door."""
    signer = Signer("HS256")
    tokens = signer.tokens(len(PATHS))
    observers: dict[str, Observer | None] = {
        "nobody": None,
        "silent": Silent(),
        "prometheus": PrometheusObserver(CollectorRegistry()),
        "otel": OpenTelemetryObserver(TracerProvider()),
    }
    rows = []
    for name, door in DOORS.items():
        variants: dict[str, Variant] = {"empty": door.variant(door.app, itertools.cycle(tokens))}
        for who, observer in observers.items():
            variants[who] = door.seen(signer.guard(observer=observer), tokens)
        times = time_in_turn(variants, rounds, batch)
        rows.append(Row(name, *(times.added(who, "empty") for who in observers)))
    return rows
