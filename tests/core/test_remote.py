"""Keys that are fetched: every step of the flows by hand, with a clock and a jitter of our own."""

import inspect
import json
import logging

import pytest

from jwtguard import Discovery, Guard, Issuer, JWKSet, RemoteKeys, Rule, Secret, drive, errors
from jwtguard.core import Allow, Deny, Fetch, Fetched, Request
from jwtguard.core import remote as core_remote
from jwtguard.core.keyloader import RefreshingKeySource, SeveralRemoteSources
from jwtguard.core.model import Background
from jwtguard.core.remote import (
    MAX_ABSENT_KIDS,
    MAX_BACKOFF,
    MAX_BACKOFF_WITHOUT_KEYS,
    MAX_NOTES,
)
from jwtguard.testing import FakeIssuer

from .forge import warming

URL = "https://issuer.test/jwks"
ISSUER = "https://issuer.test/"
DOCUMENT = "https://issuer.test/.well-known/openid-configuration"
START = 1_800_000_000.0


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


clock = Clock()
idp = FakeIssuer(ISSUER, algorithm="ES256", clock=clock)
other = FakeIssuer(ISSUER, algorithm="ES256", clock=clock)
[KEY] = idp.jwks()["keys"]
[OTHER_KEY] = other.jwks()["keys"]
KID = KEY["kid"]
DOWN = errors.FetchError("down")


@pytest.fixture(autouse=True)
def _at_the_start():
    clock.now = START


