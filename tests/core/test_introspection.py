"""Introspection (RFC 7662): every step of the flows by hand, with a clock of our own."""

import gc
import json
import logging
import traceback
from urllib.parse import parse_qs

import pytest

from jwtguard import (
    Discovery,
    FromCookie,
    Guard,
    Introspection,
    Issuer,
    RemoteKeys,
    Requirement,
    Rule,
    Secret,
    drive,
    errors,
)
from jwtguard.core import Allow, Deny, Fetched, Request
from jwtguard.core.introspection import DISCOVERY_COOLDOWN, MAX_EXCHANGES, MAX_REFUSED
from jwtguard.core.jose import MAX_TOKEN
from jwtguard.core.refused import fingerprint
from jwtguard.testing import FakeIssuer

from .forge import AUDIENCE, CLAIMS, ISSUER, NOW, OTHER_SECRET, SECRET, forge, token, warming

URL = "https://issuer.test/introspect"
DOCUMENT = "https://issuer.test/.well-known/openid-configuration"
OPAQUE = "opaque-token"
CLIENT_SECRET = "the-client-secret"
GOOD = CLAIMS | {"active": True}
DOWN = errors.FetchError("down")


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


clock = Clock()


@pytest.fixture(autouse=True)
def _at_the_start():
    clock.now = NOW


def said(claims=GOOD, status=200, **more):
    """An answer of the endpoint; a claim given as ... is left out."""
    if isinstance(claims, dict):
        claims = {name: one for name, one in (claims | more).items() if one is not ...}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return Fetched(status, {"content-type": "application/json"}, body)


INACTIVE = said({"active": False})


def asking(endpoint=URL, **words):
    words = {"client_id": "service", "client_secret": CLIENT_SECRET, "clock": clock} | words
    return Introspection(endpoint, **words)


def issuer(iss=ISSUER, introspection=None, **words):
    words = {
        "name": "people",
        "audience": AUDIENCE,
        "algorithms": ["HS256"],
        "keys": Secret(SECRET),
        "introspection": asking() if introspection is None else introspection,
    } | words
    return Issuer(iss, **words)


def only_asked(iss=ISSUER, introspection=None, **words):
    return issuer(iss, introspection, **({"keys": None, "algorithms": ()} | words))


def guard_of(*issuers, rules=(), **words):
    return Guard(list(issuers) or [issuer()], rules, clock=clock, **words)


def request(raw=OPAQUE, path="/x", **words):
    return Request("GET", path, headers=[("Authorization", f"Bearer {raw}")], **words)


def run(flow, *answers):
    """Run a flow on these answers, all of which it must want. Returns its value and its wishes."""
    given, asked = list(answers), []

    def fetch(wanted):
        asked.append(wanted)
        assert given, wanted
        one = given.pop(0)
        if isinstance(one, BaseException):
            raise one
        return one

    value = drive.run(flow, fetch)
    assert len(asked) == len(answers)
    return value, asked


def decided(guard, *answers, **words):
    """(status, reason), and (200, None) where the request is allowed."""
    decision, _ = run(guard.decide_flow(request(**words)), *answers)
    error = getattr(decision, "error", None)
    return decision.status, error and error.reason


def verified(guard, *answers, raw=OPAQUE, **words):
    return run(guard.verify_flow(raw, **words), *answers)[0]


def ended(step, *given):
    with pytest.raises(StopIteration) as end:
        step(*given)
    return end.value.value


# --- what is asked ------------------------------------------------------------------------------


