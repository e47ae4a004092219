"""How uvicorn talks to a proxy."""

import asyncio
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol


class Prompt(H11Protocol):
    """Sends the body of an answer at once.

    Several workers share a listening socket that does not say that it is TCP, so asyncio leaves
    Nagle's algorithm on: the body would wait for the proxy to acknowledge the head, 40 ms on a
    connection that is kept (uvicorn issue 3149).
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A proxy connected."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
