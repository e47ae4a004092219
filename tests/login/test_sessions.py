"""Sessions: what a browser that signed in may do, for how long, and what nobody else may."""

import re
from types import SimpleNamespace

import pytest

from jwtguard import FromCookie, Issuer, JWKSet, Rule, errors
from jwtguard.core import Request
from jwtguard.core.sealing import derived
from jwtguard.login.sealing import Keys
from jwtguard.testing import sign

from .people import (
    ISS,
    JSON,
    ORIGIN,
    RULES,
    SECRET,
    UNTOLD,
    Browser,
    Provider,
    back,
    browser,
    sign_in,
    site,
)

NAME = "__Host-jwtguard-session"
TAIL = "Path=/; HttpOnly; SameSite=Lax; Secure"
API = "https://api.example.com"


def signed_in(provider, target="/page", **words):
    alice = browser(provider, **words)
    assert sign_in(alice, provider, target).status == 302
    return alice


def access_token(provider, **claims):
    raw = provider.idp.token("alice", **{"aud": API, **claims})
    UNTOLD.add(raw)
    return raw


# --- what a session says --------------------------------------------------------------------------


def test_a_session_says_who_signed_in_where_and_when():
    provider = Provider(email_verified=True, groups=["x"])
    provider.clock.now = 1_800_000_000.1234
    alice = signed_in(provider)

    token = alice.get("/page").token

    claims = dict(token.claims)
    assert re.fullmatch(r"[\w-]{22}", claims.pop("jti"))
    assert claims == {
        "iss": f"{ORIGIN}/#session",
        "aud": ORIGIN,
        "sub": "alice",
        "idp": ISS,
        "sid": "s1",
        "roles": ["editor"],
        "email": "alice@example.com",
        "email_verified": True,
        "auth_time": 1_800_000_000.123,
        "iat": 1_800_000_000.123,
        "exp": 1_800_003_600.123,
    }
    assert token.header.keys() == {"alg", "typ", "kid"}
    assert (token.header["alg"], token.header["typ"]) == ("HS256", "jwtguard-session+jwt")
    assert token.identity == ("session", "alice")


def test_claims_that_are_kept_never_replace_the_sessions_own():
    provider = Provider(act="x", idp="https://evil.example/", auth_time=1, jti="x")
    alice = signed_in(provider, login={"claims": ["act"]})

    token = alice.get("/page").token
    assert (token["act"], token["idp"], token["auth_time"]) == ("x", ISS, provider.clock())


ROLES = {
    "the provider's": ({"roles": ["editor", "admin"]}, {"editor", "admin"}),
    "one": ({"roles": "editor"}, {"editor"}),
    "of Keycloak": ({"roles": None, "realm_access": {"roles": ["x"]}}, {"x"}),
    "none": ({"roles": None}, {"user"}),
    "an empty list": ({"roles": []}, {"user"}),
    "nothing usable": ({"roles": [1, {}]}, {"user"}),
}


@pytest.mark.parametrize(("claims", "roles"), ROLES.values(), ids=ROLES)
def test_roles_are_the_providers_or_the_default(claims, roles):
    for issuers in ({}, {"issuers": []}):
        provider = Provider(**claims)
        assert signed_in(provider, **issuers).get("/page").token.roles == roles


def test_default_roles_and_where_roles_are_found_are_configurable():
    provider = Provider(roles=["ignored"], groups=None)
    people = Issuer(
        ISS,
        name="people",
        audience=API,
        algorithms="RS256",
        keys=JWKSet(provider.idp.jwks()),
        roles="groups",
    )
    alice = signed_in(provider, issuers=[people], login={"default_roles": ["guest", "reader"]})

    assert alice.get("/page").token.roles == {"guest", "reader"}


@pytest.mark.parametrize("sid", [None, "", 5, ["x"]])
def test_a_session_has_a_sid_of_its_own_where_the_provider_names_none(sid):
    provider = Provider(sid=sid)

    assert re.fullmatch(r"[\w-]{22}", signed_in(provider).get("/page").token["sid"])


