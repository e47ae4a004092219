"""A fake issuer in the place of a configured one: the guard as it is, with other keys for a while.

Nothing here gives the guard a way to make exchanges: whatever asked for one would be a 503.
"""

import asyncio
import threading

import pytest

from jwtguard import (
    Discovery,
    Guard,
    Introspection,
    Issuer,
    JWKSet,
    PublicKey,
    RemoteKeys,
    Rule,
    Secret,
    asgi,
    drive,
    errors,
    presets,
    wsgi,
)
from jwtguard.core import Request
from jwtguard.core.candidates import Candidates
from jwtguard.testing import Clock, FakeIssuer, asgi_request, wsgi_request

ISS = "https://login.example.com/"
TEMPLATE = "https://login.example.com/{tenant}/v2.0"
AUDIENCE = "https://api.example.com"
real = FakeIssuer(ISS, audience=AUDIENCE, algorithm="ES256")


def issuer(iss=ISS, **words):
    common = {"name": "people", "audience": AUDIENCE, "algorithms": ["ES256"]}
    return Issuer(iss, **{**common, "keys": JWKSet(real.jwks()), **words})


def decide(guard, method="GET", path="/", headers=()):
    headers = headers.items() if isinstance(headers, dict) else headers
    return drive.run(guard.decide_flow(Request(method, path, headers=list(headers))))


def bearer(value):
    return {"Authorization": value}


def verify(guard, raw):
    return drive.run(guard.verify_flow(raw))


def asked(when="opaque", **words):
    return Introspection(f"{ISS}introspect", client_id="api", client_secret="x", when=when, **words)


ISSUERS = {
    "with a JWK Set": issuer(),
    "with a public key": issuer(keys=PublicKey.from_pem(real.public_pem())),
    "with a secret": issuer(algorithms=["HS256", "HS512"], keys=Secret("s" * 64)),
    "with remote keys": issuer(keys=RemoteKeys(f"{ISS}jwks")),
    "with discovery": issuer(keys=Discovery()),
    "with several sources": issuer(keys=[JWKSet(real.jwks()), RemoteKeys(f"{ISS}jwks")]),
    "with RSA keys": issuer(algorithms=["RS256"], keys=Discovery()),
    "with any of many algorithms": issuer(algorithms=["RS256", "Ed25519"], keys=Discovery()),
    "that is introspected": issuer(algorithms=(), keys=None, introspection=asked()),
    "that is introspected by discovery": issuer(
        algorithms=(), keys=None, introspection=Introspection(client_id="api", client_secret="x")
    ),
    "that is always introspected": issuer(algorithms=(), keys=None, introspection=asked("always")),
    "with keys and introspection": issuer(keys=Discovery(), introspection=asked()),
    "with keys and introspection of all": issuer(keys=Discovery(), introspection=asked("always")),
    "of many tenants": issuer(TEMPLATE, keys=Discovery(), tenants=["a", "b"]),
    "without an iss": issuer(None),
    "that is for two audiences": issuer(audience=["x", "y"]),
    "that is for any audience": issuer(audience=None),
    "with a typ": issuer(typ="at+jwt"),
    "with required claims": issuer(
        required_claims=["exp", "nbf", "jti", "client_id", "scope", "auth_time"]
    ),
    "with a max_age": issuer(max_age=60),
    "with claims to show": issuer(
        require={
            "token_use": "access",
            "ver": ["2.0", "1.0"],
            "/realm/kind": "x",
            "level": {"gte": 3},
            "low": {"lt": 0},
            "high": {"gt": 9},
            "few": {"lte": 2},
            "tags": {"all": ["a", "b"]},
            "azp": {"exists": True},
            "other": {"ne": "x"},
            "gone": {"exists": False},
        }
    ),
    "with alternatives to show": issuer(require=[{"scp": {"exists": True}}, {"roles": "x"}]),
}
every_issuer = pytest.mark.parametrize("configured", ISSUERS.values(), ids=ISSUERS)


@every_issuer
def test_it_stands_in_for_an_issuer_without_an_exchange(configured):
    guard = Guard([configured])

    with FakeIssuer.standing_in(guard, "people") as idp:
        drive.run_all(guard.warm_flows())
        for _ in range(2):
            decision = decide(guard, headers=bearer(idp.bearer("alice", scopes="a b")))

            assert decision.status == 200
            assert decision.token.identity == ("people", "alice")
            assert decision.token.scopes == {"a", "b"}
            assert decision.token.get("iss") == idp.issuer
        assert decide(guard, headers=bearer(idp.bearer(expires=-60))).status == 401
        assert decide(guard).status == 401


