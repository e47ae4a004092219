"""A Redis of a test's own, on a free port, that keeps nothing on disk."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress

import pytest

START = 10.0  # seconds it may take to listen


def redis_program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        if os.environ.get("JWTGUARD_LIVE") == "required":
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class RedisServer:
    """Started on a port, which it keeps when it is killed and started again."""

    def __init__(self, directory) -> None:
        self._program = redis_program()
        self._directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None
        self.start()

    def start(self) -> None:
        words = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        with (self._directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._program, *words], cwd=self._directory, stdout=log, stderr=log
            )
        until = time.monotonic() + START
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                sock.sendall(b"PING\r\n")
                if sock.recv(16) == b"+PONG\r\n":
                    return
            time.sleep(0.02)
        pytest.fail("redis-server does not listen")

    def kill(self) -> None:
        self.resume()
        self.process.kill()
        self.process.wait()

    def hang(self) -> None:
        """It accepts connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)
