"""Leaving for the provider: where the browser is sent, with what, and what is kept of it."""

import hashlib
import re
from base64 import urlsafe_b64encode
from urllib.parse import parse_qsl, quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jwtguard import Discovery, Issuer, Rule
from jwtguard.errors import FetchError
from jwtguard.testing import private_key

from .people import (
    CLIENT,
    ISS,
    JSON,
    ORIGIN,
    RULES,
    SECRET,
    Browser,
    Provider,
    back,
    browser,
    sign_in,
    site,
)

COOKIE = "__Host-jwtguard-login-"


def begun(provider, target="/auth/login", mount="", **words):
    return browser(provider, **words).get(target, mount=mount)


def posted(provider, name):
    return [dict(_pairs(f.body)) for f in provider.asked if f.url == f"{ISS}{name}"]


def _pairs(body):
    return parse_qsl(body.decode())


# --- the address ----------------------------------------------------------------------------------


def test_the_browser_is_sent_to_the_provider_with_all_it_takes():
    provider = Provider()
    alice = browser(provider)

    left = alice.get("/auth/login?next=/page")

    assert left.status == 302
    assert left.location.startswith(f"{ISS}authorization?")
    asked = left.asked
    assert re.fullmatch(r"[0-9a-f]{8}-[\w-]{32}", asked.pop("state"))
    assert re.fullmatch(r"[\w-]{32}", asked.pop("nonce"))
    challenge = asked.pop("code_challenge")
    assert asked == {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": f"{ORIGIN}/auth/callback",
        "scope": "openid profile email",
        "code_challenge_method": "S256",
    }
    assert alice.get(back(left, provider)).status == 302
    (form,) = posted(provider, "token")
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
    assert len(form["code_verifier"]) == 64


def test_nothing_is_the_same_twice():
    provider = Provider()
    alice = browser(provider)

    one, two = alice.get("/auth/login"), alice.get("/auth/login")

    for name in ("state", "nonce", "code_challenge"):
        assert one.asked[name] != two.asked[name]
    assert len(alice.cookies) == 2


