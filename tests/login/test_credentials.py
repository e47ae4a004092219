"""Where a session may stand, whose it is, and what is none."""

import pytest

from jwtguard import Guard, Issuer, JWKSet, Revocations, Rule, drive, errors
from jwtguard.core import Allow, Request

from .people import ISS, Provider, browser, sign_in, site


def problems(make):
    with pytest.raises(errors.ConfigurationError) as caught:
        make()
    return dict(caught.value.problems)


def people(provider, **words):
    given = {"name": "people", "audience": "https://api.example.com", "algorithms": ["RS256"]}
    return Issuer(ISS, keys=JWKSet(provider.idp.jwks()), **{**given, **words})


def test_the_name_of_the_own_issuer_is_taken():
    provider = Provider()
    found = problems(
        lambda: site(provider, issuers=[people(provider, name="session")], login={"issuer": ISS})
    )
    assert "login's own issuer" in found["issuers[0].name"]


def test_sessions_take_a_login_and_a_rule_that_lists_them():
    provider = Provider()
    asks = Rule("/x", credentials=["session"])
    found = problems(lambda: Guard([people(provider)], [asks]))
    assert "there is none" in found["rules[0].credentials"]
    lists = Rule("/x", credentials=["session"], issuers=["people"])
    found = problems(lambda: site(provider, rules=[lists]))
    assert 'add "session" to issuers' in found["rules[0].credentials"]


RULES = [
    Rule("/both", credentials=["bearer", "session"]),
    Rule("/named", issuers=["session"]),
    Rule("/bearer", credentials=["bearer"], login=False),
    Rule("/cookie", credentials={"cookie": "t"}, login=False),
    Rule("/people", issuers=["people"], login=False),
]


def test_a_session_counts_where_the_rule_takes_one():
    provider = Provider()
    alice = browser(provider, rules=RULES)
    sign_in(alice, provider, "/both")
    paths = ("/both", "/named", "/else", "/bearer", "/cookie", "/people")
    assert {path: alice.get(path).status for path in paths} == {
        **dict.fromkeys(paths[:3], 200),
        **dict.fromkeys(paths[3:], 401),
    }


def test_a_session_is_no_bearer_token_and_a_bearer_token_no_session():
    provider = Provider()
    alice = browser(provider, rules=RULES)
    sign_in(alice, provider, "/both")
    ((name, raw),) = alice.cookies.items()
    token = provider.idp.token("alice", aud="https://api.example.com")

    def asked(path, *headers):
        return alice.guard.decide(Request("GET", path, headers=list(headers))).status

    for path in ("/both", "/named", "/people", "/else"):
        assert asked(path, ("Authorization", f"Bearer {raw}")) == 401
        assert asked(path, ("Cookie", f"{name}={token}")) == 401
    assert asked("/both", ("Authorization", f"Bearer {token}")) == 200


def test_an_id_token_of_the_login_is_no_access_token():
    provider = Provider()
    guard = site(provider, issuers=[people(provider, audience="app")])
    words = {"aud": "app", "nonce": "n"}
    for raw, reason in (
        (provider.idp.token("alice", **words), "id_token"),
        (provider.idp.token("alice", aud="app"), None),
    ):
        bearer = [("Authorization", f"Bearer {raw}")]
        decision = guard.decide(Request("GET", "/page", headers=bearer))
        assert getattr(getattr(decision, "error", None), "reason", None) == reason


def test_a_session_is_stripped_where_credentials_are():
    provider = Provider()
    alice = browser(provider, rules=RULES, strip_credentials=True)
    sign_in(alice, provider, "/both")
    alice.cookies["other"] = "kept"
    allow = alice.get("/both").decision
    assert isinstance(allow, Allow)
    assert ("cookie", "other=kept") in allow.set


def test_a_long_session_takes_two_cookies_and_is_stripped_of_both():
    provider = Provider(groups=["g" * 40] * 70)
    alice = browser(provider, login={"claims": ["groups"]}, strip_credentials=True)
    sign_in(alice, provider)
    assert len(alice.cookies) == 2
    alice.cookies["other"] = "kept"
    seen = alice.get("/page")
    assert seen.token["groups"] == ["g" * 40] * 70
    assert seen.decision.set == [("cookie", "other=kept")]


def test_warming_up_asks_the_provider_and_begins_to_follow_revocations():
    class Noted(Revocations):
        begun = 0

        def warm(self):
            self.begun += 1

    provider, revocations = Provider(), Noted()
    guard = site(provider, revocations=revocations)
    for flow in guard.warm_flows():
        drive.run(flow, provider)
    assert [fetch.url for fetch in provider.asked][:1] == [f"{ISS}.well-known/openid-configuration"]
    assert revocations.begun == 1
