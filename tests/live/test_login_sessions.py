"""Sessions, and the cookies that they are in: nobody gives one to somebody else, or ends another's.

What only a browser can tell is done with one.
"""

import contextlib

import httpx2
import pytest

from .browser import APP, SIBLING
from .sites import SESSION, changed, of, session_set

# --- cookies that others set --------------------------------------------------------------------


def test_a_second_cookie_of_the_same_name_is_refused(ada):
    callback = ada.at_callback()
    ((name, value),) = ada.cookies().items()

    for header in (
        f"{name}={value}; {name}=x",
        f"{name}=x; {name}={value}",
        f"{name}={value}; {name}={value}",
    ):
        ada.http.cookies.clear()
        answer = ada.http.get(callback, headers={"Cookie": header})
        assert answer.status_code == 400
        assert not session_set(answer)


def test_a_second_session_is_refused_and_not_chosen_from(ada, mallory):
    ada.sign_in()
    mallory.sign_in(name="bob")
    ours, theirs = ada.cookies()[SESSION], mallory.cookies()[SESSION]
    ada.http.cookies.clear()

    for header in (
        f"{SESSION}={ours}; {SESSION}={theirs}",
        f"{SESSION}={theirs}; {SESSION}={ours}",
    ):
        answer = ada.get("/claims", headers={"Cookie": header, "Accept": "*/*"})
        assert answer.status_code == 400


TOSSED = [
    "{0}={1}; Domain=example.com; Path=/; Secure",
    "={0}={1}; Domain=example.com; Path=/; Secure",
    "={0}={1}; Domain=example.com; Path=/inside; Secure",
    "__HOST-jwtguard-session={1}; Domain=example.com; Path=/; Secure",
    " {0}={1}; Domain=example.com; Path=/; Secure",
    "{0} ={1}; Domain=example.com; Path=/; Secure",
    "jwtguard-session={1}; Domain=example.com; Path=/",
    "a=b, {0}={1}; Domain=example.com; Path=/",
]


@pytest.mark.parametrize("cookie", TOSSED)
def test_a_host_of_the_same_domain_cannot_give_its_session_to_anybody(app, modern, mallory, cookie):
    """Nor take away the one that somebody has."""
    mallory.sign_in(name="bob")
    tossed = cookie.format(SESSION, mallory.cookies()[SESSION])
    modern.visit(app.url("/elsewhere", SIBLING))
    modern.chrome.execute_script("document.cookie = arguments[0]", tossed)

    modern.visit(app.url("/inside"))
    assert modern.url.startswith(f"{app.openid.issuer}/interaction/")
    modern.sign_in("ada")
    assert '"sub": "ada"' in modern.text
    modern.visit(app.url("/elsewhere", SIBLING))
    modern.chrome.execute_script("document.cookie = arguments[0]", tossed)
    modern.visit(app.url("/inside"))
    assert '"sub": "ada"' in modern.text


def test_a_session_that_was_there_before_is_replaced(ada, mallory):
    """Session fixation: whoever planted it knows nothing of the one that begins."""
    mallory.sign_in(name="bob")
    planted = mallory.cookies()[SESSION]
    callback = ada.at_callback()
    ada.http.cookies.set(SESSION, planted, domain=APP)
    ada.arrive(callback)

    assert ada.claims()["sub"] == "ada"
    assert ada.cookies()[SESSION] != planted


def test_many_begun_sign_ins_do_not_grow_the_cookie_field(ada):
    for _ in range(20):
        assert ada.get("/auth/login").status_code == 302
        assert len("; ".join(f"{k}={v}" for k, v in ada.cookies().items())) < 4096

    assert ada.sign_in().status_code == 200


# --- signing others out -------------------------------------------------------------------------

