"""Every view that a URLconf leads to, and what the views say of themselves."""

import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.urls import Resolver404, get_resolver

from jwtguard.requires import refuse_open_routes, said_by

View = Callable[..., Any]

OPENED_BY = "_jwtguard_opened_by"
"""The class that `public` stands on; `as_view` copies it from its dispatch."""


def is_open(view: View) -> bool:
    """Whether *view* says of itself that it is public.

    A class view does not inherit it: whoever derives from an open view opens nothing by that.
    """
    if said_by(view) != "public":
        return False
    by = getattr(view, OPENED_BY, None)
    return by is None or by is (getattr(view, "cls", None) or getattr(view, "view_class", None))


def urlconf_of(request: HttpRequest) -> Hashable:
    """The URLconf that Django routes *request* by, as far as can be told now."""
    found: Hashable = getattr(request, "urlconf", None) or getattr(settings, "ROOT_URLCONF", None)
    return found


def leads_to_open_view(urlconf: Hashable, path: str) -> bool:
    """Whether Django routes *path* to a view that says that it is public."""
    try:
        return is_open(get_resolver(urlconf).resolve(path).func)
    except Resolver404:
        return False


# For requests with a good token, which pass either way: an answer that is out of date harms nobody.
led_to_open_view = lru_cache(maxsize=1024)(leads_to_open_view)


@lru_cache(maxsize=64)  # a project has one, or one for each host name
def opens_any(urlconf: Hashable) -> bool:
    """Whether a view of *urlconf* says that it is public.

    Raises errors.ConfigurationError where a route leads past the decorator of its view.
    """
    if urlconf is None:
        return False
    views = list(views_of(urlconf))
    refuse_open_routes(views)
    return any(map(is_open, views))


def _forget(*, setting: str, **_: object) -> None:
    if setting == "ROOT_URLCONF":
        opens_any.cache_clear()
        led_to_open_view.cache_clear()


setting_changed.connect(_forget)


def views_of(urlconf: Hashable) -> Iterator[View]:
    """Every view of *urlconf*, and the functions that django-ninja calls from within its own."""
    waiting: list[Any] = [get_resolver(urlconf)]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        patterns = getattr(one, "url_patterns", None)
        if patterns is None:
            yield one.callback
            yield from _operations(one.callback)
        elif id(patterns) not in seen:  # a URLconf may include itself
            seen.add(id(patterns))
            waiting += patterns


def _operations(view: View) -> Iterator[View]:
    """The functions below a view of django-ninja: a method, or a closure over what has them."""
    if (ninja := sys.modules.get("ninja.operation")) is None:
        return
    for one in _held_by(view):
        if issubclass(type(one), ninja.PathView):  # isinstance would wake what is lazy
            for operation in one.operations:
                yield operation.view_func


def _held_by(view: View) -> Iterator[Any]:
    yield getattr(view, "__self__", None)
    for cell in getattr(view, "__closure__", None) or ():
        with suppress(ValueError):  # an empty cell
            yield cell.cell_contents