def answer(keys=(KEY,), status=200, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fetched(status, named, json.dumps({"keys": list(keys)}).encode())


def remote(**words):
    return RemoteKeys(URL, **({"clock": clock, "jitter": lambda: 0.0} | words))


def discovery(*args, **words):
    return Discovery(*args, **({"clock": clock, "jitter": lambda: 0.0} | words))


def issuer(keys, **words):
    words = {"name": "people", "audience": idp.audience, "algorithms": ["ES256"]} | words
    return Issuer(words.pop("issuer", ISSUER), keys=keys, **words)


def guard_of(keys, **words):
    return Guard([issuer(keys)], clock=clock, **words)


def request(fake=idp, **words):
    return Request("GET", "/x", headers=[("Authorization", fake.bearer(**words))])


def ended(step, *given):
    """What the flow returns at this step."""
    with pytest.raises(StopIteration) as end:
        step(*given)
    return end.value.value


def run(flow, *answers):
    """Run a flow on these answers, all of which it must want. Returns its value and its wishes."""
    given, asked = list(answers), []

    def fetch(wanted):
        asked.append(wanted)
        if not given:
            raise errors.FetchError("one exchange too many")
        one = given.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    try:
        value = drive.run(flow, fetch)
    finally:
        assert len(asked) == len(answers)
    return value, asked


def judged(guard, asked):
    """The decision about a request that needs no exchange."""
    flow = guard.decide_flow(asked)
    try:
        wanted = next(flow)
    except StopIteration as end:
        return end.value
    assert isinstance(wanted, Background)
    return ended(flow.send, None)


def warmed(source=None, *answers):
    source = remote() if source is None else source
    run(source.refresh(), *(answers or [answer()]))
    assert source.current().keys
    return source


def lookup_fails(source, kid, *answers):
    """The Retry-After of a look-up that ends in 503."""
    with pytest.raises(errors.KeysUnavailable) as failure:
        run(source.lookup("ES256", kid), *answers)
    return failure.value.retry_after


# --- the first answer ---------------------------------------------------------------------------


def test_the_first_look_up_fetches_the_set():
    source = remote(timeout=3, max_bytes=999)
    assert isinstance(source, RefreshingKeySource)
    assert not source.current().keys

    flow = source.lookup("ES256", KID)
    wanted = next(flow)

    assert wanted == Fetch(
        URL,
        headers={"Accept": "application/jwk-set+json, application/json"},
        timeout=3,
        max_bytes=999,
        flight=(source, 0),
    )
    assert ended(flow.send, answer()) is None
    assert source.current().find("ES256", KID)
    assert source.current() is source.current()


def test_a_token_waits_for_the_first_set_and_the_next_does_not():
    guard = guard_of(remote())

    flow = guard.decide_flow(request())
    assert next(flow).url == URL
    decision = ended(flow.send, answer())
    assert isinstance(decision, Allow)
    assert decision.token.subject == "alice"

    assert isinstance(ended(next, guard.decide_flow(request(sub="bob"))), Allow)


def test_the_representation_names_the_address_only():
    assert repr(remote()) == f"<RemoteKeys {URL}>"
    assert repr(discovery(DOCUMENT)) == f"<Discovery {DOCUMENT}>"


# --- how long an answer counts ------------------------------------------------------------------

FRESHNESS = [
    (None, 3600),
    ("", 3600),
    ("public", 3600),
    ("max-age=600", 600),
    ("MAX-AGE=600", 600),
    ("public, max-age=600, must-revalidate", 600),
    ("public,max-age = 600 ,x", 600),
    ('max-age="600"', 600),
    ("max-age=600, max-age=900", 60),
    ("max-age=600, public, max-age=600", 60),
    ("s-maxage=100, max-age=600", 600),
    ("max-age=0", 60),
    ("max-age=59", 60),
    ("max-age=3601", 3600),
    ("max-age=9999999999", 3600),
    ("max-age=99999999999999999999999999", 3600),
    ("max-age=" + "9" * 10_000, 3600),
    ("max-age=-1", 60),
    ("max-age=1e3", 60),
    ("max-age=soon", 60),
    ("max-age=", 60),
    ("max-age", 60),
    ("max-age 600", 60),
    ("max-age=600s", 60),
    ('max-age="600', 60),
    ('max-age="60,0"', 60),
    ("max-age=٦٠٠", 60),
    ("max-ages=100", 3600),
    ("max-age-x=100", 3600),
    ("s-maxage=100", 3600),
    ("x-max-age=100", 3600),
    ("no-store", 60),
    ("no-cache", 60),
    ("No-Cache, max-age=600", 60),
    ("max-age=600, no-store", 60),
    ('no-cache="set-cookie"', 60),
    (", , ,", 3600),
]


@pytest.mark.parametrize(("text", "fresh"), FRESHNESS, ids=[str(t)[:40] for t, _ in FRESHNESS])
def test_freshness_is_what_cache_control_says_within_bounds(text, fresh):
    source = warmed(None, answer(**({} if text is None else {"cache_control": text})))

    clock.now = START + fresh * 0.75 - 0.5
    assert not source.due()
    clock.now = START + fresh * 0.75
    assert source.due()


def test_the_bounds_of_freshness_are_settings():
    source = warmed(remote(min_fresh=80, max_fresh=100), answer(cache_control="max-age=1"))
    clock.now += 60
    assert source.due()
    run(source.refresh(), answer())
    clock.now += 74
    assert not source.due()
    clock.now += 1
    assert source.due()


def test_nothing_is_due_within_the_cooldown():
    source = warmed(remote(min_fresh=10), answer(cache_control="max-age=10"))
    clock.now += 29
    assert not source.due()
    clock.now += 1
    assert source.due()


def test_a_set_that_may_be_fresh_for_longer_than_stale_is_used_until_then():
    source = warmed(remote(max_stale=60), answer(cache_control="max-age=600"))
    clock.now += 599
    assert source.current().keys
    clock.now += 1
    assert not source.current().keys


# --- a set of an earlier life ---------------------------------------------------------------------


class Kept(core_remote.RemoteKeys):
    """A source that says what it is told."""

    def __init__(self, **words):
        self.told = []
        super().__init__(URL, clock=clock, jitter=lambda: 0.0, **words)

    def _accepted(self, fetched_at, body):
        self.told.append((fetched_at, body))


def test_a_set_of_an_earlier_life_is_used_as_a_stale_one_and_refreshed_at_once():
    source = Kept(max_stale=100)
    source._start_from({"keys": [KEY]}, START - 60)
    assert source.current().find("ES256", KID)
    assert source.due()
    assert source.snapshot.fetched_at == START - 60

    assert lookup_fails(source, "unknown", DOWN) == 30  # it may be a key of today
    clock.now += 39
    assert source.current().keys
    clock.now += 1
    assert not source.current().keys


def test_what_is_no_usable_set_is_not_begun_with():
    source = Kept()
    for document in (None, [], {}, {"keys": []}, {"keys": [KEY | {"kty": "oct", "k": "AAAA"}]}):
        with pytest.raises((ValueError, errors.FetchError)):
            source._start_from(document, START)
    assert source.snapshot is None


def test_every_good_answer_is_told_and_no_bad_one():
    source = Kept()
    first = answer(etag='"a"')
    run(source.refresh(), first)
    clock.now += 60
    run(source.refresh(), Fetched(304, {}, b""))
    clock.now += 60
    run(source.refresh(), answer([]))
    clock.now += 60
    run(source.refresh(), DOWN)
    assert source.told == [(START, first.body), (START + 60, None)]


# --- ETag ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ['"one"', 'W/"one"', '""', '"a!#~"'])
def test_an_unchanged_set_is_asked_for_with_its_entity_tag(tag):
    source = warmed(None, answer(etag=tag, cache_control="max-age=100"))
    before = source.current()
    clock.now += 200

    _, [asked] = run(source.refresh(), Fetched(304, {"cache-control": "max-age=1000"}, b""))

    assert asked.headers["If-None-Match"] == tag
    assert asked.flight == (source, 1)
    assert source.current() is before
    clock.now += 749
    assert not source.due()
    clock.now += 1
    assert source.due()
    _, [asked] = run(source.refresh(), answer())
    assert asked.headers["If-None-Match"] == tag  # still the same


@pytest.mark.parametrize(
    "tag", ["", "one", '"one', '"tag\u00e9"', '"a\r\nX: y"', f'"{"a" * 2000}"']
)
def test_what_is_no_entity_tag_is_not_sent_back(tag):
    source = warmed(None, answer(etag=tag))
    clock.now += 4000
    _, [asked] = run(source.refresh(), answer())
    assert "If-None-Match" not in asked.headers


def test_a_changed_set_replaces_the_old_one_and_its_tag():
    source = warmed(None, answer(etag='"one"'))
    clock.now += 4000
    run(source.refresh(), answer([OTHER_KEY], etag='"two"'))
    assert not source.current().find("ES256", KID)
    assert source.current().find("ES256", OTHER_KEY["kid"])
    clock.now += 4000
    _, [asked] = run(source.refresh(), answer([OTHER_KEY]))
    assert asked.headers["If-None-Match"] == '"two"'


def test_a_304_that_nobody_asked_for_is_a_failure():
    assert lookup_fails(remote(), KID, Fetched(304, {}, b"")) == 30
    source = warmed()  # without a tag
    clock.now += 4000
    run(source.refresh(), Fetched(304, {}, b""))
    assert lookup_fails(source, "new") == 30


# --- refresh ahead ------------------------------------------------------------------------------


def test_nothing_is_due_before_the_first_answer():
    assert not remote().due()


def test_refresh_ahead_is_due_once_per_attempt():
    source = warmed()
    clock.now += 2700
    assert source.due()
    flow = source.refresh()
    next(flow)
    assert not source.due()
    ended(flow.throw, DOWN)
    assert not source.due()
    clock.now += 30
    assert source.due()
    run(source.refresh(), answer())
    assert not source.due()


def test_a_refresh_that_was_given_up_is_begun_again():
    source = warmed(remote(timeout=5))
    clock.now += 2700
    flow = source.refresh()
    next(flow)
    flow.close()
    clock.now += 9
    assert not source.due()
    clock.now += 1
    assert source.due()
    run(source.refresh(), answer())


def test_a_refresh_within_the_cooldown_asks_nobody():
    source = warmed()
    clock.now += 29
    assert run(source.refresh()) == (None, [])


def test_a_request_whose_keys_grow_old_starts_a_refresh_and_does_not_wait():
    seen = request()
    for asked in (seen, request(sub="bob")):  # known, and verified on the spot
        clock.now = START
        guard = guard_of(warmed())
        assert isinstance(judged(guard, seen), Allow)
        clock.now = START + 2700
        flow = guard.decide_flow(asked)
        wanted = next(flow)
        assert isinstance(wanted, Background)
        assert isinstance(ended(flow.send, None), Allow)
        assert isinstance(judged(guard, asked), Allow), "one request is enough"

        run(wanted.flow, answer())
        assert isinstance(ended(next, guard.decide_flow(seen)), Allow)


def test_of_several_sources_the_one_that_is_due_is_refreshed_once():
    several = SeveralRemoteSources([warmed(), warmed(remote(max_fresh=7200))])
    clock.now = START + 2700
    assert several.due()
    first, second = several.refresh(), several.refresh()
    assert not several.due()
    assert ended(next, second) is None
    assert next(first).url == several.sources[0].url
    assert ended(first.send, answer()) is None


def test_a_refresh_that_begins_after_another_has_ended_asks_nobody():
    source = warmed()
    clock.now = START + 2700
    late, first = source.refresh(), source.refresh()
    run(first, answer())
    assert ended(next, late) is None


def test_a_door_that_remembers_leaves_the_refresh_to_the_flow():
    guard = guard_of(warmed())
    field = idp.bearer()
    judged(guard, Request("GET", "/x", headers=[("Authorization", field)]))
    assert guard.recall("GET", "/x", None, field)
    clock.now += 2700
    assert guard.recall("GET", "/x", None, field) is None


def test_a_refused_request_starts_no_refresh():
    guard = guard_of(warmed())
    clock.now += 2700
    assert isinstance(ended(next, guard.decide_flow(request(expires=-60))), Deny)


# --- unknown key ids ----------------------------------------------------------------------------


def test_an_unknown_kid_costs_at_most_one_exchange_per_cooldown():
    source = warmed()
    for second in range(30):
        clock.now = START + second
        assert run(source.lookup("ES256", f"kid{second}")) == (None, [])
    clock.now = START + 30
    _, asked = run(source.lookup("ES256", "kid"), answer())
    assert len(asked) == 1
    for second in range(30, 60):
        clock.now = START + second
        assert run(source.lookup("ES256", f"kid{second}")) == (None, [])


def test_a_rotated_key_is_found_after_the_cooldown():
    guard = guard_of(warmed())
    assert judged(guard, request(other)).error.reason == "key_not_found"
    clock.now += 30
    flow = guard.decide_flow(request(other))
    next(flow)
    assert isinstance(ended(flow.send, answer([KEY, OTHER_KEY])), Allow)


def test_an_unknown_kid_is_401_while_the_set_is_good_and_503_after_a_failed_refresh():
    guard = guard_of(warmed())
    assert ended(next, guard.decide_flow(request(other))).status == 401
    clock.now += 30
    flow = guard.decide_flow(request(other))
    next(flow)
    deny = ended(flow.throw, DOWN)
    assert (deny.status, deny.error.reason) == (503, "keys_unavailable")
    assert dict(deny.headers)["Retry-After"] == "30"
    clock.now += 10.5
    deny = ended(next, guard.decide_flow(request(other)))
    assert (deny.status, dict(deny.headers)["Retry-After"]) == (503, "20")
    assert isinstance(ended(next, guard.decide_flow(request())), Allow)  # known keys go on


def test_a_kid_that_was_asked_for_in_vain_is_not_asked_for_again_for_a_while():
    source = warmed(None, answer(cache_control="max-age=600"))
    clock.now += 30
    run(source.lookup("ES256", "absent"), answer(cache_control="max-age=600"))
    clock.now += 59
    assert run(source.lookup("ES256", "absent")) == (None, [])
    assert run(source.lookup("ES256", None), answer(cache_control="max-age=600"))[1]
    clock.now += 30
    run(source.lookup("ES256", "absent"), answer())  # a newer set may have it


def test_a_kid_that_was_asked_for_in_vain_is_asked_for_with_changed_keys():
    source = warmed()
    clock.now += 30
    run(source.lookup("ES256", "absent"), answer())
    clock.now += 30
    run(source.lookup("ES256", "another"), answer([KEY, OTHER_KEY]))
    clock.now += 29
    assert run(source.lookup("ES256", "absent")) == (None, []), "within the cooldown"
    clock.now += 1
    assert run(source.lookup("ES256", "absent"), answer([KEY, OTHER_KEY]))[1]


def test_two_kids_in_turn_are_remembered_as_absent():
    source = warmed()
    clock.now += 30
    run(source.lookup("ES256", "one"), answer())
    clock.now += 30
    run(source.lookup("ES256", "two"), answer())
    clock.now += 29
    assert run(source.lookup("ES256", "one")) == (None, [])


def test_an_absent_kid_is_503_after_a_failed_refresh():
    source = warmed()
    clock.now += 30
    run(source.lookup("ES256", "absent"), answer())
    clock.now += 30
    lookup_fails(source, "other", DOWN)
    lookup_fails(source, "absent")


def test_headers_of_any_case_are_read():
    shouting = Fetched(200, {"Cache-Control": "max-age=120", "ETag": '"e"'}, answer().body)
    source = warmed(None, shouting)
    assert source.snapshot.fresh_until == START + 120
    clock.now += 120
    _, (asked,) = run(source.refresh(), answer())
    assert asked.headers["If-None-Match"] == '"e"'


@pytest.mark.parametrize("step", ["verify", "renew", "a refused request"])
def test_whatever_sees_a_token_of_old_keys_begins_a_refresh(step):
    guard = guard_of(warmed(), rules=[Rule("/**", roles="nobody")])
    token = run(guard.verify_flow(idp.token()))[0]
    clock.now = START + 2700
    flow = {
        "verify": lambda: guard.verify_flow(idp.token()),
        "renew": lambda: guard.renew_flow(token),
        "a refused request": lambda: guard.decide_flow(request()),
    }[step]()
    assert isinstance(next(flow), Background)
    value = ended(flow.send, None)
    assert step != "a refused request" or value.status == 403


def test_a_set_that_is_published_after_its_first_token_is_found():
    source = warmed()
    clock.now += 30
    run(source.lookup("ES256", "late"), answer())
    clock.now += 120
    assert run(source.lookup("ES256", "late"), answer())[1], "the set is fresh and asked for again"


def test_an_absent_kid_is_asked_for_again_with_the_next_set():
    source = warmed(None, answer(cache_control="max-age=60"))
    clock.now += 30
    run(source.lookup("ES256", "absent"), answer(cache_control="max-age=60"))
    clock.now += 59
    assert run(source.lookup("ES256", "absent")) == (None, [])
    clock.now += 1
    assert run(source.lookup("ES256", "absent"), answer())[1]


def test_a_kid_that_is_absent_is_503_once_nothing_is_known():
    source = warmed(remote(max_stale=60), answer(cache_control="max-age=60"))
    clock.now += 30
    run(source.lookup("ES256", "absent"), answer(cache_control="max-age=60"))
    clock.now += 60
    assert lookup_fails(source, "absent", DOWN) == 30


def test_the_table_of_absent_kids_is_bounded():
    source = warmed(remote(cooldown=0.001))
    for number in range(MAX_ABSENT_KIDS + 10):
        # Each waits for an exchange that another one begins; none of them is in the answer.
        source._remember_absent(f"kid{number}")
        assert len(source._absent) <= MAX_ABSENT_KIDS
    assert len(source._absent) == 10


def test_nothing_is_absent_before_there_is_a_set():
    source = remote()
    source._remember_absent("kid")
    assert source._absent == {}


def test_a_flood_of_unknown_kids_stays_within_the_ration():
    guard, asked = guard_of(warmed()), []

    def fetch(wanted):
        asked.append(wanted)
        return answer()

    for number in range(600):
        clock.now = START + number / 10  # a minute
        deny = drive.run(guard.decide_flow(request(other, header={"kid": f"kid{number}"})), fetch)
        assert deny.status == 401
    assert len(asked) == 1


# --- failures -----------------------------------------------------------------------------------


def test_a_failed_refresh_keeps_the_last_good_keys_until_max_stale(caplog):
    guard = guard_of(warmed(remote(max_stale=7200)))
    source = guard.issuers[0].source
    clock.now += 3600
    with caplog.at_level(logging.ERROR, "jwtguard.keys"):
        run(source.refresh(), DOWN)
    assert "keys of 3600 s ago are used for 3600 s more; asked again in 30 s" in caplog.text

    clock.now = START + 7199
    assert isinstance(judged(guard, request()), Allow)
    clock.now = START + 7200
    flow = guard.decide_flow(request())
    next(flow)
    assert ended(flow.throw, DOWN).status == 503
    flow = guard.decide_flow(request())
    assert ended(next, flow).status == 503
    clock.now += 60
    flow = guard.decide_flow(request())
    next(flow)
    assert isinstance(ended(flow.send, answer()), Allow)


def test_cold_and_unreachable_is_503_for_everybody(caplog):
    guard = guard_of(remote())
    flow = guard.decide_flow(request())
    next(flow)
    deny = ended(flow.throw, DOWN)
    assert (deny.status, dict(deny.headers)["Retry-After"]) == (503, "30")
    assert "no keys are known" in caplog.text
    assert ended(next, guard.decide_flow(request(other))).status == 503
    with pytest.raises(errors.KeysUnavailable):
        run(guard.verify_flow(idp.token()))


@pytest.mark.parametrize(("jitter", "factor"), [(0, 1), (0.5, 1.125), (1, 1.25)])
def test_the_wait_doubles_with_each_failure_and_is_jittered_and_bounded(jitter, factor):
    source = warmed(remote(jitter=lambda: jitter))
    clock.now += 60
    waits = []
    for _ in range(12):
        waits.append(lookup_fails(source, "new", DOWN))
        clock.now += waits[-1] - 1
        assert lookup_fails(source, "new") in (1, 2)  # asks nobody
        clock.now += 1
    doubled = [min(2**n, MAX_BACKOFF) for n in range(12)]
    assert waits == pytest.approx([30 * n * factor for n in doubled], abs=1)
    assert all(type(wait) is int for wait in waits)


def test_a_thousand_failures_overflow_nothing():
    source = remote()
    for _ in range(1100):
        run(source.refresh(), DOWN)
        clock.now += 30 * MAX_BACKOFF
    assert lookup_fails(source, KID, DOWN) == 30 * MAX_BACKOFF_WITHOUT_KEYS


def test_a_success_ends_the_back_off():
    source = remote()
    for wait in (30, 60, 120):
        run(source.refresh(), DOWN)
        clock.now += wait
    run(source.refresh(), answer())
    clock.now += 30
    assert lookup_fails(source, "new", DOWN) == 30


def test_retry_after_is_a_whole_second_at_least_and_counts_from_the_failure():
    source = remote(cooldown=0.25)
    flow = source.lookup("ES256", KID)
    next(flow)
    clock.now += 5  # a deadline
    with pytest.raises(errors.KeysUnavailable) as failure:
        flow.throw(DOWN)
    assert failure.value.retry_after == 1


# --- keys that come and go ----------------------------------------------------------------------


def test_a_key_that_disappears_takes_its_tokens_with_it():
    source = warmed(None, answer([KEY, OTHER_KEY]))
    guard = guard_of(source)
    for _ in range(2):
        assert isinstance(judged(guard, request(other)), Allow)
    clock.now += 2700
    run(source.refresh(), answer([KEY]))
    assert judged(guard, request(other)).error.reason == "key_not_found"
    with pytest.raises(errors.KeyNotFound):
        run(guard.verify_flow(other.token()))
    assert isinstance(judged(guard, request()), Allow)


def test_a_kid_with_other_key_material_takes_its_tokens_with_it():
    source = warmed()
    guard = guard_of(source)
    judged(guard, request())
    clock.now += 2700
    run(source.refresh(), answer([OTHER_KEY | {"kid": KID}]))
    assert judged(guard, request()).error.reason == "bad_signature"


def test_an_unchanged_set_stays_the_same_object():
    source = warmed(None, answer([KEY, OTHER_KEY]))
    before = source.current()
    clock.now += 2700
    run(source.refresh(), answer([KEY, OTHER_KEY]))
    assert source.current() is before
    clock.now += 2700
    run(source.refresh(), answer([KEY, OTHER_KEY, OTHER_KEY]))  # now disabled
    assert source.current() is not before


def test_a_changed_set_is_told_in_the_log(caplog):
    source = warmed()
    clock.now += 2700
    with caplog.at_level(logging.INFO, "jwtguard.keys"):
        run(source.refresh(), answer([KEY, OTHER_KEY]))
    assert f"{URL}: the keys changed, 2 now" in caplog.text


# --- many waiters -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [remote, lambda: discovery(DOCUMENT)], ids=["keys", "discovery"])
def test_many_waiters_want_one_exchange_and_read_its_answer_once(make):
    source = make()
    guard = guard_of(source)
    waiting = [guard.decide_flow(request(sub=f"user{n}")) for n in range(20)]
    wanted = [next(flow) for flow in waiting]
    assert {w.flight for w in wanted} == {(source, 0)}
    if isinstance(source, Discovery):
        found = [flow.send(document()) for flow in waiting[:10]]
        assert {(w.url, w.flight) for w in found} == {(URL, (source, 0))}
        assert isinstance(ended(waiting[0].send, answer()), Allow)
        for flow in waiting[1:10]:  # they waited for the second exchange
            assert isinstance(ended(flow.send, answer([])), Allow)  # unread
        waiting = waiting[10:]  # and those still for the first
        for flow in waiting:
            assert isinstance(ended(flow.send, document()), Allow)
    else:
        assert isinstance(ended(waiting[0].send, answer()), Allow)
        for flow in waiting[1:]:
            assert isinstance(ended(flow.send, answer([])), Allow)
    assert source._attempt == 1


def test_many_waiters_count_one_failure(caplog):
    source = remote()
    waiting = [source.lookup("ES256", KID) for _ in range(20)]
    for flow in waiting:
        next(flow)
    for flow in waiting:
        with pytest.raises(errors.KeysUnavailable) as failure:
            flow.throw(DOWN)
        assert failure.value.retry_after == 30
    assert len(caplog.records) == 1


def test_a_waiter_who_is_overtaken_while_reading_writes_nothing():
    source = remote()
    first, second = source.refresh(), source.refresh()
    next(first)
    next(second)

    class Overtaking(logging.Handler):
        def emit(self, record):  # the first has read its answer, and is about to write it down
            log.removeHandler(self)
            ended(second.send, answer([OTHER_KEY]))

    log = logging.getLogger("jwtguard.keys")
    log.addHandler(Overtaking())
    ended(first.send, answer([7, KEY]))
    assert [key.kid for key in source.current().keys] == [OTHER_KEY["kid"]]
    assert source._attempt == 1


def test_a_waiter_who_leaves_fails_nobody():
    guard = guard_of(remote())
    leader, second = guard.decide_flow(request()), guard.decide_flow(request())
    next(leader)
    next(second)
    leader.close()
    assert isinstance(ended(second.send, answer()), Allow)


# --- hostile answers ----------------------------------------------------------------------------

GOOD = answer().body


def thousands(number=4000):
    entries = [OTHER_KEY | {"kid": f"kid{n}"} for n in range(number)]
    return json.dumps({"keys": entries}).encode()


HOSTILE = {
    "404": Fetched(404, {}, GOOD),
    "500": Fetched(500, {}, GOOD),
    "redirect": Fetched(302, {"location": URL}, GOOD),
    "no content": Fetched(204, {}, b""),
    "partial": Fetched(206, {}, GOOD),
    "HTML": Fetched(200, {"content-type": "text/html"}, b"<html>sign in</html>"),
    "empty": Fetched(200, {}, b""),
    "blank": Fetched(200, {}, b" \n"),
    "not UTF-8": Fetched(200, {}, b"\xff\xfe"),
    "UTF-16": Fetched(200, {}, GOOD.decode().encode("utf-16")),
    "array": Fetched(200, {}, b"[" + GOOD + b"]"),
    "null": Fetched(200, {}, b"null"),
    "number": Fetched(200, {}, b"1" * 5000),
    "truncated": Fetched(200, {}, GOOD[:-5]),
    "twice": Fetched(200, {}, GOOD + GOOD),
    "deep": Fetched(200, {}, b'{"keys":' + b"[" * 100_000),
    "nested": Fetched(200, {}, b'{"keys":' + b"[" * 500 + b"]" * 500 + b"}"),
    "two members": Fetched(200, {}, b'{"keys":[],' + GOOD[1:]),
    "no keys": Fetched(200, {}, b"{}"),
    "keys null": Fetched(200, {}, b'{"keys":null}'),
    "keys an object": Fetched(200, {}, b'{"keys":{"a":1}}'),
    "no key": answer([]),
    "keys are text": answer(["a", None, 7, []]),
    "only a broken key": answer([KEY | {"x": "AAAA"}]),
    "only a private key": answer([KEY | {"d": "AAAA"}]),
    "only for encryption": answer([KEY | {"use": "enc"}]),
    "odd members": answer([KEY | {"kid": ["a"]}, KEY | {"alg": {}}, KEY | {"kty": []}]),
    "a secret": answer([{"kty": "oct", "k": "A" * 64, "kid": KID}]),
    "duplicate kids": answer([KEY, OTHER_KEY | {"kid": KID}]),
    "the same twice": answer([KEY, KEY]),
    "lone surrogate": Fetched(200, {}, b'{"keys":[],"a":"\\ud800"}'),
}
hostile = pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE)


