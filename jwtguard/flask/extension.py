"""What the extensions for Flask and Quart share: an app, its guard, and what its views say."""

import functools
import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import werkzeug.utils
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from jwtguard.config import VARIABLE, Target, from_environment, load
from jwtguard.core.browser import is_preflight
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.model import Allow, Pairs, Request
from jwtguard.guard import Guard
from jwtguard.requires import View, mark, refuse_open_routes, said_by

from .commands import commands

if TYPE_CHECKING:
    from flask.sansio.app import App
    from flask.sansio.blueprints import Blueprint
    from werkzeug.sansio.response import Response

NAME = "jwtguard"  # among an app's extensions
JUDGED = "_jwtguard_judged"  # an attribute of requests


def guard_of(app: "App", given: Target | None) -> Guard:
    """The guard for *app*. Raises errors.ConfigurationError."""
    target = app.config.get("JWTGUARD") if given is None else given
    if target is not None:
        return load(target)
    if os.environ.get(VARIABLE):
        return from_environment()
    raise ConfigurationError(
        "there is no guard for this app: give one to init_app(app, guard), or set "
        f'app.config["JWTGUARD"] or the environment variable {VARIABLE}, such as "jwtguard.toml"'
    )


def put_first(register: Callable[..., Any], functions: Any, function: Callable[..., Any]) -> None:
    """Register *function* by *register*, and before all that stand in *functions* already."""
    register(function)  # the framework refuses what comes too late
    listed = functions[None]
    listed.insert(0, listed.pop())


def is_automatic(request: Any) -> bool:
    """Whether the framework answers this OPTIONS itself, so that no code of a view runs."""
    return request.method == "OPTIONS" and bool(
        getattr(request.url_rule, "provide_automatic_options", False)
    )


class Extension:
    """An app, its guard, and what its views say."""

    def __init__(self, app: "App", guard: Guard, protected: "WeakSet[Blueprint]") -> None:
        if NAME in app.extensions:
            raise ConfigurationError(f"{app.name} has a guard already; init_app comes once per app")
        self.app = app
        self.guard = guard
        self._protected = protected
        self.is_checked = False
        self._entered: list[tuple[Any, Callable[..., Any]]] = []
        app.extensions[NAME] = self
        app.cli.add_command(commands(self))

    def enter(
        self, register: Callable[..., Any], functions: Any, function: Callable[..., Any]
    ) -> None:
        """Put *function* before everybody else's."""
        put_first(register, functions, function)
        self._entered.append((functions, function))

    def check_entered(self) -> None:
        """Raises errors.ConfigurationError where somebody is before the guard, or took it out."""
        for functions, function in self._entered:
            if [*functions.get(None, ()), None][0] != function:
                raise ConfigurationError(
                    f"{function.__name__} of the guard is no longer the first of {self.app.name}'s "
                    "functions: somebody changed app.before_request_funcs after init_app"
                )

    def check_routes(self) -> None:
        """Raises errors.ConfigurationError where a view is not guarded as it says."""
        views = self.app.view_functions
        refuse_open_routes(views.values())
        inside = [name for name in views if said_by(views[name]) == "public" and self._inside(name)]
        if inside:
            what = "is marked public, in a blueprint that is protected; it is one of them"
            raise ConfigurationError([(name, what) for name in inside])
        self.is_checked = True

    def _inside(self, endpoint: str) -> bool:
        """Whether *endpoint* belongs to a protected blueprint, or to one inside it."""
        parts = endpoint.split(".")
        names = [".".join(parts[:end]) for end in range(1, len(parts))]
        return any(self.app.blueprints.get(name) in self._protected for name in names)

    def is_open(self, request: Any) -> bool:
        """What `Guard.judge` asks: whether the view says of itself that it is `public`."""
        rule = request.url_rule
        view = None if rule is None else self.app.view_functions.get(rule.endpoint)
        return said_by(view) == "public"

    def changed_method(self, request: Any) -> ConfigurationError:
        """What to raise where the framework would route another request than was judged."""
        return ConfigurationError(
            f"{type(request).__name__} changes the method of a request after the guard has judged "
            "it; do so in a middleware in front of the app"
        )

    def let_through(self, seen: Request) -> Allow | None:
        """What to publish where the framework answers OPTIONS itself; None: the guard answers."""
        if self.guard.preflight == "answer" and is_preflight(seen, "OPTIONS"):
            return None
        return Allow(None, None, self.guard._forward_names)

    def read_again(self, request: Any, allow: Allow) -> None:
        """Forget what was read of *request* before *allow* changed it: sessions read cookies."""
        if allow.query is not None:
            request.query_string = allow.query.encode("latin-1")
        read = vars(request)
        for name in _kept(request.__class__).intersection(read):
            del read[name]
        if allow.query is not None and isinstance(request.routing_exception, RequestRedirect):
            try:
                self.app.create_url_adapter(request).match()  # type: ignore[attr-defined]
            except HTTPException as redirect:  # to the same place, without what was removed
                request.routing_exception = redirect

    def add_headers(self, response: "Response", added: Pairs) -> None:
        """The guard's response headers, where the app did not set them, and *added* ones."""
        for name, value in self.guard.response_headers:
            response.headers.setdefault(name, value)
        for name, value in added:
            response.headers.add(name, value)


@lru_cache(maxsize=64)
def _kept(kind: type) -> frozenset[str]:
    """What requests of a class keep once it was read, but for the body, which is read once."""
    kept = functools.cached_property, werkzeug.utils.cached_property
    names = {name for name in dir(kind) if isinstance(getattr(kind, name, None), kept)}
    return frozenset(names - {"data", "files", "form", "json", "stream"})


def public(view: View) -> View:
    """Open a view to everybody, where no rule of the guard's says anything of its path.

    Credentials are not looked at then. Works with `JWTGuard`; the middleware knows no views. For
    a class of views: ``decorators = [public]``.

    Raises `errors.ConfigurationError` where the view has requirements.
    """
    return mark(refuse_class(view), "public")


def refuse_class(view: View) -> View:
    """Raises errors.ConfigurationError where *view* is a class; routes lead to what it makes."""
    if isinstance(view, type):
        raise ConfigurationError(
            f"{view.__name__} is a class; write `decorators = [public]` or "
            "`decorators = [requires(…)]` inside it"
        )
    return view
