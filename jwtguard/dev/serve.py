"""The issuer of a run, over HTTP on the loopback interface."""

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
def serving(issuer: DevIssuer) -> Iterator[str]:
    """The address, for as long as it is served."""
    server = make_server(HOST, 0, lambda *_: [], threaded=True, request_handler=_Quiet)
    server.app = Pages(issuer, server.port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
