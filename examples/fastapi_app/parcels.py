"""Parcels: a FastAPI app. Who may come in stands in jwtguard.toml, the rest at the endpoints."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Security, WebSocket
from pydantic import BaseModel

from jwtguard import Guard, VerifiedToken, from_toml
from jwtguard.fastapi import Protected, install

HERE = Path(__file__).parent


class Parcel(BaseModel):
    id: int
    owner: str
    status: str = "announced"


class Status(BaseModel):
    status: str


def create_app(guard: Guard | None = None) -> FastAPI:
    """The app, guarded as jwtguard.toml says unless a test brings a guard."""
    app = FastAPI(title="Parcels", redoc_url=None)
    guard = guard or from_toml(HERE / "jwtguard.toml")
    install(app, guard)

    # What endpoints want of a token besides being valid, and what they get of it.
    protected = app.state.protected = Protected(guard)
    owner = Protected(guard, require=[{"sub": {"path": "user"}}, {"roles": "depot"}])
    Reader = Annotated[VerifiedToken, Security(protected, scopes=["parcels:read"])]  # noqa: N806
    Sender = Annotated[VerifiedToken, Security(protected, scopes=["parcels:send"])]  # noqa: N806

    parcels: dict[int, Parcel] = {}
    watchers: defaultdict[int, list[asyncio.Queue[str]]] = defaultdict(list)

    def parcel_of(number: int, token: VerifiedToken) -> Parcel:
        parcel = parcels.get(number)
        if parcel is None or parcel.owner != token.subject:
            raise HTTPException(404)  # also for somebody else's: nobody learns what there is
        return parcel

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/parcels", status_code=201)
    async def send(token: Sender) -> Parcel:
        parcel = Parcel(id=len(parcels) + 1, owner=token.subject or "")
        parcels[parcel.id] = parcel
        return parcel

    @app.get("/parcels/{number}")
    def read(number: int, token: Reader) -> Parcel:
        return parcel_of(number, token)

    @app.get("/users/{user}/parcels", dependencies=[Security(owner)])
    async def parcels_of(user: str) -> list[Parcel]:
        return [parcel for parcel in parcels.values() if parcel.owner == user]

    # It is refused before it is accepted, and closed when its token expires.
    @app.websocket("/parcels/{number}/live")
    async def live(websocket: WebSocket, number: int, token: Reader) -> None:
        parcel = parcel_of(number, token)
        news: asyncio.Queue[str] = asyncio.Queue()
        watchers[number].append(news)
        await websocket.accept()
        try:
            await websocket.send_text(parcel.status)
            while True:
                await websocket.send_text(await news.get())
        finally:
            watchers[number].remove(news)

    # Its role is asked for in jwtguard.toml, so that a route added here cannot be forgotten.
    depot = APIRouter(prefix="/depot")

    @depot.put("/parcels/{number}")
    async def change(number: int, news: Status) -> Parcel:
        if number not in parcels:
            raise HTTPException(404)
        parcels[number].status = news.status
        for watcher in watchers[number]:
            watcher.put_nowait(news.status)
        return parcels[number]

    app.include_router(depot)
    return app
