"""The example does what its README says."""

import notes
import pytest

from jwtguard import from_toml

SITE = "https://notes.example.com"


@pytest.fixture
def client(config):
    return notes.create_app(from_toml(config / "jwtguard.toml")).test_client()


def bearer(idp, sub="alice", **words):
    return {"Authorization": idp.bearer(sub, **words)}


def test_health_is_open(client):
    assert client.get("/health").json == {"status": "ok"}


@pytest.mark.parametrize("path", ["/api/notes", "/admin/users", "/session", "/nothing/here"])
def test_everything_else_needs_a_token(client, path):
    answer = client.get(path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="notes.example.com"'


def test_reading_and_writing_are_two_scopes(client, idp):
    reader = bearer(idp, scopes="notes:read")
    writer = bearer(idp, scopes="notes:read notes:write")

    assert client.post("/api/notes", json={"text": "milk"}, headers=writer).status_code == 201
    assert client.get("/api/notes", headers=reader).json == {"notes": ["milk"]}

    refused = client.post("/api/notes", json={"text": "bread"}, headers=reader)
    assert refused.status_code == 403
    assert refused.json["code"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("sub", "roles", "status"), [("alice", None, 200), ("bob", None, 403), ("bob", "admin", 200)]
)
def test_notes_are_for_their_owner_and_for_admins(client, idp, sub, roles, status):
    headers = bearer(idp, sub, roles=roles)

    assert client.get("/api/users/alice/notes", headers=headers).status_code == status


@pytest.mark.parametrize(("roles", "status"), [(None, 403), ("editor", 403), ("admin", 200)])
def test_the_admin_area_is_for_a_role(client, idp, roles, status):
    assert client.get("/admin/users", headers=bearer(idp, roles=roles)).status_code == status


def test_a_single_page_app_trades_its_token_for_a_cookie(client, idp):
    began = client.post("/session", base_url=SITE, headers=bearer(idp, scopes="notes:read"))
    cookie = began.headers["Set-Cookie"]
    assert cookie.startswith("__Host-auth_token=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))

    assert client.get("/api/notes", base_url=SITE).json == {"notes": []}

    client.delete("/session", base_url=SITE, headers={"Origin": SITE})
    assert client.get("/api/notes", base_url=SITE).status_code == 401


def test_another_site_cannot_use_the_cookie(client, idp):
    client.post("/session", base_url=SITE, headers=bearer(idp, scopes="notes:write"))

    def write(origin):
        headers = {"Origin": origin}
        return client.post("/api/notes", base_url=SITE, json={"text": "x"}, headers=headers)

    assert write("https://evil.example").status_code == 403
    assert write(SITE).status_code == 201


def test_a_refusal_is_seen_by_the_functions_of_the_app(config):
    app = notes.create_app(from_toml(config / "jwtguard.toml"))
    seen = []

    @app.after_request
    def look(response):
        seen.append(response.status_code)
        return response

    app.test_client().get("/api/notes")
    assert seen == [401]
