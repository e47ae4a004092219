"""How often somebody may come to the paths of a login."""

import pytest

from jwtguard import Guard, Login, errors

from .people import CLIENT, ISS, ORIGIN, SECRET, Provider, browser


def somebody():
    return browser(Provider(), login={"rate": {"limit": "5/second", "burst": 10}})


def test_an_address_may_come_to_sign_in_as_often_as_the_rate_says():
    visitor = somebody()

    found = [visitor.get("/auth/login").status for _ in range(11)]

    assert found == [302] * 10 + [429]
    assert visitor.get("/auth/callback?state=x").status == 429
    assert visitor.get("/auth/login/").status == 429
    assert visitor.get("/open").status == 200


def test_the_provider_may_tell_of_any_number_of_sessions_that_end():
    provider = somebody()

    found = {provider.send("POST", "/auth/backchannel-logout").status for _ in range(30)}

    assert found == {400}


@pytest.mark.parametrize(
    ("rate", "place", "what"),
    [
        ("5/sec", "login.rate", "is no unit of time"),
        ([{"limit": "1/day", "brust": 1}], "login.rate[0].brust", "did you mean 'burst'?"),
        ({"limit": "1/day", "by": "claim:sub"}, "login.rate", "looked at"),
    ],
)
def test_a_rate_that_makes_no_sense_is_a_start_up_error(rate, place, what):
    login = Login(ISS, secret=SECRET, rate=rate, **CLIENT)

    with pytest.raises(errors.ConfigurationError) as caught:
        Guard([], login=login, public_url=ORIGIN)

    assert [
        (where, what in found) for where, found in caught.value.problems if "rate" in where
    ] == [(place, True)]