@hostile
def test_a_hostile_answer_to_the_first_question_is_503(bad):
    guard = guard_of(remote())
    flow = guard.decide_flow(request())
    next(flow)
    deny = ended(flow.send, bad)
    assert (deny.status, deny.error.reason) == (503, "keys_unavailable")
    assert ended(next, guard.decide_flow(request())).status == 503  # and nobody is asked again
    with pytest.raises(errors.KeysUnavailable):
        run(guard.verify_flow(idp.token()))


@hostile
def test_a_hostile_answer_later_keeps_the_keys(bad):
    source = warmed()
    guard, before = guard_of(source), source.current()
    clock.now += 2700
    run(source.refresh(), bad)
    assert source.current() is before
    assert isinstance(judged(guard, request()), Allow)
    assert judged(guard, request(other)).status == 503
    clock.now += 30
    run(source.refresh(), answer())
    assert judged(guard, request(other)).status == 401


@hostile
def test_a_hostile_discovery_document_is_503(bad):
    source = discovery(DOCUMENT)
    flow = guard_of(source).decide_flow(request())
    next(flow)
    assert ended(flow.send, bad).status == 503
    assert source._attempt == 1


def test_one_broken_key_among_good_ones_is_left_out_and_told(caplog):
    source = warmed(None, answer([KEY | {"kid": "broken", "x": "AAAA"}, KEY, 7]))
    assert [key.kid for key in source.current().keys] == [KID]
    assert "left out keys[0] (kid 'broken')" in caplog.text
    assert "left out keys[2]" in caplog.text


