"""People sign in with a browser: Chromium, a certified OpenID provider, and both doors.

Each journey runs with JavaScript and without, as none of our pages needs any.
"""

import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from .browser import APP, ELSEWHERE, SIBLING
from .openid import private_jwk, provider
from .sites import DOORS, PEOPLE, SESSION, own_key, site, target

LOGIN = "__Host-jwtguard-login-"
ASKED_FOR = "/inside?a=1&b=%C3%A9"
"""A page that nobody sees who is not signed in."""

both_doors = pytest.mark.parametrize("door", DOORS)
each_once = pytest.mark.parametrize(
    ("door", "browser"),
    [("wsgi", True), ("asgi", False)],
    indirect=["browser"],
    ids=["wsgi, scripts", "asgi, no scripts"],
)
"""For what takes an app of its own."""


def claims(browser):
    return json.loads(browser.find("#claims").text)


def at_provider(browser, site):
    return browser.url.startswith(f"{site.openid.issuer}/interaction/")


def ours(browser):
    """The cookies of the app, by name."""
    return {name: it for name, it in browser.cookies().items() if it["domain"] == APP}


# --- signing in ---------------------------------------------------------------------------------


def test_who_signs_in_is_back_at_the_page_asked_for(app, browser):
    browser.visit(app.url(ASKED_FOR))
    assert at_provider(browser, app)
    browser.sign_in("ada")

    assert browser.url == app.url(ASKED_FOR)
    assert browser.find("h1").text == ASKED_FOR
    assert browser.find("#script").text == ("ran" if browser.scripts else "none")
    found = claims(browser)
    assert {name: found[name] for name in ("sub", *PEOPLE["ada"])} == {"sub": "ada"} | PEOPLE["ada"]
    assert found["idp"] == app.openid.issuer


def test_a_reload_asks_nobody_anything(app, browser):
    browser.visit(app.url(ASKED_FOR))
    browser.sign_in("ada")
    before = app.openid.hits("/auth"), claims(browser)

    browser.reload()

    assert browser.url == app.url(ASKED_FOR)
    assert (app.openid.hits("/auth"), claims(browser)) == before


def test_the_session_is_the_one_cookie_that_is_left_and_no_script_reads_it(app, browser):
    browser.visit(app.url("/inside"))
    assert [name.startswith(LOGIN) for name in ours(browser)] == [True]
    browser.sign_in("ada")

    (cookie,) = ours(browser).values()
    wanted = {"name": SESSION, "path": "/", "httpOnly": True, "secure": True, "sameSite": "Lax"}
    assert cookie | wanted == cookie
    assert SESSION not in browser.source
    if browser.scripts:
        assert browser.chrome.execute_script("return document.cookie") == ""


def test_two_tabs_sign_in_side_by_side(app, browser):
    browser.visit(app.url("/inside?tab=1"))
    first = browser.tab
    second = browser.new_tab()
    browser.visit(app.url("/inside?tab=2"))
    assert at_provider(browser, app)
    assert len([name for name in ours(browser) if name.startswith(LOGIN)]) == 2

    browser.tab = first
    browser.sign_in("ada")
    assert browser.url == app.url("/inside?tab=1")
    browser.tab = second
    browser.sign_in("ada")

    assert browser.url == app.url("/inside?tab=2")
    assert list(ours(browser)) == [SESSION]


def test_many_sign_ins_that_nobody_finishes_leave_few_cookies(app, browser):
    for tab in range(8):
        browser.visit(app.url(f"/inside?tab={tab}"))

    assert len([name for name in ours(browser) if name.startswith(LOGIN)]) <= 3
    browser.sign_in("ada")
    assert browser.url == app.url("/inside?tab=7")


def test_a_form_that_is_sent_without_a_session_is_not_sent_again_later(app, browser):
    browser.visit(app.url("/"))
    browser.follow("Send")

    assert browser.url == app.url("/inside")
    assert browser.find("h1").text != "/inside"
    assert not ours(browser)


def test_what_a_script_asks_for_is_refused_and_not_sent_to_a_page_for_people(app, modern):
    modern.visit(app.url("/"))
    modern.chrome.set_script_timeout(10)
    found = modern.chrome.execute_async_script(
        "const done = arguments[0];"
        "fetch('/claims').then(r =>"
        "  done([r.status, r.redirected, r.headers.get('www-authenticate')]))"
    )

    assert found == [401, False, "Bearer"]
    assert not ours(modern)