CROSS = {"Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize("said", ["cross-site", "same-site", "", "same-origin, cross-site", "x"])
def test_a_link_of_another_site_only_asks(ada, said):
    ada.sign_in()
    answer = ada.get("/auth/logout", headers={"Sec-Fetch-Site": said})

    assert answer.status_code == 200
    assert "<form" in answer.text
    assert not answer.headers.get_list("set-cookie")
    assert ada.claims()["sub"] == "ada"


@pytest.mark.parametrize(
    "said",
    [
        CROSS,
        {"Sec-Fetch-Site": "same-site"},
        CROSS | {"Origin": "https://elsewhere.example.net"},
        {"Sec-Fetch-Site": "", "Origin": "null"},
        {"Sec-Fetch-Site": "", "Origin": f"https://{SIBLING}"},
        {"Sec-Fetch-Site": ""},
    ],
    ids=str,
)
def test_a_form_of_another_site_signs_nobody_out(ada, said):
    ada.sign_in()
    answer = ada.post("/auth/logout", headers=said)

    assert answer.status_code == 403
    assert not answer.headers.get_list("set-cookie")
    assert ada.claims()["sub"] == "ada"


def test_a_frame_or_an_image_signs_nobody_out(ada):
    ada.sign_in()
    for kind in ("iframe", "image", "script"):
        mode = "navigate" if kind == "iframe" else "no-cors"
        ada.get("/auth/logout", headers=CROSS | {"Sec-Fetch-Dest": kind, "Sec-Fetch-Mode": mode})

    assert ada.claims()["sub"] == "ada"


def test_what_somebody_put_into_a_page_signs_nobody_out(app, modern):
    modern.visit(app.url("/inside"))
    modern.sign_in("ada")
    modern.chrome.set_script_timeout(10)
    modern.chrome.execute_async_script(
        """
        const done = arguments[0];
        const loaded = (name, words) => new Promise(settled => {
            const one = Object.assign(document.createElement(name), words);
            one.onload = one.onerror = settled;
            document.body.append(one);
        });
        Promise.all([
            loaded('img', {src: '/auth/logout'}),
            loaded('iframe', {src: '/auth/logout'}),
            loaded('link', {rel: 'prefetch', href: '/auth/logout'}),
            loaded('script', {src: '/auth/logout'}),
        ]).then(done);
        """
    )
    modern.reload()

    assert modern.url == app.url("/inside")


FORGED = {
    "nothing": b"",
    "no token": b"x=y",
    "an empty token": b"logout_token=",
    "no JWT": b"logout_token=abc",
    "two tokens": b"logout_token=a.b.c&logout_token=a.b.c",
    "no signature": b"logout_token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
    "JSON": b'{"logout_token": "a.b.c"}',
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("body", FORGED.values(), ids=FORGED)
def test_a_forged_logout_token_ends_nothing(ada, body):
    ada.sign_in()
    answer = ada.post(
        "/auth/backchannel-logout",
        content=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})
    assert answer.headers["cache-control"] == "no-store"
    assert ada.claims()["sub"] == "ada"


def test_a_logout_token_without_an_end_ends_nothing(ada, mallory):
    ada.sign_in()
    # A server may close while we are still sending, and its answer is lost then.
    with contextlib.suppress(httpx2.TransportError):
        answer = mallory.post("/auth/backchannel-logout", content=b"logout_token=" + b"a" * 200_000)
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})

    assert ada.claims()["sub"] == "ada"


@pytest.mark.parametrize("path", ["/auth/login", "/auth/callback", "/auth/backchannel-logout"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_each_path_takes_its_own_methods_only(ada, path, method):
    answer = ada.http.request(method, ada.site.url(path))
    own = "POST" if path == "/auth/backchannel-logout" else "GET"

    if method == own:
        assert answer.status_code in (302, 400)
    elif answer.status_code == 400:
        assert method == "X", "gunicorn refuses what is no method to it"
    else:
        assert (answer.status_code, answer.headers["allow"]) == (405, own)


# --- sessions are good for one thing ------------------------------------------------------------


PROGRAM = {"Accept": "*/*", "Sec-Fetch-Mode": "cors"}


def test_a_session_is_no_bearer_token(ada):
    ada.sign_in()
    session = ada.cookies()[SESSION]
    ada.http.cookies.clear()

    answer = ada.get("/claims", headers=PROGRAM | {"Authorization": f"Bearer {session}"})

    assert answer.status_code == 401


def test_an_access_token_is_no_session(ada, app):
    ada.http.cookies.set(SESSION, app.openid.token("ES256"), domain=APP)

    assert ada.claims() is None


def test_a_bad_bearer_token_is_refused_whatever_the_cookie_says(ada):
    ada.sign_in()
    answer = ada.get("/claims", headers=PROGRAM | {"Authorization": "Bearer a.b.c"})

    assert answer.status_code == 401


def test_another_site_posts_nothing_with_the_session(ada):
    ada.sign_in()
    sent = {
        "cross": ada.post("/inside", headers=CROSS | {"Origin": "https://elsewhere.example.net"}),
        "own": ada.post("/inside", headers={"Sec-Fetch-Site": "same-origin"}),
    }

    assert {name: answer.status_code for name, answer in sent.items()} == {"cross": 403, "own": 200}


def test_nothing_of_a_sign_in_is_in_the_log_of_refusals(ada, app):
    callback = ada.at_callback()
    code, state = of(callback, "code"), of(callback, "state")
    ((_, cookie),) = ada.cookies().items()
    ada.http.get(changed(callback, iss="https://evil.example"))
    log = app.server.log.read_text()

    lines = [line for line in log.splitlines() if "login_state" in line or "refused" in line]
    assert lines
    for secret in (code, state, cookie):
        assert not [line for line in lines if secret in line]