def test_every_sign_in_makes_another_session():
    provider = Provider()
    alice = signed_in(provider)
    one, before = alice.get("/page").token, dict(alice.cookies)
    alice.get(back(alice.get("/auth/login"), provider))
    two = alice.get("/page").token

    assert one["jti"] != two["jti"]
    assert alice.cookies != before


# --- what is a session, and what is not -----------------------------------------------------------

# Rules by their paths; what each may be entered with.
TABLE = {
    "/any": ({}, {"session", "bearer"}),
    "/bearer": ({"credentials": "bearer"}, {"bearer"}),
    "/session": ({"credentials": "session"}, {"session"}),
    "/both": ({"credentials": ["bearer", "session"]}, {"session", "bearer"}),
    "/people": ({"issuers": "people"}, {"bearer"}),
    "/people+": ({"issuers": ["people", "session"]}, {"session", "bearer"}),
    "/sessions": ({"issuers": "session"}, {"session"}),
    "/jobs": ({"issuers": "jobs"}, set()),
    "/named": ({"credentials": "session", "issuers": ["session", "people"]}, {"session"}),
    "/header": ({"credentials": {"header": "X-Token"}}, {"header"}),
    "/header+": ({"credentials": [{"header": "X-Token"}, "session"]}, {"session", "header"}),
    "/cookie": ({"credentials": {"cookie": "other"}}, {"cookie"}),
    "/cookie+": ({"credentials": [{"cookie": "other"}, "session"]}, {"session", "cookie"}),
    # A cookie of the session's name, but read as anybody's token.
    "/confused": ({"credentials": FromCookie(NAME)}, {"token in the session's cookie"}),
}


@pytest.mark.parametrize("path", TABLE)
def test_a_rule_takes_what_it_names(path):
    words, passes = TABLE[path]
    provider = Provider()
    people = Issuer(
        ISS,
        name="people",
        audience=API,
        algorithms="RS256",
        keys=JWKSet(provider.idp.jwks()),
    )
    jobs = Issuer(
        "https://jobs.example.com/",
        name="jobs",
        audience=API,
        algorithms="RS256",
        keys=JWKSet(provider.idp.jwks()),
    )
    alice = signed_in(provider, rules=[Rule(path, **words)], issuers=[people, jobs], target="/x")
    session, raw = alice.cookies.pop(NAME), access_token(provider)

    def enters(headers):
        seen = alice.get(path, headers={**JSON, "Sec-Fetch-Mode": None, **headers})
        assert seen.status in (200, 401), seen
        return seen.status == 200

    sent = {
        "session": {"Cookie": f"{NAME}={session}"},
        "bearer": {"Authorization": f"Bearer {raw}"},
        "header": {"X-Token": raw},
        "cookie": {"Cookie": f"other={raw}"},
        "token in the session's cookie": {"Cookie": f"{NAME}={raw}"},
        "session as bearer": {"Authorization": f"Bearer {session}"},
        "session in a header": {"X-Token": session},
        "session in another cookie": {"Cookie": f"other={session}"},
        "nothing": {},
    }
    assert {name for name, headers in sent.items() if enters(headers)} == passes


def test_a_guard_verifies_no_session_as_a_token():
    provider = Provider()
    alice = signed_in(provider)

    with pytest.raises(errors.UnknownIssuer):
        alice.guard.verify(alice.cookies[NAME])


def test_an_issuer_without_an_iss_makes_no_sessions():
    provider = Provider()
    nobody = Issuer(
        name="anybody",
        any_iss=True,
        audience=None,
        algorithms="RS256",
        keys=JWKSet(provider.idp.jwks()),
    )
    alice = browser(provider, issuers=[nobody], login={"issuer": ISS})
    for iss in (None, "x", f"{ORIGIN}/#session"):
        alice.cookies = {NAME: access_token(provider, iss=iss, sid="s", jti="j", auth_time=1)}
        assert alice.get("/page").status == 302
        seen = asked(alice, alice.cookies.pop(NAME))
        assert seen.status == (401 if iss and "#" in iss else 200)


