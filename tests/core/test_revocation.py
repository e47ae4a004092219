"""Tokens that ended before their time."""

import math

import pytest

from jwtguard import Introspection, Issuer, JWKSet, Secret, drive, errors
from jwtguard.core.model import Fetched
from jwtguard.core.revocation import MAX_SKEW, Entry, Revocations
from jwtguard.testing import private_key, public_jwk, sign

from .forge import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    NOW,
    OTHER_SECRET,
    make_guard,
    make_issuer,
    refused,
    rule_for,
    token,
)

REVOKED = (401, "token_revoked")
GOOD = (200, None)


def guarded(**words):
    revocations = Revocations(clock=lambda: NOW, **words)
    return revocations, make_guard(rule_for(), revocations=revocations)


FULL = {"jti": "j1", "sid": "s1", "sub": "alice", "iat": NOW - 100}

REVOKING = [
    ("jti", {"value": "j1", "issuer": "people"}, REVOKED),
    ("jti", {"value": "j1", "issuer": "jobs"}, GOOD),
    ("jti", {"value": "j2", "issuer": "people"}, GOOD),
    ("sid", {"value": "s1"}, REVOKED),
    ("sid", {"value": "s1", "issuer": "people"}, REVOKED),
    ("sid", {"value": "s1", "issuer": "jobs"}, GOOD),
    ("sid", {"value": "j1"}, GOOD),
    ("sid", {"value": "s1", "before": NOW - 99}, REVOKED),
    ("sid", {"value": "s1", "before": NOW - 100}, GOOD),
    ("sub", {"value": "alice"}, REVOKED),
    ("sub", {"value": "bob"}, GOOD),
    ("sub", {"value": "alice", "before": NOW - 99}, REVOKED),
    ("sub", {"value": "alice", "before": NOW - 100}, GOOD),
    ("sub", {"value": "alice", "until": NOW + 1}, REVOKED),
    ("sub", {"value": "alice", "until": NOW}, GOOD),
    ("kid", {"value": "k1"}, REVOKED),
    ("kid", {"value": "k1", "issuer": "people"}, REVOKED),
    ("kid", {"value": "k1", "issuer": "jobs"}, GOOD),
    ("kid", {"value": "k1", "before": NOW - 100}, GOOD),
    ("kid", {"value": "k2"}, GOOD),
]


@pytest.mark.parametrize(("kind", "words", "outcome"), REVOKING)
def test_a_token_is_refused_where_what_it_names_was_revoked(kind, words, outcome):
    revocations, guard = guarded()
    words = dict(words)
    raw = token(header={"alg": "HS256", "kid": "k1"}, **FULL)
    assert refused(guard, bearer=raw) == GOOD
    revocations.revoke(kind, words.pop("value"), **words)
    assert refused(guard, bearer=raw) == outcome, "seen before"
    assert refused(make_guard(rule_for(), revocations=revocations), bearer=raw) == outcome, "new"


def test_a_token_that_does_not_say_when_it_was_issued_was_issued_before():
    revocations, guard = guarded()
    revocations.revoke("sub", "alice", before=1)
    assert refused(guard, bearer=token()) == REVOKED
    assert refused(guard, bearer=token(iat=1)) == GOOD


def test_a_session_is_as_old_as_its_login():
    revocations = Revocations(clock=lambda: NOW)
    revocations.revoke("sub", "alice", before=NOW - 50)
    for name, outcome in (("session", REVOKED), ("people", GOOD)):
        guard = make_guard(rule_for(), name=name, revocations=revocations)
        assert refused(guard, bearer=token(iat=NOW, auth_time=NOW - 60)) == outcome
        assert refused(guard, bearer=token(iat=NOW, auth_time=NOW - 50)) == GOOD
        assert refused(guard, bearer=token(iat=NOW, auth_time="x")) == GOOD


def test_the_key_that_verified_counts_whether_the_token_names_it_or_not():
    key = private_key("ES256")
    jwk = public_jwk(key) | {"kid": "k1"}
    revocations = Revocations(clock=lambda: NOW)
    guard = make_guard(rule_for(), keys=JWKSet(jwk), algorithms=["ES256"], revocations=revocations)
    raw = sign(CLAIMS, key, "ES256")
    assert refused(guard, bearer=raw) == GOOD
    revocations.revoke("kid", "k1")
    assert refused(guard, bearer=raw) == REVOKED


def test_a_sid_that_is_no_text_cannot_be_named():
    revocations, guard = guarded()
    revocations.revoke("sid", "1")
    assert refused(guard, bearer=token(sid=1)) == GOOD


