"""gunicorn and uvicorn, each with its workers, ended by their own ids."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START = 30.0  # seconds
CPU, CPU_OF_ENDED, BEGAN = slice(11, 13), slice(13, 15), 19  # in what `_stat` returns
WORKERS = {"gunicorn": 4, "uvicorn": 2}


def _words(name: str, port: int) -> list[str]:
    workers = str(WORKERS[name])
    if name == "gunicorn":
        bind = f"127.0.0.1:{port}"
        return [
            "--workers", workers, "--threads", "4", "--bind", bind, "--no-control-socket",
            "--keep-alive", "5", "tests.soak.guarded:wsgi_app()",
        ]  # fmt: skip
    return [
        "--workers", workers, "--port", str(port), "--no-access-log", "--factory",
        "tests.soak.guarded:asgi_app",
    ]  # fmt: skip


class Server:
    """One of `WORKERS`; it writes to a log in *directory*."""

    def __init__(self, name: str, directory: Path, **environment: str) -> None:
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = directory / f"{name}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", name, *_words(name, self.port)],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )
        self._seen: dict[int, str] = {}  # workers, and when they began

    def wait(self) -> None:
        """Until it listens."""
        until = time.monotonic() + START
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")

    def reload(self) -> None:
        """New workers in the place of the old ones."""
        self._process.send_signal(signal.SIGHUP)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def memory(self) -> dict[int, float]:
        """MiB that each worker has in memory, by process."""
        found = {}
        for process in self._children():
            with contextlib.suppress(OSError, IndexError, ValueError):
                status = Path(f"/proc/{process}/status").read_text()
                found[process] = int(status.partition("VmRSS:")[2].split()[0]) / 1024
                self._seen[process] = _stat(process)[BEGAN]
        return found

    def cpu(self) -> float:
        """Seconds of processor time that it and its workers took, those that ended too."""
        ticks = 0
        for process in (self._process.pid, *self._children()):
            with contextlib.suppress(OSError):
                words = _stat(process)
                of_ended = words[CPU_OF_ENDED] if process == self._process.pid else ()
                ticks += sum(map(int, (*words[CPU], *of_ended)))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _children(self) -> list[int]:
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        children = [int(one) for one in path.read_text().split()]
        # uvicorn has multiprocessing's resource tracker beside its workers.
        return [one for one in children if not _is_tracker(one)]

    def end(self) -> list[int]:
        """End it; the workers that are still there afterwards, which nobody should be."""
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        time.sleep(0.2)
        left = [one for one, began in self._seen.items() if _is_there(one, began)]
        for process in left:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        return left


def _stat(process: int) -> list[str]:
    """/proc/PID/stat from the third field on (proc(5))."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _is_tracker(process: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return True  # gone


def _is_there(process: int, began: str) -> bool:
    # An id may be somebody else's by now.
    try:
        return _stat(process)[BEGAN] == began
    except OSError:
        return False