@every_issuer
def test_its_tokens_are_nobodys_before_and_afterwards(configured):
    guard = Guard([configured])
    with FakeIssuer.standing_in(guard, "people") as idp:
        raw = idp.token()
        verify(guard, raw)

    with pytest.raises(errors.AuthError):
        verify(guard, raw)
    with FakeIssuer.standing_in(guard, "people"), pytest.raises(errors.AuthError):
        verify(guard, raw)


@pytest.mark.parametrize("name", sorted(presets.PROVIDERS))
def test_it_stands_in_for_every_provider_that_is_known(name):
    places = {word: place.example for word, place in presets.PROVIDERS[name].places.items()}
    configured = presets.issuer(name, audience=AUDIENCE, **places)
    guard = Guard([configured])

    with FakeIssuer.standing_in(guard) as idp:
        token = verify(guard, idp.token("alice", roles=["admin"]))

    assert token.identity == (configured.name, "alice")
    assert token.roles == ({"admin"} if configured.roles else set())


ROLES = {
    "roles": ("roles", "role", "/realm_access/roles"),
    "groups": ("groups", "roles_of_old"),
    "/realm_access/roles": ("/realm_access/roles",),
    "cognito:groups": ("cognito:groups",),
    "/https:~1~1x.test~1roles": ("/https:~1~1x.test~1roles",),
}


@pytest.mark.parametrize("names", ROLES.values(), ids=ROLES)
def test_roles_go_where_the_issuer_reads_them(names):
    guard = Guard([issuer(roles=names)], [Rule("/**", any_role="admin")])

    with FakeIssuer.standing_in(guard) as idp:
        assert decide(guard, headers=bearer(idp.bearer(roles=["admin", "x"]))).status == 200
        assert decide(guard, headers=bearer(idp.bearer(roles="user"))).status == 403


def test_what_a_test_asks_for_counts_before_what_the_issuer_wants():
    guard = Guard(
        [issuer(required_claims=["exp", "jti", "sub"], require={"use": "access"}, typ="at+jwt")]
    )

    with FakeIssuer.standing_in(guard) as idp:
        assert verify(guard, idp.token(jti="mine"))["jti"] == "mine"
        for words, error in (
            ({"jti": None}, errors.MissingClaim),
            ({"sub": None}, errors.MissingClaim),
            ({"exp": None}, errors.MissingClaim),
            ({"use": "id"}, errors.ClaimMismatch),
            ({"header": {"typ": "JWT"}}, errors.ClaimMismatch),
            ({"aud": "other"}, errors.ClaimMismatch),
            ({"iss": "https://other.test/"}, errors.UnknownIssuer),
        ):
            with pytest.raises(error):
                verify(guard, idp.token(**words))


def test_a_token_seen_before_is_not_accepted_within_and_is_again_afterwards():
    guard = Guard([issuer()])
    raw = real.token("bob")
    assert verify(guard, raw).subject == "bob"

    with FakeIssuer.standing_in(guard, "people") as idp:
        assert decide(guard, headers=bearer(f"Bearer {raw}")).status == 401
        assert decide(guard, headers=bearer(idp.bearer("alice"))).status == 200

    assert verify(guard, raw).subject == "bob"


def test_after_an_exception_everything_is_as_before():
    guard = Guard([issuer()], clock=Clock())
    before = guard.verifier, guard.issuers, guard._clock

    with pytest.raises(RuntimeError), FakeIssuer.standing_in(guard, clock=Clock(0)):
        raise RuntimeError

    assert (guard.verifier, guard.issuers, guard._clock) == before


def test_another_guard_with_the_same_issuer_notices_nothing():
    shared = issuer()
    guard, other = Guard([shared]), Guard([shared])

    with FakeIssuer.standing_in(guard) as idp:
        assert verify(other, real.token("bob")).subject == "bob"
        with pytest.raises(errors.KeyNotFound):
            verify(other, idp.token())


def test_the_guards_other_issuers_stay_themselves():
    jobs = FakeIssuer("https://jobs.test/", name="jobs", audience=AUDIENCE, algorithm="ES256")
    guard = Guard([issuer(), jobs.trusted()], [Rule("/jobs/**", issuers="jobs")])

    with FakeIssuer.standing_in(guard, "people") as idp:
        assert verify(guard, jobs.token("worker")).identity == ("jobs", "worker")
        assert decide(guard, path="/jobs/1", headers=bearer(jobs.bearer())).status == 200
        assert decide(guard, path="/jobs/1", headers=bearer(idp.bearer())).status == 401
        assert verify(guard, idp.token("alice")).issuer == "people"
        own_key = drive.run(guard.verify_flow(idp.token("alice"), None, "people"))
        assert own_key.issuer == "people"
        with pytest.raises(errors.KeyNotFound):
            verify(guard, idp.token(iss=jobs.issuer))


