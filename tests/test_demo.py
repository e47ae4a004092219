"""The demo does what it says, on real servers and over real HTTP."""

import itertools
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
from jwtguard.demo import pages, running, table
from jwtguard.demo.guarded import make_issuer
from tests import curl

ROOT = Path(__file__).parent.parent
COMMAND = "import sys; from jwtguard.demo import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def site():
    """The demo's pages and the ports of both servers."""
    with running(pages.Pages(make_issuer()), (0, 0)) as servers:
        yield servers


def test_the_check_passes_and_shows_every_request_in_80_columns(capsys):
    assert demo.main(["--check"]) == 0

    lines = capsys.readouterr().out.splitlines()
    rows = table.requests(make_issuer(), "WSGI")
    assert all(len(line) <= 80 for line in lines)
    for name in ("WSGI", "ASGI"):
        assert f"{name}: {len(rows)} of {len(rows)} as expected" in lines
    for row in rows:
        assert sum(f"{row.method} {row.target} " in line for line in lines) >= 2


def test_a_different_answer_is_a_failed_check(site, capsys):
    good = table.Row("open", "GET", "/health", "200 ok")
    bad = replace(good, expected="200 fine")

    assert table.run("WSGI", site["WSGI"], [good]) is True
    assert table.run("WSGI", site["WSGI"], [good, bad, good]) is False

    assert capsys.readouterr().out.count("^ differs") == 1


def test_a_server_that_is_gone_is_a_failed_check(capsys):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

    assert table.run("WSGI", port, [table.Row("open", "GET", "/health", "200 ok")]) is False

    assert "ConnectionRefusedError" in capsys.readouterr().out


@pytest.mark.parametrize("door", ["WSGI", "ASGI"])
class TestEachDoor:
    def send(self, site, door, method, target, *headers, body=""):
        row = table.Row("", method, target, "", headers, body)
        return table.exchange(site[door], row)

    def test_the_page_to_click_through_names_every_request_but_the_long_one(self, site, door):
        page = self.send(site, door, "GET", "/").body.decode()

        assert f"as {door}</h1>" in page
        rows = table.requests(make_issuer(), door)
        assert page.count('"what":') == len([row for row in rows if not row.steps])

    def test_every_address_in_a_page_leads_somewhere(self, site, door):
        for path in ("/", "/login"):
            page = self.send(site, door, "GET", path).body.decode()
            for target in re.findall(r'(?:href|action)="(/[^"]*)"', page):
                assert self.send(site, door, "GET", target).status in (200, 401), target

    def test_the_login_cookie_is_kept_from_scripts_and_from_other_sites(self, site, door):
        answer = self.send(site, door, "POST", "/login?next=/app/", table.FORM, body="user=root")

        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("auth_token=")
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert answer.headers["Location"] == "/app/"

    @pytest.mark.parametrize(
        "target",
        ["https://evil.test/", "//evil.test", "/\\evil.test", "/%2f/evil.test", "/a/../b", ""],
    )
    def test_a_login_leads_back_to_this_site_only(self, site, door, target):
        login = f"/login?next={urllib.parse.quote(target, safe='')}"

        answer = self.send(site, door, "POST", login, table.FORM, body="user=alice")

        assert answer.headers["Location"] == "/"

    def test_nobody_is_logged_in_by_another_site(self, site, door):
        cross = ("Sec-Fetch-Site", "cross-site")

        answer = self.send(site, door, "POST", "/login", table.FORM, cross, body="user=alice")

        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers

    def test_a_logout_takes_a_post_and_forgets_the_cookie(self, site, door):
        assert "Set-Cookie" not in self.send(site, door, "GET", "/logout").headers
        cookie = self.send(site, door, "POST", "/logout").headers["Set-Cookie"]
        assert cookie == "auth_token=; Path=/; Max-Age=0"

    @pytest.mark.parametrize(
        ("method", "target", "status"),
        [
            ("GET", "/static/absent.css", 404),
            ("GET", "/static/%2e%2e/guarded.py", 400),
            ("POST", "/health", 405),
            ("DELETE", "/login", 405),
            ("OPTIONS", "/health", 204),
            ("HEAD", "/health", 200),
            ("POST", "/login", 400),
        ],
    )
    def test_odd_requests_have_plain_answers(self, site, door, method, target, status):
        answer = self.send(site, door, method, target)

        assert answer.status == status
        assert method != "HEAD" or answer.body == b""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-u", "-c", COMMAND, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A background job of a shell ignores Ctrl-C, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


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


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--port", "x"], ["--chek"]])
def test_wrong_use_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        demo.main(arguments)

    assert stop.value.code == 2


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
