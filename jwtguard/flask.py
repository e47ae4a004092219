"""At home in Flask: every request is judged before anything of the app's sees it.

jwt = JWTGuard()
jwt.init_app(app, guard)

@app.get("/reports")
@requires(scopes="reports:read")
def reports():
    return f"for {current_token.subject}"

`requires` and `current_token` work behind `jwtguard.wsgi.GuardMiddleware` too.
"""

import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import click
import flask
from flask.cli import AppGroup
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy
from werkzeug.routing import RequestRedirect
from werkzeug.utils import cached_property

from . import drive, wsgi
from .config import VARIABLE, Target, from_environment, load
from .core.browser import is_preflight
from .core.claims import Claims
from .core.errors import ConfigurationError
from .core.model import Allow, Deny, Request
from .core.requirement import Requirement
from .core.token import VerifiedToken
from .guard import Guard
from .requires import (
    View,
    judge,
    mark,
    published_token,
    refuse_open_routes,
    requirement_from,
    said_by,
)
from .transport import for_threads
from .wsgi import EnvironRequest

if TYPE_CHECKING:
    from flask.sansio.app import App
    from flask.sansio.blueprints import Blueprint
    from werkzeug.sansio.response import Response as AnyResponse

    from .transport import Client

__all__ = ["JWTGuard", "current_claims", "current_token", "public", "requires"]

NAME = "jwtguard"  # among an app's extensions and commands


class JWTGuard:
    """Judges every request of a Flask app, in a ``before_request`` that comes first.

    A refusal is a response like any other, so ``after_request`` functions and Flask-CORS see it.
    One object serves any number of apps, each with a guard of its own; ``JWTGuard(app, guard)`` is
    `init_app` at once.

    Flask's own answer to OPTIONS runs no code of a view and passes, unless the guard is to answer
    preflights itself.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        guard: Target | None = None,
        *,
        client: "Client | None" = None,
        fetch: drive.FetchSync | None = None,
    ) -> None:
        self._protected: WeakSet[Blueprint] = WeakSet()
        if app is not None:
            self.init_app(app, guard, client=client, fetch=fetch)
        elif (guard, client, fetch) != (None, None, None):
            raise ConfigurationError("without an app there is nothing to guard: JWTGuard(app, …)")

    def init_app(
        self,
        app: flask.Flask,
        guard: Target | None = None,
        *,
        client: "Client | None" = None,
        fetch: drive.FetchSync | None = None,
    ) -> None:
        """Put *guard* in front of *app*: a Guard, a file, a mapping, or ``module:guard``.

        None: ``app.config["JWTGUARD"]``, else what the environment variable ``JWTGUARD_CONFIG``
        names. *client* and *fetch* as for `jwtguard.wsgi.GuardMiddleware`.

        Raises `errors.ConfigurationError`, also where there is no guard to be found.
        """
        if not isinstance(app, flask.Flask):
            raise ConfigurationError(
                f"init_app takes a Flask app; found {type(app).__name__} (Quart: jwtguard.quart)"
            )
        found = guard_of(app, guard)
        door = _Door(app, found, self._protected, for_threads(found, client, fetch))
        door.enter(app.before_request, app.before_request_funcs, door.judge)
        door.enter(app.after_request, app.after_request_funcs, door.complete)

    def protect(
        self, blueprint: flask.Blueprint, requirement: Requirement | None = None, /, **words: Any
    ) -> None:
        """Every view of *blueprint*, and of those registered on it, wants a `Requirement`.

        Views that are added later too; what they want by `requires` comes on top. A `public` view
        among them is an error at the first request. Comes before the blueprint is registered.

        Raises `errors.ConfigurationError` for words that make no sense.
        """
        wanted = requirement_from(requirement, words)
        name = f"protect:{blueprint.name}"

        def refuse() -> flask.Response | None:
            return None if is_automatic(flask.request) else _refusal(wanted, name)

        put_first(blueprint.before_request, blueprint.before_request_funcs, refuse)
        self._protected.add(blueprint)


# --- what the extension of Quart does too ---------------------------------------------------------


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
        self._checked = False
        self._entered: list[tuple[Any, Callable[..., Any]]] = []
        app.extensions[NAME] = self
        app.cli.add_command(_commands(self))

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
        if self._checked:
            return
        views = self.app.view_functions
        refuse_open_routes(views.values())
        inside = [name for name in views if said_by(views[name]) == "public" and self._inside(name)]
        if inside:
            what = "is marked public, in a blueprint that is protected; it is one of them"
            raise ConfigurationError([(name, what) for name in inside])
        self._checked = True

    def _inside(self, endpoint: str) -> bool:
        """Whether *endpoint* belongs to a protected blueprint, or to one inside it."""
        parts = endpoint.split(".")
        names = [".".join(parts[:end]) for end in range(1, len(parts))]
        return any(self.app.blueprints.get(name) in self._protected for name in names)

    def opened(self, request: Any) -> Callable[[], bool] | None:
        """What `Guard.judge` asks of a view that is `public`; None for all others."""
        rule = request.url_rule
        view = None if rule is None else self.app.view_functions.get(rule.endpoint)
        return _yes if said_by(view) == "public" else None

    def let_through(self, request: Any, seen: Request) -> Allow | None:
        """What to publish where nothing is judged, as the framework answers OPTIONS itself."""
        if not is_automatic(request):
            return None
        if self.guard._preflight == "answer" and is_preflight(seen, "OPTIONS"):
            return None
        return Allow(None, None, self.guard._forward_names)

    def read_again(self, request: Any, allow: Allow) -> None:
        """Forget what was read of *request* before *allow* changed it: sessions read cookies."""
        if allow.query is not None:
            request.query_string = allow.query.encode("latin-1")
        kind = type(request)
        for name in [*vars(request)]:
            if name not in _BODY and isinstance(getattr(kind, name, None), cached_property):
                delattr(request, name)
        if allow.query is not None and isinstance(request.routing_exception, RequestRedirect):
            try:
                self.app.create_url_adapter(request).match()  # type: ignore[attr-defined]
            except HTTPException as redirect:  # to the same place, without what was removed
                request.routing_exception = redirect

    def add_headers(self, response: "AnyResponse") -> None:
        """The guard's response headers, where the app did not set them."""
        for name, value in self.guard.response_headers:
            response.headers.setdefault(name, value)