def test_a_doubled_kid_is_disabled_and_the_rest_is_used():
    guard = guard_of(warmed(None, answer([KEY, KEY, OTHER_KEY])))
    assert judged(guard, request()).error.reason == "key_not_found"
    assert isinstance(judged(guard, request(other)), Allow)


def test_thousands_of_keys_are_read_and_told_about_briefly(caplog):
    source = warmed(None, Fetched(200, {}, thousands()))
    assert len(source.current()) == 4000
    assert judged(guard_of(source), request()).status == 401
    caplog.clear()
    source = warmed(None, answer([*([7] * 5000), KEY]))
    assert len(caplog.records) == MAX_NOTES + 1
    assert f"{5000 - MAX_NOTES} more left out" in caplog.text


def test_a_secret_in_a_fetched_set_is_never_an_hmac_key():
    with pytest.raises(errors.ConfigurationError, match=r"HS\* needs a secret"):
        Guard([issuer(remote(), algorithms=["HS256"])])
    secret = {"kty": "oct", "k": "A" * 64, "kid": "secret"}
    source = warmed(None, answer([secret, KEY]))
    assert [key.kind for key in source.current().keys] == ["P-256"]
    forged = FakeIssuer(ISSUER, algorithm="HS256", clock=clock).bearer(header={"kid": KID})
    deny = judged(guard_of(source), Request("GET", "/x", headers=[("Authorization", forged)]))
    assert deny.error.reason == "algorithm_not_allowed"


