"""What a guard counts, by which key, and what becomes of requests beyond it."""

from datetime import UTC, datetime, timedelta

import pytest

from jwtguard import Rule, Secret, drive, errors
from jwtguard.core import Allow, Request
from jwtguard.core.rates import MemoryRateStore, Used

from .forge import NOW, OTHER_SECRET, make_issuer, token
from .forge import make_guard as make_plain_guard

SOON = datetime.fromtimestamp(NOW, UTC) + timedelta(days=30)


class Time:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Noted(MemoryRateStore):
    """Counts, and notes under which keys."""

    def __init__(self):
        super().__init__()
        self.keys = []

    def hit(self, key, quota, window, now):
        self.keys.append(key)
        return super().hit(key, quota, window, now)


class Shared(Noted):
    """The same for a store that is waited for; it can go down."""

    when_down = "allow"
    is_down = False
    asked = 0

    def hit(self, *asked):
        self._ask()
        return super().hit(*asked)

    def look(self, *asked):
        self._ask()
        return super().look(*asked)

    def _ask(self):
        self.asked += 1
        if self.is_down:
            raise ConnectionError("connecting to redis://:a-password@192.0.2.1 failed")

    async def ahit(self, *asked):
        return self.hit(*asked)

    async def alook(self, *asked):
        return self.look(*asked)


ALICE, BOB = token(sub="alice"), token(sub="bob")


def make_guard(*rules, **words):
    return make_plain_guard(rules, **words)


def ask(guard, raw=None, path="/x", client="203.0.113.7", headers=(), method="GET"):
    authorization = [] if raw is None else [("Authorization", f"Bearer {raw}")]
    request = Request(method, path, headers=[*authorization, *headers], client=client)
    return drive.run(guard.decide_flow(request))


def statuses(guard, times, *given, **words):
    return [ask(guard, *given, **words).status for _ in range(times)]


# --- by address ---------------------------------------------------------------------------------


def test_an_address_may_come_as_often_as_the_rate_says_and_again_later():
    time = Time()
    guard = make_guard(Rule("/x", rate="3/minute"), clock=time)

    assert statuses(guard, 5, ALICE) == [200, 200, 200, 429, 429]
    assert statuses(guard, 2, ALICE, client="203.0.113.8") == [200, 200]
    time.now += ask(guard, ALICE).error.retry_after
    assert ask(guard, ALICE).status == 200


def test_each_rule_counts_for_itself():
    guard = make_guard(Rule(["/x", "/y"], rate="1/minute"), Rule("/z", rate="1/minute"), Rule("/w"))

    assert ask(guard, ALICE, "/x").status == 200
    assert ask(guard, ALICE, "/y").status == 429
    assert ask(guard, ALICE, "/z").status == 200
    assert statuses(guard, 3, ALICE, "/w") == [200, 200, 200]


def test_rules_of_one_path_and_different_methods_count_for_themselves():
    guard = make_guard(
        Rule("/x", methods="GET", rate="1/minute"), Rule("/x", rate="1/minute"), clock=Time()
    )

    assert statuses(guard, 2, ALICE, method="GET") == [200, 429]
    assert statuses(guard, 2, ALICE, method="POST") == [200, 429]


def test_the_client_is_whom_a_trusted_proxy_names():
    guard = make_guard(Rule("/x", rate="1/minute"), trusted_proxies="10.0.0.0/8")
    one, other = [("X-Forwarded-For", "198.51.100.1")], [("X-Forwarded-For", "198.51.100.2")]

    assert ask(guard, ALICE, client="10.0.0.1", headers=one).status == 200
    assert ask(guard, ALICE, client="10.0.0.2", headers=one).status == 429
    assert ask(guard, ALICE, client="10.0.0.1", headers=other).status == 200
    assert ask(guard, ALICE, client="203.0.113.7", headers=one).status == 200
    assert ask(guard, ALICE, client="203.0.113.7", headers=other).status == 429


def test_a_neighbour_in_one_subnet_of_ipv6_is_the_same_client():
    guard = make_guard(Rule("/x", rate="1/minute"))

    assert ask(guard, ALICE, client="2001:db8:1:2::3").status == 200
    assert ask(guard, ALICE, client="2001:db8:1:2:ffff::").status == 429
    assert ask(guard, ALICE, client="2001:db8:1:3::3").status == 200


def test_a_request_that_passes_is_told_what_is_left_of_every_limit():
    rates = ["5/hour", {"limit": "3/second", "by": "claim:sub"}]
    guard = make_guard(Rule("/x", rate=rates), clock=Time())

    allow = ask(guard, ALICE)

    assert isinstance(allow, Allow)
    assert list(allow.added) == [
        ("RateLimit-Policy", '"claim";q=3;w=1, "address";q=5;w=3600'),
        ("RateLimit", '"address";r=4;t=3600, "claim";r=2;t=1'),
    ]


