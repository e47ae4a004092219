"""Django under ASGI, all of it async; from Django's request on, as Django makes tasks before it."""

from collections.abc import Awaitable, Callable
from functools import wraps
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.utils.decorators import async_only_middleware

from benchmarks.frameworks.django import (
    FORMS,
    apps_of,
    refuse,
    simplejwt_judge,
    urls,
)
from benchmarks.traffic import Signer, asgi_caller, asgi_request

__all__ = ["FORMS", "apps", "caller", "request"]

request, caller = asgi_request, asgi_caller


class Handler(ASGIHandler):
    """As its sync sister."""

    def __init__(self, view: Any, *middleware: str) -> None:
        self.urls = urls(view)
        with override_settings(MIDDLEWARE=middleware):
            super().__init__()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = ASGIRequest(scope, BytesIO())
        request.urlconf = self.urls
        response = await self.get_response_async(request)
        response.close()
        await send({"type": "http.response.start", "status": response.status_code})


def apps(signer: Signer) -> dict[str, Handler]:
    return apps_of(__name__, signer)


def make_view() -> Any:
    async def view(request: HttpRequest, number: str) -> HttpResponse:
        return HttpResponse(b"{}")

    return view


def empty(view: Any) -> Any:
    @wraps(view)
    async def decorated(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return await view(request, *args, **kwargs)

    return decorated


def peer_required(view: Any) -> Any:
    @wraps(view)
    async def decorated(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return refuse(request) or await view(request, *args, **kwargs)

    return decorated


@async_only_middleware
def by_hand(get_response: Callable[[Any], Awaitable[HttpResponse]]) -> Any:
    async def middleware(request: Any) -> HttpResponse:
        return refuse(request) or await get_response(request)

    return middleware


@async_only_middleware
def simplejwt(get_response: Callable[[Any], Awaitable[HttpResponse]]) -> Any:
    judge = simplejwt_judge()

    async def middleware(request: Any) -> HttpResponse:
        return judge(request) or await get_response(request)

    return middleware
