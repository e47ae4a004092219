"""Metrics: what is counted, under which labels, and that the dashboard shows nothing else."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from jwtguard import RemoteKeys, Rule, config, errors
from jwtguard.core import Fetched
from jwtguard.drive import run
from jwtguard.observe.prometheus import PrometheusObserver, metrics_text
from jwtguard.testing import FakeIssuer

from .core.forge import NOW, make_guard, request, token

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "examples" / "grafana" / "jwtguard.json"

idp = FakeIssuer(clock=lambda: NOW)


@pytest.fixture
def registry():
    return CollectorRegistry()


def samples(registry, name):
    """Samples of a metric: labels -> value."""
    text = metrics_text(registry)[0].decode()
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_decisions_are_counted_by_rule_and_reason(registry):
    rules = [Rule("/admin", roles="admin"), Rule("/open", access="public")]
    guard = make_guard(rules, observer=PrometheusObserver(registry))
    raw = token()
    for path, bearer in (("/x", raw), ("/x", raw), ("/x", None), ("/admin", raw), ("/open", None)):
        guard.decide(request(path, bearer=bearer))
    for _ in range(3):
        assert guard.recall("GET", "/x", None, f"Bearer {raw}")
    guard.decide(request("/a;b"))

    closing = "closing:/**"
    assert samples(registry, "jwtguard_decisions_total") == {  # labels as they are sorted
        ("allowed", "", closing, "verified"): 1.0,
        ("allowed", "", closing, "recalled"): 4.0,
        ("refused", "no_credentials", closing, ""): 1.0,
        ("refused", "role_missing", "0:/admin", ""): 1.0,
        ("allowed", "", "1:/open", ""): 1.0,
        ("refused", "ambiguous_path", "", ""): 1.0,
    }
    timed = samples(registry, "jwtguard_judging_seconds_count")
    assert timed == {("allowed",): 3.0, ("refused",): 3.0}


def test_exchanges_are_counted_by_outcome_and_keys_by_their_time(registry):
    def down(_):
        raise errors.FetchError("down")

    good = Fetched(200, {}, json.dumps(idp.jwks()).encode())
    for provider in (down, lambda _: Fetched(500, {}, b""), lambda _: good):
        keys = RemoteKeys("https://issuer.test/keys", clock=lambda: NOW)
        issuers = [idp.trusted(keys=keys, name="people")]
        guard = make_guard(issuers=issuers, observer=PrometheusObserver(registry))
        run(guard.decide_flow(request(headers=[("Authorization", idp.bearer())])), provider)

    assert samples(registry, "jwtguard_exchanges_total") == {
        ("people", "keys", outcome): 1.0 for outcome in ("failed", "5xx", "2xx")
    }
    assert samples(registry, "jwtguard_exchange_seconds_count") == {("people", "keys"): 3.0}
    name = "jwtguard_keys_fetched_timestamp_seconds"
    assert samples(registry, name) == {("people",): float(NOW)}


def test_nothing_of_a_request_becomes_a_label(registry):
    guard = make_guard(observer=PrometheusObserver(registry), report_until="2027-02-01")
    raw = token(sub="somebody")
    for path in ("/secret-path", "/secret-path;x", "/secret-path/1"):
        for method in ("GET", "SECRET"):
            guard.decide(request(path, method=method, bearer=raw))
            guard.decide(request(path, method=method, bearer=f"{raw}x"))
    text = metrics_text(registry)[0].decode()
    assert not re.search(r"secret|SECRET|somebody|eyJ", text)


def test_guards_of_one_registry_share_their_metrics(registry):
    for _ in range(2):
        make_guard(observer=PrometheusObserver(registry)).decide(request())
    [count] = samples(registry, "jwtguard_decisions_total").values()
    assert count == 2.0


def test_the_age_of_revocations_is_what_it_is_when_somebody_looks(registry):
    class Revocations:
        age = 3.0

    PrometheusObserver(registry).watch_revocations(revocations := Revocations())
    assert samples(registry, "jwtguard_revocations_age_seconds") == {(): 3.0}
    revocations.age = 7.5
    assert samples(registry, "jwtguard_revocations_age_seconds") == {(): 7.5}


def test_metrics_come_with_their_content_type(registry):
    body, content_type = metrics_text(registry)
    assert body == b""
    assert content_type.startswith("text/plain; version=")


# --- files --------------------------------------------------------------------------------------

ISSUER = {"audience": False, "algorithms": ["HS256"], "secret": "0123456789abcdef" * 2}


@pytest.mark.parametrize("written", ["prometheus", ["prometheus", "otel"], PrometheusObserver()])
def test_a_file_names_its_observers(written):
    guard = config.from_mapping({"issuer": ISSUER, "observer": written})
    kinds = [type(one).__name__ for one in guard._setup.given.observer]
    assert kinds == ["PrometheusObserver", "OpenTelemetryObserver"][: len(kinds)]
    guard.decide(request())
    assert b'jwtguard_decisions_total{decision="refused"' in metrics_text()[0]


def test_a_file_shows_how_long_nothing_was_heard_of_its_revocations(registry, tmp_path):
    (tmp_path / "revoked.jsonl").touch()
    mapping = {"issuer": ISSUER, "revocation": {"file": "revoked.jsonl"}}
    observer = PrometheusObserver(registry)
    guard = config.from_mapping({**mapping, "observer": [observer, "otel"]}, tmp_path)
    guard.revocations.__class__ = type("Late", (type(guard.revocations),), {"age": 7.0})
    assert samples(registry, "jwtguard_revocations_age_seconds") == {(): 7.0}


@pytest.mark.parametrize(
    ("written", "where", "what"),
    [
        ("promtheus", "observer", "did you mean 'prometheus'"),
        (["otel", "statsd"], "observer[1]", "is not one of 'prometheus', 'otel'"),
        (3, "observer[0]", "found int"),
    ],
)
def test_a_wrong_name_of_an_observer_is_a_problem(written, where, what):
    with pytest.raises(errors.ConfigurationError) as caught:
        config.from_mapping({"issuer": ISSUER, "observer": written})
    [(place, said)] = caught.value.problems
    assert place == where
    assert what in said


@pytest.mark.parametrize("name", ["prometheus", "otel"])
def test_a_missing_extra_is_said_with_what_to_install(name):
    code = f"""
