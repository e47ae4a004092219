"""``jwtguard dev`` for a file with a ``[login]``: signing in without the provider."""

import html
import os
import re
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from werkzeug.test import Client

from jwtguard import config
from jwtguard.cli import main
from jwtguard.core.model import Fetched
from jwtguard.dev.derive import PUBLIC_URL, derive
from jwtguard.dev.issuer import DevIssuer
from jwtguard.dev.keys import make_keys, write_keys
from jwtguard.dev.pages import Pages
from jwtguard.dev.signing_in import DISCOVERY
from jwtguard.testing import wsgi_request
from jwtguard.wsgi import GuardMiddleware

ROOT = Path(__file__).parent.parent
KEYS = make_keys()
PORT = 4711
HOST = f"127.0.0.1:{PORT}"
ADDRESS = f"http://{HOST}"
OWN = {"Host": HOST, "Origin": ADDRESS}

LOGIN = """
public_url = "https://app.example.com"

[login]
issuer        = {issuer}
client_id     = "app"
client_secret = {{ env = "NOBODY_SETS_THIS" }}
secret        = [{{ env = "NOR_THIS" }}, {{ file = "not there" }}]
claims        = ["email", "tier"]
{more}
"""
PEOPLE = """
[[issuer]]
issuer     = "https://login.example.com/"
name       = "people"
audience   = "https://api.example.com"
algorithms = {algorithms}
typ        = "at+jwt"
roles      = "/realm/roles"
{keys}
"""
RULES = """
[[rule]]
path   = "/open"
access = "public"

[[rule]]
path     = "/admin"
any_role = "admin"
"""


def toml(issuer='"people"', more="", algorithms='["RS256"]', keys="discovery = true", people=True):
    known = PEOPLE.format(algorithms=algorithms, keys=keys) if people else ""
    return LOGIN.format(issuer=issuer, more=more) + known + RULES


class Run:
    """What a run has, but for the servers: the guard, the issuer's pages, and an app."""

    def __init__(self, directory, text, public_url=None):
        (directory / "real.toml").write_text(text)
        keys = directory / "derived"
        keys.mkdir()
        write_keys(KEYS, keys)
        self.file = keys / "jwtguard.toml"
        self.notes = derive(directory / "real.toml", self.file, ADDRESS, public_url)
        self.guard = config.from_toml(self.file)
        self.pages = Pages(DevIssuer(config.from_toml(self.file), KEYS), PORT)
        self.client = Client(self.pages)
        self.asked = []
        self.app = GuardMiddleware(self.hello, self.guard, fetch=self.fetch)
        self.cookies = {}

    @staticmethod
    def hello(environ, start_response):
        start_response("200 OK", [])
        token = environ["jwtguard.token"]
        return [str(token and dict(token.claims)).encode()]

    def fetch(self, wanted):
        """As over the network, from the app to the issuer."""
        assert wanted.url.startswith(f"{ADDRESS}/")
        self.asked.append(wanted)
        answer = self.client.open(
            wanted.url.removeprefix(ADDRESS),
            method=wanted.method,
            headers={"Host": HOST, **wanted.headers},
            data=wanted.body,
        )
        return Fetched(answer.status_code, dict(answer.headers), answer.data)

    def get(self, target):
        """As a browser does that was somewhere on the site."""
        sent = {"Accept": "text/html", "Host": "localhost:8000", "Sec-Fetch-Site": "same-origin"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.cookies.items())
        answer = wsgi_request(self.app, "GET", target, sent, scheme="http")
        for name, value in answer.headers:
            if name == "Set-Cookie":
                cookie, _, rest = value.partition("=")
                self.cookies[cookie] = rest.partition(";")[0]
                assert "Secure" not in value
        self.cookies = {name: value for name, value in self.cookies.items() if value}
        return answer

    def left(self, target="/admin?x=1"):
        """The address of the issuer's page that who opens *target* is sent to."""
        sent = self.get(target)
        assert sent.status == 302, sent
        left = self.get(sent.header("Location")).header("Location")
        assert left.startswith(f"{ADDRESS}/sign-in?")
        return left.removeprefix(ADDRESS)

    def sign_in(self, left, **form):
        """The answer to the form of the page at *left*."""
        words = {"sub": "bob", "role": "admin", "claims": '{"email": "b@example.com"}', **form}
        page = self.client.get(left, headers={"Host": HOST})
        action = html.unescape(re.search(r'action="([^"]*)"', page.text)[1])
        return self.client.post(action, data=words, headers=OWN)

    def arrive(self, target="/admin?x=1", **form):
        """The claims of the session of somebody who signed in."""
        done = self.sign_in(self.left(target), **form)
        assert done.status_code == 303, done.text
        origin = self.guard.site.origin
        answer = self.get(done.headers["Location"].removeprefix(origin))
        assert (answer.status, answer.header("Location")) == (302, target), answer
        seen = self.get(target)
        assert seen.status == 200, seen
        return seen.body.decode()


