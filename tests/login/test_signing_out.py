"""Signing out: by the person, and by the provider (Back-Channel Logout 1.0)."""

from urllib.parse import urlencode

import pytest

from jwtguard import Revocations, drive
from jwtguard.core import Request
from jwtguard.errors import Unavailable
from jwtguard.testing import private_key, sign

from .people import (
    ISS,
    JSON,
    ORIGIN,
    UNTOLD,
    Browser,
    Provider,
    browser,
    sign_in,
    site,
)

NAME = "__Host-jwtguard-session"
GONE = "Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"


def signed_in(provider, **words):
    alice = browser(provider, **words)
    assert sign_in(alice, provider).status == 302
    return alice


# --- by the person --------------------------------------------------------------------------------

ASKERS = {
    "the user": ({}, 302),
    "a link of ours": ({"Sec-Fetch-Site": "same-origin"}, 302),
    "a link of ours, with all that browsers say": (
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"},
        302,
    ),
    "fetch of ours": (
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
        302,
    ),
    "another site": ({"Sec-Fetch-Site": "cross-site"}, 200),
    "another host": ({"Sec-Fetch-Site": "same-site"}, 200),
    "nobody says": ({"Sec-Fetch-Site": None}, 200),
    "nobody says, Origin does": ({"Sec-Fetch-Site": None, "Origin": ORIGIN}, 200),
    "a word that is none": ({"Sec-Fetch-Site": "Same-Origin"}, 200),
    "two words": ({"Sec-Fetch-Site": "none, cross-site"}, 200),
    # What people wrote into a page of ours, such as ![](/auth/logout), was not asked for.
    "an image of ours": ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}, 200),
    "a frame of ours": ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "iframe"}, 200),
    "a link that was only looked at": (
        {"Sec-Fetch-Site": "same-origin", "Sec-Purpose": "prefetch;prerender"},
        200,
    ),
    "the same, as it was said before": ({"Sec-Fetch-Site": "none", "Purpose": "prefetch"}, 200),
}


@pytest.mark.parametrize(("headers", "status"), ASKERS.values(), ids=ASKERS)
def test_an_address_signs_out_only_if_the_person_meant_it(headers, status):
    alice = signed_in(Provider())

    seen = alice.get("/auth/logout", headers=headers)

    assert seen.status == status
    assert seen.header("Cache-Control") == "no-store"
    assert alice.get("/page").status == (302 if status == 302 else 200)
    if status == 302:
        assert seen.cookies == [f"{NAME}=; {GONE}"]
    else:
        assert seen.cookies == []


def test_the_page_asks_and_cannot_be_framed():
    alice = signed_in(Provider())

    seen = alice.get("/auth/logout", headers={"Sec-Fetch-Site": None}, mount='/a"<b>&amp')

    assert seen.header("Content-Type") == "text/html; charset=utf-8"
    assert int(seen.header("Content-Length")) == len(seen.body)
    policy = seen.header("Content-Security-Policy").split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert seen.header("X-Frame-Options") == "DENY"
    page = seen.body.decode()
    assert '<form method="post" action="/a%22%3Cb%3E&amp;amp/auth/logout">' in page
    assert '<a href="/a%22%3Cb%3E&amp;amp/">' in page
    assert "<b>" not in page
    assert "<script" not in page
    # With "no-referrer" browsers say "Origin: null" of the form (Fetch section 3.1), and those
    # that say nothing else would never get out.
    assert seen.header("Referrer-Policy") == "same-origin"


