# pyright: strict
"""Revocations, stores, and what is asked of them."""

from typing import assert_type

from jwtguard import Guard, Issuer, Revocations, Secret, drive
from jwtguard.core.shared import is_first_use
from jwtguard.core.store import Store
from jwtguard.revocations import Entry, RedisRevocations, RevocationFile
from jwtguard.stores import MemoryStore, RedisStore

issuers = [Issuer(name="jobs", audience=None, algorithms=["HS256"], keys=Secret("x" * 32))]
shared = RedisRevocations(
    "redis://127.0.0.1", max_age=60, when_stale="refuse", prefix="app:", max_entries=1000
)
stores: list[Store] = [
    RedisStore("redis://127.0.0.1", key=b"x" * 32, prefix="app:"),
    MemoryStore(max_entries=100),
]


class Own:
    """A store of somebody's own."""

    problems = ()

    def get(self, name: str) -> bytes | None:
        return None

    def put(self, name: str, value: bytes, ttl: float) -> None: ...
    def add(self, name: str, value: bytes, ttl: float) -> bool:
        return True

    def remove(self, name: str) -> None: ...
    async def aget(self, name: str) -> bytes | None:
        return None

    async def aput(self, name: str, value: bytes, ttl: float) -> None: ...
    async def aadd(self, name: str, value: bytes, ttl: float) -> bool:
        return True

    async def aremove(self, name: str) -> None: ...


for revocations in (Revocations(), shared, RevocationFile("revoked.jsonl")):
    guard = Guard(issuers, revocations=revocations, store=Own())
    assert_type(revocations.revoke("jti", "1", issuer="jobs", until=2e9), Entry)
    assert_type(revocations.age, float)
    assert_type(drive.run(revocations.revoke_flow("sub", "alice", before=1.0)), Entry)

assert_type(drive.run(is_first_use(stores[0], "1", of="a", ttl=60)), bool)


async def on_a_loop() -> None:
    assert_type(await shared.arevoke("sid", "1"), Entry)
    assert_type(await drive.arun(is_first_use(stores[0], "1", of="a", ttl=60)), bool)
    assert_type(await stores[0].aget("a"), bytes | None)