_BODY = frozenset({"data", "files", "form", "json", "stream"})  # can be read once, and stays


def _yes() -> bool:
    return True


def public(view: View) -> View:
    """Open a view to everybody, where no rule of the guard's says anything of its path.

    Credentials are not looked at then. Works with `JWTGuard`; the middleware knows no views. For
    a class of views: ``decorators = [public]``.

    Raises `errors.ConfigurationError` where the view has requirements.
    """
    return mark(_function(view), "public")


def _function(view: View) -> View:
    if isinstance(view, type):
        raise ConfigurationError(
            f"{view.__name__} is a class; write `decorators = [public]` or "
            "`decorators = [requires(…)]` inside it"
        )
    return view


# --- judging --------------------------------------------------------------------------------------


class _Door(Extension):
    def __init__(
        self,
        app: flask.Flask,
        guard: Guard,
        protected: "WeakSet[Blueprint]",
        exchanges: wsgi.Exchanges,
    ) -> None:
        super().__init__(app, guard, protected)
        self._exchanges = exchanges

    def judge(self) -> flask.Response | None:
        """The refusal of this request, or None."""
        self.check_routes()
        request = cast(flask.Request, flask.request._get_current_object())  # type: ignore[attr-defined]
        environ, guard = request.environ, self.guard
        if request.method != environ["REQUEST_METHOD"].upper():
            raise ConfigurationError(
                f"{type(request).__name__} changes the request's method after the guard has judged "
                "it; do so in WSGI, before Flask"
            )
        decision: Allow | Deny | None = None
        if not wsgi.is_published(environ, guard):
            decision = self.let_through(request, EnvironRequest(environ)) or wsgi.decide(
                environ, guard, self._exchanges, self.opened(request)
            )
        vars(request)[_DECISION] = decision
        if isinstance(decision, Deny):
            return _response(decision)
        if decision is not None:
            wsgi.publish(environ, decision, guard)
            if decision.remove or decision.query is not None:
                self.read_again(request, decision)
        return None

    def complete(self, response: flask.Response) -> flask.Response:
        """The response as the guard wants it to be; the last ``after_request`` function."""
        known = vars(flask.request._get_current_object())  # type: ignore[attr-defined]
        if _DECISION not in known:
            self.check_entered()
            # An error came up before it was anybody's turn, as in a URL value preprocessor.
            return self.judge() or response
        if isinstance(known[_DECISION], Allow):
            self.add_headers(response)
        return response


