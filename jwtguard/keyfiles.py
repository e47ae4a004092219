"""Keys that live in files and environment variables.

The core's classes know bytes and mappings; these subclasses, which `jwtguard` exports, fetch
them. A file is looked at once at start-up, so that a problem is a start-up error, and again at
most once a second while requests come in: a new version is taken when it can be read, otherwise
the keys of the old one stay and a line is logged.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from .core import keyloader, keys
from .core.errors import Problem
from .core.keys import KeySet, Loaded

log = logging.getLogger("jwtguard.keys")

STAT_INTERVAL = 1.0  # seconds

Load = Callable[[bytes], Loaded]
_Version = tuple[int, int, int]


class KeyFile:
    """A key source over one file, read again when it changes (mtime, size or inode)."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        load: Load,
        *,
        insecure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.insecure = insecure
        self._load = load
        self._clock = clock
        self._version: _Version | None = None
        self._keys, self.problems = self._read()
        self._look_again = clock() + STAT_INTERVAL

    def _read(self) -> tuple[KeySet, list[Problem]]:
        self._version = self._stat()
        try:
            data = self.path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: no path can hold a NUL
            why = error.strerror if isinstance(error, OSError) else str(error)
            return KeySet(), [("file", f"{self.path}: {why}")]
        keys, problems = self._load(data)
        return keys, [("file", f"{self.path}: {what}") for _, what in problems]

    def _stat(self) -> _Version | None:
        try:
            status = self.path.stat()
        except (OSError, ValueError):
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def current(self) -> KeySet:
        """The keys of the newest version that could be read."""
        now = self._clock()
        if now >= self._look_again:
            self._look_again = now + STAT_INTERVAL
            self._reread()
        return self._keys

    def _reread(self) -> None:
        if self._stat() == self._version:
            return
        keys, problems = self._read()
        if problems:
            log.error("key file not taken, the keys in use stay: %s", problems[0][1])
        elif (keys.keys, keys.disabled) != (self._keys.keys, self._keys.disabled):
            log.info("key file %s changed: %d keys", self.path, len(keys))
            self._keys = keys

    def __repr__(self) -> str:
        return f"<KeyFile {self.path}>"


def _secret_text(data: bytes) -> bytes:
    """A secret's file without the newline that editors and `echo` put at the end of text."""
    text = data[:-2] if data.endswith(b"\r\n") else data[:-1] if data.endswith(b"\n") else data
    return text if text.isascii() and text.decode().isprintable() else data


class Secret(keyloader.Secret):
    __doc__ = keyloader.Secret.__doc__

    @classmethod
    def from_env(
        cls,
        name: str,
        encoding: str = "utf8",
        kid: str | None = None,
        insecure_short_keys: bool = False,
    ) -> "Secret":
        """The secret in the environment variable *name*."""
        value = os.environ.get(name)
        secret = cls(value or "", encoding, kid=kid, insecure_short_keys=insecure_short_keys)
        if value is None:
            secret.problems = [("env", f"the environment variable {name} is not set")]
        else:
            secret.problems = [("env", f"{name}: {what}") for _, what in secret.problems]
        return secret

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        encoding: str = "utf8",
        kid: str | None = None,
        insecure_short_keys: bool = False,
    ) -> KeyFile:
        """The secret in a file; one newline at the end of text is not part of it."""
        return KeyFile(
            path,
            lambda data: keyloader.secret_key(
                _secret_text(data), encoding, kid, insecure_short_keys
            ),
            insecure=insecure_short_keys,
        )


class PublicKey(keyloader.PublicKey):
    __doc__ = keyloader.PublicKey.__doc__

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        kid: str | None = None,
        *,
        insecure_short_keys: bool = False,
    ) -> KeyFile:
        """The public key or certificate in a PEM file."""
        return KeyFile(
            path,
            lambda data: keys.public_key(data, kid, insecure_short_keys),
            insecure=insecure_short_keys,
        )


class JWKSet(keyloader.JWKSet):
    __doc__ = keyloader.JWKSet.__doc__

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, insecure_short_keys: bool = False
    ) -> KeyFile:
        """The JWK Set in a JSON file."""

        def load(data: bytes) -> Loaded:
            try:
                mapping = json.loads(data)
            except (ValueError, RecursionError):
                return KeySet(), [("file", "is not JSON")]
            return keyloader.local_key_set(mapping, insecure_short_keys)

        return KeyFile(path, load, insecure=insecure_short_keys)