# --- sessions end -------------------------------------------------------------------------------

IDLE = 4  # seconds: what a page takes on a busy machine, and some


@each_once
def test_a_session_ends_unless_it_is_used_and_signing_in_again_takes_no_password(
    door, people, certificate, browser, tmp_path
):
    with site(door, people, tmp_path, certificate, login={"idle": IDLE}) as app:
        browser.visit(app.url(ASKED_FOR))
        browser.sign_in("ada")
        used = first = claims(browser)
        while used["iat"] < first["exp"]:
            time.sleep(0.3)
            browser.reload()
            used = claims(browser)
            assert used["jti"] == first["jti"]
        browser.wait(lambda: SESSION not in ours(browser))
        browser.reload()

        assert browser.url == app.url(ASKED_FOR)
        renewed = claims(browser)

    assert used["auth_time"] == first["auth_time"]
    assert renewed["jti"] != used["jti"]
    assert renewed["auth_time"] > used["iat"] + IDLE


@each_once
def test_a_session_ends_at_last_however_much_it_is_used(
    door, people, certificate, browser, tmp_path
):
    with site(door, people, tmp_path, certificate, login={"idle": IDLE, "lifetime": 5}) as app:
        browser.visit(app.url("/inside"))
        browser.sign_in("ada")
        first = claims(browser)
        again = first
        while again["jti"] == first["jti"]:
            assert again["iat"] < first["auth_time"] + 5
            time.sleep(0.3)
            browser.reload()
            again = claims(browser)

    assert again["auth_time"] > first["auth_time"] + 5


# --- signing out --------------------------------------------------------------------------------


def test_a_link_of_the_app_signs_out_here_and_at_the_provider(app, browser):
    browser.visit(app.url("/inside"))
    browser.sign_in("ada")
    browser.follow("Sign out")
    assert browser.url.startswith(f"{app.openid.issuer}/session/end")
    assert not ours(browser)
    browser.follow("Yes, sign me out")

    assert browser.url == app.url("/")
    assert claims(browser) == {}
    browser.visit(app.url("/inside"))
    assert at_provider(browser, app)
    assert browser.find("[name=password]")


def test_a_copy_of_the_session_is_worth_nothing_after_signing_out(app, browser):
    browser.visit(app.url("/inside"))
    browser.sign_in("ada")
    copied = {SESSION: ours(browser)[SESSION]["value"]}
    with app.visitor() as visitor:
        visitor.http.cookies.update(copied)
        assert visitor.claims()["sub"] == "ada"
        browser.follow("Sign out")

        assert visitor.claims() is None


@pytest.mark.parametrize("host", [ELSEWHERE, SIBLING])
def test_a_link_of_another_site_signs_nobody_out_before_he_says_so(app, browser, host):
    browser.visit(app.url("/inside"))
    browser.sign_in("ada")
    browser.visit(app.url("/elsewhere", host))
    browser.follow("Sign out there")
    assert browser.url == app.url("/auth/logout")
    assert browser.obstacles() == []
    browser.follow("No, stay signed in")
    assert browser.url == app.url("/")
    browser.visit(app.url("/inside"))
    assert claims(browser)["sub"] == "ada"

    browser.visit(app.url("/elsewhere", host))
    browser.follow("Sign out there")
    browser.follow("Sign out")

    assert browser.url.startswith(f"{app.openid.issuer}/session/end")
    assert not ours(browser)


def test_a_link_of_another_site_finds_the_session(app, browser):
    browser.visit(app.url("/inside"))
    browser.sign_in("ada")
    before = app.openid.hits("/auth")
    browser.visit(app.url("/elsewhere", ELSEWHERE))
    browser.follow("Inside there")

    assert browser.url == app.url("/inside")
    assert claims(browser)["sub"] == "ada"
    assert app.openid.hits("/auth") == before


def sign_out_at_provider(browser, app):
    browser.visit(f"{app.openid.issuer}/session/end")
    browser.follow("Yes, sign me out")


def test_signing_out_at_the_provider_ends_that_session_and_no_other(app, browser):
    browser.visit(app.url("/inside"))
    browser.sign_in("ada")
    with app.visitor() as elsewhere:
        elsewhere.sign_in()
        sign_out_at_provider(browser, app)

        assert SESSION in ours(browser), "the provider told the app, not the browser"
        browser.visit(app.url("/inside"))
        assert at_provider(browser, app)
        assert elsewhere.claims()["sub"] == "ada"

    browser.sign_in("ada")
    assert claims(browser)["sub"] == "ada"