def test_an_opaque_token_is_asked_about_by_a_form():
    guard = guard_of(issuer(introspection=asking(timeout=3)))

    decision, [asked] = run(guard.decide_flow(request("a+b/c~d.-_==")), said())

    assert (asked.url, asked.method, asked.timeout, asked.insecure_http) == (URL, "POST", 3, False)
    assert asked.max_bytes == 65_536
    assert asked.body == b"token=a%2Bb%2Fc~d.-_%3D%3D&token_type_hint=access_token"
    assert asked.headers == {
        "Authorization": "Basic c2VydmljZTp0aGUtY2xpZW50LXNlY3JldA==",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    assert isinstance(decision, Allow)
    assert decision.token.raw == "a+b/c~d.-_=="


def test_the_answer_is_the_claims():
    guard = guard_of()

    got = verified(guard, said(scope="read write", roles=["admin"], client_id="app"))

    assert got.claims == GOOD | {"scope": "read write", "roles": ["admin"], "client_id": "app"}
    assert got.scopes == {"read", "write"}
    assert got.roles == {"admin"}
    assert (got.issuer, got.subject, got.tenant, got.header) == ("people", "alice", None, {})
    assert got.expires_at.timestamp() == CLAIMS["exp"]


@pytest.mark.parametrize("required", [["exp"], ["iss", "exp"]])
def test_an_answer_without_iss_is_the_issuers(required):
    guard = guard_of(issuer(required_claims=required))

    assert verified(guard, said(iss=...))["iss"] == ISSUER


def test_an_answer_without_iss_about_a_nameless_issuer_gets_none():
    guard = guard_of(only_asked(None))

    assert "iss" not in verified(guard, said(iss=...))


def test_a_server_that_sends_no_exp_needs_required_claims_to_say_so():
    refused = guard_of()
    assert decided(refused, said(exp=...)) == (401, "claim_missing")

    guard = guard_of(issuer(required_claims=[]))
    assert verified(guard, said(exp=...)).expires_at is None
    clock.now += 59
    assert verified(guard).subject == "alice"
    clock.now += 1
    assert verified(guard, said(exp=...)).subject == "alice"


def test_what_is_published_of_an_opaque_token():
    guard = guard_of(variables="json", forward={"X-User": "sub"})

    decision, _ = run(guard.decide_flow(request()), said())

    assert decision.set == [("X-User", "alice")]
    assert decision.variables["jwt_headers"] == "{}"
    assert decision.variables["jwt_claim_active"] == "true"
    assert decision.remote_user == "alice"


def test_verify_asks_too():
    guard = guard_of()

    assert verified(guard, said(), requirement=Requirement(require={"sub": "alice"}))
    with pytest.raises(errors.InsufficientScope):
        verified(guard, requirement=Requirement(scopes="admin"))
    with pytest.raises(errors.TokenInactive):
        verified(guard, INACTIVE, raw="another")


# --- what counts as active ----------------------------------------------------------------------

NOT_ACTIVE = {
    "false": False,
    "one": 1,
    "one point zero": 1.0,
    "text": "true",
    "null": None,
    "a list": [True],
    "an object": {"active": True},
    "empty text": "",
}


@pytest.mark.parametrize("active", NOT_ACTIVE.values(), ids=NOT_ACTIVE)
def test_only_true_is_active(active):
    guard = guard_of()
    assert decided(guard, said(active=active)) == (401, "token_inactive")
    assert decided(guard) == (401, "token_inactive")


# An answer that does not say it is no answer (RFC 7662 section 2.2 requires it).
NO_ANSWER = {
    "no active": said(active=...),
    "an empty object": said({}),
    "active in another case": said(active=..., Active=True),
    "no bytes": said(b""),
    "HTML": said(b"<html>active</html>"),
    "a truncated object": said(json.dumps(GOOD).encode()[:-1]),
    "active twice": said(b'{"active": false, "active": true}'),
    "NaN": said(b'{"active": true, "exp": NaN}'),
    "a list": said([GOOD]),
    "true": said(True),
    "a string": said("active"),
    "not UTF-8": said(b'{"active": true, "sub": "\xff"}'),
    "a byte order mark": said(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()),
    "a lone surrogate": said(b'{"active": true, "sub": "\\ud800"}'),
    "nested too deep": said(b'{"active": true, "a": ' + b"[" * 33 + b"]" * 33 + b"}"),
    "nested far too deep": said(b"[" * 60_000),
    "a number out of range": said(b'{"active": true, "n": 1e999}'),
    "two objects": said(json.dumps(GOOD).encode() * 2),
    "201": said(status=201),
    "204": said(b"", status=204),
    "302": said(status=302),
    "307": said(status=307),
    "400": said({"error": "invalid_request"}, status=400),
    "401": said({"error": "invalid_client"}, status=401),
    "401 that says active": said(status=401),
    "403": said(status=403),
    "404": said(status=404),
    "429": said(status=429),
    "500": said(status=500),
    "503 that says active": said(status=503),
    "an outage": DOWN,
    "an exception of the transport": ValueError("a secret"),
}


@pytest.mark.parametrize("answer", NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_answer_to_go_by_is_503_and_is_not_remembered(answer):
    made = asking()
    guard = guard_of(issuer(introspection=made))
    for one in (answer, answer, said()):
        decision, _ = run(guard.decide_flow(request()), one)
        assert not made._asking
        assert not made._refused
        if one is answer:
            assert isinstance(decision, Deny)
            assert (decision.status, decision.error.reason) == (503, "introspection_unavailable")
            assert decision.error.issuer == "people"
            assert ("Retry-After", "5") in decision.headers
    assert decision.status == 200


@pytest.mark.parametrize(("status", "hinted"), [(400, True), (401, True), (403, False)])
def test_an_answer_about_the_client_says_so(status, hinted):
    with pytest.raises(errors.IntrospectionUnavailable) as failure:
        verified(guard_of(), said(status=status))
    assert failure.value.hint.startswith(f"{URL} answered {status}")
    assert ("are client_id and its secret right?" in failure.value.hint) == hinted


# --- claims are judged as those of a JWT --------------------------------------------------------

JUDGED = [
    ("expired", {"exp": NOW - 11}, "expired"),
    ("expired now", {"exp": NOW - 10}, "expired"),
    ("exp as text", {"exp": str(NOW + 60)}, "claim_type"),
    ("exp null", {"exp": None}, "claim_type"),
    ("exp true", {"exp": True}, "claim_type"),
    ("exp negative", {"exp": -1}, "claim_type"),
    ("no exp", {"exp": ...}, "claim_missing"),
    ("nbf ahead", {"nbf": NOW + 60}, "not_yet_valid"),
    ("nbf as text", {"nbf": "now"}, "claim_type"),
    ("iat ahead", {"iat": NOW + 60}, "issued_in_future"),
    ("aud of another", {"aud": "https://other.test"}, "audience_mismatch"),
    ("aud with a slash more", {"aud": f"{AUDIENCE}/"}, "audience_mismatch"),
    ("no aud", {"aud": ...}, "audience_missing"),
    ("aud null", {"aud": None}, "claim_type"),
    ("aud of numbers", {"aud": [5]}, "claim_type"),
    ("an empty aud", {"aud": []}, "audience_mismatch"),
    ("iss of another", {"iss": "https://other.test/"}, "unknown_issuer"),
    ("iss without its slash", {"iss": ISSUER[:-1]}, "unknown_issuer"),
    ("an empty iss", {"iss": ""}, "unknown_issuer"),
    ("iss null", {"iss": None}, "claim_type"),
    ("sub a number", {"sub": 5}, "claim_type"),
    ("jti a list", {"jti": []}, "claim_type"),
    ("bound to a key", {"cnf": {"jkt": "x"}}, "sender_constrained"),
    ("cnf null", {"cnf": None}, "sender_constrained"),
]


@pytest.mark.parametrize(("changes", "reason"), [j[1:] for j in JUDGED], ids=[j[0] for j in JUDGED])
def test_claims_of_an_answer_are_judged_as_those_of_a_jwt(changes, reason):
    made = asking()
    guard = guard_of(issuer(introspection=made))
    for answers in ([said(**changes)], []):  # it is remembered, with its own reason
        decision, _ = run(guard.decide_flow(request()), *answers)
        assert (decision.status, decision.error.reason) == (401, reason)
        assert decision.error.issuer == "people"
    assert not made._asking
    # A JWT that says the same is refused for the same reason.
    if "iss" not in changes:
        raw = forge({k: v for k, v in (CLAIMS | changes).items() if v is not ...})
        assert decided(guard, raw=raw) == (401, reason)


@pytest.mark.parametrize("changes", [{"aud": ["x", AUDIENCE]}, {"nbf": NOW}, {"iat": NOW - 5}])
def test_good_claims_of_any_form_are_taken(changes):
    assert decided(guard_of(), said(**changes)) == (200, None)


def test_words_of_the_issuer_count_for_its_answers():
    guard = guard_of(issuer(max_age=60, required_claims=["sub"], leeway=0))
    for index, (changes, reason) in enumerate(
        [
            ({"sub": ..., "iat": NOW}, "claim_missing"),
            ({"iat": ...}, "claim_missing"),
            ({"iat": NOW - 60}, "too_old"),
            ({"iat": NOW, "exp": NOW}, "expired"),
        ]
    ):
        assert decided(guard, said(**changes), raw=f"t{index}") == (401, reason)
    assert decided(guard, said(iat=NOW, exp=...)) == (200, None)


def test_an_audience_that_is_not_checked_is_not_missed():
    assert decided(guard_of(issuer(audience=None)), said(aud=...)) == (200, None)


def test_an_answer_of_a_nameless_issuer_may_not_name_one():
    assert decided(guard_of(only_asked(None)), said()) == (401, "unknown_issuer")
    guard = guard_of(only_asked(None, any_iss=True))
    assert verified(guard, said(iss="https://a.test/"))["iss"] == "https://a.test/"


def test_a_nameless_issuer_may_not_speak_for_a_configured_one():
    people = Issuer(
        ISSUER, name="people", audience=AUDIENCE, algorithms=["HS256"], keys=Secret(SECRET)
    )
    guard = guard_of(people, only_asked(None, any_iss=True, name="any"))

    assert decided(guard, said()) == (401, "unknown_issuer")
    assert decided(guard, said(iss="https://a.test/"), raw="b") == (200, None)


# --- what is remembered, and how long -----------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "exp", "kept"), [(60, 3600, 60), (60, 30, 30), (5, 3600, 5), (60, 3600.5, 60)]
)
def test_a_good_answer_is_kept_for_ttl_and_no_longer_than_exp(ttl, exp, kept):
    guard = guard_of(issuer(introspection=asking(ttl=ttl)))
    answer = said(exp=NOW + exp)

    assert decided(guard, answer) == (200, None)
    clock.now += kept - 0.25
    assert decided(guard) == (200, None)
    allow = guard.recall("GET", "/x", "/x", f"Bearer {OPAQUE}")
    assert allow.token.subject == "alice"
    clock.now += 0.25
    assert guard.recall("GET", "/x", "/x", f"Bearer {OPAQUE}") is None
    assert decided(guard, INACTIVE) == (401, "token_inactive")


def test_an_answer_is_as_old_as_the_question():
    guard = guard_of()
    flow = guard.decide_flow(request())
    next(flow)
    clock.now += 4

    assert isinstance(ended(flow.send, said()), Allow)

    clock.now = NOW + 59
    assert decided(guard) == (200, None)
    clock.now = NOW + 60
    assert decided(guard, INACTIVE) == (401, "token_inactive")


def test_an_answer_that_expired_on_the_way_is_refused():
    guard = guard_of()
    flow = guard.decide_flow(request())
    next(flow)
    clock.now += 4
    assert ended(flow.send, said(exp=NOW - 6)).error.reason == "expired"


def test_a_token_within_the_leeway_is_asked_about_each_time():
    guard = guard_of()
    for _ in range(2):
        assert decided(guard, said(exp=NOW - 5)) == (200, None)


@pytest.mark.parametrize("answer", [INACTIVE, said(exp=NOW - 60)])
def test_a_bad_answer_is_kept_for_negative_ttl(answer):
    guard = guard_of(issuer(introspection=asking(negative_ttl=3)))
    status, reason = decided(guard, answer)
    assert status == 401
    clock.now += 2.75
    assert decided(guard) == (401, reason)
    clock.now += 0.25
    assert decided(guard, said()) == (200, None)


def test_another_token_is_another_question():
    guard = guard_of()
    assert decided(guard, INACTIVE, raw="a") == (401, "token_inactive")
    for raw in ("A", "a=", "aa", "a.", "a~"):
        assert decided(guard, said(), raw=raw) == (200, None)


def test_bad_answers_take_bounded_memory():
    made = asking()
    guard = guard_of(issuer(introspection=made))
    long = "x" * 60_000

    for index in range(MAX_REFUSED + 5):
        run(guard.decide_flow(request(f"t{index}")), said(sub=long, aud=[long[:900]]))
        assert len(made._refused) <= MAX_REFUSED
    assert 0 < len(made._refused) <= 5
    assert not made._asking
    assert len(guard.verifier._cache) == 0
    for _, error in made._refused.values():
        kept = (error.found, error.want, error.hint, error.subject)
        assert sum(len(str(one)) for one in kept) < 1000
        assert error.__traceback__ is None


def test_a_bad_jwt_answer_keeps_little_of_the_token():
    made = asking(when="always")
    guard = guard_of(issuer(introspection=made))

    decided(guard, said(sub="b"), raw=token(sub="x" * 9000))

    [(_, error)] = made._refused.values()
    assert all(len(str(one)) < 300 for one in (error.found, error.want, error.subject))


def test_a_refusal_from_memory_is_logged_as_the_first_was(caplog):
    guard = guard_of()
    lines = []
    for answers in ([said(aud=['a"b\n' + "é" * 300], sub="carol")], []):
        caplog.clear()
        run(guard.decide_flow(request()), *answers)
        [record] = caplog.records
        lines.append(record.getMessage().replace(record.ref, ""))
    assert lines[0] == lines[1]
    assert "sub=#" in lines[0]


def test_a_refusal_from_memory_is_an_error_of_its_own():
    guard = guard_of()
    seen = []
    for answers in ([said(exp=NOW - 60)], [], []):
        with pytest.raises(errors.TokenExpired) as failure:
            verified(guard, *answers)
        assert (failure.value.claim, failure.value.code) == ("exp", "expired")
        seen.append(failure.value)
    assert len({id(error) for error in seen}) == 3


def test_a_token_that_is_not_cached_is_asked_about_each_time():
    guard = guard_of()
    long = "a" * 4097
    for _ in range(2):
        assert decided(guard, said(), raw=long) == (200, None)
    guard = guard_of(cache_size=0)
    for _ in range(2):
        assert decided(guard, said()) == (200, None)


# --- tokens that are never sent on --------------------------------------------------------------

FAILED = {
    "a bad signature": (token(key=OTHER_SECRET), "bad_signature"),
    "a mangled signature": (token()[:-4] + "AAAA", "bad_signature"),
    "expired": (token(exp=NOW - 60), "expired"),
    "the wrong audience": (token(aud="https://other.test"), "audience_mismatch"),
    "an unknown issuer": (token(iss="https://other.test/"), "unknown_issuer"),
    "no issuer": (token(iss=...), "unknown_issuer"),
    "an algorithm that is not listed": (forge(header={"alg": "HS512"}), "algorithm_not_allowed"),
    "no algorithm": (forge(header={"alg": "none"}), "algorithm_not_allowed"),
    "the wrong type": (forge(header={"alg": "HS256", "typ": "logout+jwt"}), "typ_mismatch"),
    "two dots": ("a.b.c", "malformed_token"),
    "two dots alone": ("..", "malformed_token"),
    "four dots": ("a.b.c.d.e", "malformed_token"),
    "four dots alone": ("....", "malformed_token"),
    "two dots and a signature that is padded": (token() + "=", "malformed_token"),
    "two dots outside base64url": (token().replace(".", ".+", 1), "malformed_token"),
}


@pytest.mark.parametrize("when", ["opaque", "always"])
@pytest.mark.parametrize("make", [issuer, only_asked], ids=["with keys", "without keys"])
@pytest.mark.parametrize(("raw", "reason"), FAILED.values(), ids=FAILED)
def test_a_jwt_that_failed_is_never_sent_on(raw, reason, make, when):
    guard = guard_of(make(introspection=asking(when=when)))
    if make is only_asked and reason in ("bad_signature", "algorithm_not_allowed"):
        if when == "always":  # nothing is verified here, and the answer alone counts
            return
        reason = "algorithm_not_allowed"
    if (
        make is only_asked
        and when == "opaque"
        and reason not in ("malformed_token", "unknown_issuer")
    ):
        reason = "algorithm_not_allowed"
    try:
        got = decided(guard, raw=raw)
    except AssertionError as asked:
        raise AssertionError("it was sent on") from asked
    assert got == (401, reason)


@pytest.mark.parametrize("raw", ["a", "a.b", "a.b.c.d", "a.b.c.d.e.f", "...", ".....", "v1.ab"])
def test_any_other_number_of_dots_is_opaque(raw):
    assert decided(guard_of(), said(), raw=raw) == (200, None)


def test_an_opaque_token_on_a_rule_whose_issuers_do_not_introspect_is_malformed():
    plain = Issuer(
        "https://b.test/", name="b", audience=None, algorithms=["HS256"], keys=Secret(SECRET)
    )
    guard = guard_of(issuer(), plain, rules=[Rule("/b/**", issuers="b")])

    assert decided(guard, path="/b/x") == (401, "malformed_token")
    assert decided(guard, said(), path="/x") == (200, None)
    # The cache does not open what the rule does not list.
    assert decided(guard, path="/b/x") == (401, "malformed_token")
    with pytest.raises(errors.MalformedToken):
        verified(guard, issuers=["b"])
    assert verified(guard, issuers=["people"]).subject == "alice"


@pytest.mark.parametrize("value", ["a,b", "ä", "a b", "a=b", "=", 'a"b', "a\tb", "{}"])
def test_what_is_no_token68_is_400_and_not_sent_on(value):
    decision, _ = run(guard_of().decide_flow(request(value)))
    assert decision.status == 400


@pytest.mark.parametrize("value", ["a b", "a\n", "ä", "a\x00", "", "=", "\ud800"])
def test_text_that_is_no_token68_is_not_sent_on_by_verify(value):
    with pytest.raises(errors.MalformedToken) as failure:
        verified(guard_of(), raw=value)
    assert failure.value.hint == "characters outside token68"


def test_a_token_that_is_too_long_is_not_sent_on():
    assert decided(guard_of(), said(), raw="a" * MAX_TOKEN) == (200, None)
    assert decided(guard_of(), raw="a" * (MAX_TOKEN + 1)) == (401, "token_too_long")


# --- when="always" ------------------------------------------------------------------------------


def always(**words):
    return guard_of(issuer(introspection=asking(when="always"), **words))


def test_a_jwt_is_verified_first_and_then_asked_about():
    guard = always()
    raw = token(scope="a", own=1)

    decision, [asked] = run(guard.decide_flow(request(raw)), said({"active": True, "scope": "b"}))

    assert parse_qs(asked.body.decode())["token"] == [raw]
    assert decision.token.claims == CLAIMS | {"scope": "b", "own": 1, "active": True}
    assert decision.token.header == {"alg": "HS256"}
    assert decided(guard, raw=raw) == (200, None)
    clock.now += 60
    assert decided(guard, INACTIVE, raw=raw) == (401, "token_inactive")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://other.test/"}, "claim_mismatch"),
        ({"sub": "bob"}, "claim_mismatch"),
        ({"sub": ""}, "claim_mismatch"),
        ({"sub": None}, "claim_type"),
        ({"iss": None}, "claim_type"),
        ({"aud": "https://other.test"}, "audience_mismatch"),
        ({"exp": NOW - 60}, "expired"),
        ({"cnf": {}}, "sender_constrained"),
        ({"active": False}, "token_inactive"),
        ({"active": "true"}, "token_inactive"),
    ],
)
def test_the_answer_may_not_contradict_the_token(changes, reason):
    guard = always()
    answer = said({"active": True} | changes)
    assert decided(guard, answer, raw=token()) == (401, reason)
    assert decided(guard, raw=token()) == (401, reason)