@pytest.mark.parametrize("error", [DOWN, errors.FetchError(""), errors.FetchError("a" * 9999)])
def test_a_transport_that_fails_is_503(error):
    flow = guard_of(remote()).decide_flow(request())
    next(flow)
    assert ended(flow.throw, error).status == 503


# --- discovery ----------------------------------------------------------------------------------


def document(**members):
    found = {"issuer": ISSUER, "jwks_uri": URL} | members
    found = {name: value for name, value in found.items() if value is not ...}
    return Fetched(200, {}, json.dumps(found).encode())


@pytest.mark.parametrize(
    ("iss", "address"),
    [
        ("https://issuer.test", DOCUMENT),
        ("https://issuer.test/", DOCUMENT),
        (
            "https://host.test/realms/a",
            "https://host.test/realms/a/.well-known/openid-configuration",
        ),
        ("https://host.test/a/", "https://host.test/a/.well-known/openid-configuration"),
    ],
)
def test_the_document_is_looked_for_behind_the_issuer(iss, address):
    source = discovery()
    assert issuer(source, issuer=iss).problems == []
    wanted = next(source.refresh())
    assert (wanted.url, wanted.headers) == (address, {"Accept": "application/json"})


def test_the_document_leads_to_the_keys():
    source = discovery()
    guard = guard_of(source)
    decision, asked = run(guard.decide_flow(request()), document(), answer(etag='"one"'))
    assert isinstance(decision, Allow)
    assert [fetch.url for fetch in asked] == [DOCUMENT, URL]
    clock.now += 4000
    _, asked = run(source.refresh(), document(), Fetched(304, {}, b""))
    assert [fetch.headers.get("If-None-Match") for fetch in asked] == [None, '"one"']


