"""Views of a Flask app."""

from flask import Flask

from jwtguard import Requirement, VerifiedToken
from jwtguard.core import Request
from jwtguard.flask import current_claims, current_token, requires

app = Flask(__name__)


def is_owner(token: VerifiedToken, request: Request) -> bool:
    return True


@app.get("/reports")
@requires(scopes="reports:read", any_role=["admin"], check=is_owner)
def reports() -> str:
    return f"for {current_token.subject} {current_claims['sub']}"


@app.get("/users/<user_id>")
@requires(Requirement(require={"sub": {"path": "user_id"}}))
async def user(user_id: str) -> dict[str, str]:
    return {"id": user_id}


def size(view_result: str) -> int:
    return len(view_result)


size(reports())  # a decorated view keeps its type
