"""RFC 7520, the examples of signatures."""

import pytest

from jwtguard import JWKSet, PublicKey, errors
from jwtguard.core.verifier import verify_jws

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


def signatures(document):
    for name, example in document["files"].items():
        if name.startswith("jws/"):
            yield name, example


def keys(document):
    for name, jwk in document["files"].items():
        if name.startswith("jwk/"):
            yield name, jwk


def public(jwk):
    return {k: v for k, v in jwk.items() if k not in _PRIVATE}


@pytest.mark.vectors("rfc7520_cookbook_a.json", signatures)
def test_rfc7520_jws(vector):
    given, output = vector["input"], vector["output"]
    algorithm = given["alg"]
    jwks = JWKSet({"keys": [public(given["key"])]})
    if "compact" not in output:  # detached or JSON only: no compact serialization to verify
        with pytest.raises(errors.InvalidToken):
            verify_jws(str(output), jwks, [algorithm])
        return

    header, payload = verify_jws(output["compact"], jwks, [algorithm])

    assert header == vector["signing"]["protected"]
    assert payload == given["payload"].encode()
    with pytest.raises(errors.AlgorithmNotAllowed):
        verify_jws(output["compact"], jwks, ["ES256K"])
    for serialized in (output.get("json"), output.get("json_flat")):
        with pytest.raises(errors.InvalidToken):
            verify_jws(str(serialized), jwks, [algorithm])


@pytest.mark.vectors("rfc7520_cookbook_a.json", keys)
def test_rfc7520_jwk(vector):
    """A public key and a MAC secret are taken; what is private or for encryption is not."""
    usable = not any(member in vector for member in _PRIVATE) and vector.get("use") == "sig"
    source = JWKSet(vector)
    assert len(source.current()) == usable
    assert bool(source.problems) is not usable
    assert isinstance(source, JWKSet)
    assert not isinstance(source, PublicKey)