def test_what_was_revoked_twice_ends_the_tokens_of_both():
    revocations, guard = guarded()
    revocations.revoke("sub", "alice", before=NOW - 10, until=NOW + 1)
    revocations.revoke("sub", "alice", before=NOW - 99, until=NOW + 9)
    assert revocations.entries == [Entry("sub", "alice", before=NOW - 10, until=NOW + 9, at=NOW)]
    assert refused(guard, bearer=token(iat=NOW - 11)) == REVOKED


def test_what_is_taken_back_is_what_is_held_as_it_stands():
    revocations, guard = guarded()
    entry = revocations.revoke("sid", "s1")
    raw = token(**FULL)
    revocations.discard([entry._replace(until=5.0), Entry("sid", "s2"), Entry("kid", "k")])
    assert refused(guard, bearer=raw) == REVOKED
    revocations.discard([entry])
    assert refused(guard, bearer=raw) == GOOD
    assert revocations.count == 0


def test_news_are_what_was_not_known():
    revocations, _ = guarded()
    first = revocations.revoke("sid", "s1")
    version = revocations.version
    assert revocations.add([first]) == []
    assert revocations.version is version
    other = first._replace(value="s2")
    assert revocations.add([first, other]) == [other]
    assert revocations.version is not version


def test_a_flow_may_revoke():
    revocations, _ = guarded()
    entry = drive.run(revocations.revoke_flow("sid", "s1", until=NOW + 1))
    assert revocations.entries == [entry] == [Entry("sid", "s1", until=NOW + 1, at=NOW)]


def test_what_is_in_one_process_is_never_old():
    revocations, _ = guarded()
    revocations.revoke("sid", "s1")
    assert revocations.age == 0
    assert repr(revocations) == "<Revocations entries=1>"


def test_a_value_of_any_length_is_found():
    revocations, guard = guarded()
    revocations.revoke("sid", "s" * 5000)
    assert len(revocations.entries[0].value) < 100
    assert refused(guard, bearer=token(sid="s" * 5000)) == REVOKED
    assert refused(guard, bearer=token(sid="s" * 5001)) == GOOD


def test_revoked_tokens_are_told_to_the_log_and_not_to_the_client(caplog):
    revocations, guard = guarded()
    revocations.revoke("sid", "s1")
    with pytest.raises(errors.TokenRevoked) as caught:
        guard.verify(token(**FULL))
    assert (caught.value.issuer, caught.value.subject) == ("people", "alice")
    assert caught.value.found == "sid"
    assert (caught.value.status, caught.value.code) == (401, "invalid_token")


WRONG = [
    (("tid", "x"), {}, "kind: 'tid' is not one of 'jti', 'sid', 'sub', 'kid'; did you mean"),
    (("sub", ""), {}, "sub: is text"),
    (("sub", 1), {}, "sub: is text"),
    (("jti", "x"), {}, "issuer: is missing"),
    (("jti", "x"), {"issuer": "a", "before": 1}, "before: does not go with a jti"),
    (("sub", "x"), {"issuer": ""}, "issuer: is the configured name"),
    (("sub", "x"), {"issuer": 1}, "issuer: is the configured name"),
    (("sub", "x"), {"before": True}, "before: is seconds"),
    (("sub", "x"), {"before": "now"}, "before: is seconds"),
    (("sub", "x"), {"until": math.nan}, "until: is seconds"),
    (("sub", "x"), {"until": math.inf}, "until: is seconds"),
    (("sub", "x"), {"until": -1}, "until: is seconds"),
]


@pytest.mark.parametrize(("args", "words", "message"), WRONG)
def test_what_cannot_be_meant_is_not_revoked(args, words, message):
    revocations, _ = guarded()
    with pytest.raises(ValueError, match=message):
        revocations.revoke(*args, **words)
    assert revocations.entries == []


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "9", None])
def test_the_bound_is_a_number(wrong):
    with pytest.raises(errors.ConfigurationError, match=r"revocations\.max_entries: is a number"):
        guarded(max_entries=wrong)


@pytest.mark.parametrize("wrong", [[], "revoked.jsonl", Revocations])
def test_revocations_are_revocations(wrong):
    with pytest.raises(errors.ConfigurationError, match=r"revocations: is a jwtguard\.Revocations"):
        make_guard(revocations=wrong)


# --- bounded memory -----------------------------------------------------------------------------


def test_what_is_over_is_forgotten_first():
    revocations, _ = guarded(max_entries=8)
    revocations.revoke("sid", "live")
    for number in range(8):
        revocations.revoke("sid", f"over-{number}", until=NOW)
    assert [entry.value for entry in revocations.entries] == ["live"]
    assert revocations.floors == {}


