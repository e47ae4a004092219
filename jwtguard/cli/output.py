"""What commands write: 80 columns, coloured on a terminal only, and never a token by mistake."""

import os
import re
import sys
from collections.abc import Iterable
from textwrap import wrap
from typing import Literal, TextIO

from jwtguard.core.errors import AuthError, ClaimError, Problem
from jwtguard.core.refused import escaped

WIDTH = 80

Colour = Literal["red", "green", "yellow", "bold", "dim"]
_CODES: dict[Colour, int] = {"red": 31, "green": 32, "yellow": 33, "bold": 1, "dim": 2}


class WrongUse(Exception):
    """The command cannot do what was asked; its text says what to write instead."""


def painted(text: str, colour: Colour, stream: TextIO) -> str:
    """*text* in a colour, where *stream* is a terminal and ``NO_COLOR`` is not set."""
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def wrapped(text: str, indent: int = 0) -> str:
    """*text* in lines of at most 80 columns; long words stay whole, so that they can be copied."""
    space = " " * indent
    return "\n".join(
        wrap(
            text,
            WIDTH,
            initial_indent=space,
            subsequent_indent=space,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


# Three parts with dots between them, but no host in an address.
_looks_like_token = re.compile(
    r"(?<!//)(?<![\w.-])[\w-]{8,}\.[\w-]{2,}\.[\w-]*|\beyJ[\w-]{8,}[\w.-]*"
)


def without_tokens(text: str) -> str:
    """*text* with everything that looks like a token taken out: arguments get swapped."""
    return _looks_like_token.sub("(a token)", text)


def complain(text: str) -> None:
    """Write to stderr."""
    print(wrapped(without_tokens(text)), file=sys.stderr)


def write_problems(
    kind: Literal["problem", "warning"], problems: Iterable[Problem], stream: TextIO
) -> None:
    """Each problem: its place on a line, and below it what to do."""
    colour: Colour = "red" if kind == "problem" else "yellow"
    for where, what in problems:
        place = without_tokens(printable(where))
        print(f"{painted(kind, colour, stream)}: {place}".removesuffix(": "), file=stream)
        print(wrapped(without_tokens(printable(what)), 4), file=stream)


def printable(text: str) -> str:
    """Text from elsewhere, with what a terminal would act on written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def facts(error: AuthError) -> str:
    """A refusal as one line: reason, claim, found, want, hint."""
    parts = [error.reason]
    if isinstance(error, ClaimError):
        parts.append(f"claim {escaped(error.claim)}")
    for word, value in (("found", error.found), ("want", error.want), ("hint", error.hint)):
        if value is not None and value != "":
            parts.append(f"{word} {without_tokens(escaped(value))}")
    return "; ".join(parts)
