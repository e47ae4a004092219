"""Django under WSGI, beside djangorestframework-simplejwt in a middleware, and PyJWT by hand."""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from io import BytesIO
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path

from benchmarks.frameworks import Beyond, Form
from benchmarks.peer import Checker, Refused
from benchmarks.traffic import AUDIENCE, ISSUER, NEEDED_SCOPE, Signer, wsgi_caller, wsgi_request

GUARD = "jwtguard.django.GuardMiddleware"
PEER = "simplejwt"
DECORATORS = {"PyJWT": Beyond("@peer", "@empty")}
FORMS = [
    Form(
        "GuardMiddleware",
        Beyond("guard", "bare"),
        {PEER: Beyond("simplejwt", "bare"), "PyJWT": Beyond("peer", "bare")},
    ),
    Form("@requires, guarded", Beyond("guard @requires", "guard @empty"), DECORATORS),
]
caller = wsgi_caller


def request(token: bytes, path: bytes) -> dict[str, Any]:
    """With a body to read, as Django looks for it."""
    environ = wsgi_request(token, path)
    environ["wsgi.input"] = BytesIO()
    return environ


class Handler(WSGIHandler):
    """An app with URLs of its own, where a process has settings for one."""

    def __init__(self, view: Any, *middleware: str) -> None:
        self.urls = urls(view)
        with override_settings(MIDDLEWARE=middleware):
            super().__init__()

    def get_response(self, request: Any) -> HttpResponse:
        request.urlconf = self.urls
        return super().get_response(request)  # type: ignore[no-any-return]


def urls(view: Any) -> ModuleType:
    """A URLconf with this view alone."""
    module = ModuleType("urls")
    module.urlpatterns = [path("reports/2026/<number>", view)]  # type: ignore[attr-defined]
    return module


def configure(signer: Signer) -> None:
    """The settings of a project that uses the guard, and of one that uses simplejwt."""
    settings.configure(
        SECRET_KEY="x" * 50,  # simplejwt asks for one
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        MIDDLEWARE=[],
        ROOT_URLCONF="urls",  # every request has its own
        USE_TZ=True,
        JWTGUARD=signer.guard(),
        BENCHMARK_CHECKER=Checker(signer),
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
        SIMPLE_JWT={
            "ALGORITHM": signer.algorithm,
            "SIGNING_KEY": signer.written_key,
            "VERIFYING_KEY": signer.written_key,
            "AUDIENCE": AUDIENCE,
            "ISSUER": ISSUER,
            "USER_ID_CLAIM": "sub",
            "AUTH_TOKEN_CLASSES": ["rest_framework_simplejwt.tokens.UntypedToken"],
        },
    )
    django.setup()


def apps(signer: Signer) -> dict[str, Handler]:
    return apps_of(__name__, signer)


def apps_of(name: str, signer: Signer) -> dict[str, Any]:
    """The apps of a module, sync or async: its Handler, its view, its decorators and middleware."""
    configure(signer)
    from jwtguard.django import requires  # wants the settings

    of = import_module(name)
    make_view, handler = of.make_view, of.Handler
    needs = requires(scopes=NEEDED_SCOPE)
    return {
        "bare": handler(make_view()),
        "@empty": handler(of.empty(make_view())),
        "guard": handler(make_view(), GUARD),
        "guard @empty": handler(of.empty(make_view()), GUARD),
        "guard @requires": handler(needs(make_view()), GUARD),
        "simplejwt": handler(make_view(), f"{name}.simplejwt"),
        "peer": handler(make_view(), f"{name}.by_hand"),
        "@peer": handler(of.peer_required(make_view())),
    }


def make_view() -> Any:
    def view(request: HttpRequest, number: str) -> HttpResponse:
        return HttpResponse(b"{}")

    return view


def empty(view: Any) -> Any:
    @wraps(view)
    def decorated(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return view(request, *args, **kwargs)

    return decorated


def peer_required(view: Any) -> Any:
    @wraps(view)
    def decorated(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return refuse(request) or view(request, *args, **kwargs)

    return decorated


def refuse(request: Any) -> HttpResponse | None:
    """What the PyJWT peers do."""
    try:
        checker: Checker = settings.BENCHMARK_CHECKER
        request.claims = checker.bearer(request.headers.get("Authorization"))
    except Refused:
        return HttpResponse("refused", status=401)
    return None


def by_hand(get_response: Callable[[Any], HttpResponse]) -> Any:
    def middleware(request: Any) -> HttpResponse:
        return refuse(request) or get_response(request)

    return middleware


def simplejwt_judge() -> Callable[[Any], HttpResponse | None]:
    """What people do who want simplejwt in front of views that are not REST framework's."""
    from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
    from rest_framework_simplejwt.exceptions import InvalidToken

    authentication = JWTStatelessUserAuthentication()

    def judge(request: Any) -> HttpResponse | None:
        try:
            found = authentication.authenticate(request)
        except InvalidToken:
            found = None
        if found is None:
            return HttpResponse("refused", status=401)
        request.user, request.auth = found
        if NEEDED_SCOPE not in request.auth["scope"].split():
            return HttpResponse("refused", status=403)
        return None

    return judge


def simplejwt(get_response: Callable[[Any], HttpResponse]) -> Any:
    judge = simplejwt_judge()

    def middleware(request: Any) -> HttpResponse:
        return judge(request) or get_response(request)

    return middleware
