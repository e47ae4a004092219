"""Decisions in traces, by OpenTelemetry (the extra ``[otel]``).

A decision becomes attributes of the span that the request is in, which an instrumentation in front
of the guard began, and a refusal an event of it. An exchange with an identity provider becomes a
span of its own, below the one of the request that waited for it.
"""

import time
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from jwtguard.core.observing import Decided, Exchange, Observer

__all__ = ["OpenTelemetryObserver"]


class OpenTelemetryObserver(Observer):
    """Tells the current span of decisions; *tracer_provider*: the process's own by default.

    The attributes are ``jwtguard.decision``, ``jwtguard.rule``, ``jwtguard.reason``,
    ``jwtguard.issuer``, and ``user.hash``, the subject's fingerprint as in the log.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("jwtguard", tracer_provider=tracer_provider)

    def decided(self, decided: Decided) -> None:
        """Attributes of the current span, and an event where it was not simply allowed."""
        span = trace.get_current_span()
        if not span.is_recording():
            return
        known = {
            "jwtguard.decision": decided.verdict,
            "jwtguard.rule": decided.rule,
            "jwtguard.reason": decided.reason,
            "jwtguard.issuer": decided.issuer,
            "user.hash": decided.subject,
        }
        attributes: dict[str, AttributeValue] = {
            name: value for name, value in known.items() if value is not None
        }
        span.set_attributes(attributes)
        if decided.error is not None:
            told = {n: v for n, v in attributes.items() if n.startswith("jwtguard.")}
            span.add_event(f"jwtguard.{decided.verdict}", told)

    def exchanged(self, exchange: Exchange) -> None:
        """A client span."""
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"jwtguard {exchange.kind}",
            kind=SpanKind.CLIENT,
            attributes={
                "jwtguard.issuer": exchange.issuer,
                "server.address": urlsplit(exchange.url).hostname or "",
            },
            start_time=ended - int(exchange.seconds * 1e9),
        )
        if exchange.status is not None:
            span.set_attribute("http.response.status_code", exchange.status)
        if exchange.status is None or exchange.status >= 400:
            span.set_attribute("error.type", str(exchange.status or "no_answer"))
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)
