"""Sessions that ask the provider again while they are used: it takes each refresh token once, and
processes take turns by way of a real Redis.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .openid import private_jwk, provider
from .redis_server import RedisServer
from .sites import DOORS, PEOPLE, SESSION, site

IDLE = 8  # seconds; half of it passes before the provider is asked
KEY = "a key of thirty-two bytes or more, for tests"
WORKERS = {"wsgi": ["--workers", "2"], "asgi": []}


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.kill()


@pytest.fixture
def openid(tmp_path, certificate):
    key, words = private_jwk("ES256", "first"), {"people": PEOPLE, "lean": False, "renewing": True}
    with provider(tmp_path, key, certificate=certificate, **words) as running:
        yield running


@pytest.fixture(params=DOORS)
def app(request, openid, redis, certificate, tmp_path):
    with site(
        request.param,
        openid,
        tmp_path,
        certificate,
        options=WORKERS[request.param],
        metadata={"backchannel_logout_uri": None},  # only asking tells that a session has ended
        words={"store": {"redis": redis.url, "key": KEY}},
        login={"idle": IDLE},
    ) as running:
        yield running


def test_one_request_of_many_asks_and_what_changed_arrives(app, ada):
    ada.sign_in()
    before = ada.claims()
    app.openid.tell(people={"ada": PEOPLE["ada"] | {"roles": ["editor"]}})
    asked = app.openid.hits("/token")
    time.sleep(IDLE / 2 + 0.1)
    cookies = ada.cookies()
    visitors = [app.visitor() for _ in range(8)]
    for visitor in visitors:
        visitor.take(cookies)
    with ThreadPoolExecutor(len(visitors)) as threads:
        seen = [*threads.map(lambda visitor: visitor.claims(), visitors)]
    renewed = [visitor for visitor in visitors if visitor.cookies()[SESSION] != cookies[SESSION]]
    after = [visitor.claims() for visitor in renewed]
    for visitor in visitors:
        visitor.http.close()

    assert [claims and claims["jti"] for claims in seen] == [before["jti"]] * 8
    assert app.openid.hits("/token") == asked + 1
    assert [(claims["roles"], claims["jti"]) for claims in after] == [(["editor"], before["jti"])]
    assert after[0]["exp"] > before["exp"]


def test_what_the_provider_has_ended_ends_here(app, ada):
    ada.sign_in()
    page = ada.http.get(f"{app.openid.issuer}/session/end")
    ada.http.post(
        f"{app.openid.issuer}/session/end/confirm",
        data={
            "xsrf": page.text.partition('name="xsrf" value="')[2].partition('"')[0],
            "logout": "y",
        },
    )
    assert ada.claims()["sub"] == "ada"
    time.sleep(IDLE / 2 + 0.1)

    assert [ada.claims() for _ in range(4)] == [None] * 4


def test_who_signs_out_leaves_no_refresh_token(app, ada):
    ada.sign_in()
    ada.get("/auth/logout")

    assert app.openid.hits("/token/revocation") == 1
