"""The Django door for the contract table: real handlers, WSGI and ASGI, with one view.

WebSocket scopes never reach Django: its ASGI handler refuses them before any middleware. What
stands in front of Django for them is `jwtguard.asgi`, whose door has these rows.
"""

import asyncio
import contextlib
import io
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import re_path

from jwtguard import Guard
from jwtguard.django import GuardMiddleware

from . import doors
from .doors import APP_BODY, APP_HEADERS, Answer, Ask, FetchSync, Seen

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        SECRET_KEY="of tests, which sign nothing with it",
        USE_TZ=True,
    )
    django.setup()

_seen: list[Seen] = []
_fetch: list[Any] = [None]


def guarded(get_response: Any) -> GuardMiddleware:
    """What stands in MIDDLEWARE: the guard, with the way to make exchanges that a test gave."""
    return GuardMiddleware(get_response, fetch=_fetch[0])


def view(request: HttpRequest) -> HttpResponse:
    """What the app behind every door answers, and what a Django view sees."""
    headers = {
        name.lower(): [value.encode("latin-1").decode("utf-8", "replace")]
        for name, value in request.headers.items()
    }
    published = getattr(request, "scope", request.META)
    assert published["jwtguard.token"] is request.META["jwtguard.token"] is request.jwt
    assert {key: value for key, value in request.META.items() if key.startswith("jwt_")} == {
        key: value for key, value in published.items() if key.startswith("jwt_")
    }
    assert request.META["QUERY_STRING"] == request.GET.urlencode(safe="/:;,@") or request.GET
    _seen.append(
        Seen(
            request.path_info,
            request.META["QUERY_STRING"],
            headers,
            request.jwt,
            request.META["jwtguard.claims"],
            {key: value for key, value in request.META.items() if key.startswith("jwt_")},
            doors._words(headers),
        )
    )
    return HttpResponse(APP_BODY, headers=dict(APP_HEADERS))


async def aview(request: HttpRequest) -> HttpResponse:
    """The same on the event loop."""
    return view(request)


class Urls:
    """A URLconf with one view."""

    def __init__(self, view: Any) -> None:
        self.urlpatterns = [re_path("", view)]


SYNC, ASYNC = Urls(view), Urls(aview)


@contextlib.contextmanager
def _django(guard: Guard, urls: Urls, fetch: Any) -> Any:
    _seen.clear()
    _fetch[0] = fetch
    with override_settings(
        JWTGUARD=guard,
        ROOT_URLCONF=urls,
        MIDDLEWARE=["tests.django_door.guarded"],
    ):
        yield
    _fetch[0] = None


def wsgi_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through Django's WSGI handler and the middleware."""
    answer = Answer(0)

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answer.status, answer.headers = int(status[:3]), headers

    environ = {**doors.environ_of(ask), "wsgi.input": io.BytesIO(), "SERVER_NAME": "api.test"}
    with _django(guard, SYNC, fetch):
        answer.body = b"".join(WSGIHandler()(environ, start_response))
    answer.seen = _seen[0] if _seen else None
    return answer


def asgi_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through Django's ASGI handler and the middleware."""
    answer = Answer(0)

    async def run() -> None:
        asked, gone = iter([{"type": "http.request"}]), asyncio.Event()

        async def receive() -> Any:
            for message in asked:
                return message
            return await gone.wait()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [(n.decode(), v.decode("latin-1")) for n, v in message["headers"]]
            else:
                answer.body += message["body"]

        await ASGIHandler()(doors.scope_of(ask), receive, send)

    with _django(guard, ASYNC, doors.waiting(fetch) if fetch else None):
        asyncio.run(run())
    answer.seen = _seen[0] if _seen else None
    return answer


DJANGO_DOORS: dict[str, doors.Door] = {"django": wsgi_door, "django, async": asgi_door}
