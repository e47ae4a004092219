"""nst/JSONTestSuite: every document as JOSE header and as payload of a correctly MACed token."""

import base64
import json

import pytest

from jwtguard import errors
from tests.core.forge import CLAIMS, as_bytes, forge, make_guard


def documents(document):
    for case in document["cases"]:
        yield case["file"].rpartition("/")[2], (case["class"], base64.b64decode(case["b64"]))


guard = make_guard(required_claims=[], issuer=None, audience=None)
"""Takes any object with well-typed claims, so that only the JSON can be wrong."""


def accepted(raw):
    try:
        return guard.verify(raw)
    except errors.InvalidToken:
        return None


def strictly(text):
    """What a careful reader makes of it: an object without duplicates and lone surrogates."""

    def pairs(found):
        assert len(dict(found)) == len(found)
        return dict(found)

    value = json.loads(text.decode(), object_pairs_hook=pairs)
    json.dumps(value, ensure_ascii=False).encode()
    assert isinstance(value, dict)
    return value


@pytest.mark.vectors("json_parsing_a.json", documents)
def test_json_documents_as_payload(vector):
    kind, document = vector
    token = accepted(forge(document))
    if kind == "must be rejected":
        assert token is None
    elif token is not None:
        assert token.claims == strictly(document)
    elif kind == "well-formed JSON":
        with pytest.raises((AssertionError, ValueError)):
            strictly(document)


@pytest.mark.vectors("json_parsing_a.json", documents)
def test_json_documents_as_header(vector):
    """None of them says ``alg``, so none may pass, and no exception but our own may come."""
    _, document = vector
    assert accepted(forge(CLAIMS, document)) is None


@pytest.mark.vectors("json_parsing_a.json", documents)
def test_json_documents_within_the_claims(vector):
    """The document as one member's value: refused or read like a careful reader would."""
    kind, document = vector
    whole = b'{"x":' + document + b"}"
    token = accepted(forge(whole))
    if token is not None:
        assert kind != "must be rejected"
        assert token.claims == strictly(whole)
    header = as_bytes({"alg": "HS256"})[:-1] + b',"x":' + document + b"}"
    token = accepted(forge({}, header))
    if token is not None:
        assert kind != "must be rejected"
        assert token.header == strictly(header)
