"""What attackers make of a sign-in that is under way (RFC 9700, and what went wrong elsewhere),
at both doors, with a certified provider.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import quote

import pytest

from .browser import APP
from .sites import DOORS, SESSION, changed, of, session_set, site, target

both_doors = pytest.mark.parametrize("door", DOORS)


def code_of(visitor, callback):
    """How a callback is refused, in the words for programs; nobody is signed in by it."""
    answer = visitor.http.get(callback, headers={"Accept": "application/json"})
    assert answer.status_code == 400, f"{answer.status_code} {answer.text}"
    assert answer.headers["cache-control"] == "no-store"
    assert not session_set(answer)
    assert set(answer.json()) == {"error", "message", "code", "ref"}
    assert visitor.claims() is None
    return answer.json()["code"]


# --- whose sign-in it is ------------------------------------------------------------------------


def test_a_callback_that_another_browser_opens_signs_nobody_in(ada, mallory):
    """A code that was stolen; or one of the attacker's own, to sign the victim in as him."""
    callback = ada.at_callback()

    assert code_of(mallory, callback) == "login_state"
    assert ada.arrive(callback).status_code == 200, "the code is still Ada's"
    assert ada.claims()["sub"] == "ada"


def test_a_callback_is_good_once(ada):
    callback = ada.at_callback()
    ada.arrive(callback)
    before = ada.claims()

    answer = ada.http.get(callback)

    assert answer.status_code == 400
    assert ada.claims() == before


def test_a_callback_with_a_kept_copy_of_its_cookie_is_good_once(ada, app, mallory):
    """The cookie is gone from the browser; who has a copy needs a code that is good."""
    callback = ada.at_callback()
    mallory.http.cookies.update(ada.cookies())
    ada.arrive(callback)

    assert code_of(mallory, callback) == "token_exchange_failed"


def test_a_callback_is_over_after_a_refusal(ada):
    callback = ada.at_callback()

    assert code_of(ada, changed(callback, code=None, error="access_denied")) == "oauth2_error"
    assert code_of(ada, callback) == "login_state"


def test_another_code_does_not_fit_a_sign_in(ada, mallory):
    """A code that was injected fails for its code verifier (RFC 9700 section 4.5)."""
    stolen = of(ada.at_callback(), "code")
    own = mallory.at_callback(name="bob")

    assert code_of(mallory, changed(own, code=stolen)) == "token_exchange_failed"


def test_a_state_of_another_sign_in_does_not_fit(ada, mallory):
    first, second = ada.at_callback(), ada.at_callback()

    assert code_of(mallory, changed(second, state=of(first, "state"))) == "login_state"
    swapped = changed(second, state=of(first, "state"))
    assert code_of(ada, swapped) == "token_exchange_failed"


def test_the_cookie_of_one_sign_in_does_not_open_another(ada):
    callback = ada.at_callback()
    (name, value), *_ = ada.cookies().items()
    ada.http.cookies.clear()
    other = ada.at_callback()
    (other_name,) = ada.cookies()
    ada.http.cookies.clear()
    ada.http.cookies.set(other_name, value, domain=APP)

    assert name != other_name
    assert code_of(ada, other) == "login_state"
    assert code_of(ada, changed(other, state=of(callback, "state"))) == "login_state"


@pytest.mark.parametrize("at", [0, 5, 40, -2])
def test_a_cookie_that_was_changed_in_one_character_opens_nothing(ada, at):
    callback = ada.at_callback()
    ((name, value),) = ada.cookies().items()
    other = "A" if value[at] != "A" else "B"
    forged = value[:at] + other + value[at:][1:]
    ada.http.cookies.clear()
    ada.http.cookies.set(name, forged, domain=APP)

    assert code_of(ada, callback) == "login_state"


@both_doors
def test_a_swapped_nonce_is_noticed(door, unpushed, certificate, tmp_path):
    with site(door, unpushed, tmp_path, certificate) as app, app.visitor() as visitor:
        visitor.sign_in()
        visitor.http.cookies.delete(SESSION)
        leaving = target(visitor.get("/auth/login"))
        answer = visitor.http.get(changed(leaving, nonce="another"))

        assert code_of(visitor, target(answer)) == "token_exchange_failed"
        log = app.server.log.read_text()

    assert "another sign-in" in log


@both_doors
def test_a_code_challenge_that_was_taken_away_is_noticed(door, unpushed, certificate, tmp_path):
    """PKCE downgrade (RFC 9700 section 4.8.2); here it is the provider that notices."""
    with site(door, unpushed, tmp_path, certificate) as app, app.visitor() as visitor:
        visitor.sign_in()
        visitor.http.cookies.delete(SESSION)
        leaving = target(visitor.get("/auth/login"))
        bare = changed(leaving, code_challenge=None, code_challenge_method=None)
        answer = visitor.http.get(bare)

        assert code_of(visitor, target(answer)) == "token_exchange_failed"


