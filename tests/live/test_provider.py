"""Access tokens of a certified OpenID provider, in front of real servers of both protocols.

Whatever becomes of the provider: a good token of a known key is served, nobody gets in without one,
and who cannot be judged gets a 503.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time

import pytest

from jwtguard import Discovery, Guard, Issuer, RemoteKeys
from jwtguard.core.jose import parse
from jwtguard.signing import private_key, sign

from .openid import API, private_jwk, provider
from .servers import ROOT
from .threads import DOORS, Load, eventually, guarded, refused

ALGORITHMS = ["RS256", "ES256", "Ed25519"]

COOLDOWN = 0.2  # seconds
FRESH = 0.6
LIVELY = {"cooldown": COOLDOWN, "min_fresh": 0.1, "max_fresh": FRESH}

DISCOVERY = "/.well-known/openid-configuration"


def keys_at(openid, **words):
    return RemoteKeys(openid.jwks_uri, insecure_http=True, **words)


def discovered(openid, **words):
    return Discovery(insecure_http=True, **words)


both_doors = pytest.mark.parametrize("door", DOORS)
both_sources = pytest.mark.parametrize("source", [keys_at, discovered])
each_once = pytest.mark.parametrize(
    ("door", "source"), [("wsgi", keys_at), ("asgi", discovered)], ids=DOORS
)


def guard_of(openid, keys=None, *, audience="ES256", algorithms="ES256", **words):
    issuer = Issuer(
        openid.issuer,
        name="provider",
        audience=API + audience,
        algorithms=algorithms,
        keys=keys or keys_at(openid),
        **words,
    )
    return Guard([issuer])


def kid_of(token):
    return parse(token)[0].kid


@pytest.fixture(scope="module")
def openid(tmp_path_factory):
    """One that stays as it is."""
    keys = [private_jwk(algorithm, f"{algorithm}-1") for algorithm in ALGORITHMS]
    with provider(tmp_path_factory.mktemp("openid"), *keys) as running:
        yield running


@pytest.fixture
def own_openid(tmp_path):
    """One to stop, rotate and start again."""
    with provider(tmp_path, private_jwk("ES256", "first")) as running:
        yield running


# --- what is accepted ---------------------------------------------------------------------------


def test_the_provider_publishes_each_key_under_the_name_that_rfc_9864_gives_it(openid):
    published = openid.document("/jwks")["keys"]

    assert [(key["kty"], key["alg"]) for key in published] == [
        ("RSA", "RS256"),
        ("EC", "ES256"),
        ("OKP", "Ed25519"),
    ]
    assert [parse(openid.token(name))[0].algorithm for name in ALGORITHMS] == ALGORITHMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@both_sources
@both_doors
def test_a_token_of_the_provider_is_accepted(door, source, algorithm, openid):
    guard = guard_of(openid, source(openid), audience=algorithm, algorithms=algorithm)
    token = openid.token(algorithm)

    with guarded(door, guard) as client:
        answers = [client.ask(token), client.ask(token)]
        nobody = client.ask(None)

    assert [(answer.status, answer.body) for answer in answers] == [(200, "worker")] * 2
    assert (nobody.status, nobody.challenge) == (401, "Bearer")


@both_doors
def test_tokens_of_three_algorithms_cost_one_fetch(door, openid):
    before = openid.hits()
    audiences = [API + algorithm for algorithm in ALGORITHMS]
    issuer = Issuer(openid.issuer, audience=audiences, algorithms=ALGORITHMS, keys=keys_at(openid))

    with guarded(door, Guard([issuer])) as client:
        statuses = [client.ask(openid.token(algorithm)).status for algorithm in ALGORITHMS * 2]

    assert statuses == [200] * 6
    assert openid.hits() - before == 1


# --- what is refused ----------------------------------------------------------------------------

REFUSED = {
    "for another audience": ({"audience": "RS256"}, "audience_mismatch"),
    "of an algorithm that is not listed": ({"algorithms": "RS256"}, "algorithm_not_allowed"),
    "of another type": ({"typ": "JWT"}, "typ_mismatch"),
    "that lacks a claim": ({"required_claims": ["exp", "tenant"]}, "claim_missing"),
}


@pytest.mark.parametrize(("words", "reason"), REFUSED.values(), ids=REFUSED)
@both_doors
def test_a_token_is_refused_before_anything_is_fetched(door, words, reason, openid, caplog):
    before = openid.hits()

    with guarded(door, guard_of(openid, **words)) as client:
        answer = client.ask(openid.token("ES256"))

    assert (answer.status, json.loads(answer.body)["code"]) == (401, "invalid_token")
    assert refused(caplog) == [reason]
    assert openid.hits() == before


@both_doors
def test_a_token_is_served_until_it_expires_and_no_longer(door, openid, caplog):
    guard = guard_of(openid, audience="short", leeway=0)
    guard.warm()

    with guarded(door, guard) as client:
        client.ask(None)
        token = openid.token("short")
        first = client.ask(token)
        last = eventually(lambda: (got := client.ask(token)).status != 200 and got)

    assert (first.status, last.status) == (200, 401)
    assert json.loads(last.body)["code"] == "expired"
    assert refused(caplog) == ["no_credentials", "expired"]
    assert time.time() >= json.loads(parse(token)[1])["exp"]


@both_doors
def test_an_opaque_token_is_refused_where_nobody_introspects(door, openid, caplog):
    with guarded(door, guard_of(openid)) as client:
        answer = client.ask(openid.token("opaque"))

    assert answer.status == 401
    assert refused(caplog) == ["malformed_token"]


# --- rotation -----------------------------------------------------------------------------------


def forger(openid):
    """Gives tokens like the provider's, each with a new invented key id."""
    key = private_key("ES256")
    number = itertools.count()

    def forge():
        now = int(time.time())
        claims = {"iss": openid.issuer, "aud": API + "ES256", "sub": "mallory", "exp": now + 60}
        header = {"kid": f"invented-{next(number)}", "typ": "at+jwt"}
        return sign(claims, key, "ES256", header)

    return forge


