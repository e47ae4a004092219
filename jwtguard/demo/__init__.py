"""``jwtguard demo``: a small app behind jwtguard, once as WSGI and once as ASGI.

`guarded` says who may see what, `provider` where people sign in, `pages` is the app, `serve` puts
both behind the two doors and their servers. `table` is every request worth sending, with what must
come back, and `signing_in` the part of it that takes a browser.
"""

import argparse
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from socket import socket

from jwtguard.testing import FakeIssuer

from .guarded import make_guard, make_issuer
from .pages import Pages
from .provider import Development, Registered
from .serve import HOST, NeedsUvicorn, listen, serve_asgi, serve_wsgi
from .signing_in import sign_ins
from .table import Row, curl, requests, run

PORT = 8000
NO_UVICORN = "ASGI is left out: it needs uvicorn. pip install 'jwtguard-middleware[server]'"
NO_HTTPX2 = "--provider needs httpx2: pip install 'jwtguard-middleware[http]'"
SECRET = "CLIENT_SECRET"  # noqa: S105 - the name of a variable


def main(argv: Sequence[str]) -> int:
    """Run the demo until Ctrl-C, or check it. Returns the exit code.

    Raises errors.ConfigurationError for a provider that cannot be one.
    """
    parser = argparse.ArgumentParser(
        prog="jwtguard demo",
        description="A small app behind jwtguard, as WSGI and as ASGI, on this machine only.",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="start both on free ports, send every request of the demo, and compare the answers",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"WSGI on port N and ASGI on N+1 (without it {PORT}, or any that is free)",
    )
    parser.add_argument(
        "--provider",
        metavar="URL",
        help="sign in there, at an OpenID provider, and not at the development issuer; "
        f"the environment variable {SECRET} holds the client's secret",
    )
    parser.add_argument("--client-id", metavar="ID", help="the name of the demo at the provider")
    options = parser.parse_args(argv)
    # Without a handler of ours, Python would write warnings to stderr: in a check they are noise.
    logging.getLogger("jwtguard").addHandler(logging.NullHandler())
    if (options.provider is None) is not (options.client_id is None):
        parser.error("--provider and --client-id belong together")
    if options.check:
        if options.provider is not None:
            parser.error("--check signs in by itself, which only the development issuer allows")
        return check()
    if options.port is not None and not 0 < options.port < 65535:
        parser.error("--port takes a number from 1 to 65534")
    if options.provider is None:
        return stay(options.port)
    secret = os.environ.get(SECRET)
    if not secret:
        parser.error(f"the environment variable {SECRET} is to hold the secret of the client")
    if find_spec("httpx2") is None:
        parser.error(NO_HTTPX2)
    return stay(options.port, Registered(options.provider, options.client_id, secret))


class Door:
    """The demo behind one of the two doors: a site of its own."""

    def __init__(
        self, name: str, port: int, issuer: FakeIssuer, registered: Registered | None
    ) -> None:
        self.name = name
        self.port = port
        self.origin = f"http://{HOST}:{port}"
        self._issuer = issuer
        self._provider = registered or Development(issuer, self.origin)
        self.guard = make_guard(issuer, self.origin, self._provider.login, *self._provider.pages)

    def rows(self) -> list[Row]:
        """What anybody can send, with fresh tokens."""
        return requests(self._issuer, self.guard, self.name)

    def serve(self, sock: socket) -> AbstractContextManager[None]:
        """Raises NeedsUvicorn."""
        pages = Pages(self.rows, self._provider.pages)
        if self.name == "WSGI":
            return serve_wsgi(pages, self.guard, sock, self._provider.fetch)
        return serve_asgi(pages, self.guard, sock, self._provider.afetch)


@contextmanager
def running(ports: tuple[int, int], registered: Registered | None = None) -> Iterator[list[Door]]:
    """Both doors, served; port 0 takes a free one. Raises OSError for one in use.

    Browsers sign in where *registered* says, else at the development issuer.
    """
    issuer = make_issuer()
    with ExitStack() as stack:
        sockets = [stack.enter_context(listen(port)) for port in ports]
        doors = []
        for name, sock in zip(("WSGI", "ASGI"), sockets, strict=True):
            door = Door(name, sock.getsockname()[1], issuer, registered)
            try:
                stack.enter_context(door.serve(sock))
            except NeedsUvicorn:
                print(NO_UVICORN)
            else:
                doors.append(door)
        yield doors


def check() -> int:
    """Send every request of the table to both servers: 0 where all answers are as expected."""
    with running((0, 0)) as doors:
        verdicts = [run(door.name, door.port, [*door.rows(), *sign_ins()]) for door in doors]
        if len(doors) < 2:
            print(f"\n{NO_UVICORN}")  # said again where nobody overlooks it
    return 0 if all(verdicts) else 1


def stay(port: int | None, registered: Registered | None = None) -> int:
    """Serve until Ctrl-C."""
    # A provider knows addresses: with one, another port than it was told is of no use.
    fixed = port or (PORT if registered else None)
    start = partial(running, registered=registered)
    with ExitStack() as stack:
        try:
            first = fixed or PORT
            doors = stack.enter_context(start((first, first + 1)))
        except OSError as error:
            if fixed:
                print(f"cannot listen on ports {fixed} and {fixed + 1}: {error.strerror}")
                return 1
            doors = stack.enter_context(start((0, 0)))
        for door in doors:
            _introduce(door)
        if registered:
            _tell_what_to_register(registered, doors)
        print("Refusals are logged here, with the reason that the client is not told.")
        print("Ctrl-C ends it.\n", flush=True)
        for name in ("jwtguard.refused", "jwtguard.login"):
            logging.getLogger(name).addHandler(_plain_lines())
        try:
            if registered:
                doors[0].guard.warm()  # which says at once that a provider is none
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("\nStopping.")
    return 0


def _introduce(door: Door) -> None:
    print(f"{door.name}: {door.origin}/ is a page to click through. With curl:\n")
    for row in door.rows():
        if row.shown:
            print(f"# {row.what}: {row.expected}\n{curl(row, door.origin)}\n")


def _tell_what_to_register(registered: Registered, doors: Sequence[Door]) -> None:
    print(f"Browsers sign in at {registered.address}, where these are to be registered.")
    print("Redirect addresses:", *(f"{door.origin}/auth/callback" for door in doors))
    print("Addresses after signing out:", *(f"{door.origin}/" for door in doors), end="\n\n")


def _plain_lines() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler
