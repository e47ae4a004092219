"""A mapping on its way to a Guard, and the Guard's complaints in the words of the mapping."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from jwtguard.core.errors import ConfigurationError, Problem
from jwtguard.core.policy import Rule
from jwtguard.guard import Guard
from jwtguard.observe import by_name
from jwtguard.serve.settings import Settings

from .files import key_file_warnings
from .issuers import Issuers
from .login import read_login
from .ratestore import read_rate_store
from .schema import REMOTE_KEYS, RULE, TOP
from .serving import server
from .sharing import revocations, store
from .values import Place, listed


class Reading(Issuers):
    """What is good goes on, so that the Guard's own complaints come in the same breath."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.rules: list[Rule] = []
        self.settings: Settings | None = None

    def guard(self, mapping: Mapping[str, Any]) -> Guard:
        """Raises ConfigurationError with all problems."""
        for place, table in self.tables("issuers", mapping):
            self.issuer(place, table, self.base)
        for place, name in listed("include", mapping.get("include")):
            self.include(place, name)
        for place, table in self.tables("rules", mapping):
            self._rule(place, table)
        self.settings = server(self, mapping, self.base)
        login = mapping.get("login")
        is_table = isinstance(login, Mapping) and login.keys() != {"env"}
        plain = {k: v for k, v in mapping.items() if not (k == "login" and is_table)}
        words = self.words(TOP, "", plain)
        if isinstance(login, Mapping) and is_table:
            words["login"] = read_login(self, login, self.base)
        words["revocations"] = revocations(self, mapping, self.base)
        words["store"] = store(self, mapping, self.base)
        words["rate_store"] = read_rate_store(self, mapping.get("rate_store"), self.base)
        if "observer" in words:
            words["observer"] = self._observers(words["observer"])
        guard: Guard | None
        try:
            guard = Guard(self.issuers, self.rules, **words)
        except ConfigurationError as error:
            found = [self.in_file_words(problem) for problem in error.problems]
            self.problems += [problem for problem in found if not self.is_said(problem[0])]
            guard = None
        if guard is None or self.problems:
            raise ConfigurationError(sorted(self.problems, key=self._order)) from None
        warnings = (*guard.warnings, *key_file_warnings(guard), *self.warnings)
        guard.warnings = tuple(self.in_file_words(warning) for warning in warnings)
        for observer in words.get("observer", ()):  # nobody else could introduce them
            watch = getattr(observer, "watch_revocations", None)
            if watch is not None and guard.revocations is not None:
                watch(guard.revocations)
        _readings[guard] = self
        return guard

    def _observers(self, given: object) -> list[object]:
        """A file names its observers; a mapping in Python may hold some of its own."""
        found: list[object] = []
        for place, one in listed("observer", given, always_index=False):
            try:
                found.append(by_name(one) if isinstance(one, str) else one)
            except ConfigurationError as error:
                self.say(place, str(error))
        return found

    def _rule(self, place: Place, table: Mapping[str, Any]) -> None:
        words = self.words(RULE, place, table)
        if "path" not in table:
            self.say(
                f"{place}.path",
                "is missing: the pattern or list of patterns that this rule is for, such as "
                '"/admin/**"',
            )
        complete: dict[str, Any] = {"path": (), **words}
        self.rules.append(Rule(**complete))
        self.places["rules"].append(place)

    def _order(self, problem: Problem) -> int:
        """As a reader goes through the file: its top, then table by table."""
        tables = [*self.places["issuers"], *self.places["rules"]]
        return next((i for i, place in enumerate(tables, 1) if problem[0].startswith(place)), 0)

    def in_file_words(self, problem: Problem) -> Problem:
        """A problem whose places are those in the file."""
        where, what = problem
        return self._place(where), _indexed.sub(lambda match: self._place(match[0]), what)

    def _place(self, where: str) -> Place:
        match = _guard_place(where)
        if match is None:
            return re.sub(r"^revocations\b", "revocation", where)
        kind, index, rest = match[1], match[2], match[3]
        if index is None:
            return self.written[kind] + rest
        place = self.places[kind][int(index)]
        if kind == "issuers" and rest.startswith(".keys") and not self.sources[int(index)]:
            return place
        if kind == "issuers" and (keys := _keys_place(rest)):
            source = self.sources[int(index)][int(keys[1] or 0)]
            if keys[2] in REMOTE_KEYS:
                return f"{place}.remote.{keys[2]}"
            return f"{source}.kid" if keys[2] == "kid" else source
        return place + rest


_readings: WeakKeyDictionary[Guard, Reading] = WeakKeyDictionary()


def in_words_of(guard: Guard, problem: Problem) -> Problem:
    """A problem found later, placed as in the file or mapping that *guard* was read from."""
    reading = _readings.get(guard)
    return problem if reading is None else reading.in_file_words(problem)


_guard_place = re.compile(r"(issuers|rules)(?:\[(\d+)\])?(.*)", re.DOTALL).fullmatch
_keys_place = re.compile(r"\.keys(?:\[(\d+)\])?(?:\.(\w+))?").fullmatch
_indexed = re.compile(r"\b(?:issuers|rules)\[\d+\]")
