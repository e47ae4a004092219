# pyright: strict
"""Tests of an app: every part of the kit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_type

import pytest

from jwtguard import Discovery, Guard, VerifiedToken, asgi
from jwtguard.testing import (
    Answer,
    Clock,
    FakeIssuer,
    asgi_request,
    private_key,
    public_jwk,
    sign,
    verified,
    wsgi_request,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@pytest.fixture
def idp(guard: Guard) -> Iterator[FakeIssuer]:
    with FakeIssuer.standing_in(guard, "people", tenant="a", clock=Clock(1.0)) as idp:
        assert_type(idp, FakeIssuer)
        yield idp


def test_an_app(app: "WSGIApplication", idp: FakeIssuer) -> None:
    headers = {"Authorization": idp.bearer("alice", scopes=["a"], roles="admin", email="a@b")}
    answer = wsgi_request(app, "POST", "/a%2Fb", headers, b"{}", scheme="http")
    assert_type(answer, Answer)
    assert_type(answer.header("ETag"), str | None)
    assert answer.json()["code"] == "forbidden"
    wsgi_request(app, "GET", "/", idp.cookie("alice", cookie="token", origin="https://a.test"))


async def test_an_async_app(app: asgi.App, idp: FakeIssuer) -> None:
    answer = await asgi_request(app, "GET", "/", {"Authorization": idp.bearer(opaque=True)})
    assert_type(answer.status, int)


def test_an_issuer(jwtguard_issuer: FakeIssuer, jwtguard_clock: Clock) -> None:
    idp = jwtguard_issuer
    guard = Guard([idp.trusted(leeway=0)], clock=jwtguard_clock)
    jwtguard_clock.advance(5)
    raw = idp.token(
        None, expires=-5, header={"kid": "x"}, key=private_key("ES256"), groups=["a"], exp=None
    )
    idp.revoke(raw)
    kid = idp.rotate(keep=0)
    idp.go_down()
    idp.come_back()
    with idp.serve() as address:
        idp.issuer = address
        assert_type(address, str)
    asgi.GuardMiddleware(theirs, guard, fetch=idp.afetch)
    print(kid, idp.jwks(), idp.jwks_uri, idp.discovery_url, idp.introspection_endpoint)
    print(idp.trusted(keys=Discovery(insecure_http=True)))


async def theirs(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    key = private_key("ES256")
    print(sign({"sub": "a"}, key, "ES256"), public_jwk(key, kid="1"))


def current_user() -> VerifiedToken:
    return verified("people", sub="alice", scope="a b", groups=["x"])
