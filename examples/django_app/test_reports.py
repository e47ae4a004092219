"""The example does what its README says, as WSGI and as ASGI, on the servers that `run` starts."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jwtguard.testing import FakeIssuer

HERE = Path(__file__).parent
IDP = FakeIssuer("https://login.example.com/", audience="https://reports.example.com")

SERVERS = {
    "wsgi": ["manage.py", "runserver", "--noreload", "127.0.0.1:{port}"],
    "asgi": ["-m", "uvicorn", "config.asgi:application", "--port", "{port}"],
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture(scope="module", params=SERVERS)
def port(request, tmp_path_factory):
    """The project on a server of its own, with the fake issuer's key in the real one's place."""
    key_file = tmp_path_factory.mktemp("keys") / "issuer.pub"
    key_file.write_text(IDP.public_pem())
    at = free_port()
    process = subprocess.Popen(
        [sys.executable, *(word.format(port=at) for word in SERVERS[request.param])],
        cwd=HERE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "ISSUER_KEY_FILE": str(key_file),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(at, process)
        yield at
    finally:
        process.terminate()
        process.wait()


def wait_for(port, process):
    for _ in range(200):
        assert process.poll() is None, "the server ended at once"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer")


def get(port, path, authorization=None, **headers):
    """Status, the WWW-Authenticate header and the JSON of the answer."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if authorization is not None:
        headers["Authorization"] = authorization
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, response.headers["WWW-Authenticate"], body


READER = {"sub": "alice", "scopes": "reports:read", "tenant_id": "acme"}
STAFF = {"sub": "sam", "roles": ["staff"]}
ADMIN = {"sub": "root", "roles": ["admin"]}

# path, claims of the token (None: no token) -> status, and a member of the answer
TABLE = [
    ("/", None, 200, ("reports", "/reports/")),
    ("/health", None, 200, ("status", "ok")),
    ("/no/such/page", None, 401, ("code", "no_credentials")),
    ("/reports/", None, 401, ("code", "no_credentials")),
    ("/reports/", READER, 200, ("for", "alice")),
    ("/reports/", STAFF, 200, ("for", "sam")),
    ("/reports/7/", READER, 200, ("report", 7)),
    ("/reports/7/", STAFF, 403, ("code", "insufficient_scope")),
    ("/users/alice/reports/", READER, 200, ("of", "alice")),
    ("/users/alice/reports/", STAFF, 403, ("code", "forbidden")),
    ("/users/alice/reports/", ADMIN, 200, ("of", "alice")),
    ("/tenants/acme/reports/", READER, 200, ("tenant", "acme")),
    ("/tenants/other/reports/", READER, 403, ("code", "forbidden")),
    ("/staff/queue/", READER, 403, ("code", "forbidden")),
    ("/staff/queue/", STAFF, 200, ("waiting", 0)),
    ("/staff/queue/", ADMIN, 200, ("waiting", 0)),
    ("/reports/%2e%2e/staff/queue/", STAFF, 400, ("code", "bad_request")),
]


@pytest.mark.parametrize(("path", "claims", "status", "member"), TABLE)
def test_who_may_see_what(port, path, claims, status, member):
    token = None if claims is None else IDP.bearer(**claims)

    got, _, body = get(port, path, token)

    name, value = member
    assert (got, body[name]) == (status, value)


def test_a_client_does_not_say_who_it_is(port):
    headers = {"X_User_Id": "root", "Remote_User": "root"}

    _, _, body = get(port, "/reports/", IDP.bearer("alice"), **headers)

    assert body["for"] == "alice"


def test_a_refused_view_names_the_scope_it_wants(port):
    _, challenge, _ = get(port, "/reports/7/", IDP.bearer("alice"))

    assert challenge.startswith("Bearer ")
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="reports:read"' in challenge


def test_a_token_of_another_issuer_is_refused(port):
    stranger = FakeIssuer(IDP.issuer, audience=IDP.audience)

    assert get(port, "/reports/", stranger.bearer("alice"))[0] == 401
