# pyright: strict
"""A FastAPI app: dependencies, an optional one, WebSockets, and one that a test overrides."""

from typing import Annotated, assert_type

from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket

from jwtguard import Guard, Requirement, Rule, VerifiedToken
from jwtguard.fastapi import Protected, Refused, docs_paths, install
from jwtguard.testing import verified

app = FastAPI()
guard = Guard([], [Rule(docs_paths(app), access="public")])
install(app, guard, expiry_grace=30)

protected = Protected(guard)
owner = Protected(guard, require=[{"sub": {"path": "user"}}, {"roles": "admin"}])
either = Protected(guard, Requirement(any_scope=["a", "b"]))

Reader = Annotated[VerifiedToken, Security(protected, scopes=["reports:read"])]
Somebody = Annotated[VerifiedToken | None, Security(protected.optional)]
router = APIRouter(dependencies=[Depends(either)])


@app.get("/reports")
async def reports(token: Reader) -> dict[str, str | None]:
    assert_type(token, VerifiedToken)
    return {"for": token.subject}


@app.get("/feed")
def feed(token: Somebody) -> str | None:
    return token.subject if token else None


@router.get("/users/{user}")
async def user(user: str, token: Annotated[VerifiedToken, Depends(owner)]) -> list[str]:
    return sorted(token.roles)


@app.websocket("/live")
async def live(websocket: WebSocket, token: Reader) -> None:
    await websocket.accept()
    await websocket.send_text(token.subject or "")


async def by_hand(websocket: WebSocket) -> None:
    try:
        token = await protected.token(websocket, ["a"], "optional")
    except Refused as refused:
        print(refused.deny.status, refused.headers)
    else:
        assert_type(token, VerifiedToken | None)


def carol() -> VerifiedToken:
    return verified(sub="carol")


app.include_router(router)
app.dependency_overrides[protected] = carol
app.dependency_overrides[protected.optional] = lambda: None