@pytest.fixture
def run(tmp_path):
    return lambda *words, **more: Run(tmp_path, toml(**more), *words)


# --- the whole way ------------------------------------------------------------------------------

ISSUERS = [
    ({}, "https://login.example.com/"),
    ({"issuer": '"https://login.example.com/"'}, "https://login.example.com/"),
    ({"algorithms": '["PS256", "RS256"]'}, "https://login.example.com/"),
    ({"more": 'algorithms = ["EdDSA"]'}, "https://login.example.com/"),
    ({"issuer": '"https://elsewhere.example.com/"'}, f"{ADDRESS}/login"),
    ({"issuer": '"https://elsewhere.example.com/"', "people": False}, f"{ADDRESS}/login"),
    ({"algorithms": '["HS256"]', "keys": 'secret = "x"'}, f"{ADDRESS}/login"),
    ({"more": 'private_key = { file = "x" }\nmethod = "private_key_jwt"'}, None),
    ({"more": 'callback_path = "/back"\nlogin_path = "/in"'}, None),
]


@pytest.mark.parametrize(("words", "idp"), ISSUERS, ids=range(len(ISSUERS)))
def test_who_signs_in_is_whoever_they_like_and_back_at_the_page(run, words, idp):
    now = run(**words)
    session = now.arrive()

    assert "'sub': 'bob'" in session
    assert "'roles': ['admin']" in session
    assert "'email': 'b@example.com'" in session
    assert f"'idp': '{idp or 'https://login.example.com/'}'" in session
    assert list(now.cookies) == ["jwtguard-session"]
    assert any("login's issuer is" in note for note in now.notes) is ("/login'" in f"{idp}'")


def test_an_issuer_out_of_the_environment_is_the_same(run, monkeypatch):
    monkeypatch.setenv("WHO", "people")
    assert "login.example.com" in run(issuer='{ env = "WHO" }').arrive()


def test_an_issuer_of_a_preset_is_stood_in_for(tmp_path):
    preset = '[[issuer]]\npreset = "google"\naudience = "api"\n'
    now = Run(tmp_path, toml(issuer='"https://accounts.google.com"', people=False) + preset)
    page = now.client.get(now.left("/me"), headers={"Host": HOST}).text
    assert "Roles" not in page  # its tokens have none
    session = now.arrive("/me")
    assert "'idp': 'https://accounts.google.com'" in session
    assert "'roles': ['user']" in session


def test_tokens_of_the_page_are_good_beside_sessions(run):
    now = run()
    raw = now.client.post("/token", data={"roles": "admin"}, headers={"Host": HOST}).text.strip()
    sent = {"Authorization": f"Bearer {raw}"}
    assert wsgi_request(now.app, "GET", "/admin", sent, scheme="http").status == 200