def test_several_may_stand_in_at_once_and_the_last_one_counts():
    jobs = FakeIssuer("https://jobs.test/", name="jobs", audience=AUDIENCE, algorithm="ES256")
    guard = Guard([issuer(), jobs.trusted()])

    with FakeIssuer.standing_in(guard, "people") as people:
        with FakeIssuer.standing_in(guard, "jobs") as worker:
            assert verify(guard, worker.token()).issuer == "jobs"
            assert verify(guard, people.token()).issuer == "people"
            with FakeIssuer.standing_in(guard, "people") as inner:
                assert verify(guard, inner.token()).issuer == "people"
                with pytest.raises(errors.KeyNotFound):
                    verify(guard, people.token())
        assert verify(guard, people.token()).issuer == "people"
        assert verify(guard, jobs.token()).issuer == "jobs"


def test_blocks_may_end_in_any_order():
    guard = Guard([issuer()])
    before = guard.verifier
    first, second = FakeIssuer.standing_in(guard), FakeIssuer.standing_in(guard)
    first.__enter__()
    idp = second.__enter__()

    first.__exit__(None, None, None)
    assert verify(guard, idp.token()).subject == "alice"

    second.__exit__(None, None, None)
    assert guard.verifier is before


def test_a_name_that_no_issuer_has_is_told():
    guard = Guard([issuer(), issuer("https://b.test/", name="partners")])

    with pytest.raises(errors.ConfigurationError, match="did you mean 'people'"):
        FakeIssuer.standing_in(guard, "peopel").__enter__()
    with pytest.raises(errors.ConfigurationError, match=r"name: is missing.*'people', 'partners'"):
        FakeIssuer.standing_in(guard).__enter__()


def test_it_takes_a_guard_and_not_what_holds_one():
    guard = Guard([issuer()])
    door = wsgi.GuardMiddleware(lambda environ, start_response: [], guard)

    with pytest.raises(errors.ConfigurationError, match=r"found GuardMiddleware.*\.guard"):
        FakeIssuer.standing_in(door).__enter__()
    with pytest.raises(ValueError, match="'people' is no template"):
        FakeIssuer.standing_in(door.guard, tenant="a").__enter__()
    with FakeIssuer.standing_in(door.guard) as idp:
        assert verify(guard, idp.token())


def test_a_function_of_tenants_needs_to_be_told_one():
    guard = Guard([issuer(TEMPLATE, keys=Discovery(), tenants=lambda name: name == "acme")])

    with pytest.raises(ValueError, match="say tenant="):
        FakeIssuer.standing_in(guard).__enter__()
    with FakeIssuer.standing_in(guard, tenant="acme") as idp:
        assert verify(guard, idp.token()).tenant == "acme"
        with pytest.raises(errors.UnknownIssuer):
            verify(guard, idp.token(iss=TEMPLATE.replace("{tenant}", "evil")))


def test_every_tenant_can_be_spoken_for():
    guard = Guard([issuer(TEMPLATE, keys=Discovery(), tenants=["a", "b"])])

    with FakeIssuer.standing_in(guard, tenant="b") as idp:
        assert verify(guard, idp.token()).tenant == "b"
        other = verify(guard, idp.token(iss=TEMPLATE.replace("{tenant}", "a")))

    assert other.tenant == "a"


def test_an_outage_is_that_of_a_provider_whose_keys_are_known():
    guard = Guard([issuer(keys=Discovery())])

    with FakeIssuer.standing_in(guard) as idp:
        old = idp.token("old")
        idp.go_down()
        assert verify(guard, old).subject == "old"
        idp.rotate()
        new = bearer(idp.bearer("new"))
        assert decide(guard, headers=new).status == 503
        assert verify(guard, old).subject == "old"

        idp.come_back()
        assert decide(guard, headers=new).status == 200


def test_keys_that_are_at_hand_know_no_outage():
    guard = Guard([issuer()])

    with FakeIssuer.standing_in(guard) as idp:
        idp.go_down()
        idp.rotate(keep=0)
        assert verify(guard, idp.token()).subject == "alice"


def test_an_introspection_endpoint_goes_down_and_comes_back():
    guard = Guard([issuer(algorithms=(), keys=None, introspection=asked())])

    with FakeIssuer.standing_in(guard) as idp:
        headers = bearer(idp.bearer())
        idp.go_down()
        assert decide(guard, headers=headers).status == 503
        idp.come_back()
        assert decide(guard, headers=headers).status == 200