@each_once
def test_a_provider_that_names_no_session_ends_all_of_the_person_until_he_signs_in_again(
    door, people, certificate, browser, tmp_path
):
    metadata = {"backchannel_logout_session_required": False}
    with (
        site(door, people, tmp_path, certificate, metadata=metadata) as app,
        app.visitor() as elsewhere,
        app.visitor() as bob,
    ):
        browser.visit(app.url("/inside"))
        browser.sign_in("ada")
        elsewhere.sign_in()
        bob.sign_in(name="bob")
        sign_out_at_provider(browser, app)

        assert elsewhere.claims() is None
        assert bob.claims()["sub"] == "bob"
        browser.visit(app.url("/inside"))
        assert at_provider(browser, app)
        browser.sign_in("ada")
        assert browser.url == app.url("/inside")
        elsewhere.sign_in()  # without a word, as the provider knows that browser still
        assert elsewhere.claims()["sub"] == "ada"


# --- what goes wrong ----------------------------------------------------------------------------


def test_who_refuses_is_told_and_can_begin_again(app, browser):
    browser.visit(app.url(ASKED_FOR))
    browser.follow("[ Cancel ]")

    assert browser.url.startswith(app.url("/auth/callback"))
    assert browser.obstacles() == []
    assert "access_denied" not in browser.source
    assert "aborted" not in browser.source
    assert not ours(browser)
    browser.follow("Sign in again")
    assert at_provider(browser, app)
    browser.sign_in("ada")
    assert claims(browser)["sub"] == "ada"


def test_who_refuses_to_consent_is_told_too(people, certificate, browser, tmp_path):
    with site("asgi", people, tmp_path, certificate) as app:
        browser.visit(app.url("/inside"))
        browser.find("[name=login]").send_keys("ada")
        browser.find("[name=password]").send_keys("any")
        browser.follow("Sign-in")
        assert browser.find("[name=prompt][value=consent]")
        browser.follow("[ Cancel ]")

        assert browser.url.startswith(app.url("/auth/callback"))
        assert browser.obstacles() == []


def test_going_back_to_a_finished_sign_in_offers_a_new_one(app, browser):
    with app.visitor() as visitor:
        callback = visitor.at_callback()
    browser.visit(callback)

    assert browser.obstacles() == []
    browser.follow("Sign in again")
    assert at_provider(browser, app)


@each_once
def test_a_provider_that_is_down_keeps_nobody_out_who_is_in(door, certificate, browser, tmp_path):
    key = private_jwk("ES256", "first")
    with (
        provider(tmp_path, key, certificate=certificate, people=PEOPLE) as openid,
        site(door, openid, tmp_path, certificate) as app,
    ):
        browser.visit(app.url("/inside"))
        callback = urlsplit(browser.url)
        assert callback.path.startswith("/interaction/")
        browser.sign_in("ada")
        openid.stop()

        browser.visit(app.url(ASKED_FOR))
        assert claims(browser)["sub"] == "ada"
        with app.visitor() as visitor:
            answer = visitor.http.get(target(visitor.get("/inside")))
            assert answer.status_code == 503
            assert "Sign in again" in answer.text
        browser.follow("Sign out")
        assert not ours(browser)


# --- how we and the provider talk ---------------------------------------------------------------


@each_once
def test_a_client_that_signs_needs_no_secret(door, people, certificate, browser, tmp_path):
    metadata, login = own_key()
    with site(door, people, tmp_path, certificate, metadata=metadata, login=login) as app:
        browser.visit(app.url(ASKED_FOR))
        browser.sign_in("ada")

        assert browser.url == app.url(ASKED_FOR)
        assert claims(browser)["sub"] == "ada"


def test_the_request_is_pushed_where_the_provider_takes_that(app):
    before = app.openid.hits("/request")
    with app.visitor() as visitor:
        sent = urlsplit(target(visitor.get("/auth/login")))

    fields = parse_qs(sent.query)
    assert set(fields) == {"client_id", "request_uri"}
    assert app.openid.hits("/request") == before + 1