def test_an_id_token_is_no_credential_here_either(run):
    now = run()
    query = dict(parse_qsl(urlsplit(now.left()).query))
    now.arrive()
    raw = now.pages.provider._id_token("bob", aud="app", nonce=query["nonce"])
    sent = {"Authorization": f"Bearer {raw}"}
    assert wsgi_request(now.app, "GET", "/open", sent, scheme="http").status == 200
    assert wsgi_request(now.app, "GET", "/x", sent, scheme="http").status == 401


# --- the derived configuration ------------------------------------------------------------------

URLS = [
    ('"https://app.example.com"', None, PUBLIC_URL),
    ('{ env = "NOBODY_SETS_THIS" }', None, PUBLIC_URL),
    ('"http://localhost:5000"', None, "http://localhost:5000"),
    ('"http://127.0.0.1:5000"', None, "http://127.0.0.1:5000"),
    ('"http://[::1]:5000"', None, "http://[::1]:5000"),
    ('"https://app.example.com"', "http://localhost:9000", "http://localhost:9000"),
    ('"http://localhost:5000"', "http://localhost:9000", "http://localhost:9000"),
]


@pytest.mark.parametrize(("given", "word", "found"), URLS)
def test_public_url_is_where_the_command_listens(tmp_path, given, word, found):
    now = Run(tmp_path, toml().replace('"https://app.example.com"', given), word)
    assert now.guard.site.origin == found
    assert any("public_url is" in note for note in now.notes) is (found == PUBLIC_URL)


def test_without_a_login_public_url_changes_where_it_is_asked_for_only(tmp_path):
    text = 'public_url = "https://app.example.com"\n' + PEOPLE.format(
        algorithms='["RS256"]', keys="discovery = true"
    )
    for number, word in enumerate((None, "http://localhost:9000")):
        directory = tmp_path / str(number)
        directory.mkdir()
        now = Run(directory, f"login = '/login'\n{text}" + RULES.replace("/open", "/login"), word)
        assert now.guard.origins == {word or "https://app.example.com"}
        assert now.pages.provider is None
        assert now.notes == []


def test_nothing_of_the_clients_own_is_in_it(run):
    text = run(more='method = "client_secret_post"\nuserinfo = true').file.read_text()
    for word in ("NOBODY_SETS_THIS", "NOR_THIS", "not there", "client_secret_post", "userinfo"):
        assert word not in text


def test_what_needs_more_than_this_run_is_left_out_and_said(tmp_path):
    more = '[store]\nredis = "x"\n[revocation]\nfile = "x"\n[rate_store]\nredis = "x"\n'
    now = Run(tmp_path, toml(more="userinfo = true") + more)
    said = " ".join(now.notes)
    assert all(f"[{name}] is left out" in said for name in ("store", "revocation", "rate_store"))
    assert "userinfo of the login is left out" in said
    assert now.arrive()