def test_of_what_is_not_over_that_which_will_be_soonest_is_forgotten_and_leaves_a_floor():
    revocations, _ = guarded(max_entries=8)
    revocations.revoke("kid", "k", issuer="people")
    for number in range(8):
        revocations.revoke("sid", f"s{number}", issuer="people", until=NOW + 100 - number)
    values = [entry.value for entry in revocations.entries]
    assert values == ["k", *(f"s{number}" for number in range(6))]
    assert revocations.floors == {"people": NOW + MAX_SKEW}
    assert revocations.count == 7


@pytest.mark.parametrize(
    ("entry", "floor"),
    [
        (Entry("sub", "alice", "people", before=NOW - 50, at=NOW), NOW - 50),
        (Entry("sid", "s1", "people", at=NOW - 30 - MAX_SKEW), NOW - 30),
        (Entry("jti", "j1", "people", at=NOW - 30 - MAX_SKEW), NOW - 30),
        (Entry("kid", "k1", "people", before=NOW - 5, at=NOW), NOW - 5),
        (Entry("kid", "k1", "people", at=NOW), math.inf),
    ],
)
def test_what_is_forgotten_readmits_nothing(entry, floor):
    revocations, guard = guarded(max_entries=1)
    raw = token(header={"alg": "HS256", "kid": "k1"}, **FULL)
    revocations.add([entry])
    assert refused(guard, bearer=raw) == REVOKED
    # Which of the two goes: an entry of a higher rank is added.
    revocations.add([Entry("kid", "other", at=NOW + 1)])
    assert revocations.floors == {"people": floor}
    assert refused(guard, bearer=raw) == REVOKED
    outcome = GOOD if floor < NOW else REVOKED
    assert refused(guard, bearer=token(sub="bob", iat=NOW)) == outcome
    assert refused(guard, bearer=token(sub="bob")) == REVOKED, "nobody knows how old it is"


def test_a_floor_is_the_issuers_alone_unless_it_is_everybodys():
    revocations = Revocations(clock=lambda: NOW)
    jobs = make_issuer(issuer="https://jobs.test/", name="jobs", keys=Secret(OTHER_SECRET))
    guard = make_guard(rule_for(), issuers=[make_issuer(), jobs], revocations=revocations)
    theirs = token(iss="https://jobs.test/", key=OTHER_SECRET, iat=NOW - 10)
    revocations.raise_floor("people", NOW)
    revocations.raise_floor("people", NOW - 100)
    assert refused(guard, bearer=token(iat=NOW - 10)) == REVOKED
    assert refused(guard, bearer=theirs) == GOOD
    revocations.raise_floor(None, NOW)
    assert refused(guard, bearer=theirs) == REVOKED


def test_the_floors_are_bounded_too():
    revocations, _ = guarded(max_entries=4)
    for number in range(40):
        revocations.revoke("sub", "x", issuer=f"issuer-{number}", before=number)
    assert revocations.count <= 4
    assert len(revocations.floors) <= 5
    assert revocations.floors[None] > 0, "of all of them, the highest counts for all"


# --- where they are looked at -------------------------------------------------------------------


class Counting(Revocations):
    def __init__(self):
        super().__init__(clock=lambda: NOW)
        self.checks = 0
        self.deaf = False

    def check(self, known, now):
        self.checks += 1
        super().check(known, now)

    def look(self, now):
        if self.deaf:
            raise errors.Unavailable("revocations_stale")


def test_a_token_is_checked_once_until_something_is_revoked():
    revocations = Counting()
    guard = make_guard(rule_for(), revocations=revocations)
    raw = token()
    for _ in range(5):
        assert refused(guard, bearer=raw) == GOOD
    assert revocations.checks == 1
    revocations.revoke("sub", "bob")
    for _ in range(5):
        assert refused(guard, bearer=raw) == GOOD
    assert revocations.checks == 2


def test_what_cannot_be_said_is_503_for_tokens_seen_before_and_new_ones():
    revocations = Counting()
    guard = make_guard(rule_for(), revocations=revocations)
    raw = token()
    assert refused(guard, bearer=raw) == GOOD
    revocations.deaf, revocations.look_again = True, NOW
    assert refused(guard, bearer=raw) == (503, "revocations_stale")
    assert refused(guard, bearer=token(sub="bob")) == (503, "revocations_stale")
    assert refused(guard, bearer=token(exp=NOW - 99)) == (401, "expired")


