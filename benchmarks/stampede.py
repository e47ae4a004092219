"""A cold start under load: many requests at once while no key is known.

Run `measure` in a process of its own: only its first exchange loads the HTTP client.
"""

import asyncio
import gc
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import Any

from jwtguard import asgi, wsgi

from . import traffic
from .provider import Provider
from .traffic import Signer

DELAY = 0.2  # seconds that the provider takes
THREADS = 32
RUNS = 3
TICK = 0.001  # seconds that the ticker sleeps: no gap is shorter


@dataclass(frozen=True, slots=True)
class Row:
    """What a stampede took, times in milliseconds.

    ``cold``: no key was known; ``gap``: the longest that the loop was away from its other tasks,
    None where there is no loop; ``busy``: the processor time that the loop's thread took of it.
    """

    door: str
    what: str
    cold: bool
    fetches: int
    gap: float | None
    busy: float | None
    slowest: float  # request


def measure(requests: int) -> list[Row]:
    """A row for each kind of stampede, of that many requests."""
    signer = Signer("RS256")
    tokens = signer.tokens(requests)

    def cold(door: str, what: str, run: Any, which: Sequence[bytes] = tokens) -> Row:
        with Provider(signer.jwks, DELAY) as provider:
            found = run(signer.guard(keys=provider.keys()), which)
            return Row(door, what, True, provider.asked, *found)

    return [
        cold("ASGI", "first of process", _asgi),
        cold("ASGI", "distinct tokens", _asgi),
        cold("ASGI", "one token", _asgi, tokens[:1] * requests),
        Row("ASGI", "keys known", False, 0, *_asgi(signer.guard(), tokens)),
        Row("ASGI", "no guard", False, 0, *_asgi(None, tokens)),
        cold("WSGI", f"{THREADS} threads", _wsgi),
    ]


def worst(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """The worst in several runs."""
    return [
        Row(
            rows[0].door,
            rows[0].what,
            rows[0].cold,
            max(row.fetches for row in rows),
            *max(((row.gap, row.busy) for row in rows), key=lambda gap: gap[0] or 0),
            max(row.slowest for row in rows),
        )
        for rows in zip(*runs, strict=True)
    ]


def _asgi(guard: Any, tokens: Sequence[bytes]) -> tuple[float, float, float]:
    """Every request a task, all ready at once; beside them a task that only wants to wake up."""
    app = traffic.asgi_app if guard is None else asgi.GuardMiddleware(traffic.asgi_app, guard)
    scopes = [traffic.asgi_request(token) for token in tokens]
    gc.collect()  # what the preparations left behind is not the stampede's
    return asyncio.run(_all_at_once(app, scopes))


async def _all_at_once(app: Any, scopes: Sequence[Any]) -> tuple[float, float, float]:
    gaps: list[tuple[float, float]] = []
    times: list[float] = []

    async def tick() -> None:
        while True:
            start, worked = perf_counter(), thread_time()
            await asyncio.sleep(TICK)
            gaps.append((perf_counter() - start, thread_time() - worked))

    async def receive() -> Any:
        raise AssertionError("an empty request")

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    async def request(scope: Any) -> None:
        start = perf_counter()
        await app(scope, receive, send)
        times.append(perf_counter() - start)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(10 * TICK)
    gaps.clear()
    await asyncio.gather(*map(request, scopes))
    await asyncio.sleep(2 * TICK)  # so that the last gap ends
    ticker.cancel()
    gap, busy = max(gaps)
    return gap * 1000, busy * 1000, max(times) * 1000


def _wsgi(guard: Any, tokens: Sequence[bytes]) -> tuple[None, None, float]:
    call = traffic.wsgi_caller(wsgi.GuardMiddleware(traffic.wsgi_app, guard))
    environs = iter([traffic.wsgi_request(token) for token in tokens])
    together = threading.Barrier(THREADS)

    def work(_: int) -> float:
        together.wait()
        slowest = 0.0
        for environ in environs:  # a list's iterator hands out each once
            start = perf_counter()
            call(environ)
            slowest = max(slowest, perf_counter() - start)
        return slowest

    with ThreadPoolExecutor(THREADS) as threads:
        return None, None, max(threads.map(work, range(THREADS))) * 1000
