"""``manage.py check`` and ``check --deploy``: what they find, and what is as it should be."""

import functools
import types

import pytest
from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.checks import Tags, run_checks
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

import jwtguard.asgi
import jwtguard.wsgi
from jwtguard import Guard, Issuer, RemoteKeys, Rule, Secret
from jwtguard.django import GuardMiddleware, requires
from jwtguard.testing import FakeIssuer

from .django_project import AUTH, BACKEND, GUARD, MODEL_BACKEND, SESSIONS, Urls

IDP = FakeIssuer("https://login.test/", algorithm="ES256")
GOOD = Guard([IDP.trusted()])
SECURITY = "django.middleware.security.SecurityMiddleware"
CORS = "corsheaders.middleware.CorsMiddleware"
HERE = "tests.test_django_checks."


def view(request):
    return HttpResponse()


URLS = Urls([path("x", view)])


def found(deploy=False, **changed):
    """The numbers and texts of jwtguard's messages."""
    changed = {"JWTGUARD": GOOD, "MIDDLEWARE": [SECURITY, GUARD], "ROOT_URLCONF": URLS, **changed}
    with override_settings(**changed):
        messages = run_checks(tags=[Tags.security], include_deployment_checks=deploy)
    texts: dict[str, str] = {}
    for message in messages:
        name, _, number = message.id.partition(".")
        if name == "jwtguard":
            texts[number] = texts.get(number, "") + message.msg + "\n"
    return texts


def test_a_good_project_is_told_nothing():
    assert found(deploy=True) == {}
    assert found(deploy=True, MIDDLEWARE=[SECURITY, CORS, GUARD, SESSIONS, AUTH], **BOTH) == {}


BOTH = {"AUTHENTICATION_BACKENDS": [BACKEND, MODEL_BACKEND]}


class Cached(GuardMiddleware):
    pass


def answering(get_response):
    return get_response


@pytest.mark.parametrize(
    ("changed", "number", "what"),
    [
        ({"JWTGUARD": {}}, "E001", "issuer"),
        ({"JWTGUARD": {"issuer": [{"issuer": "x", "audiense": "a"}]}}, "E001", "audiense"),
        ({"JWTGUARD": "no.toml"}, "E001", "no.toml"),
        ({"JWTGUARD_USER": "no.such.function"}, "E002", "JWTGUARD_USER"),
        ({"MIDDLEWARE": [HERE + "answering", GUARD]}, "W002", HERE + "answering"),
        ({"MIDDLEWARE": ["django.middleware.cache.UpdateCacheMiddleware", GUARD]}, "W002", "Cache"),
        ({"MIDDLEWARE": [HERE + "answering", HERE + "Cached"]}, "W002", "answering"),
        ({"MIDDLEWARE": [GUARD, CORS]}, "W003", "preflights"),
        ({"MIDDLEWARE": []}, "W004", "not in MIDDLEWARE"),
        ({"MIDDLEWARE": [GUARD, SESSIONS, AUTH]}, "W005", "the session's"),
        ({"JWTGUARD_USER": HERE + "view"}, "W005", "JWTGUARD_USER"),
    ],
)
def test_a_check_finds(changed, number, what):
    for deploy in (False, True):
        messages = found(deploy, **changed)
        assert what in messages.pop(number)
        assert messages.keys() <= {"W005"}


def test_every_problem_of_a_configuration_is_a_message_with_its_place():
    bad = {"issuer": [{"issuer": "https://x/", "audiense": "a"}], "ruls": []}
    with override_settings(JWTGUARD=bad, ROOT_URLCONF=URLS, MIDDLEWARE=[GUARD]):
        messages = [m for m in run_checks(tags=[Tags.security]) if m.id == "jwtguard.E001"]

    assert len(messages) > 1
    assert any(m.msg.startswith("issuer[0].audiense: ") for m in messages)


def test_a_project_without_a_guard_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv("JWTGUARD_CONFIG", raising=False)

    assert "set JWTGUARD" in found(JWTGUARD=None)["E001"]


