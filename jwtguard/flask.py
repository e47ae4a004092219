"""For Flask apps behind the WSGI door: what a view wants, and who sent the request.

app.wsgi_app = jwtguard.wsgi.GuardMiddleware(app.wsgi_app, guard)

@app.get("/reports")
@requires(scopes="reports:read")
def reports():
    return f"for {current_token.subject}"
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import flask
from werkzeug.local import LocalProxy

from .core.claims import Claims
from .core.requirement import Requirement
from .core.token import VerifiedToken
from .requires import View, judge, mark, published_token, requirement_from
from .wsgi import EnvironRequest

__all__ = ["current_claims", "current_token", "requires"]


def requires(requirement: Requirement | None = None, /, **words: Any) -> Callable[[View], View]:
    """A view wants a valid token that meets a `Requirement`: one object, or its words.

    It stands below the route, next to the function: Flask registers what the route sees. View
    arguments are the path parameters: ``@requires(require={"sub": {"path": "user_id"}})``.
    A refusal is an ordinary response, so ``after_request`` functions see it.

    Raises `errors.ConfigurationError` for words that make no sense, when the view is defined, and
    where no guard saw the request.
    """
    wanted = requirement_from(requirement, words)

    def decorate(view: View) -> View:
        @wraps(view)
        def required(*args: Any, **kwargs: Any) -> Any:
            environ = flask.request.environ
            arguments = flask.request.view_args or {}
            name = getattr(view, "__qualname__", repr(view))
            deny = judge(wanted, environ, EnvironRequest(environ), arguments, name)
            if deny is not None:
                return flask.Response(deny.body, deny.status, list(deny.headers))
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
