"""``force_login`` of the test kit: real tokens, for as long as the test lasts."""

import asyncio
import unittest

import pytest
from django.contrib.auth import get_user_model
from django.http import JsonResponse
from django.test import SimpleTestCase, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from jwtguard import FromCookie, Guard, Rule
from jwtguard.django import public
from jwtguard.errors import ConfigurationError
from jwtguard.testing import FakeIssuer
from jwtguard.testing.django import AsyncClient, Client, TokenLogins, logins

from .django_project import AUTH, BACKEND, GUARD, MODEL_BACKEND, SESSIONS, migrate, site

REAL = FakeIssuer("https://login.example.com/", algorithm="ES256", name="people")
HERE = f"{__name__}."
ROWS = "jwtguard.django.get_or_create_user"
TOKENS = {"AUTHENTICATION_BACKENDS": [BACKEND], "MIDDLEWARE": [GUARD]}


@csrf_exempt
def who(request):
    user = getattr(request, "user", None)
    return JsonResponse(
        {
            "sub": request.jwt and request.jwt.subject,
            "scopes": sorted(request.jwt.scopes) if request.jwt else [],
            "user": user and user.get_username(),
        }
    )


@public
def opened(request):
    return who(request)


URLS = [path("x", who), path("open", opened)]


def guarded(*rules, **words):
    return Guard([REAL.trusted()], rules, **words)


class Sync:
    """Each step of a test with the sync client, or below with the async one."""

    kind = Client

    def __init__(self, **words):
        self.client = self.kind(**words)

    def log_in(self, user, backend=None, **words):
        self.client.force_login(user, backend, **words)

    def log_out(self):
        self.client.logout()

    def send(self, where="/x", method="GET", **words):
        return self.client.generic(method, where, secure=True, **words)

    def sub(self, **words):
        """Whose token the app was given; the status where it was not reached."""
        answer = self.send(**words)
        return answer.json()["sub"] if answer.status_code == 200 else answer.status_code


class Async(Sync):
    kind = AsyncClient

    def log_in(self, user, backend=None, **words):
        asyncio.run(self.client.aforce_login(user, backend, **words))

    def log_out(self):
        asyncio.run(self.client.alogout())

    def send(self, where="/x", method="GET", **words):
        return asyncio.run(self._send(where, method, words))

    async def _send(self, where, method, words):
        return await self.client.generic(method, where, secure=True, **words)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def browser(request):
    with logins():
        yield request.param


@pytest.fixture
def rows():
    migrate()
    manager = get_user_model().objects
    manager.all().delete()
    yield manager
    manager.all().delete()


def test_requests_carry_a_token_until_logout(browser):
    with site(guarded(), URLS, **TOKENS):
        me = browser()
        assert me.sub() == 401
        me.log_in("alice", scopes="a b")
        assert me.send().json() == {"sub": "alice", "scopes": ["a", "b"], "user": "alice"}
        me.log_out()
        assert me.sub() == 401


def test_the_guard_judges_it_like_any_other_token(browser):
    with site(guarded(Rule("/x", scopes="a")), URLS, **TOKENS):
        me = browser()
        me.log_in("alice")
        assert me.sub() == 403
        me.log_in("alice", scopes="a")
        assert me.sub() == "alice"
        me.log_in("alice", scopes="a", expires=-60)
        assert me.sub() == 401
        me.log_in("alice", scopes="a", aud="https://other.example.com")
        assert me.sub() == 401


def test_two_clients_are_two_people(browser):
    with site(guarded(), URLS, **TOKENS):
        one, other = browser(), browser()
        one.log_in("alice")
        other.log_in("bob", issuer="people")
        assert (one.sub(), other.sub(), browser().sub()) == ("alice", "bob", 401)


def test_the_headers_of_a_request_come_first(browser):
    with site(guarded(), URLS, **TOKENS):
        me = browser()
        me.log_in("alice")
        assert me.sub(headers={"authorization": "Bearer x"}) == 401
        assert me.sub(headers={"X-Other": "1"}) == "alice"
        name = "HTTP_AUTHORIZATION" if browser is Sync else "Authorization"  # as Django has them
        assert me.sub(**{name: "Bearer x"}) == 401


def test_a_login_comes_before_the_headers_of_a_client(browser):
    with site(guarded(), URLS, **TOKENS):
        me = browser(headers={"Authorization": "Bearer x"})
        me.log_in("alice")
        assert me.sub() == "alice"


def test_a_token_may_stand_in_the_cookie_that_the_rules_read(browser):
    rule = Rule("/**", credentials=FromCookie("__Host-token"))
    with site(guarded(rule, public_url="https://api.example.com"), URLS, **TOKENS):
        me = browser()
        me.log_in("alice", cookie=True)
        assert me.sub() == "alice"
        assert me.sub(method="POST") == "alice"
        assert me.sub(method="POST", headers={"Origin": "https://evil.example.com"}) == 403
        me.log_out()
        assert me.sub() == 401


def test_several_issuers_are_told_apart(browser):
    partner = FakeIssuer("https://partner.example.com/", algorithm="ES256", name="partner")
    guard = Guard([REAL.trusted(), partner.trusted()], [Rule("/x", issuers="partner")])
    with site(guard, URLS, **TOKENS):
        me = browser()
        me.log_in("alice", issuer="people")
        assert me.sub() == 401
        me.log_in("alice", issuer="partner")
        assert me.sub() == "alice"
        for name in (None, "nobody"):
            with pytest.raises(ConfigurationError, match="people"):
                me.log_in("alice", issuer=name)


def test_the_stand_in_ends_with_the_block():
    with site(guarded(), URLS, **TOKENS):
        headers = {"Authorization": REAL.bearer("alice")}
        client = Client()
        assert client.get("/x", headers=headers, secure=True).status_code == 200
        with logins():
            client.force_login("bob")
            assert client.get("/x", secure=True).status_code == 200
            assert client.get("/x", headers=headers, secure=True).status_code == 401
        assert client.get("/x", secure=True).status_code == 401
        assert client.get("/x", headers=headers, secure=True).status_code == 200


def test_a_login_holds_for_the_guard_of_the_settings(browser):
    """Whoever changes the setting within the test has another guard, and is nobody to it."""
    with site(guarded(), URLS, **TOKENS):
        me = browser()
        me.log_in("alice")
        with override_settings(JWTGUARD=guarded()):
            assert me.sub() == 401
            me.log_in("bob")
            assert me.sub() == "bob"


def test_outside_of_a_test_nobody_can_log_in():
    with site(guarded(), URLS, **TOKENS), pytest.raises(RuntimeError, match="TokenLogins"):
        Client().force_login("alice")


# --- users with rows ----------------------------------------------------------------------------


def row(token):
    return get_user_model().objects.filter(username=token.subject).first()


def by_email(token):
    return get_user_model().objects.filter(email=token["email"]).first()


async def aby_email(token):
    return await get_user_model().objects.filter(email=token["email"]).afirst()


@pytest.mark.parametrize(("name", "function"), [("alice", HERE + "row"), ("people:alice", ROWS)])
def test_a_row_is_the_user_of_the_request(browser, rows, name, function):
    user = rows.create(username=name)
    with site(guarded(), URLS, **TOKENS, JWTGUARD_USER=function):
        me = browser()
        me.log_in(user, scopes="a")
        assert me.send().json() == {"sub": "alice", "scopes": ["a"], "user": name}
    assert rows.count() == 1


@pytest.mark.parametrize("function", ["by_email", "aby_email"])
def test_what_else_tokens_have_is_said(browser, rows, function):
    user = rows.create(username="alice", email="alice@example.com")
    with site(guarded(), URLS, **TOKENS, JWTGUARD_USER=HERE + function):
        me = browser()
        me.log_in(user, sub="007", email=user.email)
        assert me.send().json() == {"sub": "007", "scopes": [], "user": "alice"}


@pytest.mark.parametrize(
    ("function", "email"),
    [(HERE + "by_email", "bob@example.com"), (HERE + "by_email", "x@example.com"), (ROWS, "")],
    ids=["another", "nobody", "a new one"],
)
def test_somebody_else_by_mistake_is_an_error(browser, rows, function, email):
    user = rows.create(username="alice", email="alice@example.com")
    rows.create(username="bob", email="bob@example.com")
    with site(guarded(), URLS, **TOKENS, JWTGUARD_USER=function):
        me = browser()
        with pytest.raises(ValueError, match="JWTGUARD_USER makes"):
            me.log_in(user, email=email)


def test_who_is_inactive_is_refused_by_the_guard(browser, rows):
    user = rows.create(username="alice", is_active=False)
    with site(guarded(), URLS, **TOKENS, JWTGUARD_USER=HERE + "row"):
        me = browser()
        me.log_in(user)
        assert me.sub() == 403


def test_another_backend_makes_a_session(browser, rows):
    user = rows.create(username="alice")
    backends = [BACKEND, MODEL_BACKEND]
    words = {"MIDDLEWARE": [GUARD, SESSIONS, AUTH], "AUTHENTICATION_BACKENDS": backends}
    with site(guarded(), URLS, **words):
        me = browser()
        me.log_in(user, MODEL_BACKEND)
        assert me.sub() == 401
        assert me.send("/open").json() == {"sub": None, "scopes": [], "user": "alice"}
        me.log_out()
        assert me.send("/open").json()["user"] == ""


# --- test cases ---------------------------------------------------------------------------------


def case(name):
    """A test case as in a project, which pytest does not collect here."""

    class Cases(TokenLogins, SimpleTestCase):
        def setUp(self):
            self.client.force_login("alice")

        def test_sync(self):
            assert self.client.get("/x").json()["sub"] == "alice"

        async def test_async(self):
            assert (await self.async_client.get("/x")).status_code == 401
            self.async_client.force_login("bob")
            assert (await self.async_client.get("/x")).json()["sub"] == "bob"

    return Cases(name)


@pytest.mark.parametrize("name", ["test_sync", "test_async"])
def test_a_login_lasts_as_long_as_a_test_of_a_test_case(name):
    guard = guarded()
    result = unittest.TestResult()
    with site(guard, URLS, **TOKENS):
        before = guard.verifier
        case(name)(result)
        assert guard.verifier is before

    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