POSTS = {
    "the form": ({"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, 303),
    "the form in an old browser": ({"Sec-Fetch-Site": None, "Origin": ORIGIN}, 303),
    "the form where a proxy tells our name": ({"Sec-Fetch-Site": "none", "Origin": None}, 303),
    "another site": ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
    "another host": ({"Sec-Fetch-Site": "same-site", "Origin": "https://x.example.com"}, 403),
    "another site in an old browser": ({"Sec-Fetch-Site": None, "Origin": "https://evil.ex"}, 403),
    "an opaque origin": ({"Sec-Fetch-Site": None, "Origin": "null"}, 403),
    "nobody says": ({"Sec-Fetch-Site": None}, 403),
    "another site that is listed": (
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://friend.example"},
        403,
    ),
}


@pytest.mark.parametrize(("headers", "status"), POSTS.values(), ids=POSTS)
def test_a_form_signs_out_if_it_is_ours(headers, status):
    alice = signed_in(Provider(), origins="https://friend.example")

    seen = alice.send("POST", "/auth/logout", headers=headers)

    assert seen.status == status
    assert alice.get("/page").status == (302 if status == 303 else 200)
    if status == 403:
        assert seen.cookies == []


def test_all_cookies_of_a_login_are_taken_away():
    provider = Provider(groups=[f"group-{i:03}" for i in range(300)])
    alice = signed_in(provider, login={"claims": ["groups"]})
    for _ in range(2):
        alice.get("/auth/login")
    alice.cookies["theme"] = "dark"
    assert len(alice.cookies) == 5

    seen = alice.get("/auth/logout")

    assert alice.cookies == {"theme": "dark"}
    assert len(seen.cookies) == 4
    assert all(cookie.endswith(f"=; {GONE}") for cookie in seen.cookies)


def test_a_copy_of_the_cookie_is_worth_nothing_afterwards():
    provider = Provider()
    alice = signed_in(provider)
    copy = dict(alice.cookies)
    assert alice.get("/page").status == 200  # and is remembered
    alice.get("/auth/logout")

    alice.cookies = dict(copy)
    seen = alice.get("/page", headers={**JSON, "Sec-Fetch-Mode": None})
    assert (seen.status, seen.json()["code"]) == (401, "invalid_token")
    assert alice.get("/page").location == "/auth/login?next=%2Fpage"
    provider.clock.advance(2000)
    alice.cookies = dict(copy)
    assert alice.get("/page").status == 302
    assert alice.get("/maybe").token is None


def test_a_copy_is_worth_nothing_until_its_very_end():
    """Also in the seconds that clocks may differ, after a session that lasted no time."""
    provider = Provider()
    alice = signed_in(provider, login={"idle": 1000, "lifetime": 1000})
    copy = dict(alice.cookies)
    alice.get("/auth/logout")

    for _ in range(1020):
        provider.clock.advance(1)
        alice.cookies = dict(copy)
        assert alice.get("/page").status == 302


def test_who_signs_out_in_one_browser_stays_signed_in_in_another():
    provider = Provider()
    guard = site(provider)
    one, two = Browser(guard, provider), Browser(guard, provider)
    sign_in(one, provider), sign_in(two, provider)

    one.get("/auth/logout")

    assert (one.get("/page").status, two.get("/page").status) == (302, 200)
    sign_in(one, provider)
    assert one.get("/page").status == 200


def test_signing_out_needs_no_session():
    alice = browser(Provider())

    for value in (None, "x", "a.b.c", "\xe4", "a b"):
        alice.cookies = {} if value is None else {NAME: value}
        seen = alice.get("/auth/logout")
        assert (seen.status, len(seen.cookies)) == (302, value is not None)


def test_the_browser_goes_on_to_where_the_provider_ends_its_session():
    provider = Provider()
    seen = signed_in(provider).get("/auth/logout")

    assert seen.location.startswith(f"{ISS}end?x=1&")
    assert seen.asked == {
        "x": "1",
        "client_id": "app",
        "post_logout_redirect_uri": f"{ORIGIN}/",
    }
    assert seen.header("Referrer-Policy") == "no-referrer"
    login = {"after_logout": "/bye?a=b"}
    seen = signed_in(provider, login=login).get("/auth/logout", mount="/app")
    assert seen.asked["post_logout_redirect_uri"] == f"{ORIGIN}/app/bye?a=b"
    provider.says["end_session_endpoint"] = f"{ISS}end"
    seen = signed_in(provider).get("/auth/logout")
    assert seen.location.startswith(f"{ISS}end?client_id=app&")


def test_where_the_provider_cannot_be_asked_it_is_signed_out_here(logged):
    provider = Provider()
    alice = signed_in(provider)
    alice.guard = site(provider)  # a process that knows no document yet
    provider.down.add(".well-known/openid-configuration")

    seen = alice.get("/auth/logout")

    assert (seen.status, seen.location, alice.cookies) == (302, "/", {})
    assert any(line.startswith("signed out here only: ") for line in logged)


def test_a_provider_without_such_a_page_is_not_gone_to():
    provider = Provider()
    provider.says["end_session_endpoint"] = None

    assert signed_in(provider).get("/auth/logout").location == "/"


class Alone(Revocations):
    """Revocations that the others cannot be told of, as in an outage of what is shared."""

    def revoke_flow(self, *args, **words):
        yield from super().revoke_flow(*args, **words)
        raise Unavailable("revocation_not_stored", hint="down")


def test_where_others_cannot_be_told_the_browser_is_signed_out_here(logged):
    provider = Provider()
    alice = signed_in(provider, revocations=Alone(clock=provider.clock))
    copy = dict(alice.cookies)

    seen = alice.get("/auth/logout")

    assert (seen.status, alice.cookies) == (302, {})
    assert any("is not ended everywhere yet: revocation_not_stored: down" in one for one in logged)
    alice.cookies = copy
    assert alice.get("/page").status == 302


# --- by the provider ------------------------------------------------------------------------------

EVENT = "http://schemas.openid.net/event/backchannel-logout"


def logout_token(provider, header=None, key=None, algorithm="RS256", **claims):
    now = int(provider.clock())
    said = {
        "iss": ISS,
        "aud": "app",
        "iat": now,
        "exp": now + 120,
        "jti": "one",
        "sid": "s1",
        "sub": "alice",
        "events": {EVENT: {}},
        **claims,
    }
    said = {name: value for name, value in said.items() if value is not None}
    kid, own = provider.idp._keys[0]
    raw = sign(said, key or own, algorithm, {"kid": kid, "typ": "logout+jwt", **(header or {})})
    UNTOLD.add(raw)
    return raw


# Providers are no browsers: no cookies, no Origin, no Sec-Fetch-Site.
FROM_PROVIDER = {
    "Sec-Fetch-Site": None,
    "Sec-Fetch-Mode": None,
    "Accept": None,
    "Content-Type": "application/x-www-form-urlencoded",
}


def tell(guard, provider, body, method="POST", **headers):
    path = "/auth/backchannel-logout"
    if not isinstance(body, bytes):
        body = urlencode({"logout_token": body}).encode()
    told = Browser(guard, provider)
    return told.send(method, path, body=body, headers={**FROM_PROVIDER, **headers})


def heard(seen):
    assert seen.header("Cache-Control") == "no-store"
    assert seen.cookies == []
    if seen.status == 200:
        assert seen.body == b""
        return True
    assert (seen.status, seen.json()) == (400, {"error": "invalid_request"})
    assert seen.header("Content-Type") == "application/json"
    return False


ENDED = {
    "by sid": ({"sub": None}, {"s1": True, "s2": False}),
    "by sub": ({"sid": None}, {"s1": True, "s2": True}),
    "by both, where the sid counts": ({}, {"s1": True, "s2": False}),
    "another sid": ({"sid": "s3", "sub": None}, {"s1": False, "s2": False}),
    "another sub": ({"sid": None, "sub": "bob"}, {"s1": False, "s2": False}),
    "our own word for a session": ({"sid": "jti", "sub": None}, {"s1": False, "s2": False}),
}


@pytest.mark.parametrize(("claims", "ends"), ENDED.values(), ids=ENDED)
@pytest.mark.parametrize("known", [True, False], ids=["an issuer", "an address"])
def test_a_logout_token_ends_the_sessions_it_names(claims, ends, known):
    provider = Provider()
    guard = site(provider, **({} if known else {"issuers": []}))
    people = {}
    for sid in ends:
        people[sid] = Browser(guard, provider)
        sign_in(people[sid], provider, sid=sid)
        assert people[sid].get("/page").status == 200
    provider.clock.advance(1)

    assert heard(tell(guard, provider, logout_token(provider, **claims)))

    for sid, alice in people.items():
        assert alice.get("/page").status == (302 if ends[sid] else 200)


def test_who_signs_in_afterwards_is_signed_in():
    provider = Provider()
    guard = site(provider)
    alice = Browser(guard, provider)
    sign_in(alice, provider)
    provider.clock.advance(1)
    for claims in ({"sub": None}, {"sid": None}):
        provider.clock.advance(1)
        assert heard(tell(guard, provider, logout_token(provider, **claims)))
        assert alice.get("/page").status == 302
        provider.clock.advance(1)
        sign_in(alice, provider)
        assert alice.get("/page").status == 200


def test_access_tokens_of_the_same_person_are_not_ended():
    provider = Provider()
    alice = signed_in(provider)
    raw = provider.idp.token("alice", aud="https://api.example.com", sid="s1")
    provider.clock.advance(1)
    tell(alice.guard, provider, logout_token(provider))

    seen = alice.get("/page", headers={"Authorization": f"Bearer {raw}"})
    assert (seen.status, seen.token.issuer) == (200, "people")
    assert alice.get("/page").status == 302


def test_a_session_that_was_ended_is_not_renewed_and_not_forgotten_before_its_end():
    provider = Provider()
    alice = signed_in(provider, login={"idle": 1000, "lifetime": 1000})
    copy = dict(alice.cookies)
    provider.clock.advance(0.5)
    tell(alice.guard, provider, logout_token(provider))

    for _ in range(1020):
        alice.cookies = dict(copy)
        seen = alice.get("/page")
        assert (seen.status, seen.cookies) == (302, [])
        provider.clock.advance(1)


def test_revocations_of_the_guard_hear_of_it():
    provider = Provider()
    ended = Revocations(clock=provider.clock)
    alice = signed_in(provider, revocations=ended)
    jti = alice.get("/page").token["jti"]

    alice.get("/auth/logout")
    tell(alice.guard, provider, logout_token(provider))

    found = [(entry.kind, entry.value, entry.issuer) for entry in ended.entries]
    assert found == [("jti", jti, "session"), ("sid", "s1", "session")]


WORTHLESS = {
    "nobody named": {"sid": None, "sub": None},
    "an empty sid": {"sid": "", "sub": None},
    "an empty sub": {"sid": None, "sub": ""},
    "a sid that is no text": {"sid": 5},
    "a sub that is no text": {"sub": ["alice"], "sid": None},
    "a nonce": {"nonce": "x"},
    "a nonce that is null-like": {"nonce": False},
    "no events": {"events": None},
    "events that are a list": {"events": [EVENT]},
    "events that are text": {"events": EVENT},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "an event that is no object": {"events": {EVENT: True}},
    "no jti": {"jti": None},
    "a jti that is no text": {"jti": 5},
    "an empty jti": {"jti": ""},
    "no iat": {"iat": None},
    "too old": {"iat": 1_799_999_000},
    "of the future": {"iat": 1_800_009_000},
    "expired": {"exp": 1_799_999_000},
    "another audience": {"aud": "other"},
    "no audience": {"aud": None},
    "another issuer": {"iss": "https://evil.example/"},
    "no issuer": {"iss": None},
    "a header: no such typ": {"header": {"typ": "at+jwt"}},
    "a header: our own typ": {"header": {"typ": "jwtguard-session+jwt"}},
    "a header: alg none": {"header": {"alg": "none"}},
    "a header: alg HS256": {"header": {"alg": "HS256"}},
    "a header: crit": {"header": {"crit": ["x"]}},
    "a header: an unknown kid": {"header": {"kid": "x"}},
    "another key": {"key": "other"},
    "the client's secret": {"key": b"the client's own" * 2, "algorithm": "HS256"},
}


@pytest.mark.parametrize("words", WORTHLESS.values(), ids=WORTHLESS)
def test_a_logout_token_that_is_none_ends_nothing(words, logged):
    provider = Provider()
    alice = signed_in(provider)
    provider.clock.advance(1)
    if words.get("key") == "other":
        words = {"key": private_key("RS256")}

    assert not heard(tell(alice.guard, provider, logout_token(provider, **words)))

    assert alice.get("/page").status == 200
    assert any(line.startswith("back-channel logout refused: ") for line in logged)


@pytest.mark.parametrize(
    ("after", "good"), [(0, True), (100, True), (600, True), (609, True), (611, False)]
)
def test_a_logout_token_that_is_replayed_is_worthless_after_ten_minutes(after, good):
    provider = Provider()
    alice = signed_in(provider)
    raw = logout_token(provider, exp=int(provider.clock()) + 9999)
    provider.clock.advance(after)

    assert heard(tell(alice.guard, provider, raw)) == good


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "JWT", "LOGOUT+JWT"])
def test_the_types_of_logout_tokens(typ):
    provider = Provider()
    alice = signed_in(provider)

    assert heard(tell(alice.guard, provider, logout_token(provider, header={"typ": typ})))


