"""System checks: ``manage.py check``, and what matters in production with ``check --deploy``."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.handlers.asgi import ASGIHandler
from django.utils.module_loading import import_string

from jwtguard import asgi, wsgi
from jwtguard.config import in_words_of, key_file_warnings
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.keyloader import LocalKeys, RemoteKeySource
from jwtguard.guard import Guard

from .middleware import GuardMiddleware
from .routes import opens_any
from .settings import current_guard
from .users import backend_is_used, user_function


def register_all() -> None:
    """For the app's start."""
    for check in (check_configuration, check_routes, check_order):
        register(check, Tags.security)
    for check in (check_issuers, check_websockets):
        register(check, Tags.security, deploy=True)


CORS = "corsheaders.middleware.CorsMiddleware"

# They may stand above the guard: none of them answers a request by what there is to be seen.
MAY_STAND_ABOVE = {
    CORS,
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.security.SecurityMiddleware",
}


def _guard() -> Guard | None:
    try:
        return current_guard()
    except ConfigurationError:  # check_configuration says it
        return None


def _errors(error: ConfigurationError, at: str, number: int) -> list[CheckMessage]:
    return [
        Error(f"{where}: {what}" if where else what, obj=at, id=f"jwtguard.E00{number}")
        for where, what in error.problems
    ]


def check_configuration(**_: object) -> list[CheckMessage]:
    """The guard can be made, and its users found; what it warns of."""
    messages: list[CheckMessage] = []
    try:
        user_function()
    except ConfigurationError as error:
        messages += _errors(error, "JWTGUARD_USER", 2)
    try:
        guard = current_guard()
    except ConfigurationError as error:
        return messages + _errors(error, "JWTGUARD", 1)
    for problem in guard.warnings:
        where, what = in_words_of(guard, problem)
        messages.append(Warning(f"{where}: {what}", obj="JWTGUARD", id="jwtguard.W001"))
    return messages


def check_routes(**_: object) -> list[CheckMessage]:
    """No route leads past the decorator of its view."""
    try:
        opens_any(getattr(settings, "ROOT_URLCONF", None))
    except ConfigurationError as error:
        return _errors(error, "ROOT_URLCONF", 3)
    return []


def check_order(**_: object) -> list[CheckMessage]:
    """The guard stands above all that may answer, and below CORS; users are the token's."""
    middleware = list(settings.MIDDLEWARE)
    at = next((i for i, path in enumerate(middleware) if _is(path, GuardMiddleware)), None)
    if at is None:
        return list(_not_in_middleware())
    messages: list[CheckMessage] = []
    above = [path for path in middleware[:at] if path not in MAY_STAND_ABOVE]
    if above:
        messages.append(
            Warning(
                f"what {', '.join(above)} answers, no guard has judged",
                hint="Put jwtguard.django.GuardMiddleware right below SecurityMiddleware.",
                obj="MIDDLEWARE",
                id="jwtguard.W002",
            )
        )
    if CORS in middleware[at:]:
        messages.append(
            Warning(
                "corsheaders stands below the guard: preflights are refused, and pages cannot "
                "read refusals",
                hint=f"Put {CORS} above jwtguard.django.GuardMiddleware.",
                obj="MIDDLEWARE",
                id="jwtguard.W003",
            )
        )
    return messages + list(_users(middleware))


def _is(path: str, wanted: type) -> bool:
    """Whether a dotted path names *wanted*, or a class that derives from it."""
    found = import_string(path)
    return isinstance(found, type) and issubclass(found, wanted)


def _not_in_middleware() -> Iterator[CheckMessage]:
    for name, door in (("WSGI", wsgi), ("ASGI", asgi)):
        path = getattr(settings, f"{name}_APPLICATION", None)
        if path and isinstance(import_string(path), door.GuardMiddleware):
            return
    yield Warning(
        "jwtguard.django.GuardMiddleware is not in MIDDLEWARE: requests are judged by "
        "rest.TokenAuthentication and the like only, where a view uses them",
        hint="Put jwtguard.django.GuardMiddleware right below SecurityMiddleware.",
        obj="MIDDLEWARE",
        id="jwtguard.W004",
    )


def _users(middleware: list[str]) -> Iterator[CheckMessage]:
    if backend_is_used():
        return
    users = [path for path in middleware if path.startswith("django.contrib.auth.middleware.")]
    if getattr(settings, "JWTGUARD_USER", None) is not None:
        users.append("JWTGUARD_USER")
    if users:
        yield Warning(
            f"request.user is the session's, whoever sent the token ({', '.join(users)})",
            hint="Put jwtguard.django.TokenBackend into AUTHENTICATION_BACKENDS.",
            obj="AUTHENTICATION_BACKENDS",
            id="jwtguard.W005",
        )


def check_issuers(**_: object) -> list[CheckMessage]:
    """What makes tokens less safe than they could be."""
    guard = _guard()
    if guard is None:
        return []
    found = [
        in_words_of(guard, problem) for problem in (*_issuers(guard), *key_file_warnings(guard))
    ]
    return [Warning(f"{at}: {what}", obj="JWTGUARD", id="jwtguard.W006") for at, what in found]


def _weakness(secret: bytes) -> str | None:
    signing = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if secret in [key.encode() if isinstance(key, str) else key for key in signing]:
        return "is SECRET_KEY, which signs sessions and password resets too"
    return "is a few characters over and over" if len(set(secret)) < 10 else None


def _issuers(guard: Guard) -> Iterator[tuple[str, str]]:
    for index, issuer in enumerate(guard.issuers):
        at = f"issuers[{index}]"
        if (issuer.issuer or "").startswith("http:"):
            yield f"{at}.issuer", f"{issuer.issuer} is plain http; a token names an https issuer"
        if issuer.audience is None:
            yield (
                f"{at}.audience",
                "is not checked: tokens that were made for other services are let in",
            )
        for source in issuer.sources:
            if getattr(source, "insecure", False):
                remote = isinstance(source, RemoteKeySource)
                switch = "insecure_http" if remote else "insecure_short_keys"
                yield at, f"{switch} is set, which is for development"
            if isinstance(source, LocalKeys):
                for key in source.current().keys:
                    if key.kind == "oct" and (weakness := _weakness(key.material)):
                        yield at, f"the secret {weakness}; jwtguard keygen HS256 makes one"
        if issuer.introspection is not None and issuer.introspection.insecure:
            yield f"{at}.introspection", "insecure_http is set, which is for development"


def check_websockets(**_: object) -> list[CheckMessage]:
    """Handshakes do not pass MIDDLEWARE: what answers them stands behind `jwtguard.asgi`."""
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path or _is_guarded(import_string(path)):
        return []
    return [
        Warning(
            f"WebSockets that {path} accepts are judged by no guard: they pass no MIDDLEWARE",
            hint="Wrap what answers them: jwtguard.asgi.GuardMiddleware(URLRouter(…), guard).",
            obj="ASGI_APPLICATION",
            id="jwtguard.W007",
        )
    ]


def _is_guarded(app: Any) -> bool:
    """Whether a handshake that *app* gets meets a guard, or nobody who would accept it."""
    seen: Iterable[int] = ()
    while app is not None and id(app) not in seen:
        if isinstance(app, (asgi.GuardMiddleware, ASGIHandler)):
            return True
        seen = (*seen, id(app))
        if isinstance(mapping := getattr(app, "application_mapping", None), dict):
            if "websocket" not in mapping:
                return True
            app = mapping["websocket"]
        else:  # what channels' and other middlewares call the one inside
            names = ("inner", "application", "app")
            app = next((found for name in names if (found := getattr(app, name, None))), None)
    return False