def test_who_the_answer_and_the_token_name_is_told_to_nobody(caplog):
    answer = said({"active": True, "sub": "bob"})
    assert decided(always(), answer, raw=token(sub="alice")) == (401, "claim_mismatch")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "jwtguard.refused"]
    assert f'found="{fingerprint("bob")}" want="{fingerprint("alice")}"' in line


def test_an_answer_may_name_what_the_token_does_not():
    assert verified(always(), said(sub="bob"), raw=token(sub=...)).subject == "bob"


@pytest.mark.parametrize("any_iss", [False, True])
def test_an_answer_about_a_nameless_issuers_jwt_may_not_name_another_issuer(any_iss):
    people = Issuer(
        ISSUER, name="people", audience=AUDIENCE, algorithms=["HS256"], keys=Secret("p" * 32)
    )
    asked = issuer(None, asking(when="always"), name="any", any_iss=any_iss)
    guard = guard_of(people, asked)
    assert decided(guard, said(), raw=token(iss=...)) == (401, "unknown_issuer")
    assert decided(guard, said(iss=...), raw=token(iss=..., jti="2")) == (200, None)


def test_no_answer_about_a_good_jwt_is_503():
    assert decided(always(), DOWN, raw=token()) == (503, "introspection_unavailable")


@pytest.mark.parametrize(("own", "answered"), [(20, 50), (50, 20), (20, ...)])
def test_an_answer_about_a_jwt_is_kept_no_longer_than_either_says(own, answered):
    guard = always(leeway=0)
    raw = token(exp=NOW + own)
    exp = answered if answered is ... else NOW + answered
    assert decided(guard, said(exp=exp), raw=raw) == (200, None)
    clock.now += 19
    assert decided(guard, raw=raw) == (200, None)
    clock.now += 1
    if own == 20:
        assert decided(guard, raw=raw) == (401, "expired")
    else:
        assert decided(guard, INACTIVE, raw=raw) == (401, "token_inactive")


