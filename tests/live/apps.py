"""Real apps, guarded and not, for servers that run in processes of their own.

Everything is open but ``/admin`` and what lies under ``/st/private``: the arrangement in which a
path that two programs read differently leads past a rule. What is protected says PROTECTED.
"""

import os
import tempfile
from pathlib import Path

from fastapi import FastAPI
from flask import Flask, request, send_from_directory
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from jwtguard import Guard, Issuer, Rule, Secret, asgi, wsgi

PROTECTED = "PROTECTED"
IDENTITY = "x-user-id"


def make_guard() -> Guard:
    keys = Secret.from_env("JWTGUARD_TEST_SECRET")
    issuer = Issuer(name="live", audience=None, algorithms=["HS256"], keys=keys)
    rules = [
        Rule(["/admin/**", "/st/private/**"], roles="admin"),
        Rule("/app/**", login="/login"),
        Rule("/cookie/**", credentials={"cookie": "auth_token"}),
        Rule("/**", access="public"),
    ]
    return Guard(
        [issuer],
        rules,
        forward={IDENTITY: "sub"},
        origins="https://app.example.com",
        preflight="answer",
    )


def make_files() -> str:
    """A directory with a file that anybody may have and one that nobody may."""
    root = Path(tempfile.mkdtemp(dir=os.environ.get("JWTGUARD_TEST_FILES")))
    (root / "private").mkdir()
    (root / "private" / "s.txt").write_text(PROTECTED)
    (root / "s.txt").write_text("open")
    return str(root)


FILES = make_files()

# --- WSGI ---------------------------------------------------------------------------------------

plain_flask = Flask("live", static_folder=None)


@plain_flask.route("/admin", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@plain_flask.route("/admin/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def admin_page(rest: str = "") -> str:
    return PROTECTED


@plain_flask.route("/")
@plain_flask.route("/login")
@plain_flask.route("/app/<path:rest>")
@plain_flask.route("/cookie/<path:rest>")
@plain_flask.route("/public/<path:rest>")
def open_page(rest: str = "") -> str:
    return "open"


@plain_flask.route("/whoami")
def who() -> str:
    return " ".join(v for k, v in request.headers if k.lower().replace("_", "-") == IDENTITY)


@plain_flask.route("/st/<path:name>")
def file(name: str):
    return send_from_directory(FILES, name)


flask_app = wsgi.GuardMiddleware(plain_flask.wsgi_app, make_guard())

# --- ASGI ---------------------------------------------------------------------------------------


async def admin(request):
    return PlainTextResponse(PROTECTED)


async def open_to_all(request):
    return PlainTextResponse("open")


async def whoami(request):
    headers = request.headers.items()
    found = [value for name, value in headers if name.replace("_", "-") == IDENTITY]
    return PlainTextResponse(" ".join(found))


async def talk(websocket):
    await websocket.accept()
    await websocket.send_text(PROTECTED)
    await websocket.close()


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
plain_starlette = Starlette(
    routes=[
        WebSocketRoute("/admin/ws", talk),
        Route("/admin", admin, methods=METHODS),
        Route("/admin/{rest:path}", admin, methods=METHODS),
        Route("/", open_to_all),
        Route("/login", open_to_all),
        Route("/app/{rest:path}", open_to_all),
        Route("/cookie/{rest:path}", open_to_all),
        Route("/public/{rest:path}", open_to_all),
        Route("/whoami", whoami),
        Mount("/st", StaticFiles(directory=FILES)),
    ]
)
starlette_app = asgi.GuardMiddleware(plain_starlette, make_guard())


def fastapi_app() -> FastAPI:
    """FastAPI with a root_path of its own, guarded from inside."""
    app = FastAPI(root_path="/m")
    app.add_middleware(asgi.GuardMiddleware, guard=make_guard())
    app.mount("/", plain_starlette)
    return app


def wrapped_from_outside() -> asgi.GuardMiddleware:
    """What must not come up."""
    return asgi.GuardMiddleware(FastAPI(root_path="/m"), make_guard())
