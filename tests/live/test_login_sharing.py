"""What processes share by way of a real Redis: refresh tokens, of which the provider takes each
once, and sessions that ended.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .openid import private_jwk, provider
from .redis_server import RedisServer
from .sites import DOORS, PEOPLE, site
from .threads import eventually

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
def refreshing(request, openid, redis, certificate, tmp_path):
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


@pytest.fixture
def ada(refreshing):
    with refreshing.visitor() as visitor:
        visitor.sign_in()
        yield visitor


def test_one_request_of_many_asks_and_what_changed_arrives(refreshing, ada):
    before = ada.claims()
    refreshing.openid.tell(people={"ada": PEOPLE["ada"] | {"roles": ["editor"]}})
    asked = refreshing.openid.hits("/token")
    time.sleep(IDLE / 2 + 0.1)
    cookies = ada.cookies()
    visitors = [refreshing.visitor() for _ in range(8)]
    for visitor in visitors:
        visitor.take(cookies)
    with ThreadPoolExecutor(len(visitors)) as threads:
        seen = [*threads.map(lambda visitor: visitor.claims(), visitors)]
    renewed = [visitor for visitor in visitors if visitor.cookies() != cookies]
    after = [visitor.claims() for visitor in renewed]
    for visitor in visitors:
        visitor.http.close()

    assert [claims and claims["jti"] for claims in seen] == [before["jti"]] * 8
    assert refreshing.openid.hits("/token") == asked + 1
    assert [(claims["roles"], claims["jti"]) for claims in after] == [(["editor"], before["jti"])]
    assert after[0]["exp"] > before["exp"]


def sign_out_at_provider(visitor):
    end = f"{visitor.site.openid.issuer}/session/end"
    xsrf = visitor.http.get(end).text.partition('name="xsrf" value="')[2].partition('"')[0]
    visitor.http.post(f"{end}/confirm", data={"xsrf": xsrf, "logout": "yes"})


def test_what_the_provider_has_ended_ends_here_when_it_is_asked(refreshing, ada):
    sign_out_at_provider(ada)
    assert ada.claims()["sub"] == "ada"
    time.sleep(IDLE / 2 + 0.1)

    assert [ada.claims() for _ in range(6)] == [None] * 6


def test_who_signs_out_leaves_no_refresh_token(refreshing, ada):
    ada.get("/auth/logout")

    assert refreshing.openid.hits("/token/revocation") == 1


@pytest.mark.parametrize("how", ["here", "at the provider"])
def test_a_session_that_ended_has_ended_in_every_process(how, people, redis, certificate, tmp_path):
    words = {"revocation": {"redis": redis.url, "max_age": 60, "when_stale": "refuse"}}
    workers = WORKERS["wsgi"]
    with (
        site("wsgi", people, tmp_path, certificate, options=workers, words=words) as app,
        app.visitor() as ada,
        app.visitor() as copy,
    ):
        ada.sign_in()
        copy.take(ada.cookies())
        copy.http.headers["Connection"] = "close"
        assert [copy.claims()["sub"] for _ in range(10)] == ["ada"] * 10
        if how == "here":
            ada.get("/auth/logout")
        else:
            sign_out_at_provider(ada)

        eventually(lambda: copy.claims() is None)
        time.sleep(0.3)  # what one process hears of another takes milliseconds
        assert [copy.claims() for _ in range(20)] == [None] * 20
