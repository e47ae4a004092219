"""Key sources as the commands see them: what each is, and asking those that must be asked."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from jwtguard import drive, transport
from jwtguard.core.errors import AuthError, KeysUnavailable
from jwtguard.core.keyloader import KeySource, LocalKeys, RefreshingKeySource
from jwtguard.core.keys import Key
from jwtguard.core.remote import Discovery, RemoteKeys
from jwtguard.guard import Guard
from jwtguard.keyfiles import KeyFile

Notes = Mapping[KeySource, Sequence[str]]
"""What went wrong, or was left out, while a source was asked."""


def fetch_keys(guard: Guard) -> Notes:
    """Fetch what `Guard.warm` fetches, and keep what is said of each source.

    Raises ConfigurationError where that takes httpx2, which is not installed.
    """
    notes: dict[KeySource, Sequence[str]] = {}
    for issuer in guard.issuers:
        for source in issuer.sources:
            if isinstance(source, RefreshingKeySource):
                with told() as said:
                    drive.run(source.refresh(), transport.shared().fetch)
                notes[source] = said
    return notes


@contextmanager
def told(name: str = "jwtguard.keys") -> Iterator[list[str]]:
    """What the library says to the logger *name* meanwhile: the commands say it in its place."""
    said: list[str] = []
    handler = _Listener(said)
    log = logging.getLogger(name)
    log.addHandler(handler)
    log.disabled, was = False, log.disabled  # as logging.config does to loggers it is not told of
    try:
        yield said
    finally:
        log.disabled = was
        log.removeHandler(handler)


class _Listener(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        # The address comes first; of a failure, what will be done next is for a process that stays.
        what = record.args[1] if isinstance(record.args, tuple) and len(record.args) > 1 else None
        if what is None:
            self._said.append(record.getMessage())
        elif record.levelno >= logging.ERROR:
            self._said.append(str(what))
        else:
            self._said.append(f"left out {what}")


def need_transport(error: AuthError) -> None:
    """Where keys could not be had because httpx2 is not installed, say so.

    Raises ConfigurationError.
    """
    if isinstance(error, KeysUnavailable):
        transport.shared()


def origin(source: KeySource) -> str:
    """Where the keys of a source come from."""
    if isinstance(source, KeyFile):
        return str(source.path)
    if isinstance(source, Discovery):
        return f"the discovery document {source.url}"
    if isinstance(source, RemoteKeys):
        return source.url
    if isinstance(source, LocalKeys):
        return "the configuration"
    return f"a {type(source).__name__}"


def named(key: Key) -> str:
    """What tells a key from others, and nothing of its material."""
    return f"{key.kind}, " + ("without a kid" if key.kid is None else f"kid {key.kid}")
