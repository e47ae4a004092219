"""The files behind ``jwtguard serve``: policies by name, and the one ``[server]``."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jwtguard.config.reading import Reading
from jwtguard.config.serving import server
from jwtguard.config.values import read_toml
from jwtguard.core.errors import ConfigurationError, Problem
from jwtguard.guard import Guard

from .settings import Settings

DEFAULT = "default"
_is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}").fullmatch


@dataclass(frozen=True)
class Policies:
    """Guards by name, and how they are served."""

    guards: Mapping[str, Guard]
    settings: Settings


def read_policies(target: Path) -> Policies:
    """What *target* says, a file or a directory of them.

    A file is the policy of its name without ``.toml``; one that is alone is "default" too. In a
    directory ``[server]`` stands in one file, and what holds nothing else is no policy. Raises
    `errors.ConfigurationError` with every problem of every file.
    """
    files = sorted(target.glob("*.toml")) if target.is_dir() else [target]
    if not files:
        raise ConfigurationError([(str(target), "holds no *.toml file, so there is no policy")])
    guards: dict[str, Guard] = {}
    servers: dict[Path, Settings] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            guard, found = _read(file)
        except ConfigurationError as error:
            problems += _in(file, error.problems)
            continue
        if guard is not None:
            guards[file.stem] = guard
        if found is not None:
            servers[file] = found
    path, settings = next(iter(servers.items()), (files[0], Settings()))
    if len(servers) > 1:
        names = " and ".join(one.name for one in servers)
        problems.append(("server", f"stands in {names}; one server listens, so keep one of them"))
    elif not problems:
        settings.check_trust()
        problems += _in(path, ((f"server.{word}", what) for word, what in settings.problems))
        if not guards:
            problems += _in(path, [("", "holds [server] alone, so there is no policy")])
    if problems:
        raise ConfigurationError(problems)
    if not target.is_dir():
        guards[DEFAULT] = next(iter(guards.values()))
    return Policies(guards, settings)


def _read(path: Path) -> tuple[Guard | None, Settings | None]:
    """The policy of a file, and its ``[server]``."""
    try:
        mapping = read_toml(path)
    except ValueError as error:
        raise ConfigurationError([("", str(error))]) from None
    reading = Reading(path.parent)
    guard = None if mapping.keys() == {"server"} else reading.guard(mapping)
    settings = reading.settings if guard else server(reading, mapping, path.parent)
    if guard is not None and not _is_name(path.stem):
        what = "stands in addresses as the policy's name: letters, digits, - and _, 64 at most"
        reading.say("", f"{path.stem!r} {what}")
    if reading.problems:
        raise ConfigurationError(reading.problems)
    return guard, settings


def _in(path: Path, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Problems with their file."""
    for where, what in problems:
        yield f"{path.name} {where}".rstrip(), what


def lost(guard: Guard) -> Iterator[Problem]:
    """What becomes nothing behind a proxy, which hands on what the client sent."""
    removed = {place for bound in guard.policy.rules for place in bound.removed}
    removed.update(guard.policy.closing.removed)
    if any(place.always_removed for place in removed):
        yield "credentials", "the app sees tokens in queries and subprotocols as they were sent"
    if any(not place.always_removed for place in removed):
        yield "strip_credentials", "the proxy must take credentials away itself"
    if guard.response_headers:
        yield "response_headers", "refusals have them; the app's responses, of the proxy alone"
