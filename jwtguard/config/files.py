"""The files behind a guard: those that others can read or write where they must not."""

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from jwtguard.core.errors import Problem
from jwtguard.core.issuer import Issuer
from jwtguard.core.keyloader import KeySource, SeveralSources
from jwtguard.core.wording import as_list
from jwtguard.guard import Guard
from jwtguard.keyfiles import Discovery, KeyFile, RemoteKeys
from jwtguard.lastknown import Origin, is_open_to_others

from .values import Place


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
