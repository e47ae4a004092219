"""HTTP exchanges by httpx2 (the extra ``[http]``): what a flow asks for with `Fetch`.

Policy about the wire lives here: https (or plain http to private addresses where that was allowed),
no redirects, no cookies, no compressed answers, a size cap, and a deadline for the whole exchange.
Proxies and certificates come from httpx2's own settings, or a client of the user's.

All exchanges of a process run on one event loop in a daemon thread of ours, started by the first of
them and again after a fork. So threads and any number of event loops wait for the same exchange
(`flights`), and no exchange blocks any of them.
"""

import asyncio
import inspect
import os
import socket
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from errno import errorcode
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import drive
from .core.errors import ConfigurationError, FetchError
from .core.model import Fetch, Fetched, Flow
from .flights import Flights, Outcome, ajoined, await_, in_children, joined, wait

if TYPE_CHECKING:
    import httpx2

    from .guard import Guard

    Client = httpx2.Client | httpx2.AsyncClient

INSTALL = "fetched keys and introspection need httpx2: pip install 'jwtguard-middleware[http]'"

MAX_THREADS = 128  # made when they are needed
_flights = Flights()


class Transport:
    """Makes exchanges. *client*: an httpx2 client of the user's, for jwtguard alone.

    Raises ConfigurationError where httpx2 is not installed, or *client* is no client of it.
    """

    def __init__(self, client: "Client | None" = None) -> None:
        _check_client(client)
        self._given = client
        self._reset()
        in_children(self._reset)

    def _reset(self) -> None:
        """In a forked child there is no thread of ours."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = self._given

    def fetch(self, fetch: Fetch) -> Fetched:
        """Wait for an exchange, in a thread. Raises FetchError."""
        return wait(self._join(fetch), fetch)

    async def afetch(self, fetch: Fetch) -> Fetched:
        """Wait for an exchange, in an event loop. Raises FetchError."""
        return await await_(self._join(fetch), fetch)

    def background(self, flow: Flow[None]) -> None:
        """Run *flow* while nobody waits."""
        self._run(drive.arun(drive.unwatched(flow), self.afetch))

    def _join(self, fetch: Fetch) -> "Future[Outcome]":
        """The exchange that this one belongs to, begun where nobody did."""
        alone = replace(fetch, flight=None)
        return _flights.join(fetch, lambda: self._run(self._exchange(alone)))

    def _run(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                # For names that are looked up, and for a `httpx2.Client`. By default there are
                # as few as five, and nobody can end one that hangs.
                loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS, "jwtguard"))
                threading.Thread(target=loop.run_forever, name="jwtguard", daemon=True).start()
                self._loop = loop  # only now: nobody may wait for a loop that does not run
            return self._loop

    # --- on our loop ---

    async def _exchange(self, fetch: Fetch) -> Outcome:
        try:
            async with asyncio.timeout(fetch.timeout):
                await _check_address(fetch)
                return await self._ask(fetch)
        except FetchError as error:
            return str(error)
        except TimeoutError:
            return f"{fetch.url}: no answer within {fetch.timeout:g} s"
        except Exception as error:
            return f"{fetch.url}: {_named(error)}"

    async def _ask(self, fetch: Fetch) -> Fetched:
        import httpx2

        client = self._client
        if client is None:
            # No limit: exchanges are few by themselves, and those of a provider that hangs must not
            # keep the others' waiting. (At most 32 are an issuer's that is introspected.)
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
            client = self._client = httpx2.AsyncClient(timeout=None, limits=limits)
        if isinstance(client, httpx2.Client):
            return await asyncio.to_thread(_ask_in_thread, client, fetch)
        try:
            async with client.stream(**_words(fetch)) as response:
                answer = _Answer(fetch, response)
                if response.is_stream_consumed:  # the client's transport had it whole
                    answer.add(response.content)
                else:
                    async for chunk in response.aiter_raw():
                        answer.add(chunk)
        finally:
            client.cookies.clear()
        return answer.fetched()


def _named(error: BaseException) -> str:
    """What a foreign exception is. Its text may hold what was sent; what the operating system, the
    resolver or OpenSSL found beneath it comes from their own tables.
    """
    name = type(error).__name__
    found = next(filter(None, map(_found, _causes(error))), None)
    return f"{name}: {found}" if found else name


def _found(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLError):  # only OpenSSL's own have these
        return getattr(error, "verify_message", None) or getattr(error, "reason", None)
    if isinstance(error, socket.gaierror):
        return error.strerror
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno in errorcode:
        return os.strerror(error.errno)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those beneath it; of several at once the first."""
    found: BaseException | None = error
    for _ in range(20):
        if found is None:
            return
        yield found
        beneath = found.exceptions[0] if isinstance(found, BaseExceptionGroup) else None
        found = beneath or found.__cause__ or found.__context__


