"""Compact serialization and JSON, read more strictly than RFC 7515 asks.

One token must have one reading: RFC 8725 section 3.14 (bis) refuses everything but letters,
digits, ``-``, ``_`` and ``.``; a token with two spellings could pass a deny-list or a cache under
the second one.
"""

import json
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from math import isinf
from typing import Any, NoReturn

from jwt.utils import base64url_encode

from .algorithms import ALGORITHMS
from .claims import Claims
from .errors import MalformedToken

MAX_TOKEN = 16_384  # characters
MAX_DEPTH = 32
MAX_KID = 256  # characters

# a2b_base64 in strict mode refuses what is outside the standard alphabet, so "+", "/" and "="
# are mapped to something outside it before "-" and "_" become them.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
# The unused low bits of the last character must be zero (RFC 4648 section 3.5). By length modulo
# four: the padding to add and the characters that may stand last.
_ENDINGS = (
    (b"", None),
    (b"", b""),
    (b"==", b"AQgw"),
    (b"=", b"AEIMQUYcgkosw048"),
)


def base64url_decode(text: bytes) -> bytes:
    """Strict base64url without padding (RFC 7515 section 2). Raises ValueError."""
    padding, last = _ENDINGS[len(text) & 3]
    if last is not None and text[-1] not in last:
        raise ValueError("not base64url")
    try:
        return a2b_base64(text.translate(_TO_STANDARD) + padding, strict_mode=True)
    except Base64Error:
        raise ValueError("not base64url") from None


def _object(pairs: list[tuple[str, Any]]) -> Claims:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate member")  # RFC 8725bis 2.13: no two readings
    return result


def _float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError("number out of range")
    return value


def _constant(_: str) -> NoReturn:
    raise ValueError("not JSON")  # NaN and Infinity (RFC 8259 section 6)


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_constant=_constant
).raw_decode
_BLANK = " \t\n\r"  # RFC 8259 section 2


def json_object(data: bytes) -> Claims:
    """A JSON object in UTF-8 with one reading only. Raises ValueError."""
    text = data.decode()
    if text[:1] != "{":
        text = text.lstrip(_BLANK)
    try:
        value, end = _decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if type(value) is not dict or (end != len(text) and text[end:].strip(_BLANK)):
        raise ValueError("not a JSON object")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deep")
    if "\\" in text:
        # A lone surrogate has no UTF-8 form; encoding finds it (UnicodeEncodeError).
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        inside: list[Any] = []
        for item in level:
            inside += item.values() if isinstance(item, dict) else item
        level = [item for item in inside if isinstance(item, dict | list)]
    return depth


class Header:
    """A JOSE header (RFC 7515 section 4) that was found acceptable.

    ``typ`` is compared without case and without a leading ``application/`` (section 4.1.9).
    """

    __slots__ = ("algorithm", "kid", "known", "segment", "typ", "values")

    def __init__(self, segment: bytes) -> None:
        """Raises ValueError, or MalformedToken where the reason is worth telling."""
        values = json_object(base64url_decode(segment))
        for name in ("crit", "b64", "zip", "enc"):
            # RFC 7515 section 4.1.11: we understand no extension, so any crit is refused. b64
            # (RFC 7797), zip and enc (RFC 7516) would change what the payload is.
            if name in values:
                raise MalformedToken("header_not_supported", found=name)
        kid, typ = values.get("kid", ""), values.get("typ", "")
        if not isinstance(values.get("alg"), str):
            raise ValueError("alg is not a string")
        if not isinstance(kid, str) or len(kid) > MAX_KID:
            raise ValueError("kid is not a short string")
        if not isinstance(typ, str):
            raise ValueError("typ is not a string")
        self.segment = segment
        self.known = False  # whether it is kept for the next token
        self.values = values
        self.algorithm: str = values["alg"]
        self.kid: str | None = values.get("kid")
        self.typ = normal_type(typ) if "typ" in values else None


def normal_type(typ: str) -> str:
    """How media types of tokens are compared (RFC 7515 section 4.1.9)."""
    return typ.lower().removeprefix("application/")


Jws = tuple[Header, bytes, bytes, bytes]
"""A parsed compact serialization (RFC 7515 section 7.1), nothing in it verified yet: the header,
the payload, the signature, and the signing input.
"""


# Headers of verified tokens: an issuer repeats the same few for every token of a key.
_known_headers: dict[bytes, Header] = {}
_MAX_KNOWN_HEADERS = 256
_MAX_KNOWN_HEADER = 1024  # bytes


def remember_header(header: Header) -> None:
    """Keep the header of a token whose signature was verified."""
    if len(header.segment) <= _MAX_KNOWN_HEADER:
        if len(_known_headers) >= _MAX_KNOWN_HEADERS:
            _known_headers.clear()
        header.known = True
        _known_headers[header.segment] = header


def parse(token: str) -> Jws:
    """Parse a compact JWS. Raises MalformedToken; looks at no claim and no key."""
    if len(token) > MAX_TOKEN:
        raise MalformedToken("token_too_long", found=len(token), want=MAX_TOKEN)
    try:
        data = token.encode("ascii")
    except UnicodeEncodeError:
        raise MalformedToken("malformed_token", hint="characters outside base64url") from None
    parts = data.split(b".")
    if len(parts) != 3:
        raise MalformedToken("malformed_token", hint=_shape_hint(len(parts)))
    segment, payload, signature = parts
    try:
        header = _known_headers.get(segment) or Header(segment)
        signing_input = data[: -len(signature) - 1]
        return header, base64url_decode(payload), base64url_decode(signature), signing_input
    except ValueError as error:
        raise MalformedToken("malformed_token", hint=_plain(error)) from None


def _shape_hint(parts: int) -> str:
    if parts == 5:
        return "five parts: an encrypted token (JWE), not a signed one"
    return f"{parts} parts where a signed token has three"


def _plain(error: ValueError) -> str:
    """What was wrong, without the text it was found in: a JSON error may quote the token."""
    return str(error) if type(error) is ValueError and len(str(error)) < 40 else "not JSON"


def claims_of(payload: bytes) -> Claims:
    """The payload as claims. Raises MalformedToken."""
    try:
        return json_object(payload)
    except ValueError as error:
        raise MalformedToken("malformed_token", hint=_plain(error)) from None


def sign(
    claims: Mapping[str, Any],
    key: Any,
    algorithm: str,
    header: Mapping[str, Any] | None = None,
) -> str:
    """A compact JWS (RFC 7515 section 3.1) over *claims*.

    *header* adds to the JOSE header or replaces what is in it, also ``alg``: the signature is
    always made by *algorithm*, so that a test can send a token that lies about itself.
    """
    parts = {"alg": algorithm, "typ": "JWT", **(header or {})}, claims
    signing_input = b".".join(
        base64url_encode(json.dumps(part, separators=(",", ":")).encode()) for part in parts
    )
    signature: bytes = ALGORITHMS[algorithm].scheme.sign(signing_input, key)
    return b".".join([signing_input, base64url_encode(signature)]).decode()
