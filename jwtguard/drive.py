"""Run a flow: the only place where waiting is spelled out twice, without and with an event loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from inspect import isawaitable
from typing import Any, TypeVar

from .core.errors import AuthError, ConfigurationError, FetchError, JWTGuardError
from .core.model import Ask, Fetch, Fetched, Flow

log = logging.getLogger("jwtguard")

T = TypeVar("T")

AT_ONCE = 32
"""Flows that run side by side where there are many."""

FetchSync = Callable[[Fetch], Fetched]
FetchAsync = Callable[[Fetch], Awaitable[Fetched]]
Start = Callable[[Flow[None]], object]
"""Starts a flow that nobody waits for."""
InThreads = tuple[FetchSync, Start]
OnLoops = tuple[FetchAsync, Start]
"""How exchanges are made, and how background work is begun."""


def no_transport(fetch: Fetch) -> Fetched:
    """The answer where nobody gave a way to make HTTP exchanges."""
    raise FetchError(f"no transport to ask {fetch.url}: pass fetch=…")


async def no_async_transport(fetch: Fetch) -> Fetched:
    """The same for the event loop."""
    return no_transport(fetch)


def as_fetch_error(error: BaseException) -> FetchError:
    """Whatever a transport raises, the exchange was not completed; its text may hold a secret."""
    if isinstance(error, FetchError):
        return error
    if isinstance(error, ConfigurationError):  # ours: it says what to install
        return FetchError(str(error))
    return FetchError(f"the transport raised {type(error).__name__}")


def _to_throw(error: Exception) -> JWTGuardError:
    return error if isinstance(error, AuthError) else as_fetch_error(error)


def run(flow: Flow[T], fetch: FetchSync = no_transport, start: Start | None = None) -> T:
    """Run *flow*, making each exchange it asks for with *fetch*.

    *start* begins what it wants done in the background; None: it is done at once.
    """
    try:
        wanted = next(flow)
        while True:
            try:
                if isinstance(wanted, Fetch):
                    answer: Any = fetch(wanted)
                elif isinstance(wanted, Ask):
                    answer = wanted.in_threads(*wanted.arguments)
                else:
                    answer = None
                    start(wanted.flow) if start else run(wanted.flow, fetch)
            except Exception as error:
                wanted = flow.throw(_to_throw(error))
            else:
                wanted = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


async def arun(
    flow: Flow[T], fetch: FetchAsync = no_async_transport, start: Start | None = None
) -> T:
    """The same on an event loop; a cancelled task closes the flow."""
    try:
        wanted = next(flow)
        while True:
            try:
                if isinstance(wanted, Fetch):
                    answer: Any = await fetch(wanted)
                elif isinstance(wanted, Ask):
                    answer = wanted.on_loops(*wanted.arguments)
                    if isawaitable(answer):
                        answer = await answer
                else:
                    answer = None
                    start(wanted.flow) if start else await arun(wanted.flow, fetch)
            except Exception as error:
                wanted = flow.throw(_to_throw(error))
            else:
                wanted = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


def run_all(
    flows: Iterable[Flow[None]], fetch: FetchSync = no_transport, start: Start | None = None
) -> None:
    """Run *flows* side by side, in threads that have ended when this returns."""
    with ThreadPoolExecutor(AT_ONCE, "jwtguard") as pool:
        for _ in pool.map(lambda flow: run(flow, fetch, start), flows):
            pass


async def arun_all(
    flows: Iterable[Flow[None]], fetch: FetchAsync = no_async_transport, start: Start | None = None
) -> None:
    """The same on an event loop, in tasks."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(flow: Flow[None]) -> None:
        async with limit:
            await arun(flow, fetch, start)

    await asyncio.gather(*map(one, flows))


def unwatched(flow: Flow[None]) -> Flow[None]:
    """*flow* for the background: a defect of it is logged, as nobody waits to be told.

    Without its text, which may quote what it choked on.
    """
    try:
        yield from flow
    except Exception as error:
        log.error("unexpected %s in the background", type(error).__name__)
