"""A Guard from a TOML file, a mapping, or an environment variable.

The schema is the Python parameters of `Guard`, `Issuer` and `Rule`, by the same names; only an
issuer's ``keys`` are spelled out (``jwks_uri``, ``discovery``, ``jwks_file``, ``public_key``,
``public_key_file``, ``secret``), because a file cannot hold objects. Nothing is ever passed over:
an unknown word is a problem, and all problems are reported at once, each with its place in the
words that the user wrote.
"""

import importlib
import inspect
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from .core import remote
from .core.errors import ConfigurationError, Problem
from .core.introspection import Introspection
from .core.issuer import Issuer
from .core.keyloader import ENCODINGS, KeySource, LocalKeys, SeveralSources
from .core.keys import KeySet
from .core.policy import Rule
from .core.requirement import Requirement
from .core.wording import as_list, did_you_mean, one_of
from .guard import Guard
from .keyfiles import Discovery, JWKSet, KeyFile, PublicKey, RemoteKeys, Secret
from .lastknown import Origin, is_open_to_others
from .presets import PROVIDERS, expand, find

Place = str
Target = Guard | Mapping[str, Any] | str | os.PathLike[str]

VARIABLE = "JWTGUARD_CONFIG"


def from_toml(path: str | os.PathLike[str]) -> Guard:
    """The Guard that a TOML file describes; file names in it are relative to it.

    Raises `errors.ConfigurationError` with every problem at once.
    """
    try:
        mapping = _read_toml(Path(path))
    except ValueError as error:
        raise ConfigurationError([(str(path), str(error))]) from None
    return from_mapping(mapping, Path(path).parent)


def from_mapping(mapping: Mapping[str, Any], base: str | os.PathLike[str] = ".") -> Guard:
    """The Guard that a mapping of the same schema describes; *base* is where its files are.

    Raises `errors.ConfigurationError` with every problem at once.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(f"a configuration is a mapping, not {type(mapping).__name__}")
    return _Reading(Path(base)).guard(mapping)


def from_environment() -> Guard:
    """The Guard that the environment variable ``JWTGUARD_CONFIG`` names (see `load`).

    Raises `errors.ConfigurationError`, also where it is not set: there is no such thing as no
    guard.
    """
    target = os.environ.get(VARIABLE)
    if not target:
        raise ConfigurationError(
            [(VARIABLE, "is not set; it names a file or module:guard, such as jwtguard.toml")]
        )
    return load(target)


def load(target: Target | None) -> Guard:
    """The Guard that *target* is or names: a Guard, a mapping, a file, or ``module:guard``.

    Raises `errors.ConfigurationError`.
    """
    if isinstance(target, Guard):
        return target
    if isinstance(target, Mapping):
        return from_mapping(target)
    if isinstance(target, str) and _names_attribute(target) and not Path(target).exists():
        return _imported(target)
    if isinstance(target, str | os.PathLike) and str(target):
        return from_toml(target)
    raise ConfigurationError(
        f"{target!r} names no guard: give a Guard, a mapping, a file or 'module:guard'"
    )


_names_attribute = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*").fullmatch


def _imported(target: str) -> Guard:
    module, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever a module of the user's may raise
        raise ConfigurationError(
            [(target, f"importing {module} failed: {type(error).__name__}: {error}")]
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            hint = did_you_mean(name, vars(found) if hasattr(found, "__dict__") else ())
            raise ConfigurationError([(target, f"{name!r} is not there{hint}")])
        found = getattr(found, name)
    if not isinstance(found, Guard | Mapping):
        raise ConfigurationError(
            [(target, f"is neither a Guard nor a mapping, but {type(found).__name__}")]
        )
    return load(found)


def _read_toml(path: Path) -> dict[str, Any]:
    """Raises ValueError with what is wrong with the file."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8, which TOML is written in") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"is not TOML: {error}") from None


# --- the schema ---------------------------------------------------------------------------------

KEY_SOURCES = ("jwks_file", "public_key", "public_key_file", "secret")
FETCHED = ("jwks_uri", "discovery")


def _parameters(of: type, *left_out: str) -> tuple[str, ...]:
    return tuple(
        name
        for name, parameter in inspect.signature(of).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in left_out
    )