FORGED = {
    "another secret": ({}, {}, b"another secret of 32 bytes or more"),
    "the secret itself": ({}, {}, SECRET.encode()),
    "the sealing key": ({}, {}, derived(SECRET.encode(), b"jwtguard seal")),
    "another audience": ({"aud": "https://other.example.com"}, {}, None),
    "another site": ({"iss": "https://other.example.com/#session"}, {}, None),
    "no typ of ours": ({}, {"typ": "JWT"}, None),
    "typ at+jwt": ({}, {"typ": "at+jwt"}, None),
    "no sid": ({"sid": None}, {}, None),
    "no sub": ({"sub": None}, {}, None),
    "no jti": ({"jti": None}, {}, None),
    "no auth_time": ({"auth_time": None}, {}, None),
    "no exp": ({"exp": None}, {}, None),
}


@pytest.mark.parametrize(("claims", "header", "key"), [({}, {}, None), *FORGED.values()])
def test_a_session_is_one_of_ours(claims, header, key):
    provider = Provider()
    alice = signed_in(provider)
    token = alice.get("/page").token
    keys = Keys([SECRET.encode()])
    said = {name: value for name, value in {**token.claims, **claims}.items() if value is not None}
    said_by = sign(said, key or keys.signing_keys[0], "HS256", {**token.header, **header})
    UNTOLD.add(said_by)
    alice.cookies[NAME] = said_by

    assert alice.get("/page").status == (302 if claims or header or key else 200)


def test_an_id_token_is_no_access_token():
    """Where the API's audience is the client itself, as some people write it."""
    provider = Provider()
    for algorithms, audience in (("RS256", "app"), ("RS256", ["app", API])):
        people = Issuer(
            ISS,
            name="people",
            audience=audience,
            algorithms=algorithms,
            keys=JWKSet(provider.idp.jwks()),
        )
        alice = browser(provider, issuers=[people])
        left = alice.get("/auth/login")
        id_token = access_token(provider, aud="app", nonce=left.asked["nonce"])
        plain = access_token(provider, aud="app")
        mixed = access_token(provider, aud=["app", API], nonce="x")

        assert asked(alice, id_token).status == 401
        assert asked(alice, mixed).status == 401
        assert asked(alice, plain).status == 200


def asked(alice, raw):
    headers = {**JSON, "Sec-Fetch-Mode": None, "Authorization": f"Bearer {raw}"}
    return alice.get("/page", headers=headers)


def test_an_issuer_that_two_guards_share_keeps_both_of_their_id_tokens_out():
    provider = Provider()
    people = Issuer(
        ISS,
        name="people",
        audience=["app", "shop"],
        algorithms="RS256",
        keys=JWKSet(provider.idp.jwks()),
    )
    one = browser(provider, issuers=[people], login={"client_id": "app"})
    two = browser(provider, issuers=[people], login={"client_id": "shop"})

    for alice in (one, two):
        for client in ("app", "shop"):
            assert asked(alice, access_token(provider, aud=client, nonce="x")).status == 401
            assert asked(alice, access_token(provider, aud=client)).status == 200


# --- who asks -------------------------------------------------------------------------------------

ASKERS = {
    "a navigation": ("GET", {}, 302),
    "a navigation, said by Accept": ("GET", {"Sec-Fetch-Mode": None}, 302),
    "HEAD": ("HEAD", {}, 302),
    "a form": ("POST", {}, 401),
    "a delete": ("DELETE", {}, 401),
    "fetch": ("GET", {"Sec-Fetch-Mode": "cors", "Accept": "*/*"}, 401),
    "an image": ("GET", {"Sec-Fetch-Mode": "no-cors", "Accept": "image/*"}, 401),
    "XHR": ("GET", {"Sec-Fetch-Mode": None, "X-Requested-With": "XMLHttpRequest"}, 401),
    "HTMX": ("GET", {"Sec-Fetch-Mode": None, "HX-Request": "true"}, 401),
    "an API client": ("GET", {"Sec-Fetch-Mode": None, "Accept": "application/json"}, 401),
    "curl": ("GET", {"Sec-Fetch-Mode": None, "Accept": "*/*"}, 401),
    "nothing said": ("GET", {"Sec-Fetch-Mode": None, "Accept": None}, 401),
}


