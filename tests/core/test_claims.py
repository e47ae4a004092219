"""Claims and header types of a token, and the boundaries of time (details.md, Times)."""

import pytest

from jwtguard import Issuer, Secret, errors
from jwtguard.core.claims import MAX_TIME, lookup, roles_of, scopes_of

from .forge import (
    AUDIENCE,
    CLAIMS,
    HEADER,
    ISSUER,
    NOW,
    OTHER_SECRET,
    SECRET,
    make_guard,
    make_issuer,
    request,
    token,
)

# (claim, value) that is refused whether or not anybody asks for the claim: PyJWT #1171 #1186 #1191,
# python-jose #420, superset #41394
BAD_TIMES = {
    "true": True,
    "false": False,
    "null": None,
    "text": "1900000000",
    "float text": "1.9e9",
    "empty text": "",
    "list": [1900000000],
    "object": {"a": 1},
    "negative": -1,
    "slightly negative": -0.001,
    "beyond year 9999": MAX_TIME + 1,
    "float beyond year 9999": MAX_TIME + 0.5,
    "10**50": 10**50,
    "-10**50": -(10**50),
    "4,000 digits": 10**4000,
    "1e300": 1e300,
    "milliseconds far ahead": 1_900_000_000_000,
}


@pytest.mark.parametrize("value", BAD_TIMES.values(), ids=BAD_TIMES)
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_a_time_that_is_no_number_of_seconds_is_refused(claim, value):
    guard = make_guard(required_claims=[], leeway=0)
    with pytest.raises(errors.ClaimMismatch) as caught:
        guard.verify(token(**{claim: value}))
    assert (caught.value.claim, caught.value.reason) == (claim, "claim_type")


BAD_TEXTS = [None, True, 1, 1.5, ["a"], [], {"a": 1}, {}]


@pytest.mark.parametrize("value", BAD_TEXTS, ids=repr)
@pytest.mark.parametrize("claim", ["iss", "sub", "jti"])
def test_a_name_that_is_no_text_is_refused(claim, value):
    """fast-jwt CVE-2025-30144: ``iss`` as an array."""
    for guard in (make_guard(), make_guard(issuer=None, any_iss=True)):
        with pytest.raises(errors.ClaimMismatch) as caught:
            guard.verify(token(**{claim: value}))
        assert caught.value.claim == claim


BAD_AUDIENCES = [None, True, 1, {}, {AUDIENCE: 1}, [1], [AUDIENCE, None], [[AUDIENCE]], [{}]]


@pytest.mark.parametrize("value", BAD_AUDIENCES, ids=repr)
def test_an_audience_of_another_type_is_refused_even_if_nobody_asks(value):
    for guard in (make_guard(), make_guard(audience=None)):
        with pytest.raises(errors.ClaimMismatch) as caught:
            guard.verify(token(aud=value))
        assert (caught.value.claim, caught.value.reason) == ("aud", "claim_type")


GOOD_AUDIENCES = [AUDIENCE, [AUDIENCE], ["x", AUDIENCE], [AUDIENCE, AUDIENCE]]
OTHER_AUDIENCES = {
    "another": ("https://other.test", None),
    "none of several": (["a", "b"], None),
    "empty list": ([], None),
    "empty text": ("", None),
    "substring": (AUDIENCE[:-1], None),
    "superstring": (AUDIENCE + "x", None),
    "a slash more": (AUDIENCE + "/", "differs by a trailing slash"),
    "capitals": (AUDIENCE.upper(), "differs in upper and lower case"),
    "space around": (f" {AUDIENCE}", None),
    "comma list": (f"{AUDIENCE},x", None),
    "space list": (f"{AUDIENCE} x", None),
}


@pytest.mark.parametrize("value", GOOD_AUDIENCES, ids=repr)
def test_the_audience_is_among_those_of_the_token(value):
    assert make_guard().verify(token(aud=value))
    assert make_guard(audience=["z", AUDIENCE]).verify(token(aud=value))


@pytest.mark.parametrize(("value", "hint"), OTHER_AUDIENCES.values(), ids=OTHER_AUDIENCES)
def test_the_audience_is_compared_by_whole_strings(value, hint):
    with pytest.raises(errors.ClaimMismatch) as caught:
        make_guard().verify(token(aud=value))
    assert (caught.value.reason, caught.value.hint) == ("audience_mismatch", hint)
    assert make_guard(audience=None).verify(token(aud=value))


