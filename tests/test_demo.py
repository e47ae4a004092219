"""The demo does what it says, on real servers and over real HTTP."""

import contextlib
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import urllib.parse
from dataclasses import replace
from pathlib import Path

import pytest

from jwtguard import demo
from jwtguard.demo import Registered, provider, running, signing_in, table
from jwtguard.testing import FakeIssuer
from tests import curl

ROOT = Path(__file__).parent.parent
COMMAND = "import sys; from jwtguard.demo import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def site():
    """Both doors, by their names."""
    with running((0, 0)) as doors:
        yield {door.name: door for door in doors}


def test_the_check_passes_and_shows_every_request_in_80_columns(site, capsys):
    assert demo.main(["--check"]) == 0

    lines = capsys.readouterr().out.splitlines()
    rows = [*site["WSGI"].rows(), *signing_in.sign_ins()]
    assert all(len(line) <= 80 for line in lines)
    for name in ("WSGI", "ASGI"):
        assert f"{name}: {len(rows)} of {len(rows)} as expected" in lines
    for row in rows:
        assert sum(f"{row.method} {row.target} " in line for line in lines) >= 2


def test_a_different_answer_is_a_failed_check(site, capsys):
    good = table.Row("open", "GET", "/health", "200 ok")
    bad = replace(good, expected="200 fine")

    assert table.run("WSGI", site["WSGI"].port, [good]) is True
    assert table.run("WSGI", site["WSGI"].port, [good, bad, good]) is False

    out = capsys.readouterr().out
    assert out.count("^ differs") == 1
    assert re.search(r"200 fine +200 ok\n\^ differs", out)


def test_a_server_that_is_gone_is_a_failed_check(capsys):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

    assert table.run("WSGI", port, [table.Row("open", "GET", "/health", "200 ok")]) is False

    assert "ConnectionRefusedError" in capsys.readouterr().out


@pytest.mark.parametrize("door", ["WSGI", "ASGI"])
class TestEachDoor:
    def send(self, site, door, method, target, *headers, body=""):
        row = table.Row("", method, target, "", headers, body)
        return table.exchange(site[door].port, row)

    def browser(self, site, door):
        return signing_in.Browser(site[door].port)

    def test_the_page_to_click_through_names_every_request_but_the_long_ones(self, site, door):
        page = self.send(site, door, "GET", "/").body.decode()

        assert f"as {door}</h1>" in page
        short = [row for row in site[door].rows() if row.steps is None]
        assert page.count('"what":') == len(short)

    def test_every_address_in_a_page_leads_somewhere(self, site, door):
        form = self.browser(site, door).page_of_provider("/app/")
        assert self.send(site, door, "GET", form).status == 200
        browser = self.browser(site, door)
        browser.sign_in()
        # Admins only, and back to the first page without the session.
        known = {"/api/admin": 403, "/auth/logout": 302}

        for path in ("/", "/app/"):
            page = browser.visit(path).body.decode()
            targets = sorted(re.findall(r'(?:href|action)="(/[^"]*)"', page))
            assert targets
            for target in targets:
                assert browser.visit(target).status == known.get(target, 200), target

    def test_the_session_is_kept_from_scripts_and_from_other_sites(self, site, door):
        answer = self.browser(site, door).sign_in("/app/?x=1")

        cookies = answer.headers.get_all("Set-Cookie")
        assert [cookie.partition("=")[0][:14] for cookie in cookies] == [
            "jwtguard-login",
            "jwtguard-sessi",
        ]
        for cookie in cookies:
            assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert answer.headers["Location"] == "/app/?x=1"

    @pytest.mark.parametrize(
        "target",
        ["https://evil.test/", "//evil.test", "/\\evil.test", "/%2f/evil.test", "/a/../b", ""],
    )
    def test_a_sign_in_leads_back_to_this_site_only(self, site, door, target):
        login = f"/auth/login?next={urllib.parse.quote(target, safe='')}"

        assert self.browser(site, door).sign_in(login).headers["Location"] == "/"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"redirect_uri": "https://evil.test/auth/callback"}, "unknown_client"),
            ({"redirect_uri": "{origin}/auth/callback/x"}, "unknown_client"),
            ({"client_id": "other"}, "unknown_client"),
            ({"state": None}, "bad_request"),
        ],
    )
    def test_the_development_issuer_sends_people_back_to_this_site_only(
        self, site, door, change, code
    ):
        form = self.browser(site, door).page_of_provider("/app/")
        path, _, query = form.partition("?")
        asked = {**dict(urllib.parse.parse_qsl(query)), **change}
        asked = {k: v.format(origin=site[door].origin) for k, v in asked.items() if v is not None}
        target = f"{path}?{urllib.parse.urlencode(asked)}"

        answer = self.send(site, door, "POST", target, table.FORM, body="user=alice")

        assert table.outcome(answer) == f"400 {code}"

    def test_roles_are_those_of_whoever_was_chosen(self, site, door):
        browser = self.browser(site, door)
        form = browser.page_of_provider("/api/admin")
        assert browser.send("POST", form, table.FORM, body="user=nobody").status == 400
        sent_back = browser.send("POST", form, table.FORM, body="user=root")
        browser.visit(sent_back.headers["Location"].removeprefix(site[door].origin))

        assert table.outcome(browser.visit("/api/admin")) == "200 root"

    @pytest.mark.parametrize(
        ("method", "target", "status"),
        [
            ("GET", "/static/absent.css", 404),
            ("GET", "/static/%2e%2e/guarded.py", 400),
            ("POST", "/health", 405),
            ("DELETE", "/provider", 405),
            ("OPTIONS", "/health", 204),
            ("HEAD", "/health", 200),
            ("POST", "/provider", 400),
        ],
    )
    def test_odd_requests_have_plain_answers(self, site, door, method, target, status):
        answer = self.send(site, door, method, target)

        assert answer.status == status
        assert method != "HEAD" or answer.body == b""


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-u", "-c", COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A background job of a shell ignores Ctrl-C, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_at_a_given_provider_browsers_are_sent_there_and_come_back():
    idp = FakeIssuer(audience="https://api.example.com")
    with idp.serve() as address, running((0, 0), Registered(address, "demo", "secret")) as doors:
        idp.issuer = address
        for door in doors:
            browser = signing_in.Browser(door.port)
            left = browser.visit("/auth/login?next=/app/")
            assert left.headers["Location"].startswith(f"{address}/authorize?")
            back = idp.sign_in(left.headers["Location"], "bob", email="bob@example.com")
            assert back.startswith(f"{door.origin}/auth/callback?")
            browser.visit(back.removeprefix(door.origin))
            page = browser.visit("/app/").body.decode()
            assert "<h1>You are bob</h1>" in page
            assert "bob@example.com" in page
            assert browser.visit(provider.AUTHORIZE).status == 404  # the other page is not there


