"""``jwtguard demo``: a small app behind jwtguard, once as WSGI and once as ASGI.

`guarded` says who may see what, `pages` is the app, `serve` puts both behind the two doors and
their servers, and `table` is every request worth sending, with what must come back.
"""

import argparse
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from .guarded import make_guard, make_issuer
from .pages import Pages
from .serve import HOST, NeedsUvicorn, listen, serve_asgi, serve_wsgi
from .table import Row, curl, requests, run

PORT = 8000
NO_UVICORN = "ASGI is left out: it needs uvicorn. pip install 'jwtguard-middleware[server]'"


def main(argv: Sequence[str]) -> int:
    """Run the demo until Ctrl-C, or check it. Returns the exit code."""
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
    options = parser.parse_args(argv)
    # Without a handler of ours, Python would write warnings to stderr: in a check they are noise.
    logging.getLogger("jwtguard").addHandler(logging.NullHandler())
    if options.check:
        return check()
    if options.port is not None and not 0 < options.port < 65535:
        parser.error("--port takes a number from 1 to 65534")
    return stay(options.port)


@contextmanager
def running(pages: Pages, ports: tuple[int, int]) -> Iterator[dict[str, int]]:
    """Both servers, as name -> port; 0 takes a free port. Raises OSError for one in use."""
    guard = make_guard(pages.issuer)
    with ExitStack() as stack:
        wsgi, asgi = (stack.enter_context(listen(port)) for port in ports)
        found = {"WSGI": stack.enter_context(serve_wsgi(pages, guard, wsgi))}
        try:
            found["ASGI"] = stack.enter_context(serve_asgi(pages, guard, asgi))
        except NeedsUvicorn:
            print(NO_UVICORN)
        yield found


def check() -> int:
    """Send every request of the table to both servers: 0 where all answers are as expected."""
    issuer = make_issuer()
    with running(Pages(issuer), (0, 0)) as servers:
        verdicts = [run(name, port, requests(issuer, name)) for name, port in servers.items()]
        if len(servers) < 2:
            print(f"\n{NO_UVICORN}")  # said again where nobody overlooks it
    return 0 if all(verdicts) else 1


def stay(port: int | None) -> int:
    """Serve until Ctrl-C."""
    issuer = make_issuer()
    pages = Pages(issuer)
    with ExitStack() as stack:
        try:
            ports = (PORT, PORT + 1) if port is None else (port, port + 1)
            servers = stack.enter_context(running(pages, ports))
        except OSError as error:
            if port is not None:
                print(f"cannot listen on ports {port} and {port + 1}: {error.strerror}")
                return 1
            servers = stack.enter_context(running(pages, (0, 0)))
        for name, at in servers.items():
            _introduce(name, f"http://{HOST}:{at}", requests(issuer, name))
        print("Refusals are logged here, with the reason that the client is not told.")
        print("Ctrl-C ends it.\n", flush=True)
        logging.getLogger("jwtguard.refused").addHandler(_plain_lines())
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("\nStopping.")
    return 0


def _introduce(name: str, origin: str, rows: Sequence[Row]) -> None:
    print(f"{name}: {origin}/ is a page to click through. With curl:\n")
    for row in rows:
        if row.shown:
            print(f"# {row.what}: {row.expected}\n{curl(row, origin)}\n")


def _plain_lines() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler
