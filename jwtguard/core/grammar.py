"""The pieces of HTTP grammar the core reads itself, each with its RFC."""

import re

# RFC 9110 section 5.6.2: token = 1*tchar
TCHAR = r"!#$%&'*+.^_`|~0-9A-Za-z-"
is_token = re.compile(rf"[{TCHAR}]+").fullmatch

# RFC 9110 section 11.2: token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
is_token68 = re.compile(r"[A-Za-z0-9._~+/-]+=*").fullmatch

# RFC 6750 section 2.1: credentials = "Bearer" 1*SP b64token; RFC 9110 section 11.1: the scheme is
# case-insensitive.
bearer_credentials = re.compile(r"(?i:Bearer) +([A-Za-z0-9._~+/-]+=*)").fullmatch

# The scheme alone, or followed by something that cannot belong to a longer scheme name.
names_bearer = re.compile(rf"(?i:Bearer)(?![{TCHAR}])").match

# Two Authorization fields that a server joined with a comma (RFC 9110 section 5.3): after the
# comma stands a scheme and a space, where an auth-param would have "name=".
_second_credentials = re.compile(rf",[ \t]*[{TCHAR}]+[ \t]+[^ \t=,]").search
# One that is not closed runs to the end, or a search for the quote would start anew at each.
_quoted_string = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)


def is_joined_credentials(value: str) -> bool:
    """Whether an Authorization value holds two credentials, as some servers join two fields."""
    return "," in value and _second_credentials(_quoted_string.sub('""', value)) is not None


has_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


def quoted(value: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4) of text that was checked to be printable ASCII."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_quotable(value: str) -> bool:
    """Whether *value* can stand in a quoted-string of a response header."""
    return value.isascii() and value.isprintable()


def accepts(header: str | None, offered: tuple[str, ...]) -> str:
    """The offered media type that an ``Accept`` value likes best (RFC 9110 section 12.5.1).

    The first offered one where there is no header, where the header likes several equally, and
    where it likes none: a refusal is better read in the wrong type than not at all.
    """
    ranges = []
    for item in (header or "").split(","):
        media_range, *parameters = (part.strip().lower() for part in item.split(";"))
        if media_range.count("/") == 1:
            ranges.append((media_range, _quality(parameters)))
    best, best_quality = offered[0], 0.0
    for media_type in offered:
        main = media_type.partition("/")[0]
        for pattern in (media_type, f"{main}/*", "*/*"):
            qualities = [quality for media_range, quality in ranges if media_range == pattern]
            if qualities:
                if qualities[0] > best_quality:
                    best, best_quality = media_type, qualities[0]
                break
    return best


_is_quality = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)").fullmatch


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            return float(value) if _is_quality(value) else 0.0
    return 1.0