def test_an_absent_audience_is_refused_where_one_is_wanted():
    with pytest.raises(errors.MissingClaim) as caught:
        make_guard().verify(token(aud=...))
    assert caught.value.reason == "audience_missing"
    assert make_guard(audience=None).verify(token(aud=...))


# (claims, leeway, max_age, error or None) with the clock at NOW
TIMES = {
    "exp a second ahead": ({"exp": NOW + 1}, 0, None, None),
    "exp == now": ({"exp": NOW}, 0, None, "expired"),
    "exp == now, leeway 10": ({"exp": NOW}, 10, None, None),
    "now == exp + leeway": ({"exp": NOW - 10}, 10, None, "expired"),
    "now just before exp + leeway": ({"exp": NOW - 9.999}, 10, None, None),
    "exp as float, kept": ({"exp": NOW + 0.5}, 0, None, None),
    "exp as float just passed": ({"exp": NOW - 0.5}, 0, None, "expired"),
    "exp 0": ({"exp": 0}, 0, None, "expired"),
    "exp at the end of time": ({"exp": MAX_TIME}, 0, None, None),
    "exp at the end of time, leeway": ({"exp": MAX_TIME}, 1e300, None, None),
    "nbf == now": ({"nbf": NOW}, 0, None, None),
    "nbf a second ahead": ({"nbf": NOW + 1}, 0, None, "not_yet_valid"),
    "now == nbf - leeway": ({"nbf": NOW + 10}, 10, None, None),
    "now just before nbf - leeway": ({"nbf": NOW + 10.001}, 10, None, "not_yet_valid"),
    "nbf 0": ({"nbf": 0}, 0, None, None),
    "iat == now": ({"iat": NOW}, 0, None, None),
    "iat at the leeway": ({"iat": NOW + 10}, 10, None, None),
    "iat beyond the leeway": ({"iat": NOW + 10.001}, 10, None, "issued_in_future"),
    "iat long ago": ({"iat": 0}, 0, None, None),
    "max_age reached": ({"iat": NOW - 60}, 0, 60, "too_old"),
    "max_age just not reached": ({"iat": NOW - 59.9}, 0, 60, None),
    "max_age within the leeway": ({"iat": NOW - 69.9}, 10, 60, None),
    "max_age and leeway reached": ({"iat": NOW - 70}, 10, 60, "too_old"),
    "max_age without iat": ({}, 0, 60, "claim_missing"),
    "expired before too old": ({"iat": NOW - 99, "exp": NOW - 50}, 0, 60, "expired"),
    "exp before nbf": ({"exp": NOW - 1, "nbf": NOW + 1}, 0, None, "expired"),
}


@pytest.mark.parametrize(("claims", "leeway", "max_age", "reason"), TIMES.values(), ids=TIMES)
def test_times_at_their_boundaries(claims, leeway, max_age, reason):
    guard = make_guard(leeway=leeway, max_age=max_age)
    raw = token(**claims)
    for _ in range(2):  # and the same for a token seen before
        if reason is None:
            assert guard.verify(raw).claims["sub"] == "alice"
        else:
            with pytest.raises(errors.ClaimError) as caught:
                guard.verify(raw)
            assert caught.value.reason == reason


def test_a_token_seen_before_expires_when_its_time_has_come():
    now = [NOW]
    guard = make_guard(clock=lambda: now[0], leeway=10)
    raw = token(exp=NOW + 5, nbf=NOW - 5)
    assert guard.verify(raw)
    now[0] = NOW + 14.9
    assert guard.verify(raw)
    now[0] = NOW + 15
    with pytest.raises(errors.TokenExpired):
        guard.verify(raw)
    now[0] = NOW - 16  # and a clock set back
    with pytest.raises(errors.TokenNotYetValid):
        guard.verify(raw)
    now[0] = NOW
    assert guard.verify(raw)


def test_expires_at_is_utc_or_none():
    guard = make_guard(required_claims=[])
    assert guard.verify(token(exp=MAX_TIME)).expires_at.isoformat() == "9999-12-31T23:59:59+00:00"
    assert guard.verify(token(exp=NOW + 0.25)).expires_at.timestamp() == NOW + 0.25
    assert guard.verify(token(exp=...)).expires_at is None


def test_times_are_told_with_their_seconds():
    with pytest.raises(errors.TokenExpired) as caught:
        make_guard().verify(token(exp=NOW - 3600))
    assert caught.value.hint == "3600 s ago"
    with pytest.raises(errors.TokenNotYetValid) as caught:
        make_guard().verify(token(nbf=NOW + 60))
    assert "60 s ahead" in caught.value.hint


