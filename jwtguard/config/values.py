"""Reading tables and values: every problem with its place, in the words that the user wrote."""

import os
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jwtguard.core.errors import Problem

from .schema import PARAMETERS, SECTIONS, TABLES, complaint, unknown

Place = str


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ValueError with what is wrong with the file."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8, which TOML is written in") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"is not TOML: {error}") from None


class FromEnvironment(str):
    """Text from an environment variable: a message that quotes it names the variable instead.

    It may be a secret that somebody put under the wrong word.
    """

    _name: str

    def __new__(cls, value: str, name: str) -> "FromEnvironment":
        text = super().__new__(cls, value)
        text._name = name
        return text

    def __repr__(self) -> str:
        return f"{{env = {self._name!r}}}"


class Values:
    """What is read of a configuration. Problems are collected, and what is good goes on."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.written = {"issuers": "issuer", "rules": "rule"}

    def say(self, place: Place, what: str) -> None:
        """Collect a problem."""
        self.problems.append((place, what))

    def say_of(self, place: Place, problems: Iterable[Problem]) -> None:
        """Say what nobody has said yet of the words of a table."""
        for word, what in problems:
            if not self.is_said(f"{place}.{word}"):
                self.say(f"{place}.{word}", what)

    def is_said(self, place: Place) -> bool:
        """Whether a problem was reported for this place, or for something around it."""
        if place == self.written["issuers"] and self.problems:
            return any("issuer" in said or "include" in said for said, _ in self.problems)
        return any(
            place == said or place.startswith((f"{said}.", f"{said}[")) for said, _ in self.problems
        )

    def tables(
        self, kind: str, mapping: Mapping[str, Any], prefix: str = ""
    ) -> Iterator[tuple[Place, Mapping[str, Any]]]:
        """The tables under ``issuer`` or ``issuers`` (``rule``, ``rules``), with their places."""
        singular = kind[:-1]
        if singular in mapping and kind in mapping:
            self.say(prefix + singular, f"write {singular} or {kind}, not both")
        word = kind if kind in mapping else singular
        if not prefix:
            self.written[kind] = word
        for place, table in listed(prefix + word, mapping.get(word)):
            if isinstance(table, Mapping):
                yield place, table
            else:
                self.say(place, f"is a table, [[{word}]]; found {type(table).__name__}")

    def words(self, section: str, place: Place, table: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters in a table, less those with a problem."""
        words: dict[str, Any] = {}
        for key, value in table.items():
            at = f"{place}.{key}" if place else str(key)
            if key not in SECTIONS[section]:
                self.say(at, unknown(section, key))
            elif key in PARAMETERS[section]:
                if key == "audience" and value is False:
                    value = None
                before = len(self.problems)
                value = self.resolved(at, value, is_table=key in TABLES)
                if what := complaint(key, value):
                    self.say(at, what)
                if len(self.problems) == before:
                    words[key] = value
        return words

    def resolved(self, place: Place, value: Any, *, is_table: bool = False) -> Any:
        """The value with each ``{ env = "X" }`` replaced by what the variable holds."""
        if isinstance(value, Mapping):
            if value.keys() == {"env"} and not is_table:
                return self.variable(place, value["env"])
            return {key: self.resolved(f"{place}.{key}", one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [
                self.resolved(f"{place}[{index}]", one, is_table=is_table)
                for index, one in enumerate(value)
            ]
        return value

    def variable(self, place: Place, name: object) -> str:
        """What an environment variable holds."""
        if not isinstance(name, str) or not name:
            self.say(place, f"env is the name of an environment variable; found {name!r}")
            return ""
        value = os.environ.get(name)
        if value is None:
            self.say(place, f"the environment variable {name} is not set")
            return ""
        return FromEnvironment(value, name)

    def secret_text(self, place: Place, given: object, base: Path) -> str | None:
        """Text that may stand in a variable or in a file of its own."""
        if isinstance(given, Mapping) and given.keys() == {"file"}:
            name: Any = self.resolved(f"{place}.file", given["file"])
            try:
                path: Path = base / name
                if path.stat().st_mode & stat.S_IROTH:
                    self.warnings.append((place, f"others can read {path}; chmod o= {path}"))
                return path.read_text("utf-8").strip()
            except (OSError, TypeError, ValueError) as error:
                why = getattr(error, "strerror", None) or "is not the name of a UTF-8 text file"
                self.say(place, f"{base / str(name)}: {why}")
                return None
        text = given["value"] if isinstance(given, Mapping) and given.keys() == {"value"} else given
        text = self.resolved(place, text)
        if isinstance(text, str):
            return text
        self.say(place, "is text, or one of { env = … }, { file = … } and { value = … }")
        return None


def listed(word: Place, value: object, *, always_index: bool = True) -> Iterable[tuple[Place, Any]]:
    """The entries of a list with their places; one value or table is a list of one."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [(f"{word}[{index}]", one) for index, one in enumerate(value)]
    if value is None:
        return []
    return [(f"{word}[0]" if always_index else word, value)]
