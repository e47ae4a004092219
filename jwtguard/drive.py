"""Run a flow: the only place where waiting is spelled out twice, without and with an event loop."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .core.errors import ConfigurationError, FetchError
from .core.model import Fetch, Fetched, Flow

T = TypeVar("T")

FetchSync = Callable[[Fetch], Fetched]
FetchAsync = Callable[[Fetch], Awaitable[Fetched]]
Start = Callable[[Flow[None]], object]
"""Starts a flow that nobody waits for."""


def no_transport(fetch: Fetch) -> Fetched:
    """The answer where nobody gave a way to make HTTP exchanges."""
    raise FetchError(f"no transport to ask {fetch.url}: pass fetch=…")


async def no_async_transport(fetch: Fetch) -> Fetched:
    """The same for the event loop."""
    return no_transport(fetch)


def _as_fetch_error(error: Exception) -> FetchError:
    """Whatever a transport raises, the exchange was not completed; its text may hold a secret."""
    if isinstance(error, FetchError):
        return error
    if isinstance(error, ConfigurationError):  # ours: it says what to install
        return FetchError(str(error))
    return FetchError(f"the transport raised {type(error).__name__}")


def run(flow: Flow[T], fetch: FetchSync = no_transport, start: Start | None = None) -> T:
    """Run *flow*, making each exchange it asks for with *fetch*.

    *start* begins what it wants done in the background; None: it is done at once.
    """
    try:
        wanted = next(flow)
        while True:
            try:
                if isinstance(wanted, Fetch):
                    answer = fetch(wanted)
                else:
                    answer = None
                    start(wanted.flow) if start else run(wanted.flow, fetch)
            except Exception as error:
                wanted = flow.throw(_as_fetch_error(error))
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
                    answer = await fetch(wanted)
                else:
                    answer = None
                    start(wanted.flow) if start else await arun(wanted.flow, fetch)
            except Exception as error:
                wanted = flow.throw(_as_fetch_error(error))
            else:
                wanted = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()
