"""A login through every door: redirects, several cookies in one answer, bodies, what is renewed."""

from urllib.parse import urlencode

import pytest

from tests.doors import APP_BODY, DOORS, Ask, do_without

from .people import Provider, Seen, back, browser, sign_in
from .test_signing_out import FROM_PROVIDER, logout_token

DOORS = {**DOORS}
try:
    from tests.fastapi_door import FASTAPI_DOORS

    DOORS |= FASTAPI_DOORS
except ModuleNotFoundError as missing:
    do_without(missing)
try:
    from tests.flask_door import flask_door

    DOORS["flask"] = flask_door
except ModuleNotFoundError as missing:
    do_without(missing)
try:
    from tests.quart_door import quart_door

    DOORS["quart"] = quart_door
except ModuleNotFoundError as missing:
    do_without(missing)
try:
    from tests.django_door import DJANGO_DOORS

    DOORS |= DJANGO_DOORS
except ModuleNotFoundError as missing:
    do_without(missing)

NAME = "__Host-jwtguard-session"
MANY = [f"group-{i:03}" for i in range(300)]

pytestmark = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


class Through:
    """A browser of `people` in front of a door; ``cookies`` are what it holds."""

    def __init__(self, door, provider, **words):
        self.browser = browser(provider, **words)
        self.provider = provider
        self._door = door

    def ask(self, target, method="GET", body=b"", headers=None, **words):
        said = {"Host": "app.example.com", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        said |= {"Accept": "text/html", **(headers or {})}
        if self.browser.cookies:
            said["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.browser.cookies.items())
        pairs = [(name, value) for name, value in said.items() if value is not None]
        ask = Ask(target, method, pairs, body=body, **words)
        answer = self._door(self.browser.guard, ask, self.provider)
        self.browser.keep(cookies(answer))
        return answer


class Location:
    """An answer as `people.back` wants it."""

    def __init__(self, answer):
        self.asked = Seen(answer.status, answer.headers).asked


def cookies(answer):
    # Django writes a space in front, which is none of the value (RFC 9110 section 5.5).
    return [value.strip() for name, value in answer.headers if name.lower() == "set-cookie"]


def parts(cookie):
    """A Set-Cookie value: name, value, and its attributes in whatever order and case."""
    pair, *attributes = cookie.split(";")
    name, _, value = pair.partition("=")
    return name, value.strip('"'), {one.strip().lower() for one in attributes}


SAFE = {"path=/", "httponly", "samesite=lax", "secure"}


def test_the_whole_way(door):
    provider = Provider(groups=MANY)
    alice = Through(door, provider, login={"claims": ["groups"]})

    sent = alice.ask("/page?x=1")
    assert (sent.status, sent.header("Location")) == (302, "/auth/login?next=%2Fpage%3Fx%3D1")

    left = alice.ask(sent.header("Location"))
    assert left.status == 302
    ((name, value, attributes),) = map(parts, cookies(left))
    assert name.startswith("__Host-jwtguard-login-")
    assert value
    assert attributes == {"max-age=600", *SAFE}
    assert left.header("Cache-Control") == "no-store"

    done = alice.ask(back(Location(left), provider))
    assert (done.status, done.header("Location"), done.body) == (302, "/page?x=1", b"")
    found = {one[0]: one[1:] for one in map(parts, cookies(done))}
    assert found.keys() == {name, NAME, f"{NAME}-1"}
    assert found[name] == ("", {"max-age=0", *SAFE})
    assert found[NAME][0].startswith("ey")
    assert found[NAME][1] == found[f"{NAME}-1"][1] == {"max-age=3600", *SAFE}
    assert done.header("Cache-Control") == "no-store"

    seen = alice.ask("/page?x=1")
    assert (seen.status, seen.body, seen.seen.token.subject) == (200, APP_BODY, "alice")
    assert cookies(seen) == []

    out = alice.ask("/auth/logout")
    assert out.status == 302
    assert {one[0]: one[1:] for one in map(parts, cookies(out))} == {
        NAME: ("", {"max-age=0", *SAFE}),
        f"{NAME}-1": ("", {"max-age=0", *SAFE}),
    }
    assert alice.ask("/page").status == 302


def test_a_renewed_session_comes_beside_what_the_app_sets(door):
    provider = Provider(groups=MANY)
    alice = Through(door, provider, login={"claims": ["groups"]})
    sign_in(alice.browser, provider)
    provider.clock.advance(2000)

    seen = alice.ask("/page")

    assert (seen.status, seen.body) == (200, APP_BODY)
    assert [one[0] for one in map(parts, cookies(seen))] == [NAME, f"{NAME}-1"]
    assert all(one[2] == {"max-age=3600", *SAFE} for one in map(parts, cookies(seen)))
    # What the app sets is still there.
    assert (seen.header("Cache-Control"), seen.header("Referrer-Policy")) == (
        "no-store",
        "no-referrer",
    )
    again = alice.ask("/page")
    assert (again.status, cookies(again)) == (200, [])
    assert again.seen.token["exp"] == provider.clock() + 3600


def test_a_form_signs_out_and_goes_on_by_get(door):
    provider = Provider()
    alice = Through(door, provider)
    sign_in(alice.browser, provider)

    page = alice.ask("/auth/logout", headers={"Sec-Fetch-Site": "cross-site"})
    assert (page.status, cookies(page)) == (200, [])
    assert b'<form method="post" action="/auth/logout">' in page.body
    assert page.header("Referrer-Policy") == "same-origin"

    refused = alice.ask("/auth/logout", "POST", headers={"Sec-Fetch-Site": "cross-site"})
    assert (refused.status, cookies(refused)) == (403, [])
    origin = {"Sec-Fetch-Site": None, "Origin": "https://app.example.com"}
    assert alice.ask("/auth/logout", "POST", b"", origin).status == 303
    assert alice.ask("/page").status == 302


def test_the_provider_is_listened_to(door):
    provider = Provider()
    alice = Through(door, provider)
    sign_in(alice.browser, provider)
    provider.clock.advance(1)
    raw = logout_token(provider)
    told = Through(door, provider)
    told.browser.guard = alice.browser.guard

    def tell(body, **headers):
        path = "/auth/backchannel-logout"
        length = {"Content-Length": str(len(body))}
        return told.ask(path, "POST", body, {**FROM_PROVIDER, **length, **headers})

    for body in (b"", b"logout_token=x", b"\xff", b"a" * 70_000, b"logout_token=" + b"a" * 65_536):
        answer = tell(body)
        assert (answer.status, answer.body) == (400, b'{"error": "invalid_request"}')
    assert alice.ask("/page").status == 200

    answer = tell(urlencode({"logout_token": raw}).encode())
    assert (answer.status, answer.body, answer.header("Cache-Control")) == (200, b"", "no-store")
    assert alice.ask("/page").status == 302


def test_what_comes_to_nothing_is_a_page_or_json(door):
    alice = Through(door, Provider())

    page = alice.ask("/auth/callback?error=%3Cscript%3E&state=x")
    assert (page.status, page.header("Content-Type")) == (400, "text/html; charset=utf-8")
    assert b"<script>" not in page.body
    told = alice.ask("/auth/callback", headers={"Accept": "application/json"})
    assert (told.status, b'"code": "missing_code"' in told.body) == (400, True)
    assert alice.ask("/auth/login", "POST").status == 405
    assert alice.ask("/auth/callback", "HEAD").status == 405


def test_the_mount_prefix_is_in_every_address(door):
    provider = Provider()
    alice = Through(door, provider)

    sent = alice.ask("/app/page", mount="/app")
    assert sent.header("Location") == "/app/auth/login?next=%2Fapp%2Fpage"
    left = alice.ask(sent.header("Location"), mount="/app")
    assert left.status == 302
    asked = Location(left).asked
    assert asked["redirect_uri"] == "https://app.example.com/app/auth/callback"
    done = alice.ask(back(Location(left), provider), mount="/app")
    assert (done.status, done.header("Location")) == (302, "/app/page")


def test_an_outage_is_a_503(door):
    provider = Provider()
    provider.down.add(".well-known/openid-configuration")
    alice = Through(door, provider)

    answer = alice.ask("/auth/login")
    assert (answer.status, cookies(answer)) == (503, [])
