"""Rates as they are written, and the arithmetic of counting."""

import limits
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwtguard.core.rates import (
    Limit,
    MemoryRateStore,
    RateStore,
    SharedRateStore,
    Used,
    as_limits,
    key_for,
    remaining,
    wait,
)

# --- what is written ----------------------------------------------------------------------------

# rate, (quota, window, claim, name) of each limit
RATES = [
    (None, []),
    ("10/second", [(10, 1, None, "address")]),
    ("100/5 minutes", [(100, 300, None, "address")]),
    ("100 per 5 minutes", [(100, 300, None, "address")]),
    ("1/Day", [(1, 86400, None, "address")]),
    (" 5 / hour ", [(5, 3600, None, "address")]),
    ({"limit": "10/second"}, [(10, 1, None, "address")]),
    ({"limit": "10/second", "burst": 20}, [(20, 2, None, "address")]),
    ({"limit": "10/second", "burst": 10}, [(10, 1, None, "address")]),
    ({"limit": "5/second", "burst": 10}, [(10, 2, None, "address")]),
    ({"limit": "600/minute", "burst": 20}, [(20, 2, None, "address")]),
    ({"limit": "1/minute", "burst": 5}, [(5, 300, None, "address")]),
    ({"limit": "10/second", "burst": None, "by": "address"}, [(10, 1, None, "address")]),
    ({"limit": "9/hour", "by": "claim:sub"}, [(9, 3600, "sub", "claim")]),
    ({"limit": "9/hour", "by": "claim:/sub"}, [(9, 3600, "/sub", "claim")]),
    ({"limit": "9/hour", "by": "/org/id"}, [(9, 3600, "/org/id", "claim")]),
    (
        ["1000/hour", "10/second", {"limit": "50/minute", "by": "claim:sub"}],
        [(10, 1, None, "address"), (50, 60, "sub", "claim"), (1000, 3600, None, "address-2")],
    ),
]


@pytest.mark.parametrize(("rate", "expected"), RATES)
def test_a_rate_is_one_limit_or_several_the_shortest_first(rate, expected):
    found, problems = as_limits(rate)

    assert problems == []
    assert [(one.quota, one.window, one.claim, one.name) for one in found] == expected


WRONG = [
    ("10/secnd", "rate", "did you mean 'second'?"),
    ("10/s", "rate", "'s' is no unit of time; known are second, minute, hour, day"),
    ("10/month", "rate", "is no unit of time"),
    ("10", "rate", "is a number of requests in a time, such as '10/second'"),
    ("ten/second", "rate", "is a number of requests in a time"),
    ("-1/second", "rate", "is a number of requests in a time"),
    ("1.5/second", "rate", "is a number of requests in a time"),
    ("10/second;5/minute", "rate", "is a number of requests in a time"),
    (10, "rate", "is a number of requests in a time"),
    (True, "rate", "is a number of requests in a time"),
    ("0/second", "rate", "allows 1 to 1000000000 requests in 1 second to 31 days"),
    ("1/0 seconds", "rate", "allows 1 to"),
    ("1/32 days", "rate", "allows 1 to"),
    (f"{10**30}/second", "rate", "allows 1 to"),
    ("9" * 10_000 + "/second", "rate", "allows 1 to"),
    ([], "rate", "is empty; leave it out for no limit"),
    (["1/second", "x"], "rate[1]", "is a number of requests in a time"),
    (["1/minute", "2/minute"], "rate[1]", "two limits of 60 s for the same"),
    ({}, "rate.limit", "is missing, such as '10/second'"),
    ({"burst": 5}, "rate.limit", "a burst is how many of them may come at once"),
    ({"limit": "1/week"}, "rate.limit", "is no unit of time"),
    ({"limit": "1/day", "brust": 1}, "rate.brust", "did you mean 'burst'?"),
    ({"limit": "1/day", "per": 1}, "rate.per", "known are limit, burst, by"),
    ({"limit": "1/day", "by": "ip"}, "rate.by", "is 'address', 'claim:NAME' or a JSON Pointer"),
    ({"limit": "1/day", "by": "claim:"}, "rate.by", "did you mean 'claim:sub'?"),
    ({"limit": "1/day", "by": 1}, "rate.by", "found 1"),
    ({"limit": "10/second", "burst": 0}, "rate.burst", "1 or more; found 0"),
    ({"limit": "10/second", "burst": True}, "rate.burst", "1 or more; found True"),
    ({"limit": "10/second", "burst": "20"}, "rate.burst", "found '20'"),
    ({"limit": "10/second", "burst": 25}, "rate.burst", "20 or 30 would be"),
    ({"limit": "10/second", "burst": 5}, "rate.burst", "seconds (1 to 31 days); 10 would be"),
    ({"limit": "7/3 seconds", "burst": 8}, "rate.burst", "no whole number of seconds"),
    ({"limit": "1/day", "burst": 60}, "rate.burst", "no whole number of seconds"),
    ([{"limit": "1/day", "by": "x"}], "rate[0].by", "found 'x'"),
]


@pytest.mark.parametrize(("rate", "place", "what"), WRONG)
def test_what_is_no_rate_is_a_problem_at_its_place(rate, place, what):
    problems = as_limits(rate)[1]

    assert [where for where, _ in problems] == [place]
    assert what in problems[0][1]


@given(
    st.integers(1, 10**6),
    st.sampled_from(["/", " per "]),
    st.integers(1, 30),
    st.sampled_from(["second", "minute", "hour", "day"]),
    st.sampled_from(["", "s"]),
)
def test_rates_are_written_as_for_limits(number, between, times, unit, plural):
    text = f"{number}{between}{times} {unit}{plural}"

    (found,), problems = as_limits(text)

    other = limits.parse(text)
    assert problems == []
    assert (found.quota, found.window) == (other.amount, other.get_expiry())


