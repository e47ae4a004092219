"""The test kit: tokens of any shape, made by an issuer in the process and verified for real."""

import pytest

from jwtguard import Guard, PublicKey, Requirement, Rule, errors
from jwtguard.core import Request
from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.testing import FakeIssuer, private_key, verified

NOW = 1_800_000_000


@pytest.fixture
def idp():
    return FakeIssuer(algorithm="ES256")


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_algorithm_signs_and_verifies(algorithm):
    idp = FakeIssuer(algorithm=algorithm)
    guard = Guard([idp.trusted()])

    token = guard.verify(idp.token("alice"))

    assert token.subject == "alice"
    assert token.header["alg"] == algorithm
    with pytest.raises(errors.BadSignature):
        guard.verify(idp.token("alice", key=private_key(algorithm)))


def test_a_token_has_the_claims_it_was_asked_for(idp):
    raw = idp.token("bob", scopes=["a", "b"], roles="admin", email="bob@test", iat=None, expires=60)

    token = Guard([idp.trusted(name="people")]).verify(raw)

    assert token.identity == ("people", "bob")
    assert token.scopes == {"a", "b"}
    assert token.roles == {"admin"}
    assert token["email"] == "bob@test"
    assert "iat" not in token


# What a test asks for -> the refusal that it is meant to provoke.
BAD_TOKENS = {
    "expired": ({"expires": -3600}, errors.TokenExpired),
    "without exp": ({"exp": None}, errors.MissingClaim),
    "for another audience": ({"aud": "https://other.test"}, errors.ClaimMismatch),
    "of another issuer": ({"iss": "https://other.test/"}, errors.UnknownIssuer),
    "that says alg none": ({"header": {"alg": "none"}}, errors.InvalidToken),
    "that says another alg": ({"header": {"alg": "HS256"}}, errors.AlgorithmNotAllowed),
    "with crit": ({"header": {"crit": ["b64"], "b64": False}}, errors.MalformedToken),
    "with another key id": ({"header": {"kid": "other"}}, errors.KeyNotFound),
    "not yet valid": ({"nbf": 253402300799}, errors.TokenNotYetValid),
}


@pytest.mark.parametrize(("words", "error"), BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_token_can_be_bad_in_one_way_only(idp, words, error):
    guard = Guard([idp.trusted()])

    assert guard.verify(idp.token()).subject == "alice"
    with pytest.raises(error):
        guard.verify(idp.token(**words))


def test_a_rotated_out_key_takes_its_tokens_with_it(idp):
    guard = Guard([idp.trusted()])
    seen, unseen = idp.token("seen"), idp.token("unseen")
    assert guard.verify(seen).subject == "seen"

    idp.rotate()
    assert guard.verify(seen).subject == "seen"
    assert guard.verify(idp.token("new")).subject == "new"

    idp.rotate()
    for raw in (seen, unseen):
        with pytest.raises(errors.KeyNotFound):
            guard.verify(raw)


def test_a_rotation_that_keeps_nothing_takes_effect_at_once(idp):
    guard = Guard([idp.trusted()])
    seen = idp.token()
    assert guard.verify(seen)

    kid = idp.rotate(keep=0)

    assert [key["kid"] for key in idp.jwks()["keys"]] == [kid]
    with pytest.raises(errors.KeyNotFound):
        guard.verify(seen)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed448"])
def test_a_published_set_holds_no_private_member(algorithm):
    idp = FakeIssuer(algorithm=algorithm)
    idp.rotate()

    published = idp.jwks()["keys"]

    assert len(published) == 2
    assert all({"d", "p", "q", "k"}.isdisjoint(key) for key in published)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
def test_the_public_key_can_be_written_to_a_file(algorithm, tmp_path):
    idp = FakeIssuer(algorithm=algorithm)
    file = tmp_path / "issuer.pub"
    file.write_text(idp.public_pem())

    guard = Guard([idp.trusted(keys=PublicKey.from_file(file))])

    assert guard.verify(idp.token()).subject == "alice"


def test_a_secret_has_no_public_key():
    with pytest.raises(TypeError, match="HS256 has a secret"):
        FakeIssuer(algorithm="HS256").public_pem()


def test_the_clock_is_the_tests_own():
    now = [NOW]
    idp = FakeIssuer(algorithm="ES256", clock=lambda: now[0])
    guard = Guard([idp.trusted(leeway=0)], clock=lambda: now[0])
    raw = idp.token(expires=60)

    assert guard.verify(raw)["exp"] == NOW + 60

    now[0] += 60
    with pytest.raises(errors.TokenExpired):
        guard.verify(raw)


def test_an_issuer_without_iss_and_audience_leaves_the_claims_out():
    idp = FakeIssuer(None, audience=None, algorithm="HS256")

    token = Guard([idp.trusted()]).verify(idp.token())

    assert {"iss", "aud"}.isdisjoint(token.claims)


def test_a_bearer_is_the_value_of_an_authorization_header(idp):
    decision = Guard([idp.trusted()]).decide(
        Request("GET", "/", headers=[("Authorization", idp.bearer("alice", scopes="a"))])
    )

    assert decision.token.scopes == {"a"}


def test_a_cookie_passes_with_an_origin_of_the_same_site_only(idp):
    guard = Guard([idp.trusted()], [Rule("/app/**", credentials={"cookie": "auth_token"})])

    def post(sent):
        headers = [("Host", "app.test"), *sent.items()]
        return guard.decide(Request("POST", "/app/", headers=headers)).status

    assert post({"Cookie": idp.cookie("alice")["Cookie"]}) == 403
    assert post(idp.cookie("alice", origin="https://evil.test")) == 403
    assert post(idp.cookie("alice", origin="https://app.test")) == 200
    assert post(idp.cookie("alice")) == 200, "without a site of its own: Sec-Fetch-Site"


def test_verified_makes_a_token_to_hand_to_code_under_test():
    token = verified(sub="alice", scope="a b", role="admin", groups=["x"])

    assert token.identity == ("test", "alice")
    assert token.scopes == {"a", "b"}
    assert token.roles == {"admin"}
    assert token.claims == {"sub": "alice", "scope": "a b", "role": "admin", "groups": ["x"]}
    assert token.raw == ""
    Requirement(scopes="a", require={"groups": "x"}).authorize(token, Request("GET", "/"), {})


def test_verified_takes_every_claim_name_and_the_issuer_first():
    token = verified("people", issuer="a claim", iss="https://x/")

    assert token.issuer == "people"
    assert token["issuer"] == "a claim"


def test_verified_is_the_only_other_way_to_make_one():
    token = verified(sub="alice")

    with pytest.raises(TypeError, match=r"testing\.verified"):
        type(token)(sub="alice")