def test_an_answer_does_not_make_a_token_valid_earlier():
    guard = always()
    raw = token(nbf=NOW)
    assert decided(guard, said(nbf=NOW - 1000), raw=raw) == (200, None)
    clock.now -= 20
    assert decided(guard, raw=raw) == (401, "not_yet_valid")


def test_an_opaque_token_has_no_keys_to_refresh():
    keys = RemoteKeys("https://issuer.test/keys", clock=clock)
    guard = guard_of(issuer(keys=keys, algorithms=["ES256"]))
    assert decided(guard, said()) == (200, None)
    assert decided(guard) == (200, None)
    assert guard.recall("GET", "/x", "/x", f"Bearer {OPAQUE}").token.subject == "alice"


def test_a_key_that_leaves_takes_the_answers_about_its_tokens_along():
    idp = FakeIssuer(ISSUER, audience=AUDIENCE, algorithm="ES256", clock=clock)
    guard = guard_of(idp.trusted(introspection=asking(when="always")))
    raw = idp.token()
    assert decided(guard, said({"active": True}), raw=raw) == (200, None)
    assert decided(guard, raw=raw) == (200, None)
    idp.rotate(keep=0)
    assert decided(guard, raw=raw) == (401, "key_not_found")


def test_an_opaque_token_of_an_issuer_that_is_always_asked():
    assert decided(always(), said()) == (200, None)


