"""The benchmarks run; what they find is for people to read and no test of anything."""

import pytest

from benchmarks import __main__ as bench
from benchmarks import (
    frameworks,
    issuers,
    matching,
    memory,
    outage,
    refresh,
    stampede,
    stopwatch,
    traffic,
)


def test_one_run_prints_every_table(capsys, monkeypatch):
    monkeypatch.setattr(matching, "COUNTS", (6, 12))
    monkeypatch.setattr(issuers, "COUNTS", (1, 3))
    monkeypatch.setattr(issuers, "TOKENS", 8)
    monkeypatch.setattr(stampede, "RUNS", 1)
    monkeypatch.setattr(frameworks, "FRAMEWORKS", {"Starlette": "starlette"})
    few = ["--tokens", "20", "--stampede", "40", "--seconds", "0.2"]
    bench.main(["--rounds", "2", "--batch", "2", *few])

    out = capsys.readouterr().out
    for door in ("WSGI", "ASGI"):
        for algorithm in ("HS256", "RS256", "ES256", "EdDSA"):
            assert f"{door}  {algorithm}" in out
            assert f"{door} {algorithm} new token / PyJWT, less raw crypto" in out
        assert f"{door} HS256 seen token / PyJWT" in out
        assert f"{door} RS256 seen token / PyJWT" in out
    assert "deciding, 12 rules / 6 rules" in out
    assert "memory after the cache was full" in out
    assert "WSGI stampede, 32 threads: fetches" in out
    assert "ASGI provider is silent, keys old / normal, p99" in out
    assert "ASGI refreshing, slowest request, ms" in out
    assert "RS256 3 issuers / 1, unknown iss" in out
    assert "Starlette RS256 install / AuthenticationMiddleware" in out
    assert "ASGI telling Prometheus, us" in out


def test_one_table_alone_prints_no_other(capsys):
    bench.main(["--only", "outage", "--seconds", "0.01"])

    out = capsys.readouterr().out
    assert "known tokens while the provider" in out
    assert "rule matching" not in out


def test_a_stampede_makes_one_fetch():
    rows = stampede.measure(40)

    assert [row.fetches for row in rows] == [1 if row.cold else 0 for row in rows]


def test_no_known_token_waits_for_a_refresh():
    rows = refresh.measure(1)

    assert [row.fetches > 0 for row in rows] == [row.refreshing for row in rows]
    assert max(row.slowest for row in rows) < refresh.DELAY * 1_000_000


def test_known_tokens_are_served_while_the_provider_is_down():
    rows = outage.measure(0.6)

    assert {(row.door, row.provider) for row in rows if row.failed} >= {
        ("WSGI", "refuses, keys old"),
        ("ASGI", "refuses, keys old"),
    }


@pytest.mark.parametrize("name", frameworks.FRAMEWORKS)
def test_every_framework_has_a_row_for_each_form_beside_a_peer(name):
    rows = bench.in_own_process(frameworks.measure, name, "HS256", 2, 2)

    assert len(rows) >= 2
    assert all(row.peers for row in rows)


def test_an_app_that_lets_a_forged_token_in_is_not_measured():
    def lets_in(request):
        pass

    assert not frameworks.is_refused({}, lets_in)
    assert frameworks.is_refused({}, traffic.wsgi_caller(refusing))


def refusing(environ, start_response):
    start_response("401 Unauthorized", [])


def test_what_is_remembered_stays_within_the_cache():
    rows = memory.measure((4, 40), cache_size=8)

    assert [row.tokens for row in rows] == [4, 40]
    assert [row.remembered <= 8 for row in rows] == [True, True]


def test_added_time_is_the_median_of_the_differences_within_rounds():
    times = stopwatch.Times({"with": [5.0, 9.0, 7.0], "empty": [4.0, 6.0, 5.0]})

    assert times.added("with", "empty") == 2.0


@pytest.mark.parametrize("count", [9, 12, 999])
def test_a_third_of_the_rules_is_of_each_kind_and_every_path_has_its_rule(count):
    rules, paths = matching.rules_and_paths(count)

    texts = [rule.text for rule in rules]
    assert len(texts) == count
    for ending in ("/list", "/**", "/{item}"):
        assert sum(text.endswith(ending) for text in texts) == count // 3
    assert len(set(paths)) == 9
    guard = matching.Signer("HS256").guard(rules)
    for path in paths:
        bound, pattern = guard.policy.choose(path.decode().replace("%d", "1"), "GET")
        assert bound is not guard.policy.closing
        assert pattern is not None
