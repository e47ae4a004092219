"""Reading ``[[issuer]]``: its words, its preset, and where its keys are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwtguard.core.errors import ConfigurationError
from jwtguard.core.introspection import Introspection
from jwtguard.core.issuer import Issuer
from jwtguard.core.keyloader import ENCODINGS, KeySource, LocalKeys
from jwtguard.core.keys import KeySet
from jwtguard.core.wording import did_you_mean, one_of
from jwtguard.keyfiles import Discovery, JWKSet, PublicKey, RemoteKeys, Secret
from jwtguard.presets import expand, find

from .schema import (
    FETCHED,
    INTROSPECTION,
    ISSUER,
    KEY_SOURCES,
    PLACES,
    REMOTE,
    SECRETS,
    SOURCE_LIST,
    complaint,
)
from .values import Place, Values, listed, read_toml


class Issuers(Values):
    """The issuers of a configuration, with the places of their words."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self.base = base
        self.issuers: list[Issuer] = []
        # Where in the file each of them stands, and each key source of each of them.
        self.places: dict[str, list[Place]] = {"issuers": [], "rules": []}
        self.sources: list[list[Place]] = []

    def include(self, place: Place, name: object) -> None:
        """The issuers of another file, whose file names are relative to that file."""
        name = self.resolved(place, name)
        if not isinstance(name, str) or not name:
            return self.say(place, f"is the name of a TOML file; found {name!r}")
        path = self.base / name
        try:
            mapping = read_toml(path)
        except ValueError as error:
            return self.say(place, f"{path}: {error}")
        for key in mapping.keys() - {"issuer", "issuers"}:
            self.say(f"{name}:{key}", "an included file brings [[issuer]] tables only")
        for at, table in self.tables("issuers", mapping, f"{name}:"):
            self.issuer(at, table, path.parent)
        return None

    def issuer(self, place: Place, table: Mapping[str, Any], base: Path) -> None:
        if "preset" in table:
            expanded = self._expanded(place, table)
            if expanded is None:
                return
            table = expanded
        words = self.words(ISSUER, place, table)
        if "audience" not in table:
            self.say(
                f"{place}.audience",
                "is missing: the aud value that means this service, so that tokens for others "
                "are refused; audience = false says that it is not checked",
            )
        introspection = self._introspection(place, table, base)
        has_keys = bool(table.keys() & {*FETCHED, *KEY_SOURCES})
        only_introspects = "introspection" in table and not has_keys
        if "algorithms" not in table and not only_introspects:
            self.say(
                f"{place}.algorithms",
                'is missing: the alg values that this issuer signs with, such as ["RS256"]; a '
                "token never chooses for itself",
            )
        sources: list[KeySource] = []
        places: list[Place] = []
        for kind in (key for key in table if key in KEY_SOURCES):
            for at, given in listed(f"{place}.{kind}", table[kind], always_index=False):
                source = self._source(kind, at, given, base)
                if source is not None:
                    sources.append(source)
                    places.append(at)
        for kind in [key for key in table if key in FETCHED][:1]:
            others = [key for key in table if key != kind and key in (*FETCHED, *KEY_SOURCES)]
            if others:
                self.say(
                    f"{place}.{kind}",
                    f"stands beside {' and '.join(others)}; an issuer's keys come from one of "
                    "jwks_uri, discovery and local sources",
                )
            fetched = self._fetched(kind, place, table, base)
            if fetched is not None:
                sources.append(fetched)
                places.append(f"{place}.{kind}")
        if "remote" in table and not table.keys() & {*FETCHED}:
            self.say(
                f"{place}.remote",
                "is about keys that are fetched, and this issuer has none: add jwks_uri or "
                "discovery, or remove it",
            )
        if not has_keys and not only_introspects and "keys" not in table:
            self.say(
                place,
                f"has no key to verify tokens with: add {SOURCE_LIST}, or {INTROSPECTION}",
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
            word: self.resolved(f"{place}.{word}", value)
            if word == "preset" or word in PLACES
            else value
            for word, value in table.items()
        }
        try:
            provider = find(given.pop("preset"))
        except ConfigurationError as error:
            self.say_of(place, error.problems)
            return None
        own_keys = bool(table.keys() & {*FETCHED, *KEY_SOURCES, "keys"})
        words, problems = expand(provider, given, own_keys=own_keys)
        self.say_of(place, problems)
        return words

    def _fetched(
        self, kind: str, place: Place, table: Mapping[str, Any], base: Path
    ) -> RemoteKeys | Discovery | None:
        """The source behind ``jwks_uri`` or ``discovery``; None where there is a problem."""
        at = f"{place}.{kind}"
        before = len(self.problems)
        address = self.resolved(at, table[kind])
        is_set = len(self.problems) == before
        given = table.get("remote", {})
        words: dict[str, Any] = {}
        if isinstance(given, Mapping):
            words = self.words(REMOTE, f"{place}.remote", given)
        else:
            self.say(f"{place}.remote", f"is a table, {REMOTE}; found {given!r}")
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
        self.say(at, f"is true, or the https address of the discovery document; found {address!r}")
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
            self.say(at, f"is a table, {INTROSPECTION}; found {given!r}, which may be its endpoint")
            return None
        before = len(self.problems)
        plain = {key: value for key, value in given.items() if key not in SECRETS}
        words = self.words(INTROSPECTION, at, plain)
        for key in SECRETS:
            if key not in given:
                continue
            words[key] = self.secret_text(f"{at}.{key}", given[key], base)
        if "client_id" not in given:
            self.say(f"{at}.client_id", "is missing: the name of this service at the provider")
        return Introspection(**words) if len(self.problems) == before else None

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
                self.say(f"{place}.{key}", f"is not a key of {kind}{hint}")
        origins = [word for word in ("value", "env", "file") if word in table]
        if len(origins) != 1:
            self.say(place, f"has one of value, env and file; found {len(origins)}")
            return None
        word = origins[0]
        text = (
            self.variable(place, table[word])
            if word == "env"
            else self.resolved(f"{place}.{word}", table[word])
        )
        options = {
            key: self.resolved(f"{place}.{key}", table[key])
            for key in ("encoding", "kid", "insecure_short_keys")
            if key in table and key in known
        }
        if not isinstance(text, str):
            self.say(place, f"is text, not {type(text).__name__}")
        if what := complaint("insecure_short_keys", options.get("insecure_short_keys", False)):
            self.say(f"{place}.insecure_short_keys", what)
        if options.get("encoding", "utf8") not in ENCODINGS:
            self.say(f"{place}.encoding", one_of(options["encoding"], ENCODINGS))
        if kind == "public_key" and word != "file" and "-----BEGIN" not in str(text):
            self.say(
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