def test_exp_is_required_unless_the_issuer_says_otherwise():
    with pytest.raises(errors.MissingClaim) as caught:
        make_guard().verify(token(exp=...))
    assert caught.value.claim == "exp"
    assert make_guard(required_claims=[]).verify(token(exp=...))


@pytest.mark.parametrize("value", [..., None])
def test_a_required_claim_that_is_absent_or_null_is_missing(value):
    guard = make_guard(required_claims=["exp", "tenant"])
    with pytest.raises(errors.MissingClaim) as caught:
        guard.verify(token(tenant=value))
    assert caught.value.claim == "tenant"
    for present in (0, False, "", [], {}):
        assert guard.verify(token(tenant=present))


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, None, "x", []], ids=repr)
def test_a_token_that_wants_a_proof_is_no_bearer_token(cnf):
    """RFC 9449, RFC 8705: whoever stole it must not use it as a plain bearer token."""
    with pytest.raises(errors.ClaimMismatch) as caught:
        make_guard().verify(token(cnf=cnf))
    assert caught.value.reason == "sender_constrained"


# (configured typ, header's typ or ..., accepted)
TYPES = [
    (None, ..., True),
    (None, "JWT", True),
    (None, "jwt", True),
    (None, "at+jwt", True),
    (None, "AT+JWT", True),
    (None, "application/jwt", True),
    (None, "application/at+jwt", True),
    (None, "Application/AT+JWT", True),
    (None, "", False),
    (None, "JOSE", False),
    (None, "logout+jwt", False),
    (None, "dpop+jwt", False),
    (None, "id_token", False),
    (None, "at+jwt ", False),
    (None, "application/application/jwt", False),
    (None, "text/jwt", False),
    (None, "Bearer", False),
    ("at+jwt", "at+jwt", True),
    ("at+jwt", "application/at+jwt", True),
    ("application/at+jwt", "AT+jwt", True),
    ("at+jwt", "JWT", False),
    ("at+jwt", ..., False),
    ("JWT", "at+jwt", False),
    ("secevent+jwt", "secevent+jwt", True),
]


@pytest.mark.parametrize(("wanted", "sent", "good"), TYPES)
def test_typ_says_what_kind_of_token_it_is(wanted, sent, good):
    """RFC 8725 section 3.11, RFC 9068 section 4."""
    guard = make_guard(typ=wanted)
    raw = token(HEADER if sent is ... else HEADER | {"typ": sent})
    if good:
        assert guard.verify(raw)
    else:
        with pytest.raises(errors.ClaimMismatch) as caught:
            guard.verify(raw)
        assert caught.value.reason == "typ_mismatch"


# --- issuers ------------------------------------------------------------------------------------

OTHER_ISSUERS = {
    "absent": (..., "no iss"),
    "empty": ("", None),
    "another": ("https://evil.test/", None),
    "substring (PyJWT CVE-2024-53861)": (ISSUER[:-2], None),
    "one character (PyJWT CVE-2024-53861)": ("h", None),
    "superstring": (ISSUER + "x", None),
    "without its slash": (ISSUER.rstrip("/"), "trailing slash"),
    "http": (ISSUER.replace("https", "http"), "scheme"),
    "capitals": (ISSUER.upper(), None),
    "space around": (f" {ISSUER} ", None),
    "the issuer's name": ("people", None),
}


@pytest.mark.parametrize(("value", "hint"), OTHER_ISSUERS.values(), ids=OTHER_ISSUERS)
def test_iss_is_compared_exactly(value, hint):
    with pytest.raises(errors.UnknownIssuer) as caught:
        make_guard().verify(token(iss=value))
    assert (hint or "") in (caught.value.hint or "")


def test_an_issuer_without_iss_takes_tokens_without_iss():
    guard = make_guard(issuer=None)
    assert guard.verify(token(iss=...)).issuer == "people"
    for iss in (ISSUER, ""):
        with pytest.raises(errors.UnknownIssuer):
            guard.verify(token(iss=iss))


def test_any_iss_takes_unconfigured_ones_too():
    nameless = make_issuer(issuer=None, name="jobs", any_iss=True, keys=Secret(OTHER_SECRET))
    guard = make_guard(issuers=[make_issuer(), nameless])
    assert guard.verify(token(iss=..., key=OTHER_SECRET)).issuer == "jobs"
    assert guard.verify(token(iss="x", key=OTHER_SECRET)).issuer == "jobs"
    assert guard.verify(token()).issuer == "people"
    with pytest.raises(errors.BadSignature):  # a configured issuer's is judged by that one alone
        guard.verify(token(key=OTHER_SECRET))
    with pytest.raises(errors.BadSignature):
        guard.verify(token(iss=...))


