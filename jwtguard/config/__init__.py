"""A Guard from a TOML file, a mapping, or an environment variable.

`schema` says what may be written, `values` and `issuers` read it, `reading` makes the Guard and
puts its complaints into the words of the file, `files` looks at the files behind it. Nothing is
ever passed over: an unknown word is a problem, and all problems are reported at once, each with its
place in the words that the user wrote.
"""

import importlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwtguard.core.errors import ConfigurationError
from jwtguard.core.wording import did_you_mean
from jwtguard.guard import Guard

from .files import key_file_warnings, key_sources
from .reading import Reading, in_words_of
from .values import read_toml

__all__ = [
    "VARIABLE",
    "from_environment",
    "from_mapping",
    "from_toml",
    "in_words_of",
    "key_file_warnings",
    "key_sources",
    "load",
]

Target = Guard | Mapping[str, Any] | str | os.PathLike[str]

VARIABLE = "JWTGUARD_CONFIG"


def from_toml(path: str | os.PathLike[str]) -> Guard:
    """The Guard that a TOML file describes; file names in it are relative to it.

    Raises `errors.ConfigurationError` with every problem at once.
    """
    try:
        mapping = read_toml(Path(path))
    except ValueError as error:
        raise ConfigurationError([(str(path), str(error))]) from None
    return from_mapping(mapping, Path(path).parent)


def from_mapping(mapping: Mapping[str, Any], base: str | os.PathLike[str] = ".") -> Guard:
    """The Guard that a mapping of the same schema describes; *base* is where its files are.

    Raises `errors.ConfigurationError` with every problem at once.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(f"a configuration is a mapping, not {type(mapping).__name__}")
    return Reading(Path(base)).guard(mapping)


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
