"""Apps that people sign in to, for servers in processes of their own: what `sites` runs.

Every page says what it was asked for and by whom. In the ASGI app Authlib's client signs people in
too, beside the guard, below ``/authlib``.
"""

import json
import os
import secrets
from html import escape
from typing import Any

import httpx2
from authlib.integrations.starlette_client import OAuth
from flask import Flask, request
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

from jwtguard import Guard, asgi, wsgi
from jwtguard.config import from_mapping

SETTINGS: dict[str, Any] = json.loads(os.environ.get("JWTGUARD_TEST_SITE", "{}"))
"""``guard`` (a mapping), ``authority`` (a file, or None), ``authlib`` (words of its client)."""


def make_guard() -> Guard:
    return from_mapping(SETTINGS["guard"])


def verify() -> Any:
    """Whom a client of ours trusts."""
    authority = SETTINGS["authority"]
    return httpx2.create_ssl_context(verify=authority) if authority else True


def page(target: str, claims: dict[str, Any]) -> str:
    public = SETTINGS["guard"]["public_url"]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>The app</title>"
        f"<h1>{escape(target)}</h1>"
        f"<pre id=claims>{escape(json.dumps(claims))}</pre>"
        "<p id=script>none</p>"
        "<script>document.getElementById('script').textContent = 'ran'</script>"
        "<p><a href='/inside?a=1&amp;b=%C3%A9'>Inside</a> <a href='/auth/logout'>Sign out</a>"
        f" <a href='{public}/auth/logout'>Sign out there</a>"
        f" <a href='{public}/inside'>Inside there</a>"
        "<form method=post action=/inside><button>Send</button></form>"
    )


# --- WSGI ---------------------------------------------------------------------------------------

flask = Flask("signed in", static_folder=None)


@flask.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@flask.route("/<path:path>", methods=["GET", "POST"])
def answer(path: str):
    claims = request.environ["jwtguard.claims"]
    if path == "claims":
        return claims
    return page(request.full_path.rstrip("?"), claims)


@flask.after_request
def name_the_process(answer):
    answer.headers["X-Process"] = str(os.getpid())
    return answer


def wsgi_app() -> wsgi.GuardMiddleware:
    client = httpx2.Client(verify=verify(), trust_env=False)
    return wsgi.GuardMiddleware(flask.wsgi_app, make_guard(), client=client)


# --- ASGI ---------------------------------------------------------------------------------------


async def anything(request):
    claims = request.scope["jwtguard.claims"]
    if request.url.path == "/claims":
        return JSONResponse(claims)
    query = f"?{request.url.query}" if request.url.query else ""
    return HTMLResponse(page(request.url.path + query, claims))


oauth = OAuth()


async def authlib_login(request):
    public = SETTINGS["guard"]["public_url"]
    return await oauth.provider.authorize_redirect(request, f"{public}/authlib/callback")


async def authlib_callback(request):
    token = await oauth.provider.authorize_access_token(request)
    request.session["people"] = dict(token["userinfo"])
    return RedirectResponse("/authlib/claims")


async def authlib_claims(request):
    return JSONResponse(request.session.get("people"))


def asgi_app() -> asgi.GuardMiddleware:
    scope = "openid profile email"
    words = {"scope": scope, "code_challenge_method": "S256", "verify": verify()}
    oauth.register("provider", **SETTINGS["authlib"], client_kwargs=words)
    routes = [
        Route("/authlib/login", authlib_login),
        Route("/authlib/callback", authlib_callback),
        Route("/authlib/claims", authlib_claims),
        Route("/{path:path}", anything, methods=["GET", "POST"]),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex(), https_only=True)
    client = httpx2.AsyncClient(verify=verify(), trust_env=False)
    return asgi.GuardMiddleware(app, make_guard(), client=client)
