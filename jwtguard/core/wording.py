"""How configuration is read: one value or many, and what to say about a wrong word."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any


def as_list(value: Any) -> list[Any]:
    """A plain string where a list may stand is one value."""
    if value is None:
        return []
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """'; did you mean "x"?' or nothing."""
    spellings = {one.casefold(): one for one in known}
    close = get_close_matches(word.casefold(), spellings, n=1) if isinstance(word, str) else []
    return f"; did you mean {spellings[close[0]]!r}?" if close else ""


def one_of(word: object, known: Sequence[object]) -> str:
    """What to write instead of *word*."""
    names = [k for k in known if isinstance(k, str)]
    return f"{word!r} is not one of {', '.join(map(repr, known))}{did_you_mean(word, names)}"
