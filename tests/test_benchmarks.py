"""The benchmarks run; what they find is for people to read and no test of anything."""

import pytest

from benchmarks import __main__ as bench
from benchmarks import matching, memory, stopwatch


def test_one_run_prints_every_table(capsys, monkeypatch):
    monkeypatch.setattr(matching, "COUNTS", (6, 12))
    bench.main(["--rounds", "2", "--batch", "2", "--tokens", "20"])

    out = capsys.readouterr().out
    for door in ("WSGI", "ASGI"):
        for algorithm in ("HS256", "RS256", "ES256", "EdDSA"):
            assert f"{door}  {algorithm}" in out
            assert f"{door} {algorithm} new token / PyJWT, less raw crypto" in out
        assert f"{door} HS256 seen token / PyJWT" in out
        assert f"{door} RS256 seen token / PyJWT" in out
    assert "deciding, 12 rules / 6 rules" in out
    assert "memory after the cache was full" in out


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