def test_the_flow_cookie_is_as_safe_as_a_cookie_can_be():
    left = begun(Provider())

    (cookie,) = left.cookies
    name, _, rest = cookie.partition("=")
    value, _, attributes = rest.partition("; ")
    assert name == COOKIE + left.asked["state"][:17]
    assert attributes.split("; ") == ["Max-Age=600", "Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
    assert re.fullmatch(r"[\w-]+", value)
    for secret in (left.asked["state"], left.asked["nonce"], "/auth/callback"):
        assert secret not in value
    assert (left.header("Cache-Control"), left.body) == ("no-store", b"")


def test_an_endpoint_with_a_query_keeps_it():
    provider = Provider()
    provider.says["authorization_endpoint"] = f"{ISS}authorization?tenant=a%20b"

    assert begun(provider).location.startswith(f"{ISS}authorization?tenant=a%20b&response_type=")


def test_scopes_and_paths_are_configurable():
    login = {"scopes": "openid roles", "callback_path": "/in/back", "login_path": "/in"}

    left = begun(Provider(), "/in", login=login)

    assert left.asked["scope"] == "openid roles"
    assert left.asked["redirect_uri"] == f"{ORIGIN}/in/back"


def test_a_mount_prefix_stands_in_every_address():
    provider = Provider()
    alice = browser(provider)
    sent = alice.get("/page?x=1", mount="/app")
    assert sent.location == "/app/auth/login?next=%2Fapp%2Fpage%3Fx%3D1"

    left = alice.get("/auth/login", mount="/app")
    assert left.asked["redirect_uri"] == f"{ORIGIN}/app/auth/callback"
    code = provider.code(left.asked)
    done = alice.get(f"/auth/callback?code={code}&state={left.asked['state']}", mount="/app")

    assert (done.status, done.location) == (302, "/app/")
    assert alice.get("/page", mount="/app").token.subject == "alice"


@pytest.mark.parametrize(
    "mount", ["//evil.example", "/\\evil.example", "/a/../b", "evil", "/%2f/x"]
)
def test_a_mount_prefix_that_leads_elsewhere_is_left_out(mount):
    left = begun(Provider(), mount=mount)

    assert left.asked["redirect_uri"] == f"{ORIGIN}/auth/callback"


HOSTS = [
    {"Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"},
    {"Forwarded": "host=evil.example;proto=http"},
    {"X-Forwarded-Prefix": "//evil.example"},
    {"X-Original-URL": "//evil.example/", "X-Rewrite-URL": "//evil.example/"},
    {"Origin": "https://evil.example", "Referer": "https://evil.example/"},
]


@pytest.mark.parametrize("headers", HOSTS, ids=lambda headers: " ".join(headers))
def test_no_header_chooses_an_address(headers):
    provider = Provider()
    alice = browser(provider)

    seen = [alice.get("/page", headers=headers), alice.get("/auth/login", headers=headers)]
    seen.append(alice.get(back(seen[1], provider), headers=headers))
    seen.append(alice.get("/auth/callback?state=x", headers=headers))
    seen.append(alice.get("/auth/logout", headers=headers))

    assert [one.status for one in seen] == [302, 302, 302, 400, 302]
    assert seen[1].asked["redirect_uri"] == f"{ORIGIN}/auth/callback"
    for one in seen:
        assert "evil" not in repr(one.headers) + one.body.decode()


# --- where to come back to ------------------------------------------------------------------------

STAYS = {
    "/": "/",
    "/page": "/page",
    "/page?a=1&b=%2F%2Fevil": "/page?a=1&b=%2F%2Fevil",
    "/p%C3%A4ge": "/p%C3%A4ge",
    "/päge": "/p%C3%A4ge",
    "/auth/logins": "/auth/logins",
    "/page?next=//evil.example": "/page?next=//evil.example",
}


@pytest.mark.parametrize(("wanted", "found"), STAYS.items())
def test_the_page_that_was_asked_for_is_come_back_to(wanted, found):
    assert _came_back(f"next={quote(wanted, safe='')}") == found


def _came_back(query, **words):
    provider = Provider()
    alice = browser(provider, **words)
    done = alice.get(back(alice.get(f"/auth/login?{query}"), provider))
    assert done.status == 302
    return done.location


ELSEWHERE = [
    *("", "page", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example"),
    *("/%2Fevil.example", "/%2f%2fevil.example", "/%5Cevil.example", "/%252Fevil.example"),
    *("https://evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x"),
    *("/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "/ /evil"),
    *("/a/../..//evil.example", "/./evil", "/a/%2e%2e//evil", "/x\r\nSet-Cookie: a=b"),
    *("/x?a=\r\nSet-Cookie: a=b", "/\x00", "/x\u2028y", "/\u3000/evil", "/\x85/evil"),
    *("@evil.example", "/@evil.example//", "https://app.example.com/page", "//app.example.com/"),
    *("/" + "a" * 512, "/" + "ä" * 100, "/x?" + "ä" * 100),
    *("/auth/login", "/auth/login/", "/auth/login?next=/auth/login", "/auth/callback?code=x"),
    *("/auth/%6Cogin", "/auth/logout", "/auth/logout/", "/auth/backchannel-logout"),
]


@pytest.mark.parametrize("wanted", ELSEWHERE, ids=lambda wanted: ascii(wanted)[:30])
def test_what_leads_elsewhere_or_round_in_circles_is_the_first_page(wanted):
    assert _came_back(f"next={quote(wanted, safe='')}", login={"after_login": "/home"}) == "/home"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "next=/a&next=/b",
        "next=%FF%FE",
        "next=%ED%A0%80",
        "next=/a&" + "&".join(f"p{i}=x" for i in range(50)),
        "next=/a&x=" + "y" * 9000,
        "next=/ä",
        "NEXT=/a",
    ],
    ids=lambda query: query[:20],
)
def test_a_query_that_cannot_be_read_asks_for_no_page(query):
    assert _came_back(query, login={"after_login": "/home"}) == "/home"


@pytest.mark.parametrize("name", ["redirect", "rd", "return_to", "url", "redirect_uri", "state"])
def test_no_other_parameter_chooses_a_page(name):
    assert _came_back(f"{name}=/evil") == "/"


@pytest.mark.parametrize(
    ("after", "mount", "found"),
    [
        ("/", "", "/"),
        ("/home", "", "/home"),
        ("/home?a=1", "", "/home?a=1"),
        ("/h%C3%B6me", "", "/h%C3%B6me"),
        ("/", "/app", "/app/"),
        ("/home?a=%2F", "/app", "/app/home?a=%2F"),
        ("/h%C3%B6me", "/ä", "/%C3%A4/h%C3%B6me"),
        ("/home", "//evil", "/home"),
    ],
)
def test_the_first_page_is_below_the_mount_prefix(after, mount, found):
    provider = Provider()
    alice = browser(provider, login={"after_login": after, "after_logout": after})
    provider.says["end_session_endpoint"] = None

    left = alice.get("/auth/login", mount=mount)
    code = provider.code(left.asked)
    done = alice.get(f"/auth/callback?code={code}&state={left.asked['state']}", mount=mount)

    assert done.location == found
    assert alice.get("/auth/logout", mount=mount).location == found


# --- many at once ---------------------------------------------------------------------------------


def test_of_four_that_were_begun_the_oldest_goes():
    provider = Provider()
    alice = browser(provider)
    left = []
    for _ in range(4):
        left.append(alice.get("/auth/login"))
        provider.clock.advance(1)

    first, *others = (COOKIE + one.asked["state"][:17] for one in left)
    assert alice.cookies.keys() == set(others)
    assert left[3].cookies[0].startswith(f"{first}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax")
    assert alice.get(back(left[0], provider), headers=JSON).json()["code"] == "login_state"
    for one in left[1:]:
        assert alice.get(back(one, provider)).status == 302


def test_what_only_looks_like_one_of_ours_is_not_written_into_an_answer():
    provider = Provider()
    alice = browser(provider)
    names = [
        "x",
        "\xe4-12345678",
        "0" * 16 + "\xe4",
        "00000000-1234567;",
        "zzzzzzzz-12345678",
        "a" * 17,
        "00000000-\x7f",
    ]
    alice.cookies = {f"{COOKIE}{name}": "x" for name in [*names, *"abcdefg"]}

    for seen in (alice.get("/auth/login"), alice.get("/auth/logout")):
        for cookie in seen.cookies:
            assert re.match(rf"{COOKIE}[\w-]{{17}}=", cookie, re.ASCII)


def test_the_cookie_field_stays_below_what_servers_take():
    """With three sign-ins begun at the longest addresses, and a session that fills its cookie."""
    provider = Provider(note="x" * 2480)
    alice = browser(provider, login={"claims": ["note"]})
    alice.get(back(alice.get("/auth/login"), provider))
    session = sum(len(n) + len(v) + 3 for n, v in alice.cookies.items())
    assert 3780 < session < 3840
    for length in range(480, 540):  # the longest that is kept, and what is longer
        for _ in range(3):
            alice.get(f"/auth/login?next=/{'a' * length}")
        whole = sum(len(n) + len(v) + 3 for n, v in alice.cookies.items())
        assert whole < 8190 - 700


# --- the provider's document ----------------------------------------------------------------------

USELESS = {
    "another issuer": {"issuer": "https://evil.example/"},
    "no issuer": {"issuer": None},
    "another slash": {"issuer": ISS.rstrip("/")},
    "no S256": {"code_challenge_methods_supported": ["plain"]},
    "no challenges": {"code_challenge_methods_supported": []},
    "challenges that are text": {"code_challenge_methods_supported": "S256"},
    "no authorization endpoint": {"authorization_endpoint": None},
    "no token endpoint": {"token_endpoint": None},
    "http": {"authorization_endpoint": "http://login.example.com/"},
    "javascript": {"authorization_endpoint": "javascript:alert(1)//"},
    "relative": {"authorization_endpoint": "/authorization"},
    "a line": {"authorization_endpoint": f"{ISS}\r\nSet-Cookie: a=b"},
    "a fragment": {"authorization_endpoint": f"{ISS}#x"},
    "a user": {"token_endpoint": "https://a:b@login.example.com/token"},
    "a number": {"token_endpoint": 5},
    "too long": {"token_endpoint": ISS + "x" * 3000},
    "http for userinfo": {"userinfo_endpoint": "http://login.example.com/userinfo"},
    "http for logout": {"end_session_endpoint": "http://login.example.com/logout"},
}


@pytest.mark.parametrize("says", USELESS.values(), ids=USELESS)
def test_a_document_that_is_no_good_sends_nobody_anywhere(says):
    provider = Provider()
    provider.says = says

    seen = begun(provider)

    assert (seen.status, seen.cookies, seen.location) == (503, [], None)
    assert seen.header("Cache-Control") == "no-store"


FINE = {
    "no word of challenges": {"code_challenge_methods_supported": None},
    "what we never ask": {
        "registration_endpoint": "http://x/",
        "device_authorization_endpoint": 5,
        "introspection_endpoint": "http://x/",
    },
}


@pytest.mark.parametrize("says", FINE.values(), ids=FINE)
def test_a_document_is_good_without(says):
    provider = Provider()
    provider.says = says

    assert begun(provider).status == 302


GARBAGE = [b"", b"[]", b"null", b"{", b"\xff", b'{"issuer": 1, "issuer": 2}', b"[" * 100_000]


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:9]))
def test_a_document_that_is_none_sends_nobody_anywhere(body):
    provider = Provider()
    provider.raw[".well-known/openid-configuration"] = body

    assert begun(provider).status == 503