def test_without_keys_a_jwt_too_is_what_the_answer_says():
    guard = guard_of(only_asked(introspection=asking(when="always")))
    raw = token(key=OTHER_SECRET, role="admin")

    got = verified(guard, said(), raw=raw)

    assert got.claims == GOOD
    assert got.header == {}
    assert decided(guard, INACTIVE, raw=token(key=OTHER_SECRET, jti="2")) == (401, "token_inactive")


def test_without_keys_jwts_are_refused_where_only_opaque_tokens_are_asked_about():
    guard = guard_of(only_asked())
    assert decided(guard, raw=token()) == (401, "algorithm_not_allowed")
    assert decided(guard, said()) == (200, None)


def test_the_order_of_cost_is_key_before_introspection():
    made = asking(when="always")
    provider = "https://issuer.test/.well-known/openid-configuration"
    people = issuer(introspection=made, keys=Discovery(clock=clock), algorithms=["RS256"])
    guard = guard_of(people)
    raw = forge(header={"alg": "RS256", "kid": "a"})
    flow = guard.decide_flow(request(raw))
    assert next(flow).url == provider
    decision = ended(flow.throw, DOWN)
    assert decision.error.reason == "keys_unavailable"
    assert not made._asking


# --- rules --------------------------------------------------------------------------------------

COOKIE = {"access": "optional", "credentials": ["bearer", FromCookie("c")]}


def by_cookie(raw=OPAQUE):
    return Request("GET", "/x", headers=[("Cookie", f"c={raw}"), ("Sec-Fetch-Site", "none")])


def test_an_opaque_token_in_a_cookie():
    guard = guard_of(rules=[Rule("/x", credentials=[FromCookie("c")])])
    decision, _ = run(guard.decide_flow(by_cookie()), said())
    assert decision.token.subject == "alice"


@pytest.mark.parametrize("answer", [INACTIVE, said(exp=NOW - 60), said(iss="https://other.test/")])
def test_a_bad_opaque_cookie_is_anonymous_on_an_optional_rule(answer):
    guard = guard_of(rules=[Rule("/x", **COOKIE)])
    for answers in ([answer], []):
        decision, _ = run(guard.decide_flow(by_cookie()), *answers)
        assert isinstance(decision, Allow)
        assert decision.token is None


def test_a_cookie_that_could_not_be_checked_is_503_on_an_optional_rule():
    guard = guard_of(rules=[Rule("/x", **COOKIE)])
    decision, _ = run(guard.decide_flow(by_cookie()), DOWN)
    assert decision.status == 503


def test_a_bad_explicit_token_is_refused_on_an_optional_rule():
    guard = guard_of(rules=[Rule("/x", **COOKIE)])
    assert decided(guard, INACTIVE) == (401, "token_inactive")
    assert decided(guard, DOWN, raw="b") == (503, "introspection_unavailable")


def test_a_public_rule_asks_nobody():
    guard = guard_of(rules=[Rule("/x", access="public")])
    assert decided(guard) == (200, None)


def test_each_rule_asks_its_own_of_a_token_that_was_seen():
    rules = [Rule("/a", scopes="admin"), Rule("/r", scopes="read"), Rule("/s", any_role="boss")]
    guard = guard_of(rules=rules)
    assert decided(guard, said(scope="read"), path="/r") == (200, None)
    assert decided(guard, path="/a") == (403, "insufficient_scope")
    assert decided(guard, path="/s")[0] == 403
    assert decided(guard, path="/x") == (200, None)


# --- start-up -----------------------------------------------------------------------------------


def two(rules):
    other = only_asked("https://b.test/", name="b")
    return lambda: guard_of(issuer(), other, rules=rules)


TWO = {
    "at the rule": ([Rule("/**", issuers=["people", "b"])], ["rules[0].issuers"]),
    "at a rule that names none": ([Rule("/**")], ["rules[0].issuers"]),
    "at an optional rule": ([Rule("/**", access="optional")], ["rules[0].issuers"]),
    "at issuers": ([Rule("/b/**", issuers="b")], ["issuers"]),
    "at issuers without rules": ([], ["issuers"]),
    "at issuers where the last rule is for some methods": (
        [Rule("/**", methods=["GET"], issuers="b")],
        ["issuers"],
    ),
    "at issuers where the last rule is for one level": ([Rule("/*", issuers="b")], ["issuers"]),
    "at both": ([Rule("/x")], ["issuers", "rules[0].issuers"]),
}


@pytest.mark.parametrize(("rules", "places"), TWO.values(), ids=TWO)
def test_two_issuers_that_could_be_asked_are_a_start_up_error(rules, places):
    with pytest.raises(errors.ConfigurationError) as failure:
        two(rules)()
    assert sorted(where for where, _ in failure.value.problems) == places
    assert all("'people' and 'b' are introspected" in what for _, what in failure.value.problems)


ONE = {
    "the last rule names one": [Rule("/b/**", issuers="b"), Rule("/**", issuers="people")],
    "the last rule is public": [Rule("/b/**", issuers="b"), Rule("/**", access="public")],
    "a public rule": [Rule("/p/**", access="public"), Rule("/**", issuers="b")],
    "an optional rule that names one": [Rule("/**", access="optional", issuers="b")],
}


@pytest.mark.parametrize("rules", ONE.values(), ids=ONE)
def test_two_issuers_of_which_each_rule_names_one_are_none(rules):
    assert two(rules)()


def test_each_rule_asks_the_one_that_it_names():
    other = only_asked("https://b.test/", asking("https://b.test/i"), name="b")
    rules = [Rule("/b/**", issuers="b"), Rule("/**", issuers="people")]
    guard = guard_of(issuer(), other, rules=rules)

    _, [asked] = run(guard.decide_flow(request(path="/b/x")), said(iss="https://b.test/"))
    assert asked.url == "https://b.test/i"
    _, [asked] = run(guard.decide_flow(request()), said())
    assert asked.url == URL
    with pytest.raises(errors.MalformedToken):  # of two none may be asked
        verified(guard, raw="unseen")