import sys
sys.modules["prometheus_client"] = sys.modules["opentelemetry"] = None
from jwtguard import config, errors
try:
    config.from_mapping({{"issuer": {ISSUER!r}, "observer": {name!r}}})
except errors.ConfigurationError as error:
    print(error)
"""
    said = run_python(code)
    assert said.startswith("observer: ")
    assert f"pip install 'jwtguard-middleware[{name}]'" in said


def test_without_an_observer_neither_library_is_loaded():
    code = "import jwtguard, jwtguard.observe, sys; print(*sys.modules)"
    loaded = run_python(code).split()
    assert not {"prometheus_client", "opentelemetry"} & set(loaded)


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
    return done.stdout


# --- several processes --------------------------------------------------------------------------


def test_several_processes_are_added_up(tmp_path):
    code = """
import sys
from jwtguard.core.observing import Decided, Exchange
from jwtguard.observe.prometheus import PrometheusObserver, metrics_text
observer = PrometheusObserver()
for _ in range(int(sys.argv[1]) if sys.argv[1:] else COUNT):
    observer.recalled("0:/x", None)
observer.exchanged(Exchange("keys", "people", "https://a.test", 200, 0.1, 1000.0 + COUNT))
print(metrics_text()[0].decode())
"""
    place = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    run_python(code.replace("COUNT", "2"), **place)
    text = run_python(code.replace("COUNT", "3"), **place)
    assert re.search(r'jwtguard_decisions_total\{.*rule="0:/x".*\} 5\.0', text)
    assert re.search(r"jwtguard_exchanges_total\{.*\} 2\.0", text)
    assert re.search(r'jwtguard_keys_fetched_timestamp_seconds\{issuer="people"\} 100[23]', text)


# --- the dashboard ------------------------------------------------------------------------------


def families(registry):
    PrometheusObserver(registry)
    text = metrics_text(registry)[0].decode()
    return set(re.findall(r"^# TYPE (jwtguard_\w+) ", text, re.MULTILINE))


def shown():
    """The metrics that the dashboard asks for, by the names of their families."""
    written = re.findall(r"\bjwtguard_\w+", DASHBOARD.read_text("utf-8"))
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in written}


def exported(registry):
    return {name for name in families(registry) if not name.endswith("_created")}


def test_the_dashboard_asks_for_metrics_that_exist_and_for_all_of_them(registry):
    assert shown() == exported(registry)


def test_the_dashboard_asks_by_labels_that_exist(registry):
    PrometheusObserver(registry)
    labels = {"decision", "reason", "rule", "token", "issuer", "kind", "outcome", "job", "le"}
    text = DASHBOARD.read_text("utf-8")
    used = set(re.findall(r'(\w+)(?:=~|!=|=)\\"', text)) | set(re.findall(r"\{\{(\w+)\}\}", text))
    for listed in re.findall(r"by \(([\w, ]+)\)", text):
        used |= {name.strip() for name in listed.split(",")}
    assert used <= labels


def test_the_panels_of_the_dashboard_have_a_place_each():
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)


def test_every_metric_is_explained_in_the_docs(registry):
    text = (ROOT / "docs" / "observing.md").read_text("utf-8")
    assert exported(registry) <= set(re.findall(r"`(jwtguard_\w+)`", text))
