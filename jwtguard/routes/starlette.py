"""Starlette and FastAPI."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from jwtguard.core.requirement import Requirement
from jwtguard.requires import Said

from .patterns import split
from .route import Found, Mount, Route, is_guard
from .said import by_method, passed_by, said_of

# As in starlette.routing: {name}, {name:convertor}.
_parameters = re.compile(r"{(?P<name>[a-zA-Z_]\w*)(?::(?P<convertor>[a-zA-Z_]\w*))?}", re.ASCII)
_KINDS = {None: "segment", "int": "digits", "path": "any"}
_KINDS |= dict.fromkeys(("str", "float", "uuid"), "segment")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def read_app(app: Any, mount: Mount) -> Found:
    """The routes of an app or router."""
    if any(is_guard(one.cls) for one in getattr(app, "user_middleware", ())):
        mount = mount.behind_guard()
    for route in _each(app.routes):
        yield from _read(route, mount)
    # FastAPI keeps the files of a front end apart, and serves them where nothing else matches.
    for _ in getattr(getattr(app, "router", app), "_low_priority_routes", ()):
        yield mount.route(("GET",), "/**", ("**",), note="the files of a front end")


def _each(routes: list[Any]) -> Iterable[Any]:
    if any(hasattr(route, "original_router") for route in routes):
        from fastapi.routing import iter_route_contexts

        each: Iterable[Any] = iter_route_contexts(routes)  # with the prefixes they are included by
        return each
    return routes


def _segments(path: str) -> tuple[str, ...]:
    return split(path, _parameters, lambda match: _KINDS.get(match["convertor"], "any"))


def _read(route: Any, mount: Mount) -> Found:
    real = getattr(route, "original_route", route)
    path: str | None = getattr(route, "path", None)
    endpoint: object = getattr(route, "endpoint", None)
    if path is not None and endpoint is not None:
        yield from _endpoint(route, path, endpoint, mount)
    elif path is not None and getattr(real, "app", None) is not None:
        yield real.app, mount.below(path, _segments(path))
    elif hasattr(real, "host") and hasattr(real, "app"):
        yield real.app, mount.below(real.host, ())
    else:
        name = type(real).__name__
        yield mount.route((), "/**", ("**",), note=f"a {name}, whose routes are its own")


def _endpoint(route: Any, path: str, endpoint: object, mount: Mount) -> Iterator[Route]:
    said = tuple(_of_dependencies(getattr(route, "dependant", None)))
    is_class = isinstance(endpoint, type)
    websocket = not hasattr(getattr(route, "original_route", route), "methods")
    methods = set(getattr(route, "methods", None) or ())
    if websocket:
        methods = {"GET"}
    elif is_class and not methods:
        methods = {method for method in _METHODS if hasattr(endpoint, method.lower())}
    if "GET" in methods:
        methods.discard("HEAD")
    if not methods:
        yield mount.route(
            (),
            path,
            _segments(path),
            said=(*said_of([endpoint]), *said),
            passed=passed_by([endpoint]),
        )
        return
    for known, views in by_method(sorted(methods), endpoint, endpoint if is_class else None):
        yield mount.route(
            known,
            path,
            _segments(path),
            said=(*said_of(views), *said),
            passed=passed_by(views),
            websocket=websocket,
        )


def _of_dependencies(dependant: Any) -> Iterator[Said]:
    """What the dependencies say, with the scopes that ``Security`` adds."""
    for one in getattr(dependant, "dependencies", ()):
        said = said_of([one.call])
        if said:
            yield from said
            scopes = [
                *(getattr(one, "parent_oauth_scopes", None) or ()),
                *(getattr(one, "own_oauth_scopes", None) or ()),
            ]
            if scopes and (asked := Requirement(scopes=list(dict.fromkeys(scopes)))):
                yield asked
        yield from _of_dependencies(one)