def test_a_defect_of_somebodys_revocations_is_503():
    class Broken(Revocations):
        def look(self, now):
            raise KeyError("x")

    guard = make_guard(rule_for(), revocations=Broken())
    assert refused(guard, bearer=token()) == (503, "internal_error")


def asked(answer, **words):
    """A guard that asks about opaque tokens, and what it asked."""
    questions = []

    def fetch(question):
        questions.append(question)
        return Fetched(200, {}, answer)

    revocations = words.pop("revocations")
    idp = Issuer(
        ISSUER,
        name="people",
        audience=AUDIENCE,
        keys=words.pop("keys", None),
        algorithms=words.pop("algorithms", ()),
        introspection=Introspection(
            "https://issuer.test/introspect",
            client_id="api",
            client_secret="s",
            clock=lambda: NOW,
            **words,
        ),
        required_claims=(),
    )
    guard = make_guard(rule_for(), issuers=[idp], revocations=revocations)
    guard.exchange((fetch, None))
    return guard, questions


def test_what_is_introspected_can_be_revoked_and_is_not_asked_about_again_and_again():
    revocations = Counting()
    answer = b'{"active":true,"aud":"https://api.test","sub":"alice","iat":1}'
    guard, questions = asked(answer, revocations=revocations)
    assert refused(guard, bearer="opaque") == GOOD
    revocations.revoke("sub", "alice")
    for _ in range(3):
        assert refused(guard, bearer="opaque") == REVOKED
    assert len(questions) == 2
    revocations.deaf, revocations.look_again = True, NOW
    assert refused(guard, bearer="other") == (503, "revocations_stale")
    assert len(questions) == 2, "where nothing can be said, nobody is asked"


def test_what_the_token_itself_says_is_looked_at_before_anybody_is_asked():
    revocations = Counting()
    guard, questions = asked(
        b'{"active":true,"sid":"s1"}',
        revocations=revocations,
        keys=Secret(b"0123456789abcdef0123456789abcdef"),
        algorithms=["HS256"],
        when="always",
    )
    revocations.revoke("sid", "s1")
    assert refused(guard, bearer=token(iat=NOW)) == REVOKED, "as the answer says"
    assert len(questions) == 1
    revocations.revoke("sub", "alice")
    assert refused(guard, bearer=token(iat=NOW - 1)) == REVOKED
    assert len(questions) == 1


ANOTHER_NAME = [
    ("jti", "j1", {"jti": "j1"}, b'{"active":true,"jti":"j2"}'),
    ("sid", "s1", {"sid": "s1"}, b'{"active":true,"sid":"s2"}'),
    ("sub", "alice", {"sub": "alice"}, b'{"active":true,"iat":1800000005}'),
]


@pytest.mark.parametrize(("kind", "value", "says", "answer"), ANOTHER_NAME)
def test_what_the_token_itself_says_counts_whatever_the_answer_adds(kind, value, says, answer):
    revocations = Revocations(clock=lambda: NOW)
    guard, _ = asked(
        answer,
        revocations=revocations,
        keys=Secret(b"0123456789abcdef0123456789abcdef"),
        algorithms=["HS256"],
        when="always",
    )
    raw = token(iat=NOW - 5, **says)
    assert refused(guard, bearer=raw) == GOOD
    revocations.revoke(kind, value, issuer="people")
    assert refused(guard, bearer=raw) == REVOKED


# --- connections that stay open -----------------------------------------------------------------


def left_of(guard, known):
    return drive.run(guard.renew_flow(known), *guard.in_threads)


def test_an_open_connection_ends_with_the_revocation_of_its_token():
    revocations, guard = guarded()
    known = guard.verify(token())
    assert left_of(guard, known) == 3610
    revocations.revoke("sub", "alice")
    with pytest.raises(errors.TokenRevoked):
        left_of(guard, known)


def test_an_open_connection_ends_though_its_issuer_cannot_be_asked():
    revocations = Counting()
    guard, _ = asked(
        b'{"active":true,"aud":"https://api.test","sub":"alice","exp":1900000000}',
        revocations=revocations,
        ttl=0,
    )
    known = guard.verify("opaque")

    def down(question):
        raise errors.FetchError("down")

    guard.exchange((down, None))
    assert left_of(guard, known) > 1000
    revocations.deaf = True
    assert left_of(guard, known) > 1000, "what cannot be said ends nothing"
    revocations.look = lambda now: 1 // 0
    assert left_of(guard, known) > 1000
    del revocations.look
    revocations.deaf = False
    revocations.revoke("sub", "alice")
    with pytest.raises(errors.TokenRevoked):
        left_of(guard, known)
