"""Guarded apps on real servers in threads of this process, and clients that keep asking."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from werkzeug.serving import WSGIRequestHandler, make_server

from jwtguard import Guard, asgi, wsgi

PATIENCE = 20.0  # seconds for what must happen, however busy the machine is


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *words: object) -> None:
        pass


@contextlib.contextmanager
def _wsgi(guard: Guard) -> Iterator[str]:
    def app(environ, start_response):
        body = environ["jwtguard.claims"]["client_id"].encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    guarded = wsgi.GuardMiddleware(app, guard)
    server = make_server("127.0.0.1", 0, guarded, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def _asgi(guard: Guard) -> Iterator[str]:
    async def app(scope, receive, send):
        answer = PlainTextResponse(scope["jwtguard.claims"]["client_id"])
        await answer(scope, receive, send)

    config = uvicorn.Config(
        asgi.GuardMiddleware(app, guard), log_level="critical", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    # Without the protocol asyncio leaves Nagle's algorithm on, which costs 40 ms a request.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


DOORS = {"wsgi": _wsgi, "asgi": _asgi}


@dataclass(frozen=True)
class Answer:
    """What a client got; status 0 where it got nothing."""

    asked: float  # monotonic seconds
    answered: float
    status: int
    body: str
    retry_after: str | None = None
    challenge: str | None = None


@dataclass
class Client:
    url: str

    def __post_init__(self) -> None:
        self._http = httpx2.Client(trust_env=False, verify=False, timeout=20)

    def ask(self, token: str | None) -> Answer:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        asked = time.monotonic()
        try:
            got = self._http.get(self.url, headers=headers)
        except httpx2.HTTPError as error:
            return Answer(asked, time.monotonic(), 0, repr(error))
        fields = got.headers.get("retry-after"), got.headers.get("www-authenticate")
        return Answer(asked, time.monotonic(), got.status_code, got.text, *fields)

    def close(self) -> None:
        self._http.close()


@contextlib.contextmanager
def guarded(door: str, guard: Guard) -> Iterator[Client]:
    """A client of an app behind *guard*, which answers with the client that the token is for."""
    with DOORS[door](guard) as url:
        client = Client(url)
        try:
            yield client
        finally:
            client.close()


class Load:
    """Threads that keep sending tokens, and what they got for each kind of them."""

    PAUSE = 0.01  # seconds between two requests of a thread

    def __init__(self, url: str, **tokens: Callable[[], str | None]) -> None:
        """*tokens* names kinds of tokens and gives the next of each; None: none for now."""
        self.answers: dict[str, list[Answer]] = {kind: [] for kind in tokens}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(url, kind, give))
            for kind, give in tokens.items()
        ]

    def _send(self, url: str, kind: str, give: Callable[[], str | None]) -> None:
        client = Client(url)
        while not self._over.wait(self.PAUSE):
            if (token := give()) is not None:
                self.answers[kind].append(client.ask(token))
        client.close()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def between(self, kind: str, since: float = 0, until: float = float("inf")) -> list[Answer]:
        """What a kind of token got for the requests made and answered in a period."""
        return [a for a in self.answers[kind] if since <= a.asked and a.answered <= until]

    def statuses(self, kind: str, since: float = 0, until: float = float("inf")) -> set[int]:
        """The same, and of that the statuses."""
        return {answer.status for answer in self.between(kind, since, until)}


def eventually(what, patience=PATIENCE):
    """The first true answer of *what*; the test fails where none comes in time."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.02)
    return pytest.fail(f"did not happen within {patience:g} s")


def refused(caplog):
    """The reasons that were logged."""
    return [record.reason for record in caplog.records if record.name == "jwtguard.refused"]
