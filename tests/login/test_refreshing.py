"""Refresh tokens: while a session is used, the provider is asked again."""

import json
from urllib.parse import parse_qsl

import pytest

from jwtguard import Rule
from jwtguard.core import Fetched
from jwtguard.errors import FetchError
from jwtguard.stores import MemoryStore

from .people import Browser, Provider, browser, sign_in, site

IDLE = 3600


class Rotating(Provider):
    """Gives a refresh token with each answer and takes each once (RFC 9700 section 4.14.2)."""

    def __init__(self):
        super().__init__()
        self.tokens = {"refresh_token": "refresh-token-0"}
        self.current = "refresh-token-0"
        self.given = 0
        self.answer = {}
        self.refusal = None
        self.revoked = []
        self.says = {"revocation_endpoint": "https://login.example.com/revoke"}

    def __call__(self, fetch):
        form = dict(parse_qsl((fetch.body or b"").decode()))
        if fetch.url.endswith("/revoke"):
            self.asked.append(fetch)
            self.revoked.append(form["token"])
            return Fetched(200, {}, b"")
        if form.get("grant_type") != "refresh_token" or "token" in self.down:
            return super().__call__(fetch)
        self.asked.append(fetch)
        if self.refusal or form["refresh_token"] != self.current:
            error = {"error": self.refusal or "invalid_grant"}
            return Fetched(400, {}, json.dumps(error).encode())
        self.given += 1
        self.current = f"refresh-token-{self.given}"
        answer = {"access_token": "at", "refresh_token": self.current, **self.answer}
        return Fetched(200, {}, json.dumps(answer).encode())


def signed_in(store=None, **words):
    provider = Rotating()
    alice = browser(provider, store=store or MemoryStore(clock=provider.clock), **words)
    sign_in(alice, provider)
    return provider, alice


def test_a_renewal_asks_the_provider_and_new_roles_arrive():
    provider, alice = signed_in()
    words = {"roles": ["admin"], "nonce": None, "email": "new@example.com"}
    provider.clock.advance(IDLE * 0.6)
    provider.answer = {"id_token": provider.idp.token("alice", aud="app", **words)}

    renewed = alice.get("/page")

    assert provider.given == 1
    assert renewed.status == 200
    seen = alice.get("/page")
    assert (seen.token.roles, seen.token["email"]) == ({"admin"}, "new@example.com")
    assert provider.given == 1


def test_who_is_refused_takes_no_turn_of_a_renewal():
    rules = [Rule("/admin", roles="admin")]
    provider, alice = signed_in(rules=rules)
    provider.clock.advance(IDLE * 0.6)

    assert alice.get("/admin").status == 403
    assert provider.given == 0
    assert alice.get("/page").cookies
    assert provider.given == 1


def test_an_answer_without_an_id_token_changes_nothing_but_the_time():
    provider, alice = signed_in()
    before = alice.get("/page").token.claims
    provider.clock.advance(IDLE * 0.6)
    alice.get("/page")

    after = alice.get("/page").token.claims
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"iat", "exp"}


def test_it_goes_on_with_each_new_token_until_the_lifetime_is_over():
    provider, alice = signed_in()
    for turn in range(1, 6):
        provider.clock.advance(IDLE * 0.6)
        assert alice.get("/page").status == 200
        assert provider.given == turn


def test_where_the_provider_has_ended_the_session_it_ends_here():
    provider, alice = signed_in()
    provider.refusal = "invalid_grant"
    provider.clock.advance(IDLE * 0.6)

    ended = alice.get("/page")

    assert (ended.status, ended.location) == (302, "/auth/login?next=%2Fpage")


def test_a_session_that_the_provider_has_ended_stays_ended_in_every_process():
    provider = Rotating()
    store = MemoryStore(clock=provider.clock)
    alice = browser(provider, store=store)
    sign_in(alice, provider)
    elsewhere = Browser(site(provider, store=store), provider, dict(alice.cookies))
    provider.refusal = "invalid_grant"
    provider.clock.advance(IDLE * 0.6)
    assert alice.get("/page").status == 302

    provider.refusal = None
    seen = [one.get("/page").status for one in (alice, elsewhere) * 2]

    assert seen == [302] * 4


def test_that_a_session_has_ended_is_told_though_the_store_is_gone(caplog):
    class Lost(MemoryStore):
        def put(self, name, value, ttl):
            if provider.refusal:
                raise FetchError("the store is gone")
            super().put(name, value, ttl)

    provider = Rotating()
    alice = browser(provider, store=Lost(clock=provider.clock))
    sign_in(alice, provider)
    provider.refusal = "invalid_grant"
    provider.clock.advance(IDLE * 0.6)

    assert alice.get("/page").status == 302
    assert "that a session has ended is not kept" in caplog.text


@pytest.mark.parametrize("trouble", ["down", "500", "invalid_client", "bad id_token", "other sub"])
def test_where_the_provider_cannot_be_asked_the_session_stays_and_is_not_prolonged(trouble, caplog):
    provider, alice = signed_in()
    if trouble == "down":
        provider.down.add("token")
    elif trouble == "500":
        provider.status["token"] = 500
        provider.down.discard("token")
        provider.refusal = "temporarily_unavailable"
    elif trouble == "invalid_client":
        provider.refusal = "invalid_client"
    elif trouble == "bad id_token":
        provider.answer = {"id_token": "a.b.c"}
    else:
        provider.answer = {"id_token": provider.idp.token("mallory", aud="app")}
    provider.clock.advance(IDLE * 0.6)

    seen = alice.get("/page")

    assert (seen.status, seen.cookies) == (200, [])
    assert "a session is not renewed" in caplog.text
    assert "refresh-token-0" not in caplog.text
    provider.clock.advance(IDLE * 0.5)
    assert alice.get("/page").status == 302


def test_of_several_requests_one_asks_and_the_others_go_on():
    provider, alice = signed_in()
    provider.clock.advance(IDLE * 0.6)
    tab = Browser(alice.guard, provider, dict(alice.cookies))

    assert alice.get("/page").cookies
    assert (tab.get("/page").status, tab.get("/page").cookies) == (200, [])
    assert provider.given == 1


def test_the_store_holds_no_token_in_clear():
    store = MemoryStore()
    signed_in(store)
    held = repr({name: kept.value for name, kept in store._kept.items()})

    assert "refresh-token-0" not in held
    assert held.count("login refresh") == 1


@pytest.mark.parametrize("lost", ["forgotten", "of another key"])
def test_where_the_token_is_lost_the_session_is_not_prolonged(lost):
    store = MemoryStore()
    provider, alice = signed_in(store)
    for name in [*store._kept]:
        store.remove(name)
        if lost == "of another key":
            store.put(name, b"something", 60)
    provider.clock.advance(IDLE * 0.6)

    assert (alice.get("/page").status, alice.get("/page").cookies) == (200, [])


class Down(MemoryStore):
    """A store that is down from a moment on."""

    is_down = False

    def _refuse(self):
        if self.is_down:
            raise FetchError("the store is down")

    def get(self, name):
        self._refuse()
        return super().get(name)

    def put(self, name, value, ttl):
        self._refuse()
        return super().put(name, value, ttl)

    def add(self, name, value, ttl):
        self._refuse()
        return super().add(name, value, ttl)


def test_a_store_that_is_down_stops_nobody_from_signing_in_and_prolongs_nothing(caplog):
    store = Down()
    store.is_down = True
    provider, alice = signed_in(store)
    assert alice.get("/page").status == 200
    assert "refresh" not in alice.get("/page").token.claims

    store.is_down = False
    alice.cookies.clear()
    sign_in(alice, provider)
    store.is_down = True
    provider.clock.advance(IDLE * 0.6)
    assert (alice.get("/page").status, alice.get("/page").cookies) == (200, [])
    assert "a session is not renewed: the store is down" in caplog.text


def test_a_provider_without_refresh_tokens_is_not_asked():
    provider = Provider()
    alice = browser(provider, store=MemoryStore())
    sign_in(alice, provider)
    asked = len(provider.asked)
    provider.clock.advance(IDLE * 0.6)

    assert alice.get("/page").cookies
    assert len(provider.asked) == asked


def test_without_a_store_refresh_tokens_are_not_used_and_start_up_says_so(caplog):
    caplog.set_level("INFO")
    provider = Rotating()
    alice = Browser(site(provider), provider)
    sign_in(alice, provider)
    provider.clock.advance(IDLE * 0.6)

    assert alice.get("/page").cookies
    assert provider.given == 0
    assert "there is no store for refresh tokens" in caplog.text


def test_logout_takes_the_refresh_token_back():
    provider, alice = signed_in()
    alice.get("/auth/logout")

    assert provider.revoked == ["refresh-token-0"]


def test_logout_goes_on_where_the_token_cannot_be_taken_back(caplog):
    store = Down()
    provider, alice = signed_in(store)
    store.is_down = True

    assert alice.get("/auth/logout").status == 302
    assert provider.revoked == []
    assert "was not revoked" in caplog.text


def test_what_userinfo_alone_knows_stays_when_a_session_is_refreshed():
    provider = Rotating()
    alice = browser(provider, store=MemoryStore(), login={"userinfo": True, "claims": ["name"]})
    sign_in(alice, provider)
    provider.clock.advance(IDLE * 0.6)
    provider.answer = {"id_token": provider.idp.token("alice", aud="app", roles=["admin"])}
    alice.get("/page")

    seen = alice.get("/page").token
    assert (seen["name"], seen.roles) == ("Alice", {"admin"})


def test_where_the_keys_of_a_new_id_token_cannot_be_had_the_session_stays(caplog):
    provider = Rotating()
    alice = browser(provider, store=MemoryStore(clock=provider.clock), issuers=[])
    sign_in(alice, provider)
    provider.clock.advance(IDLE * 0.6)
    provider.idp.rotate()
    provider.answer = {"id_token": provider.idp.token("alice", aud="app")}
    provider.down.add("jwks")

    seen = alice.get("/page")

    assert (seen.status, seen.cookies) == (200, [])
    assert "a session is not renewed: keys_unavailable" in caplog.text


@pytest.mark.parametrize("lost", ["the endpoint", "the token"])
def test_logout_revokes_what_there_is_where_it_can(lost):
    store = MemoryStore()
    provider, alice = signed_in(store)
    if lost == "the token":
        for name in [*store._kept]:
            store.remove(name)
    else:
        provider.says = {}
        alice.guard = site(provider, store=store)

    assert alice.get("/auth/logout").status == 302
    assert provider.revoked == []
