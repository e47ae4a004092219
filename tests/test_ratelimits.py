"""Where requests are counted: the stores as they are made, in Python and in the file."""

import subprocess
import sys
from pathlib import Path

import pytest

from jwtguard import config, errors
from jwtguard.core.rates import SharedRateStore
from jwtguard.ratelimits import MemoryRateStore, RedisRateStore

ISSUER = {"audience": False, "algorithms": ["HS256"], "secret": "a secret of over thirty-two bytes"}
RULE = {"path": "/api/**", "rate": {"limit": "10/second", "burst": 20}}
URL = "redis://user:a-password@127.0.0.1:1/0"


def made(**table):
    guard = config.from_mapping({"issuer": ISSUER, "rule": RULE, "rate_store": table})
    return guard._setup.given.rate_store


def problems(**words):
    with pytest.raises(errors.ConfigurationError) as caught:
        config.from_mapping({"issuer": ISSUER, "rule": RULE, **words})
    return caught.value.problems


def test_a_table_that_names_redis_counts_there(monkeypatch):
    monkeypatch.setenv("REDIS_URL", URL)

    store = made(redis={"env": "REDIS_URL"}, prefix="mine:", when_down="refuse", timeout=0.5)

    assert isinstance(store, RedisRateStore)
    assert isinstance(store, SharedRateStore)
    assert store.when_down == "refuse"
    assert repr(store) == "<RedisRateStore 127.0.0.1:1>"


def test_a_table_that_does_not_counts_in_memory():
    assert isinstance(made(), MemoryRateStore)
    assert isinstance(made(max_keys=10), MemoryRateStore)


@pytest.mark.parametrize(
    ("table", "place", "what"),
    [
        ("redis://x", "rate_store", "is a table, [rate_store]; found str"),
        ({"redis": URL, "max_keys": 5}, "rate_store.max_keys", "is for counts in memory"),
        ({"prefix": "x"}, "rate_store.prefix", "its address is missing: redis"),
        ({"when_down": "allow"}, "rate_store.when_down", "its address is missing: redis"),
        ({"max_keys": 1}, "rate_store.max_keys", "2 or more; found 1"),
        ({"redis": URL, "prefx": "x"}, "rate_store.prefx", "did you mean 'prefix'?"),
        ({"redis": {"env": "NOBODY_SET_IT"}}, "rate_store.redis", "is not set"),
        ({"redis": "https://:pass@redis.test"}, "rate_store.redis", "is an address such as"),
        ({"redis": 6379}, "rate_store.redis", "is text, or one of { env"),
        ({"redis": {"file": "nowhere"}}, "rate_store.redis", "No such file"),
        ({"redis": URL, "when_down": "open"}, "rate_store.when_down", "not one of 'allow'"),
        ({"redis": URL, "timeout": 0}, "rate_store.timeout", "at most 5; found 0"),
        ({"redis": URL, "timeout": True}, "rate_store.timeout", "at most 5; found True"),
        ({"redis": URL, "prefix": "a\n"}, "rate_store.prefix", "is printable text"),
    ],
)
def test_what_makes_no_sense_is_told_at_its_place(table, place, what):
    ((where, found),) = problems(rate_store=table)
    assert where == place
    assert what in found
    assert "pass" not in found.replace("password", "")


def test_every_limit_of_the_file_is_checked_at_start_up():
    rules = [
        {"path": "/a", "rate": "10/secnd"},
        {"path": "/b", "rate": {"burst": 20}},
        {"path": "/c", "rate": {"limit": "1/day", "by": "claim:sub"}, "access": "public"},
        {"path": "/d", "rate": ["1/second", {"limit": "1/day", "bye": "address"}]},
    ]
    found = problems(rule=rules, failed_rate="often", trusted_proxies=["10.0.0.0/8", "proxy"])
    assert [where for where, _ in found] == [
        "trusted_proxies[1]",
        "failed_rate",
        "rule[0].rate",
        "rule[1].rate.limit",
        "rule[2].rate",
        "rule[3].rate[1].bye",
    ]


def test_counting_in_memory_needs_nothing_installed():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['limits', 'redis']));"
        "from jwtguard import Rule;"
        "from jwtguard.ratelimits import MemoryRateStore, RedisRateStore;"
        "Rule('/x', rate='1/day'); MemoryRateStore(); print(RedisRateStore('redis://x').problems)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert "pip install 'jwtguard-middleware[ratelimit]'" in out.stdout