def test_what_the_guard_warns_of_is_a_warning():
    warned = Guard(
        [Issuer(name="a", audience="x", algorithms=["HS256"], keys=Secret("0" * 32))] * 1
        + [IDP.trusted()],
        [Rule("/x")],
    )

    assert warned.warnings
    assert "W001" in found(JWTGUARD=warned)


def test_a_route_past_its_decorator_is_an_error():
    @functools.wraps(view)
    def open_view(request):
        return view(request)

    guarded = requires(scopes="a")(open_view)

    assert "put it below" in found(ROOT_URLCONF=Urls([path("x", open_view)]))["E003"]
    assert found(ROOT_URLCONF=Urls([path("x", guarded)])) == {}


def of_a_secret(secret, **words):
    keys = Secret(secret, **words)
    return Issuer("https://x/", audience="a", algorithms=["HS256"], keys=keys)


INSECURE = {
    "a secret that repeats": (of_a_secret("0123" * 8), "over and over"),
    "Django's own secret": (of_a_secret(settings.SECRET_KEY), "is SECRET_KEY"),
    "plain http": (
        Issuer("http://login.test/", audience="a", algorithms=["HS256"], keys=Secret("0" * 32)),
        "plain http",
    ),
    "no audience": (IDP.trusted(audience=None), "made for other services"),
    "a short secret": (
        Issuer(
            "https://x/",
            audience="a",
            algorithms=["HS256"],
            keys=Secret("short", insecure_short_keys=True),
        ),
        "insecure_short_keys",
    ),
    "keys over http": (
        Issuer(
            "https://x/",
            audience="a",
            algorithms=["ES256"],
            keys=RemoteKeys("http://127.0.0.1/", insecure_http=True),
        ),
        "insecure_http",
    ),
}


@pytest.mark.parametrize(("issuer", "what"), INSECURE.values(), ids=INSECURE)
def test_what_is_for_development_is_found_with_deploy_only(issuer, what):
    guard = Guard([issuer])

    assert what in found(deploy=True, JWTGUARD=guard)["W006"]
    assert found(JWTGUARD=guard) == {}


# --- what stands in front of Django -------------------------------------------------------------

with override_settings(JWTGUARD=GOOD, MIDDLEWARE=[], ROOT_URLCONF=URLS):
    plain = get_asgi_application()


async def consumers(scope, receive, send):
    """What channels' URLRouter is."""


def router(websocket, **more):
    """What channels' ProtocolTypeRouter is."""
    return types.SimpleNamespace(application_mapping={"http": plain, **more, **websocket})


guarded = jwtguard.asgi.GuardMiddleware(consumers, GOOD)
APPS = {
    "Django alone": (plain, True),
    "a router without websockets": (router({}), True),
    "consumers": (consumers, False),
    "consumers in a router": (router({"websocket": consumers}), False),
    "consumers in a middleware": (
        router({"websocket": types.SimpleNamespace(inner=consumers)}),
        False,
    ),
    "guarded consumers": (router({"websocket": guarded}), True),
    "guarded consumers in a middleware": (
        router({"websocket": types.SimpleNamespace(application=guarded)}),
        True,
    ),
    "a guard in front of all": (
        jwtguard.asgi.GuardMiddleware(router({"websocket": consumers}), GOOD),
        True,
    ),
}
application = wsgi_application = None


@pytest.mark.parametrize(("app", "is_guarded"), APPS.values(), ids=APPS)
def test_websockets_that_no_guard_judges_are_found(app, is_guarded, monkeypatch):
    monkeypatch.setattr(f"{__name__}.application", app)

    messages = found(deploy=True, ASGI_APPLICATION=HERE + "application")

    assert messages.keys() == (set() if is_guarded else {"W007"})
    assert found(ASGI_APPLICATION=HERE + "application") == {}


def test_a_guard_in_front_of_django_needs_no_middleware(monkeypatch):
    monkeypatch.setattr(
        f"{__name__}.wsgi_application", jwtguard.wsgi.GuardMiddleware(lambda e, s: [], GOOD)
    )

    assert found(MIDDLEWARE=[], WSGI_APPLICATION=HERE + "wsgi_application") == {}


def test_cors_is_the_middleware_of_that_name():
    assert f"{CorsMiddleware.__module__}.{CorsMiddleware.__qualname__}" == CORS