def test_with_a_provider_it_says_what_to_register_and_that_the_provider_is_none():
    port = two_free_ports()
    process = start(
        *("--provider", f"http://127.0.0.1:{port}", "--client-id", "demo"),
        *("--port", str(port)),  # where nobody answers as a provider would
        CLIENT_SECRET="secret",
    )
    try:
        lines = list(
            itertools.takewhile(lambda line: "sign in for now" not in line, process.stdout)
        )
        assert f"http://127.0.0.1:{port}/auth/callback" in "".join(lines)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0


def two_free_ports():
    """The first of two, below those that the system gives away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError):
            for one in (port, port + 1):
                socket.create_server(("127.0.0.1", one)).close()
            return port


def test_it_prints_curl_lines_that_work_and_stops_at_ctrl_c():
    process = start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        ports = set()
        for title, command in itertools.pairwise(lines):
            if command.startswith("curl "):
                port, *answer = curl.send(command)
                ports.add(port)
                assert title.endswith(f": {table.outcome(table.Answer(*answer))}")
        assert len(ports) == 2
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0
    assert rest.endswith("Stopping.\n")
    assert "401 expired" in rest  # the log says why
    assert "Traceback" not in rest


def test_a_port_in_use_is_said_in_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

        assert demo.main(["--port", str(port)]) == 1

    assert capsys.readouterr().out.startswith(f"cannot listen on ports {port} and {port + 1}: ")


PROVIDER = ["--provider", "https://login.example.com/"]
WRONG = [
    (["--port", "0"], "--port takes a number"),
    (["--port", "x"], "invalid int value"),
    (["--chek"], "unrecognized arguments"),
    (PROVIDER, "belong together"),
    (["--client-id", "demo"], "belong together"),
    ([*PROVIDER, "--client-id", "demo", "--check"], "--check signs in by itself"),
    ([*PROVIDER, "--client-id", "demo"], "the environment variable CLIENT_SECRET"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_use_is_2(arguments, said, capsys, monkeypatch):
    monkeypatch.delenv("CLIENT_SECRET", raising=False)
    with pytest.raises(SystemExit) as stop:
        demo.main(arguments)

    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_a_provider_without_httpx2_is_wrong_use_that_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "x")
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        demo.main([*PROVIDER, "--client-id", "demo"])

    assert demo.NO_HTTPX2 in capsys.readouterr().err


def test_without_uvicorn_the_wsgi_half_runs_and_says_how_to_get_the_other():
    hidden = f"import sys; sys.modules['uvicorn'] = None; {COMMAND}"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "--check"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == demo.NO_UVICORN
    assert "WSGI on" in done.stdout
    assert "ASGI on" not in done.stdout
    assert done.stderr == ""