def asked_for_the_document(provider):
    return sum(fetch.url.endswith("openid-configuration") for fetch in provider.asked)


def test_the_document_is_good_for_an_hour_and_in_an_outage_beyond(logged):
    provider = Provider()
    alice = browser(provider)
    for _ in range(3):
        assert alice.get("/auth/login").status == 302
    assert asked_for_the_document(provider) == 1

    provider.clock.advance(3599)
    alice.get("/auth/login")
    assert asked_for_the_document(provider) == 1
    provider.clock.advance(1)
    alice.get("/auth/login")
    assert asked_for_the_document(provider) == 2

    provider.clock.advance(3600)
    provider.down.add(".well-known/openid-configuration")
    for _ in range(3):  # asked once in 30 seconds
        assert alice.get("/auth/login").status == 302
    assert asked_for_the_document(provider) == 3
    assert any("what it said before is used" in line for line in logged)
    provider.clock.advance(30)
    provider.down.clear()
    alice.get("/auth/login")
    assert asked_for_the_document(provider) == 4


def test_without_a_document_nobody_can_sign_in_and_it_is_asked_for_again():
    provider = Provider()
    provider.down.add(".well-known/openid-configuration")
    alice = browser(provider)

    seen = alice.get("/auth/login?next=/page")
    assert (seen.status, seen.cookies) == (503, [])
    assert b'<a href="/auth/login?next=%2Fpage">' in seen.body

    provider.down.clear()
    assert alice.get("/auth/login").status == 302


