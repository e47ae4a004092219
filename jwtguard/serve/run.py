"""``jwtguard serve`` on uvicorn (the extra ``[server]``)."""

import contextlib
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jwtguard.core.errors import ConfigurationError

from . import metrics
from .app import ForwardAuth
from .policies import lost, read_policies
from .proxies import Askers
from .settings import Settings

log = logging.getLogger("jwtguard.serve")

INSTALL = "jwtguard serve needs uvicorn: pip install 'jwtguard-middleware[server]'"
TARGET = "JWTGUARD_SERVE"
"""The variable in which a worker finds what to serve."""

STOP = 10  # seconds that requests may take to end once the server is told to
KEEP_ALIVE = 125  # seconds; longer than proxies keep an idle connection, so that they close it
MAX_HEAD = 65_536  # bytes; a token of 16 KiB, and the cookies beside it


def serve(target: Path, port: int | None = None) -> int:
    """Serve the policies of *target* until a signal ends it; the exit code.

    *port* stands for that of ``[server]``. Raises `errors.ConfigurationError` before anything
    listens.
    """
    try:
        import uvicorn
    except ImportError:
        raise ConfigurationError(INSTALL) from None
    policies = read_policies(target)
    settings = policies.settings
    if port is not None and settings.uds is not None:
        raise ConfigurationError([("--port", f"the server listens at {settings.uds}; remove uds")])
    os.environ[TARGET] = str(target.absolute())
    # uvicorn repeats the signal once it has ended; what is ours must end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with (
            metrics.added_up() if settings.workers > 1 else contextlib.nullcontext(),
            _listening(settings, target, port) as where,
        ):
            address = settings.uds or f"http://{where['host']}:{where['port']}"
            print(f"jwtguard serve: {', '.join(policies.guards)} at {address}", file=sys.stderr)
            uvicorn.run(
                "jwtguard.serve.run:application",
                factory=True,
                workers=settings.workers,
                # Of uvicorn's parsers the one that keeps a fragment in the target; whichever is
                # installed must not matter.
                http="jwtguard.serve.wire:Prompt",
                h11_max_incomplete_event_size=MAX_HEAD,
                loop="auto",
                ws="none",
                lifespan="on",
                # Who asked, and who the client is, is our business: see `proxies`.
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                log_level="error",
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=STOP,
                **where,
            )
    except SystemExit as stop:
        return 1 if stop.code else 0
    return 0


def application() -> ForwardAuth:
    """The app of one worker."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    policies = read_policies(Path(os.environ[TARGET]))
    for name, guard in policies.guards.items():
        for where, what in lost(guard):
            log.warning("%s: %s: %s", name, where, what)
    return ForwardAuth(policies.guards, Askers(policies.settings))


@contextlib.contextmanager
def _listening(settings: Settings, target: Path, port: int | None) -> Iterator[dict[str, Any]]:
    """Where uvicorn is to listen, in its words."""
    if settings.uds is None:
        yield {"host": settings.host, "port": settings.port if port is None else port}
        return
    base = target if target.is_dir() else target.parent
    path = base / settings.uds
    listener = _unix_socket(path)
    try:
        yield {"fd": listener.fileno()}
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _unix_socket(path: Path) -> socket.socket:
    """A listening socket of mode 0660: uvicorn's own would be everybody's."""
    _make_way(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise ConfigurationError(
            [("server.uds", f"{path}: {error.strerror or error}; its directory must be there")]
        ) from None
    finally:
        os.umask(before)
    listener.set_inheritable(True)
    return listener


def _make_way(path: Path) -> None:
    """Remove a socket that nobody listens at any more."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigurationError([("server.uds", f"{path} is there, and is no socket")])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except ConnectionRefusedError:
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError([("server.uds", f"{path}: {error.strerror or error}")]) from None
    else:
        raise ConfigurationError([("server.uds", f"somebody listens at {path} already")])
