"""oauth2-proxy's redirects and the classics, through every parameter that names an address."""

from urllib.parse import quote, urlsplit

import pytest

from jwtguard.core.paths import return_address
from tests import shared

from .people import ISS, Provider, back, browser

CASES = "redirect_validator_cases.json"
NAMES = ["next", "redirect", "rd", "return_to", "url"]

PROVIDER = Provider()
ALICE = browser(PROVIDER, login={"after_login": "/home"})


def came_back(query):
    """Where a sign-in that was begun with *query* ends."""
    ALICE.cookies.clear()
    left = ALICE.get(f"/auth/login?{query}")
    assert left.location.startswith(f"{ISS}authorization?")
    done = ALICE.get(back(left, PROVIDER))
    assert done.status == 302
    return done.location


@shared.absent(CASES)
@pytest.mark.parametrize("name", NAMES)
def test_a_redirect_of_oauth2_proxy_stays_on_this_site(name, record_property):
    """Absolute addresses, which the original allows for listed domains, are refused here."""
    cases = shared.load(CASES)["cases"]
    followed = 0
    for case in cases:
        target = case["redirect"]
        good = name == "next" and case["valid"] and target.startswith("/")
        for written in (quote(target, safe=""), quote(target, safe="/:?=&#@")):
            found = came_back(f"{name}={written.replace('&', '%26').replace('#', '%23')}")
            assert found == (target if good and target != "/" else "/home"), case["name"]
            parts = urlsplit(found)
            assert (parts.scheme, parts.netloc) == ("", "")
            followed += good
    assert followed == (2 * sum(c["valid"] and c["redirect"][:1] == "/" for c in cases)) * (
        name == "next"
    )
    shared.count(record_property, CASES, len(cases))


def test_the_page_that_was_asked_for_survives_the_whole_way():
    """What the guard itself writes into next is come back to letter by letter."""
    for target in ("/page", "/p%C3%A4ge?q=%C3%A4&r=a+b", "/a/b/?x=//evil.example", "/x?a&b=&=c"):
        ALICE.cookies.clear()
        path, _, query = target.partition("?")
        sent = ALICE.get(f"{path.replace('%C3%A4', 'ä')}?{query}")
        assert sent.status == 302
        wanted = target if query else f"{target}"
        done = ALICE.get(back(ALICE.get(sent.location), PROVIDER))
        assert done.location == return_address(wanted) == wanted
