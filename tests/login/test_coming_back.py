"""Coming back from the provider: what makes a session, and all that does not."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256, sha384, sha512, shake_256

import pytest

from jwtguard import Introspection, Issuer, JWKSet
from jwtguard.errors import MissingClaim
from jwtguard.login.signing_in import _check_hash
from jwtguard.testing import Clock, FakeIssuer, private_key, public_jwk, sign

from .people import (
    ACCESS_TOKEN,
    ISS,
    JSON,
    ORIGIN,
    UNTOLD,
    Browser,
    Provider,
    back,
    browser,
    callback,
    site,
)

PAGE = {"Accept": "text/html"}


def refused(seen, status, code, cleared=1):
    """It came to nothing: no session, and the cookie of the sign-in is taken away."""
    assert (seen.status, seen.json()["code"], seen.location) == (status, code, None)
    assert seen.json()["error"] == code
    assert seen.json().keys() == {"error", "message", "code", "ref"}
    assert not any("session" in cookie for cookie in seen.cookies)
    gone = [c for c in seen.cookies if re.match(r"__Host-jwtguard-login-\S+=; Max-Age=0; ", c)]
    assert len(gone) == len(seen.cookies) == cleared
    assert seen.header("Cache-Control") == "no-store"
    assert seen.header("WWW-Authenticate") is None


def come(alice, address):
    return alice.get(address, headers=JSON)


# --- the state ------------------------------------------------------------------------------------


def test_the_way_back_ends_on_the_page_with_a_session():
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login?next=/page?x=1")

    done = alice.get(back(left, provider))

    assert (done.status, done.location, done.body) == (302, "/page?x=1", b"")
    assert (done.header("Cache-Control"), done.header("Referrer-Policy")) == (
        "no-store",
        "no-referrer",
    )
    gone, session = done.cookies
    assert gone.endswith("=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure")
    assert re.fullmatch(
        r"__Host-jwtguard-session=[\w.-]+; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax; Secure",
        session,
    )
    assert alice.cookies.keys() == {"__Host-jwtguard-session"}


STATES = {
    "missing": lambda state: None,
    "empty": lambda state: "",
    "malformed": lambda state: "x",
    "a line": lambda state: f"{state}\r\nSet-Cookie: a=b",
    "longer": lambda state: f"{state}A",
    "shorter": lambda state: state[:-1],
    "of the same cookie": lambda state: state[:-4] + "AAAA",
    "of another cookie": lambda state: state[:9] + "A" * 32,
    "another time": lambda state: f"{int(state[:8], 16) - 1:08x}{state[8:]}",
    "upper case": lambda state: state.upper(),
    "7 KB": lambda state: state + "a" * 7000,
    "a path": lambda state: "/../" + state,
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_a_state_that_is_not_this_browsers_ends_it(change):
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")
    state = change(left.asked["state"])

    seen = come(alice, callback(left, code=provider.code(left.asked), state=state))

    refused(seen, 400, "login_state", cleared=0)
    assert not any(fetch.url == f"{ISS}token" for fetch in provider.asked)
    # It is still this browser's to finish.
    assert alice.get(back(left, provider)).status == 302


def test_an_address_that_was_stolen_is_worth_nothing_in_another_browser():
    provider = Provider()
    guard = site(provider)
    alice, mallory = Browser(guard, provider), Browser(guard, provider)
    address = back(alice.get("/auth/login"), provider)

    refused(come(mallory, address), 400, "login_state", cleared=0)
    mallory.get("/auth/login")  # with one of their own, too
    refused(come(mallory, address), 400, "login_state", cleared=0)

    assert alice.get(address).status == 302


def test_nobody_is_signed_in_as_somebody_else_by_a_link():
    """Login CSRF: the answer to a sign-in that the attacker began."""
    provider = Provider()
    guard = site(provider)
    mallory, alice = Browser(guard, provider), Browser(guard, provider)
    alice.get("/auth/login")

    seen = come(alice, back(mallory.get("/auth/login"), provider, sub="mallory"))

    refused(seen, 400, "login_state", cleared=0)


def test_an_answer_is_taken_once():
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")
    kept = dict(alice.cookies)
    address = back(left, provider)
    assert alice.get(address).status == 302

    refused(come(alice, address), 400, "login_state", cleared=0)  # reload, or "back"
    alice.cookies |= kept  # whoever kept a copy of the cookie has a code that was taken
    refused(come(alice, address), 400, "token_exchange_failed")


@pytest.mark.parametrize(("after", "status"), [(0, 302), (599, 302), (600, 400), (99_999, 400)])
def test_a_sign_in_takes_ten_minutes_at_most(after, status):
    provider = Provider(Clock(1_800_000_000.9))
    alice = browser(provider)
    left = alice.get("/auth/login")
    provider.clock.advance(after)

    assert come(alice, back(left, provider)).status == status


def test_the_clocks_of_two_processes_may_differ():
    provider = Provider()
    behind = Clock(provider.clock() - 5)
    alice = browser(provider)
    left = alice.get("/auth/login")
    alice.guard = site(provider, clock=behind)

    assert come(alice, back(left, provider)).status == 302


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_tabs_finish_in_any_order(order):
    provider = Provider()
    alice = browser(provider)
    left = [alice.get("/auth/login?next=/one"), alice.get("/auth/login?next=/two")]

    for tab in order:
        assert alice.get(back(left[tab], provider)).location == ("/one", "/two")[tab]
    assert alice.cookies.keys() == {"__Host-jwtguard-session"}


def test_the_answer_of_one_tab_does_not_fit_the_other():
    provider = Provider()
    alice = browser(provider)
    one, two = alice.get("/auth/login"), alice.get("/auth/login")

    # The code of one with the state of the other: verifier and nonce are the other's.
    refused(come(alice, callback(two, code=provider.code(one.asked))), 400, "token_exchange_failed")


@pytest.mark.parametrize("changed", ["", "x", "AAAA", "A" * 200, "%20", "\xe4", "a.b", "=", '"x"'])
def test_a_cookie_that_we_did_not_seal_begins_nothing(changed):
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")
    (name,) = alice.cookies

    for value in (changed, alice.cookies[name][:-1] + changed, alice.cookies[name] + changed):
        if value != alice.cookies[name]:
            kept, alice.cookies[name] = alice.cookies[name], value
            refused(come(alice, back(left, provider)), 400, "login_state", cleared=0)
            alice.cookies[name] = kept


def test_the_cookie_of_one_sign_in_does_not_open_another():
    provider = Provider()
    alice = browser(provider)
    one, two = alice.get("/auth/login"), alice.get("/auth/login")
    first, second = alice.cookies
    alice.cookies[first], alice.cookies[second] = alice.cookies[second], alice.cookies[first]

    refused(come(alice, back(one, provider)), 400, "login_state", cleared=0)
    refused(come(alice, back(two, provider)), 400, "login_state", cleared=0)


def test_the_same_cookie_twice_is_none():
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")
    (pair,) = alice.cookies.items()
    alice.cookies = {}

    field = "; ".join(["=".join(pair)] * 2)
    seen = alice.get(back(left, provider), headers={**JSON, "Cookie": field})

    refused(seen, 400, "login_state", cleared=0)


def test_secrets_rotate_while_people_sign_in():
    provider = Provider()
    old, new = "the old secret of this service!!", "the new secret of this service!!"
    alice = browser(provider, login={"secret": old})
    one, two = alice.get("/auth/login"), alice.get("/auth/login")

    alice.guard = site(provider, login={"secret": [new, old]})
    assert alice.get(back(one, provider)).status == 302
    alice.guard = site(provider, login={"secret": new})
    refused(come(alice, back(two, provider)), 400, "login_state", cleared=0)


# --- parameters -----------------------------------------------------------------------------------

MANY = "&".join(f"p{i}=x" for i in range(50))
QUERIES = {
    "nothing": ("", 400, "missing_code"),
    "an error that nobody asked for": ("error=access_denied", 400, "oauth2_error"),
    "fifty parameters": (MANY, 400, "invalid_request"),
    "two states": ("state=a&state=a", 400, "invalid_request"),
    "two codes": ("state=a&code=a&code=b", 400, "invalid_request"),
    "an empty one twice": ("code&code=", 400, "invalid_request"),
    "no UTF-8": ("state=%ff", 400, "invalid_request"),
    "overlong UTF-8": ("state=%c0%80", 400, "invalid_request"),
    "surrogates": ("state=%ed%a0%80", 400, "invalid_request"),
    "no UTF-8 in a name": ("%ff=a", 400, "invalid_request"),
    "raw bytes": ("state=\xff", 400, "invalid_request"),
    "9 KB": ("state=" + "a" * 9000, 400, "invalid_request"),
    "7 KB": ("state=" + "a" * 7000, 400, "missing_code"),
    "NUL": ("state=%00", 400, "missing_code"),
    "lines": ("state=%0d%0aSet-Cookie:a=b", 400, "missing_code"),
    "separators": ("&&&&=&;;", 400, "missing_code"),
    "broken escapes": ("state=%&code=%zz", 400, "login_state"),
}


@pytest.mark.parametrize(("query", "status", "code"), QUERIES.values(), ids=QUERIES)
def test_a_query_that_means_nothing_is_refused(query, status, code):
    seen = come(browser(Provider()), f"/auth/callback?{query}")

    refused(seen, status, code, cleared=0)


SCRIPT = "<script>alert(1)</script>\"'&\r\nX: y"
ANSWERS = {
    "refused consent": ({"error": "access_denied"}, "oauth2_error"),
    "an error that is a script": (
        {"error": SCRIPT, "error_description": SCRIPT, "error_uri": f"javascript:{SCRIPT}"},
        "oauth2_error",
    ),
    "an error of 7 KB": ({"error": "e" * 7000}, "oauth2_error"),
    "an empty error": ({"error": ""}, "oauth2_error"),
    "an error beside a code": ({"error": "shown", "code": "SplxlOBeZQ"}, "oauth2_error"),
    "neither": ({}, "missing_code"),
    "an empty code": ({"code": ""}, "missing_code"),
    "a code nobody gave": ({"code": "unknown"}, "token_exchange_failed"),
    "a code that is a script": ({"code": SCRIPT}, "token_exchange_failed"),
    "a code of 7 KB": ({"code": "c" * 7000}, "token_exchange_failed"),
    "the iss of another": ({"code": "SplxlOBeZQ", "iss": "https://evil.example/"}, "login_state"),
    "the iss without its slash": ({"code": "SplxlOBeZQ", "iss": ISS[:-1]}, "login_state"),
    "an empty iss": ({"code": "SplxlOBeZQ", "iss": ""}, "login_state"),
    "an error of another's": ({"error": "shown", "iss": "https://evil.example/"}, "login_state"),
}


@pytest.mark.parametrize(("answer", "code"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_none_ends_the_sign_in(answer, code, logged):
    provider = Provider()
    for accept in (JSON, PAGE, {"Accept": "application/problem+json"}):
        alice = browser(provider)
        left = alice.get("/auth/login?next=/secret-page")

        seen = alice.get(callback(left, **answer), headers=accept)

        assert (seen.status, alice.cookies) == (400, {})
        assert len(seen.cookies) == 1
        told = repr(seen.headers) + seen.body.decode()
        for value in answer.values():
            assert not value or value[:9] not in told
        assert "<script" not in told
        if accept is PAGE:
            assert '<a href="/auth/login?next=%2Fsecret-page">Sign in again</a>' in told
        else:
            assert seen.json()["code"] == code
    assert not any("\n" in line.partition("{")[0] for line in logged)


ISS_PARAMETER = {
    "promised and there": (True, ISS, 302),
    "promised and missing": (True, None, 400),
    "promised and another's": (True, "https://evil.example/", 400),
    "not promised and there": (False, ISS, 302),
    "not promised and missing": (False, None, 302),
    "not promised and another's": (False, "https://evil.example/", 400),
    "promised by a word": ("true", None, 302),
}


@pytest.mark.parametrize(("promised", "iss", "status"), ISS_PARAMETER.values(), ids=ISS_PARAMETER)
def test_the_answer_is_of_the_provider_that_was_asked(promised, iss, status):
    provider = Provider()
    provider.says["authorization_response_iss_parameter_supported"] = promised
    alice = browser(provider)
    left = alice.get("/auth/login")

    seen = come(alice, callback(left, code=provider.code(left.asked), iss=iss))

    assert seen.status == status
    if status == 400:
        refused(seen, 400, "login_state")
        assert not any(fetch.url == f"{ISS}token" for fetch in provider.asked)


def test_a_page_of_an_origin_that_may_read_refusals_loses_the_cookie_too():
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")

    seen = alice.get(callback(left, error="x"), headers={**JSON, "Origin": ORIGIN})

    refused(seen, 400, "oauth2_error")
    assert seen.header("Access-Control-Allow-Origin") == ORIGIN


def test_a_page_under_a_prefix_leads_back_there():
    seen = browser(Provider()).get("/auth/callback", mount='/a"><b')

    assert (seen.status, b'href="/a%22%3E%3Cb/auth/login"' in seen.body) == (400, True)


# --- the token endpoint ---------------------------------------------------------------------------

TOKENS = {
    "500": (500, b"", 503, "token_exchange_failed"),
    "429": (429, b"", 503, "token_exchange_failed"),
    "400 without a word": (400, b"<b>no</b>", 400, "token_exchange_failed"),
    "401": (401, b'{"error": "invalid_client"}', 400, "token_exchange_failed"),
    "a redirect": (302, b"", 400, "token_exchange_failed"),
    "nothing": (200, b"", 503, "token_exchange_failed"),
    "no JSON": (200, b"access_token=a&id_token=b", 503, "token_exchange_failed"),
    "a list": (200, b"[]", 503, "token_exchange_failed"),
    "deep": (200, b'{"a":' * 99 + b"1" + b"}" * 99, 503, "token_exchange_failed"),
    "two members of a name": (200, b'{"id_token": 1, "id_token": 2}', 503, "token_exchange_failed"),
    "no id_token": (200, b'{"access_token": "a"}', 400, "token_exchange_failed"),
    "an id_token that is no text": (200, b'{"id_token": [1]}', 400, "token_exchange_failed"),
    "an id_token that is none": (200, b'{"id_token": "x"}', 400, "token_exchange_failed"),
    "an empty id_token": (200, b'{"id_token": ""}', 400, "token_exchange_failed"),
    "an id_token of 20 KB": (
        200,
        b'{"id_token": "%s"}' % (b"a" * 20_000),
        400,
        "token_exchange_failed",
    ),
    "five parts": (200, b'{"id_token": "a.b.c.d.e"}', 400, "token_exchange_failed"),
}


@pytest.mark.parametrize(("answer", "body", "status", "code"), TOKENS.values(), ids=TOKENS)
def test_a_token_endpoint_that_gives_no_identity_ends_the_sign_in(answer, body, status, code):
    provider = Provider()
    alice = browser(provider)
    address = back(alice.get("/auth/login"), provider)
    provider.status["token"], provider.raw["token"] = answer, body

    seen = come(alice, address)

    refused(seen, status, code)
    assert b"<b>" not in seen.body


@pytest.mark.parametrize("what", ["token", "jwks"])
def test_an_outage_is_a_503_and_never_a_session(what):
    provider = Provider()
    alice = browser(provider, issuers=[])
    address = back(alice.get("/auth/login"), provider)
    provider.down.add(what)

    refused(come(alice, address), 503, "token_exchange_failed")

    provider.down.clear()
    provider.clock.advance(60)  # keys are asked for again in a while
    assert alice.get(back(alice.get("/auth/login"), provider)).status == 302


def test_an_outage_of_the_document_at_the_way_back_is_a_503():
    provider = Provider()
    alice = browser(provider)
    address = back(alice.get("/auth/login"), provider)
    alice.guard = site(provider)  # another process, which knows no document yet
    provider.down.add(".well-known/openid-configuration")

    refused(come(alice, address), 503, "token_exchange_failed")


# --- the id_token ---------------------------------------------------------------------------------

OTHER = FakeIssuer(ISS, audience="app", algorithm="RS256")
ID_TOKENS = {
    "as it is": ({}, 302),
    "the nonce of another": ({"nonce": "x" * 32}, 400),
    "no nonce": ({"nonce": None}, 400),
    "a nonce that is no text": ({"nonce": [1]}, 400),
    "for another client": ({"aud": "other"}, 400),
    "for the API": ({"aud": "https://api.example.com"}, 400),
    "for nobody": ({"aud": None}, 400),
    "for a list": ({"aud": ["app"]}, 302),
    "for two, and this one asked": ({"aud": ["app", "other"], "azp": "app"}, 302),
    "for two, and nobody says who asked": ({"aud": ["app", "other"]}, 400),
    "for two, and the other asked": ({"aud": ["app", "other"], "azp": "other"}, 400),
    "asked for by another": ({"azp": "other"}, 400),
    "asked for by no text": ({"azp": ["app"]}, 400),
    "asked for by this one": ({"azp": "app"}, 302),
    "another issuer": ({"iss": "https://evil.example/"}, 400),
    "no issuer": ({"iss": None}, 400),
    "no exp": ({"exp": None}, 400),
    "no iat": ({"iat": None}, 400),
    "expired": ({"exp": 1_799_999_000}, 400),
    "of the future": ({"iat": 1_800_001_000}, 400),
    "not yet": ({"nbf": 1_800_001_000}, 400),
    "no sub": ({"sub": None}, 400),
    "an empty sub": ({"sub": ""}, 400),
    "a sub that is a number": ({"sub": 5}, 400),
    "bound to a key": ({"cnf": {"jkt": "x"}}, 400),
}


@pytest.mark.parametrize(("claims", "status"), ID_TOKENS.values(), ids=ID_TOKENS)
@pytest.mark.parametrize("known", [True, False], ids=["an issuer", "an address"])
def test_an_id_token_is_believed_only_if_it_is_for_this_sign_in(claims, status, known):
    provider = Provider()
    alice = browser(provider, **({} if known else {"issuers": []}))

    seen = come(alice, back(alice.get("/auth/login"), provider, **claims))

    if status == 302:
        assert seen.status == 302
    else:
        refused(seen, 400, "token_exchange_failed")


HEADERS = {
    "typ JWT": ({"typ": "JWT"}, 302),
    "no typ": ({"typ": None}, 302),
    "typ at+jwt": ({"typ": "at+jwt"}, 400),
    "typ logout+jwt": ({"typ": "logout+jwt"}, 400),
    "typ of our sessions": ({"typ": "jwtguard-session+jwt"}, 400),
    "alg none": ({"alg": "none"}, 400),
    "alg HS256": ({"alg": "HS256"}, 400),
    "alg RS384": ({"alg": "RS384"}, 400),
    "crit": ({"crit": ["x"]}, 400),
    "an unknown kid": ({"kid": "other"}, 400),
}


def _id_token(provider, asked, header=None, key=None, algorithm="RS256", **claims):
    said = {
        "iss": ISS,
        "aud": "app",
        "sub": "alice",
        "nonce": asked["nonce"],
        "iat": int(provider.clock()),
        "exp": int(provider.clock()) + 60,
        **claims,
    }
    kid, own = provider.idp._keys[0]
    header = {"kid": kid, **(header or {})}
    raw = sign(said, key or own, algorithm, header)
    UNTOLD.add(raw)
    return raw


@pytest.mark.parametrize(("header", "status"), HEADERS.values(), ids=HEADERS)
def test_an_id_token_has_the_header_of_one(header, status):
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")
    if header.get("typ", "") is None:  # `sign` writes one
        header = {}
    provider.tokens["id_token"] = _id_token(provider, left.asked, header)

    assert come(alice, back(left, provider)).status == status


def test_an_id_token_signed_by_somebody_else_is_refused():
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")
    provider.tokens["id_token"] = _id_token(provider, left.asked, key=OTHER._keys[0][1])
    refused(come(alice, back(left, provider)), 400, "token_exchange_failed")

    left = alice.get("/auth/login")
    good = _id_token(provider, left.asked)
    for bad in (good[:-1], good[:-3] + "AAA", good + "=", good.rpartition(".")[0] + "."):
        provider.tokens["id_token"] = bad
        left = alice.get("/auth/login")
        refused(come(alice, back(left, provider)), 400, "token_exchange_failed")


def test_the_log_says_what_was_wrong_with_an_id_token(logged):
    provider = Provider()
    alice = browser(provider)

    alice.get(back(alice.get("/auth/login"), provider, aud="other"))

    (line,) = [line for line in logged if "token_exchange_failed" in line]
    assert 'found="other" want="app" hint="audience_mismatch' in line


# --- at_hash --------------------------------------------------------------------------------------


def half(digest):
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


RAW = ACCESS_TOKEN.encode()
HASHES = {
    "RS256": ("RS256", sha256(RAW).digest()),
    "RS384": ("RS384", sha384(RAW).digest()),
    "PS512": ("PS512", sha512(RAW).digest()),
    "ES256": ("ES256", sha256(RAW).digest()),
    "ES384": ("ES384", sha384(RAW).digest()),
    "ES512": ("ES512", sha512(RAW).digest()),
    "ES256K": ("ES256K", sha256(RAW).digest()),
    "Ed25519": ("Ed25519", sha512(RAW).digest()),
    "EdDSA": ("EdDSA", sha512(RAW).digest()),
    "Ed448": ("Ed448", shake_256(RAW).digest(114)),
}


def came_with(algorithm, at_hash, access_token=ACCESS_TOKEN, key=None, **claims):
    provider = Provider()
    key = key or private_key(algorithm)
    keys = JWKSet({"keys": [public_jwk(key, kid="k", alg=algorithm)]})
    issuer = Issuer(ISS, name="people", audience="x", algorithms=[algorithm], keys=keys)
    alice = browser(provider, issuers=[issuer])
    left = alice.get("/auth/login")
    claims = {"at_hash": at_hash, **claims}
    raw = _id_token(provider, left.asked, {"kid": "k"}, key, algorithm, **claims)
    provider.tokens = {"id_token": raw, "access_token": access_token}
    return come(alice, back(left, provider))


@pytest.mark.parametrize(("algorithm", "digest"), HASHES.values(), ids=HASHES)
def test_at_hash_is_the_access_tokens(algorithm, digest):
    assert came_with(algorithm, half(digest)).status == 302
    refused(came_with(algorithm, half(digest)[:-1] + "!"), 400, "token_exchange_failed")
    refused(came_with(algorithm, half(digest), "another"), 400, "token_exchange_failed")


def test_at_hash_of_eddsa_goes_by_the_curve():
    key = private_key("Ed448")

    assert came_with("EdDSA", half(shake_256(RAW).digest(114)), key=key).status == 302
    refused(came_with("EdDSA", half(sha512(RAW).digest()), key=key), 400, "token_exchange_failed")


@pytest.mark.parametrize("at_hash", ["", None, 5, ["x"], "x", "ä"])
def test_at_hash_that_is_there_is_compared(at_hash):
    refused(came_with("ES256", at_hash), 400, "token_exchange_failed")


@pytest.mark.parametrize("access_token", [None, 5, "ä", ["x"]])
def test_at_hash_without_an_access_token_is_refused(access_token):
    good = half(sha256(RAW).digest())

    refused(came_with("ES256", good, access_token), 400, "token_exchange_failed")


def test_at_hash_of_an_algorithm_without_a_hash_is_refused():
    """Where another algorithm is added one day, it fails until its hash is known."""
    for algorithm in ("none", "ML-DSA-44", "", "RS128"):
        with pytest.raises(MissingClaim):
            _check_hash(algorithm, "x", ACCESS_TOKEN)


# --- userinfo -------------------------------------------------------------------------------------


def test_userinfo_is_asked_only_where_that_is_wanted():
    provider = Provider()
    alice = browser(provider)
    alice.get(back(alice.get("/auth/login"), provider))

    assert not any(fetch.url == f"{ISS}userinfo" for fetch in provider.asked)
    assert "name" not in alice.get("/page").token


def test_userinfo_adds_what_the_id_token_does_not_say():
    provider = Provider()
    provider.person = {"sub": "alice", "name": "Alice", "email": "other@example.com"}
    alice = browser(provider, login={"userinfo": True})

    alice.get(back(alice.get("/auth/login"), provider))

    (fetch,) = [fetch for fetch in provider.asked if fetch.url == f"{ISS}userinfo"]
    assert fetch.headers["Authorization"] == f"Bearer {ACCESS_TOKEN}"
    token = alice.get("/page").token
    assert (token["name"], token["email"]) == ("Alice", "alice@example.com")


USERINFO = {
    "about somebody else": (200, b'{"sub": "bob"}', 400),
    "about nobody": (200, b'{"name": "Alice"}', 400),
    "about no text": (200, b'{"sub": ["alice"]}', 400),
    "unauthorized": (401, b"", 400),
    "not found": (404, b"<b>no</b>", 400),
    "broken": (500, b"", 503),
    "no JSON": (200, b"<b>no</b>", 503),
    "a signed answer": (200, b"eyJhbGciOiJub25lIn0.e30.", 503),
}


@pytest.mark.parametrize(("answer", "body", "status"), USERINFO.values(), ids=USERINFO)
def test_userinfo_that_is_no_good_ends_the_sign_in(answer, body, status):
    provider = Provider()
    alice = browser(provider, login={"userinfo": True})
    address = back(alice.get("/auth/login"), provider)
    provider.status["userinfo"], provider.raw["userinfo"] = answer, body

    refused(come(alice, address), status, "userinfo_failed")


def test_userinfo_in_an_outage_is_a_503():
    provider = Provider()
    alice = browser(provider, login={"userinfo": True})
    address = back(alice.get("/auth/login"), provider)
    provider.down.add("userinfo")

    refused(come(alice, address), 503, "userinfo_failed")


@pytest.mark.parametrize("access_token", [None, 5, "", "two words", "a\r\nb", "ä"])
def test_userinfo_takes_an_access_token(access_token):
    provider = Provider()
    provider.tokens["access_token"] = access_token
    alice = browser(provider, login={"userinfo": True})

    refused(come(alice, back(alice.get("/auth/login"), provider)), 400, "userinfo_failed")


def test_userinfo_takes_an_endpoint():
    provider = Provider()
    provider.says["userinfo_endpoint"] = None
    alice = browser(provider, login={"userinfo": True})

    refused(come(alice, back(alice.get("/auth/login"), provider)), 400, "userinfo_failed")


# --- the provider's other words -------------------------------------------------------------------


def test_an_issuer_that_is_introspected_too_vouches_for_id_tokens_by_its_keys():
    provider = Provider()
    asked = Introspection(f"{ISS}introspect", client_id="a", client_secret="b")
    issuer = Issuer(
        ISS,
        name="people",
        audience="x",
        algorithms=["RS256"],
        keys=JWKSet(provider.idp.jwks()),
        introspection=asked,
    )
    alice = browser(provider, issuers=[issuer])

    assert alice.get(back(alice.get("/auth/login"), provider)).status == 302
    provider.tokens["id_token"] = "opaque"
    refused(come(alice, back(alice.get("/auth/login"), provider)), 400, "token_exchange_failed")


def test_the_query_of_the_way_back_may_hold_more():
    """Providers add what they like: session_state, scope, authuser, prompt."""
    provider = Provider()
    alice = browser(provider)
    left = alice.get("/auth/login")
    more = {"session_state": "x.y", "scope": "openid email", "authuser": "0", "prompt": "none"}

    assert alice.get(callback(left, code=provider.code(left.asked), **more)).status == 302