def test_a_revoked_token_is_refused_when_it_is_asked_about_again():
    clock = Clock()
    introspection = asked("always", ttl=60, clock=clock)
    guard = Guard([issuer(introspection=introspection)], clock=clock)

    with FakeIssuer.standing_in(guard) as idp:
        for raw in (idp.token(), idp.token(opaque=True)):
            verify(guard, raw)
            idp.revoke(raw)
            assert verify(guard, raw).subject == "alice"  # as the answer is kept
            clock.advance(61)
            with pytest.raises(errors.TokenInactive):
                verify(guard, raw)


def test_a_clock_can_be_put_into_a_guard_that_has_none():
    guard, clock = Guard([issuer(leeway=0)]), Clock(1_900_000_000)

    with FakeIssuer.standing_in(guard, clock=clock) as idp:
        raw = idp.token(expires=60)
        assert verify(guard, raw)["iat"] == 1_900_000_000
        assert drive.run(guard.renew_flow(verify(guard, raw))) == 60

        clock.advance(60)
        with pytest.raises(errors.TokenExpired):
            verify(guard, raw)


def test_the_guards_own_clock_is_the_issuers():
    guard = Guard([issuer()], clock=Clock(2_000_000_000))

    with FakeIssuer.standing_in(guard) as idp:
        assert verify(guard, idp.token())["iat"] == 2_000_000_000


COOKIE = Rule("/app/**", credentials={"cookie": "__Host-session"})
PAGES = {
    "its public_url": (
        {"public_url": "https://app.test", "origins": ["https://b.test"]},
        "https://app.test",
    ),
    "an origin": ({"origins": ["https://b.test"]}, "https://b.test"),
    "none": ({}, None),
}


@pytest.mark.parametrize(("words", "page"), PAGES.values(), ids=PAGES)
def test_a_cookie_comes_with_the_origin_of_the_site(words, page):
    guard = Guard([issuer()], [COOKIE], **words)

    with FakeIssuer.standing_in(guard) as idp:
        sent = idp.cookie("alice")
        assert sent.get("Origin") == page
        assert sent["Cookie"].startswith("__Host-session=")
        assert decide(guard, "POST", "/app/x", sent).status == 200
        evil = idp.cookie("alice", origin="https://evil.test")
        assert decide(guard, "POST", "/app/x", evil).status == 403
        assert decide(guard, "POST", "/app/x", {"Cookie": sent["Cookie"]}).status == 403


def test_it_stands_in_behind_both_doors():
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["jwtguard.token"].subject.encode()]

    async def async_app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["jwtguard.token"].subject.encode()})

    guard = Guard([issuer(keys=JWKSet(real.jwks()))])
    guarded, async_guarded = (
        wsgi.GuardMiddleware(app, guard),
        asgi.GuardMiddleware(async_app, guard),
    )

    def answers(headers):
        one = wsgi_request(guarded, "GET", "/", headers)
        other = asyncio.run(asgi_request(async_guarded, "GET", "/", headers))
        assert one.status == other.status
        return one.status

    bob = bearer(real.bearer("bob"))
    assert answers(bob) == 200
    with FakeIssuer.standing_in(guard) as idp:
        alice = bearer(idp.bearer("alice"))
        assert (answers(bob), answers(alice)) == (401, 200)
    assert (answers(bob), answers(alice)) == (200, 401)


def test_a_request_on_another_thread_is_judged_by_one_of_the_two():
    """Whatever happens at that moment: allowed for the one, refused for the other, no defect."""
    guard = Guard([issuer()])
    bob = bearer(real.bearer("bob"))
    stop, found = threading.Event(), set()

    def ask():
        while not stop.is_set():
            found.add(decide(guard, headers=bob).status)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            with FakeIssuer.standing_in(guard) as idp:
                assert decide(guard, headers=bearer(idp.bearer())).status == 200
                assert decide(guard, headers=bob).status == 401
            assert decide(guard, headers=bob).status == 200
            assert decide(guard, headers=bearer(idp.bearer())).status == 401
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert found <= {200, 401}


def test_what_stands_in_is_a_set_of_candidates_like_any_other():
    """A new member of `Candidates` must be thought of here."""
    assert {name for name in vars(Candidates) if not name.startswith("__")} == {
        "choose",
        "_wanted",
    }
    guard = Guard([issuer()])
    assert set(vars(guard.policy.closing.candidates)) == {
        "_directory",
        "_nameless",
        "issuers",
        "introspecting",
    }
