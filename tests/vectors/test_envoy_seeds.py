"""google/jwt_verify_lib: the seeds of its fuzzer, and every one-character change to them."""

import json
import random

import pytest

from jwtguard import JWKSet, PublicKey, errors
from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.core.keyloader import SeveralSources
from jwtguard.core.verifier import verify_jws


def pairs(document):
    return document["pairs"].items()


def source(text):
    """A JWK Set, a PEM, or certificates by key id."""
    if not text.lstrip().startswith("{"):
        return PublicKey.from_pem(text)
    found = json.loads(text, strict=False)
    if "keys" in found:
        return JWKSet(found)
    return SeveralSources([PublicKey.from_pem(pem, kid=kid) for kid, pem in found.items()])


def outcome(jwt, keys):
    try:
        verify_jws(jwt, keys, list(ALGORITHMS))
    except errors.InvalidToken:
        return False
    except errors.ConfigurationError:
        return None
    return True


@pytest.mark.vectors("envoy_fuzz_seed_pairs.json", pairs)
def test_envoy_seeds(vector):
    jwt, keys = vector["jwt"], source(vector["jwks_or_pem"])
    whole = outcome(jwt, keys)
    # A set whose only keys are too short is a start-up error, the token then never verifies.
    assert whole is True or (whole is None and keys.problems)
    pick = random.Random(jwt)
    alphabet = "ABCxyz019-_.=+/{} \n\0é"
    for _ in range(300):
        at = pick.randrange(len(jwt))
        changed = jwt[:at] + pick.choice(alphabet) + jwt[at + pick.randrange(2) :]
        if changed != jwt:
            assert outcome(changed, keys) in (False, None)