@each_once
def test_keys_are_rotated_while_requests_flow(door, source, own_openid):
    """As every provider should: publish a key, sign with it later, and take the old one away."""
    openid = own_openid
    paths = ["/jwks"] if source is keys_at else ["/jwks", DISCOVERY]
    old_key, new_key = openid.keys[0], private_jwk("ES256", "second")
    old, new = openid.token("ES256"), []
    keys = source(openid, **LIVELY)
    began = time.monotonic()

    with (
        guarded(door, guard_of(openid, keys)) as client,
        Load(
            client.url,
            old=lambda: old,
            just_issued=lambda: openid.token("ES256"),
            new=lambda: new[-1] if new else None,
        ) as load,
    ):
        eventually(lambda: load.answers["old"] and load.answers["just_issued"])
        openid.tell(keys=[old_key, new_key])  # published beside, not yet in use
        eventually(lambda: keys.current().find("ES256", "second"))
        openid.tell(keys=[new_key, old_key])
        new.append(openid.token("ES256"))
        eventually(lambda: len(load.answers["new"]) > 20)
        all_well = time.monotonic()
        openid.tell(keys=[new_key])
        eventually(lambda: load.answers["old"][-1].status == 401)
        gone = time.monotonic()
        eventually(lambda: len(load.between("old", since=gone)) > 20)
    elapsed = time.monotonic() - began

    assert kid_of(new[0]) == "second"
    assert load.statuses("old", until=all_well) == {200}
    assert load.statuses("old", since=gone) == {401}
    assert load.statuses("just_issued") == load.statuses("new") == {200}
    assert all(3 <= openid.hits(path) <= 1 + elapsed / COOLDOWN for path in paths)


@each_once
def test_a_key_that_is_replaced_at_once_is_followed_within_the_cooldown(door, source, own_openid):
    """With somebody about who invents key ids, which must cost no more than the ration."""
    openid = own_openid
    old, new = openid.token("ES256"), []
    keys = source(openid, cooldown=COOLDOWN)
    began = time.monotonic()

    with (
        guarded(door, guard_of(openid, keys)) as client,
        Load(
            client.url,
            old=lambda: old,
            new=lambda: new[-1] if new else None,
            forged=forger(openid),
        ) as load,
    ):
        eventually(lambda: len(load.answers["old"]) > 20)
        replaced = time.monotonic()
        openid.tell(keys=[private_jwk("ES256", "second")])
        new.append(openid.token("ES256"))
        eventually(lambda: load.answers["new"] and load.answers["new"][-1].status == 200)
        served = time.monotonic()
        eventually(lambda: len(load.between("old", since=served)) > 20)
    elapsed = time.monotonic() - began

    assert served - replaced < COOLDOWN + 3  # which a busy machine may need
    assert load.statuses("old", until=replaced) == {200}
    assert load.statuses("old", since=served) == {401}
    assert load.statuses("new", until=served) <= {200, 401}
    assert load.statuses("new", since=served) == {200}
    assert load.statuses("forged") == {401}
    assert 2 <= openid.hits() <= 1 + elapsed / COOLDOWN


@both_doors
def test_a_key_that_signs_before_it_is_published_is_followed_when_the_set_is_old(door, own_openid):
    """Where a provider's address shows an old set for a while, as one behind a cache does."""
    openid = own_openid
    known, shown = openid.token("ES256"), openid.document("/jwks")

    with guarded(door, guard_of(openid, keys_at(openid, **LIVELY))) as client:
        assert client.ask(known).status == 200
        openid.tell(keys=[private_jwk("ES256", "second"), *openid.keys], published=shown)
        new = openid.token("ES256")
        early = eventually(lambda: (got := client.ask(new)) and openid.hits() > 2 and got)
        openid.tell(published=None)
        eventually(lambda: client.ask(new).status == 200)
        assert client.ask(known).status == 200

    assert early.status == 401


# --- outages ------------------------------------------------------------------------------------