_DECISION = "jwtguard.decision"


def _response(deny: Deny) -> flask.Response:
    response = flask.Response(deny.body, deny.status)
    response.headers = Headers(list(deny.headers))  # just these
    return response


def _refusal(wanted: Requirement, said_by: str) -> flask.Response | None:
    environ = flask.request.environ
    arguments = flask.request.view_args or {}
    deny = judge(wanted, environ, EnvironRequest(environ), arguments, said_by)
    return None if deny is None else _response(deny)


def requires(requirement: Requirement | None = None, /, **words: Any) -> Callable[[View], View]:
    """A view wants a valid token that meets a `Requirement`: one object, or its words.

    It stands below the route, next to the function: Flask registers what the route sees. View
    arguments are the path parameters: ``@requires(require={"sub": {"path": "user_id"}})``.
    A refusal is an ordinary response, so ``after_request`` functions see it. For a class of views:
    ``decorators = [requires(…)]``.

    Raises `errors.ConfigurationError` for words that make no sense, when the view is defined, and
    where no guard saw the request.
    """
    wanted = requirement_from(requirement, words)

    def decorate(view: View) -> View:
        name = getattr(_function(view), "__qualname__", repr(view))

        @wraps(view)
        def required(*args: Any, **kwargs: Any) -> Any:
            refusal = _refusal(wanted, name)
            if refusal is not None:
                return refusal
            return flask.current_app.ensure_sync(view)(*args, **kwargs)

        return mark(cast(View, required), wanted, view)

    return decorate


def _token() -> VerifiedToken | None:
    if not flask.has_request_context():
        raise ConfigurationError("current_token is known while a request is handled only")
    return published_token(flask.request.environ)


def _claims() -> Claims:
    token = _token()
    return {} if token is None else token.claims


current_token = cast(VerifiedToken, LocalProxy(_token))
"""The `VerifiedToken` of the request; false in an ``if`` where nobody was authenticated."""

current_claims = cast(Claims, LocalProxy(_claims))
"""Its claims, ``{}`` where nobody was authenticated. ``dict(current_claims)`` is a plain dict."""


# --- flask jwtguard … -----------------------------------------------------------------------------

_COMMANDS = {
    "check": "Find everything that is wrong with the guard and the routes of this app.",
    "explain": "Show the way of a request, step by step: METHOD PATH.",
    "verify": "Verify a token; its claims as JSON.",
    "keys": "List the keys that each issuer has now.",
    "token": "Mint a token for development.",
}


def _commands(extension: Extension) -> AppGroup:
    """The commands of ``jwtguard`` that have a TARGET: here it is the guard of the app."""
    group = AppGroup(NAME, help="Ask the guard of this app.")
    for name, text in _COMMANDS.items():
        words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="…")
        group.add_command(
            click.Command(
                name,
                context_settings={"ignore_unknown_options": True},
                callback=partial(_run, extension, name),
                params=[words],
                help=text,
                add_help_option=False,  # the command itself tells more
            )
        )
    return group


def _run(extension: Extension, name: str, words: tuple[str, ...]) -> None:
    from .cli import main
    from .cli.output import write_problems

    try:
        if name == "check":
            extension.check_routes()
    except ConfigurationError as error:
        write_problems("problem", error.problems, sys.stderr)
        sys.exit(1)
    sys.exit(main([name, *words], extension.guard))
