"""Real servers, each in a process of its own on a free port, and raw bytes to send to them."""

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = secrets.token_urlsafe(48)
START = 20.0  # seconds a server may take to listen
ANSWER = 5.0  # seconds it may take to answer

PROTECTED = b"PROTECTED"

APPS = {
    "wsgi": "tests.live.apps:flask_app",
    "asgi": "tests.live.apps:starlette_app",
    "plain wsgi": "tests.live.apps:plain_flask",
    "plain asgi": "tests.live.apps:plain_starlette",
    "fastapi": "tests.live.apps:fastapi_app",
}

_WERKZEUG = (
    "import sys; from importlib import import_module; from werkzeug.serving import *; "
    "module, name = sys.argv[2].split(':'); "
    "Quiet = type('Quiet', (WSGIRequestHandler,), {'log': lambda *_: None}); "
    "run_simple('127.0.0.1', int(sys.argv[1]), getattr(import_module(module), name), "
    "threaded=True, request_handler=Quiet)"
)


@dataclass(frozen=True)
class Kind:
    """A server program; ``{port}`` and ``{app}`` are filled in."""

    protocol: str
    needs: tuple[str, ...]
    arguments: tuple[str, ...]


def _uvicorn(http: str) -> tuple[str, ...]:
    options = ("--http", http, "--log-level", "warning", "--port", "{port}")
    return ("-m", "uvicorn", *options, "{app}")


KINDS = {
    "uvicorn-h11": Kind("asgi", ("uvicorn", "h11"), _uvicorn("h11")),
    "uvicorn-httptools": Kind("asgi", ("uvicorn", "httptools"), _uvicorn("httptools")),
    "hypercorn": Kind(
        "asgi", ("hypercorn",), ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "{app}")
    ),
    "hypercorn-wsgi": Kind(
        "wsgi", ("hypercorn",), ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "wsgi:{app}")
    ),
    "gunicorn": Kind(
        "wsgi",
        ("gunicorn",),
        ("-m", "gunicorn", "--threads", "4", "--no-control-socket", "--bind", "127.0.0.1:{port}",
         "{app}"),
    ),
    "gunicorn-asgi": Kind(
        "asgi",
        ("gunicorn",),
        ("-m", "gunicorn", "-k", "asgi", "--no-control-socket", "--bind", "127.0.0.1:{port}",
         "{app}"),
    ),
    "waitress": Kind(
        "wsgi", ("waitress",), ("-m", "waitress", "--listen=127.0.0.1:{port}", "{app}")
    ),
    "werkzeug": Kind("wsgi", ("werkzeug",), ("-c", _WERKZEUG, "{port}", "{app}")),
}  # fmt: skip


@dataclass
class Reply:
    """What came back; status 0 where the server closed without a word."""

    raw: bytes
    status: int = field(init=False)

    def __post_init__(self) -> None:
        line = self.raw.partition(b"\r\n")[0].split(b" ")
        self.status = int(line[1]) if len(line) > 1 and line[1].isdigit() else 0

    def header(self, name: str) -> str | None:
        head = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")
        for line in head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None


@dataclass
class Server:
    name: str
    kind: Kind
    port: int
    log: Path

    def send(self, raw: bytes, patience: float = ANSWER) -> Reply:
        """*raw* as it stands, and all that comes back until *patience* (seconds) ends."""
        chunks = []
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as connection:
            # A server may close while we are still sending what it does not like.
            with contextlib.suppress(ConnectionError):
                connection.sendall(raw)
            with contextlib.suppress(ConnectionError, TimeoutError):
                while chunk := connection.recv(1 << 16):
                    chunks.append(chunk)
                    if b"101 " in chunks[0][:16]:
                        break
        return Reply(b"".join(chunks))

    def get(self, target: str | bytes, *headers: str, method: str = "GET") -> Reply:
        """One request with this raw target."""
        target = target if isinstance(target, bytes) else target.encode("latin-1")
        lines = [f"{line}\r\n".encode("latin-1") for line in headers]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.insert(0, b"Host: 127.0.0.1\r\n")
        head = method.encode("latin-1") + b" " + target + b" HTTP/1.1\r\n"
        return self.send(head + b"".join(lines) + b"Connection: close\r\n\r\n")


def need(kind: Kind) -> None:
    """Skip with the reason where a program is missing, or fail where it must not be."""
    for module in kind.needs:
        if importlib.util.find_spec(module) is None:
            if os.environ.get("JWTGUARD_LIVE") == "required":
                pytest.fail(f"{module} is not installed, and JWTGUARD_LIVE=required")
            pytest.skip(f"{module} is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serve(
    name: str,
    app: str,
    directory: Path,
    *,
    port: int | None = None,
    options: Sequence[str] = (),
    **environment: str,
) -> Iterator[Server]:
    """Run a server until the block ends."""
    kind = KINDS[name]
    need(kind)
    port = port or free_port()
    server = Server(name, kind, port, directory / f"{name}-{port}.log")
    arguments = [
        argument.replace("{port}", str(port)).replace("{app}", app)
        for argument in (*kind.arguments[:-1], *options, kind.arguments[-1])
    ]
    with server.log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "JWTGUARD_TEST_SECRET": SECRET,
                "JWTGUARD_TEST_FILES": str(directory),
                **environment,
            },
            stdout=output,
            stderr=output,
        )
    try:
        _wait(process, port, server.log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    pytest.fail(f"did not start: {log.read_text()}")
