"""Signing in where the rules only report, and what observers are told of it."""

from datetime import UTC, datetime, timedelta

from jwtguard.observe import Observer

from .people import Provider, back, browser, sign_in


class Noting(Observer):
    def __init__(self):
        self.told = []
        self.exchanges = []

    def decided(self, decided):
        self.told.append((decided.verdict, decided.rule, decided.reason))

    def exchanged(self, exchange):
        self.exchanges.append((exchange.kind, exchange.issuer, exchange.status))


def soon(provider):
    return datetime.fromtimestamp(provider.clock(), UTC).date() + timedelta(days=30)


def test_the_pages_of_signing_in_are_the_guards_own_where_rules_only_report():
    provider = Provider()
    alice = browser(provider, report_until=soon(provider))

    seen = alice.get("/page")
    assert (seen.status, seen.token) == (200, None)
    begun = alice.get("/auth/login?next=/page")
    assert begun.status == 302
    assert alice.get("/auth/callback?code=a&state=forged").status == 400
    assert alice.get(back(begun, provider)).location == "/page"
    assert alice.get("/page").token.subject == "alice"


def test_an_observer_is_told_of_signing_in_as_of_everything_else():
    provider, seen = Provider(), Noting()
    alice = browser(provider, observer=seen)
    sign_in(alice, provider)
    alice.get("/page")
    alice.get("/auth/callback?code=a&state=forged")

    assert {kind for kind, _, _ in seen.exchanges} == {"login"}
    assert {status for _, _, status in seen.exchanges} == {200}
    assert seen.told[0] == ("refused", "closing:/**", "no_credentials")
    assert ("answered", None, None) in seen.told
    assert seen.told[-2] == ("allowed", "closing:/**", None)
    assert seen.told[-1][:2] == ("refused", "login")
