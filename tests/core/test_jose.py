"""Compact serialization and JSON: one token, one reading (RFC 8725, threats 1.2)."""

import base64
import json

import pytest

from jwtguard import errors
from jwtguard.core import jose
from jwtguard.core.jose import base64url_decode, json_object, parse

from .forge import CLAIMS, HEADER, as_bytes, b64, forge, make_guard, token

GOOD = token()
HEADER_PART, PAYLOAD_PART, SIGNATURE_PART = GOOD.split(".")


def padded(part):
    return part + "=" * (-len(part) % 4)


def other_last(part):
    """The last character with an unused bit set: the same bytes to a careless decoder."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


def jwe():
    return ".".join([b64(b'{"alg":"dir","enc":"A256GCM"}'), "", b64(b"iv"), b64(b"c"), b64(b"t")])


SHAPES = {
    "empty": "",
    "no dot": "abc",
    "one dot": f"{HEADER_PART}.{PAYLOAD_PART}",
    "three dots": f"{GOOD}.",
    "five parts, a JWE (CVE-2023-51774, lua-resty-jwt #61)": jwe(),
    "two dots alone": "..",
    "many dots (go-jose CVE-2025-27144, Authlib CVE-2025-61920)": "." * 16_000,
    "a dot in front": f".{GOOD}",
    "JSON serialization (python-jwt CVE-2022-39227)": json.dumps(
        {"protected": HEADER_PART, "payload": PAYLOAD_PART, "signature": SIGNATURE_PART}
    ),
    "JSON with the token inside a member (CVE-2022-39227)": f'{{"{GOOD}":1}}',
    "braces around (RFC 8725bis 3.14)": f"{{{GOOD}}}",
    "space in front": f" {GOOD}",
    "space behind": f"{GOOD} ",
    "newline behind": f"{GOOD}\n",
    "newline within": f"{HEADER_PART}.{PAYLOAD_PART}\n.{SIGNATURE_PART}",
    "NUL behind": f"{GOOD}\0",
    "padded signature (AWS ALB)": f"{HEADER_PART}.{PAYLOAD_PART}.{padded(SIGNATURE_PART)}",
    "padded header": f"{padded(HEADER_PART)}=.{PAYLOAD_PART}.{SIGNATURE_PART}",
    "unused bits in the signature": f"{HEADER_PART}.{PAYLOAD_PART}.{other_last(SIGNATURE_PART)}",
    "standard alphabet": f"{HEADER_PART}.{PAYLOAD_PART}.++//{SIGNATURE_PART[4:]}",
    "not ASCII": f"{HEADER_PART}.{PAYLOAD_PART}.é{SIGNATURE_PART[1:]}",
    "fullwidth dots": GOOD.replace(".", "\uff0e"),
    "lone surrogate": f"{HEADER_PART}.{PAYLOAD_PART}.\ud800{SIGNATURE_PART[1:]}",
    "percent-escapes": GOOD.replace(".", "%2E"),
    "empty signature": f"{HEADER_PART}.{PAYLOAD_PART}.",
    "empty payload": f"{HEADER_PART}..{SIGNATURE_PART}",
    "empty header": f".{PAYLOAD_PART}.{SIGNATURE_PART}",
    "a length that base64 never has": f"{HEADER_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}AA",
    "tilde and plus, which token68 allows": f"{GOOD}~+/",
}


@pytest.mark.parametrize("raw", SHAPES.values(), ids=SHAPES)
def test_what_is_no_compact_jws_is_refused(raw):
    with pytest.raises(errors.InvalidToken):
        make_guard().verify(raw)


def test_the_token_those_were_made_from_is_good():
    assert make_guard().verify(GOOD).subject == "alice"


@pytest.mark.parametrize("raw", [None, 5, b"a.b.c", ["a"], {}, True])
def test_a_token_that_is_no_text_is_an_invalid_token(raw):
    with pytest.raises(errors.InvalidToken):
        make_guard().verify(raw)


def sized(length):
    """A good token of exactly that many characters, filled with white space."""
    for kid in ("", "a", "aa", "aaa"):
        header = as_bytes(HEADER | {"kid": kid})
        rest = length - len(b64(header)) - 2 - len(SIGNATURE_PART)
        if rest % 4 != 1:
            payload = as_bytes(CLAIMS)
            return forge(payload + b" " * (rest * 3 // 4 - len(payload)), header)
    raise AssertionError(length)


def test_a_token_of_16_kib_is_read_and_one_more_character_is_not():
    assert len(sized(16_384)) == 16_384
    assert make_guard().verify(sized(16_384)).subject == "alice"
    with pytest.raises(errors.MalformedToken) as caught:
        make_guard().verify(sized(16_385))
    assert caught.value.reason == "token_too_long"


def test_the_size_is_looked_at_before_anything_else():
    with pytest.raises(errors.MalformedToken) as caught:
        parse("é" * 16_385)
    assert caught.value.reason == "token_too_long"
    with pytest.raises(errors.MalformedToken) as caught:
        parse("a" * 16_384)
    assert caught.value.reason == "malformed_token"


def nested(depth, inner='"x"'):
    return '{"a":' * depth + inner + "}" * depth


def with_member(text):
    """The good claims with one more member, as text: for what json.dumps would not write."""
    return json.dumps(CLAIMS)[:-1].encode() + b"," + text + b"}"


# RFC 8725 3.7, RFC 8259; PyJWT 2.15.0, CVE-2024-27454 (orjson), unsloth #7392
BAD_JSON = {
    "duplicate exp, the good one last": b'{"exp":1,' + json.dumps(CLAIMS).encode()[1:],
    "duplicate exp, the good one first": with_member(b'"exp":99999999999'),
    "duplicate sub": with_member(b'"sub":"root"'),
    "duplicate member by escape": with_member(b'"su\\u0062":"root"'),
    "duplicate member deep inside": with_member(b'"a":{"b":[{"c":1,"c":2}]}'),
    "NaN": with_member(b'"n":NaN'),
    "Infinity": with_member(b'"n":Infinity'),
    "-Infinity": with_member(b'"n":-Infinity'),
    "1e999": with_member(b'"n":1e999'),
    "-1e999": with_member(b'"n":-1e999'),
    "exp 1e999": with_member(b'"iat":1e999'),
    "an integer of 5,000 digits": with_member(b'"n":' + b"9" * 5000),
    "a negative integer of 5,000 digits": with_member(b'"n":-' + b"9" * 5000),
    "lone high surrogate": with_member(b'"n":"\\ud800"'),
    "lone low surrogate": with_member(b'"n":"\\udc00"'),
    "surrogates the wrong way round": with_member(b'"n":"\\udc00\\ud800"'),
    "lone surrogate in a name": with_member(b'"\\ud800":1'),
    "lone surrogate deep inside": with_member(b'"n":[{"a":["\\udfff"]}]'),
    "BOM": b"\xef\xbb\xbf" + as_bytes(CLAIMS),
    "UTF-16": json.dumps(CLAIMS).encode("utf-16"),
    "UTF-16 without BOM": json.dumps(CLAIMS).encode("utf-16-le"),
    "UTF-32": json.dumps(CLAIMS).encode("utf-32"),
    "latin-1": with_member('"n":"é"'.encode("latin-1")),
    "overlong UTF-8": with_member(b'"n":"\xc0\xaf"'),
    "surrogate in UTF-8": with_member(b'"n":"\xed\xa0\x80"'),
    "UTF-8 cut off": with_member(b'"n":"\xe2\x82"'),
    "control character in a string": with_member(b'"n":"\x01"'),
    "newline in a string": with_member(b'"n":"\n"'),
    "depth 33": with_member(b'"n":' + nested(32).encode()),
    "depth 1,000 (Python 3.11 RecursionError)": with_member(b'"n":' + b"[" * 1000 + b"]" * 1000),
    "depth 5,000, not closed": with_member(b'"n":' + b"[" * 5000),
    "depth 2,000 of objects": with_member(b'"n":' + nested(1500).encode()),
    "trailing comma": b'{"sub":"a",}',
    "trailing text": as_bytes(CLAIMS) + b"x",
    "a second object": as_bytes(CLAIMS) * 2,
    "trailing NUL": as_bytes(CLAIMS) + b"\0",
    "trailing no-break space": as_bytes(CLAIMS) + b"\xc2\xa0",
    "leading no-break space": b"\xc2\xa0" + as_bytes(CLAIMS),
    "leading form feed": b"\x0c" + as_bytes(CLAIMS),
    "comment": b"/**/" + as_bytes(CLAIMS),
    "single quotes": str(CLAIMS).encode(),
    "array": json.dumps([CLAIMS]).encode(),
    "array of pairs": json.dumps(list(CLAIMS.items())).encode(),
    "string": json.dumps(json.dumps(CLAIMS)).encode(),
    "number": b"1",
    "null": b"null",
    "true": b"true",
    "empty": b"",
    "blank": b" ",
    "a lone brace": b"{",
    "hexadecimal number": with_member(b'"n":0x10'),
    "leading zero": with_member(b'"n":01'),
    "fullwidth digit": with_member('"n":\uff11'.encode()),
    "plus sign": with_member(b'"n":+1'),
    "underscore in a number": with_member(b'"n":1_000'),
}


@pytest.mark.parametrize("document", BAD_JSON.values(), ids=BAD_JSON)
def test_a_payload_with_a_second_reading_is_refused(document):
    with pytest.raises(errors.MalformedToken):
        make_guard().verify(forge(document))


def as_header(document):
    """The same hostile document where the JOSE header stands, with an alg that would pass."""
    return document.replace(b'"iss": "https://issuer.test/"', b'"alg": "HS256"')


@pytest.mark.parametrize("document", BAD_JSON.values(), ids=BAD_JSON)
def test_a_header_with_a_second_reading_is_refused(document):
    with pytest.raises(errors.MalformedToken):
        make_guard().verify(forge(header=as_header(document)))


def test_duplicate_alg_is_refused_in_either_order():
    for header in (b'{"alg":"none","alg":"HS256"}', b'{"alg":"HS256","alg":"none"}'):
        with pytest.raises(errors.MalformedToken):
            make_guard().verify(forge(header=header))


GOOD_JSON = {
    "white space around": (b" \r\n\t" + with_member(b'"n" : 1') + b"\n", 1),
    "escapes": (with_member(b'"n":"\\u00e9\\n\\/"'), "é\n/"),
    "a pair of surrogates": (with_member(b'"n":"\\ud83d\\ude00"'), "😀"),
    "UTF-8": (with_member('"n":"😀"'.encode()), "😀"),
    "depth 32": (with_member(b'"n":' + nested(31).encode()), json.loads(nested(31))),
    "many brackets, not deep": (with_member(b'"n":[' + b"[]," * 50 + b"[]]"), [[]] * 51),
    "brackets in a string": (with_member(b'"n":"' + b"[" * 100 + b'"'), "[" * 100),
    "an integer beyond 64 bits": (with_member(b'"n":' + b"9" * 30), int("9" * 30)),
    "-0 and exponents": (with_member(b'"n":[-0,1e2,1E+2,0.5]'), [0, 100.0, 100.0, 0.5]),
    "empty name": (with_member(b'"n":{"":1}'), {"": 1}),
}


@pytest.mark.parametrize(("document", "value"), GOOD_JSON.values(), ids=GOOD_JSON)
def test_json_with_one_reading_is_read(document, value):
    assert make_guard().verify(forge(document))["n"] == value


def test_depth_counts_objects_and_arrays_alike():
    assert json_object(nested(32).encode())
    for text in (nested(33), nested(31, "[[1]]"), nested(31, '[{"b":[]}]')):
        with pytest.raises(ValueError, match="deep"):
            json_object(text.encode())


# The header: RFC 7515 4.1.11, RFC 7797, RFC 7516
BAD_HEADERS = {
    "no alg": {},
    "alg null": {"alg": None},
    "alg list": {"alg": ["HS256"]},
    "alg number": {"alg": 256},
    "alg object": {"alg": {"HS256": 1}},
    "crit unknown (Authlib CVE-2025-59420)": {"crit": ["exp"], "exp": 1},
    "crit empty (joserfc accepts it)": {"crit": []},
    "crit null": {"crit": None},
    "crit b64 (PyJWT CVE-2026-32597)": {"crit": ["b64"], "b64": True},
    "b64 false (joserfc GHSA-wphv-vfrh-23q5)": {"b64": False},
    "b64 true": {"b64": True},
    "zip (PyJWT CVE-2026-48525)": {"zip": "DEF"},
    "enc (CVE-2024-33664)": {"enc": "A256GCM"},
    "enc null": {"enc": None},
    "kid number": {"kid": 1},
    "kid null": {"kid": None},
    "kid list": {"kid": ["a"]},
    "kid object": {"kid": {}},
    "kid of 257 characters": {"kid": "k" * 257},
    "typ number": {"typ": 1},
    "typ null": {"typ": None},
    "typ list": {"typ": ["JWT"]},
}


@pytest.mark.parametrize("members", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_would_change_the_meaning_is_refused(members):
    header = members if "alg" in members or not members else HEADER | members
    with pytest.raises(errors.MalformedToken):
        make_guard().verify(token(header))


GOOD_HEADERS = {
    "jwk (Authlib CVE-2026-27962)": {"jwk": {"kty": "oct", "k": b64(b"x" * 32)}},
    "jku (PyJWT CVE-2026-48522)": {"jku": "https://evil.example/keys"},
    "jku to a file": {"jku": "file:///etc/passwd"},
    "x5u": {"x5u": "https://evil.example/cert"},
    "x5c": {"x5c": ["MIIB"]},
    "x5c of a wrong type": {"x5c": 7},
    "cty": {"cty": "JWT"},
    "kid of 256 characters": {"kid": "k" * 256},
    "kid with a path": {"kid": "../../../dev/null"},
    "kid with SQL": {"kid": "' UNION SELECT 'key'--"},
    "kid with control characters": {"kid": "a\r\nb\0"},
    "empty kid": {"kid": ""},
    "unknown members": {"x": [1, {"y": None}]},
}


@pytest.mark.parametrize("members", GOOD_HEADERS.values(), ids=GOOD_HEADERS)
def test_other_members_change_nothing(members):
    assert make_guard().verify(token(HEADER | members)).header == HEADER | members
    with pytest.raises(errors.BadSignature):
        make_guard().verify(token(HEADER | members, key=b"x" * 32))


def test_base64url_has_one_spelling_for_every_byte_string():
    for length in range(40):
        data = bytes(range(length))
        assert base64url_decode(b64(data).encode()) == data
    standard = base64.b64encode(bytes(range(250, 256)) * 3)
    assert {b"+", b"/"} <= {standard[i : i + 1] for i in range(len(standard))}
    for text in (standard, b"A", b"AAAAA", b"AB", b"AAB", b"A=", b"AA==", b"=", b"AA A", b"AA\nA"):
        with pytest.raises(ValueError, match=r"base64url|trailing"):
            base64url_decode(text)


def test_a_refusal_never_quotes_the_token():
    for raw in (*SHAPES.values(), *(forge(d) for d in BAD_JSON.values())):
        with pytest.raises(errors.InvalidToken) as caught:
            make_guard().verify(raw)
        text = f"{caught.value} {caught.value.found} {caught.value.want} {caught.value.hint}"
        assert not [part for part in raw.split(".") if len(part) > 8 and part in text]


def test_headers_of_verified_tokens_are_remembered_within_bounds():
    guard = make_guard()
    for number in range(600):
        header = HEADER | {"kid": f"bounded-{number}"}
        assert guard.verify(token(header)).header == header
    assert 0 < len(jose._known_headers) <= 256
    jose._known_headers.clear()
    guard.verify(token(HEADER | {"x": "y" * 2000}))
    assert not jose._known_headers


def test_a_header_is_remembered_only_after_its_signature_was_good():
    jose._known_headers.clear()
    with pytest.raises(errors.BadSignature):
        make_guard().verify(token(HEADER | {"kid": "never"}, key=b"x" * 32))
    assert not jose._known_headers


def test_a_remembered_header_is_nobodys_to_change():
    guard = make_guard()
    raw = token(HEADER | {"x": {"y": [1]}})
    guard.verify(raw).header["x"]["y"].append(2)
    assert guard.verify(raw).header["x"] == {"y": [1]}
    other = token(HEADER | {"x": {"y": [1]}}, sub="bob")
    assert guard.verify(other).header["x"] == {"y": [1]}


def test_the_claims_come_from_the_very_bytes_that_were_signed():
    evil = b64(as_bytes(CLAIMS | {"sub": "root"}))
    with pytest.raises(errors.BadSignature):
        make_guard().verify(f"{HEADER_PART}.{evil}.{SIGNATURE_PART}")
