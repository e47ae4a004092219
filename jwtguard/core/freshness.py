"""How long an answer is fresh (RFC 9111)."""

import re

from .model import Fetched

_max_age = re.compile(r"(?:^|,)[ \t]*max-age(?![\w-])([^,]*)", re.I).findall
_seconds = re.compile(r'[ \t]*=[ \t]*(?:([0-9]+)|"([0-9]+)")[ \t]*').fullmatch
_not_stored = re.compile(r"(?:^|,)[ \t]*no-(?:store|cache)\b", re.I).search


def freshness(answer: Fetched, least: float, most: float) -> float:
    """Seconds that an answer is fresh (section 4.2), within bounds; *most* where it says nothing.

    What is no number, or stands twice, is as good as stale (section 4.2.1).
    """
    directives = answer.headers.get("cache-control", "")
    if _not_stored(directives):
        return least
    stated = _max_age(directives)
    if not stated:
        return most
    seconds = _seconds(stated[0])
    if seconds is None or len(stated) > 1:
        return least
    # float takes any number of digits: too many are infinity.
    return min(max(float(seconds[1] or seconds[2]), least), most)