@each_once
def test_a_provider_that_stops_takes_nobody_with_it_whose_keys_are_known(door, source, own_openid):
    openid = own_openid
    known = openid.token("ES256")
    unseen = iter([openid.token("ES256") for _ in range(250)])
    guard, other = (guard_of(openid, source(openid, **LIVELY)) for _ in range(2))

    with (
        guarded(door, guard) as client,
        guarded(door, other) as cold,
        Load(
            client.url,
            known=lambda: known,
            unseen=lambda: next(unseen, None),
            forged=forger(openid),
        ) as load,
    ):
        eventually(lambda: all(load.answers.values()))
        openid.stop()
        stopped = time.monotonic()
        with Load(cold.url, cold=lambda: known) as waiting:
            time.sleep(2 * FRESH)  # the keys grow old, and refreshes fail
            openid.keys = [private_jwk("ES256", "second"), *openid.keys]
            before_start = time.monotonic()
            openid.start()
            new = openid.token("ES256")
            eventually(lambda: waiting.answers["cold"][-1].status == 200)
            eventually(lambda: client.ask(new).status == 200)

    assert load.statuses("known") == {200}
    assert load.statuses("unseen") == {200}
    assert load.between("unseen", since=stopped + FRESH, until=before_start)
    assert load.statuses("forged", until=stopped) == {401}
    assert load.statuses("forged", since=stopped + COOLDOWN, until=before_start) == {503}
    assert load.statuses("forged") == {401, 503}
    refusals = waiting.between("cold", until=before_start)
    assert {answer.status for answer in refusals} == {503}
    assert all(int(answer.retry_after) >= 1 for answer in refusals)
    assert {json.loads(answer.body)["code"] for answer in refusals} == {"unavailable"}
    assert {answer.challenge for answer in refusals} == {None}
    assert waiting.statuses("cold") == {200, 503}


@each_once
def test_nobody_waits_for_a_provider_that_never_answers(door, source, own_openid):
    openid = own_openid
    known, new = openid.token("ES256"), openid.token("ES256")
    guard, other = (guard_of(openid, source(openid, timeout=1, **LIVELY)) for _ in range(2))

    with guarded(door, guard) as client, guarded(door, other) as cold:
        assert client.ask(known).status == 200
        openid.tell(silent=True)
        time.sleep(FRESH)
        began = time.monotonic()
        served = [client.ask(token).status for token in (known, new, known)]
        waited = time.monotonic() - began
        refusal = cold.ask(known)
        openid.tell(silent=False)
        eventually(lambda: cold.ask(known).status == 200)

    assert served == [200, 200, 200]
    assert waited < 1
    assert refusal.status == 503


def test_warming_up_while_the_provider_is_down_stops_nobody(own_openid, caplog):
    openid = own_openid
    token = openid.token("ES256")
    openid.stop()
    guards = {door: guard_of(openid, discovered(openid, **LIVELY)) for door in DOORS}

    guards["wsgi"].warm()
    asyncio.run(guards["asgi"].awarm())

    assert [record.levelname for record in caplog.records if record.name == "jwtguard.keys"] == [
        "ERROR",
        "ERROR",
    ]
    for door, guard in guards.items():
        with guarded(door, guard) as client:
            assert client.ask(token).status == 503
    openid.start()
    for door, guard in guards.items():
        with guarded(door, guard) as client:
            eventually(lambda ask=client.ask: ask(token).status == 200)


def test_a_guard_that_is_warm_asks_for_nothing(openid):
    guard = guard_of(openid, discovered(openid))
    guard.warm()
    asyncio.run(guard.awarm())
    before = openid.hits()

    for door in DOORS:
        with guarded(door, guard) as client:
            assert client.ask(openid.token("ES256")).status == 200

    assert openid.hits() == before


# --- commands -----------------------------------------------------------------------------------


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jwtguard", *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commands_tell_which_keys_there_are(own_openid, tmp_path):
    openid = own_openid
    openid.tell(keys=[private_jwk(algorithm, f"{algorithm}-1") for algorithm in ALGORITHMS])
    file = tmp_path / "jwtguard.toml"
    file.write_text(
        f"""
        [[issuer]]
        issuer     = "{openid.issuer}"
        name       = "provider"
        audience   = "{API}ES256"
        algorithms = ["RS256", "Ed25519"]
        discovery  = true

        [issuer.remote]
        insecure_http = true
        """
    )
    keys = command("keys", str(file), "--json")
    check = command("check", "--online", str(file))
    openid.stop()
    later = [command("keys", str(file)), command("check", "--online", str(file))]

    [issuer] = json.loads(keys.stdout)["issuers"]
    [source] = issuer["sources"]
    assert [(key["kid"], key["algorithms"]) for key in source["keys"]] == [
        ("RS256-1", ["RS256"]),
        ("ES256-1", []),
        ("Ed25519-1", ["Ed25519"]),
    ]
    assert (keys.returncode, check.returncode) == (0, 0), check.stdout + check.stderr
    assert [done.returncode for done in later] == [1, 1]
    assert "no keys" in later[0].stdout
    assert "the keys of issuer provider cannot be had" in " ".join(later[1].stdout.split())
