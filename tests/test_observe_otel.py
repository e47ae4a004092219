"""Decisions in traces: attributes of the request's span, and spans for exchanges."""

import json

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from jwtguard import RemoteKeys, Rule, errors
from jwtguard.core import Fetched
from jwtguard.core.refused import fingerprint
from jwtguard.drive import run
from jwtguard.observe.otel import OpenTelemetryObserver
from jwtguard.testing import FakeIssuer

from .core.forge import NOW, make_guard, request, token

idp = FakeIssuer(clock=lambda: NOW)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def served(provider, exporter):
    """Judge inside of a server's span; returns that span, which has ended."""
    tracer = provider.get_tracer("server")

    def serve(judge):
        with tracer.start_as_current_span("GET /x"):
            judge()
        return exporter.get_finished_spans()[-1]

    return serve


def test_a_decision_joins_the_span_of_the_request(provider, served):
    guard = make_guard(observer=OpenTelemetryObserver(provider))
    wanted = {
        "jwtguard.decision": "allowed",
        "jwtguard.rule": "closing:/**",
        "jwtguard.issuer": "people",
        "user.hash": fingerprint("alice"),
    }
    raw = token()
    for judge in (
        lambda: guard.decide(request(bearer=raw)),
        lambda: guard.recall("GET", "/x", None, f"Bearer {raw}"),
    ):
        span = served(judge)
        assert dict(span.attributes) == wanted
        assert span.events == ()


def test_a_refusal_is_an_event_too(provider, served):
    guard = make_guard([Rule("/x", roles="admin")], observer=OpenTelemetryObserver(provider))
    span = served(lambda: guard.decide(request(bearer=token())))
    assert span.attributes["jwtguard.reason"] == "role_missing"
    [event] = span.events
    assert event.name == "jwtguard.refused"
    assert dict(event.attributes) == {
        "jwtguard.decision": "refused",
        "jwtguard.rule": "0:/x",
        "jwtguard.reason": "role_missing",
        "jwtguard.issuer": "people",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_what_is_reported_is_an_event_of_its_own_name(provider, served):
    guard = make_guard(observer=OpenTelemetryObserver(provider), report_until="2027-02-01")
    [event] = served(lambda: guard.decide(request())).events
    assert event.name == "jwtguard.reported"


def test_neither_token_nor_subject_nor_path_is_told(provider, served):
    guard = make_guard(observer=OpenTelemetryObserver(provider))
    raw = token(sub="somebody")
    for sent in (raw, f"{raw}x"):
        span = served(lambda sent=sent: guard.decide(request("/secret", bearer=sent)))
        told = span.to_json()
        assert not any(word in told for word in ("eyJ", "somebody", "/secret"))


def test_outside_of_a_trace_nothing_is_told(provider, exporter):
    guard = make_guard(observer=OpenTelemetryObserver(provider))
    assert guard.decide(request(bearer=token())).status == 200
    assert exporter.get_finished_spans() == ()


def keys(answer):
    def fetch(_):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return fetch


GOOD = Fetched(200, {}, json.dumps(idp.jwks()).encode())


@pytest.mark.parametrize(
    ("answer", "code", "wrong"),
    [
        (GOOD, 200, None),
        (Fetched(503, {}, b""), 503, "503"),
        (errors.FetchError("down"), None, "no_answer"),
    ],
)
def test_an_exchange_is_a_span_below_the_requests(answer, code, wrong, provider, served, exporter):
    source = RemoteKeys("https://issuer.test/keys?secret=1", clock=lambda: NOW)
    issuers = [idp.trusted(keys=source, name="people")]
    guard = make_guard(issuers=issuers, observer=OpenTelemetryObserver(provider))
    asked = request(headers=[("Authorization", idp.bearer())])

    parent = served(lambda: run(guard.decide_flow(asked), keys(answer)))

    span = exporter.get_finished_spans()[0]
    assert (span.name, span.kind) == ("jwtguard keys", SpanKind.CLIENT)
    assert span.parent.span_id == parent.context.span_id
    assert span.start_time <= span.end_time
    wanted = {"jwtguard.issuer": "people", "server.address": "issuer.test"}
    wanted |= {} if code is None else {"http.response.status_code": code}
    wanted |= {} if wrong is None else {"error.type": wrong}
    assert dict(span.attributes) == wanted
    assert (span.status.status_code is StatusCode.ERROR) == (wrong is not None)