def test_who_hammers_at_a_limit_of_seconds_does_not_use_up_that_of_the_hour():
    time = Time()
    guard = make_guard(Rule("/x", rate=["10/hour", "2/second"]), clock=time)

    assert statuses(guard, 20, ALICE) == [200, 200] + [429] * 18
    time.now += 3
    assert ask(guard, ALICE).added[1][1].endswith('"address-2";r=7;t=3597')


def test_a_preflight_that_passes_is_counted():
    guard = make_guard(Rule("/x", rate="1/minute"), preflight="pass")
    preflight = [("Origin", "https://a.test"), ("Access-Control-Request-Method", "GET")]

    assert statuses(guard, 2, method="OPTIONS", headers=preflight) == [200, 429]


@pytest.mark.parametrize(
    ("client", "headers", "said"),
    [
        ("", [], "trusted_proxies = ['unix']"),
        ("testclient", [], "trusted_proxies = ['unix']"),
        ("127.0.0.1", [("X-Forwarded-For", "198.51.100.1")], "name it in trusted_proxies"),
    ],
)
def test_a_proxy_that_was_forgotten_is_told_of_once(client, headers, said, caplog):
    guard = make_guard(Rule("/x", rate="2/minute"))
    caplog.clear()

    assert statuses(guard, 3, ALICE, client=client, headers=headers) == [200, 200, 429]

    (record,) = [r for r in caplog.records if r.name == "jwtguard"]
    assert said in record.getMessage()