GUARD_KEYS = _parameters(Guard, "issuers", "rules", "clock", "error_body")
ISSUER_KEYS = _parameters(Issuer, "keys", "introspection")
INTROSPECTION_KEYS = _parameters(Introspection, "clock")
REMOTE_KEYS = (*_parameters(remote.RemoteKeys, "jwks_uri", "clock", "jitter"), "cache_file")
RULE_KEYS = (*_parameters(Rule), *_parameters(Requirement, "check"))

_TOP, _ISSUER, _RULE = "the top of the file", "[[issuer]]", "[[rule]]"
_REMOTE = "[issuer.remote]"
_INTROSPECTION = "[issuer.introspection]"
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    _TOP: GUARD_KEYS,
    _ISSUER: ISSUER_KEYS,
    _REMOTE: REMOTE_KEYS,
    _INTROSPECTION: INTROSPECTION_KEYS,
    _RULE: RULE_KEYS,
}
_SECTIONS: Mapping[str, tuple[str, ...]] = {
    _TOP: (*GUARD_KEYS, "include", "issuer", "issuers", "rule", "rules"),
    _ISSUER: (*ISSUER_KEYS, *FETCHED, *KEY_SOURCES, "remote", "introspection", "preset"),
    _REMOTE: REMOTE_KEYS,
    _INTROSPECTION: INTROSPECTION_KEYS,
    _RULE: RULE_KEYS,
}
_SOURCE_LIST = ", ".join((*FETCHED, *KEY_SOURCES[:-1])) + " or " + KEY_SOURCES[-1]

_IN_CODE = "is code, which a file cannot hold; make the Guard in Python for it"

# The places that presets have, and whose they are.
_PLACES: Mapping[str, list[str]] = {
    place: [name for name, provider in PROVIDERS.items() if place in provider.places]
    for provider in PROVIDERS.values()
    for place in provider.places
}

# Words that somebody may well write, and what to write instead.
_ELSEWHERE: Mapping[tuple[str, str], str] = {
    (_TOP, "clock"): _IN_CODE,
    (_TOP, "error_body"): _IN_CODE,
    (_RULE, "check"): _IN_CODE,
    (_ISSUER, "keys"): f"is written by where the keys are: {_SOURCE_LIST}",
    (_ISSUER, "insecure_short_keys"): "stands with the key it is for, as in "
    'secret = { value = "…", insecure_short_keys = true }',
    **{
        (_ISSUER, place): f"belongs to preset = {' or '.join(map(repr, names))}"
        for place, names in _PLACES.items()
        if place not in GUARD_KEYS  # realm: most likely it is the guard's
    },
}

_SECRETS = ("client_secret", "private_key")
_LISTS = frozenset(
    {
        *("audience", "algorithms", "required_claims", "roles", "tenants"),
        *("path", "methods", "issuers", "scopes", "any_scope", "any_role", "origins"),
    }
)
_SWITCHES = frozenset(
    {"strip_credentials", "any_iss", "opaque_tail", "insecure_short_keys", "insecure_http"}
)
# Their names are the user's, so that { env = … } in their place is an entry called "env".
_TABLES = frozenset({"forward", "response_headers", "require"})


def _complaint(key: str, value: object) -> str | None:
    """What is wrong with the type of a value, where the classes would take it amiss."""
    if key in _LISTS and not all(isinstance(one, str) for one in as_list(value)):
        return f"is text or a list of text; found {value!r}"
    if key in _SWITCHES and not isinstance(value, bool):
        return f"is true or false; found {value!r}"
    if key == "forward" and not isinstance(value, Mapping | None):
        return f"is a table, request header -> claim; found {value!r}"
    return None


def _unknown(section: str, key: object) -> str:
    known = _SECTIONS[section]
    if (section, key) in _ELSEWHERE:
        return _ELSEWHERE[section, str(key)]
    if section != _TOP and key in GUARD_KEYS:
        return f"belongs to {_TOP}, above the first [table]"
    for other, keys in _SECTIONS.items():
        if other not in (_TOP, section) and key in keys:
            return f"is a key of {other}, not of {section}"
    hint = did_you_mean(key, known) or f"; known are {', '.join(known)}"
    return f"is not a key of {section}{hint}"


# --- reading ------------------------------------------------------------------------------------


class _FromEnvironment(str):
    """Text from an environment variable: a message that quotes it names the variable instead.

    It may be a secret that somebody put under the wrong word.
    """

    _name: str

    def __new__(cls, value: str, name: str) -> "_FromEnvironment":
        text = super().__new__(cls, value)
        text._name = name
        return text

    def __repr__(self) -> str:
        return f"{{env = {self._name!r}}}"


