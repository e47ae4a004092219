"""At home in Flask: every request is judged before anything of the app's sees it.

jwt = JWTGuard()
jwt.init_app(app, guard)

@app.get("/reports")
@requires(scopes="reports:read")
def reports():
    return f"for {current_token.subject}"

`requires` and `current_token` work behind `jwtguard.wsgi.GuardMiddleware` too.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Unpack, cast
from weakref import WeakSet

import flask
from werkzeug.datastructures import Headers
from werkzeug.local import LocalProxy

from jwtguard import drive, wsgi
from jwtguard.config import Target
from jwtguard.core.claims import Claims
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.model import Allow, Deny
from jwtguard.core.requirement import Requirement, RequirementWords
from jwtguard.core.token import VerifiedToken
from jwtguard.guard import Guard
from jwtguard.requires import View, judge, mark, published_token, requirement_from
from jwtguard.transport import for_threads
from jwtguard.wsgi import EnvironRequest

from .extension import JUDGED, Extension, guard_of, is_automatic, public, put_first, refuse_class

if TYPE_CHECKING:
    from flask.sansio.blueprints import Blueprint

    from jwtguard.transport import Client

__all__ = ["JWTGuard", "current_claims", "current_token", "public", "requires"]


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
        self,
        blueprint: flask.Blueprint,
        requirement: Requirement | None = None,
        /,
        **words: Unpack[RequirementWords],
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

        mark(refuse, wanted)
        put_first(blueprint.before_request, blueprint.before_request_funcs, refuse)
        self._protected.add(blueprint)


# --- judging --------------------------------------------------------------------------------------


class _Door(Extension):
    def __init__(
        self,
        app: flask.Flask,
        guard: Guard,
        protected: "WeakSet[Blueprint]",
        exchanges: drive.InThreads,
    ) -> None:
        super().__init__(app, guard, protected)
        self._exchanges = exchanges

    def judge(self) -> flask.Response | None:
        """The refusal of this request, or None."""
        if not self.is_checked:
            self.check_routes()
        request = _request()
        environ, guard = request.environ, self.guard
        if request.method != environ["REQUEST_METHOD"].upper():
            raise self.changed_method(request)
        decision: Allow | Deny | None = None
        if not wsgi.is_published(environ, guard):
            if is_automatic(request):
                decision = self.let_through(EnvironRequest(environ))
            if decision is None:
                is_public = partial(self.is_open, request)
                decision = wsgi.decide(environ, guard, self._exchanges, is_public)
        setattr(request, JUDGED, getattr(decision, "added", ()))
        if isinstance(decision, Deny):
            return _response(decision)
        if decision is not None:
            wsgi.publish(environ, decision, guard)
            if decision.remove or decision.query is not None:
                self.read_again(request, decision)
        return None

    def complete(self, response: flask.Response) -> flask.Response:
        """The response as the guard wants it to be; the last ``after_request`` function."""
        if not hasattr(_request(), JUDGED):
            self.check_entered()
            # An error came up before it was anybody's turn, as in a URL value preprocessor.
            response = self.judge() or response
        self.add_headers(response, getattr(_request(), JUDGED))
        return response


def _request() -> flask.Request:
    """The request itself: a proxy looks it up each time it is asked for anything."""
    proxy: Any = flask.request
    found: flask.Request = proxy._get_current_object()
    return found


def _response(deny: Deny) -> flask.Response:
    response = flask.Response(deny.body, deny.status)
    response.headers = Headers(list(deny.headers))  # just these
    return response


def _refusal(wanted: Requirement, view: str) -> flask.Response | None:
    request = _request()
    environ, arguments = request.environ, request.view_args or {}
    deny = judge(wanted, environ, lambda: EnvironRequest(environ), arguments, view)
    return None if deny is None else _response(deny)


def requires(
    requirement: Requirement | None = None, /, **words: Unpack[RequirementWords]
) -> Callable[[View], View]:
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
        name = getattr(refuse_class(view), "__qualname__", repr(view))

        @wraps(view)
        def required(*args: Any, **kwargs: Any) -> Any:
            refusal = _refusal(wanted, name)
            if refusal is not None:
                return refusal
            return flask.current_app.ensure_sync(view)(*args, **kwargs)

        return mark(cast(View, required), wanted, view)

    return decorate


def _token() -> VerifiedToken | None:
    return published_token(flask.request.environ)


def _claims() -> Claims:
    token = _token()
    return {} if token is None else token.claims


current_token = cast(VerifiedToken, LocalProxy(_token))
"""The `VerifiedToken` of the request; false in an ``if`` where nobody was authenticated."""

current_claims = cast(Claims, LocalProxy(_claims))
"""Its claims, ``{}`` where nobody was authenticated. ``dict(current_claims)`` is a plain dict."""