@each_once
def test_where_nothing_can_be_pushed_the_request_says_it_all(
    door, unpushed, certificate, browser, tmp_path
):
    with site(door, unpushed, tmp_path, certificate) as app, app.visitor() as visitor:
        fields = parse_qs(urlsplit(target(visitor.get("/auth/login"))).query)
        browser.visit(app.url(ASKED_FOR))
        browser.sign_in("ada")
        assert browser.url == app.url(ASKED_FOR)

    assert fields["redirect_uri"] == [app.url("/auth/callback")]
    assert (fields["response_type"], fields["code_challenge_method"]) == (["code"], ["S256"])
    assert fields["scope"] == ["openid profile email"]
    for name, least in {"state": 22, "nonce": 22, "code_challenge": 43}.items():
        assert len(fields[name][0]) >= least


@pytest.fixture
def lean(people):
    people.tell(lean=True)
    yield people
    people.tell(lean=False)


@both_doors
@pytest.mark.parametrize("userinfo", [True, False])
def test_what_the_id_token_leaves_out_comes_from_the_userinfo_endpoint(
    door, userinfo, lean, certificate, tmp_path
):
    with (
        site(door, lean, tmp_path, certificate, login={"userinfo": userinfo}) as app,
        app.visitor() as visitor,
    ):
        visitor.sign_in()
        found = visitor.claims()

    assert found["sub"] == "ada"
    wanted = PEOPLE["ada"] if userinfo else {"roles": ["user"]}
    assert {name: found[name] for name in PEOPLE["ada"] if name in found} == wanted


def test_authlib_beside_us_sees_the_same_person(people, certificate, browser, tmp_path):
    with site("asgi", people, tmp_path, certificate) as app:
        browser.visit(app.url("/inside"))
        browser.sign_in("ada")
        found = claims(browser)
        browser.visit(app.url("/authlib/login"))
        browser.consent()
        assert browser.url == app.url("/authlib/claims")
        theirs = json.loads(browser.text)
        browser.visit(app.url("/inside"))

        assert claims(browser) == found
    for name in ("sub", "email", "email_verified", "name", "roles"):
        assert found[name] == theirs[name]
    assert found["idp"] == theirs["iss"]


def test_processes_with_the_same_secret_share_every_sign_in(people, certificate, tmp_path):
    with site("wsgi", people, tmp_path, certificate, options=["--workers", "2"]) as app:
        processes = set()
        with app.visitor() as visitor:
            visitor.http.headers["Connection"] = "close"
            for number in range(12):
                begun = visitor.sign_in(f"/inside?{number}")
                assert str(begun.url) == app.url(f"/inside?{number}")
                later = visitor.get("/inside")
                assert (begun.status_code, later.status_code) == (200, 200)
                processes |= {answer.headers["X-Process"] for answer in (begun, later)}
                visitor.http.cookies.delete(SESSION)  # the next one begins anew

    assert len(processes) == 2


@each_once
def test_a_large_session_takes_two_cookies(door, people, certificate, browser, tmp_path):
    many = [f"role-{number:04}" for number in range(300)]
    people.tell(people=PEOPLE | {"ada": PEOPLE["ada"] | {"roles": many}})
    try:
        with site(door, people, tmp_path, certificate) as app:
            browser.visit(app.url("/inside"))
            browser.sign_in("ada")
            assert claims(browser)["roles"] == many
            assert len(ours(browser)) == 2
            people.tell(people=PEOPLE)
            browser.visit(app.url("/auth/login?next=/inside"))
            assert claims(browser)["roles"] == PEOPLE["ada"]["roles"]
            assert list(ours(browser)) == [SESSION]
    finally:
        people.tell(people=PEOPLE)


# --- http, for development ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_people(tmp_path_factory):
    key = private_jwk("ES256", "plain")
    with provider(tmp_path_factory.mktemp("plain"), key, people=PEOPLE, lean=False) as running:
        yield running


@each_once
def test_over_http_on_this_machine_cookies_do_without_what_needs_https(
    door, plain_people, browser, tmp_path
):
    with site(door, plain_people, tmp_path, secret=None) as app:
        browser.visit(app.url(ASKED_FOR))
        browser.sign_in("ada")
        assert browser.url == app.url(ASKED_FOR)
        assert claims(browser)["sub"] == "ada"
        cookie = browser.cookies()["jwtguard-session"]
        browser.follow("Sign out")
        browser.follow("Yes, sign me out")
        assert browser.url == app.url("/")
        assert "jwtguard-session" not in browser.cookies()
        log = app.server.log.read_text()

    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (False, True, "Lax")
    assert "Secure" in log
    assert "secret" in log
