"""The pages for development in Chromium, with JavaScript and without: forms that really arrive."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jwtguard import config
from jwtguard.demo import running

ROOT = Path(__file__).parent.parent.parent
TOML = """
public_url = "https://app.example.com"

[login]
issuer        = "people"
client_id     = "app"
client_secret = { env = "NOBODY_SETS_THIS" }
secret        = { env = "NOBODY_SETS_THIS" }

[[issuer]]
issuer     = "https://login.example.com/"
name       = "people"
audience   = "https://api.example.com"
algorithms = ["ES256"]
discovery  = true

[[rule]]
path        = "/app/**"
any_role    = ["admin", "auditor"]
credentials = ["bearer", "session", { cookie = "auth_token" }]
"""
APP = """
import os
from werkzeug.serving import make_server
from jwtguard.config import from_environment
from jwtguard.wsgi import GuardMiddleware

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    token = environ["jwtguard.token"]
    return [f"{token.subject} {sorted(token.roles)} {token.get('email')}".encode()]

guard = from_environment()
port = int(guard.site.origin.rpartition(":")[2])
server = make_server("127.0.0.1", port, GuardMiddleware(hello, guard), threaded=True)
print(os.environ["JWTGUARD_CONFIG"], flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def development(directory):
    """Addresses of the issuer and the app, and the configuration of the app."""
    (directory / "jwtguard.toml").write_text(TOML)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        origin = f"http://localhost:{sock.getsockname()[1]}"
    words = ["dev", "--public-url", origin, str(directory / "jwtguard.toml")]
    process = subprocess.Popen(
        [sys.executable, "-m", "jwtguard", *words, "--", sys.executable, "-c", APP],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = re.search(r"http://[0-9.:]+", process.stderr.readline())[0]
        yield address, origin, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    with development(tmp_path_factory.mktemp("dev")) as found:
        yield found


def test_who_signs_in_at_the_development_issuer_is_back_at_the_page(dev, browser, tmp_path):
    address, origin, _ = dev
    browser.visit(f"{origin}/app/x?a=1")
    assert browser.url.startswith(f"{address}/sign-in?")
    browser.find("[name=role][value=auditor]").click()
    browser.find("[name=sub]").clear()
    browser.find("[name=sub]").send_keys("bob")
    browser.follow("Sign in")

    assert browser.url == f"{origin}/app/x?a=1"
    assert browser.text == "bob ['auditor'] alice@example.com"
    assert "jwtguard-session" in browser.cookies()
    browser.visit(f"{origin}/auth/logout")
    assert "jwtguard-session" not in browser.cookies()


def test_the_page_of_tokens_hands_one_out(dev, browser):
    address, _, file = dev
    browser.visit(f"{address}/")
    browser.find("[name=role][value=admin]").click()
    browser.follow("Show a token")

    assert "A token" in browser.title
    assert '"alice"' in browser.text
    assert config.load(file).verify(browser.find("textarea").text).roles == {"admin"}


def test_the_page_of_tokens_sets_the_cookie_of_a_rule(dev, browser):
    address, origin, _ = dev
    browser.visit(f"{address.replace('127.0.0.1', 'localhost')}/")
    browser.find("[name=role][value=admin]").click()
    browser.follow("Set the cookie auth_token")
    assert "auth_token" in browser.cookies()

    browser.visit(f"{origin}/app/")
    assert browser.text == "alice ['admin'] None"


def test_people_sign_in_to_the_demo(browser):
    with running((0, 0)) as doors:
        assert len(doors) == 2
        for door in doors:
            browser.forget()
            browser.visit(f"{door.origin}/app/?a=1")
            browser.follow("Root user, admin")
            assert browser.url == f"{door.origin}/app/?a=1"
            assert browser.find("h1").text == "You are root"
            browser.follow("Send a note")
            assert "the note arrived" in browser.text
            browser.follow("For admins")
            assert '"user": "root"' in browser.text
            browser.visit(f"{door.origin}/app/")
            browser.follow("Sign out")
            assert browser.url == f"{door.origin}/"
            assert "jwtguard-session" not in browser.cookies()
