"""Flask and Quart."""

import re
from collections.abc import Iterator
from typing import Any

from .patterns import split
from .route import Found, Mount, Route
from .said import by_method, passed_by, said_of

# As in werkzeug.routing.rules: <name>, <converter:name>, <converter(arguments):name>.
_parameters = re.compile(
    r"<(?:(?P<converter>[a-zA-Z_]\w*)(?:\(.*?\))?:)?(?P<name>[a-zA-Z_]\w*)>", re.ASCII
)


def read_app(app: Any, mount: Mount) -> Found:
    """Through what is wrapped around the app's own routes, to `read_routes`."""
    yield (app.asgi_app if hasattr(app, "asgi_app") else app.wsgi_app), mount


def read_routes(app: Any, mount: Mount) -> Found:
    """The routes of an app."""
    if "jwtguard" in app.extensions:
        mount = mount.behind_guard()
    for rule in app.url_map.iter_rules():
        if not rule.build_only:
            yield from _routes(app, rule, mount)


def _routes(app: Any, rule: Any, mount: Mount) -> Iterator[Route]:
    converters = app.url_map.converters

    def kind_of(match: re.Match[str]) -> str:
        converter = converters.get(match["converter"] or "default")
        if not getattr(converter, "part_isolating", False):
            return "tail"
        return "digits" if getattr(converter, "regex", "") == r"\d+" else "segment"

    segments = split(rule.rule, _parameters, kind_of)
    where = rule.host or rule.subdomain
    text = f"{where}{rule.rule}" if where else rule.rule
    view = app.view_functions.get(rule.endpoint)
    owner = getattr(view, "view_class", None)
    automatic = {"HEAD", "OPTIONS"} if owner or _answers_options(rule) else {"HEAD"}
    methods = sorted(set(rule.methods or ()) - automatic)
    before = _of_blueprints(app, rule.endpoint)
    for known, views in by_method(methods, view, owner):
        yield mount.route(
            known,
            text,
            segments,
            said=said_of((*views, *before)),
            passed=passed_by(views),
            websocket=bool(getattr(rule, "websocket", False)),
        )


def _of_blueprints(app: Any, endpoint: str) -> list[object]:
    """What runs before a view because of the blueprints that it is in."""
    parts = endpoint.split(".")
    names = [".".join(parts[:end]) for end in range(1, len(parts))]
    return [function for name in names for function in app.before_request_funcs.get(name, ())]


def _answers_options(rule: Any) -> bool:
    """Whether the framework answers OPTIONS, so that no view runs."""
    return bool(getattr(rule, "provide_automatic_options", False))
