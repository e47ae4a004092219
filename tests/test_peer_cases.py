"""The nginx JWT module's own test cases, from a configuration file, through both doors."""

import hashlib
import hmac
import re
import shlex
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jwtguard.config import from_toml
from jwtguard.testing import private_key, sign

from . import shared
from .doors import BOTH, Ask

FILE = "peer_nginx_jwt_module_http_cases.json"
CONFIG = Path(__file__).parent / "data" / "peer.toml"

# The peer answers 201 where its app was reached.
STATUS = {201: 200}

vectors = shared.load(FILE) or {"cases": []}


def _cases():
    for number, case in enumerate(vectors["cases"]):
        yield pytest.param(case, case["path"], id=f"{number}: {case['name']}")
        if case["path"].endswith("/"):
            # There a slash too many missed the location; without it the case says something.
            path = case["path"].removesuffix("/")
            yield pytest.param(case, path, id=f"{number}: {case['name']}, without the slash")


def base64url(data):
    return urlsafe_b64encode(data).rstrip(b"=")


@pytest.fixture(scope="module")
def peer():
    """The guard, and the tokens that the peer's suite signs when it runs."""
    key = private_key("RS256")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = base64url(b'{"alg":"HS256"}') + b"." + base64url(b"{}")
    forged += b"." + base64url(hmac.digest(pem, forged, hashlib.sha256))
    tokens = {
        "VALID_RS256": sign({}, key, "RS256"),
        "VALID_RS512": sign({}, key, "RS512"),
        "BAD_RS256": sign({}, private_key("RS256"), "RS256"),
        "FORGED_HS256": forged.decode(),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JWTGUARD_TEST_PEER_KEY", pem.decode())
        yield from_toml(CONFIG), tokens


def _headers(curl_args, tokens):
    """The request headers that these arguments make curl send."""
    arguments = shlex.split(re.sub(r"\$\{(\w+)\}", lambda match: tokens[match[1]], curl_args))
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        if option == "--cookie":
            yield "Cookie", value
        else:
            assert option == "--header"
            name, _, content = value.partition(":")
            yield name, content.strip()


@shared.absent(FILE)
@pytest.mark.parametrize("door", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize(("case", "path"), list(_cases()))
def test_peer_case(case, path, door, peer, record_property):
    guard, tokens = peer
    ask = Ask(path, headers=tuple(_headers(case["curl_args"], tokens)))

    answer = door(guard, ask)

    assert answer.status == STATUS.get(case["expected"], case["expected"])
    assert (answer.seen is not None) == (answer.status == 200)
    shared.count(record_property, FILE)


@shared.absent(FILE)
def test_there_are_55_cases_and_three_with_a_slash_too_many():
    assert len(vectors["cases"]) == 55
    assert sum(case["path"].endswith("/") for case in vectors["cases"]) == 3
