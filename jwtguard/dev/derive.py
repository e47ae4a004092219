"""A configuration for development out of a real one: the same but for the keys."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jwtguard.config.schema import FETCHED, KEY_SOURCES
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.wording import as_list

from .keys import HMAC_FILE, JWKS_FILE, key_id, write

_KEYS = frozenset({*FETCHED, *KEY_SOURCES, "remote"})


def derive(file: Path, into: Path) -> list[str]:
    """Write the configuration; what is different in it besides the keys, as lines for people.

    Raises ConfigurationError for a file that cannot be read. What is wrong inside of it is found
    when the result is loaded.
    """
    table = _read(file)
    notes: list[str] = []
    word = "issuers" if "issuers" in table else "issuer"
    issuers = _listed(table.pop(word, None))
    for name in _listed(table.pop("include", None)):
        issuers += _included(file.parent / _text(name))
    table[word] = [_with_dev_keys(one, notes) for one in issuers]
    if table.pop("require_https", False):
        notes.append("note: require_https is left out, as development is plain http")
    for rule in (*_listed(table.get("rule")), *_listed(table.get("rules"))):
        if isinstance(rule, dict) and rule.pop("https", False):
            notes.append(f"note: https of the rule for {rule.get('path')} is left out")
    write(into, "".join(_lines(table)).encode())
    return notes


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}; dev takes a TOML file"
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError, too
        why = f"is not TOML: {error}"
    raise ConfigurationError([(str(file), why)])


def _listed(value: object) -> list[Any]:
    return [] if value is None else [*as_list(value)]


def _text(value: object) -> str:
    """Text, or what an environment variable holds."""
    if isinstance(value, Mapping) and value.keys() == {"env"}:
        value = os.environ.get(str(value["env"]))
    if not isinstance(value, str) or not value:
        raise ConfigurationError([("include", f"is the name of a TOML file; found {value!r}")])
    return value


def _included(file: Path) -> list[Any]:
    table = _read(file)
    for key in table.keys() - {"issuer", "issuers"}:
        raise ConfigurationError([(f"{file}:{key}", "an included file brings [[issuer]] only")])
    return [one for tables in table.values() for one in _listed(tables)]


def _with_dev_keys(table: Any, notes: list[str]) -> Any:
    if not isinstance(table, Mapping):
        return table  # which loading complains of
    own_keys = table.keys() & {*FETCHED, *KEY_SOURCES} or "preset" in table
    derived = {key: value for key, value in table.items() if key not in _KEYS}
    names = [str(name) for name in _listed(table.get("algorithms"))]
    if any(name.startswith("HS") for name in names):
        derived["secret"] = {"file": HMAC_FILE, "encoding": "base64url", "kid": key_id("oct")}
    if not names or not all(name.startswith("HS") for name in names):
        derived["jwks_file"] = JWKS_FILE
    if derived.pop("introspection", None) is not None:
        name = table.get("name") or table.get("issuer")
        notes.append(
            f"note: introspection of {name} is left out: its tokens are JWTs here, judged by their "
            "signature"
        )
        if not own_keys:
            derived.setdefault("algorithms", ["ES256"])
    return derived


# --- TOML ---------------------------------------------------------------------------------------


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    """One for each key, and one for each table in a list; what is in those stands in braces."""
    for key, value in table.items():
        if isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            rows = "".join(f"  {_value(one)},\n" for one in value)
            yield f"{_key(key)} = [\n{rows}]\n"
        else:
            yield f"{_key(key)} = {_value(value)}\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)  # numbers; dates and times are written as they are read


_is_bare = re.compile(r"[A-Za-z0-9_-]+").fullmatch


def _key(text: str) -> str:
    return text if _is_bare(text) else _quoted(text)


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are among its own, but for DEL, which it wants too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
