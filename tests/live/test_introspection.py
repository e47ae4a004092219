"""Tokens that a certified OpenID provider is asked about, in front of real servers (RFC 7662)."""

import json
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jwtguard import Guard, Introspection, Issuer, RemoteKeys
from jwtguard.signing import private_key, sign

from .openid import API, CLIENT_KEYS, SECRETS, private_jwk, provider
from .threads import DOORS, Load, eventually, guarded, refused

INTROSPECTION = "/token/introspection"
TTL = 0.5  # seconds

both_doors = pytest.mark.parametrize("door", DOORS)


@pytest.fixture(scope="module")
def openid(tmp_path_factory):
    """One that stays as it is."""
    keys = [private_jwk(algorithm, algorithm) for algorithm in ("RS256", "ES256")]
    with provider(tmp_path_factory.mktemp("openid"), *keys) as running:
        yield running


@pytest.fixture
def own_openid(tmp_path):
    """One to stop and start again."""
    with provider(tmp_path, private_jwk("ES256", "ES256")) as running:
        yield running


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


METHODS = {
    "client_secret_basic": {"client_id": "basic", "client_secret": SECRETS["basic"]},
    "client_secret_post": {"client_id": "post", "client_secret": SECRETS["post"]},
} | {
    f"private_key_jwt {name}": {"client_id": name, "private_key": pem(key)}
    for name, key in CLIENT_KEYS.items()
}


def asking(method="client_secret_basic", **words):
    """How to ask; the endpoint is discovered where none is given."""
    words = METHODS[method] | {"method": method.split()[0], "insecure_http": True} | words
    return Introspection(**words)


def guard_of(openid, introspection, *, audience="opaque", **words):
    """One that knows no keys, so that all it has to go by is the answer."""
    words = {"algorithms": (), "keys": None} | words
    issuer = Issuer(
        openid.issuer,
        name="provider",
        audience=API + audience,
        introspection=introspection,
        **words,
    )
    return Guard([issuer])


def guard_of_jwts(openid, audience="kept", **words):
    """One that verifies JWTs and then asks about them."""
    keys = RemoteKeys(openid.jwks_uri, insecure_http=True)
    words = {"when": "always"} | words
    return guard_of(
        openid, asking(**words), audience=audience, keys=keys, algorithms=["ES256", "RS256"]
    )


# --- what is accepted ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@both_doors
def test_an_opaque_token_is_accepted_however_we_authenticate(door, method, openid):
    with guarded(door, guard_of(openid, asking(method))) as client:
        answer = client.ask(openid.token("opaque"))

    assert (answer.status, answer.body) == (200, "worker")


@both_doors
def test_a_token_is_asked_about_once_while_the_answer_counts(door, openid):
    guard = guard_of(openid, asking())
    token = openid.token("opaque")
    before = openid.hits(INTROSPECTION)

    with (
        guarded(door, guard) as client,
        Load(client.url, **{f"client {n}": lambda: token for n in range(6)}) as load,
    ):
        eventually(lambda: all(len(answers) > 5 for answers in load.answers.values()))

    assert set.union(*map(load.statuses, load.answers)) == {200}
    assert openid.hits(INTROSPECTION) - before == 1


# --- what is refused ----------------------------------------------------------------------------


@both_doors
def test_an_invented_token_is_refused_and_asked_about_once(door, openid, caplog):
    before = openid.hits(INTROSPECTION)

    with guarded(door, guard_of(openid, asking())) as client:
        answers = [client.ask("invented-by-mallory") for _ in range(5)]

    assert {(answer.status, json.loads(answer.body)["code"]) for answer in answers} == {
        (401, "invalid_token")
    }
    assert refused(caplog) == ["token_inactive"] * 5
    assert openid.hits(INTROSPECTION) - before == 1


@both_doors
def test_a_token_for_another_audience_is_refused(door, openid, caplog):
    with guarded(door, guard_of(openid, asking(), audience="opaque-short")) as client:
        answer = client.ask(openid.token("opaque"))

    assert answer.status == 401
    assert refused(caplog) == ["audience_mismatch"]


@both_doors
def test_a_client_that_may_not_ask_accepts_nobody(door, openid, caplog):
    introspection = asking(client_id="stranger", client_secret=SECRETS["stranger"])

    with guarded(door, guard_of(openid, introspection)) as client:
        answer = client.ask(openid.token("opaque"))

    assert answer.status == 401
    assert refused(caplog) == ["token_inactive"]


@both_doors
def test_a_wrong_client_secret_is_no_fault_of_the_token(door, openid, caplog):
    guard = guard_of(openid, asking(client_secret="not-the-right-secret"))
    token = openid.token("opaque")

    with guarded(door, guard) as client:
        answer = client.ask(token)

    assert (answer.status, json.loads(answer.body)["code"]) == (503, "unavailable")
    assert int(answer.retry_after) >= 1
    assert refused(caplog) == ["introspection_unavailable"]
    assert "not-the-right-secret" not in caplog.text
    assert token not in caplog.text


@both_doors
def test_an_opaque_token_is_served_until_it_expires_however_long_answers_count(
    door, openid, caplog
):
    guard = guard_of(openid, asking(ttl=60), audience="opaque-short")
    guard.warm()

    with guarded(door, guard) as client:
        client.ask(None)
        token = openid.token("opaque-short")
        issued = time.time()
        first = client.ask(token)
        last = eventually(lambda: (got := client.ask(token)).status != 200 and got)

    assert (first.status, last.status) == (200, 401)
    assert issued + 1 <= time.time() < issued + 2 + 5  # well before the leeway is over
    assert refused(caplog) == ["no_credentials", "token_inactive"]


