"""A fake issuer as a provider: over HTTP on loopback, and without a server."""

import asyncio
import http.client
import json
import threading
from urllib.parse import urlencode, urlsplit

import pytest

from jwtguard import Discovery, Guard, Introspection, Issuer, RemoteKeys, asgi, drive, errors, wsgi
from jwtguard.core import Fetch
from jwtguard.testing import Clock, FakeIssuer, asgi_request, wsgi_request


@pytest.fixture
def idp():
    return FakeIssuer(algorithm="ES256")


def asking(url, **words):
    """The answer of a server as (status, JSON)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    try:
        connection.request(words.get("method", "GET"), parts.path, words.get("body"))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_it_serves_what_discovery_leads_to(idp):
    with idp.serve() as address:
        status, document = asking(idp.discovery_url)
        assert status == 200
        assert document["issuer"] == "https://issuer.test/"
        assert document["jwks_uri"] == idp.jwks_uri == f"{address}/jwks"
        assert asking(document["jwks_uri"]) == (200, idp.jwks())
        assert asking(f"{address}/other")[0] == 404


def test_it_is_gone_after_the_block(idp):
    before = set(threading.enumerate())
    with idp.serve() as address:
        asking(idp.jwks_uri)

    assert set(threading.enumerate()) <= before
    assert idp.address == "https://issuer.test"
    with pytest.raises(OSError, match="refused"):
        asking(f"{address}/jwks")


def test_a_client_that_says_nothing_does_not_keep_it_from_ending(idp):
    with idp.serve() as address:
        silent = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
        silent.connect()
        asking(idp.jwks_uri)
    silent.close()

    assert idp.address == "https://issuer.test"


def test_a_guard_asks_it_over_http(idp):
    clock = Clock()
    idp.clock = clock
    with idp.serve() as address:
        idp.issuer = address
        keys = Discovery(insecure_http=True, cooldown=5, clock=clock)
        guard = Guard(
            [Issuer(address, audience=idp.audience, algorithms=["ES256"], keys=keys)], clock=clock
        )
        seen = idp.token("seen")
        assert guard.verify(seen).subject == "seen"

        idp.go_down()
        idp.rotate()
        clock.advance(10)
        assert guard.verify(seen).subject == "seen"
        with pytest.raises(errors.KeysUnavailable):
            guard.verify(idp.token("new"))

        idp.come_back()
        clock.advance(10)
        assert guard.verify(idp.token("new")).subject == "new"


def make_guard(idp, **words):
    common = {
        "audience": idp.audience,
        "algorithms": ["ES256"],
        "keys": RemoteKeys(idp.jwks_uri, insecure_http=True),
    }
    return Guard([Issuer(idp.issuer, **{**common, **words})])


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"the app"]


async def async_app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the app"})


SOURCES = {
    "its keys": lambda idp: {},
    "discovery": lambda idp: {"keys": Discovery()},
    "introspection": lambda idp: {
        "keys": None,
        "algorithms": (),
        "introspection": Introspection(client_id="api", client_secret="x"),
    },
    "keys, and introspection of every token": lambda idp: {
        "introspection": Introspection(
            idp.introspection_endpoint, client_id="api", client_secret="x", when="always"
        )
    },
}


@pytest.mark.parametrize("words", SOURCES.values(), ids=SOURCES)
def test_a_door_asks_it_without_a_server(idp, words):
    opaque = words(idp).get("keys", True) is None

    def wsgi_door(**sent):
        guarded = wsgi.GuardMiddleware(app, make_guard(idp, **words(idp)), fetch=idp.fetch)
        return wsgi_request(guarded, "GET", "/", **sent)

    def asgi_door(**sent):
        guarded = asgi.GuardMiddleware(async_app, make_guard(idp, **words(idp)), fetch=idp.afetch)
        return asyncio.run(asgi_request(guarded, "GET", "/", **sent))

    for door in (wsgi_door, asgi_door):
        assert door(headers={"Authorization": idp.bearer(opaque=opaque)}).status == 200
        assert door().status == 401
        idp.go_down()
        answer = door(headers={"Authorization": idp.bearer(opaque=opaque)})
        assert (answer.status, answer.header("Retry-After") is not None) == (503, True)
        idp.come_back()


def introspect(idp, raw, **words):
    body = urlencode({"token": raw}).encode()
    fetch = Fetch(idp.introspection_endpoint, method="POST", body=body, **words)
    return json.loads(idp.fetch(fetch).body)


def test_the_introspection_endpoint_knows_its_own_tokens(idp):
    clock = idp.clock = Clock()
    for opaque in (True, False):
        raw = idp.token("alice", scopes="a", opaque=opaque, expires=60)
        answer = introspect(idp, raw)
        assert answer == {
            "active": True,
            "iss": idp.issuer,
            "aud": idp.audience,
            "sub": "alice",
            "scope": "a",
            "iat": int(clock()),
            "exp": int(clock()) + 60,
        }
        clock.advance(60)
        assert introspect(idp, raw) == {"active": False}


@pytest.mark.parametrize("opaque", [True, False])
def test_a_revoked_token_is_not_active(idp, opaque):
    raw, other = idp.token(opaque=opaque), idp.token("other", opaque=opaque)

    idp.revoke(raw)

    assert introspect(idp, raw) == {"active": False}
    assert introspect(idp, other)["active"] is True


def test_other_peoples_tokens_are_not_active(idp):
    for raw in ("x", "a.b.c", FakeIssuer(algorithm="ES256").token()):
        assert introspect(idp, raw) == {"active": False}


def test_an_opaque_token_may_be_bad_in_any_way(idp):
    for exp in ("soon", None):
        assert introspect(idp, idp.token(opaque=True, exp=exp))["active"] is True


def test_an_introspection_that_is_none_is_a_bad_request(idp):
    assert idp.fetch(Fetch(idp.introspection_endpoint)).status == 400
    assert idp.fetch(Fetch(idp.introspection_endpoint, method="POST", body=b"x=y")).status == 400
    with idp.serve():
        assert asking(idp.introspection_endpoint)[0] == 400
        body = urlencode({"token": idp.token(opaque=True)})
        asked = asking(idp.introspection_endpoint, method="POST", body=body)
        assert asked[1]["active"] is True


def test_an_opaque_token_is_no_jwt(idp):
    raw = idp.token(opaque=True)

    assert "." not in raw
    with pytest.raises(errors.MalformedToken):
        drive.run(Guard([idp.trusted()]).verify_flow(raw))


def test_an_issuer_that_is_no_address_has_its_documents_somewhere():
    assert FakeIssuer("accounts").jwks_uri == "https://issuer.test/jwks"
    assert FakeIssuer(None).address == "https://issuer.test"
    realm = FakeIssuer("https://x.test/realms/a", algorithm="ES256")
    assert realm.discovery_url == "https://x.test/realms/a/.well-known/openid-configuration"
