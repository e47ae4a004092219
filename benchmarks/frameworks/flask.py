"""Flask beside flask-jwt-extended."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import flask
from flask_jwt_extended import JWTManager, get_jwt, jwt_required, verify_jwt_in_request

from benchmarks.frameworks import Beyond, Form
from benchmarks.traffic import AUDIENCE, ISSUER, NEEDED_SCOPE, Signer, wsgi_caller, wsgi_request
from jwtguard import Guard
from jwtguard.flask import JWTGuard, requires

PEER = "flask-jwt-extended"
FORMS = [
    Form(
        "JWTGuard",
        Beyond("guard", "bare"),
        {PEER: Beyond("peer", "bare")},
    ),
    Form(
        "@requires, guarded",
        Beyond("guard @requires", "guard @empty"),
        {PEER: Beyond("peer @jwt_required", "@empty")},
    ),
]
request, caller = wsgi_request, wsgi_caller


def apps(signer: Signer) -> dict[str, flask.Flask]:
    guard = signer.guard()
    needs = requires(scopes=NEEDED_SCOPE)
    return {
        "bare": _app(),
        "@empty": _app(_empty),
        "guard": _app(guard=guard),
        "guard @empty": _app(_empty, guard=guard),
        "guard @requires": _app(needs, guard=guard),
        "peer": _peer(_app(), signer, before=True),
        "peer @jwt_required": _peer(_app(_peer_required), signer),
    }


def _app(decorate: Callable[[Any], Any] | None = None, guard: Guard | None = None) -> flask.Flask:
    app = flask.Flask("benchmark")

    def view(number: str) -> flask.Response:
        return flask.Response(b"{}")

    app.get("/reports/2026/<number>")(view if decorate is None else decorate(view))
    if guard is not None:
        JWTGuard(app, guard)
    return app


def _empty(view: Any) -> Any:
    @wraps(view)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return decorated


def _peer(app: flask.Flask, signer: Signer, before: bool = False) -> flask.Flask:
    app.config |= {
        "JWT_ALGORITHM": signer.algorithm,
        "JWT_SECRET_KEY": signer.written_key,
        "JWT_PUBLIC_KEY": signer.written_key,
        "JWT_DECODE_AUDIENCE": AUDIENCE,
        "JWT_DECODE_ISSUER": ISSUER,
    }
    JWTManager(app)
    if before:
        app.before_request(_peer_judges)
    return app


def _peer_judges() -> None:
    verify_jwt_in_request()
    _peer_scope()


def _peer_required(view: Any) -> Any:
    @wraps(view)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        _peer_scope()
        return view(*args, **kwargs)

    return jwt_required()(decorated)


def _peer_scope() -> None:
    if NEEDED_SCOPE not in get_jwt()["scope"].split():
        flask.abort(403)
