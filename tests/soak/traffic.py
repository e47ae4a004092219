"""Requests over connections that are kept for a while, and what came back."""

import asyncio
import time
from dataclasses import dataclass

from .tokens import Asked

PER_CONNECTION = 60  # requests; then a new one, so that new workers get their share
PATIENCE = 15.0  # seconds
FORGED = "X-User-Id: root\r\nx-user-id: root\r\nX_User_Id: root\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int  # 0: the connection was closed without an answer
    body: bytes
    seconds: float


class Connection:
    """To one server; opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._left = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: Asked, *, close: bool = False) -> Reply:
        """Ask once; again where the server had closed a connection that was kept.

        *close*: and be done with it.
        """
        if close:
            self._left = 1
        begun = time.monotonic()
        for _ in range(2):
            was_kept = self._streams is not None
            try:
                async with asyncio.timeout(PATIENCE):
                    status, body = await self._exchange(asked)
                return Reply(status, body, time.monotonic() - begun)
            except (OSError, EOFError, TimeoutError, ValueError):
                await self.close()
                if not was_kept:
                    break
        return Reply(0, b"", time.monotonic() - begun)

    async def _exchange(self, asked: Asked) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            self._left = self._left or PER_CONNECTION
        reader, writer = self._streams
        self._left -= 1
        token = f"Authorization: Bearer {asked.raw}\r\n" if asked.raw else ""
        close = "Connection: close\r\n" if self._left == 0 else ""
        head = f"GET {asked.path} HTTP/1.1\r\nHost: api.test\r\n{FORGED}{token}{close}\r\n"
        writer.write(head.encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        body = await reader.readexactly(_length(answer))
        if self._left == 0 or "connection: close" in answer:
            await self.close()
        return int(answer[9:12]), body

    async def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name == "content-length":
            return int(value)
    raise ValueError("an answer without a length")