class _Reading:
    """A mapping on its way to a Guard. Problems are collected; what is good goes on, so that the
    Guard's own complaints come in the same breath."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.problems: list[Problem] = []
        self.issuers: list[Issuer] = []
        self.rules: list[Rule] = []
        # Where in the file each of them stands, and each key source of each issuer.
        self.places: dict[str, list[Place]] = {"issuers": [], "rules": []}
        self.sources: list[list[Place]] = []
        self.written = {"issuers": "issuer", "rules": "rule"}

    def guard(self, mapping: Mapping[str, Any]) -> Guard:
        """Raises ConfigurationError with all problems."""
        for place, table in self._tables("issuers", mapping):
            self._issuer(place, table, self.base)
        for place, name in _listed("include", mapping.get("include")):
            self._include(place, name)
        for place, table in self._tables("rules", mapping):
            self._rule(place, table)
        words = self._words(_TOP, "", mapping)
        guard: Guard | None
        try:
            guard = Guard(self.issuers, self.rules, **words)
        except ConfigurationError as error:
            found = [self._in_file_words(problem) for problem in error.problems]
            self.problems += [problem for problem in found if not self._is_said(problem[0])]
            guard = None
        if guard is None or self.problems:
            raise ConfigurationError(sorted(self.problems, key=self._order)) from None
        warnings = (*guard.warnings, *key_file_warnings(guard))
        guard.warnings = tuple(self._in_file_words(warning) for warning in warnings)
        _readings[guard] = self
        return guard

    def _say(self, place: Place, what: str) -> None:
        self.problems.append((place, what))

    def _say_of(self, place: Place, problems: Iterable[Problem]) -> None:
        """Say what nobody has said yet of the words of a table."""
        for word, what in problems:
            if not self._is_said(f"{place}.{word}"):
                self._say(f"{place}.{word}", what)

    def _tables(
        self, kind: str, mapping: Mapping[str, Any], prefix: str = ""
    ) -> Iterator[tuple[Place, Mapping[str, Any]]]:
        """The tables under ``issuer`` or ``issuers`` (``rule``, ``rules``), with their places."""
        singular = kind[:-1]
        if singular in mapping and kind in mapping:
            self._say(prefix + singular, f"write {singular} or {kind}, not both")
        word = kind if kind in mapping else singular
        if not prefix:
            self.written[kind] = word
        for place, table in _listed(prefix + word, mapping.get(word)):
            if isinstance(table, Mapping):
                yield place, table
            else:
                self._say(place, f"is a table, [[{word}]]; found {type(table).__name__}")

    def _words(self, section: str, place: Place, table: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters in a table, less those with a problem."""
        words: dict[str, Any] = {}
        for key, value in table.items():
            at = f"{place}.{key}" if place else str(key)
            if key not in _SECTIONS[section]:
                self._say(at, _unknown(section, key))
            elif key in _PARAMETERS[section]:
                if key == "audience" and value is False:
                    value = None
                before = len(self.problems)
                value = self._resolved(at, value, is_table=key in _TABLES)
                if what := _complaint(key, value):
                    self._say(at, what)
                if len(self.problems) == before:
                    words[key] = value
        return words

    def _resolved(self, place: Place, value: Any, *, is_table: bool = False) -> Any:
        """The value with each ``{ env = "X" }`` replaced by what the variable holds."""
        if isinstance(value, Mapping):
            if value.keys() == {"env"} and not is_table:
                return self._variable(place, value["env"])
            return {key: self._resolved(f"{place}.{key}", one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [
                self._resolved(f"{place}[{index}]", one, is_table=is_table)
                for index, one in enumerate(value)
            ]
        return value

    def _variable(self, place: Place, name: object) -> str:
        if not isinstance(name, str) or not name:
            self._say(place, f"env is the name of an environment variable; found {name!r}")
            return ""
        value = os.environ.get(name)
        if value is None:
            self._say(place, f"the environment variable {name} is not set")
            return ""
        return _FromEnvironment(value, name)

    # --- issuers ---

    def _include(self, place: Place, name: object) -> None:
        """The issuers of another file, whose file names are relative to that file."""
        name = self._resolved(place, name)
        if not isinstance(name, str) or not name:
            return self._say(place, f"is the name of a TOML file; found {name!r}")
        path = self.base / name
        try:
            mapping = _read_toml(path)
        except ValueError as error:
            return self._say(place, f"{path}: {error}")
        for key in mapping.keys() - {"issuer", "issuers"}:
            self._say(f"{name}:{key}", "an included file brings [[issuer]] tables only")
        for at, table in self._tables("issuers", mapping, f"{name}:"):
            self._issuer(at, table, path.parent)
        return None

    def _issuer(self, place: Place, table: Mapping[str, Any], base: Path) -> None:
        if "preset" in table:
            expanded = self._expanded(place, table)
            if expanded is None:
                return
            table = expanded
        words = self._words(_ISSUER, place, table)
        if "audience" not in table:
            self._say(
                f"{place}.audience",
                "is missing: the aud value that means this service, so that tokens for others "
                "are refused; audience = false says that it is not checked",
            )
        introspection = self._introspection(place, table, base)
        has_keys = bool(table.keys() & {*FETCHED, *KEY_SOURCES})
        only_introspects = "introspection" in table and not has_keys
        if "algorithms" not in table and not only_introspects:
            self._say(
                f"{place}.algorithms",
                'is missing: the alg values that this issuer signs with, such as ["RS256"]; a '
                "token never chooses for itself",
            )
        sources: list[KeySource] = []
        places: list[Place] = []
        for kind in (key for key in table if key in KEY_SOURCES):
            for at, given in _listed(f"{place}.{kind}", table[kind], always_index=False):
                source = self._source(kind, at, given, base)
                if source is not None:
                    sources.append(source)
                    places.append(at)
        for kind in [key for key in table if key in FETCHED][:1]:
            others = [key for key in table if key != kind and key in (*FETCHED, *KEY_SOURCES)]
            if others:
                self._say(
                    f"{place}.{kind}",
                    f"stands beside {' and '.join(others)}; an issuer's keys come from one of "
                    "jwks_uri, discovery and local sources",
                )
            fetched = self._fetched(kind, place, table, base)
            if fetched is not None:
                sources.append(fetched)
                places.append(f"{place}.{kind}")
        if "remote" in table and not table.keys() & {*FETCHED}:
            self._say(
                f"{place}.remote",
                "is about keys that are fetched, and this issuer has none: add jwks_uri or "
                "discovery, or remove it",
            )
        if not has_keys and not only_introspects and "keys" not in table:
            self._say(
                place,
                f"has no key to verify tokens with: add {_SOURCE_LIST}, or {_INTROSPECTION}",
            )
        algorithms = () if only_introspects else ["RS256"]
        issuer = Issuer(
            **{"audience": None, "algorithms": algorithms, **words},
            keys=None if only_introspects else sources or LocalKeys(KeySet()),
            introspection=introspection,
        )
        if not sources:  # said above, or the source's own place says it
            issuer.problems = [p for p in issuer.problems if not p[0].startswith("keys")]
        self.issuers.append(issuer)
        self.places["issuers"].append(place)
        self.sources.append(places)

    def _expanded(self, place: Place, table: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The table with what its preset says; None where there is no such preset."""
        given = {
            word: self._resolved(f"{place}.{word}", value)
            if word == "preset" or word in _PLACES
            else value
            for word, value in table.items()
        }
        try:
            provider = find(given.pop("preset"))
        except ConfigurationError as error:
            self._say_of(place, error.problems)
            return None
        own_keys = bool(table.keys() & {*FETCHED, *KEY_SOURCES, "keys"})
        words, problems = expand(provider, given, own_keys=own_keys)
        self._say_of(place, problems)
        return words

    def _fetched(
        self, kind: str, place: Place, table: Mapping[str, Any], base: Path
    ) -> RemoteKeys | Discovery | None:
        """The source behind ``jwks_uri`` or ``discovery``; None where there is a problem."""
        at = f"{place}.{kind}"
        before = len(self.problems)
        address = self._resolved(at, table[kind])
        is_set = len(self.problems) == before
        given = table.get("remote", {})
        words: dict[str, Any] = {}
        if isinstance(given, Mapping):
            words = self._words(_REMOTE, f"{place}.remote", given)
        else:
            self._say(f"{place}.remote", f"is a table, {_REMOTE}; found {given!r}")
        file = words.get("cache_file")
        if isinstance(file, str) and file:
            words["cache_file"] = base / file
        if not is_set:
            return None
        if kind == "jwks_uri":
            return RemoteKeys(address, **words)
        if address is True:
            return Discovery(**words)
        if isinstance(address, str):
            return Discovery(address, **words)
        self._say(at, f"is true, or the https address of the discovery document; found {address!r}")
        return None

    def _introspection(
        self, place: Place, table: Mapping[str, Any], base: Path
    ) -> Introspection | None:
        """What ``[issuer.introspection]`` says; None where there is a problem."""
        given = table.get("introspection")
        if given is None:
            return None
        at = f"{place}.introspection"
        if not isinstance(given, Mapping):
            self._say(
                at, f"is a table, {_INTROSPECTION}; found {given!r}, which may be its endpoint"
            )
            return None
        before = len(self.problems)
        plain = {key: value for key, value in given.items() if key not in _SECRETS}
        words = self._words(_INTROSPECTION, at, plain)
        for key in _SECRETS:
            if key not in given:
                continue
            words[key] = self._secret_text(f"{at}.{key}", given[key], base)
        if "client_id" not in given:
            self._say(f"{at}.client_id", "is missing: the name of this service at the provider")
        return Introspection(**words) if len(self.problems) == before else None

    def _secret_text(self, place: Place, given: object, base: Path) -> str | None:
        """Text that may stand in a variable or in a file of its own."""
        if isinstance(given, Mapping) and given.keys() == {"file"}:
            name: Any = self._resolved(f"{place}.file", given["file"])
            try:
                path: Path = base / name
                return path.read_text("utf-8").strip()
            except (OSError, TypeError, ValueError) as error:
                why = getattr(error, "strerror", None) or "is not the name of a UTF-8 text file"
                self._say(place, f"{base / str(name)}: {why}")
                return None
        text = given["value"] if isinstance(given, Mapping) and given.keys() == {"value"} else given
        text = self._resolved(place, text)
        if isinstance(text, str):
            return text
        self._say(place, "is text, or one of { env = … }, { file = … } and { value = … }")
        return None

    def _source(self, kind: str, place: Place, given: object, base: Path) -> KeySource | None:
        """One key source, from a value or a table; None where there is a problem."""
        is_file = kind.endswith("_file")
        table = given if isinstance(given, Mapping) else {"file" if is_file else "value": given}
        known = {"value", "env", "file", "insecure_short_keys"}
        known |= {"secret": {"encoding", "kid"}, "jwks_file": set()}.get(kind, {"kid"})
        before = len(self.problems)
        for key in table:
            if key not in known:
                hint = did_you_mean(key, known) or f"; known are {', '.join(sorted(known))}"
                self._say(f"{place}.{key}", f"is not a key of {kind}{hint}")
        origins = [word for word in ("value", "env", "file") if word in table]
        if len(origins) != 1:
            self._say(place, f"has one of value, env and file; found {len(origins)}")
            return None
        word = origins[0]
        text = (
            self._variable(place, table[word])
            if word == "env"
            else self._resolved(f"{place}.{word}", table[word])
        )
        options = {
            key: self._resolved(f"{place}.{key}", table[key])
            for key in ("encoding", "kid", "insecure_short_keys")
            if key in table and key in known
        }
        if not isinstance(text, str):
            self._say(place, f"is text, not {type(text).__name__}")
        if what := _complaint("insecure_short_keys", options.get("insecure_short_keys", False)):
            self._say(f"{place}.insecure_short_keys", what)
        if options.get("encoding", "utf8") not in ENCODINGS:
            self._say(f"{place}.encoding", one_of(options["encoding"], ENCODINGS))
        if kind == "public_key" and word != "file" and "-----BEGIN" not in str(text):
            self._say(
                place,
                "is PEM text (-----BEGIN PUBLIC KEY-----); for a file of it, write public_key_file",
            )
        if len(self.problems) > before:
            return None
        if is_file or word == "file":
            load = {"secret": Secret.from_file, "jwks_file": JWKSet.from_file}.get(
                kind, PublicKey.from_file
            )
            return load(base / text, **options)
        return (Secret if kind == "secret" else PublicKey.from_pem)(text, **options)

    # --- rules ---

    def _rule(self, place: Place, table: Mapping[str, Any]) -> None:
        words = self._words(_RULE, place, table)
        if "path" not in table:
            self._say(
                f"{place}.path",
                "is missing: the pattern or list of patterns that this rule is for, such as "
                '"/admin/**"',
            )
        self.rules.append(Rule(**{"path": (), **words}))
        self.places["rules"].append(place)

    # --- the Guard's own words ---

    def _order(self, problem: Problem) -> int:
        """As a reader goes through the file: its top, then table by table."""
        tables = [*self.places["issuers"], *self.places["rules"]]
        return next((i for i, place in enumerate(tables, 1) if problem[0].startswith(place)), 0)

    def _is_said(self, place: Place) -> bool:
        """Whether a problem was reported for this place, or for something around it."""
        if place == self.written["issuers"] and self.problems:
            return any("issuer" in said or "include" in said for said, _ in self.problems)
        return any(
            place == said or place.startswith((f"{said}.", f"{said}[")) for said, _ in self.problems
        )

    def _in_file_words(self, problem: Problem) -> Problem:
        """A problem whose places are those in the file."""
        where, what = problem
        return self._place(where), _indexed.sub(lambda match: self._place(match[0]), what)

    def _place(self, where: str) -> Place:
        match = _guard_place(where)
        if match is None:
            return where
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


_readings: WeakKeyDictionary[Guard, _Reading] = WeakKeyDictionary()


def in_words_of(guard: Guard, problem: Problem) -> Problem:
    """A problem found later, placed as in the file or mapping that *guard* was read from."""
    reading = _readings.get(guard)
    return problem if reading is None else reading._in_file_words(problem)


_guard_place = re.compile(r"(issuers|rules)(?:\[(\d+)\])?(.*)", re.DOTALL).fullmatch
_keys_place = re.compile(r"\.keys(?:\[(\d+)\])?(?:\.(\w+))?").fullmatch
_indexed = re.compile(r"\b(?:issuers|rules)\[\d+\]")


def _listed(
    word: Place, value: object, *, always_index: bool = True
) -> Iterable[tuple[Place, Any]]:
    """The entries of a list with their places; one value or table is a list of one."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [(f"{word}[{index}]", one) for index, one in enumerate(value)]
    if value is None:
        return []
    return [(f"{word}[0]" if always_index else word, value)]


# --- warnings -----------------------------------------------------------------------------------


def key_sources(guard: Guard) -> Iterator[tuple[Place, Issuer, KeySource]]:
    """Every key source with its place; those of tenants have that of what they were made of."""
    for index, issuer in enumerate(guard.issuers):
        given = len(issuer.source.sources) if isinstance(issuer.source, SeveralSources) else 1
        for at, source in enumerate(issuer.sources):
            yield f"issuers[{index}].keys" + (f"[{at % given}]" * (given > 1)), issuer, source


def key_file_warnings(guard: Guard) -> list[Problem]:
    """Key files that others can read or write where they must not, or that keep nothing."""
    warnings: list[Problem] = []
    kept: dict[Path, Origin] = {}
    for place, _, source in key_sources(guard):
        if isinstance(source, KeyFile) and _is_exposed(source):
            what = (
                f"{source.path} holds a secret or private key and others can read it; "
                f"chmod o= {source.path}"
            )
            warnings.append((place, what))
        elif isinstance(source, RemoteKeys | Discovery) and source.cache_file is not None:
            other = kept.setdefault(source.cache_file, source.origin)
            found = _cache_file_warnings(source.cache_file, other == source.origin)
            warnings += ((f"{place}.cache_file", what) for what in found)
    return warnings


def _cache_file_warnings(file: Path, is_own: bool) -> Iterator[str]:
    if not is_own:
        yield f"{file} is another issuer's too, and keeps the keys of one; name a file for each"
    if not file.parent.is_dir():
        yield f"{file.parent} is no directory, so that no keys are kept"
    if is_open_to_others(file):
        yield (
            f"{file} is not believed: others may write it, and so have tokens of their own "
            f"accepted; chmod go-w {file}"
        )


def _is_exposed(file: KeyFile) -> bool:
    try:
        if not file.path.stat().st_mode & stat.S_IROTH:
            return False
        data = file.path.read_bytes()
    except OSError:
        return False
    return (
        any(key.kind == "oct" for key in file.current().keys)
        or b"PRIVATE KEY-----" in data
        or _has_private_jwk(data)
    )


def _has_private_jwk(data: bytes) -> bool:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    keys = found.get("keys", [found]) if isinstance(found, Mapping) else []
    return any(isinstance(key, Mapping) and "d" in key for key in as_list(keys))