def test_an_entity_tag_does_not_go_with_the_keys_to_another_address():
    source = discovery()
    run(warming(guard_of(source)), document(), answer(etag='"one"'))
    clock.now += 4000
    moved = "https://keys.test/jwks"
    _, asked = run(source.refresh(), document(jwks_uri=moved), answer(etag='"one"'))
    assert "If-None-Match" not in asked[1].headers


@pytest.mark.parametrize(
    "bad",
    [
        document(issuer=...),
        document(issuer="https://issuer.test"),  # by a slash
        document(issuer="https://evil.test/"),
        document(issuer="HTTPS://issuer.test/"),
        document(issuer=None),
        document(issuer=[ISSUER]),
        document(jwks_uri=...),
        document(jwks_uri=None),
        document(jwks_uri=""),
        document(jwks_uri=7),
        document(jwks_uri=[URL]),
        document(jwks_uri="http://issuer.test/jwks"),
        document(jwks_uri="file:///etc/passwd"),
        document(jwks_uri="/jwks"),
        document(jwks_uri=f"{URL}/{'a' * 2048}"),
        document(jwks_uri="//issuer.test/jwks"),
        document(jwks_uri="https:///jwks"),
        document(jwks_uri="https://user@issuer.test/jwks"),
        document(jwks_uri="https://issuer.test/\r\nX: y"),
        document(jwks_uri="https://[::1/jwks"),
        document(jwks_uri="https://issuer.test:99999/jwks"),
        document(jwks_uri="https://\u0131ssuer.test/jwks"),
    ],
    ids=lambda bad: bad.body.decode()[:70],
)
def test_a_document_that_is_not_the_issuers_or_names_no_usable_address_is_503(bad):
    guard = guard_of(discovery())
    flow = guard.decide_flow(request())
    next(flow)
    assert ended(flow.send, bad).status == 503
    assert ended(next, guard.decide_flow(request())).status == 503


def test_a_document_without_an_issuer_of_ours_is_nobodys():
    source = discovery(DOCUMENT)  # told by nobody whose it is
    run(source.refresh(), document())
    assert not source.current().keys


# --- start-up -----------------------------------------------------------------------------------


def problems(keys, **words):
    try:
        Guard([issuer(keys, **words)])
    except errors.ConfigurationError as error:
        return dict(error.problems)
    return {}


ADDRESSES = [
    ("https://issuer.test/jwks", None),
    ("HTTPS://issuer.test:8443/jwks?a=b", None),
    ("http://127.0.0.1/jwks", "is not https; insecure_http allows http to private addresses"),
    ("ftp://issuer.test/jwks", "is an https address; found"),
    ("issuer.test/jwks", "is an https address; found"),
    ("", "is an https address; found ''"),
    (None, "is an https address; found None"),
    (7, "is an https address; found 7"),
    ("https://", "is an https address"),
    ("https://issuer.test:0/", "is an https address"),
    ("https://issuer.test:port/", "is an https address"),
    ("https://user:secret@issuer.test/", "holds a user name or password"),
    ("https://issuer.test/#keys", "is an https address"),
    ("https://issuer.test/a b", "is an https address"),
    ("https://issuer.test/\n", "is an https address"),
    ("https://[::1/", "is an https address"),
]