WRONG = [
    ({"issuer": '"peopel"'}, "did you mean 'people'"),
    ({"issuer": "3"}, "login.issuer"),
    ({"algorithms": '["RS257"]'}, "RS257"),
    ({"more": "idle = -1"}, "login.idle"),
    ({"more": 'sekret = "x"'}, "login.sekret"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_is_wrong_with_the_file_is_still_said(tmp_path, capsys, words, said):
    file = tmp_path / "real.toml"
    file.write_text(toml(**words))
    assert main(["dev", str(file), "--", "true"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_an_odd_public_url_is_wrong_use(tmp_path, capsys):
    file = tmp_path / "real.toml"
    file.write_text(toml())
    assert main(["dev", "--public-url", "http://app.example.com", str(file), "--", "true"]) == 2
    assert "is not https" in " ".join(capsys.readouterr().err.split())


# --- the page -----------------------------------------------------------------------------------


def changed(left, **words):
    path, _, query = left.partition("?")
    asked = {**dict(parse_qsl(query)), **words}
    return f"{path}?{urlencode({n: v for n, v in asked.items() if v is not None}, doseq=True)}"


CALLBACK = f"{PUBLIC_URL}/auth/callback"
FOREIGN = [
    {"client_id": "other"},
    {"client_id": None},
    {"redirect_uri": None},
    {"redirect_uri": "https://evil.example.com/auth/callback"},
    {"redirect_uri": "http://localhost:8000.evil.example.com/auth/callback"},
    {"redirect_uri": "http://localhost:8000@evil.example.com/auth/callback"},
    {"redirect_uri": "http://localhost:80001/auth/callback"},
    {"redirect_uri": f"{CALLBACK}/more"},
    {"redirect_uri": f"{PUBLIC_URL}/elsewhere?/auth/callback"},
    {"redirect_uri": f"{CALLBACK}?x=1"},
    {"redirect_uri": ["https://evil.example.com/", CALLBACK]},
    {"state": None},
    {"code_challenge": None},
]


@pytest.mark.parametrize("change", FOREIGN, ids=range(len(FOREIGN)))
def test_codes_go_to_the_app_alone(run, change):
    now = run()
    answer = now.client.post(changed(now.left(), **change), data={"sub": "x"}, headers=OWN)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_a_parameter_that_stands_twice_leads_to_the_app(run):
    now = run()
    twice = changed(now.left(), redirect_uri=[CALLBACK, "https://evil.example.com/"])
    answer = now.client.post(twice, data={"sub": "x"}, headers=OWN)
    assert answer.headers["Location"].startswith(f"{CALLBACK}?")


def test_an_app_below_a_prefix_is_the_app(run):
    now = run()
    below = changed(now.left(), redirect_uri=f"{PUBLIC_URL}/mounted/auth/callback")
    assert now.sign_in(below).status_code == 303


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/token"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": PUBLIC_URL}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example.com:4711"}, 421),
    ],
)
def test_no_other_site_signs_anybody_in(run, path, headers, status):
    now = run()
    target = path + now.left().removeprefix("/sign-in")
    answer = now.client.post(target, data={"sub": "x"}, headers={"Host": HOST, **headers})
    assert (answer.status_code, "Location" in answer.headers) == (status, False)


UNCLEAR = [
    ({"claims": "{"}, "claims: JSON"),
    ({"claims": '{"exp": "x"}'}, "claims: claim_type"),
    ({"claims": '{"sub": 3}'}, "sub: whom to be"),
    ({"sub": ""}, "sub: whom to be"),
]


@pytest.mark.parametrize(("form", "said"), UNCLEAR)
def test_what_is_unclear_is_said_and_the_form_comes_back(run, form, said):
    now = run()
    answer = now.sign_in(now.left(), **form)
    assert answer.status_code == 400
    assert said in html.unescape(answer.text)
    assert "checked> admin" in answer.text


NASTY = "\"'></textarea><script>alert(1)</script>&amp; $sub ${roles}"


@pytest.mark.parametrize("field", ["sub", "role", "roles", "claims"])
def test_what_was_sent_is_written_escaped(run, field):
    now = run()
    answer = now.sign_in(changed(now.left(), nonce=NASTY), **{"claims": "{", field: NASTY})
    assert answer.status_code == 400
    assert "<script" not in answer.text
    assert html.escape(NASTY) in answer.text or field in ("role", "roles")


def test_the_page_offers_the_roles_of_rules_and_the_claims_that_sessions_keep(run):
    now = run()
    answer = now.client.get(now.left(), headers={"Host": HOST})
    assert 'name="role" value="admin"' in answer.text
    assert '"email": "alice@example.com",\n  "tier": "dev"' in html.unescape(answer.text)
    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action 'self' {PUBLIC_URL}" in policy


def test_forms_may_say_where_they_come_from(run):
    # With "no-referrer" browsers send "Origin: null", which no page of ours can be told by.
    answer = run().client.get("/", headers={"Host": HOST})
    assert answer.headers["Referrer-Policy"] == "same-origin"


ALONE = {"/": (404, 404), "/token": (404, 404), "/jwks.json": (200, 404), "/sign-in": (400, 400)}


@pytest.mark.parametrize(("path", "statuses"), [*ALONE.items(), (f"/0{DISCOVERY}", (404, 404))])
def test_without_an_issuer_there_is_nothing_but_the_sign_in(run, path, statuses):
    client = run(issuer='"https://elsewhere.example.com/"', people=False).client
    found = [client.open(path, method=method, headers={"Host": HOST}) for method in ("GET", "POST")]
    assert tuple(one.status_code for one in found) == statuses


# --- the token endpoint -------------------------------------------------------------------------


VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def form_for_a_code(now):
    """What the app would send for a code that nobody came for."""
    done = now.sign_in(changed(now.left(), code_challenge=CHALLENGE))
    return {
        "grant_type": "authorization_code",
        "code": dict(parse_qsl(urlsplit(done.headers["Location"]).query))["code"],
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }


def test_a_code_is_good_once(run):
    now = run()
    form = form_for_a_code(now)
    for status in (200, 400):
        answer = now.client.post("/sign-in/token", data=form, headers={"Host": HOST})
        assert answer.status_code == status
        assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {"error": "invalid_grant"}


BAD = [
    {"code": "x"},
    {"code_verifier": "x" * 43},
    {"redirect_uri": f"{PUBLIC_URL}/mounted/auth/callback"},
    {"grant_type": "refresh_token"},
]


@pytest.mark.parametrize("change", BAD)
def test_a_code_is_good_with_its_own_verifier_and_address(run, change):
    now = run()
    form = {**form_for_a_code(now), **change}
    answer = now.client.post("/sign-in/token", data=form, headers={"Host": HOST})
    assert (answer.status_code, answer.json) == (400, {"error": "invalid_grant"})


def test_a_body_that_is_no_form_is_refused(run):
    client = run().client
    answer = client.post("/sign-in/token", data=b"\xff\xfe", headers={"Host": HOST})
    assert answer.status_code == 400
    answer = client.post("/sign-in/token", data=b"x" * 100_000, headers={"Host": HOST})
    assert answer.status_code == 413


# --- over HTTP ----------------------------------------------------------------------------------

APP = """
import sys
from werkzeug.serving import run_simple
from jwtguard.config import from_environment
from jwtguard.wsgi import GuardMiddleware

def hello(environ, start_response):
    start_response("200 OK", [])
    return [environ["jwtguard.token"].subject.encode()]

run_simple("127.0.0.1", int(sys.argv[1]), GuardMiddleware(hello, from_environment()))
"""


def test_an_app_that_knows_nothing_of_it_signs_people_in(tmp_path):
    (tmp_path / "real.toml").write_text(toml())
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jwtguard", "dev", "--public-url", origin),
            *(str(tmp_path / "real.toml"), "--", sys.executable, "-c", APP, str(port)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = [process.stderr.readline() for _ in range(4)]
        assert said[-1] == f"jwtguard dev: open {origin}/ and sign in there as anybody\n"
        with httpx2.Client(trust_env=False, headers={"Accept": "text/html"}) as browser:
            page = ask(browser, f"{origin}/me")
            while page.status_code == 302:
                page = browser.get(page.next_request.url)
            action = html.unescape(re.search(r'action="([^"]*)"', page.text)[1])
            page = browser.post(page.url.join(action), data={"sub": "bob"})
            while page.next_request:
                page = browser.get(page.next_request.url)
            assert (str(page.url), page.text) == (f"{origin}/me", "bob")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def ask(browser, address):
    """The first answer of a server that is being started."""
    until = time.monotonic() + 30
    while True:
        try:
            return browser.get(address)
        except httpx2.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.05)
