"""A Redis or Valkey server, asked by redis-py (the extra ``[redis]``)."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from jwtguard import forks
from jwtguard.core.errors import FetchError, Problem

if TYPE_CHECKING:
    import redis

log = logging.getLogger("jwtguard.redis")

T = TypeVar("T")

CONNECT = 0.25  # seconds
ANSWER = 0.25  # seconds
PAUSE = 1.0  # seconds in which a server that did not answer is not asked again
MAX_CONNECTIONS = 32  # a process's, for each store
SCHEMES = ("redis", "rediss", "unix")


class Server:
    """The server at *url*, such as ``redis://127.0.0.1:6379/0`` or ``rediss://…`` (TLS).

    The client is made when it is first needed, in each process anew. Event loops ask in threads:
    a hop costs less than the exchange, and needs no client of each loop's own. ``answer``: seconds
    for an answer. ``problems`` says what is wrong with the address.
    """

    def __init__(self, url: str, *, answer: float = ANSWER) -> None:
        self._url = url
        self._answer = answer
        self.problems: tuple[Problem, ...] = ()
        if not isinstance(url, str) or urlsplit(url).scheme not in SCHEMES:
            # Not what was found: there may be a password in it.
            what = "is an address such as 'redis://127.0.0.1:6379/0', 'rediss://…' or 'unix://…'"
            self.problems = (("redis", what),)
        elif find_spec("redis") is None:
            what = "needs redis-py: pip install 'jwtguard-middleware[redis]'"
            self.problems = (("redis", what),)
        self._is_down = False
        self.begin()
        forks.again(self)

    def begin(self) -> None:
        """In a forked child nobody may talk through the parent's connections."""
        self._lock = threading.Lock()
        self._client: redis.Redis | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._not_before = 0.0

    @property
    def place(self) -> str:
        """Where it is, and nothing of the password."""
        parts = urlsplit(self._url)
        return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]

    def ask(self, question: Callable[[Any], T]) -> T:
        """What *question* returns, called with the client. Raises FetchError."""
        if time.monotonic() < self._not_before:
            raise FetchError(f"redis at {self.place} did not answer a moment ago")
        from redis import exceptions

        try:
            answer = question(self._connected())
        except (exceptions.RedisError, OSError) as error:
            if isinstance(error, exceptions.TimeoutError):
                # Whoever comes next need not wait for the same.
                self._not_before = time.monotonic() + PAUSE
            what = f"redis at {self.place}: {type(error).__name__}"
            if not self._is_down:
                log.error("%s", what)
            self._is_down = True
            raise FetchError(what) from None  # its text may hold what was sent
        if self._is_down:
            log.info("redis at %s answers again", self.place)
            self._is_down = False
        return answer

    async def aask(self, question: Callable[[Any], T]) -> T:
        """`ask`, on an event loop."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, "jwtguard-redis")
            threads = self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, self.ask, question)

    def _connected(self) -> "redis.Redis":
        with self._lock:
            if self._client is None:
                self._client = _client(self._url, self._answer)
            return self._client


def _client(url: str, answer: float) -> "redis.Redis":
    from redis import BlockingConnectionPool, Redis, exceptions
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=CONNECT,
        socket_connect_timeout=CONNECT,
        socket_timeout=answer,
        # Once, for a connection that the server closed meanwhile; not where it does not answer.
        retry=Retry(NoBackoff(), 1, (exceptions.ConnectionError,)),
        protocol=2,  # what every version of both speaks
    )
    return Redis(connection_pool=pool)
