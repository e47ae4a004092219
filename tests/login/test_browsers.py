"""What browsers make of our answers: found with a real one (tests/live/test_login.py)."""

import re

import pytest

from .people import Provider, browser, sign_in


def test_who_begins_again_after_a_refusal_is_back_where_it_was():
    provider = Provider()
    alice = browser(provider)
    left = alice.get(alice.get("/page?x=1").location)
    refused = alice.get(f"/auth/callback?error=access_denied&state={left.asked['state']}")

    assert refused.status == 400
    assert re.findall(rb'href="([^"]+)"', refused.body) == [b"/auth/login?next=%2Fpage%3Fx%3D1"]


def test_a_session_is_kept_for_the_second_in_which_it_ends():
    provider = Provider()
    alice = browser(provider, login={"idle": 1.5})

    done = sign_in(alice, provider)

    assert [one for one in done.cookies if "Max-Age=2;" in one]


@pytest.mark.parametrize("words", [{}, {"failed_rate": "10/minute"}], ids=["plain", "counted"])
@pytest.mark.parametrize("cache_size", [0, 64])
def test_a_session_that_is_used_goes_on_however_it_is_verified(words, cache_size):
    """Long ones, which take two cookies, are verified anew each time, too."""
    provider = Provider()
    alice = browser(provider, cache_size=cache_size, **words)
    sign_in(alice, provider)
    for _ in range(3):
        provider.clock.advance(0.6 * 3600)
        assert alice.get("/page").status == 200
        assert alice.get("/page").token.subject == "alice"


def test_who_begins_again_when_the_provider_is_back_is_back_where_it_was():
    provider = Provider()
    provider.down.add(".well-known/openid-configuration")
    refused = browser(provider).get("/auth/login?next=%2Fpage%3Fx%3D1")

    assert refused.status == 503
    assert b'href="/auth/login?next=%2Fpage%3Fx%3D1"' in refused.body


NOT_MEANT = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": None},
    {"Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Dest": "script"},
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Purpose": "prefetch"},
    {"X-Sec-Purpose": "prefetch"},  # Hotwire Turbo, when the pointer is over a link
]


@pytest.mark.parametrize("said", NOT_MEANT, ids=str)
def test_what_nobody_clicked_signs_nobody_out(said):
    provider = Provider()
    alice = browser(provider)
    sign_in(alice, provider)
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}

    asked = alice.get("/auth/logout", headers=own | said)

    assert (asked.status, asked.cookies) == (200, [])
    assert b'<form method="post"' in asked.body
    assert alice.get("/page").status == 200
    assert alice.get("/auth/logout", headers=own).status == 302
    assert alice.get("/page").status == 302
