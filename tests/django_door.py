"""The Django door for the contract table: real handlers, WSGI and ASGI, with one view.

WebSocket scopes never reach Django: its ASGI handler refuses them before any middleware. What
stands in front of Django for them is `jwtguard.asgi`, whose door has these rows.
"""

import asyncio
import contextlib
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.utils.decorators import sync_and_async_middleware

from jwtguard import Guard
from jwtguard.django import GuardMiddleware

from . import django_project, doors
from .doors import APP_BODY, APP_HEADERS, Answer, Ask, FetchSync, Seen

_seen: list[Seen] = []
_fetch: list[Any] = [None]
on_loop: list[bool] = []
"""Whether each middleware that was made runs on an event loop."""


@sync_and_async_middleware
def guarded(get_response: Any) -> GuardMiddleware:
    """What stands in MIDDLEWARE: the guard, with the way to make exchanges that a test gave."""
    on_loop.append(iscoroutinefunction(get_response))
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
    asyncio.get_running_loop()
    return view(request)


@contextlib.contextmanager
def _django(guard: Guard, view: Any, fetch: Any) -> Any:
    _seen.clear()
    _fetch[0] = fetch
    middleware = ["tests.django_door.guarded"]
    with django_project.site(guard, [re_path("", view)], MIDDLEWARE=middleware):
        yield


def wsgi_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through Django's WSGI handler and the middleware."""
    answer = Answer(0)

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answer.status, answer.headers = int(status[:3]), headers

    environ = {**doors.environ_of(ask), "SERVER_NAME": "api.test"}
    with _django(guard, view, fetch):
        answer.body = b"".join(WSGIHandler()(environ, start_response))
    answer.seen = _seen[0] if _seen else None
    return answer


def asgi_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through Django's ASGI handler and the middleware."""
    answer = Answer(0)

    async def run() -> None:
        asked, gone = iter([{"type": "http.request", "body": ask.body}]), asyncio.Event()

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

    with _django(guard, aview, doors.waiting(fetch) if fetch else None):
        asyncio.run(run())
    answer.seen = _seen[0] if _seen else None
    return answer


DJANGO_DOORS: dict[str, doors.Door] = {"django": wsgi_door, "django, async": asgi_door}
