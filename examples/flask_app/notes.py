"""Notes: a small API. Who may see what stands in jwtguard.toml."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, Response, request

from jwtguard import Guard
from jwtguard.flask import JWTGuard, current_token, requires

HERE = Path(__file__).parent
COOKIE = "__Host-auth_token"

jwt = JWTGuard()


def create_app(guard: Guard | None = None) -> Flask:
    """The app, guarded as jwtguard.toml says unless a test brings a guard."""
    app = Flask(__name__)
    jwt.init_app(app, guard or HERE / "jwtguard.toml")
    notes: dict[str, list[str]] = defaultdict(list)

    @app.get("/health")
    def health():
        return {"status": "ok"}

    # A single-page app logs in with its identity provider and brings the token here once. From
    # then on the browser keeps it where no script can read it.
    @app.post("/session")
    def begin_session():
        response = Response(status=204)
        left = current_token.expires_at - datetime.now(UTC)
        response.set_cookie(
            COOKIE, current_token.raw, max_age=left, secure=True, httponly=True, samesite="Lax"
        )
        return response

    @app.delete("/session")
    def end_session():
        response = Response(status=204)
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="Lax")
        return response

    @app.get("/api/notes")
    @requires(scopes="notes:read")
    def read():
        return {"notes": notes[current_token.subject]}

    @app.post("/api/notes")
    @requires(scopes="notes:write")
    def write():
        notes[current_token.subject].append(request.get_json()["text"])
        return {"notes": notes[current_token.subject]}, 201

    @app.get("/api/users/<user>/notes")
    @requires(require=[{"sub": {"path": "user"}}, {"roles": "admin"}])
    def notes_of(user):
        return {"notes": notes[user]}

    @app.get("/admin/users")
    def users():
        return {"users": sorted(notes)}

    return app