@pytest.mark.parametrize(("method", "headers", "status"), ASKERS.values(), ids=ASKERS)
@pytest.mark.parametrize("after", [None, 0, 3600 + 10, 50_000], ids=str)
def test_who_waits_for_a_page_is_sent_to_sign_in_and_nobody_else(method, headers, status, after):
    provider = Provider()
    alice = browser(provider)
    if after is not None:
        alice = signed_in(provider)
        provider.clock.advance(after)

    seen = alice.send(method, "/page?a=b", headers={"Sec-Fetch-Site": "same-origin", **headers})

    if after == 0:
        assert seen.status == 200
    else:
        assert seen.status == status
        assert seen.location == ("/auth/login?next=%2Fpage%3Fa%3Db" if status == 302 else None)
        assert (seen.header("WWW-Authenticate") or "").startswith("Bearer") == (status == 401)


def test_a_session_on_open_rules():
    provider = Provider()
    alice = signed_in(provider)

    assert alice.get("/open").token is None
    assert alice.get("/maybe").token.subject == "alice"
    provider.clock.advance(99_999)
    assert (alice.get("/maybe").status, alice.get("/maybe").token) == (200, None)
    for value in ("x", "a b", "\xe4", ""):
        alice.cookies[NAME] = value
        assert (alice.get("/maybe").status, alice.get("/maybe").token) == (200, None)
        assert alice.get("/open").status == 200


SITES = {
    "the same origin": ({"Sec-Fetch-Site": "same-origin"}, 200),
    "the user": ({"Sec-Fetch-Site": "none"}, 200),
    "our origin": ({"Origin": ORIGIN, "Sec-Fetch-Site": None}, 200),
    "another site": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "another host": ({"Sec-Fetch-Site": "same-site"}, 403),
    "another origin": ({"Origin": "https://evil.example", "Sec-Fetch-Site": None}, 403),
    "an opaque origin": ({"Origin": "null", "Sec-Fetch-Site": None}, 403),
    "nobody says": ({"Sec-Fetch-Site": None}, 403),
}


@pytest.mark.parametrize(("headers", "status"), SITES.values(), ids=SITES)
@pytest.mark.parametrize("path", ["/page", "/maybe"])
def test_no_other_site_writes_with_a_session(headers, status, path):
    alice = signed_in(Provider())

    assert alice.send("POST", path, headers=headers).status == status
    assert alice.get(path, headers=headers).status == 200


def test_a_handshake_comes_from_our_own_pages():
    alice = signed_in(Provider())

    def handshake(**headers):
        return alice.get("/page", websocket=True, headers=headers).status

    assert handshake(Origin=ORIGIN) == 200
    assert handshake(Origin="https://evil.example") == 403
    assert handshake() == 403


def test_a_token_that_somebody_sent_decides_and_not_the_session():
    alice = signed_in(Provider())

    assert asked(alice, "x.y.z").status == 401
    assert alice.get("/page", headers={"Authorization": "Basic eDp5"}).status == 200
    assert alice.get("/page", headers={"Authorization": "Bearer a, Bearer b"}).status == 400


# --- how long -------------------------------------------------------------------------------------


def test_a_session_ends_an_hour_after_it_was_used_last():
    provider = Provider()
    alice = signed_in(provider)

    provider.clock.advance(3609)  # with the ten seconds that clocks may differ
    assert alice.get("/page").status == 200
    alice = signed_in(provider)
    provider.clock.advance(3610)
    assert alice.get("/page").status == 302


def test_a_session_is_renewed_once_half_of_its_time_has_passed():
    provider = Provider()
    alice = signed_in(provider)
    first = alice.get("/page").token

    provider.clock.advance(1800)
    assert alice.get("/page").headers == []
    provider.clock.advance(1)
    seen = alice.get("/page")
    name, value = seen.headers[0]
    assert (name, value.partition("; ")[2]) == ("Set-Cookie", f"Max-Age=3600; {TAIL}")
    assert seen.headers[1:] == [("Cache-Control", "no-store")]
    assert seen.token["exp"] == first["exp"]  # this request is the old one's still
    again = alice.get("/page")
    assert again.headers == []
    assert again.token["exp"] == provider.clock() + 3600
    same = {"iat": 0, "exp": 0}
    assert {**again.token.claims, **same} == {**first.claims, **same}