BAD = {
    "endpoint in plain http": ({"endpoint": "http://issuer.test/"}, "endpoint", "is not https"),
    "endpoint a number": ({"endpoint": 5}, "endpoint", "is an https address"),
    "endpoint a path": ({"endpoint": "/introspect"}, "endpoint", "is an https address"),
    "when": ({"when": "never"}, "when", "'never' is not one of 'opaque', 'always'"),
    "timeout zero": ({"timeout": 0}, "timeout", "nobody can answer"),
    "ttl true": ({"ttl": True}, "ttl", "number of seconds, 0 or more"),
    "ttl infinite": ({"ttl": float("inf")}, "ttl", "number of seconds, 0 or more"),
    "ttl NaN": ({"ttl": float("nan")}, "ttl", "number of seconds, 0 or more"),
    "negative_ttl": ({"negative_ttl": -1}, "negative_ttl", "number of seconds, 0 or more"),
    "timeout": ({"timeout": "5"}, "timeout", "number of seconds, 0 or more"),
    "insecure_http": ({"insecure_http": "no"}, "insecure_http", "is true or false"),
    "the client's own": ({"client_id": ""}, "client_id", "is text"),
}


@pytest.mark.parametrize(("words", "place", "what"), BAD.values(), ids=BAD)
def test_a_bad_word_is_a_start_up_error(words, place, what):
    with pytest.raises(errors.ConfigurationError) as failure:
        guard_of(issuer(introspection=asking(**words)))
    [(where, said_of_it)] = failure.value.problems
    assert where == f"issuers[0].introspection.{place}"
    assert what in said_of_it


def test_all_bad_words_are_reported_at_once():
    made = asking(when="x", ttl=-1, timeout=0, client_id="")
    assert [where for where, _ in made.problems] == ["client_id", "when", "ttl", "timeout"]


def problems_of(*issuers):
    with pytest.raises(errors.ConfigurationError) as failure:
        guard_of(*issuers)
    return dict(failure.value.problems)


def test_what_is_no_introspection_is_a_start_up_error():
    found = problems_of(issuer(introspection={"endpoint": URL}))
    assert found == {"issuers[0].introspection": "is an Introspection(…); found dict"}


@pytest.mark.parametrize(
    ("iss", "what"),
    [
        (None, "discovery needs the issuer's iss value"),
        ("https://issuer.test/{tenant}/", "it is not discovered for a template"),
        ("http://issuer.test/", "is not https"),
        ("issuer", "is an https address"),
        ("https://issuer.test/?a=b", "for an iss with a query"),
    ],
)
def test_an_endpoint_that_cannot_be_discovered_is_a_start_up_error(iss, what):
    tenants = ["a"] if iss and "{" in iss else ()
    found = problems_of(issuer(iss, asking(None), tenants=tenants))
    assert what in found["issuers[0].introspection.endpoint"]


def test_an_issuer_that_is_no_text_is_reported_once():
    assert list(problems_of(issuer(5, asking(None)))) == ["issuers[0].issuer"]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("other", ["https://b.test/", None])
def test_each_issuer_has_an_introspection_of_its_own(other, order):
    made = asking()
    issuers = [issuer(introspection=made), only_asked(other, made, name="b")]
    if order < 0:
        made = asking()
        issuers = [only_asked(other, made, name="b"), issuer(introspection=made)]
    with pytest.raises(errors.ConfigurationError) as failure:
        guard_of(*issuers, rules=[Rule("/**", issuers="b")])
    [(where, what)] = failure.value.problems
    assert where == "issuers[1].introspection"
    assert "give each issuer its own" in what


def test_an_issuer_may_be_made_twice_with_one_introspection():
    made = asking()
    assert guard_of(issuer(introspection=made))
    assert guard_of(issuer(introspection=made))


@pytest.mark.parametrize(
    ("words", "place"), [({"introspection": None}, "keys"), ({"algorithms": "RS256"}, "algorithms")]
)
def test_without_keys_there_is_introspection_and_no_algorithm(words, place):
    words = {"audience": None, "algorithms": (), "keys": None, "introspection": asking()} | words
    assert list(problems_of(Issuer(ISSUER, **words))) == [f"issuers[0].{place}"]


def test_plain_http_is_warned_about(caplog):
    made = asking("http://127.0.0.1/i", insecure_http=True)
    guard = guard_of(issuer(introspection=made))
    assert "insecure_http is set for the introspection of people" in caplog.text
    _, [asked] = run(guard.decide_flow(request()), said())
    assert asked.insecure_http is True


# --- many who ask -------------------------------------------------------------------------------


def flights(flows):
    return [next(flow).flight for flow in flows]


def test_many_waiters_make_one_exchange():
    made = asking()
    guard = guard_of(issuer(introspection=made))
    flows = [guard.decide_flow(request()) for _ in range(50)]
    [wish] = {next(flow).flight for flow in flows}
    assert len(made._asking) == 1

    for flow in flows:
        assert isinstance(ended(flow.send, said()), Allow)
    assert not made._asking
    assert wish


def test_two_tokens_are_two_exchanges():
    guard = guard_of()
    flows = [guard.decide_flow(request(raw)) for raw in ("a", "b")]
    one, other = flights(flows)
    assert one != other
    for flow in flows:
        flow.close()


def test_a_leader_that_is_cancelled_fails_nobody():
    made = asking()
    guard = guard_of(issuer(introspection=made))
    leader, second, third = (guard.decide_flow(request()) for _ in range(3))
    wish = next(leader)
    assert next(second) == wish

    leader.close()
    assert len(made._asking) == 1
    assert next(third) == wish
    assert isinstance(ended(second.send, said()), Allow)
    assert isinstance(ended(third.send, said()), Allow)
    assert not made._asking


def interrupted(flow):
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())


