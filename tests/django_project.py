"""A Django project for tests: settings, and sites of one guard and a few views."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.test import AsyncClient, Client, override_settings

from jwtguard import Guard

GUARD = "jwtguard.django.GuardMiddleware"
BACKEND = "jwtguard.django.TokenBackend"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        AUTHENTICATION_BACKENDS=[MODEL_BACKEND],
        DATABASES={
            "default": {  # one for all threads
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "file:jwtguard?mode=memory&cache=shared",
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "rest_framework",
            "drf_spectacular",
            "jwtguard.django",
        ],
        LOGGING_CONFIG=None,
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["jwtguard.django.rest.TokenAuthentication"]
        },
        SECRET_KEY="of tests, which keep nothing secret with it",
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        USE_TZ=True,
    )
    django.setup()


class Urls:
    """A URLconf of these patterns."""

    def __init__(self, patterns: Sequence[Any]) -> None:
        self.urlpatterns = patterns


@contextlib.contextmanager
def site(guard: Guard | None, patterns: Sequence[Any] | Urls, **changed: Any) -> Iterator[None]:
    """Django with *guard*, these URL patterns, and other settings."""
    urls = patterns if isinstance(patterns, Urls) else Urls(patterns)
    changed = {"MIDDLEWARE": [GUARD], **changed}
    if guard is not None:
        changed["JWTGUARD"] = guard
    with override_settings(ROOT_URLCONF=urls, **changed):
        yield


def ask(path: str, authorization: str | None = None, method: str = "GET", **words: Any) -> Any:
    """The response to a request, as a WSGI server has it."""
    return _client(Client, words).generic(method, path, **_words(authorization, words))


def aask(path: str, authorization: str | None = None, method: str = "GET", **words: Any) -> Any:
    """The response to a request, as an ASGI server has it."""

    async def run() -> Any:
        client = _client(AsyncClient, words)
        return await client.generic(method, path, **_words(authorization, words))

    return asyncio.run(run())


ASK = {"sync": ask, "async": aask}


def _client(kind: Any, words: dict[str, Any]) -> Any:
    client = kind(raise_request_exception=words.pop("raises", True))
    session = words.pop("user", None)
    if session is not None:
        client.force_login(session, backend=MODEL_BACKEND)
    return client


def _words(authorization: str | None, words: dict[str, Any]) -> dict[str, Any]:
    headers = dict(words.pop("headers", {}))
    if authorization is not None:
        headers["Authorization"] = authorization
    return {"headers": headers, "secure": True, **words}


def migrate() -> None:
    """Make the tables. A user model and its permissions is all there is."""
    call_command("migrate", run_syncdb=True, verbosity=0)