def test_the_document_is_fetched_ahead_of_the_first_sign_in(logged):
    provider = Provider()
    guard = site(provider)
    guard.in_threads = (provider, None)

    guard.warm()

    assert asked_for_the_document(provider) == 1
    assert begun_at(guard, provider).status == 302
    assert asked_for_the_document(provider) == 1


def test_an_outage_at_start_up_is_logged_and_stops_nothing(logged):
    provider = Provider()
    provider.down.add(".well-known/openid-configuration")
    guard = site(provider)
    guard.in_threads = (provider, None)

    guard.warm()

    assert any("nobody can sign in for now" in line for line in logged)


def begun_at(guard, provider):
    return Browser(guard, provider).get("/auth/login")


def test_a_provider_that_is_none_of_the_issuers_is_found_by_its_address():
    provider = Provider()
    alice = browser(provider, issuers=[])

    assert alice.get(back(alice.get("/auth/login"), provider)).status == 302
    assert alice.get("/page").token["idp"] == ISS


def test_the_document_of_an_issuer_is_where_that_issuer_found_it():
    provider = Provider()
    elsewhere = "https://documents.example.com/people"
    issuer = Issuer(ISS, name="people", audience="x", algorithms="RS256", keys=Discovery(elsewhere))

    asked = []

    def fetch(wanted):
        asked.append(wanted.url)
        raise FetchError("down")

    assert Browser(site(provider, issuers=[issuer]), fetch).get("/auth/login").status == 503
    assert asked == [elsewhere]