@pytest.mark.parametrize(
    ("client", "forwarded"),
    [
        ("8.8.8.8", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1"),
        ("192.168.1.7", "1.1.1.1, 192.168.1.7, 10.0.0.1"),  # as uvicorn reads it
    ],
)
def test_what_is_as_it_should_be_is_not_told_of(client, forwarded, caplog):
    guard = make_guard(Rule("/x", rate="2/minute"), trusted_proxies="10.0.0.0/8")
    caplog.clear()

    assert ask(guard, ALICE, client=client, headers=[("X-Forwarded-For", forwarded)]).status == 200

    assert [r for r in caplog.records if r.name == "jwtguard"] == []


def test_the_log_line_of_a_refusal_names_the_limit_and_the_address(caplog):
    guard = make_guard(Rule("/x", rate={"limit": "1/second", "burst": 2}), clock=Time())

    statuses(guard, 3, ALICE)

    (line,) = [r.getMessage() for r in caplog.records if r.name == "jwtguard.refused"]
    assert line.startswith("429 too_many_requests ref=")
    assert line.endswith('found="203.0.113.7" want="1/second burst 2 by address"')


# --- by claim -----------------------------------------------------------------------------------


def test_a_rate_by_claim_follows_its_holder_from_address_to_address(caplog):
    guard = make_guard(Rule("/x", rate={"limit": "2/minute", "by": "claim:sub"}), clock=Time())

    assert [ask(guard, ALICE, client=f"203.0.113.{n}").status for n in range(3)] == [200, 200, 429]
    assert ask(guard, BOB, client="203.0.113.0").status == 200
    assert ask(guard, token(sub="alice", jti="another"), client="203.0.113.9").status == 429
    assert "issuer=people sub=#" in caplog.text
    assert "alice" not in caplog.text


@pytest.mark.parametrize("value", ["acme", 7, ["a", "b"], {"id": "acme"}, True, ""])
def test_a_claim_may_be_any_value_behind_any_pointer(value):
    guard = make_guard(Rule("/x", rate={"limit": "1/minute", "by": "/org/of"}), clock=Time())

    assert ask(guard, token(sub="alice", org={"of": value})).status == 200
    assert ask(guard, token(sub="bob", org={"of": value})).status == 429
    assert ask(guard, token(sub="carol", org={"of": "other"})).status == 200


def test_who_has_no_such_claim_is_counted_by_address():
    rate = {"limit": "1/minute", "by": "claim:org"}
    guard = make_guard(Rule("/x", access="optional", rate=rate), clock=Time())

    assert ask(guard, ALICE).status == 200
    assert ask(guard, None).status == 429
    assert ask(guard, token(sub="bob", org=None)).status == 429
    assert ask(guard, token(sub="bob", org="acme")).status == 200
    assert ask(guard, None, client="203.0.113.8").status == 200


def test_no_issuer_uses_up_what_the_users_of_another_have():
    other = make_issuer(issuer="https://other.test/", name="other", keys=Secret(OTHER_SECRET))
    rule = Rule("/x", rate={"limit": "1/minute", "by": "claim:sub"})
    guard = make_guard(rule, issuers=[make_issuer(), other])
    others = token(iss="https://other.test/", sub="alice", key=OTHER_SECRET)

    assert statuses(guard, 2, ALICE) == [200, 429]
    assert statuses(guard, 2, others) == [200, 429]


def test_what_was_refused_for_another_reason_is_not_counted_by_claim():
    rule = Rule("/x", roles="admin", rate={"limit": "1/minute", "by": "claim:sub"})
    guard = make_guard(rule, clock=Time())
    admin = token(sub="alice", roles="admin")

    assert statuses(guard, 3, ALICE) == [403, 403, 403]
    assert statuses(guard, 2, admin) == [200, 429]


def test_what_is_only_reported_is_counted_by_claim_no_more_than_when_it_is_refused(caplog):
    rule = Rule("/x", roles="admin", rate={"limit": "1/minute", "by": "claim:sub"})
    guard = make_guard(rule, clock=Time(), report_until=SOON)
    caplog.clear()

    reported = [ask(guard, ALICE).reported.reason for _ in range(3)]

    assert reported == ["role_missing"] * 3
    assert len(caplog.records) == 3


# --- failed authentication ----------------------------------------------------------------------

FORGED = ALICE[:-6] + "AAAAAA"


def test_after_too_many_failures_an_address_is_held_back_and_let_go_again():
    time = Time()
    guard = make_guard(failed_rate="3/minute", clock=time)

    assert statuses(guard, 5, FORGED) == [401, 401, 401, 429, 429]
    assert ask(guard, BOB).status == 429
    assert ask(guard, None).status == 401
    assert ask(guard, ALICE, client="203.0.113.8").status == 200
    time.now += ask(guard, BOB).error.retry_after
    assert ask(guard, BOB).status == 200


def test_who_was_verified_before_passes_beside_somebody_who_is_held_back():
    guard = make_guard(Rule("/y", rate="100/second"), failed_rate="2/minute")
    assert ask(guard, ALICE).status == 200
    assert statuses(guard, 3, FORGED) == [401, 401, 429]

    assert ask(guard, ALICE).status == 200
    assert ask(guard, ALICE, "/y").status == 200
    assert ask(guard, BOB).status == 429


def test_nothing_of_a_token_is_read_where_its_address_is_held_back():
    store = Noted()
    store.look = lambda key, window, now: Used(0, 5, 1.0)
    guard = make_guard(failed_rate="5/minute", rate_store=store)

    for raw in ("x", "a.b.c", "x" * 20_000, FORGED, BOB):
        deny = ask(guard, raw)
        assert (deny.status, deny.error.reason) == (429, "too_many_failures")
        assert deny.error.issuer is None
    assert store.keys == []


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (None, ()),
        (None, [("Authorization", "Basic YTpi")]),
        (None, [("Authorization", "Bearer a b")]),
        (ALICE, ()),
    ],
)
def test_only_what_was_refused_as_a_bad_token_is_a_failure(raw, headers):
    guard = make_guard(Rule("/x", roles="admin"), failed_rate="1/minute")

    statuses(guard, 3, raw, headers=headers)

    assert ask(guard, BOB, "/y").status == 200


def test_a_bad_cookie_that_is_nobodys_is_no_failure():
    rule = Rule("/x", access="optional", credentials={"cookie": "c"})
    guard = make_guard(rule, Rule("/y", credentials={"cookie": "c"}), failed_rate="1/minute")
    cookie = [("Cookie", f"c={FORGED}")]

    assert statuses(guard, 3, headers=cookie) == [200, 200, 200]
    assert statuses(guard, 2, path="/y", headers=cookie) == [401, 429]
    assert ask(guard, headers=cookie).status == 429


def test_one_limit_of_several_is_enough():
    time = Time()
    guard = make_guard(failed_rate=["2/second", "3/hour"], clock=time)

    assert statuses(guard, 3, FORGED) == [401, 401, 429]
    time.now += 3
    assert statuses(guard, 2, FORGED) == [401, 429]
    time.now += 3
    assert ask(guard, FORGED).status == 429


# --- stores -------------------------------------------------------------------------------------


def test_a_shared_store_counts_for_all_guards_that_have_it():
    store = Shared()
    guards = [
        make_guard(Rule("/x", rate="3/minute"), rate_store=store, failed_rate="5/minute")
        for _ in range(2)
    ]

    assert [ask(guard, ALICE).status for guard in guards * 2] == [200, 200, 200, 429]


