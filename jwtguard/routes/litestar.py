"""Litestar."""

import re
from collections.abc import Iterator
from typing import Any

from .patterns import split
from .route import MAX_DEPTH, Found, Mount, is_guard
from .said import passed_by, said_of

_parameters = re.compile(r"{(?P<name>\w+):(?P<type>\w+)}")

_KINDS = {"path": "any"}


def read_app(app: Any, mount: Mount) -> Found:
    """The routes of an app."""
    if any(map(is_guard, _around(app))) or any(map(_makes_guard, app.middleware)):
        mount = mount.behind_guard()
    for route in app.routes:
        handlers = getattr(route, "route_handlers", None) or [route.route_handler]
        for handler in handlers:
            yield from _read(route, handler, mount)


def _around(app: Any) -> Iterator[object]:
    """What stands in front of the app's own routing, from the outside."""
    one = app.asgi_handler
    for _ in range(MAX_DEPTH):
        if one is None:
            return
        yield one
        one = getattr(one, "app", None)


def _makes_guard(middleware: Any) -> bool:
    """A class, or what makes one: a DefineMiddleware, a partial, an instance."""
    made_of = getattr(middleware, "middleware", getattr(middleware, "func", middleware))
    return is_guard(made_of) or is_guard(middleware)


def _read(route: Any, handler: Any, mount: Mount) -> Found:
    segments = split(route.path, _parameters, lambda match: _KINDS.get(match["type"], "segment"))
    methods = set(getattr(handler, "http_methods", ()))
    if methods == {"OPTIONS"} and "litestar" in handler.fn.__module__:
        return  # the framework answers it
    is_mount = bool(getattr(handler, "is_mount", False))
    if is_mount:
        yield handler.fn, mount.below(route.path, segments)
        return
    websocket = type(route).__name__ == "WebSocketRoute"
    views = [handler.fn, *handler.resolve_guards()]
    yield mount.route(
        ("GET",) if websocket else tuple(sorted(map(str, methods))),
        route.path,
        segments,
        said=said_of(views),
        passed=passed_by(views),
        websocket=websocket,
    )