@given(st.integers(1, 1000), st.integers(1, 100), st.integers(1, 5000))
def test_a_burst_keeps_the_rate_in_the_long_run_or_is_a_problem(amount, seconds, burst):
    found, problems = as_limits({"limit": f"{amount}/{seconds} seconds", "burst": burst})

    if problems:
        assert (burst * seconds) % amount
    else:
        assert (found[0].quota, found[0].quota * seconds) == (burst, found[0].window * amount)


# --- keys ---------------------------------------------------------------------------------------

LIMIT = Limit("", 20, 2, None, place="/api/**")


def test_a_key_tells_nothing_of_who_it_is():
    key = key_for(LIMIT, ("203.0.113.7",))

    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")


def test_keys_differ_by_rule_limit_and_who_and_by_nothing_else():
    asked = [
        (LIMIT, ("a",)),
        (Limit("", 20, 2, None, place="/api"), ("a",)),
        (Limit("", 20, 2, "sub", place="/api/**"), ("a",)),
        (Limit("", 2, 20, None, place="/api/**"), ("a",)),
        (LIMIT, ("b",)),
        (LIMIT, ("a", "")),
        (LIMIT, ("", "a")),
        (LIMIT, ("\ud800",)),
    ]
    assert len({key_for(*one) for one in asked}) == len(asked)
    same = Limit("10/second burst 20", 20, 2, None, "another", "/api/**")
    assert key_for(LIMIT, ("a",)) == key_for(same, ("a",))


# --- counting -----------------------------------------------------------------------------------


def test_both_kinds_of_stores_are_told_apart():
    assert isinstance(MemoryRateStore(), RateStore)
    assert not isinstance(MemoryRateStore(), SharedRateStore)


def test_as_many_as_the_quota_pass_at_once_at_any_time_within_a_window():
    for now in (1000.0, 1000.7, 1001.999):
        store = MemoryRateStore()
        passed = [store.hit("a", 20, 2, now)[0] for _ in range(30)]
        assert passed == [True] * 20 + [False] * 10


def test_others_are_counted_for_themselves():
    store = MemoryRateStore()
    assert store.hit("a", 1, 60, 0.0)[0]
    assert not store.hit("a", 1, 60, 1.0)[0]
    assert store.hit("b", 1, 60, 1.0)[0]


def test_looking_counts_nothing():
    store = MemoryRateStore()
    assert store.look("a", 10, 1.0) == Used(0, 0, 9.0)
    store.hit("a", 3, 10, 1.0)
    assert [store.look("a", 10, 4.0) for _ in range(3)] == [Used(0, 1, 6.0)] * 3
    assert store.look("a", 10, 12.0) == Used(1, 0, 8.0)
    assert store.look("a", 10, 22.0) == Used(0, 0, 8.0)


def test_a_clock_that_goes_back_counts_anew():
    store = MemoryRateStore()
    store.hit("a", 1, 10, 100.0)
    assert store.hit("a", 1, 10, 50.0)[0]


@settings(max_examples=200)
@given(
    st.integers(1, 12),
    st.integers(1, 7),
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=80),
)
def test_no_window_lets_twice_the_quota_through_and_no_moment_more_than_it(quota, window, gaps):
    store, now, passed = MemoryRateStore(), 100.0, []
    for gap in gaps:
        now += gap
        if store.hit("a", quota, window, now)[0]:
            passed.append(now)

    for start in passed:
        assert sum(start <= at < start + window for at in passed) <= 2 * quota
        assert passed.count(start) <= quota


@settings(max_examples=200)
@given(
    st.integers(1, 50),
    st.integers(1, 90),
    st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=120),
)
def test_who_waits_as_long_as_told_passes(quota, window, gaps):
    store, limit, now = MemoryRateStore(), Limit("", quota, window, None), 1000.0
    for gap in gaps:
        now += gap
        allowed, used = store.hit("a", quota, window, now)
        if allowed:
            continue
        assert remaining(limit, used) == 0
        seconds = wait(limit, used)
        assert 1 <= seconds <= 2 * window + 1
        assert remaining(limit, store.look("a", window, now + seconds)) > 0
        if seconds > 1:  # and is not kept for longer than it takes
            assert remaining(limit, store.look("a", window, now + seconds - 1)) == 0


@given(st.integers(1, 50), st.lists(st.floats(0, 9, allow_nan=False), max_size=60))
def test_what_remains_is_what_passes(quota, gaps):
    store, limit, now = MemoryRateStore(), Limit("", quota, 10, None), 0.0
    for gap in gaps:
        now += gap
        store.hit("a", quota, 10, now)
    left = remaining(limit, store.look("a", 10, now))

    assert sum(store.hit("a", quota, 10, now)[0] for _ in range(quota + 1)) == left


def test_the_memory_is_bounded_and_forgets_nobody_whom_it_holds_back():
    store = MemoryRateStore(max_keys=100)
    for number in range(10_000):
        store.hit(f"flood-{number}", 5, 3600, 10.0)
        held = store.hit("busy", 5, 3600, 10.0)[0]
        assert len(store) <= 100
    assert not held
    assert number == 9_999


@pytest.mark.parametrize("max_keys", [1, 0, -1, "many", True, 2.5])
def test_a_memory_for_nobody_is_a_problem(max_keys):
    ((where, what),) = MemoryRateStore(max_keys).problems
    assert (where, "2 or more" in what) == ("max_keys", True)
