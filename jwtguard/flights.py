"""One exchange for many waiters, whoever makes it.

A flight is who asks (a source), at which address, and for the how-manieth time. The first of its
waiters begins the exchange, the others join; the outcome is kept for a moment, so that whoever
comes late joins instead of asking again. Whoever began it may be cancelled without failing the
others, and whoever joined waits no longer than twice the exchange's timeout.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary, finalize

from .core.errors import FetchError
from .core.model import Fetch, Fetched
from .drive import FetchAsync, FetchSync, as_fetch_error

Outcome = Fetched | str
"""An answer, or the text of the `FetchError` that each waiter gets: one error for all would collect
the tracebacks of all, and with them the source.
"""


class Flights:
    """Exchanges and who waits for them: one table for all threads and event loops."""

    def __init__(self) -> None:
        self._reset()
        in_children(self._reset)

    def _reset(self) -> None:
        """In a forked child nobody ends what the parent began."""
        self._lock = threading.Lock()
        # source -> address -> its last attempt and when it began; gone with the source
        self._known: WeakKeyDictionary[object, dict[str, tuple[int, float, Future[Outcome]]]]
        self._known = WeakKeyDictionary()

    def join(self, fetch: Fetch, begin: Callable[[], Future[Outcome]]) -> Future[Outcome]:
        """The exchange that *fetch* belongs to; where nobody began it, *begin* does.

        *begin* must neither wait nor hold the source: once nobody can join what it began any more,
        that is cancelled. What names no flight is an exchange of its own.
        """
        if fetch.flight is None:
            return begin()
        source, attempt = fetch.flight
        with self._lock:
            of_source = self._known.setdefault(source, {})
            known, begun, future = of_source.get(fetch.url, (None, 0.0, None))
            # An outcome that nobody stayed for, as all were cancelled, must not come up later.
            is_recent = time.monotonic() < begun + 2 * fetch.timeout
            if future is not None and known == attempt and is_recent:
                return future
            future = begin()
            # A provider may name another address each time, such as a signed one.
            for address in [url for url, (number, *_) in of_source.items() if number < attempt]:
                del of_source[address]
            of_source[fetch.url] = attempt, time.monotonic(), future
        abandoned = finalize(source, future.cancel)
        abandoned.atexit = False
        future.add_done_callback(lambda _: abandoned.detach())
        return future


def in_children(reset: Callable[[], None]) -> None:
    """Call *reset* in every child that this process forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
    uwsgi = sys.modules.get("uwsgi")  # which is there where uWSGI is what runs us
    if uwsgi is not None:
        _in_children_of(uwsgi, reset)


def _in_children_of(uwsgi: Any, reset: Callable[[], None]) -> None:
    """uWSGI forks without a word to Python, unless it is run with --py-call-osafterfork."""
    try:
        chain = import_module("uwsgidecorators").postfork_chain
    except Exception:  # not installed, or it wants a master
        before = getattr(uwsgi, "post_fork_hook", None)

        def hook() -> None:
            if before is not None:
                before()
            reset()

        uwsgi.post_fork_hook = hook
    else:
        chain.append(reset)


def wait(future: "Future[Outcome]", fetch: Fetch) -> Fetched:
    """Wait for an exchange, in a thread. Raises FetchError."""
    try:
        return _told(future.result(min(2 * fetch.timeout, threading.TIMEOUT_MAX)))
    except TimeoutError:
        raise _too_late(fetch) from None


async def await_(future: "Future[Outcome]", fetch: Fetch) -> Fetched:
    """The same on an event loop. Whoever is cancelled cancels nothing but his own waiting."""
    place = next(_arrivals.setdefault(future, count()))
    done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=2 * fetch.timeout)
    if not done:
        raise _too_late(fetch)
    # Each has a signature to check now. In one turn of the loop all of them would keep it from
    # everybody else for too long, so they go in groups.
    for _ in range(place // IN_ONE_TURN):
        await asyncio.sleep(0)
    return _told(done.pop().result())


IN_ONE_TURN = 32
_arrivals: WeakKeyDictionary["Future[Outcome]", Iterator[int]] = WeakKeyDictionary()


def _told(outcome: Outcome) -> Fetched:
    if isinstance(outcome, str):
        raise FetchError(outcome)
    return outcome


def _too_late(fetch: Fetch) -> FetchError:
    return FetchError(f"{fetch.url}: no answer within {2 * fetch.timeout:g} s")


# Two tables: a thread that waits may be the one whose event loop would have to go on.
_in_threads = Flights()
_on_loops = Flights()


def joined(ask: FetchSync) -> FetchSync:
    """*ask*, a user's function, called once for each flight: in the thread of who comes first."""

    def fetch(wanted: Fetch) -> Fetched:
        own: Future[Outcome] = Future()
        own.set_running_or_notify_cancel()
        future = _in_threads.join(wanted, lambda: own)
        if future is not own:
            return wait(future, wanted)
        try:
            answer = ask(replace(wanted, flight=None))
        except BaseException as error:
            own.set_result(str(as_fetch_error(error)))
            raise
        own.set_result(answer)
        return answer

    return fetch


def ajoined(ask: FetchAsync) -> FetchAsync:
    """The same on event loops: called in a task of its own, which no waiter's end takes along."""

    async def call(wanted: Fetch) -> Fetched:
        return await ask(wanted)

    async def fetch(wanted: Fetch) -> Fetched:
        alone = replace(wanted, flight=None)
        if wanted.flight is None:
            return await ask(alone)
        own: Future[Outcome] = Future()
        future = _on_loops.join(wanted, lambda: own)
        if future is own:
            _tie(asyncio.get_running_loop().create_task(call(alone)), own, wanted.url)
        return await await_(future, wanted)

    return fetch


def _tie(task: "asyncio.Task[Fetched]", own: "Future[Outcome]", url: str) -> None:
    """*own* ends as *task* does; *task* is cancelled with it."""
    loop = task.get_loop()

    def tell(task: "asyncio.Task[Fetched]") -> None:
        error = None if task.cancelled() else task.exception()
        if not own.set_running_or_notify_cancel():
            return
        if task.cancelled():
            own.set_result(f"{url}: the event loop that asked has ended")
        else:
            own.set_result(task.result() if error is None else str(as_fetch_error(error)))

    def end(own: "Future[Outcome]") -> None:
        if own.cancelled():
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(task.cancel)

    task.add_done_callback(tell)
    own.add_done_callback(end)