@pytest.mark.parametrize(
    "iss", [None, "", "https://elsewhere.example.net", "twice", "trailing slash", "case"]
)
def test_an_answer_of_another_issuer_is_not_mixed_in(ada, app, iss):
    """RFC 9207 section 2.4; the provider says that it always names itself."""
    callback = ada.at_callback()
    own = app.openid.issuer
    forms = {
        "twice": f"{callback}&iss={quote(own, safe='')}",
        "trailing slash": changed(callback, iss=f"{own}/"),
        "case": changed(callback, iss=own.replace("https", "HTTPS")),
    }
    forged = forms.get(iss) or changed(callback, iss=iss)

    wanted = "invalid_request" if iss == "twice" else "login_state"
    assert code_of(ada, forged) == wanted


def test_two_browsers_that_send_the_same_callback_at_once_get_one_session(ada, app):
    callback = ada.at_callback()
    cookies = ada.cookies()
    visitors = [app.visitor() for _ in range(4)]
    together = Barrier(len(visitors))

    def arrive(visitor):
        visitor.http.cookies.update(cookies)
        together.wait(timeout=10)
        return visitor.http.get(callback)

    with ThreadPoolExecutor(len(visitors)) as threads:
        answers = [*threads.map(arrive, visitors)]
    for visitor in visitors:
        visitor.http.close()

    assert sorted(answer.status_code for answer in answers) == [302, 400, 400, 400]
    assert sum(len(session_set(answer)) for answer in answers) == 1


# --- parameters ---------------------------------------------------------------------------------

HTML = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
ODD = {
    "nothing": ({"state": None, "code": None, "iss": None}, "missing_code"),
    "no state": ({"state": None}, "login_state"),
    "an empty state": ({"state": ""}, "login_state"),
    "a state of nobody's": ({"state": "6a0b1c2d-" + "A" * 32}, "login_state"),
    "a state with HTML": ({"state": HTML}, "login_state"),
    "a state with a line break": ({"state": "6a0b1c2d-\r\nSet-Cookie: a=b"}, "login_state"),
    "no code": ({"code": None}, "missing_code"),
    "an empty code": ({"code": ""}, "missing_code"),
    "a code of nobody's": ({"code": "of nobody's"}, "token_exchange_failed"),
    "a code with HTML": ({"code": HTML}, "token_exchange_failed"),
    "a code with more parameters": ({"code": "a&grant_type=x"}, "token_exchange_failed"),
    "an error": ({"error": "access_denied"}, "oauth2_error"),
    "an error with HTML": ({"error": HTML, "error_description": HTML}, "oauth2_error"),
    "an error with an address": (
        {"error": "x", "error_uri": "https://evil.example"},
        "oauth2_error",
    ),
    "a page of errors": ({"error": "server_error", "error_description": "x" * 900}, "oauth2_error"),
}


@pytest.mark.parametrize(("fields", "code"), ODD.values(), ids=ODD)
def test_odd_parameters_are_refused_and_never_shown(ada, fields, code):
    callback = ada.at_callback()
    page = ada.http.get(changed(callback, **fields))
    callback = ada.at_callback()

    assert code_of(ada, changed(callback, **fields)) == code
    assert page.status_code == 400
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "script" not in page.text
    for value in filter(None, fields.values()):
        assert len(value) < 6 or value not in page.text
        assert quote(value) not in page.text or value.isalnum()
    assert "evil" not in page.text


@pytest.mark.parametrize("name", ["state", "code", "iss", "error"])
def test_a_parameter_that_stands_twice_is_refused(ada, name):
    callback = ada.at_callback()
    twice = f"{changed(callback, **{name: 'x'})}&{name}=y"

    assert code_of(ada, twice) == "invalid_request"


@pytest.mark.parametrize("query", ["%", "state=%ff", "&" * 200, "=", "state", ";;;", "%00=%00"])
def test_a_query_that_is_none_is_refused(ada, app, query):
    assert code_of(ada, f"{app.url('/auth/callback')}?{query}") in (
        "invalid_request",
        "missing_code",
    )


@pytest.mark.parametrize("name", ["next", "state", "code", "iss", "error", "x"])
@both_doors
def test_seven_kilobytes_in_a_parameter_break_nothing(
    door, name, people, certificate, tmp_path_factory
):
    long = "/" + "a" * 7000
    with long_lines(door, people, certificate, tmp_path_factory) as app, app.visitor() as visitor:
        leaving = visitor.get(f"/auth/login?{name}={long}")
        assert leaving.status_code == 302
        assert len(visitor.cookies()) == 1
        (cookie,) = visitor.cookies().values()
        assert len(cookie) < 1024

        callback = visitor.at_callback()
        answer = visitor.http.get(changed(callback, **{name: long}))
        assert answer.status_code == 302 if name in ("next", "x") else 400
        assert long not in answer.text
        asked = visitor.get(f"/inside?{name}={long}")
        assert asked.status_code in (302, 200)
        back = visitor.sign_in("/auth/login")
        assert str(back.url).startswith(app.public)


def long_lines(door, people, certificate, tmp_path_factory):
    """gunicorn reads lines of 4,094 bytes unless told otherwise."""
    options = ["--limit-request-line", "0"] if door == "wsgi" else []
    return site(door, people, tmp_path_factory.mktemp("long"), certificate, options=options)