def test_a_token_of_one_issuer_is_never_tried_with_anothers_keys():
    other = make_issuer(issuer="https://other.test/", name="other", keys=Secret(OTHER_SECRET))
    guard = make_guard(issuers=[make_issuer(), other])
    assert guard.verify(token()).identity == ("people", "alice")
    assert guard.verify(token(iss="https://other.test/", key=OTHER_SECRET)).issuer == "other"
    with pytest.raises(errors.BadSignature):
        guard.verify(token(key=OTHER_SECRET))
    with pytest.raises(errors.UnknownIssuer) as caught:
        guard.verify(token(), issuers="other")
    assert caught.value.reason == "issuer_not_for_rule"
    assert guard.verify(token(), issuers=["people", "other"])
    with pytest.raises(errors.ConfigurationError, match="'nobody' is none of"):
        guard.verify(token(), issuers=["people", "nobody"])


def test_of_several_issuers_without_iss_none_may_verify_unless_named():
    a = make_issuer(issuer=None, name="a")
    b = make_issuer(issuer=None, name="b", keys=Secret(OTHER_SECRET))
    guard = make_guard(issuers=[a, b])
    raw = token(iss=...)
    with pytest.raises(errors.UnknownIssuer):
        guard.verify(raw)
    assert guard.verify(raw, issuers="a").issuer == "a"
    for _ in range(2):
        with pytest.raises(errors.BadSignature):
            guard.verify(raw, issuers=["b"])
    with pytest.raises(errors.UnknownIssuer):
        guard.verify(raw, issuers=["a", "b"])
    assert guard.verify(raw, issuers="a").issuer == "a"


TEMPLATE = "https://login.test/{tenant}/v2.0"


def test_a_template_serves_its_tenants_only():
    guard = make_guard(issuer=TEMPLATE, tenants=["a", "b"])
    assert guard.verify(token(iss="https://login.test/b/v2.0")).tenant == "b"
    for tenant in ("c", "", "{tenant}", "a/../b", "A", "ab"):
        with pytest.raises(errors.UnknownIssuer):
            guard.verify(token(iss=f"https://login.test/{tenant}/v2.0"))
    assert make_guard().verify(token()).tenant is None


def test_the_name_defaults_to_the_issuer_text():
    words = {"audience": None, "algorithms": "HS256", "keys": Secret(SECRET)}
    assert Issuer(ISSUER, **words).name == ISSUER
    assert Issuer(ISSUER, name="x", **words).name == "x"
    assert Issuer(**words).name
    assert ISSUER in repr(Issuer(ISSUER, **words))


def test_an_error_names_issuer_and_subject_once_they_are_known():
    with pytest.raises(errors.TokenExpired) as caught:
        make_guard().verify(token(exp=1))
    assert (caught.value.issuer, caught.value.subject) == ("people", "alice")
    with pytest.raises(errors.UnknownIssuer) as caught:
        make_guard().verify(token(iss="x"))
    assert (caught.value.issuer, caught.value.subject) == (None, None)


# --- reading claims -----------------------------------------------------------------------------

POINTED = {
    "a": {"b": [10, {"c": 0}], "": 1, "~": 2, "/": 3, "0": 4},
    "/a/b": "plain",
    "x.y": 5,
    "n": None,
    "": 6,
}
# RFC 6901
POINTERS = [
    ("a", POINTED["a"]),
    ("x.y", 5),
    ("missing", "absent"),
    ("n", None),
    ("/a/b/0", 10),
    ("/a/b/1/c", 0),
    ("/a/b/2", "absent"),
    ("/a/b/-", "absent"),
    ("/a/b/-1", "absent"),
    ("/a/b/01", "absent"),
    ("/a/b/+1", "absent"),
    ("/a/b/1_0", "absent"),
    ("/a/b/\u0661", "absent"),
    ("/a/b/99999999999999999999", "absent"),
    ("/a/b/", "absent"),
    ("/a/b", POINTED["a"]["b"]),
    ("/a/", 1),
    ("/a/~0", 2),
    ("/a/~1", 3),
    ("/a/0", 4),
    ("/a/b/0/x", "absent"),
    ("/n/x", "absent"),
    ("/", 6),
    ("/x.y", 5),
]


@pytest.mark.parametrize(("pointer", "value"), POINTERS)
def test_claims_are_found_by_name_or_json_pointer(pointer, value):
    assert lookup(POINTED, pointer, "absent") == value