def test_a_session_that_is_used_lasts_for_its_lifetime_and_no_longer():
    provider = Provider()
    alice = signed_in(provider, login={"idle": 1000, "lifetime": 2600})
    begun = provider.clock()
    while provider.clock() < begun + 2600:
        seen = alice.get("/page")
        assert seen.status == 200
        assert seen.token["exp"] <= begun + 2600
        for cookie in seen.cookies:
            assert int(re.search(r"Max-Age=(\d+)", cookie)[1]) <= begun + 2600 - provider.clock()
        provider.clock.advance(100)
    assert seen.cookies == []  # there is nothing left to renew
    provider.clock.advance(10)
    assert alice.get("/page").status == 302


def test_nothing_is_renewed_where_nobody_would_get_it_or_nobody_was_let_in():
    provider = Provider()
    alice = signed_in(provider, rules=[*RULES, Rule("/admin", roles="admin")])
    provider.clock.advance(2000)

    assert alice.get("/page", websocket=True, headers={"Origin": ORIGIN}).headers == []
    assert alice.get("/open").headers == []
    assert alice.get("/admin").cookies == []
    assert alice.send("POST", "/page", headers={"Sec-Fetch-Site": "cross-site"}).cookies == []
    assert alice.send("POST", "/maybe", headers={"Sec-Fetch-Site": "cross-site"}).cookies == []
    assert alice.get("/maybe").header("Cache-Control") == "no-store"


def test_a_refusal_by_a_rule_is_one_for_sessions_too():
    alice = signed_in(Provider(), rules=[Rule("/admin", roles="admin"), Rule("/e", roles="editor")])

    assert alice.get("/admin", headers=JSON).json()["error"] == "forbidden"
    assert alice.get("/e").status == 200


# --- secrets and processes ------------------------------------------------------------------------


def test_secrets_rotate():
    provider = Provider()
    old, new = "the old secret of this service!!", b"the new secret of this service!!"
    alice = signed_in(provider, login={"secret": old})
    kid = alice.get("/page").token.header["kid"]

    alice.guard = site(provider, login={"secret": [new, old]})
    assert alice.get("/page").token.header["kid"] == kid
    provider.clock.advance(2000)
    renewed = alice.get("/page")
    assert renewed.cookies  # signed with the new one from now on
    assert alice.get("/page").token.header["kid"] != kid

    fresh = dict(alice.cookies)
    alice.guard = site(provider, login={"secret": new})
    assert alice.get("/page").status == 200
    alice.guard = site(provider, login={"secret": old})
    assert alice.get("/page").status == 302
    assert alice.cookies == fresh


def test_the_same_secret_twice_is_one():
    alice = signed_in(Provider(), login={"secret": [SECRET, SECRET.encode()]})

    assert alice.get("/page").status == 200


def test_processes_with_the_same_secret_know_each_others_cookies():
    provider = Provider()
    one, two = site(provider), site(provider)
    alice = Browser(one, provider)
    left = alice.get("/auth/login")
    alice.guard = two
    assert alice.get(back(left, provider)).status == 302
    for guard in (one, two):
        alice.guard = guard
        assert alice.get("/page").status == 200


def test_a_site_does_not_know_the_sessions_of_another():
    provider = Provider()
    alice = signed_in(provider)
    alice.guard = site(provider, public_url="https://other.example.com")

    assert alice.get("/page").status == 302


# --- cookies --------------------------------------------------------------------------------------