# --- pushed requests (RFC 9126) -------------------------------------------------------------------


def test_a_request_is_pushed_where_the_provider_takes_it():
    provider = Provider()
    provider.says["pushed_authorization_request_endpoint"] = f"{ISS}par"
    alice = browser(provider)

    left = alice.get("/auth/login")

    assert left.asked == {"client_id": "app", "request_uri": "urn:pushed"}
    (form,) = posted(provider, "par")
    assert form["redirect_uri"] == f"{ORIGIN}/auth/callback"
    assert form["code_challenge_method"] == "S256"
    code = provider.code(form)
    done = alice.get(f"/auth/callback?code={code}&state={form['state']}")
    assert done.status == 302


REFUSED_PUSH = {
    "refused": (400, b'{"error": "invalid_request"}', 400, "oauth2_error"),
    "refused without a word": (401, b"<b>no</b>", 400, "oauth2_error"),
    "accepted with the wrong status": (200, b'{"request_uri": "urn:x"}', 400, "oauth2_error"),
    "a broken provider": (500, b"<b>no</b>", 503, "token_exchange_failed"),
    "a busy provider": (429, b"{}", 503, "token_exchange_failed"),
    "garbage": (201, b"<b>no</b>", 503, "token_exchange_failed"),
    "no request_uri": (201, b"{}", 400, "oauth2_error"),
    "an empty request_uri": (201, b'{"request_uri": ""}', 400, "oauth2_error"),
    "a number": (201, b'{"request_uri": 5}', 400, "oauth2_error"),
    "too long": (201, b'{"request_uri": "%s"}' % (b"x" * 3000), 400, "oauth2_error"),
}


@pytest.mark.parametrize(
    ("answer", "body", "status", "code"), REFUSED_PUSH.values(), ids=REFUSED_PUSH
)
def test_a_pushed_request_that_is_not_taken_ends_the_sign_in(answer, body, status, code):
    provider = Provider()
    provider.says["pushed_authorization_request_endpoint"] = f"{ISS}par"
    provider.status["par"], provider.raw["par"] = answer, body

    seen = browser(provider).get("/auth/login", headers=JSON)

    assert (seen.status, seen.json()["code"], seen.cookies) == (status, code, [])
    assert b"<b>" not in seen.body


# --- who we are -----------------------------------------------------------------------------------


def signed_in_as(**client):
    provider = Provider()
    login = {"secret": SECRET, "client_id": "app", "client_secret": None, **client}
    alice = Browser(site(provider, RULES, login=login), provider)
    assert alice.get(back(alice.get("/auth/login"), provider)).status == 302
    (fetch,) = [f for f in provider.asked if f.url == f"{ISS}token"]
    return fetch, dict(_pairs(fetch.body))


