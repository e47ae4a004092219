"""The door of Flask: what a view sees of a request that `jwtguard.flask.JWTGuard` judged."""

import io
from typing import Any

import flask
from werkzeug.routing import Rule

from jwtguard import Guard
from jwtguard.flask import JWTGuard, current_claims, current_token

from .doors import (
    APP_BODY,
    APP_HEADERS,
    Answer,
    Ask,
    FetchSync,
    Seen,
    _gathered,
    _variables,
    _words,
    environ_of,
)


def served(ask: Ask) -> dict[str, Any]:
    """The environ of *ask*, with what Flask wants to know besides."""
    return {
        "SERVER_NAME": "api.test",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.errors": io.StringIO(),
        **environ_of(ask),
    }


def catching_all(app: Any, view: Any) -> Any:
    """Route every path to *view*, which answers OPTIONS itself."""
    for pattern in ("/", "/<path:path>"):
        app.url_map.add(Rule(pattern, endpoint="any", strict_slashes=False))
    app.view_functions["any"] = view
    return app


def flask_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through `jwtguard.flask.JWTGuard`."""
    answer = Answer(0)

    def view(**arguments: Any) -> flask.Response:
        request = flask.request
        headers = _gathered(
            [(k, v.encode("latin-1").decode("utf-8", "replace")) for k, v in request.headers]
        )
        assert [*request.args] == [*flask.Request(request.environ).args]
        answer.seen = Seen(
            request.path,
            request.query_string.decode("latin-1"),
            headers,
            current_token._get_current_object(),
            dict(current_claims),
            _variables(request.environ),
            _words(headers),
        )
        return flask.Response(APP_BODY, headers=list(APP_HEADERS))

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answer.status, answer.headers = int(status[:3]), headers

    app = flask.Flask(__name__, static_folder=None)
    app.secret_key = "sessions read cookies before anybody else does"
    app.testing = True
    JWTGuard(catching_all(app, view), guard, fetch=fetch)
    answer.body = b"".join(app(served(ask), start_response))
    if ask.method == "HEAD" and answer.seen:
        answer.body = APP_BODY  # a server sends none
    return answer
