"""Signing in, step by step: what the browser is told, and what comes of it."""

import pytest

from jwtguard import errors

from .people import Provider, browser, sign_in


def test_a_browser_signs_in_and_is_back_where_it_was():
    provider = Provider()
    alice = browser(provider)

    done = sign_in(alice, provider)

    assert (done.status, done.location) == (302, "/page?x=1")
    seen = alice.get("/page?x=1")
    assert seen.status == 200
    assert seen.token.subject == "alice"
    assert seen.token.issuer == "session"
    assert seen.token.roles == {"editor"}
    assert seen.token["email"] == "alice@example.com"


def test_a_session_is_verified_by_name_and_is_nobody_elses_token():
    provider = Provider()
    alice = browser(provider)
    sign_in(alice, provider)
    raw = alice.get("/").token.raw

    assert alice.guard.verify(raw, issuers="session").subject == "alice"
    with pytest.raises(errors.UnknownIssuer):
        alice.guard.verify(raw)


def test_the_paths_of_a_login_have_a_rate():
    provider = Provider()
    alice = browser(provider, login={"rate": "2/minute"})

    assert [alice.get("/auth/login").status for _ in range(3)] == [302, 302, 429]


def test_a_rate_that_makes_no_sense_is_said_at_start_up():
    with pytest.raises(errors.ConfigurationError, match=r"login\.rate"):
        browser(Provider(), login={"rate": "2/fortnight"})