def _ask_in_thread(client: "httpx2.Client", fetch: Fetch) -> Fetched:
    # Nobody can end a thread, and whoever waited is gone after the deadline: it ends by itself.
    until = time.monotonic() + fetch.timeout
    try:
        with client.stream(**_words(fetch), timeout=fetch.timeout) as response:
            answer = _Answer(fetch, response)
            if response.is_stream_consumed:
                answer.add(response.content)
                return answer.fetched()
            for chunk in response.iter_raw():
                answer.add(chunk)
                if time.monotonic() > until:
                    raise TimeoutError
    finally:
        client.cookies.clear()
    return answer.fetched()


def _words(fetch: Fetch) -> dict[str, Any]:
    from . import __version__

    headers = {
        "User-Agent": f"jwtguard/{__version__}",
        # A compressed answer may unpack to anything before its size is known.
        "Accept-Encoding": "identity",
        **fetch.headers,
    }
    return {
        "method": fetch.method,
        "url": fetch.url,
        "headers": headers,
        "content": fetch.body,
        "follow_redirects": False,
    }


class _Answer:
    """An answer as it comes in, no longer than it may be."""

    def __init__(self, fetch: Fetch, response: "httpx2.Response") -> None:
        self._fetch = fetch
        self._response = response
        self._body = bytearray()
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise FetchError(f"{fetch.url}: a compressed answer")

    def add(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > self._fetch.max_bytes:
            raise FetchError(f"{self._fetch.url}: an answer of over {self._fetch.max_bytes} bytes")

    def fetched(self) -> Fetched:
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Fetched(self._response.status_code, headers, bytes(self._body))


# Loopback, RFC 1918 and RFC 4193. `is_private` would include link-local (metadata of a cloud).
_PRIVATE = [
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7")
]
# Where clouds have the same service among the addresses of RFC 4193: Amazon's, Google's.
_METADATA = [ip_network(text) for text in ("fd00:ec2::/32", "fd20:ce::/32")]


async def _check_address(fetch: Fetch) -> None:
    """Plain http goes to loopback and private addresses only, and only where that was allowed."""
    parts = urlsplit(fetch.url)
    if parts.scheme == "https":
        return
    if parts.scheme != "http" or not fetch.insecure_http:
        raise FetchError(f"{fetch.url}: not https")
    found = await asyncio.get_running_loop().getaddrinfo(
        parts.hostname, parts.port or 80, type=socket.SOCK_STREAM
    )
    addresses = [ip_address(address[4][0]) for address in found]
    for address in addresses:
        if not any(address in network for network in _PRIVATE):
            raise FetchError(f"{fetch.url}: plain http to a public address")
        if any(address in network for network in _METADATA):
            raise FetchError(f"{fetch.url}: plain http to the metadata service of a cloud")


def for_threads(
    guard: "Guard", client: "Client | None", fetch: drive.FetchSync | None
) -> drive.InThreads:
    """How a door without an event loop makes exchanges: the user's way, or the guard's.

    The guard makes its own the user's way from now on. Raises ConfigurationError.
    """
    check(client, fetch, is_async=False)
    if fetch is not None:
        ask = joined(fetch)

        def start(flow: Flow[None]) -> None:
            work = drive.unwatched(flow), ask
            threading.Thread(target=drive.run, args=work, daemon=True).start()

        guard.exchange(in_threads=(ask, start))
        return ask, start
    if client is not None:
        return _by_client(guard, client)[0]
    _need_transport(guard)
    return lambda wanted: guard.in_threads[0](wanted), lambda flow: guard.in_threads[1](flow)


def for_loops(
    guard: "Guard", client: "Client | None", fetch: drive.FetchAsync | None
) -> drive.OnLoops:
    """The same for a door on an event loop."""
    check(client, fetch, is_async=True)
    if fetch is not None:
        ask, tasks = ajoined(fetch), set[asyncio.Task[None]]()

        def start(flow: Flow[None]) -> None:
            work = drive.arun(drive.unwatched(flow), ask)
            task = asyncio.get_running_loop().create_task(work)
            tasks.add(task)  # the loop itself holds a task weakly
            task.add_done_callback(tasks.discard)

        guard.exchange(on_loops=(ask, start))
        return ask, start
    if client is not None:
        return _by_client(guard, client)[1]
    _need_transport(guard)
    return lambda wanted: guard.on_loops[0](wanted), lambda flow: guard.on_loops[1](flow)


def _by_client(guard: "Guard", client: "Client") -> tuple[drive.InThreads, drive.OnLoops]:
    own = Transport(client)
    ways = (own.fetch, own.background), (own.afetch, own.background)
    guard.exchange(*ways)
    return ways


def _need_transport(guard: "Guard") -> None:
    if guard.site or any(issuer.fetches or issuer.introspection for issuer in guard.issuers):
        shared()  # where httpx2 is missing, start-up is the time to say so


def check(client: object, fetch: object, *, is_async: bool) -> None:
    """Raises ConfigurationError where a door cannot make exchanges with what it was given."""
    if client is not None:
        _check_client(client)
    if fetch is None:
        return
    if client is not None:
        raise ConfigurationError("client and fetch are two ways to make exchanges; give one")
    word = "async def" if is_async else "def"
    wanted = f"fetch is a function for this door: `{word} fetch(wanted: Fetch) -> Fetched`"
    if not callable(fetch):
        raise ConfigurationError(f"{wanted}; found {type(fetch).__name__}")
    call = getattr(fetch, "__call__", None)  # noqa: B004 - an object whose call is async
    waits = inspect.iscoroutinefunction(fetch) or inspect.iscoroutinefunction(call)
    if waits is not is_async:
        raise ConfigurationError(f"{wanted}; found one that is {'' if waits else 'not '}async")


def _check_client(client: object) -> None:
    if find_spec("httpx2") is None:
        raise ConfigurationError(INSTALL)
    if client is None:
        return  # and nothing is imported before it is needed
    import httpx2

    if not isinstance(client, (httpx2.Client, httpx2.AsyncClient)):
        found = type(client)
        raise ConfigurationError(
            "client is an httpx2.Client or an httpx2.AsyncClient; found "
            f"{found.__module__}.{found.__qualname__}"
        )


class Shared:
    """The shared transport, made when somebody needs it."""

    def fetch(self, fetch: Fetch) -> Fetched:
        """As `Transport.fetch`."""
        return shared().fetch(fetch)

    async def afetch(self, fetch: Fetch) -> Fetched:
        """As `Transport.afetch`."""
        return await shared().afetch(fetch)

    def background(self, flow: Flow[None]) -> None:
        """As `Transport.background`."""
        shared().background(flow)


_shared: Transport | None = None


def shared() -> Transport:
    """The process's own transport, made when the first exchange is asked for.

    Raises ConfigurationError where httpx2 is not installed.
    """
    global _shared
    if _shared is None:
        _shared = Transport()
    return _shared
