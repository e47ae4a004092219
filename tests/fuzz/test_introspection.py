"""Whatever an introspection endpoint answers: no token without active, true and good claims."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from jwtguard import Guard, Introspection, Issuer, Rule, Secret, drive, errors
from jwtguard.core import Allow, Deny, Fetched, Request
from tests.core.forge import AUDIENCE, ISSUER, NOW, SECRET, token

from .test_invariant import claim_sets, field_text, json_values

GOOD = {"active": True, "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 60}
SIGNED = token()


def make_guard(endpoint="https://issuer.test/i", *, iss=ISSUER, **words):
    when = words.pop("when", "opaque")
    introspection = Introspection(
        endpoint, client_id="c", client_secret="s", when=when, clock=lambda: NOW
    )
    words = {"audience": AUDIENCE, "algorithms": (), "keys": None} | words
    issuer = Issuer(iss, name="people", introspection=introspection, **words)
    rules = [Rule("/maybe", access="optional", credentials=["bearer", {"cookie": "c"}])]
    return Guard([issuer], rules, clock=lambda: NOW, forward={"X-User": "sub"}, variables="json")


KEYS = {"algorithms": ["HS256"], "keys": Secret(SECRET)}


def guards():
    """New ones for each example, which would remember the answers to the one before."""
    return [
        (make_guard(), "opaque"),
        (make_guard(when="always", **KEYS), SIGNED),
        (make_guard(when="always"), SIGNED),
        (make_guard(iss="https://x/{tenant}/", tenants=lambda name: name == "a"), "opaque"),
        (make_guard(None), "opaque"),
    ]


def assert_judged_as_it_should(guard, raw, answer, document=None):
    """503, 401, or a token that the answer vouches for."""

    def fetch(wish):
        if wish.method == "GET" and document is not None:
            return document
        if isinstance(answer, Exception):
            raise answer
        return answer

    for place in ("/x", "/maybe", "cookie"):
        headers = [("authorization", f"Bearer {raw}")]
        if place == "cookie":
            headers = [("cookie", f"c={raw}"), ("sec-fetch-site", "none")]
        request = Request("GET", "/x" if place == "/x" else "/maybe", headers=headers)
        decision = drive.run(guard.decide_flow(request), fetch)
        if isinstance(decision, Deny):
            assert decision.status in (401, 503)
            assert decision.error.reason != "internal_error"
        elif decision.token is None:
            assert place == "cookie"
        else:
            assert isinstance(decision, Allow)
            assert_vouched_for(guard.issuers[0], decision.token, answer)
        assert guard.issuers[0].introspection._asking == {}


def assert_vouched_for(issuer, got, answer):
    assert answer.status == 200
    said = json.loads(answer.body)
    assert said["active"] is True
    claims = got.claims
    assert {name: claims[name] for name in said} == said
    signed = json.loads(json.dumps(got.header)) != {}
    if not signed:
        assert claims == {"iss": issuer.issuer} | said
    assert type(claims["exp"]) in (int, float)
    assert claims["exp"] + 10 > NOW
    assert claims.get("nbf", 0) <= NOW + 10
    assert claims.get("iat", 0) <= NOW + 10
    assert AUDIENCE in ([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"])
    assert "cnf" not in claims
    assert claims["iss"] == (issuer.issuer if got.tenant is None else "https://x/a/")
    if signed:
        assert claims["sub"] == "alice"


def answered(body, status=200):
    return Fetched(status, {}, body)


@given(st.binary(max_size=200) | field_text.map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(json.dumps(GOOD).encode())
@example(b'{"active": true')
@example(b"\xff")
@example(b"[" * 60_000)
def test_any_bytes_of_an_answer(body):
    for guard, raw in guards():
        assert_judged_as_it_should(guard, raw, answered(body), answered(body))


@given(claim_sets, st.booleans(), json_values | st.booleans())
@example({}, True, True)
@example({"iss": "https://x/a/"}, True, True)
@example({"sub": "bob"}, True, True)
@example({}, True, 1)
@example({"exp": 10**400}, True, True)
@example({"sub": "\ud800"}, True, True)
def test_any_claims_of_an_answer(claims, on_top_of_good, active):
    body = json.dumps((GOOD if on_top_of_good else {}) | claims | {"active": active})
    document = {"issuer": ISSUER, "introspection_endpoint": "https://issuer.test/i"}
    for guard, raw in guards():
        assert_judged_as_it_should(
            guard, raw, answered(body.encode()), answered(json.dumps(document).encode())
        )


@given(st.integers(100, 599), st.sampled_from([json.dumps(GOOD).encode(), b"", b"{}"]))
def test_any_status_of_an_answer(status, body):
    for guard, raw in guards():
        assert_judged_as_it_should(guard, raw, answered(body, status), answered(body, status))


@given(st.sampled_from([errors.FetchError, ValueError, OSError, RuntimeError]), field_text)
def test_any_failure_of_an_exchange(kind, text):
    for guard, raw in guards():
        assert_judged_as_it_should(guard, raw, kind(text))


@given(st.dictionaries(st.sampled_from(["issuer", "introspection_endpoint"]), json_values))
def test_any_discovery_document(changes):
    document = {"issuer": ISSUER, "introspection_endpoint": "https://issuer.test/i"} | changes
    assert_judged_as_it_should(
        make_guard(None),
        "opaque",
        answered(json.dumps(GOOD).encode()),
        answered(json.dumps(document).encode()),
    )


@given(field_text)
def test_any_text_as_a_token_that_could_be_opaque(raw):
    sent = []

    def fetch(wish):
        sent.append(wish)
        return answered(json.dumps(GOOD).encode())

    guard = make_guard()
    request = Request("GET", "/x", headers=[("authorization", f"Bearer {raw}")])
    decision = drive.run(guard.decide_flow(request), fetch)
    assert decision.status in (200, 400, 401)
    assert (decision.status == 200) == bool(sent)
    if sent:
        assert decision.token.raw == raw.strip(" ") or decision.token.raw in raw
        assert decision.token.raw.count(".") not in (2, 4)
