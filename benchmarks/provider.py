"""An identity provider on loopback: one JWK Set, answered as slowly as told, or not at all."""

import contextlib
import json
import socket
import threading
import time
from typing import Any

from jwtguard import RemoteKeys
from jwtguard.core.model import Flow


class Keys(RemoteKeys):
    """A source that counts in ``begun`` how often somebody began to ask."""

    begun = 0

    def refresh(self) -> Flow[None]:
        self.begun += 1
        return super().refresh()


class Provider:
    """Serves *jwks* to every request, *delay* seconds after it came.

    It does next to nothing, as it shares the interpreter with what is measured. ``asked`` counts
    requests; where ``silent``, a request is read and never answered.
    """

    def __init__(self, jwks: dict[str, Any], delay: float = 0.0) -> None:
        body = json.dumps(jwks).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._answer = head.encode() + body
        self.delay = delay
        self.silent = False
        self.asked = 0
        self.open = 0  # connections
        self._counting = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/jwks"
        threading.Thread(target=self._accept, daemon=True).start()

    def keys(self, **words: Any) -> Keys:
        """A key source that asks here."""
        return Keys(self.url, insecure_http=True, **words)

    def stop(self) -> None:
        """From now on connections are refused."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes up `accept`
        self._socket.close()

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._count(connections=1)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while not connection.recv(65536).endswith(b"\r\n\r\n"):
                pass
            self._count(requests=1)
            if self.silent:
                connection.recv(1)  # until the client gives up
            else:
                time.sleep(self.delay)
                connection.sendall(self._answer)
        self._count(connections=-1)

    def _count(self, requests: int = 0, connections: int = 0) -> None:
        with self._counting:
            self.asked += requests
            self.open += connections
