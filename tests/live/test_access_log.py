"""The user in nginx's access log, with the very configuration and code of docs/observing.md."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from jwtguard import Guard
from jwtguard.testing import FakeIssuer
from jwtguard.wsgi import GuardMiddleware

from .servers import ROOT, START, free_port

PAGE = (ROOT / "docs" / "observing.md").read_text("utf-8")
IDP = FakeIssuer()


def block(language, mark):
    """The block of the page that holds *mark*."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    [text] = [text for text in found if mark in text]
    return text


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def app():
    """The guarded app; its port."""
    code = {}
    exec(compile(block("python", "def with_user"), "user_header.py", "exec"), code)

    def hello(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    guarded = GuardMiddleware(code["with_user"](hello), Guard([IDP.trusted()]))
    with make_server("127.0.0.1", 0, guarded, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def nginx(folder, upstream):
    """nginx with the page's configuration; its port."""
    program = shutil.which("nginx")
    if program is None:
        if os.environ.get("JWTGUARD_LIVE") == "required":
            pytest.fail("nginx is not installed, and JWTGUARD_LIVE=required")
        pytest.skip("nginx is not installed")
    port = free_port()
    text = block("nginx", "log_format user").replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    text = text.replace("/var/log/nginx/access.log", f"{folder}/access.log")
    text = text.replace("server {", f"server {{ listen 127.0.0.1:{port};")
    paths = "".join(
        f"{word}_temp_path {folder}/{word};\n"
        for word in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ {paths} {text} }}\n"
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "error.log"]
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + START
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_nginx_logs_the_user_and_shows_nobody_the_header(tmp_path):
    with app() as upstream, nginx(tmp_path, upstream) as port:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/me",
            headers={"Authorization": IDP.bearer("alice"), "X-Accel-User": "root"},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.read() == b"hello"
            assert answer.headers["X-Accel-User"] is None
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/you", timeout=10)
        assert refused.value.code == 401
        refused.value.close()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert re.fullmatch(r'127\.0\.0\.1 alice \[.*\] "GET /me HTTP/1\.1" 200', lines[0])
    assert re.fullmatch(r'127\.0\.0\.1 - \[.*\] "GET /you HTTP/1\.1" 401', lines[1])
