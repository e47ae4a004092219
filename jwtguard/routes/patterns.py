"""The paths of frameworks in the language of rules."""

import re
from collections.abc import Callable, Sequence

from jwtguard.core.paths import Pattern

_is_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch


def as_pattern(segments: tuple[str, ...]) -> Pattern:
    """A pattern of *segments*; where they make none, one that matches all their paths, and more."""
    names = [segment for segment in segments if segment[:1] == "{"]
    if len(set(names)) < len(names):
        segments = tuple("*" if segment[:1] == "{" else segment for segment in segments)
    for end in range(len(segments), 0, -1):
        kept = segments[:end] if end == len(segments) else (*segments[:end], "**")
        try:
            return Pattern("/" + "/".join(kept))
        except ValueError:
            continue
    return Pattern("/**" if segments else "/")


class Part(str):
    """A segment of a route. Where it stands for something, ``shape`` is what that looks like."""

    shape: re.Pattern[str] | None = None

    @classmethod
    def of(cls, text: str, shape: str, name: str | None) -> "Part":
        """*text* with ``*`` for each parameter; *name* is that of the only one, if it is all."""
        if "*" not in text:
            return cls(text)
        part = cls(f"{{{name}}}" if name is not None and _is_name(name) else "*")
        part.shape = re.compile(shape)
        return part


SHAPES = {"digits": r"\d+", "segment": "[^/]+"}
"""What a parameter is that no slash fits into."""


def split(
    text: str, parameters: re.Pattern[str], kind_of: Callable[[re.Match[str]], str]
) -> tuple[str, ...]:
    """The segments of a framework's path.

    *parameters* finds what stands for something, with a group ``name``; *kind_of* says of each
    whether it is one of `SHAPES`, a "tail" (slashes too) or "any" (nothing as well). What follows
    one that may hold slashes is left out: ``**`` stands for it.
    """
    parts: list[str] = []
    current, shape, at = "", "", 0
    only: str | None = None  # the name of the parameter that is all of this segment so far

    def end(literal: str) -> None:
        nonlocal current, shape, only
        parts.append(
            Part.of(current + literal, shape + re.escape(literal), None if literal else only)
        )
        current, shape, only = "", "", None

    for match in parameters.finditer(text):
        *ended, start = text[at : match.start()].split("/")
        for literal in ended:
            end(literal)
        kind, stands_alone = kind_of(match), not (current or start)
        if kind not in SHAPES:
            if kind == "tail" and stands_alone:
                parts.append(Part.of("*", "[^/]+", match["name"]))
            elif not stands_alone:
                parts.append("*")
            return (*filter(None, parts), "**")
        only = match["name"] if stands_alone else None
        current, shape = f"{current}{start}*", shape + re.escape(start) + SHAPES[kind]
        at = match.end()
    for literal in text[at:].split("/"):
        end(literal)
    return tuple(filter(None, parts))


def meets(rule: Pattern, route: Pattern, parts: Sequence[str] = ()) -> bool:
    """Whether some path matches both; *parts* are what *route* was made of."""
    for at, (mine, theirs) in enumerate(zip(rule.segments, route.segments, strict=False)):
        if mine.is_tail or theirs.is_tail:
            return True
        if mine.is_wild:
            continue
        if not theirs.is_wild and mine != theirs:
            return False
        shape = getattr(parts[at], "shape", None) if at < len(parts) else None
        if shape is not None and not shape.fullmatch(mine):
            return False
    longer = max(rule.segments, route.segments, key=len)
    rest = longer[min(len(rule.segments), len(route.segments)) :]
    return not rest or rest[0].is_tail


def covers(one: Pattern, other: Pattern) -> bool:
    """Whether every path of *other* matches *one*."""
    for at, mine in enumerate(one.segments):
        if mine.is_tail:
            return True
        theirs = other.segments[at] if at < len(other.segments) else None
        if theirs is None or theirs.is_tail or not (mine.is_wild or mine == theirs):
            return False
    return len(one.segments) == len(other.segments)
