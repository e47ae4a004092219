"""C2SP/wycheproof: JSON Web Signatures and Keys, below the claims."""

import pytest

from jwtguard import JWKSet, errors
from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.core.verifier import verify_jws


def cases(document):
    """All but those the file itself sets aside as defects of the corpus (their ``why``)."""
    for index, group in enumerate(document["groups"]):
        for test in group["tests"]:
            if test["expected"] == "skip":
                assert test["why"]
                continue
            yield f"{index}-{group['comment']}-{test['tcId']}-{test['comment']}", (group, test)


def algorithms_of(key):
    listed = {entry.get("alg") for entry in key.get("keys", [key])}
    return sorted(listed & ALGORITHMS.keys()) or list(ALGORITHMS)


def verdict(group, test):
    """ "valid", or the class of the error, which is one of our own or the test fails."""
    key = group.get("public") or group["private"]
    try:
        verify_jws(test["jws"], JWKSet(key), algorithms_of(key))
    except (errors.InvalidToken, errors.ConfigurationError):
        return "invalid"
    return "valid"


@pytest.mark.vectors("wycheproof_jws_half_a.json", cases)
def test_wycheproof_jws(vector):
    group, test = vector
    assert verdict(group, test) == test["expected"]


@pytest.mark.vectors("wycheproof_jwk_sample.json", cases)
def test_wycheproof_jwk(vector):
    group, test = vector
    assert verdict(group, test) == test["expected"]
