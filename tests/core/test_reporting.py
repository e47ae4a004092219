"""Report-only: until when, what is told of it, and what stays refused."""

import logging
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from jwtguard import Rule, errors
from jwtguard.core import Allow, Deny
from jwtguard.core.reporting import MAX_DAYS, moment_of, shown

from .forge import NOW, make_guard, refused, request, token

DAY = 86_400
MESSAGE = "what nobody should read"
TODAY = datetime.fromtimestamp(NOW, UTC).date()
SOON = TODAY + timedelta(days=30)
SOON_AT = datetime(SOON.year, SOON.month, SOON.day, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "value",
    [
        SOON,
        SOON.isoformat(),
        f" {SOON.isoformat()} ",
        datetime(SOON.year, SOON.month, SOON.day),
        datetime(SOON.year, SOON.month, SOON.day, tzinfo=UTC),
        datetime(SOON.year, SOON.month, SOON.day, 2, tzinfo=timezone(timedelta(hours=2))),
        f"{SOON.isoformat()}T00:00:00Z",
        f"{SOON.isoformat()} 01:00+01:00",
    ],
    ids=repr,
)
def test_a_date_is_its_first_moment_in_utc_however_it_is_written(value):
    assert moment_of(value) == SOON_AT


def test_a_time_shows_only_where_there_is_one():
    assert shown(SOON_AT) == SOON.isoformat()
    assert shown(SOON_AT + 3600) == f"{SOON.isoformat()} 01:00 UTC"


@pytest.mark.parametrize("value", ["soon", "2027-02-30", True, 90, 1.5, ["2027-01-01"]])
def test_what_is_no_date_is_a_problem(value):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard([Rule("/x", report_until=value)], report_until=value)
    places = [place for place, _ in caught.value.problems]
    assert places == ["report_until", "rules[0].report_until"]
    assert all("is a date such as 2027-01-31" in what for _, what in caught.value.problems)


def test_a_guard_is_enforced_by_saying_nothing():
    with pytest.raises(errors.ConfigurationError):
        make_guard(report_until=False)


def test_report_only_ends_within_90_days():
    latest = TODAY + timedelta(days=MAX_DAYS)
    assert make_guard(report_until=latest)
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard([Rule("/x", report_until=latest + timedelta(days=2))])
    [(place, what)] = caught.value.problems
    assert place == "rules[0].report_until"
    assert f"write {latest.isoformat()} or earlier" in what
    assert make_guard([Rule("/x", report_until=latest)])


def test_a_guard_whose_clock_is_no_clock_says_that_alone():
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(report_until=SOON, clock=3)
    assert [place for place, _ in caught.value.problems] == ["clock"]


def test_start_up_names_the_rules_and_the_date(caplog):
    rules = [
        Rule(["/a", "/b"]),
        Rule("/own", report_until=SOON - timedelta(days=1)),
        Rule("/now", report_until=False),
    ]
    guard = make_guard(rules, report_until=SOON)
    assert [where for where, _ in guard.warnings] == ["report_until", "rules[1].report_until"]
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert f"refuses nothing before {SOON.isoformat()} (/a /b and what no rule names)" in lines[0]
    assert "/own" in lines[1]
    assert not any("/now" in line for line in lines)


def test_a_date_that_has_passed_is_enforced_and_said():
    guard = make_guard(report_until=TODAY - timedelta(days=1))
    [(where, what)] = guard.warnings
    assert where == "report_until"
    assert "enforced since then" in what
    assert refused(guard) == (401, "no_credentials")


def test_it_is_enforced_from_that_moment_on_without_a_restart():
    now = NOW
    guard = make_guard(report_until=SOON, clock=lambda: now)
    now = SOON_AT - 0.001
    allow = guard.decide(request())
    assert isinstance(allow, Allow)
    assert (allow.token, allow.reported.reason) == (None, "no_credentials")
    now = SOON_AT
    assert isinstance(guard.decide(request()), Deny)


@pytest.mark.parametrize("forward", [{}, {"X-User": "sub"}])
def test_the_line_says_that_it_was_not_enforced(forward, caplog):
    guard = make_guard([Rule("/x", forward=forward)], report_until=SOON)
    caplog.clear()
    allow = guard.decide(request(bearer=token(exp=NOW - 60)))
    [record] = caplog.records
    assert record.getMessage().startswith("401 expired ref=- enforced=false rule=0:/x GET /x ")
    assert (record.enforced, record.levelno) == (False, logging.WARNING)
    assert record.token.startswith("#")
    assert allow.remove == {name.lower() for name in forward}

    caplog.clear()
    assert refused(make_guard(), bearer=token(exp=NOW - 60)) == (401, "expired")
    assert caplog.records[-1].enforced is True
    assert "enforced" not in caplog.records[-1].getMessage()


def test_a_reported_request_passes_no_view_for_an_open_one():
    guard = make_guard(report_until=SOON)
    assert not guard.is_closing(guard.decide(request()))
    assert guard.is_closing(guard.decide(request(bearer=token())))


# rules, the guard's date: until when (in days) an odd path is reported; None: it is refused
ODD = [
    ([], SOON, 30),
    ([Rule("/a")], SOON, 30),
    ([Rule("/a", report_until=SOON - timedelta(days=10))], SOON, 20),
    ([Rule("/a", report_until=SOON + timedelta(days=10))], SOON, 30),
    ([Rule("/a", report_until=False)], SOON, None),
    ([Rule("/a", report_until=SOON)], None, None),
    ([Rule("/a")], None, None),
]


@pytest.mark.parametrize(("rules", "until", "days"), ODD)
def test_an_odd_path_is_reported_while_every_rule_it_may_lead_to_is(rules, until, days):
    now = NOW
    guard = make_guard(rules, report_until=until, clock=lambda: now)
    odd = request("/b/..;/a")
    assert guard.reported_until(odd) == (None if days is None else SOON_AT + (days - 30) * DAY)
    assert isinstance(guard.decide(odd), Deny if days is None else Allow)
    now = SOON_AT + ((days or 0) - 30) * DAY
    assert isinstance(guard.decide(odd), Deny)


def test_a_rules_own_date_counts_before_the_guards():
    rules = [Rule("/a", report_until=SOON + timedelta(days=10)), Rule("/b", report_until=False)]
    guard = make_guard(rules, report_until=SOON)
    ends = [guard.reported_until(request(path)) for path in ("/a", "/b", "/c")]
    assert ends == [SOON_AT + 10 * DAY, None, SOON_AT]


def test_what_breaks_while_a_refusal_is_reported_is_refused(caplog):
    def clock():
        if broken:
            raise RuntimeError(MESSAGE)
        return NOW

    broken = False
    guard = make_guard(report_until=SOON, clock=clock)
    broken = True
    assert refused(guard) == (503, "internal_error")
    assert MESSAGE not in caplog.text


def test_two_subprotocols_are_both_taken_out():
    rules = [Rule("/x", credentials=[{"subprotocol": "a"}, {"subprotocol": "b"}])]
    guard = make_guard(rules, report_until=SOON)
    offer = [("Sec-WebSocket-Protocol", "a, T1, chat, b, T2")]
    allow = guard.decide(request(headers=offer, websocket=True))
    assert allow.reported.reason == "several_credentials"
    assert dict(allow.set)["sec-websocket-protocol"] == "chat"


def test_a_token_that_is_verified_but_not_for_a_request_is_never_reported():
    guard = make_guard(report_until=date(SOON.year, SOON.month, SOON.day))
    with pytest.raises(errors.TokenExpired):
        guard.verify(token(exp=NOW - 60))
