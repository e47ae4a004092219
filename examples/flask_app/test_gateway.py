"""The gateway tells the service behind it who calls, and nobody else can."""

import json
import threading

import gateway
import pytest
from werkzeug.serving import make_server
from werkzeug.test import Client

from jwtguard import from_toml


@pytest.fixture(scope="module")
def backend():
    """A service that answers with the headers it got."""

    def app(environ, start_response):
        seen = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(seen).encode()]

    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.log = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def client(backend, config):
    return Client(gateway.create_app(backend, from_toml(config / "gateway.toml")))


def test_claims_arrive_as_headers_and_the_token_does_not(client, idp):
    token = idp.bearer("alice", email="alice@example.com", roles=["buyer"])
    forged = {"X-User-Id": "root", "X-User-Roles": '["admin"]'}

    seen = client.get("/shop/orders", headers={"Authorization": token, **forged}).json

    assert seen["HTTP_X_USER_ID"] == "alice"
    assert seen["HTTP_X_USER_EMAIL"] == "alice@example.com"
    assert json.loads(seen["HTTP_X_USER_ROLES"]) == ["buyer"]
    assert "HTTP_AUTHORIZATION" not in seen


def test_nobody_can_claim_to_be_somebody_on_an_open_path(client):
    seen = client.get("/shop/catalogue/shoes", headers={"X-User-Id": "root"}).json

    assert "HTTP_X_USER_ID" not in seen


def test_without_a_token_the_service_is_not_asked(client):
    assert client.get("/shop/orders").status_code == 401
