"""The routes of an app, as its framework keeps them, in the language of rules.

Frameworks are told by the modules of their classes and read as they are: nothing here imports one
that the app has not imported.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import django, litestar, starlette, werkzeug
from .route import Found, Mount, Route, is_guard

__all__ = ["Route", "can_read", "routes_of"]


def routes_of(app: object) -> Iterator[Route]:
    """Every route of *app*, and of the apps in it.

    An app that nobody here can read is one route, for everything below its place.
    """
    return _walk(app, Mount())


def _walk(app: object, place: Mount) -> Iterator[Route]:
    mount = place.enters(app)
    if mount is None:
        return
    if is_guard(app):
        mount = mount.behind_guard()
    reader = _reader(app)
    for found in (_through if reader is None else reader)(app, mount):
        if isinstance(found, Route):
            yield found
        else:
            yield from _walk(*found)


Reader = Callable[[Any, Mount], Found]


def can_read(app: object) -> bool:
    """Whether *app*, or what it hands requests on to, keeps routes that can be read here."""
    return any(route.note != UNREAD for route in routes_of(app))


UNREAD = "its routes are its own"


def _through(app: object, mount: Mount) -> Found:
    """Through a middleware or a dispatcher."""
    inside = _inside(app)
    for prefix, one in inside:
        yield one, mount.below(prefix, tuple(filter(None, prefix.split("/"))))
    if not inside:
        yield mount.route((), "/**", ("**",), note=UNREAD)


def _reader(app: object) -> Reader | None:
    """What reads the routes of such an app; None where nobody knows how."""
    packages = {base.__module__.partition(".")[0] for base in type(app).__mro__}
    if packages & {"flask", "quart"} and hasattr(app, "url_map"):
        return werkzeug.read_app
    if packages & {"starlette", "fastapi"} and isinstance(getattr(app, "routes", None), list):
        return starlette.read_app
    if "litestar" in packages and hasattr(app, "route_handler_method_map"):
        return litestar.read_app
    if "django" in packages and hasattr(app, "resolve_request"):
        return django.read_app
    owner: object = getattr(app, "__self__", None)  # of Flask.wsgi_app, which others may wrap
    if hasattr(owner, "url_map"):
        return lambda _, mount: werkzeug.read_routes(owner, mount)
    return None


def _inside(app: object) -> list[tuple[str, object]]:
    """What a middleware or a dispatcher hands requests on to, and below which prefix."""
    found: list[tuple[str, object]] = []
    mounts: object = getattr(app, "mounts", None)  # werkzeug's dispatcher
    if isinstance(mounts, Mapping):
        found += mounts.items()
    protocols: object = getattr(app, "application_mapping", None)  # Channels
    if isinstance(protocols, Mapping):
        found += [("", one) for one in protocols.values()]
    for name in ("app", "application", "wsgi_app", "asgi_app"):
        inner = getattr(app, name, None)
        if callable(inner):
            return [*found, ("", inner)]
    owner: object = getattr(app, "__self__", None)
    return found or ([("", owner)] if callable(owner) else [])
