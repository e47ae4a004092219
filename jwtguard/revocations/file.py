"""Revocations in a file: JSON lines, written by hand or by ``jwtguard revoke``."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from jwtguard.core.errors import FetchError, Problem, Unavailable
from jwtguard.core.revocation import MAX_ENTRIES, Entry, RevokeWords

from .following import PAUSE, Following, log
from .lines import entry_in, line_of

if TYPE_CHECKING:
    from jwtguard.core.model import Clock

MAX_FILE = 32 * 1024 * 1024  # bytes


class RevocationFile(Following):
    """What a file says was revoked; it is looked at twice a second and read when it changes.

    A line is a JSON object such as ``{"sub": "alice", "issuer": "people", "before": 1800000000}``.
    Lines are read all over when the file changes, so this is for hundreds of them. One that cannot
    be read is an error at start-up; later, what was known stays and what can be read is added to
    it. What `revoke` is told is appended.

    ``max_age``, ``when_stale``: what happens where the file cannot be read for so many seconds,
    "refuse" (503) or "allow"; unless said, what is known counts. ``max_entries``: how much is
    remembered. ``clock``: seconds since the epoch.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_age: float | None = None,
        when_stale: str | None = None,
        max_entries: int = MAX_ENTRIES,
        clock: "Clock" = time.time,
    ) -> None:
        super().__init__(
            max_age=max_age, when_stale=when_stale, max_entries=max_entries, clock=clock
        )
        if (max_age is None) != (when_stale is None):
            word = "when_stale" if when_stale is None else "max_age"
            self.problems = (*self.problems, (word, "is missing; both go together"))
        self.path = Path(path).absolute()  # a service may change its directory
        self._version: tuple[int, int, int] | None = None
        self._lines: frozenset[bytes] = frozenset()
        self.problems = (*self.problems, *self._begun())

    @property
    def source(self) -> str:
        """What is followed."""
        return str(self.path)

    def _begun(self) -> list[Problem]:
        try:
            wrong = self._read()
        except FetchError as error:
            return [("file", f"{error}; an empty file is one in which nothing is revoked")]
        self.heard()
        return [("file", what) for what in wrong]

    def step(self) -> float:
        """Look at the file, and read it where it changed."""
        try:
            if self._stat() != self._version:
                for what in self._read():
                    log.error("a revocation was not understood: %s", what)
        except FetchError:
            self._version = None
            raise
        self.heard()
        return PAUSE

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = self.path.stat()
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from None
        if status.st_size > MAX_FILE:
            raise FetchError(f"{self.path} has more than {MAX_FILE} bytes")
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _unreadable(self, error: Exception) -> FetchError:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return FetchError(f"{self.path}: {why}")

    def _read(self) -> list[str]:
        """Take the file as it is now; what is wrong with it."""
        self._version = self._stat()
        try:
            text = self.path.read_bytes()
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from None
        lines = [line.strip() for line in text.split(b"\n")]
        now = frozenset(filter(None, lines))
        gone = self._lines - now
        entries, wrong = [], []
        for number, line in enumerate(lines, 1):
            if line and (gone or line not in self._lines):
                try:
                    entries.append(entry_in(line))
                except ValueError as error:
                    wrong.append(f"{self.path}, line {number}: {error}")
        self.add(entries)
        if not wrong:  # else nobody knows what is no longer meant to stand here
            if gone:
                self.discard(map(entry_in, gone))
                self.add(entries)  # a line may say less than the one in whose place it is
            self._lines = now
        return wrong

    def revoke(self, kind: str, value: str, **words: Unpack[RevokeWords]) -> Entry:
        """End tokens, here at once and where the same file is read within a second.

        As `Revocations.revoke`. Raises ValueError; Unavailable where the file could not be
        written, so that only this process knows.
        """
        entry = super().revoke(kind, value, **words)
        self._append([entry])
        return entry

    def _append(self, entries: Iterable[Entry]) -> None:
        text = "".join(f"{line_of(entry)}\n" for entry in entries)
        try:
            # One write at the end: lines of several processes do not mix.
            with self.path.open("ab", buffering=0) as file:
                file.write(self._newline() + text.encode())
        except OSError as error:
            hint = str(self._unreadable(error))
            raise Unavailable("revocation_not_stored", hint=hint) from None

    def _newline(self) -> bytes:
        """What an editor may have left out at the end of the last line."""
        with self.path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return b""
            file.seek(-1, os.SEEK_END)
            return b"" if file.read(1) == b"\n" else b"\n"