SCOPES = [
    ({}, set()),
    ({"scope": "a b"}, {"a", "b"}),
    ({"scope": "  a   b "}, {"a", "b"}),
    ({"scope": ""}, set()),
    ({"scope": ["a", "b c", 5, None]}, {"a", "b c"}),
    ({"scp": "a b"}, {"a", "b"}),
    ({"scp": ["a"]}, {"a"}),
    ({"scope": "a", "scp": "b"}, {"a"}),
    ({"scope": 5}, set()),
    ({"scope": {"a": 1}}, set()),
    ({"scope": True}, set()),
    ({"scope": "a,b"}, {"a,b"}),
    ({"scope": "a\u00a0b"}, {"a\u00a0b"}),
    ({"scope": "a\tb"}, {"a\tb"}),
    ({"scope": "a\u2003admin"}, {"a\u2003admin"}),
]


@pytest.mark.parametrize(("claims", "scopes"), SCOPES)
def test_scopes_are_split_on_spaces_and_nothing_else(claims, scopes):
    assert scopes_of(claims) == scopes


ROLES = [
    ({}, set()),
    ({"roles": ["a", "b"]}, {"a", "b"}),
    ({"role": "a"}, {"a"}),
    ({"role": "a b,c"}, {"a b,c"}),
    ({"roles": ["a"], "role": "b", "realm_access": {"roles": ["c"]}}, {"a", "b", "c"}),
    ({"roles": [1, True, None, {"a": 1}, ["b"], "c"]}, {"c"}),
    ({"roles": {"admin": True}}, set()),
    ({"roles": 5}, set()),
    ({"roles": True}, set()),
    ({"realm_access": "admin"}, set()),
    ({"realm_access": {"roles": {"admin": 1}}}, set()),
]


@pytest.mark.parametrize(("claims", "roles"), ROLES)
def test_roles_are_the_strings_of_the_named_claims_united(claims, roles):
    """oauth2-proxy CVE-2026-40574: text is one role and never split."""
    assert make_guard().verify(token(**claims)).roles == roles
    assert roles_of(claims, ["roles", "role", "/realm_access/roles"]) == roles


def test_an_issuer_may_name_its_own_role_claims():
    guard = make_guard(roles=["https://x.test/roles", "/app/0/r"])
    claims = {"https://x.test/roles": ["a"], "app": [{"r": "b"}], "roles": ["c"]}
    assert guard.verify(token(**claims)).roles == {"a", "b"}


# --- the verified token -------------------------------------------------------------------------


def test_a_verified_token_tells_what_it_is():
    raw = token(HEADER | {"kid": "k"}, scope="a b")
    seen = make_guard(keys=[Secret(SECRET)]).verify(raw)
    assert seen["sub"] == seen.subject == seen.get("sub") == "alice"
    assert "sub" in seen
    assert "x" not in seen
    assert seen.get("x", 5) == 5
    assert seen.raw == raw
    assert seen.header == HEADER | {"kid": "k"}
    assert seen.scopes == {"a", "b"}
    assert seen.claims == CLAIMS | {"scope": "a b"}
    for part in raw.split("."):
        assert part not in repr(seen)
    assert make_guard().verify(token(sub=...)).subject is None


def test_nothing_but_verification_makes_a_verified_token():
    import copy
    import pickle

    from jwtguard import VerifiedToken

    with pytest.raises(TypeError, match=r"guard\.verify"):
        VerifiedToken({"sub": "root"})
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(make_guard().verify(token()))
    verified = make_guard().verify(token())
    for copied in (copy.copy(verified), copy.deepcopy(verified)):
        assert (copied.claims, copied.identity) == (verified.claims, verified.identity)
        assert copied.claims is not verified.claims


def test_changing_the_claims_changes_nothing_for_the_next_request():
    guard = make_guard(variables="json", forward={"X-List": "list"})
    raw = token(list=[1, {"a": [2]}], object={"k": {"deep": [1]}})
    for _ in range(3):
        allow = guard.decide(request(bearer=raw))
        seen = allow.token
        assert seen.claims["list"] == [1, {"a": [2]}]
        assert seen.claims["object"] == {"k": {"deep": [1]}}
        assert dict(allow.set)["X-List"] == '[1,{"a":[2]}]'
        seen.claims["sub"] = "root"
        seen.claims["list"][1]["a"].append(3)
        seen.claims["object"]["k"]["deep"] += [2]
        seen.claims["roles"] = ["admin"]
        seen.header["alg"] = "none"
        assert (seen.subject, seen.roles) == ("alice", frozenset())
