"""What every token of an issuer must show: `Issuer(require=…)`."""

import logging

import pytest

from jwtguard import Guard, RemoteKeys, errors
from jwtguard.core.guard import Guard as CoreGuard
from jwtguard.core.model import Fetch

from .forge import NOW, make_issuer, refused, request, token

ACCESS = {"token_use": "access", "client_id": ["web", "cli"]}
EITHER = [{"azp": {"exists": True}, "scp": "read"}, {"azp": {"exists": True}, "roles": "app"}]

# require, claims of a token -> the claim it is refused for, or None
CASES = [
    ({}, {}, None),
    (ACCESS, {"token_use": "access", "client_id": "cli"}, None),
    (ACCESS, {"token_use": "id", "client_id": "cli"}, "token_use"),
    (ACCESS, {"client_id": "cli"}, "token_use"),
    (ACCESS, {"token_use": "access", "client_id": "other"}, "client_id"),
    (ACCESS, {"token_use": "access"}, "client_id"),
    ({"/a/b": 1}, {"a": {"b": 1}}, None),
    ({"/a/b": 1}, {"a": {"b": "1"}}, "/a/b"),
    ({"ver": {"matches": r"2\.\d"}}, {"ver": "2.0"}, None),
    ({"ver": {"matches": r"2\.\d"}}, {"ver": "1.0"}, "ver"),
    (EITHER, {"azp": "x", "scp": "read"}, None),
    (EITHER, {"azp": "x", "roles": ["app"]}, None),
    (EITHER, {"scp": "read"}, "azp"),
    (EITHER, {"azp": "x"}, "scp"),
]


@pytest.mark.parametrize(("require", "claims", "claim"), CASES)
def test_a_token_that_does_not_show_what_its_issuer_requires_is_refused(require, claims, claim):
    guard = Guard([make_issuer(require=require)], clock=lambda: NOW)
    raw = token(**claims)
    if claim is None:
        assert guard.verify(raw).subject == "alice"
        assert guard.verify(raw).subject == "alice"  # the one that is remembered
        return
    with pytest.raises(errors.ClaimMismatch) as caught:
        guard.verify(raw)
    assert (caught.value.status, caught.value.reason) == (401, "claim_mismatch")
    assert caught.value.claim == claim
    assert refused(guard, bearer=raw) == (401, "claim_mismatch")


def test_the_log_says_which_claim_and_what_was_found(caplog):
    guard = Guard([make_issuer(require=ACCESS)], clock=lambda: NOW)
    caplog.set_level(logging.WARNING, "jwtguard.refused")
    refused(guard, bearer=token(token_use="id"))
    (record,) = caplog.records
    assert (record.claim, record.found) == ("token_use", "id")
    assert 'found="id" want="token_use as in the issuer\'s require"' in record.getMessage()


def test_what_the_issuer_requires_is_looked_at_before_any_key_is_fetched():
    keys = RemoteKeys("https://issuer.test/keys")
    issuer = make_issuer(algorithms=["RS256"], keys=keys, require=ACCESS)
    guard = CoreGuard([issuer], clock=lambda: NOW)

    good = token(header={"alg": "RS256"}, token_use="access", client_id="web")
    assert isinstance(next(guard.decide_flow(request(bearer=good))), Fetch)
    bad = token(header={"alg": "RS256"}, token_use="id", client_id="web")
    with pytest.raises(StopIteration) as ended:
        next(guard.decide_flow(request(bearer=bad)))
    assert ended.value.value.error.reason == "claim_mismatch"


# require -> place of the problem, part of what it says
PROBLEMS = {
    "no mapping": (5, "require", "is a mapping of claims"),
    "None": (None, "require", "is a mapping of claims"),
    "no alternatives": ([], "require", "no alternatives"),
    "empty alternative": ([{}], "require[0]", "every token"),
    "operator": ({"a": {"exist": True}}, "require.a", "did you mean 'exists'"),
    "regular expression": ({"a": {"matches": "("}}, "require.a.matches", "regular expression"),
    "path": ({"a": {"path": "id"}}, "require", "write it into a rule"),
}


@pytest.mark.parametrize(("require", "place", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_broken_require_is_a_start_up_error(require, place, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        Guard([make_issuer(require=require)])
    ((where, what),) = caught.value.problems
    assert where == f"issuers[0].{place}"
    assert message in what
