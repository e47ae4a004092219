"""Reading ``[revocation]`` and ``[store]``: what processes share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwtguard.core.revocation import Revocations
from jwtguard.core.store import Store
from jwtguard.revocations import RedisRevocations, RevocationFile
from jwtguard.stores import RedisStore

from .schema import REVOCATION, STORE
from .values import Values


def revocations(values: Values, mapping: Mapping[str, Any], base: Path) -> Revocations | None:
    """What ``[revocation]`` says; None where there is none, or a problem."""
    read = _words(values, REVOCATION, mapping, ("redis",), base)
    if read is None:
        return None
    origins = [word for word in ("file", "redis") if word in mapping["revocation"]]
    if len(origins) != 1:
        found = "both" if origins else "neither"
        values.say(
            "revocation",
            f'has file = "revoked.jsonl" or redis = {{ env = "REDIS_URL" }}; found {found}',
        )
        return None
    if "prefix" in read and origins == ["file"]:
        values.say("revocation.prefix", "is for redis; remove it")
    given = read.pop(origins[0], None)
    if not isinstance(given, str) or not given:
        if not values.is_said(f"revocation.{origins[0]}"):
            values.say(f"revocation.{origins[0]}", f"is text; found {given!r}")
        return None
    read = {word: value for word, value in read.items() if word != "prefix" or origins == ["redis"]}
    return (
        RevocationFile(base / given, **read)
        if "file" in origins
        else RedisRevocations(given, **read)
    )


def store(values: Values, mapping: Mapping[str, Any], base: Path) -> Store | None:
    """What ``[store]`` says; None where there is none, or a problem."""
    read = _words(values, STORE, mapping, ("redis", "key"), base)
    if read is None:
        return None
    for word, what in (
        ("redis", 'is missing: the address, such as redis = { env = "REDIS_URL" }'),
        ("key", 'is missing: what hides what is stored, such as key = { env = "STORE_KEY" }; make '
         "one: jwtguard keygen HS256"),
    ):  # fmt: skip
        if word not in mapping["store"]:
            values.say(f"store.{word}", what)
    return RedisStore(read.pop("redis"), **read) if {"redis", "key"} <= read.keys() else None


def _words(
    values: Values, section: str, mapping: Mapping[str, Any], secret: tuple[str, ...], base: Path
) -> dict[str, Any] | None:
    place = section.strip("[]")
    table = mapping.get(place)
    if table is None:
        return None
    if not isinstance(table, Mapping):
        values.say(place, f"is a table, {section}; found {type(table).__name__}")
        return None
    plain = {word: value for word, value in table.items() if word not in secret}
    words = values.words(section, place, plain)
    for word in secret:
        if word in table:
            text = values.secret_text(f"{place}.{word}", table[word], base)
            if text is not None and not values.is_said(f"{place}.{word}"):
                words[word] = text
    return words