def test_over_http_on_this_machine_cookies_have_no_prefix_and_the_log_says_so(logged):
    provider = Provider()
    alice = browser(
        provider, public_url="http://localhost:8000", rules=[], login={"secret": SECRET}
    )
    sign_in(alice, provider)

    assert [re.sub("=[^;]*", "=", one, count=1) for one in alice.jar] == [
        alice.jar[0].partition("=")[0] + "=; Max-Age=600; Path=/; HttpOnly; SameSite=Lax",
        alice.jar[0].partition("=")[0] + "=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
        "jwtguard-session=; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax",
    ]
    assert re.match(r"jwtguard-login-[\w-]{17}=", alice.jar[0])
    assert alice.get("/page").status == 200
    assert any(
        line.startswith(
            "login at a public_url that is http is for development: its cookies have "
            "neither Secure nor the prefix __Host-"
        )
        for line in logged
    )


def test_over_https_the_log_says_nothing_of_cookies(logged):
    browser(Provider())

    assert not any("__Host-" in line or "secret" in line for line in logged)


def test_a_session_of_many_claims_takes_a_second_cookie():
    provider = Provider(groups=[f"group-{i:03}" for i in range(300)])
    alice = signed_in(provider, login={"claims": ["groups"]})

    first, second = (c for c in alice.jar if "session" in c)
    assert first.startswith(f"{NAME}=ey")
    assert second.startswith(f"{NAME}-1=")
    for cookie in (first, second):
        assert cookie.endswith(f"; Max-Age=3600; {TAIL}")
        assert len(cookie) < 4096
    assert len(alice.get("/page").token["groups"]) == 300

    kept = dict(alice.cookies)
    for broken in ({NAME: kept[NAME]}, {f"{NAME}-1": kept[f"{NAME}-1"]}):
        alice.cookies = broken
        assert alice.get("/page").status == 302
    last = kept[f"{NAME}-1"]
    alice.cookies = {NAME: kept[NAME], f"{NAME}-1": last[:-1] + ("E" if last[-1] == "A" else "A")}
    assert alice.get("/page").status == 302
    alice.cookies = kept
    provider.clock.advance(2000)
    assert len(alice.get("/page").cookies) == 2  # renewed whole
    assert alice.get("/page").status == 200


def test_a_second_cookie_that_is_no_longer_needed_is_taken_away():
    provider = Provider(groups=[f"group-{i:03}" for i in range(300)])
    alice = signed_in(provider, login={"claims": ["groups"]})
    provider.claims["groups"] = []

    seen = alice.get(back(alice.get("/auth/login"), provider))

    assert seen.cookies[-1] == f"{NAME}-1=; Max-Age=0; {TAIL}"
    assert alice.get("/page").status == 200


def test_a_second_cookie_that_nobody_took_away_disturbs_nothing_for_long():
    provider = Provider()
    alice = signed_in(provider)
    alice.cookies[f"{NAME}-1"] = "stale"
    sent = alice.get("/page")
    assert sent.status == 302
    alice.get(back(alice.get(sent.location), provider))
    assert alice.get("/page").status == 200


def test_a_session_that_fits_into_no_two_cookies_is_refused_and_the_log_says_why(logged):
    provider = Provider(groups=[f"group-{i:04}" for i in range(700)], note="n" * 300)
    alice = browser(provider, login={"claims": ["groups", "note"]})
    left = alice.get("/auth/login")

    seen = alice.get(back(left, provider), headers=JSON)

    assert (seen.status, seen.json()["code"]) == (503, "session_too_large")
    assert alice.cookies == {}
    (line,) = [line for line in logged if "session_too_large" in line]
    assert "the largest claims are groups, note, " in line
    assert "group-0001" not in line


def test_a_session_that_would_grow_too_large_is_not_renewed(logged):
    """As after the limits changed with a new version."""
    provider = Provider()
    alice = signed_in(provider)
    token = alice.get("/page").token
    large = {**token.claims, "groups": ["g" * 9000]}
    known = SimpleNamespace(claims=large)
    flow = alice.guard.site.renew(known, Request("GET", "/"))
    with pytest.raises(StopIteration) as stopped:
        next(flow)
    assert stopped.value.value == ()
    assert any("a session is not renewed: the session has" in line for line in logged)


