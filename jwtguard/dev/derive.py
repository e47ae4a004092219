"""A configuration for development out of a real one: the same but for the keys."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from jwtguard.config import from_mapping
from jwtguard.config.schema import FETCHED, KEY_SOURCES, SECRETS
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.issuer import Issuer
from jwtguard.core.wording import as_list

from .keys import HMAC_FILE, JWKS_FILE, key_id, write
from .signing_in import DISCOVERY, OWN

_KEYS = frozenset({*FETCHED, *KEY_SOURCES, "remote"})
_OF_THE_CLIENT = frozenset({*SECRETS, "method", "secret"})


PUBLIC_URL = "http://localhost:8000"
"""Where the command listens, if nobody says."""


def derive(file: Path, into: Path, address: str, public_url: str | None = None) -> list[str]:
    """Write the configuration; what is different in it besides the keys, as lines for people.

    *address* is the issuer's of this run, *public_url* the one to write instead of the file's.
    Raises ConfigurationError for a file that cannot be read. What is wrong inside of it is found
    when the result is loaded.
    """
    table = _read(file)
    notes: list[str] = []
    word = "issuers" if "issuers" in table else "issuer"
    issuers = _listed(table.pop(word, None))
    for name in _listed(table.pop("include", None)):
        issuers += _included(file.parent / _text(name))
    issuers = [_with_dev_keys(one, notes) for one in issuers]
    if table.pop("require_https", False):
        notes.append("note: require_https is left out, as development is plain http")
    for rule in (*_listed(table.get("rule")), *_listed(table.get("rules"))):
        if isinstance(rule, dict) and rule.pop("https", False):
            notes.append(f"note: https of the rule for {rule.get('path')} is left out")
    for name in ("revocation", "store", "rate_store"):
        if table.pop(name, None) is not None:
            notes.append(f"note: [{name}] is left out: nothing outlives this run")
    login = table.get("login")
    if isinstance(login, Mapping) and login.keys() != {"env"}:  # and not a path
        table["login"] = _dev_login(login, word, issuers, into.parent, address, notes)
        public_url = public_url or _other_public_url(table.get("public_url"), notes)
    if public_url is not None:
        table["public_url"] = public_url
    if issuers:
        table[word] = issuers
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


def _resolved(value: object) -> object:
    """The value, or what an environment variable holds."""
    if isinstance(value, Mapping) and value.keys() == {"env"}:
        return os.environ.get(str(value["env"]))
    return value


def _text(value: object) -> str:
    value = _resolved(value)
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


# --- sign-in ------------------------------------------------------------------------------------


def _dev_login(
    table: Mapping[str, Any],
    word: str,
    issuers: list[Any],
    base: Path,
    address: str,
    notes: list[str],
) -> dict[str, Any]:
    """``[login]`` as a client of this run's provider, which is at *address*."""
    login = {key: value for key, value in table.items() if key not in _OF_THE_CLIENT}
    login |= {"client_secret": token_urlsafe(32), "secret": token_urlsafe(32)}
    login["insecure_http"] = True
    if login.pop("userinfo", False):
        notes.append("note: userinfo of the login is left out: id_tokens say everything here")
    wanted = _resolved(login.get("issuer"))
    known = _loaded(word, issuers, base)
    number = next((n for n, one in enumerate(known) if wanted in (one.name, one.issuer)), None)
    if number is not None and not any(one.startswith("HS") for one in known[number].algorithms):
        # Its keys are fetched then, from where Login finds all that it wants to know.
        kept = {key: value for key, value in issuers[number].items() if key not in KEY_SOURCES}
        where = {"discovery": f"{address}/{number}{DISCOVERY}", "remote": {"insecure_http": True}}
        issuers[number] = kept | where
    elif number is not None or (isinstance(wanted, str) and "://" in wanted):
        login |= {"issuer": f"{address}{OWN}", "algorithms": ["ES256"]}
        notes.append(f"note: the login's issuer is {address}{OWN}, and idp in sessions says so")
    return login


def _loaded(word: str, issuers: list[Any], base: Path) -> Sequence[Issuer]:
    """The issuers, with all that their presets say; none where something is wrong with them."""
    try:
        return from_mapping({word: issuers}, base).issuers
    except ConfigurationError:
        return ()  # the whole is loaded later, and complains


def _other_public_url(value: object, notes: list[str]) -> str | None:
    """What stands instead of a public_url that is elsewhere; None where it may stay."""
    url = _resolved(value)
    if isinstance(url, str) and urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        return None
    notes.append(
        f"note: public_url is {PUBLIC_URL}, where the command is to listen; --public-url names "
        "another address"
    )
    return PUBLIC_URL


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
