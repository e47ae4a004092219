"""Django, with Django REST framework and django-ninja."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from jwtguard.core.requirement import Requirement

from .patterns import split
from .route import Found, Mount, Route, is_guard
from .said import by_method, passed_by, said_of

_JUDGED = "judged per request: a regular expression, or a path of its own for each language"

# What this module makes of all notations, for `split`: a kind and a name between U+0000.
_parameters = re.compile("\0(?P<kind>[a-z]+):(?P<name>[^\0]*)\0")
_ANY = "\0any:\0"


def read_app(_: object, mount: Mount) -> Found:
    """The routes of ROOT_URLCONF."""
    middleware = import_module("django.conf").settings.MIDDLEWARE
    if any(is_guard(resolve_name(name)) for name in middleware):
        mount = mount.behind_guard()
    return _read(import_module("django.urls").get_resolver().url_patterns, mount, "/", "/")


def _read(patterns: list[Any], mount: Mount, shown: str, path: str) -> Iterator[Route]:
    for one in patterns:
        text, below = shown + str(one.pattern), path + _path_of(one.pattern)
        nested = getattr(one, "url_patterns", None)
        if nested is None:
            yield from _routes(one.callback, mount, text, below)
        else:
            yield from _read(nested, mount, text, below)


def _routes(view: Any, mount: Mount, text: str, path: str) -> Iterator[Route]:
    segments = split(path, _parameters, lambda match: match["kind"])
    note = _JUDGED if _ANY in path else ""
    for methods, views in _views(view):
        yield mount.route(
            methods, text, segments, said=said_of(views), passed=passed_by(views), note=note
        )


# --- paths --------------------------------------------------------------------------------------


def _path_of(pattern: Any) -> str:
    route = getattr(pattern, "_route", None)
    if isinstance(route, str):
        return _route_parameters.sub(
            lambda match: _of_parameter(match["name"], pattern.converters), route
        )
    regex = getattr(pattern, "_regex", None)
    if route is None and isinstance(regex, str):
        return _of_regex(regex, pattern._is_endpoint)
    return _ANY  # translated, or a language prefix: another path for each user


# As in django.urls.resolvers: <name>, <converter:name>.
_route_parameters = re.compile(r"<(?:[^>:]+:)?(?P<name>[^>]+)>")
_KINDS = {"PathConverter": "tail", "IntConverter": "digits"}


def _of_parameter(name: str, converters: Mapping[str, object]) -> str:
    kind = type(converters[name])
    if kind.__module__ != "django.urls.converters":
        return _ANY  # one of the project's: only itself knows what it matches
    return f"\0{_KINDS.get(kind.__name__, 'segment')}:{name}\0"


# Regular expressions are read as far as they are literal text, and groups no slash fits into.
_slashless = r"\[\^/\.?\]|\\[dw]|\[-?(?:[a-zA-Z0-9]-[a-zA-Z0-9]|\\[dw]|[a-zA-Z0-9_])*-?\]"
_token = re.compile(
    rf"\((?:\?P<(?P<name>\w+)>)?(?:{_slashless})(?:\+|{{[1-9]\d*(?:,\d*)?}})\)"
    r"|(?P<literal>[\w/~-])|\\(?P<escaped>[./-])"
)


def _of_regex(regex: str, is_endpoint: bool) -> str:
    if "|" in regex or not (regex.startswith("^") or regex.endswith("$")):
        return _ANY
    text, is_whole = regex.removeprefix("^"), not is_endpoint
    for end in ("$", r"\Z", r"\z"):
        if text.endswith(end):
            text, is_whole = text.removesuffix(end), True
    text = text.removesuffix("/?")
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _token.match(text, at)
        if match is None:
            is_quantifier = text[at] in "?*+{"  # what stands before it may not be there
            return _up_to_slash(tokens[:-1] if is_quantifier else tokens)
        literal = match["literal"] or match["escaped"]
        tokens.append(literal or f"\0segment:{match['name'] or ''}\0")
        at = match.end()
    return "".join(tokens) if is_whole else _up_to_slash(tokens)


def _up_to_slash(tokens: list[str]) -> str:
    text = "".join(tokens)
    return text[: text.rfind("/") + 1] + _ANY


# --- views --------------------------------------------------------------------------------------

_Views = Iterator[tuple[tuple[str, ...], list[object]]]


def _views(view: Any) -> _Views:
    """Methods, and who says something of them; no methods where the view takes any."""
    operations = list(_operations(view))
    if operations:
        for operation in operations:
            auth = operation.auth_callbacks
            # Of several, one is enough: none of them can be said to be required.
            yield tuple(operation.methods), [operation.view_func, *(auth if len(auth) == 1 else ())]
        return
    owner = getattr(view, "view_class", None) or getattr(view, "cls", None)
    actions: dict[str, str] = getattr(view, "actions", None) or {}
    if owner is None:
        yield (), [view]
        return
    given = getattr(view, "initkwargs", {})
    permissions = given.get("permission_classes", getattr(owner, "permission_classes", ()))
    names = [
        name
        for name in owner.http_method_names
        if name not in ("head", "options", "trace")
        and (name in actions if actions else hasattr(owner, name))
    ]
    for methods, views in by_method([name.upper() for name in names], view, owner, actions):
        yield methods, [*views, *permissions, *_of_rest_framework(given, owner, permissions)]


def _of_rest_framework(
    given: Mapping[str, Any], owner: object, permissions: Iterable[object]
) -> Iterator[Requirement]:
    """A valid token, where a view lets in whoever is known, and knows people by their tokens."""
    known_by = given.get("authentication_classes", getattr(owner, "authentication_classes", ()))
    by_token = any(_is_a(one, "jwtguard.django.rest", "TokenAuthentication") for one in known_by)
    if by_token and any(_is_a(one, _PERMISSIONS, "IsAuthenticated") for one in permissions):
        yield Requirement()


_PERMISSIONS = "rest_framework.permissions"


def _is_a(kind: Any, module: str, name: str) -> bool:
    bases = getattr(kind, "__mro__", ())
    return any((base.__module__, base.__name__) == (module, name) for base in bases)


def _operations(view: Any) -> Iterator[Any]:
    """What django-ninja calls from within its view, which keeps it in a closure."""
    for cell in getattr(view, "__closure__", None) or ():
        yield from getattr(cell.cell_contents, "operations", ())