def test_the_same_cookie_twice_is_refused():
    alice = signed_in(Provider())
    (pair,) = ["=".join(pair) for pair in alice.cookies.items()]
    alice.cookies = {}

    for field in (f"{pair}; {pair}", f"{NAME}=x; {pair}", f"{pair}; {NAME}-1=a; {NAME}-1=a"):
        seen = alice.get("/page", headers={**JSON, "Cookie": field})
        assert (seen.status, seen.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("value", ["a b", "\xe4", '"x"', "a,b", "="])
def test_a_cookie_that_is_no_token_is_refused(value):
    alice = browser(Provider())
    alice.cookies = {NAME: value}

    assert alice.get("/page").status == 400


@pytest.mark.parametrize("value", ["x", "a.b.c", "a.b.c.d.e", "e30.e30.", "A" * 4000])
def test_a_cookie_that_is_no_session_leads_to_a_new_one(value):
    provider = Provider()
    alice = browser(provider)
    alice.cookies = {NAME: value, f"{NAME}-1": value}

    assert sign_in(alice, provider).status == 302
    assert alice.get("/page").status == 200


# --- what the app sees ----------------------------------------------------------------------------


def test_a_session_is_published_like_any_token():
    alice = signed_in(
        Provider(),
        forward={"X-User": "sub", "X-Mail": "email"},
        variables="plain",
        rules=[Rule("/more", forward={"X-Idp": "idp"})],
    )

    seen = alice.get("/page", headers={"X-User": "mallory"}).decision
    assert seen.set == [("X-User", "alice"), ("X-Mail", "alice@example.com")]
    assert seen.remove == {"x-user", "x-mail", "x-idp"}
    assert seen.remote_user == "alice"
    assert seen.variables["jwt_claim_email"] == "alice@example.com"
    assert ("X-Idp", ISS) in alice.get("/more").decision.set


def test_the_app_sees_no_part_of_a_session_that_is_stripped():
    provider = Provider(groups=[f"group-{i:03}" for i in range(300)])
    alice = signed_in(provider, login={"claims": ["groups"]}, strip_credentials=True, rules=RULES)
    alice.cookies["theme"] = "dark"

    for path in ("/page", "/open", "/maybe"):
        seen = alice.get(path).decision
        assert ("cookie", "theme=dark") in seen.set
        assert "cookie" in seen.remove
    del alice.cookies["theme"]
    seen = alice.get("/page").decision
    assert "cookie" in seen.remove
    assert not any(name == "cookie" for name, _ in seen.set)


def test_other_cookies_stay_as_they_are_where_a_session_is_stripped():
    alice = signed_in(Provider(), strip_credentials=True)
    alice.cookies["name"] = "J\xc3\xbcrgen"  # UTF-8, as servers hand it over

    assert ("cookie", "name=Jürgen") in alice.get("/page").decision.set


USERS = {
    "one issuer, who signs people in": (["people"], {}, "alice"),
    "nobody but the login": ([], {}, "alice"),
    "an issuer, and people of another": (["jobs"], {}, None),
    "two issuers": (["people", "jobs"], {}, None),
    "two names in one": (["jobs"], {"remote_user": "{issuer}:{sub}"}, "session:alice"),
}


@pytest.mark.parametrize(("names", "words", "user"), USERS.values(), ids=USERS)
def test_remote_user_is_never_two_peoples_name(names, words, user):
    provider = Provider()
    known = {
        "people": Issuer(
            ISS,
            name="people",
            audience=API,
            algorithms="RS256",
            keys=JWKSet(provider.idp.jwks()),
        ),
        "jobs": Issuer(
            "https://jobs.example.com/",
            name="jobs",
            audience=API,
            algorithms="RS256",
            keys=JWKSet(provider.idp.jwks()),
        ),
    }
    issuers = [known[name] for name in names]
    alice = signed_in(provider, issuers=issuers, login={"issuer": ISS}, **words)

    assert alice.get("/page").decision.remote_user == user


def test_a_session_is_gone_from_memory_with_its_time():
    """A token seen before is looked at again."""
    provider = Provider()
    alice = signed_in(provider)
    kept = dict(alice.cookies)
    assert alice.get("/page").status == 200
    provider.clock.advance(3610)
    alice.cookies = kept
    assert alice.get("/page").status == 302
