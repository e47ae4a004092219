"""The last known key set of an issuer in a file, so that a restart during an outage still serves.

The file is as trusted as the configuration: whoever can write it can have his own keys used, until
the issuer answers again. So one that belongs to somebody else, or that others may write, is not
believed, and ours is written with mode 0600.

Several processes may share a file: each puts a whole new one in its place, and none puts an older
answer in place of a newer one. Between that look and the replacing another process may get in; what
it wrote is back with its next answer, and a process that starts from the file asks at once.
"""

import json
import logging
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from .core.jose import json_object
from .core.model import Clock

log = logging.getLogger("jwtguard.keys")

MAX_AHEAD = 60  # seconds that a clock may have been put back
MAX_FRAME = 16_384  # bytes around the set itself


class Origin(NamedTuple):
    """Whose keys they are: where they are asked for, and for which issuer where that counts."""

    address: str
    issuer: str | None = None


class Kept(NamedTuple):
    """What a file says: a JWK Set, and when it was fetched in seconds since the epoch."""

    document: object
    fetched_at: float


class LastKnown:
    """The file. *max_bytes*: how long a set in it may be."""

    def __init__(self, path: Path, max_bytes: int, clock: Clock) -> None:
        self.path = path
        self._limit = max_bytes + MAX_FRAME
        self._clock = clock
        self._failing = False

    def read(self, origin: Origin) -> Kept | None:
        """What it says, None where there is no file.

        Raises OSError, and ValueError where the file is not to be believed or not that origin's.
        """
        try:
            # A pipe in its place must not keep the process from starting.
            with open(self.path, "rb", opener=_without_waiting) as file:
                if why := distrust(os.fstat(file.fileno())):
                    raise ValueError(why)
                data = file.read(self._limit + 1)
        except FileNotFoundError:
            return None
        if len(data) > self._limit:
            raise ValueError(f"it is longer than {self._limit} bytes")
        return _kept(data, origin, self._clock())

    def write(self, origin: Origin, fetched_at: float, body: bytes) -> None:
        """Keep a set as it came, in a thread of its own: whoever was told of it waits for nothing.

        The thread is none of those that end with the process: what was fetched is written.
        """
        work = threading.Thread(target=self._write, args=(origin, fetched_at, body))
        try:
            work.start()
        except RuntimeError as error:  # no more threads, or the interpreter is on its way out
            self._failed(origin, str(error))

    def _write(self, origin: Origin, fetched_at: float, body: bytes) -> None:
        try:
            if os.path.lexists(self.path) and is_foreign(self.path.lstat()):
                # Such as the service's, where root runs a command: the service could not read ours.
                self._failed(origin, "it belongs to another user")
                return
            self._replace(origin, fetched_at, body)
        except OSError as error:
            self._failed(origin, error.strerror or type(error).__name__)
        else:
            self._failing = False

    def _replace(self, origin: Origin, fetched_at: float, body: bytes) -> None:
        """Put a new file in place of the old one, whole or not at all. Raises OSError."""
        path = self.path
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_text(origin, fetched_at, body))
                file.flush()
                os.fsync(descriptor)  # a power cut is followed by a restart
            if self._is_newer(origin, fetched_at):  # asked last: writing takes time
                os.unlink(name)
            else:
                os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise

    def _is_newer(self, origin: Origin, fetched_at: float) -> bool:
        """Whether somebody has written a newer answer meanwhile."""
        try:
            kept = self.read(origin)
        except (OSError, ValueError):
            return False  # what nobody can use is no loss
        return kept is not None and kept.fetched_at > fetched_at

    def _failed(self, origin: Origin, why: str) -> None:
        if not self._failing:
            self._failing = True
            log.error("%s: %s", origin.address, f"cache_file {self.path} is not written: {why}")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def distrust(status: os.stat_result) -> str | None:
    """Why a file is not believed."""
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if is_foreign(status):
        return "it belongs to another user"
    if status.st_mode & _OTHERS:
        return "others may write it"
    return None


def is_foreign(status: os.stat_result) -> bool:
    """Whether a file is neither ours nor root's."""
    return status.st_uid not in (0, os.geteuid())


def is_open_to_others(path: Path) -> bool:
    """Whether others than its owner may write a file; False where there is none."""
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except (OSError, ValueError):
        return False


def _kept(data: bytes, origin: Origin, now: float) -> Kept:
    try:
        found = json_object(data)
    except ValueError:
        raise ValueError("it is not what was written") from None
    if (found.get("address"), found.get("issuer")) != origin:
        raise ValueError("it holds the keys of another address or issuer")
    at = found.get("fetched_at")
    if not isinstance(at, int | float) or isinstance(at, bool):
        raise ValueError("it does not say when it was written")
    if at > now + MAX_AHEAD:
        raise ValueError("it is from the future")
    return Kept(found.get("jwks"), min(at, now))


def _text(origin: Origin, fetched_at: float, body: bytes) -> bytes:
    # The set is JSON already: it was read before it came here.
    frame = json.dumps({**origin._asdict(), "fetched_at": fetched_at})
    return frame[:-1].encode() + b', "jwks": ' + body + b"}\n"