@pytest.mark.parametrize(("url", "complaint"), ADDRESSES)
def test_an_address_is_checked_at_start_up(url, complaint):
    found = problems(RemoteKeys(url))
    if complaint is None:
        assert found == {}
    else:
        [(where, what)] = found.items()
        assert where == "issuers[0].keys.jwks_uri"
        assert complaint in what


def test_a_discovery_address_is_checked_at_start_up():
    assert problems(Discovery(DOCUMENT)) == {}
    assert list(problems(Discovery("ftp://x"))) == ["issuers[0].keys.url"]
    assert list(problems(Discovery(7))) == ["issuers[0].keys.url"]
    assert list(problems(Discovery(), issuer="http://issuer.test/")) == ["issuers[0].keys"]
    assert list(problems(Discovery(), issuer="people")) == ["issuers[0].keys"]


def test_discovery_needs_an_issuer():
    [(where, what)] = problems(Discovery(DOCUMENT), issuer=None).items()
    assert where == "issuers[0].keys"
    assert what == "are found by discovery, which needs the issuer's iss value"
    assert "issuers[0].issuer" in problems(Discovery(), issuer=7)


def test_the_words_of_every_fetched_source_are_those_of_remote_keys():
    own = set(inspect.signature(core_remote.RemoteKeys).parameters) - {"jwks_uri"}
    assert own == set(core_remote.RemoteWords.__annotations__)


def test_the_address_of_a_templates_documents_is_a_template_too():
    words = {"issuer": "https://x.test/{tenant}", "tenants": ["a"]}
    [(where, what)] = issuer(Discovery("https://x.test/document"), **words).problems
    assert where == "keys.url"
    assert "put {tenant} into the address" in what
    template = issuer(Discovery("https://x.test/{tenant}/document"), **words)
    assert template.problems == []
    assert template.source_of("a").url == "https://x.test/a/document"


def test_a_discovery_is_one_issuers():
    shared = Discovery()
    first, again = issuer(shared), issuer(shared)
    second = issuer(shared, issuer="https://second.test/")
    assert first.problems == again.problems == []
    [(where, what)] = second.problems
    assert (where, shared.issuer) == ("keys", ISSUER)
    assert what == f"are those of {ISSUER!r}; give each issuer a Discovery of its own"


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), True, None, "30"])
@pytest.mark.parametrize(
    "name", ["cooldown", "min_fresh", "max_fresh", "max_stale", "timeout", "max_bytes"]
)
def test_every_number_is_checked_at_start_up(name, value):
    for source in (RemoteKeys(URL, **{name: value}), Discovery(**{name: value})):
        [(where, what)] = problems(source).items()
        assert where == f"issuers[0].keys.{name}"
        assert what.startswith(
            "is a number of bytes" if name == "max_bytes" else "is a number of s"
        )


def test_zero_seconds_are_possible_where_they_mean_something():
    assert problems(RemoteKeys(URL, cooldown=0, min_fresh=0, max_fresh=0, max_stale=0)) == {}
    assert list(problems(RemoteKeys(URL, timeout=0, max_bytes=0))) == [
        "issuers[0].keys.timeout",
        "issuers[0].keys.max_bytes",
    ]


def test_without_a_cooldown_every_unknown_kid_asks():
    source = warmed(remote(cooldown=0))
    for _ in range(3):
        run(source.lookup("ES256", "absent"), answer())


def test_a_clock_that_was_set_back_stops_nobody_from_asking():
    source = remote()
    lookup_fails(source, KID, DOWN)
    clock.now -= 7200
    run(source.lookup("ES256", KID), answer())
    assert source.current().keys


def test_the_bounds_of_freshness_are_in_order():
    for words in ({"min_fresh": 4000}, {"min_fresh": 90, "max_fresh": 80}):
        [(where, what)] = problems(RemoteKeys(URL, **words)).items()
        assert where == "issuers[0].keys.min_fresh"
        assert what.startswith(f"is {words['min_fresh']}, more than max_fresh, ")
    for words in ({"min_fresh": 60, "max_fresh": 60}, {"max_fresh": 5}):
        assert problems(RemoteKeys(URL, **words)) == {}


def test_a_short_max_fresh_counts_before_the_default_of_min_fresh():
    source = warmed(remote(max_fresh=5), answer())
    assert source.snapshot.fresh_until == START + 5


def test_insecure_http_is_a_switch_and_is_announced(caplog):
    assert list(problems(RemoteKeys(URL, insecure_http="yes"))) == ["issuers[0].keys.insecure_http"]
    caplog.clear()
    source = RemoteKeys("http://127.0.0.1/jwks", insecure_http=True)
    assert problems(source) == {}
    assert "insecure_http is set for issuer people" in caplog.text
    assert next(source.refresh()).insecure_http is True


@pytest.mark.parametrize("algorithms", [["HS256"], ["ES256", "HS512"]])
@pytest.mark.parametrize("keys", [remote, discovery, lambda: [remote(), Secret(b"s" * 64)]])
def test_a_shared_secret_does_not_go_with_keys_that_are_fetched(keys, algorithms):
    [(where, what)] = problems(keys(), algorithms=algorithms).items()
    assert where == "issuers[0].algorithms"
    assert "keys that are fetched are public" in what


def test_problems_in_a_list_of_sources_have_their_place():
    found = problems([RemoteKeys("ftp://x"), JWKSet({"keys": [KEY]}), Discovery(timeout=0)])
    assert list(found) == ["issuers[0].keys[0].jwks_uri", "issuers[0].keys[2].timeout"]


# --- several sources ----------------------------------------------------------------------------


def test_a_local_set_beside_a_remote_one_needs_no_exchange():
    guard = guard_of([remote(), JWKSet({"keys": [KEY]})])
    assert isinstance(ended(next, guard.decide_flow(request())), Allow)
    flow = guard.decide_flow(request(other))
    next(flow)
    assert isinstance(ended(flow.send, answer([OTHER_KEY])), Allow)


