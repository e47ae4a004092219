"""The issuer of a run, over HTTP on the loopback interface."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from .issuer import DevIssuer
from .pages import Pages

HOST = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """The terminal is the command's."""


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A socket on a free port, and the address that is served there later."""
    with socket.create_server((HOST, 0)) as sock:
        yield sock, f"http://{HOST}:{sock.getsockname()[1]}"


@contextmanager
def serving(issuer: DevIssuer, sock: socket.socket) -> Iterator[Pages]:
    """The pages, for as long as they are served."""
    port = sock.getsockname()[1]
    pages = Pages(issuer, port)
    server = make_server(HOST, port, pages, threaded=True, request_handler=_Quiet, fd=sock.fileno())
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield pages
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
