"""``request.user`` behind the guard: whose it is, and who is refused."""

import asyncio
import json

import django
import pytest
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpResponse, JsonResponse
from django.template import Context, Template
from django.test import override_settings
from django.urls import path

from jwtguard import Guard, Issuer, JWKSet, Rule
from jwtguard.django import TokenBackend, TokenUser, UserRefused, get_or_create_user
from jwtguard.django.users import auser_of, user_of
from jwtguard.errors import ConfigurationError
from jwtguard.testing import FakeIssuer, verified

from .django_project import ASK, AUTH, BACKEND, GUARD, MODEL_BACKEND, SESSIONS, ask, migrate, site

IDP = FakeIssuer(algorithm="ES256")
ALICE = IDP.bearer("alice")
CLOSED = Guard([IDP.trusted()])
OPEN = Guard([IDP.trusted()], [Rule("/**", access="optional")])

both = pytest.mark.parametrize("send", ASK.values(), ids=ASK)
HERE = "tests.test_django_users."
TOKENS = {"AUTHENTICATION_BACKENDS": [BACKEND, MODEL_BACKEND]}


@pytest.fixture(scope="module")
def users():
    """The tables, and the user model."""
    migrate()
    return get_user_model()


@pytest.fixture
def rows(users):
    yield users.objects
    users.objects.all().delete()


def row(token):
    return get_user_model().objects.filter(username=token.subject).first()


async def arow(token):
    return await get_user_model().objects.filter(username=token.subject).afirst()


def nobody(token):
    return None


def who(request):
    return JsonResponse({"user": str(request.user), "row": request.user.pk is not None})


async def awho(request):
    user = await request.auser()
    return JsonResponse({"user": user.get_username(), "row": user.pk is not None})


every_view = pytest.mark.parametrize("view", [who, awho], ids=["user", "auser"])


# --- a user without a row -----------------------------------------------------------------------


@both
@every_view
def test_the_user_of_a_token_needs_no_row(send, view):
    with site(CLOSED, [path("x", view)], **TOKENS):
        assert send("/x", ALICE).json() == {"user": "alice", "row": False}


def test_a_user_without_a_row_is_somebody_with_no_rights():
    user = TokenUser(verified(sub="alice", is_staff=True, is_superuser=True, roles=["admin"]))

    assert (user.is_authenticated, user.is_anonymous, user.is_active) == (True, False, True)
    assert (user.is_staff, user.is_superuser, user.pk, user.id) == (False, False, None, None)
    assert (user.get_username(), user.get_full_name(), str(user)) == ("alice", "alice", "alice")
    assert not user.has_perm("a.b")
    assert not user.has_perms(["a.b"])
    assert not user.has_perms([])
    assert not user.has_module_perms("a")
    assert user.get_all_permissions() == user.get_user_permissions() == set()
    assert not user.groups.filter(name="a").exists()

    async def asked():
        has = [
            await user.ahas_perm("a.b"),
            await user.ahas_perms([]),
            await user.ahas_module_perms("a"),
        ]
        return has, await user.aget_all_permissions()

    assert asyncio.run(asked()) == ([False] * 3, set())


def test_users_without_a_row_are_the_same_within_their_issuer_only():
    alice = TokenUser(verified(sub="alice"))

    assert alice == TokenUser(verified(sub="alice", aud="b"))
    assert len({alice, TokenUser(verified(sub="alice"))}) == 1
    assert alice != TokenUser(verified(sub="bob"))
    assert alice != TokenUser(verified("other", sub="alice"))
    assert alice != "alice"
    assert TokenUser(verified()) != TokenUser(verified())
    assert (anonymous := TokenUser(verified())) == anonymous
    assert "alice" not in repr(alice)


def test_templates_ask_for_a_user_and_permissions():
    from django.contrib.auth.context_processors import PermWrapper

    user = TokenUser(verified(sub="<alice>"))
    text = "{% if user.is_authenticated %}{{ user }}{% endif %}"
    text += "{% if perms.a.b or user.is_staff %}!{% endif %}"

    shown = Template(text).render(Context({"user": user, "perms": PermWrapper(user)}))

    assert shown == "&lt;alice&gt;"


@both
def test_login_required_is_met_by_a_token_and_permissions_are_not(send):
    patterns = [path("x", login_required(who)), path("y", permission_required("a.b")(who))]
    with site(CLOSED, patterns, **TOKENS):
        assert send("/x", ALICE).status_code == 200
        assert send("/y", ALICE).status_code == 302


@pytest.mark.skipif(django.VERSION < (5, 1), reason="LoginRequiredMiddleware is of Django 5.1")
@both
def test_a_login_that_is_required_everywhere_is_met_by_a_token(send):
    order = [GUARD, SESSIONS, AUTH, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    with site(CLOSED, [path("x", who)], MIDDLEWARE=order, **TOKENS):
        assert send("/x", ALICE).json()["user"] == "alice"


def test_a_staff_page_is_closed_to_a_user_without_a_row():
    from django.contrib.admin.views.decorators import staff_member_required

    with site(CLOSED, [path("x", staff_member_required(who, login_url="/login"))], **TOKENS):
        assert ask("/x", IDP.bearer("root", is_staff=True)).status_code == 302


# --- a user of the project's own ----------------------------------------------------------------


@both
@every_view
@pytest.mark.parametrize("function", ["row", "arow"])
def test_the_project_says_whose_token_it_is(send, view, function, rows):
    rows.create(username="alice")
    with site(CLOSED, [path("x", view)], **TOKENS, JWTGUARD_USER=HERE + function):
        assert send("/x", ALICE).json() == {"user": "alice", "row": True}


@both
@pytest.mark.parametrize(
    ("sub", "function", "reason"),
    [
        ("alice", "row", "user_inactive"),
        ("alice", "arow", "user_inactive"),
        ("bob", "row", "user_unknown"),
        ("bob", "nobody", "user_unknown"),
    ],
)
def test_who_may_not_come_in_is_refused_as_by_a_rule(send, sub, function, reason, rows, caplog):
    rows.create(username="alice", is_active=False)
    guard = Guard([IDP.trusted()], realm="api")
    view = who if send is ASK["sync"] else awho
    with site(guard, [path("x", view)], **TOKENS, JWTGUARD_USER=HERE + function):
        answer = send("/x", IDP.bearer(sub))

    (record,) = [r for r in caplog.records if r.name == "jwtguard.refused"]
    assert answer.status_code == 403
    assert json.loads(answer.content)["code"] == "forbidden"
    assert json.loads(answer.content)["ref"] == record.ref
    assert answer["Cache-Control"] == "no-store"
    assert (record.reason, record.issuer, record.rule) == (reason, IDP.trusted().name, "user")


def test_a_view_that_asks_for_no_user_makes_no_query(rows):
    rows.create(username="alice", is_active=False)
    with site(
        CLOSED, [path("x", lambda r: HttpResponse("x"))], **TOKENS, JWTGUARD_USER=HERE + "row"
    ):
        assert ask("/x", ALICE).content == b"x"


@pytest.mark.parametrize("named", ["no.such.function", HERE + "HERE", 7])
def test_a_function_that_is_not_there_is_said(named):
    with (
        override_settings(JWTGUARD_USER=named),
        pytest.raises(ConfigurationError, match="JWTGUARD_USER"),
    ):
        user_of(verified(sub="alice"))


def test_the_function_itself_may_stand_in_the_setting():
    with override_settings(JWTGUARD_USER=lambda token: token.subject):
        assert user_of(verified(sub="alice")) == "alice"


# --- sessions beside tokens ---------------------------------------------------------------------

ORDERS = {
    "guard first": [GUARD, SESSIONS, AUTH],
    "guard last": [SESSIONS, AUTH, GUARD],
    "looking in between": [GUARD, SESSIONS, AUTH, HERE + "looking"],
}


def looking(get_response):
    def middleware(request):
        request.looked = str(request.user)
        return get_response(request)

    return middleware


def told(request):
    return JsonResponse({"user": str(request.user), "early": getattr(request, "looked", None)})


async def atold(request):
    return JsonResponse({"user": str(await request.auser()), "early": None})


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("view", [told, atold], ids=["user", "auser"])
def test_where_a_token_was_sent_its_user_wins_over_the_session_s(order, view, rows):
    session = rows.create(username="from the session")
    with site(CLOSED, [path("x", view)], MIDDLEWARE=order, **TOKENS):
        answer = ask("/x", ALICE, user=session).json()

    assert answer["user"] == "alice"
    assert answer["early"] in (None, "alice")


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_where_none_was_sent_the_session_s_user_stands(order, rows):
    session = rows.create(username="from the session")
    with site(OPEN, [path("x", told)], MIDDLEWARE=order, **TOKENS):
        assert ask("/x", user=session).json()["user"] == "from the session"
        assert ask("/x").json()["user"] == "AnonymousUser"


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_user_who_is_refused_does_not_fall_back_to_the_session(order, rows):
    session = rows.create(username="from the session")
    settings = {**TOKENS, "JWTGUARD_USER": HERE + "nobody"}
    with site(CLOSED, [path("x", told)], MIDDLEWARE=order, **settings):
        assert ask("/x", ALICE, user=session).status_code == 403


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_session_opens_nothing_that_wants_a_token(order, rows):
    session = rows.create(username="from the session", is_superuser=True)
    with site(CLOSED, [path("x", told)], MIDDLEWARE=order, **TOKENS):
        assert ask("/x", user=session).status_code == 401


def test_without_the_backend_the_session_s_user_stands_and_the_token_beside_it(rows):
    session = rows.create(username="from the session")

    def both_of_them(request):
        return HttpResponse(f"{request.user} {request.jwt.subject}")

    with site(CLOSED, [path("x", both_of_them)], MIDDLEWARE=ORDERS["guard first"]):
        assert ask("/x", ALICE, user=session).content == b"from the session alice"


def test_without_sessions_nobody_is_django_s_anonymous_user():
    with site(OPEN, [path("x", told)], **TOKENS):
        assert ask("/x").json()["user"] == "AnonymousUser"


# --- authenticate ---------------------------------------------------------------------------------


def test_django_s_authenticate_takes_a_verified_token_only(rows):
    rows.create(username="alice")
    rows.create(username="bob", is_active=False)
    alice, bob = verified(sub="alice"), verified(sub="bob")
    with override_settings(**TOKENS, JWTGUARD_USER=HERE + "row"):
        assert authenticate(None, token=alice) == rows.get(username="alice")
        assert authenticate(None, token=bob) is None
        assert authenticate(None, token=IDP.token("alice")) is None
        assert authenticate(None, username="alice", password="") is None
        assert TokenBackend().get_user(1) is None


def test_the_same_on_an_event_loop(rows):
    rows.create(username="alice")

    async def run():
        backend = TokenBackend()
        users = [
            await backend.aauthenticate(None, token=verified(sub="alice")),
            await backend.aauthenticate(None, token=verified(sub="bob")),
            await backend.aauthenticate(None, token="x"),
            await backend.aget_user(1),
        ]
        with pytest.raises(UserRefused):
            await auser_of(verified(sub="bob"))
        return users

    with override_settings(**TOKENS, JWTGUARD_USER=HERE + "row"):
        assert asyncio.run(run()) == [rows.get(username="alice"), None, None, None]


# --- rows that are made -------------------------------------------------------------------------


def test_a_row_is_made_once(rows):
    token = verified(
        "people", sub="alice", email="a@x", is_staff=True, is_superuser=True, groups=["a"]
    )

    user = get_or_create_user(token)

    assert (user.get_username(), user.email) == ("people:alice", "")
    assert (user.is_staff, user.is_superuser, user.is_active) == (False, False, True)
    assert not user.has_usable_password()
    assert not user.groups.exists()
    assert get_or_create_user(token) == user
    assert rows.count() == 1


def test_a_row_that_exists_stays_as_it_is(rows):
    rows.create(username="people:alice", email="old@x", is_staff=True)

    user = get_or_create_user(verified("people", sub="alice", email="a@x", email_verified=True))

    assert (user.email, user.is_staff) == ("old@x", True)


VERIFIED = {"email": "a@x", "email_verified": True}


@pytest.mark.parametrize(
    ("claims", "template", "made"),
    [
        ({"sub": "alice", **VERIFIED}, "{issuer}:{sub}", ("people:alice", "a@x")),
        ({"sub": "alice", "email": "a@x"}, "{issuer}:{sub}", ("people:alice", "")),
        ({"sub": "alice", **VERIFIED}, "{email}", ("a@x", "a@x")),
        ({"email": "a@x"}, "{email}", None),
        ({"email": "a@x", "email_verified": "true"}, "{email}", None),
        ({"email": "a@x", "email_verified": 1}, "{email}", None),
        ({"email": "a@x", "email_verified": False}, "{issuer} {email}", None),
        ({"sub": "alice"}, "{name}", None),
        ({}, "{issuer}:{sub}", None),
        ({"sub": ""}, "{issuer}:{sub}", None),
        ({"sub": "a\nb"}, "{issuer}:{sub}", None),
        ({"sub": "x" * 143}, "{issuer}:{sub}", ("people:" + "x" * 143, "")),
        ({"sub": "x" * 144}, "{issuer}:{sub}", None),
        ({"sub": "ﬁ"}, "{issuer}:{sub}", None),  # NFKC makes "fi" of it: somebody else
    ],
)
def test_what_a_row_is_named(claims, template, made, rows):
    user = get_or_create_user(verified("people", **claims), template)

    assert (user and (user.get_username(), user.email)) == made
    assert rows.count() == (made is not None)


def test_a_database_that_ignores_case_makes_no_two_people_one(rows, monkeypatch):
    rows.create(username="people:alice")
    manager = get_user_model()._default_manager
    monkeypatch.setattr(
        type(manager),
        "get_or_create",
        lambda self, **words: (self.get(username="people:alice"), False),
    )

    assert get_or_create_user(verified("people", sub="Alice")) is None


def test_subjects_of_different_tenants_are_different_people(rows):
    issuer = Issuer(
        "https://{tenant}.test",
        audience=IDP.audience,
        algorithms=["ES256"],
        keys=JWKSet(IDP.jwks()),
        tenants=["a", "b"],
    )
    guard = Guard([issuer])
    token = guard.verify(IDP.token("alice", iss="https://a.test"))

    with pytest.raises(ConfigurationError, match=r"put \{iss\} into username"):
        get_or_create_user(token)
    assert get_or_create_user(token, "{iss}:{sub}").get_username() == "https://a.test:alice"
    assert TokenUser(token) != TokenUser(guard.verify(IDP.token("alice", iss="https://b.test")))


def test_rows_are_made_for_requests(rows):
    name = "jwtguard.django.get_or_create_user"
    for send, view in ((ASK["sync"], who), (ASK["async"], awho)):
        with site(CLOSED, [path("x", view)], **TOKENS, JWTGUARD_USER=name):
            issuer = IDP.trusted().name
            assert send("/x", ALICE).json() == {"user": f"{issuer}:alice", "row": True}
    assert rows.count() == 1