def test_the_client_proves_itself_by_its_secret():
    fetch, form = signed_in_as(client_secret="s&cret")
    assert fetch.headers["Authorization"] == "Basic YXBwOnMlMjZjcmV0"
    assert form.keys() == {"grant_type", "code", "redirect_uri", "code_verifier"}

    fetch, form = signed_in_as(client_secret="s&cret", method="client_secret_post")
    assert "Authorization" not in fetch.headers
    assert (form["client_id"], form["client_secret"]) == ("app", "s&cret")


def test_the_client_proves_itself_by_its_key():
    key = private_key("ES256")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    fetch, form = signed_in_as(private_key=pem)
    assert "Authorization" not in fetch.headers
    assert form["client_id"] == "app"
    assert form["client_assertion"].count(".") == 2


def test_methods_that_no_browser_uses_there_are_refused():
    alice = browser(Provider())
    table = {
        "/auth/login": {"GET": "GET", "HEAD": None, "POST": None, "OPTIONS": None, "DELETE": None},
        "/auth/callback": {"HEAD": None, "POST": None, "PUT": None},
        "/auth/logout": {"HEAD": None, "PUT": None},
        "/auth/backchannel-logout": {"GET": None, "HEAD": None, "PATCH": None},
    }
    allowed = {
        "/auth/login": "GET",
        "/auth/callback": "GET",
        "/auth/logout": "GET, POST",
        "/auth/backchannel-logout": "POST",
    }
    for path, methods in table.items():
        for method, passes in methods.items():
            if not passes:
                seen = alice.send(method, path)
                assert (seen.status, seen.header("Allow"), seen.body) == (405, allowed[path], b"")
        handshake = alice.get(path, websocket=True, headers={"Accept": None})
        assert (handshake.status, handshake.json()["code"]) == (400, "bad_request")
        # A slash at the end makes no difference.
        assert alice.send("PUT", f"{path}/").status == 405


def test_no_rule_and_no_token_closes_these_paths():
    provider = Provider()
    alice = browser(provider, rules=[Rule("/auth/**", roles="admin")])

    assert alice.get("/auth/login").status == 302
    assert alice.get("/auth/login", headers={"Authorization": "Bearer x, Bearer y"}).status == 302
    assert alice.get("/auth/other").status == 302


def test_plain_http_is_sent_to_https_first():
    provider = Provider()
    alice = browser(provider, require_https="redirect")

    seen = alice.get("/auth/login?next=/x", scheme="http")

    assert (seen.status, seen.location) == (308, f"{ORIGIN}/auth/login?next=/x")
    assert alice.send("POST", "/auth/logout", scheme="http").status == 403


def test_repr_tells_no_secret():
    provider = Provider()
    guard = site(provider)
    login, alice = guard._setup.given.login, browser(provider)
    left = alice.get("/auth/login")
    shown = repr([guard, guard.site, login, login.client, *provider.asked, left.decision])
    for secret in (SECRET, CLIENT["client_secret"]):
        assert secret not in shown


def test_the_cookies_of_all_that_one_browser_began_fit_into_the_field_that_servers_take():
    provider = Provider(groups=[f"group-{i:03}" for i in range(300)])
    alice = browser(provider, login={"claims": ["groups"]})
    sign_in(alice, provider)
    long = "/page?q=" + "x" * 480
    for _ in range(5):
        alice.get(f"/auth/login?next={long}")
        assert len("; ".join(f"{n}={v}" for n, v in alice.cookies.items())) < 8190

    begun = [name for name in alice.cookies if "-login-" in name]
    assert len(begun) == 2


def test_a_page_that_says_to_begin_again_leads_nowhere_else():
    provider = Provider()
    provider.down.add(".well-known/openid-configuration")
    alice = browser(provider)

    for wanted in ("//evil.example", "https://evil.example/", '/"><script>', "/auth/logout"):
        page = alice.get(f"/auth/login?next={quote(wanted, safe='')}").body
        assert b"<script" not in page
        assert b"evil" not in page
        (again,) = re.findall(rb'href="([^"]*)"', page)
        assert again in (b"/auth/login?next=%2F", b"/auth/login?next=%2F%2522%253E%253Cscript%253E")
