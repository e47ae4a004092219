"""Whatever arrives at the paths of a login, nobody is signed in, sent away or told off wrongly."""

import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwtguard.core import Deny

from .people import ISS, Browser, Provider, back, browser, site
from .test_signing_out import logout_token

# The log is watched over the whole of a test (conftest), which hypothesis would rather not have.
PROFILE = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

PROVIDER = Provider()
GUARD = site(PROVIDER)
ALICE = Browser(GUARD, PROVIDER)
LEFT = ALICE.get("/auth/login")
NAME, SEALED = next(iter(ALICE.cookies.items()))
STATE = LEFT.asked["state"]
SESSION = "__Host-jwtguard-session"

text = st.one_of(
    st.text(st.characters(max_codepoint=255)),
    st.text(),
    st.text(st.characters(categories=["Cs", "Lu", "Cc"])),
    st.text(string.ascii_letters + "%&=;+/\\\0\r\n-_.~\"'<> "),
)
names = st.one_of(
    st.sampled_from(["state", "code", "iss", "error", "error_description", "next", "x"]), text
)
values = st.one_of(
    text,
    st.sampled_from([STATE, STATE[:-1], ISS, "x", "the-code-0", "access_denied", "%ff", "%00"]),
)
queries = st.one_of(
    text, st.lists(st.builds("{}={}".format, names, values), max_size=8).map("&".join)
)
cookie_names = st.one_of(
    st.sampled_from([NAME, NAME[:-1], NAME + "A", SESSION, f"{SESSION}-1", "__Host-jwtguard-"]),
    st.builds("__Host-jwtguard-login-{}".format, text),
    text,
)
cookie_values = st.one_of(text, st.sampled_from([SEALED, SEALED[:-4], "a.b.c", "e30.e30.AA"]))
cookies = st.one_of(
    text,
    st.lists(st.builds("{}={}".format, cookie_names, cookie_values), max_size=6).map("; ".join),
)
sites = st.sampled_from([None, "none", "same-origin", "cross-site", "x"])
accepts = st.sampled_from(
    [None, "text/html", "application/json", "*/*", "application/problem+json"]
)
mounts = st.one_of(st.just(""), text)


def told(method, path, query="", field=None, body=b"", mount="", **headers):
    """What is answered: well-formed, and never a defect of ours."""
    alice = Browser(GUARD, PROVIDER)
    given = {"Cookie": field, **headers}
    seen = alice.send(method, f"{path}?{query}", body=body, headers=given, mount=mount)
    assert isinstance(seen.decision, Deny)
    for name, value in seen.headers:
        assert name.isascii()
        assert value.isascii()
        assert value.isprintable(), (name, value)
    assert seen.header("Cache-Control") == "no-store"
    assert seen.decision.error is None or seen.decision.error.reason != "internal_error"
    assert not [one for one in seen.cookies if "session" in one and "Max-Age=0" not in one]
    return seen


@PROFILE
@given(queries, cookies, accepts, mounts)
def test_no_query_and_no_cookie_sign_anybody_in(query, field, accept, mount):
    seen = told("GET", "/auth/callback", query, field, mount=mount, Accept=accept)

    # A code that somebody makes up is none, also where state and cookie are good.
    assert seen.status == 400
    assert seen.location is None


@PROFILE
@given(queries, cookies, accepts, mounts)
def test_who_begins_is_sent_to_the_provider_whatever_is_asked(query, field, accept, mount):
    seen = told("GET", "/auth/login", query, field, mount=mount, Accept=accept)

    assert seen.status == 302
    assert seen.location.startswith(f"{ISS}authorization?response_type=code&client_id=app&")
    assert seen.asked["redirect_uri"].startswith("https://app.example.com/")
    assert seen.asked["redirect_uri"].endswith("/auth/callback")
    assert max(map(len, seen.cookies)) < 4096


@PROFILE
@given(cookies, sites, st.sampled_from(["GET", "POST"]), mounts)
def test_signing_out_leads_to_the_provider_or_nowhere(field, said, method, mount):
    headers = {"Sec-Fetch-Site": said}
    seen = told(method, "/auth/logout", "", field, mount=mount, **headers)

    assert seen.status in (200, 302, 303, 403)
    if seen.location is not None:
        assert seen.location.startswith(f"{ISS}end?x=1&client_id=app&")


@PROFILE
@given(
    st.one_of(st.binary(), st.builds(lambda t: f"logout_token={t}".encode("utf-8", "ignore"), text))
)
def test_no_body_ends_anything(body):
    seen = told("POST", "/auth/backchannel-logout", body=body)

    assert (seen.status, seen.body) == (400, b'{"error": "invalid_request"}')
    assert GUARD.revocations.count == 0


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


@PROFILE
@given(st.sampled_from(["events", "sid", "sub", "jti", "iat", "exp", "aud", "nonce"]), json_values)
def test_no_claim_of_a_logout_token_is_a_defect(name, value):
    provider = Provider()
    alice = browser(provider)
    body = f"logout_token={logout_token(provider, **{name: value})}".encode()

    seen = alice.send("POST", "/auth/backchannel-logout", body=body)

    assert seen.status in (200, 400)


@PROFILE
@given(
    st.sampled_from(["sub", "nonce", "aud", "azp", "at_hash", "roles", "email", "sid", "iat"]),
    json_values,
)
def test_no_claim_of_an_id_token_is_a_defect(name, value):
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")

    seen = alice.get(back(left, provider, **{name: value}))

    assert seen.status in (302, 400)
    if seen.status == 302:
        assert alice.get("/page").token.subject


@PROFILE
@given(st.sampled_from(["token", "userinfo", "par"]), st.integers(200, 599), st.binary(max_size=60))
def test_no_answer_of_a_provider_is_a_defect(name, status, body):
    provider = Provider()
    if name == "par":
        provider.says["pushed_authorization_request_endpoint"] = f"{ISS}par"
    alice = browser(provider, login={"userinfo": True})
    provider.raw[name], provider.status[name] = body, status
    left = alice.get("/auth/login")
    seen = left if left.status != 302 else alice.get(back(left, provider))

    assert seen.status in (400, 503)
    assert not any("session" in one for one in seen.cookies)


DOCUMENT = ["issuer", "authorization_endpoint", "token_endpoint", "end_session_endpoint"]
DOCUMENT += ["code_challenge_methods_supported", "userinfo_endpoint", "jwks_uri"]


@PROFILE
@given(st.dictionaries(st.sampled_from(DOCUMENT), json_values, max_size=3))
def test_no_document_is_a_defect(said):
    provider = Provider()
    provider.says = said
    alice = browser(provider, issuers=[])
    sent = alice.get("/auth/login")

    assert sent.status in (302, 503)
    if sent.status == 302:
        assert alice.get(back(sent, provider)).status in (302, 400, 503)
        assert alice.get("/auth/logout").status == 302
