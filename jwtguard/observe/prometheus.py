"""Metrics for Prometheus (the extra ``[prometheus]``).

Labels hold what the configuration holds: labels of rules, names of issuers, reasons. No path,
subject or token of a request ever becomes one.

Several processes (gunicorn's workers) need ``PROMETHEUS_MULTIPROC_DIR`` in the environment before
this is imported; prometheus-client then keeps the numbers in files there, and `metrics_text` adds
them up.
"""

import os
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from jwtguard.core.observing import Decided, Exchange, Observer
from jwtguard.core.token import VerifiedToken

__all__ = ["PrometheusObserver", "metrics_text"]

_JUDGING = (50e-6, 100e-6, 250e-6, 1e-3, 5e-3, 25e-3, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0)
_EXCHANGES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Metrics:
    """The metrics of one registry, which all guards of a process share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.decisions = Counter(
            "jwtguard_decisions",
            "Decisions, by rule; token says whether one passed, and was seen before.",
            ["rule", "decision", "reason", "token"],
            registry=registry,
        )
        self.judging = Histogram(
            "jwtguard_judging_seconds",
            "Time of decisions with all waiting, but for tokens seen before (microseconds).",
            ["decision"],
            buckets=_JUDGING,
            registry=registry,
        )
        self.exchanges = Counter(
            "jwtguard_exchanges",
            "HTTP exchanges with identity providers.",
            ["issuer", "kind", "outcome"],
            registry=registry,
        )
        self.exchange_seconds = Histogram(
            "jwtguard_exchange_seconds",
            "Time of HTTP exchanges with identity providers.",
            ["issuer", "kind"],
            buckets=_EXCHANGES,
            registry=registry,
        )
        # When, and not how old: it needs no writing to grow, and several processes can say it.
        self.keys_fetched = Gauge(
            "jwtguard_keys_fetched_timestamp_seconds",
            "When the keys in use were fetched; of several processes the oldest.",
            ["issuer"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.revocations_age = Gauge(
            "jwtguard_revocations_age_seconds",
            "For how long nothing could be heard of revocations made elsewhere.",
            registry=registry,
            multiprocess_mode="livemax",
        )


_known: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()


class _Aging(Protocol):
    @property
    def age(self) -> float: ...


class PrometheusObserver(Observer):
    """Counts what a guard does, in *registry* (the process's default one).

    Observers of one registry share their metrics, so several guards may have one each.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = REGISTRY if registry is None else registry
        metrics = _known.get(registry)
        if metrics is None:
            metrics = _known[registry] = _Metrics(registry)
        self._metrics = metrics
        # To find a metric by its labels takes longer than to count.
        self._counters: dict[tuple[str, str, str, str], Callable[[], None]] = {}
        self._recalled: dict[str, Callable[[], None]] = {}

    def recalled(self, rule: str, token: VerifiedToken) -> None:
        """Counted."""
        count = self._recalled.get(rule)
        if count is None:
            count = self._recalled[rule] = self._counter((rule, "allowed", "", "recalled"))
        count()

    def decided(self, decided: Decided) -> None:
        """Counted and timed."""
        labels = (
            decided.rule or "",
            decided.verdict,
            decided.reason or "",
            decided.how or "",
        )
        self._counter(labels)()
        if decided.seconds is not None:
            self._metrics.judging.labels(decided.verdict).observe(decided.seconds)

    def exchanged(self, exchange: Exchange) -> None:
        """Counted and timed; of keys, when they were fetched."""
        issuer, kind = exchange.issuer, exchange.kind
        outcome = "failed" if exchange.status is None else f"{exchange.status // 100}xx"
        self._metrics.exchanges.labels(issuer, kind, outcome).inc()
        self._metrics.exchange_seconds.labels(issuer, kind).observe(exchange.seconds)
        if exchange.keys_from is not None:
            self._metrics.keys_fetched.labels(issuer).set(exchange.keys_from)

    def watch_revocations(self, revocations: _Aging) -> None:
        """Show ``revocations.age``. Several processes cannot: it is what one of them knows."""
        self._metrics.revocations_age.set_function(lambda: revocations.age)

    def _counter(self, labels: tuple[str, str, str, str]) -> Callable[[], None]:
        count = self._counters.get(labels)
        if count is None:
            count = self._counters[labels] = self._metrics.decisions.labels(*labels).inc
        return count


def metrics_text(registry: CollectorRegistry | None = None) -> tuple[bytes, str]:
    """What ``/metrics`` answers with: the body, and its content type.

    With ``PROMETHEUS_MULTIPROC_DIR`` in the environment, of all processes.
    """
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(REGISTRY if registry is None else registry), CONTENT_TYPE_LATEST
