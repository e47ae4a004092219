"""What the app learns of a verified token: variables, forwarded headers, the user's name."""

import json
import logging
import string
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from .claims import Claims, lookup
from .errors import Problem
from .grammar import has_control, is_token
from .model import Pairs
from .token import Verified
from .wording import did_you_mean

log = logging.getLogger("jwtguard")

Variables = Literal["json", "plain"] | None


def json_text(value: Any) -> str:
    """Compact JSON, keys sorted, UTF-8 kept."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _text(value: Any) -> str:
    """Text as it stands, anything else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def variables_of(verified: Verified, form: Literal["json", "plain"]) -> Mapping[str, str]:
    """``jwt_claim_<name>``, ``jwt_header_<name>``, ``jwt_payload``, ``jwt_headers``."""
    write = json_text if form == "json" else _text
    found = {f"jwt_claim_{name}": write(value) for name, value in verified.claims.items()}
    found.update((f"jwt_header_{name}", write(value)) for name, value in verified.header.items())
    found["jwt_payload"] = json_text(verified.claims)
    found["jwt_headers"] = json_text(verified.header)
    return MappingProxyType(found)  # shared by all requests of the token


def headers_of(claims: Claims, forward: Mapping[str, str]) -> Pairs:
    """The forwarded headers; an absent or null claim sets none, nor does a control character."""
    pairs = []
    for header, source in forward.items():
        value = lookup(claims, source)
        if value is None:
            continue
        text = _text(value)
        if not text.isprintable() and has_control(text):
            log.warning("claim %s holds a control character and is not forwarded", source)
            continue
        pairs.append((header, text))
    return tuple(pairs)


class UserName:
    """The template of ``REMOTE_USER``: ``{claim}`` and ``{issuer}`` (the configured name)."""

    def __init__(self, template: str) -> None:
        """Raises ValueError."""
        if not isinstance(template, str) or not template or has_control(template):
            raise ValueError("is text such as '{issuer}:{sub}'")
        self._parts: list[tuple[str, str | None]] = []
        for text, name, form, conversion in string.Formatter().parse(template):
            if name == "" or form or conversion:
                raise ValueError("takes claim names in braces, as in '{issuer}:{sub}'")
            self._parts.append((text, name))

    def of(self, verified: Verified) -> str | None:
        """The name, or None where a claim is absent or is not plain text or an integer."""
        name = ""
        for text, claim in self._parts:
            name += text
            if claim is None:
                continue
            value = verified.issued_by.name if claim == "issuer" else verified.claims.get(claim)
            if type(value) is int:
                value = str(value)
            elif type(value) is not str or not value or has_control(value):
                return None
            name += value
        return name


_RESERVED = frozenset(
    {"authorization", "cookie", "host", "connection", "transfer-encoding", "upgrade"}
)


def forward_problems(where: str, forward: object) -> Iterable[Problem]:
    """What is wrong with a ``forward`` mapping."""
    if not isinstance(forward, Mapping):
        yield where, f"maps request headers to claims; found {forward!r}"
        return
    seen: set[str] = set()
    for header, source in forward.items():
        at = f"{where}.{header}"
        if not isinstance(header, str) or not is_token(header):
            yield at, f"{header!r} is not a header name"
            continue
        name = header.lower()
        if "_" in name:
            yield at, f"write {header.replace('_', '-')}: servers drop or confuse names with '_'"
        elif name in _RESERVED or name.startswith(("content-", "x-forwarded-")):
            yield at, "means something to servers and proxies; choose a name of your own"
        elif name in seen:
            yield at, "stands twice"
        seen.add(name)
        if not isinstance(source, str) or not source:
            hint = did_you_mean(source, ["sub"])
            yield at, f"is a claim name or a JSON Pointer; found {source!r}{hint}"