def test_keys_hold_no_address_no_subject_and_no_token():
    store = Noted()
    rates = ["9/second", {"limit": "9/second", "by": "claim:sub"}]
    guard = make_guard(Rule("/x", rate=rates), rate_store=store, failed_rate="9/minute")

    statuses(guard, 2, ALICE)
    statuses(guard, 2, FORGED)

    assert len(set(store.keys)) == 3
    for key in store.keys:
        assert len(key) == 32
        assert set(key) <= set("0123456789abcdef")


def test_a_store_that_is_down_lets_through_and_says_so_at_most_once_a_second(caplog):
    time, store = Time(), Shared()
    guard = make_guard(Rule("/x", rate="1/minute"), rate_store=store, clock=time)
    store.is_down = True
    caplog.clear()

    assert statuses(guard, 10, ALICE) == [200] * 10
    assert store.asked == 1
    time.now += 1
    assert ask(guard, ALICE).status == 200
    assert store.asked == 2
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 2
    assert "let through uncounted" in lines[0]
    assert "password" not in caplog.text

    store.is_down = False
    time.now += 1
    assert statuses(guard, 2, ALICE) == [200, 429]


def test_a_store_that_is_down_refuses_where_that_was_written(caplog):
    store = Shared()
    store.when_down, store.is_down = "refuse", True
    guard = make_guard(
        Rule("/x", rate="1/minute"), rate_store=store, failed_rate="1/minute", clock=Time()
    )

    assert statuses(guard, 2, ALICE) == [503, 503]
    assert ask(guard, BOB, "/y").status == 503
    assert ask(guard, None, "/y").status == 401
    assert "requests are refused" in caplog.text


def test_a_bad_token_is_401_though_it_could_not_be_counted():
    store = Shared()
    store.when_down = "refuse"
    store.hit = lambda *asked: 1 / 0
    guard = make_guard(rate_store=store, failed_rate="5/minute", clock=Time())

    assert ask(guard, FORGED).status == 401


def test_a_clock_that_was_put_back_does_not_keep_a_store_from_being_asked():
    time, store = Time(), Shared()
    guard = make_guard(Rule("/x", rate="1/minute"), rate_store=store, clock=time)
    store.is_down = True
    ask(guard, ALICE)
    store.is_down = False
    time.now -= 3600

    assert statuses(guard, 2, ALICE) == [200, 429]


def test_a_store_of_the_users_that_breaks_refuses(caplog):
    store = Noted()
    store.hit = lambda *asked: 1 / 0
    guard = make_guard(Rule("/x", rate="1/minute"), rate_store=store)

    assert ask(guard, ALICE).error.reason == "internal_error"


# --- start-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "words", "place", "what"),
    [
        ([Rule("/x", rate="1/sec")], {}, "rules[0].rate", "is no unit of time"),
        (
            [Rule("/x", access="public", rate={"limit": "1/day", "by": "claim:sub"})],
            {},
            "rules[0].rate",
            "nobody's token is looked at",
        ),
        ([], {"failed_rate": "x"}, "failed_rate", "is a number of requests"),
        (
            [],
            {"failed_rate": {"limit": "1/day", "by": "claim:sub"}},
            "failed_rate",
            "by address only",
        ),
        ([], {"trusted_proxies": ["x"]}, "trusted_proxies[0]", "is a network such as"),
        ([], {"rate_store": "redis://x"}, "rate_store", "found str"),
        ([], {"rate_store": MemoryRateStore(1)}, "rate_store.max_keys", "2 or more"),
    ],
)
def test_what_makes_no_sense_is_a_start_up_error(rules, words, place, what):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(*rules, **words)

    (problem,) = caught.value.problems
    assert problem[0] == place
    assert what in problem[1]


def test_a_store_that_counts_nothing_is_warned_of():
    assert make_guard(rate_store=Noted()).warnings == (
        ("rate_store", "counts nothing: no rule has a rate"),
    )
    assert make_guard(rate_store=Noted(), failed_rate="1/day").warnings == ()
    assert make_guard(Rule("/x", rate="1/day"), rate_store=Noted()).warnings == ()


def test_only_rules_without_a_rate_are_recalled():
    guard = make_guard(Rule("/x", rate="9/second"), Rule("/y"), failed_rate="9/minute")
    for path, is_recalled in (("/x", False), ("/y", True), ("/z", True)):
        ask(guard, ALICE, path)
        recalled = guard.recall("GET", path, path, f"Bearer {ALICE}")
        assert (recalled is not None) == is_recalled
