# pyright: strict
"""Views of a Quart app."""

from pathlib import Path

from quart import Blueprint, Quart, websocket

from jwtguard import Guard, Requirement
from jwtguard.quart import JWTGuard, current_claims, current_token, public, requires

jwt = JWTGuard()
billing = Blueprint("billing", __name__)
jwt.protect(billing, scopes="billing")


@billing.get("/invoices")
@requires(scopes="invoices", any_role=["admin"])
async def invoices() -> str:
    return f"for {current_token.subject} {current_claims['sub']}"


@billing.get("/health")
@public
async def health() -> dict[str, str]:
    return {"status": "ok"}


@billing.websocket("/feed")
@requires(Requirement(require={"sub": {"path": "user"}}))
async def feed() -> None:
    await websocket.send("")


async def size() -> int:
    return len(await invoices())  # a decorated view keeps its type


def create_app(guard: Guard | None = None) -> Quart:
    app = Quart(__name__)
    jwt.init_app(app, guard or Path(app.root_path) / "jwtguard.toml")
    app.register_blueprint(billing)
    return app