def test_an_id_token_and_a_session_end_nothing():
    provider = Provider()
    alice = signed_in(provider)
    id_token = provider.idp.token("alice", nonce="x", sid="s1", jti="x")

    assert not heard(tell(alice.guard, provider, id_token))
    assert not heard(tell(alice.guard, provider, alice.cookies[NAME]))
    assert alice.get("/page").status == 200


BODIES = {
    "nothing": b"",
    "no form": b"\xff\xfe",
    "JSON": b'{"logout_token": "x"}',
    "no token": b"a=b",
    "an empty one": b"logout_token=",
    "garbage": b"logout_token=x",
    "escapes that are none": b"logout_token=%zz%",
    "no ASCII in it": b"logout_token=%ff%fe",
    "fifty fields": b"&".join(b"f%d=x" % i for i in range(50)),
    "a token of 20 KB": b"logout_token=" + b"a" * 20_000,
    "more than 64 KB": b"logout_token=" + b"a" * 70_000,
    "many MB": b"a" * 5_000_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_none_is_refused(body):
    provider = Provider()

    assert not heard(tell(site(provider), provider, body))


def test_two_tokens_are_none_and_more_fields_are_fine():
    provider = Provider()
    alice = signed_in(provider)
    provider.clock.advance(1)
    raw = logout_token(provider)

    assert not heard(tell(alice.guard, provider, f"logout_token={raw}&logout_token={raw}".encode()))
    assert alice.get("/page").status == 200
    many = "&".join(f"f{i}=x" for i in range(50))
    assert not heard(tell(alice.guard, provider, f"{many}&logout_token={raw}".encode()))
    assert alice.get("/page").status == 200
    assert heard(tell(alice.guard, provider, f"a=b&logout_token={raw}&c=".encode()))
    assert alice.get("/page").status == 302


def test_where_others_cannot_be_told_the_provider_may_tell_again():
    provider = Provider()
    guard = site(provider, revocations=Alone(clock=provider.clock))

    assert tell(guard, provider, logout_token(provider)).status == 503


def test_where_keys_cannot_be_had_nothing_is_said_about_the_token():
    provider = Provider()
    guard = site(provider, issuers=[])
    provider.down.add("jwks")

    seen = tell(guard, provider, logout_token(provider))

    assert (seen.status, seen.json()["code"]) == (503, "unavailable")
    assert seen.header("Retry-After")


def test_a_body_that_does_not_come_is_refused():
    guard = site(Provider())
    seen = drive.run(guard.decide_flow(Request("POST", "/auth/backchannel-logout")))
    assert seen.status == 400  # a door that hands over no body

    class Broken(Request):
        def read_body(self, max_bytes):
            raise OSError("the connection is gone")

    seen = drive.run(guard.decide_flow(Broken("POST", "/auth/backchannel-logout")))
    assert (seen.status, b"gone" in seen.body) == (400, False)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"])
def test_only_post_is_listened_to(method):
    provider = Provider()
    alice = signed_in(provider)
    provider.clock.advance(1)

    seen = tell(alice.guard, provider, logout_token(provider), method=method)

    assert (seen.status, seen.header("Allow")) == (405, "POST")
    assert alice.get("/page").status == 200


def test_a_token_in_the_query_is_not_read():
    provider = Provider()
    alice = signed_in(provider)
    provider.clock.advance(1)
    path = f"/auth/backchannel-logout?logout_token={logout_token(provider)}"

    assert alice.send("POST", path, headers=FROM_PROVIDER).status == 400
    assert alice.get("/page").status == 200
