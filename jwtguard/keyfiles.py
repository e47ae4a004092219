"""Keys that live in files and environment variables.

The core's classes know bytes and mappings; these subclasses, which `jwtguard` exports, fetch
them. A file is looked at once at start-up, so that a problem is a start-up error, and again at
most once a second while requests come in: a new version is taken when it can be read, otherwise
the keys of the old one stay and a line is logged.
"""

import inspect
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Self, Unpack

from .core import keyloader, keys, remote
from .core.discovery import TENANT
from .core.errors import FetchError, Problem
from .core.keys import KeySet, Loaded
from .core.remote import RemoteWords
from .lastknown import LastKnown, Origin

log = logging.getLogger("jwtguard.keys")

STAT_INTERVAL = 1.0  # seconds

FileName = str | os.PathLike[str]
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


# --- keys that are fetched ----------------------------------------------------------------------

_CACHE_FILE = """
    - ``cache_file``: where the last good set is kept, for a restart while the issuer is down. A
      file that does not help (none, broken, too old, open to others) is logged and passed over.
"""


def _with_cache_file(init: Callable[..., None]) -> inspect.Signature:
    """The core's parameters and ours, written out for people, editors and `inspect`."""
    given = inspect.signature(remote.RemoteKeys.__init__).parameters
    first, *_ = list(inspect.signature(init).parameters.values())[1:]
    own = inspect.Parameter("cache_file", inspect.Parameter.KEYWORD_ONLY, default=None)
    words = [one for one in given.values() if one.kind is one.KEYWORD_ONLY]
    return inspect.Signature([first, *words[:-2], own, *words[-2:]])  # clock and jitter last


class _KeptInFile(remote.RemoteKeys):
    """Fetched keys that outlive the process in a file."""

    cache_file: Path | None = None
    _last_known: LastKnown | None = None
    _body: bytes | None = None  # of the set in use, for when it is found unchanged

    def _keep_in(self, file: FileName | None) -> None:
        if file is None:
            return
        if isinstance(file, str | os.PathLike) and str(file) and "\0" not in str(file):
            self.cache_file = Path(file).absolute()  # a service may change its directory
        else:
            problem = ("cache_file", f"is the name of a file; found {file!r}")
            self.problems = (*self.problems, problem)

    def _begin(self) -> None:
        """Start from the file, once it is known whose keys these are."""
        if self.cache_file is None or self.problems or self._last_known is not None:
            return
        self._last_known = LastKnown(self.cache_file, int(self.max_bytes), self._clock)
        try:
            kept = self._last_known.read(self.origin)
            if kept is None:
                return
            age = self._clock() - kept.fetched_at
            if age >= self.max_stale:
                raise ValueError(f"its keys are {age:.0f} s old, more than max_stale")
            self._start_from(kept.document, kept.fetched_at)
        except (OSError, ValueError, FetchError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            log.warning("%s: %s", self.url, f"cache_file {self.cache_file} is not used: {why}")
        else:
            log.info("%s: begun with the keys of %.0f s ago", self.url, age)

    @property
    def origin(self) -> Origin:
        """Whose keys the file holds."""
        return Origin(self.url)

    def _accepted(self, fetched_at: float, body: bytes | None) -> None:
        if self._last_known is None:
            return
        if body is not None:
            self._body = body
        if self._body is not None:
            self._last_known.write(self.origin, fetched_at, self._body)


class RemoteKeys(_KeptInFile):
    __doc__ = f"{remote.RemoteKeys.__doc__}{_CACHE_FILE}"

    def __init__(
        self,
        jwks_uri: str,
        *,
        cache_file: FileName | None = None,
        **words: Unpack[RemoteWords],
    ) -> None:
        super().__init__(jwks_uri, **words)
        self._keep_in(cache_file)
        self._begin()


class Discovery(_KeptInFile, remote.Discovery):
    __doc__ = f"{remote.Discovery.__doc__}{_CACHE_FILE}"

    def __init__(
        self,
        url: str | None = None,
        *,
        cache_file: FileName | None = None,
        **words: Unpack[RemoteWords],
    ) -> None:
        super().__init__(url, **words)
        self._keep_in(cache_file)

    def of(self, issuer: str | None) -> Iterable[Problem]:
        """Told by the `Issuer` whose keys these are."""
        problems = list(super().of(issuer))
        if not problems and isinstance(issuer, str) and TENANT not in issuer:
            self._begin()
        return problems

    @property
    def origin(self) -> Origin:
        """Whose keys the file holds."""
        return Origin(self.url, self.issuer)

    def for_tenant(self, issuer: str, tenant: str) -> Self:
        """The same for one tenant of a template, with keys and a file of its own."""
        source = super().for_tenant(issuer, tenant)
        if self.cache_file is not None:
            digest = sha256(issuer.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            file = self.cache_file
            source._keep_in(file.with_name(f"{file.stem}-{digest}{file.suffix}"))
            source._begin()
        return source


RemoteKeys.__signature__ = _with_cache_file(RemoteKeys.__init__)  # type: ignore[attr-defined]
Discovery.__signature__ = _with_cache_file(Discovery.__init__)  # type: ignore[attr-defined]