@both_doors
def test_a_revoked_token_is_refused_once_the_answer_no_longer_counts(door, openid, caplog):
    token, other = openid.token("opaque"), openid.token("opaque")

    with guarded(door, guard_of(openid, asking(ttl=TTL))) as client:
        assert [client.ask(token).status, client.ask(other).status] == [200, 200]
        openid.revoke(token)
        revoked = time.monotonic()
        last = eventually(lambda: (got := client.ask(token)).status != 200 and got)
        assert client.ask(other).status == 200

    assert last.status == 401
    assert last.answered - revoked < TTL + 3  # which a busy machine may need
    assert refused(caplog) == ["token_inactive"]


# --- JWTs that are asked about --------------------------------------------------------------------


@both_doors
def test_a_jwt_is_verified_and_asked_about_where_that_is_wanted(door, openid, caplog):
    token = openid.token("kept")
    before = openid.hits(INTROSPECTION)

    with guarded(door, guard_of_jwts(openid, ttl=TTL)) as client:
        first = client.ask(token)
        asked = openid.hits(INTROSPECTION) - before
        openid.revoke(token)
        last = eventually(lambda: (got := client.ask(token)).status != 200 and got)

    assert (first.status, first.body, asked) == (200, "worker", 1)
    assert last.status == 401
    assert refused(caplog) == ["token_inactive"]


@both_doors
def test_a_jwt_is_not_asked_about_where_only_opaque_tokens_are(door, openid):
    token = openid.token("kept")
    before = openid.hits(INTROSPECTION)

    with guarded(door, guard_of_jwts(openid, when="opaque")) as client:
        assert client.ask(token).status == 200
        openid.revoke(token)
        assert client.ask(token).status == 200

    assert openid.hits(INTROSPECTION) == before


@both_doors
def test_a_jwt_that_is_no_good_is_never_sent_on(door, openid, caplog):
    now = int(time.time())
    claims = {"iss": openid.issuer, "aud": API + "kept", "sub": "mallory", "exp": now + 60}
    header = {"kid": "ES256", "typ": "at+jwt"}
    forged = sign(claims, private_key("ES256"), "ES256", header)
    before = openid.hits(INTROSPECTION)

    with guarded(door, guard_of_jwts(openid)) as client:
        statuses = [client.ask(token).status for token in (forged, openid.token("ES256"))]

    assert statuses == [401, 401]
    assert refused(caplog) == ["bad_signature", "audience_mismatch"]
    assert openid.hits(INTROSPECTION) == before


@both_doors
def test_a_provider_that_knows_no_jwts_is_no_reason_to_let_one_in(door, openid, caplog):
    """This provider itself answers 400 unsupported_token_type to any JWT (RFC 7009's code)."""
    with guarded(door, guard_of_jwts(openid, "RS256")) as client:
        answer = client.ask(openid.token("RS256"))

    assert answer.status == 503
    assert refused(caplog) == ["introspection_unavailable"]


# --- outages ------------------------------------------------------------------------------------


@both_doors
def test_while_the_provider_is_down_only_what_was_asked_about_is_served(door, own_openid):
    openid = own_openid
    introspection = asking(endpoint=openid.issuer + INTROSPECTION, ttl=600)
    known, unseen = openid.token("opaque"), openid.token("opaque")
    stopped, later = [], []

    with (
        guarded(door, guard_of(openid, introspection)) as client,
        Load(
            client.url,
            known=lambda: known,
            unseen=lambda: unseen if stopped else None,
            later=lambda: later[-1] if later else None,
        ) as load,
    ):
        eventually(lambda: load.answers["known"])
        openid.stop()
        stopped.append(True)
        eventually(lambda: len(load.answers["unseen"]) > 20)
        before_start = time.monotonic()
        openid.start()
        later.append(openid.token("opaque"))
        eventually(lambda: len(load.answers["later"]) > 20)
        eventually(lambda: load.answers["unseen"][-1].status == 401)

    assert load.statuses("known") == {200}
    assert load.statuses("later") == {200}
    refusals = load.between("unseen", until=before_start)
    assert {answer.status for answer in refusals} == {503}
    assert all(int(answer.retry_after) >= 1 for answer in refusals)
    # What was stored is lost with the provider's process: now the token is nobody's.
    assert load.statuses("unseen") == {401, 503}


@both_doors
def test_a_provider_that_never_answers_is_an_outage_too(door, own_openid, caplog):
    openid = own_openid
    introspection = asking(endpoint=openid.issuer + INTROSPECTION, timeout=0.5)
    token = openid.token("opaque")

    with guarded(door, guard_of(openid, introspection)) as client:
        openid.tell(silent=True)
        answer = client.ask(token)
        openid.tell(silent=False)
        assert client.ask(token).status == 200

    assert answer.status == 503
    assert answer.answered - answer.asked >= 0.5
    assert refused(caplog) == ["introspection_unavailable"]


def test_warming_up_finds_the_endpoint_or_stops_nobody(own_openid):
    openid = own_openid
    found, not_found = (guard_of(openid, asking()) for _ in range(2))
    found.warm()
    token, asked = openid.token("opaque"), openid.hits("/.well-known/openid-configuration")
    with guarded("wsgi", found) as client:
        assert client.ask(token).status == 200
    assert openid.hits("/.well-known/openid-configuration") == asked == 1
    openid.stop()

    not_found.warm()

    with guarded("wsgi", not_found) as client:
        assert client.ask(token).status == 503
