"""Which protocol an app speaks, so that a door can say at once that it is the wrong one."""

import inspect
import sys
from collections.abc import Iterator
from typing import Literal

from .core.errors import ConfigurationError
from .core.guard import Guard


def protocol_of(app: object) -> Literal["wsgi", "asgi"] | None:
    """The protocol of *app*, or None where it cannot be told."""
    call = app if inspect.isroutine(app) else getattr(app, "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(call):
        return "asgi"
    try:
        parameters = inspect.signature(call).parameters.values() if call else ()
    except (ValueError, TypeError):
        return None
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    wanted = [p for p in parameters if p.default is p.empty and p.kind not in optional]
    return {2: "wsgi", 3: "asgi"}.get(len(wanted))  # type: ignore[return-value]


def expect(app: object, guard: object, protocol: Literal["wsgi", "asgi"]) -> None:
    """Raises ConfigurationError where *app* speaks the other protocol, or *guard* is none."""
    if not isinstance(guard, Guard):
        raise ConfigurationError(
            f"GuardMiddleware(app, guard) takes a Guard; found {type(guard).__name__}. "
            "jwtguard.from_toml(path) makes one of a file"
        )
    found = protocol_of(app)
    if found is not None and found != protocol:
        raise wrong_door(found)


def wrong_door(found: str) -> ConfigurationError:
    """What to import instead."""
    return ConfigurationError(
        f"this speaks {found.upper()}: use `from jwtguard.{found} import GuardMiddleware`"
    )


MAX_APPS = 1000


def refuse_own_prefix(app: object) -> None:
    """Raises ConfigurationError where *app* or one inside it puts a prefix of its own to the path.

    It would do so after the guard has judged the path: another one than the app routes.
    """
    for inner in apps_inside(app):
        prefix: object = getattr(inner, "root_path", None)
        if isinstance(prefix, str) and prefix:
            raise ConfigurationError(
                f"{type(inner).__name__}(root_path={prefix!r}) changes the path after the guard "
                "has judged it; use app.add_middleware(GuardMiddleware, guard=guard), or the "
                "server's own --root-path"
            )
    django = sys.modules.get("django.core.handlers.asgi")
    if django is not None and any(
        isinstance(inner, django.ASGIHandler) for inner in apps_inside(app)
    ):
        settings = sys.modules["django.conf"].settings
        if settings.configured and settings.FORCE_SCRIPT_NAME:
            raise ConfigurationError(
                f"FORCE_SCRIPT_NAME = {settings.FORCE_SCRIPT_NAME!r} changes the path after the "
                "guard has judged it; use the server's own --root-path"
            )


def apps_inside(*apps: object) -> Iterator[object]:
    """The apps, what they wrap (``app``) and what they mount or include, each once."""
    seen: set[int] = set()
    waiting = list(apps)
    while waiting and len(seen) < MAX_APPS:
        inner = waiting.pop()
        if inner is None or id(inner) in seen:
            continue
        seen.add(id(inner))
        yield inner
        # FastAPI keeps what it includes under the second name.
        waiting += [getattr(inner, name, None) for name in ("app", "original_router")]
        routes: object = getattr(inner, "routes", None)
        if isinstance(routes, list):
            waiting += routes
