"""The example does what its README says."""

import pytest
from starlette.websockets import WebSocketDisconnect

from jwtguard import testing

SITE = "https://parcels.example.com"
SCOPES = "parcels:read parcels:send"


def bearer(idp, sub="alice", **words):
    return {"Authorization": idp.bearer(sub, **words)}


@pytest.fixture
def parcel(client, idp):
    return client.post("/parcels", headers=bearer(idp, scopes=SCOPES)).json()["id"]


def test_health_and_the_documentation_are_open(client):
    for path in ("/health", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/parcels/1", "/users/alice/parcels", "/depot/x", "/nothing"])
def test_everything_else_needs_a_token(client, path):
    answer = client.get(path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="parcels.example.com"'


def test_reading_and_sending_are_two_scopes(client, idp):
    refused = client.post("/parcels", headers=bearer(idp, scopes="parcels:read"))

    assert refused.status_code == 403
    assert refused.json()["code"] == "insufficient_scope"
    assert 'scope="parcels:send"' in refused.headers["WWW-Authenticate"]


def test_a_parcel_is_for_its_owner(client, idp, parcel):
    own = client.get(f"/parcels/{parcel}", headers=bearer(idp, scopes=SCOPES))
    other = client.get(f"/parcels/{parcel}", headers=bearer(idp, "bob", scopes=SCOPES))

    assert (own.status_code, other.status_code) == (200, 404)


@pytest.mark.parametrize(
    ("sub", "roles", "status"), [("alice", None, 200), ("bob", None, 403), ("bob", "depot", 200)]
)
def test_a_list_is_for_its_owner_and_the_depot(client, idp, parcel, sub, roles, status):
    headers = bearer(idp, sub, roles=roles)

    assert client.get("/users/alice/parcels", headers=headers).status_code == status


@pytest.mark.parametrize(("roles", "status"), [(None, 403), ("depot", 200)])
def test_the_depot_is_for_a_role(client, idp, parcel, roles, status):
    answer = client.put(
        f"/depot/parcels/{parcel}", headers=bearer(idp, roles=roles), json={"status": "sent"}
    )

    assert answer.status_code == status


def live(client, parcel, subprotocols=(), **headers):
    return client.websocket_connect(
        f"/parcels/{parcel}/live", subprotocols=[*subprotocols], headers=headers
    )


def test_a_page_follows_its_parcel(client, idp, parcel):
    with live(client, parcel, ["bearer", idp.token("alice", scopes=SCOPES)]) as socket:
        assert socket.accepted_subprotocol == "bearer"
        assert socket.receive_text() == "announced"
        client.put(
            f"/depot/parcels/{parcel}",
            headers=bearer(idp, roles="depot"),
            json={"status": "on its way"},
        )
        assert socket.receive_text() == "on its way"


def test_a_cookie_counts_on_this_sites_pages_alone(client, idp, parcel):
    def sent_from(origin):
        return idp.cookie("alice", cookie="__Host-auth_token", origin=origin, scopes=SCOPES)

    with live(client, parcel, **sent_from(SITE)) as socket:
        assert socket.receive_text() == "announced"
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        live(client, parcel, **sent_from("https://evil.example")),
    ):
        pass
    assert refused.value.status_code == 403


def test_a_live_view_ends_with_its_token(client, idp, parcel):
    # As much as guard and issuer let a token outlive itself: the leeway of 10 seconds.
    soon = idp.token("alice", scopes=SCOPES, expires=-9)

    with live(client, parcel, ["bearer", soon]) as socket:
        assert socket.receive_text() == "announced"
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_text()
    assert ended.value.code == 1008


def test_an_endpoint_is_tried_with_somebody_made_up(app, client, idp):
    app.dependency_overrides[app.state.protected] = lambda: testing.verified(sub="carol")

    # The guard in front is never switched off: it wants a real token still.
    assert client.post("/parcels", headers=bearer(idp)).json()["owner"] == "carol"
    assert client.post("/parcels").status_code == 401