def test_the_next_source_is_asked_where_the_first_does_not_know():
    first, second = remote(), remote()
    guard = guard_of([first, JWKSet({"keys": [KEY]}), second])
    flow = guard.decide_flow(request(other))
    assert next(flow).flight[0] is first
    assert flow.send(answer()).flight[0] is second
    assert isinstance(ended(flow.send, answer([OTHER_KEY])), Allow)


def test_the_next_source_is_not_asked_where_the_first_knows():
    first, second = remote(), remote()
    decision, asked = run(guard_of([first, second]).decide_flow(request()), answer())
    assert isinstance(decision, Allow)
    assert [fetch.flight[0] for fetch in asked] == [first]


def test_only_the_source_that_is_due_is_refreshed():
    first = warmed(None, answer([KEY], cache_control="max-age=100"))
    second = warmed(None, answer([OTHER_KEY]))
    guard = guard_of([first, second, JWKSet({"keys": [KEY]})])
    both = guard.issuers[0].source
    assert not both.due()
    clock.now += 80
    assert both.due()
    flow = guard.decide_flow(request())
    wanted = next(flow)
    _, asked = run(wanted.flow, answer())
    assert [fetch.flight[0] for fetch in asked] == [first]
    assert not both.due()


def test_a_source_that_is_down_does_not_take_the_next_with_it():
    guard = guard_of([remote(), remote()])
    decision, _ = run(guard.decide_flow(request()), DOWN, answer())
    assert isinstance(decision, Allow)


def test_where_every_source_is_down_the_answer_is_503():
    decision, _ = run(guard_of([remote(), remote()]).decide_flow(request()), DOWN, DOWN)
    assert (decision.status, decision.error.reason) == (503, "keys_unavailable")


def test_no_address_is_made_of_a_query():
    found = issuer(Discovery(), issuer="https://x.test/?a=1").problems
    assert [(w, t) for w, t in found if "use RemoteKeys" in t]


def test_only_discovery_takes_the_place_of_a_tenant():
    found = RemoteKeys("https://x.test/{tenant}/keys").problems
    assert [what for _, what in found if "only discovery takes {tenant}" in what]


# --- warm ---------------------------------------------------------------------------------------


def test_warm_asks_only_for_what_is_needed():
    first, second = remote(), remote()
    guard = Guard(
        [
            issuer(first),
            issuer(second, issuer="https://b.test/", name="b"),
            issuer(JWKSet({"keys": [KEY]}), issuer="https://c.test/", name="c"),
        ]
    )
    _, asked = run(warming(guard), answer(), DOWN)
    assert [fetch.flight for fetch in asked] == [(first, 0), (second, 0)]
    assert run(warming(guard)) == (None, [])  # one is known, and the other failed just now
    clock.now += 30
    _, asked = run(warming(guard), answer())
    assert [fetch.flight for fetch in asked] == [(second, 1)]
    clock.now += 2700
    assert len(run(warming(guard), answer(), answer())[1]) == 2


def test_warm_raises_nothing_for_an_outage():
    assert run(warming(guard_of(remote())), DOWN)[0] is None
    assert run(warming(guard_of(discovery())), HOSTILE["HTML"])[0] is None


def test_warm_asks_a_remote_source_beside_keys_at_hand():
    guard = guard_of([remote(), JWKSet({"keys": [KEY]})])
    assert len(run(warming(guard), answer([OTHER_KEY]))[1]) == 1


def test_warm_is_a_flow_for_each_source_that_must_ask():
    first, second = remote(), remote()
    keys = [first, JWKSet({"keys": [KEY]})]
    guard = Guard([issuer(keys), issuer(second, issuer="https://b.test/", name="b")])
    flows = guard.warm_flows()
    assert [next(flow).flight for flow in flows] == [(first, 0), (second, 0)]


def test_warm_raises_nothing_for_a_defect_and_goes_on(caplog):
    source = remote()
    guard = Guard([issuer(Breaking()), issuer(source, issuer="https://b.test/", name="b")])
    run(warming(guard), answer())
    assert len(source.current()) == 1
    found = [(one.name, one.getMessage()) for one in caplog.records if one.levelname == "ERROR"]
    assert found == [("jwtguard", "unexpected RuntimeError at start-up")]


# --- a key source of somebody else's ------------------------------------------------------------


class Breaking:
    """A refreshing source whose refresh has a defect."""

    problems = ()

    def __init__(self):
        self._keys = JWKSet({"keys": [KEY]}).current()

    def current(self):
        return self._keys

    def lookup(self, algorithm, kid):
        yield from ()

    def due(self):
        return True

    def refresh(self):
        raise RuntimeError("a defect")
        yield


def test_a_refresh_that_cannot_be_started_takes_no_request_with_it():
    flow = guard_of(Breaking()).decide_flow(request())
    assert isinstance(next(flow), Background)
    assert isinstance(ended(flow.throw, errors.FetchError("no thread")), Allow)


def test_sources_that_know_nothing_are_all_asked_at_start_up():
    several = SeveralRemoteSources([remote(), remote()])
    run(several.refresh(), DOWN, DOWN)
    assert not several.current().keys


def test_a_refusal_for_want_of_keys_names_the_issuer(caplog):
    guard = guard_of(remote())
    decision, _ = run(guard.decide_flow(request()), DOWN)
    assert decision.status == 503
    assert " issuer=people " in caplog.text


QUOTED = "what it choked on"


class Broken:
    """A user's source that works until its keys grow old."""

    problems = ()

    def __init__(self, *breaks):
        self.breaks = breaks
        self._known = JWKSet(idp.jwks())

    def current(self):
        return self._known.current()

    def lookup(self, algorithm, kid):
        return
        yield

    def due(self):
        if "due" in self.breaks:
            raise RuntimeError(QUOTED)
        return True

    def refresh(self):
        raise RuntimeError(QUOTED)


@pytest.mark.parametrize("what", ["due", "refresh"])
def test_a_source_that_breaks_while_keys_are_refreshed_fails_no_request(what, caplog):
    guard = guard_of(Broken(what))
    for _ in range(2):
        assert isinstance(run(guard.decide_flow(request()))[0], Allow)
    assert isinstance(run(guard.verify_flow(idp.token()))[0], object)
    field = request().header("authorization")
    allow = guard.recall("GET", "/x", "/x", field)
    assert allow is None or isinstance(allow, Allow)
    assert "unexpected RuntimeError" in caplog.text
    assert QUOTED not in caplog.text