ENDS = {
    "success": lambda flow: ended(flow.send, said()),
    "inactive": lambda flow: ended(flow.send, INACTIVE),
    "bad claims": lambda flow: ended(flow.send, said(aud="x")),
    "no answer": lambda flow: ended(flow.send, said(status=500)),
    "an outage": lambda flow: ended(flow.throw, DOWN),
    "another exception": lambda flow: ended(flow.throw, ValueError()),
    "being closed": lambda flow: flow.close(),
    "an interruption": lambda flow: interrupted(flow),
    "an answer of another type": lambda flow: ended(flow.send, None),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_nothing_is_left_of_a_question(end):
    made = asking()
    guard = guard_of(issuer(introspection=made))
    flow = guard.decide_flow(request())
    next(flow)
    assert len(made._asking) == 1
    end(flow)
    assert not made._asking


def test_nothing_is_left_of_a_flow_that_nobody_finished():
    made = asking()
    flow = guard_of(issuer(introspection=made)).decide_flow(request())
    next(flow)
    del flow
    gc.collect()
    assert not made._asking


def test_an_exception_that_is_no_fetch_error_is_503(caplog):
    guard = guard_of()
    flow = guard.decide_flow(request())
    next(flow)
    decision = ended(flow.throw, ValueError("a secret"))
    assert (decision.status, decision.error.reason) == (503, "internal_error")
    assert "a secret" not in caplog.text


def test_one_token_more_than_may_be_asked_about_at_once_is_503():
    guard = guard_of()
    flows = [guard.decide_flow(request(f"t{i}")) for i in range(MAX_EXCHANGES)]
    assert MAX_EXCHANGES == 32
    for flow in flows:
        next(flow)

    decision, _ = run(guard.decide_flow(request("one-more")))
    assert (decision.status, decision.error.reason) == (503, "introspection_busy")
    assert ("Retry-After", "1") in decision.headers
    # Who asks about one of the 32 joins.
    joined = guard.decide_flow(request("t0"))
    next(joined)
    joined.close()

    assert isinstance(ended(flows[0].send, said()), Allow)
    assert decided(guard, said(), raw="one-more") == (200, None)
    for flow in flows[1:]:
        flow.close()


def test_garbage_keeps_nobody_out_whose_token_was_good_before():
    guard = guard_of()
    for index in range(MAX_EXCHANGES + 1):
        assert decided(guard, said(exp=NOW + 3600), raw=f"good{index}") == (200, None)
    clock.now += 60
    names = [*(f"t{i}" for i in range(MAX_EXCHANGES)), *(f"good{i}" for i in range(MAX_EXCHANGES))]
    flows, _ = abandoned(guard, *names)
    assert decided(guard, raw=f"good{MAX_EXCHANGES}") == (503, "introspection_busy")
    flows.pop().close()
    assert decided(guard, raw="new") == (503, "introspection_busy")
    assert decided(guard, said(exp=NOW + 3600), raw=f"good{MAX_EXCHANGES}") == (200, None)
    for flow in flows:
        flow.close()


def test_the_limit_is_each_issuers_own():
    other = only_asked("https://b.test/", asking("https://b.test/i"), name="b")
    rules = [Rule("/b/**", issuers="b"), Rule("/**", issuers="people")]
    guard = guard_of(issuer(), other, rules=rules)
    flows = [guard.decide_flow(request(f"t{i}")) for i in range(MAX_EXCHANGES)]
    for flow in flows:
        next(flow)
    assert decided(guard, said(iss=...), path="/b/x") == (200, None)
    for flow in flows:
        flow.close()


def abandoned(guard, *names):
    """Questions that nobody comes back to, as in a child that was forked meanwhile."""
    flows = [guard.decide_flow(request(name)) for name in names]
    wishes = [next(flow) for flow in flows]
    return flows, wishes


def test_questions_that_stayed_behind_in_a_fork_are_forgotten():
    made = asking()
    guard = guard_of(issuer(introspection=made))
    flows, _ = abandoned(guard, *(f"t{i}" for i in range(MAX_EXCHANGES)))
    clock.now += 3 * made.timeout
    assert decided(guard, raw="new") == (503, "introspection_busy")
    clock.now += 0.25

    assert decided(guard, said(), raw="new") == (200, None)

    assert not made._asking
    for flow in flows:
        flow.close()


def test_a_question_that_stayed_behind_in_a_fork_is_asked_anew():
    made = asking()
    guard = guard_of(issuer(introspection=made))
    [flow], [wish] = abandoned(guard, OPAQUE)
    clock.now += 3 * made.timeout + 0.25

    decision, [asked] = run(guard.decide_flow(request()), said())

    assert decision.status == 200
    assert asked.flight != wish.flight
    assert not made._asking
    flow.close()


def test_who_leaves_late_does_not_take_the_question_of_the_next_along():
    made = asking()
    guard = guard_of(issuer(introspection=made))
    [old], _ = abandoned(guard, OPAQUE)
    clock.now += 3 * made.timeout + 0.25
    [new], _ = abandoned(guard, OPAQUE)

    assert isinstance(ended(old.send, said()), Allow)
    assert len(made._asking) == 1
    assert isinstance(ended(new.send, said()), Allow)
    assert not made._asking


# --- discovery ----------------------------------------------------------------------------------


def document(**changes):
    found = {"issuer": ISSUER, "introspection_endpoint": URL} | changes
    found = {name: one for name, one in found.items() if one is not ...}
    return Fetched(200, {}, json.dumps(found).encode())


def discovering(**words):
    made = asking(None, **words)
    return made, guard_of(issuer(introspection=made))


def test_the_endpoint_is_discovered_once():
    made, guard = discovering(timeout=3)
    assert "by discovery" in repr(made)

    decision, asked = run(guard.decide_flow(request()), document(), said())

    assert decision.status == 200
    assert [one.url for one in asked] == [DOCUMENT, URL]
    assert (asked[0].method, asked[0].body, asked[0].timeout) == ("GET", None, 3)
    assert asked[0].headers == {"Accept": "application/json"}
    assert asked[0].max_bytes == 1_048_576
    assert decided(guard, said(), raw="b") == (200, None)


def test_many_waiters_discover_once():
    made, guard = discovering()
    flows = [guard.decide_flow(request(raw)) for raw in ("a", "a", "b")]
    assert flights(flows) == [(made, 0)] * 3
    wishes = [flow.send(document()) for flow in flows]
    assert wishes[0] == wishes[1]
    assert wishes[0].flight != wishes[2].flight
    for flow in flows:
        assert isinstance(ended(flow.send, said()), Allow)


NO_DOCUMENT = {
    "an outage": DOWN,
    "404": Fetched(404, {}, b"{}"),
    "a redirect": Fetched(302, {}, b""),
    "no JSON": Fetched(200, {}, b"<html>"),
    "not UTF-8": Fetched(200, {}, b"\xff"),
    "a list": Fetched(200, {}, b"[]"),
    "another issuer": document(issuer="https://evil.test/"),
    "no issuer": document(issuer=...),
    "no endpoint": document(introspection_endpoint=...),
    "an endpoint in plain http": document(introspection_endpoint="http://issuer.test/i"),
    "an endpoint that is a number": document(introspection_endpoint=5),
    "an endpoint with a user": document(introspection_endpoint="https://a:b@issuer.test/"),
    "a relative endpoint": document(introspection_endpoint="/introspect"),
}


@pytest.mark.parametrize("answer", NO_DOCUMENT.values(), ids=NO_DOCUMENT)
def test_a_document_that_is_no_good_is_503_for_a_while(answer):
    made, guard = discovering()

    with pytest.raises(errors.IntrospectionUnavailable) as failure:
        verified(guard, answer)
    if answer is not DOWN:
        assert failure.value.hint.startswith(DOCUMENT)
    clock.now += DISCOVERY_COOLDOWN - 0.5
    with pytest.raises(errors.IntrospectionUnavailable) as failure:
        verified(guard)
    assert failure.value.hint == f"{DOCUMENT}; asked again in 1 s"
    assert failure.value.retry_after == 1
    assert not made._asking

    clock.now += 0.5
    decision, asked = run(guard.decide_flow(request()), document(), said())
    assert decision.status == 200
    assert asked[0].flight == (made, 1)


def test_a_late_waiter_of_a_failed_discovery_counts_nothing():
    made, guard = discovering()
    flows = [guard.decide_flow(request(raw)) for raw in ("a", "b")]
    assert flights(flows) == [(made, 0)] * 2
    assert ended(flows[0].throw, DOWN).status == 503
    clock.now += DISCOVERY_COOLDOWN
    assert ended(flows[1].throw, DOWN).status == 503

    assert run(guard.decide_flow(request()), document(), said())[0].status == 200


def test_a_discovery_that_is_given_up_leaves_nothing():
    made, guard = discovering()
    flow = guard.decide_flow(request())
    next(flow)
    flow.close()
    assert not made._asking
    assert run(guard.decide_flow(request()), document(), said())[0].status == 200


def test_warming_finds_the_endpoint():
    _, guard = discovering()
    run(warming(guard), document())
    assert decided(guard, said()) == (200, None)
    run(warming(guard))


def test_warming_stops_at_nothing(caplog):
    _, guard = discovering()
    run(warming(guard), DOWN)
    assert "introspection is not available: introspection_unavailable: down" in caplog.text
    caplog.clear()
    run(warming(guard))
    assert "asked again in 30 s" in caplog.text
    assert decided(guard) == (503, "introspection_unavailable")
    run(warming(guard_of()))


# --- nothing secret -----------------------------------------------------------------------------


def test_nothing_secret_shows(caplog):
    caplog.set_level(logging.DEBUG)
    body = b'{"active": "a-secret-body"'
    made = asking()
    people = issuer(introspection=made)
    guard = guard_of(people, rules=[Rule("/x", **COOKIE)])
    shown = [repr(thing) for thing in (made, people, guard, made._client, vars(made)["_client"])]
    flow = guard.decide_flow(request())
    wish = next(flow)
    shown += [repr(wish), str(wish), repr(made._asking[OPAQUE]), repr(wish.flight)]
    decision = ended(flow.send, said(body))
    shown += [repr(decision), repr(decision.error), str(decision.error), decision.body.decode()]
    for answer in (said(body), INACTIVE, said(aud="x"), DOWN):
        try:
            run(guard.verify_flow(f"{OPAQUE}-{len(shown)}"), answer)
        except errors.AuthError as error:
            shown.append("".join(traceback.format_exception(error)))
    run(guard.decide_flow(by_cookie("opaque-token-2")), said(body))
    shown.append(caplog.text)
    everything = "\n".join(shown)
    for secret in (OPAQUE, CLIENT_SECRET, "dGhlLWNsaWVudC1zZWNyZXQ", "a-secret-body"):
        assert secret not in everything
    assert "Authorization" not in everything


# --- who may be meant, and for how long ---------------------------------------------------------


def test_a_remembered_opaque_token_is_nobodys_where_two_may_be_meant():
    one = only_asked(introspection=asking(), name="one")
    two = only_asked("https://two.test/", asking("https://two.test/i"), name="two")
    rules = [Rule("/x", issuers="one"), Rule("/**", issuers="two")]
    guard = guard_of(one, two, rules=rules)
    assert decided(guard, said()) == (200, None)
    assert decided(guard) == (200, None)
    with pytest.raises(errors.MalformedToken):
        verified(guard)
    assert verified(guard, issuers="one").subject == "alice"


def test_the_endpoint_is_in_the_document_that_the_keys_are_in():
    elsewhere = "https://idp.test/tenant/openid-configuration"
    keys = Discovery(elsewhere, clock=clock)
    guard = guard_of(issuer(keys=keys, algorithms=["RS256"], introspection=asking(None)))
    flow = guard.decide_flow(request())
    assert next(flow).url == elsewhere
    assert flow.send(document()).url == URL


@pytest.mark.parametrize("status", [404, 405, 410])
def test_an_endpoint_that_has_moved_is_discovered_again(status):
    made, guard = discovering()
    assert decided(guard, document(), said(status=status))[0] == 503
    assert made.endpoint is None
    moved = document(introspection_endpoint="https://issuer.test/new")
    allow, asked = run(guard.decide_flow(request()), moved, said())
    assert isinstance(allow, Allow)
    assert [one.url for one in asked] == [DOCUMENT, "https://issuer.test/new"]


def test_an_endpoint_that_was_written_down_is_not_discovered():
    made = asking()
    assert decided(guard_of(issuer(introspection=made)), said(status=404))[0] == 503
    assert made.endpoint == URL


def test_an_answer_makes_no_signed_token_last_longer():
    guard = guard_of(issuer(introspection=asking(when="always")))
    raw = token(exp=NOW + 60)
    assert verified(guard, said(exp=NOW + 7200), raw=raw)["exp"] == NOW + 60
    raw = token(exp=NOW + 61)
    assert verified(guard, said(exp=NOW + 30), raw=raw)["exp"] == NOW + 30


def test_a_signed_token_without_an_end_takes_that_of_the_answer():
    made = issuer(introspection=asking(when="always"), required_claims=())
    raw = token(exp=...)
    assert verified(guard_of(made), said(exp=NOW + 30), raw=raw)["exp"] == NOW + 30


def test_a_stream_ends_with_its_opaque_token_though_nobody_can_be_asked():
    guard = guard_of()
    known = verified(guard, said(exp=NOW + 120))
    clock.now += 61
    assert run(guard.renew_flow(known), DOWN)[0] == 120 - 61 + 10
    clock.now = NOW + 130
    with pytest.raises(errors.TokenExpired):
        run(guard.renew_flow(known), DOWN)


def test_a_long_answer_is_asked_for_every_time():
    guard = guard_of()
    groups = [f"group-{n:04}" for n in range(1400)]
    for _ in range(2):
        assert verified(guard, said(groups=groups))["groups"] == groups


def test_a_clock_that_was_set_back_does_not_stop_discovery():
    _, guard = discovering()
    assert decided(guard, DOWN)[0] == 503
    clock.now -= 7200
    assert decided(guard, document(), said()) == (200, None)


def test_without_a_ttl_every_request_asks():
    guard = guard_of(issuer(introspection=asking(ttl=0, negative_ttl=0)))
    assert decided(guard, said()) == decided(guard, said()) == (200, None)
    assert decided(guard, INACTIVE) == decided(guard, INACTIVE)


def test_a_connection_does_not_outlive_exp_by_the_leeway_where_the_server_is_asked():
    guard = guard_of()
    known = verified(guard, said(exp=NOW + 5))
    clock.now += 6
    with pytest.raises(errors.TokenExpired):
        run(guard.renew_flow(known), said(exp=NOW + 5))
