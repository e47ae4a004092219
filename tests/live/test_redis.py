"""Stores and revocations in a real Redis that is killed, restarted, and stopped in its tracks."""

import asyncio
import http.client
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import jwt
import pytest
import redis

from jwtguard import Guard, Introspection, Issuer, drive, errors
from jwtguard.core import Fetched
from jwtguard.core.shared import is_first_use
from jwtguard.revocations import Entry, RedisRevocations
from jwtguard.stores import RedisStore
from jwtguard.testing import FakeIssuer

from .redis_server import RedisServer, free_port
from .servers import ROOT

KEY = "a key of thirty-two bytes or more, for tests"
SOON = 5.0  # seconds; everything here takes a fraction of one


@pytest.fixture
def server(tmp_path):
    running = RedisServer(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def client(server):
    with redis.Redis.from_url(server.url, protocol=2) as client:
        yield client


def mirror(server, **words):
    given = {"max_age": 60, "when_stale": "refuse"} | words
    found = RedisRevocations(server.url, **given)
    assert found.problems == ()
    return found


def until(condition, seconds=SOON):
    """For how long it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds
        time.sleep(0.002)
    return time.monotonic() - begun


def values(revocations):
    return sorted(entry.value for entry in revocations.entries)


# --- store --------------------------------------------------------------------------------------


def both_ways(store):
    """The methods of a store for threads, and those for event loops called as if they were."""
    yield store.get, store.put, store.add, store.remove

    def called(method):
        return lambda *words: asyncio.run(method(*words))

    yield called(store.aget), called(store.aput), called(store.aadd), called(store.aremove)


def test_a_store_keeps_values_for_their_time_and_every_process_sees_them(server):
    mine, theirs = RedisStore(server.url, key=KEY), RedisStore(server.url, key=KEY)
    for get, put, add, remove in both_ways(mine):
        assert get("a") is None
        put("a", b"\x00 one", 60)
        assert get("a") == theirs.get("a") == b"\x00 one"
        assert add("a", b"two", 60) is False
        assert get("a") == b"\x00 one"
        remove("a")
        remove("a")
        assert theirs.get("a") is None
        assert add("a", b"", 60) is True
        assert theirs.add("a", b"", 60) is False
        assert get("a") == b""
        remove("a")
        put("brief", b"x", 0.05)
        until(lambda get=get: get("brief") is None)


def test_of_many_who_add_at_once_one_is_first(server):
    stores = [RedisStore(server.url, key=KEY) for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        firsts = list(pool.map(lambda n: stores[n % 2].add("once", b"", 60), range(64)))
    assert sum(firsts) == 1

    async def on_a_loop():
        return await asyncio.gather(*(stores[n % 2].aadd("again", b"", 60) for n in range(64)))

    assert sum(asyncio.run(on_a_loop())) == 1


def test_nothing_stands_there_in_clear_and_nothing_of_others_is_taken(server, client):
    store = RedisStore(server.url, key=KEY, prefix="app:")
    store.put("session:alice", b"a secret of alice's", 60)
    (name,) = client.keys("*")
    there = client.get(name)
    assert name.startswith(b"app:")
    assert b"alice" not in name + there
    assert b"session" not in name
    assert 0 < client.pttl(name) <= 60_000
    other = RedisStore(server.url, key=KEY + "2", prefix="app:")
    assert other.get("session:alice") is None
    # What was written for one name is no value of another, and nobody else writes any.
    store.put("session:bob", b"bob's", 60)
    (bobs,) = [one for one in client.keys("*") if one != name]
    for forged in (there, b"", b"short", there[:-1], b"\x00" * 64):
        client.set(bobs, forged)
        assert store.get("session:bob") is None


def test_a_store_that_hangs_takes_a_quarter_of_a_second_and_the_next_one_none(server):
    store = RedisStore(server.url, key=KEY)
    store.put("a", b"1", 60)
    server.hang()
    begun = time.monotonic()
    with pytest.raises(errors.FetchError, match=r"redis at 127\.0\.0\.1:\d+: TimeoutError"):
        store.get("a")
    assert 0.2 < time.monotonic() - begun < 1
    begun = time.monotonic()
    with pytest.raises(errors.FetchError, match="did not answer a moment ago"):
        asyncio.run(store.aget("a"))
    assert time.monotonic() - begun < 0.1
    server.resume()

    def answers():
        try:
            return store.get("a") == b"1"
        except errors.FetchError:
            return False

    until(answers)


def test_a_store_that_was_restarted_is_asked_again_at_once(server, caplog):
    store = RedisStore(server.url, key=KEY)
    store.put("a", b"1", 60)
    server.kill()
    with pytest.raises(errors.FetchError, match="ConnectionError"):
        store.get("a")
    server.start()
    assert store.get("a") is None
    said = [record.getMessage() for record in caplog.records if record.name == "jwtguard.redis"]
    assert len([line for line in said if "ConnectionError" in line]) == 1


def test_a_password_is_told_to_nobody(server, caplog):
    store = RedisStore(server.url.replace("127", "user:hunter2@127"), key=KEY)
    with pytest.raises(errors.FetchError) as caught:
        store.get("a")
    assert "hunter2" not in f"{caught.value} {store!r} {caplog.text}"


# --- shared answers, replay ---------------------------------------------------------------------


def asking(store, questions):
    """A process that asks about opaque tokens."""

    def fetch(question):
        questions.append(question)
        return Fetched(200, {}, b'{"active": true, "sub": "alice", "exp": 4000000000}')

    introspection = Introspection("https://i.test/ask", client_id="api", client_secret="s")
    issuer = Issuer(
        "https://i.test/", audience=None, algorithms=(), keys=None, introspection=introspection
    )
    guard = Guard([issuer], store=store)
    guard.exchange((fetch, None))
    return guard


def test_one_process_asks_the_provider_for_all(server, client):
    questions = []
    guards = [asking(RedisStore(server.url, key=KEY), questions) for _ in range(3)]
    for guard in guards:
        assert guard.verify("opaque-token").subject == "alice"
    assert len(questions) == 1
    (name,) = client.keys("*")
    there = name + client.get(name)
    assert b"opaque" not in there
    assert b"alice" not in there
    assert client.pttl(name) <= 60_000


def test_where_the_store_is_down_each_asks_the_provider(server):
    questions = []
    guards = [asking(RedisStore(server.url, key=KEY), questions) for _ in range(2)]
    server.kill()
    for guard in guards:
        assert guard.verify("opaque-token").subject == "alice"
    assert len(questions) == 2


def test_what_is_used_once_is_used_once_and_unavailable_where_nobody_knows(server):
    stores = [RedisStore(server.url, key=KEY) for _ in range(2)]
    words = {"of": "a thumbprint", "ttl": 60}
    assert drive.run(is_first_use(stores[0], "jti-1", **words)) is True
    assert drive.run(is_first_use(stores[1], "jti-1", **words)) is False
    assert asyncio.run(drive.arun(is_first_use(stores[1], "jti-1", **words))) is False
    assert drive.run(is_first_use(stores[1], "jti-1", of="another", ttl=60)) is True
    server.kill()
    with pytest.raises(errors.Unavailable) as caught:
        drive.run(is_first_use(stores[0], "jti-2", **words))
    assert caught.value.reason == "store_unavailable"


# --- revocations --------------------------------------------------------------------------------


def test_a_mirror_begins_with_what_is_there_and_hears_of_the_rest(server):
    first = mirror(server)
    first.revoke("sub", "alice", before=1_800_000_000.5, issuer="people")
    first.revoke("jti", "j1", issuer="people", until=4_000_000_000)
    asyncio.run(first.arevoke("kid", "käse"))
    second = mirror(server)
    second.warm()
    assert sorted(second.entries) == sorted(first.entries)
    assert second.age < 2
    second.revoke("sid", "s1")
    first.warm()
    until(lambda: "s1" in values(first))
    first.revoke("sid", "s2")
    assert until(lambda: "s2" in values(second)) < 1


LOOKING = """
import sys, time
from jwtguard import Guard, errors
from jwtguard.revocations import RedisRevocations
from jwtguard.testing import FakeIssuer
url, secret, raw = sys.argv[1:]
from jwtguard import Issuer, Secret
issuer = Issuer(name="people", audience=None, algorithms=["HS256"], keys=Secret(secret))
revocations = RedisRevocations(url, max_age=60, when_stale="refuse")
guard = Guard([issuer], revocations=revocations)
"""

UNTIL_REFUSED = (
    LOOKING
    + """
guard.verify(raw)
print("good", flush=True)
while True:
    try:
        guard.verify(raw)
    except errors.TokenRevoked:
        print(time.time(), flush=True)
        break
    time.sleep(0.002)
"""
)

AFTER_A_FORK = (
    LOOKING
    + """
import os
guard.verify(raw)
inside, outside = os.pipe()
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        guard.verify(raw)
        os.write(outside, b"good\\n")
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                guard.verify(raw)
            except errors.TokenRevoked:
                os.write(outside, b"refused\\n")
                break
            time.sleep(0.002)
        os._exit(0)
    children.append(pid)
seen = b""
told = False
while seen.count(b"refused") < 3:
    part = os.read(inside, 100)
    if not part:
        break
    seen += part
    if not told and seen.count(b"good") == 3:
        print("good", flush=True)
        told = True
for pid in children:
    os.waitpid(pid, 0)
print(time.time(), flush=True)
"""
)


@contextmanager
def another_process(server, code):
    """It has said "good"; then comes the time at which it refused."""
    secret = "a secret of thirty-two bytes or more"
    now = int(time.time())
    raw = jwt.encode({"sub": "alice", "sid": "s1", "iat": now, "exp": now + 60}, secret)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, server.url, secret, raw],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout.readline() == "good\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("code", [UNTIL_REFUSED, AFTER_A_FORK], ids=["process", "forked"])
def test_a_revocation_reaches_another_process_within_a_second(server, code):
    with another_process(server, code) as process:
        begun = time.time()
        mirror(server).revoke("sid", "s1", issuer="people")
        took = float(process.stdout.readline()) - begun
    print(f"took {took * 1000:.1f} ms")
    assert took < 1


def test_flows_tell_the_others_too_and_hold_no_event_loop_up(server):
    first, second = mirror(server), mirror(server)
    assert drive.run(first.revoke_flow("sid", "s1")).value == "s1"
    assert asyncio.run(drive.arun(first.revoke_flow("sid", "s2"))).value == "s2"
    second.step()
    assert values(second) == ["s1", "s2"]
    server.hang()

    async def beside():
        telling = asyncio.ensure_future(drive.arun(first.revoke_flow("sid", "s3")))
        begun = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - begun < 0.1
        assert not telling.done()
        with pytest.raises(errors.Unavailable):
            await telling

    asyncio.run(beside())


DEPLOYED = """
[[issuer]]
name = "people"
audience = false
algorithms = ["HS256"]
secret = "a secret of thirty-two bytes or more"

[revocation]
redis = {{ env = "REDIS_URL" }}
max_age = 60
when_stale = "refuse"
"""

APP = """
import os
from jwtguard import from_toml
from jwtguard.wsgi import GuardMiddleware


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


app = GuardMiddleware(app, from_toml("jwtguard.toml"))
"""


def test_two_workers_of_gunicorn_refuse_what_the_command_revoked(server, tmp_path):
    (tmp_path / "jwtguard.toml").write_text(DEPLOYED.format())
    (tmp_path / "app.py").write_text(APP)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "REDIS_URL": server.url}
    words = {"cwd": tmp_path, "env": environment, "text": True}

    def jwtguard(*given):
        command = [sys.executable, "-m", "jwtguard", *given]
        return subprocess.run(command, capture_output=True, check=True, **words).stdout.strip()

    raw = jwtguard("token", "jwtguard.toml", "--sub", "alice")
    port = free_port()
    gunicorn = [
        "gunicorn",
        "-w",
        "2",
        "--preload",
        "--no-control-socket",
        "-b",
        f"127.0.0.1:{port}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", *gunicorn, "app:app"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **words,
    )

    def get():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError), closing(connection):
            connection.request("GET", "/", headers={"Authorization": f"Bearer {raw}"})
            response = connection.getresponse()
            return response.status, response.read()
        return None, b""

    try:
        workers = set()
        until(lambda: workers.add(get()) or len(workers - {(None, b"")}) == 2, 20)
        assert {status for status, _ in workers} <= {200, None}
        jwtguard("revoke", "jwtguard.toml", "--sub", "alice", "--before", "4000000000")
        time.sleep(1)
        assert {get()[0] for _ in range(40)} == {401}
    finally:
        process.terminate()
        process.wait(10)


def test_what_is_known_survives_a_redis_that_forgets(server):
    first, second = mirror(server), mirror(server)
    first.warm()
    second.warm()
    first.revoke("sid", "before")
    until(lambda: "before" in values(second))
    server.kill()
    with pytest.raises(errors.Unavailable) as caught:
        first.revoke("sid", "meanwhile")
    assert caught.value.reason == "revocation_not_stored"
    with pytest.raises(errors.Unavailable):
        asyncio.run(first.arevoke("sid", "meanwhile too"))
    assert values(first) == ["before", "meanwhile", "meanwhile too"], "this process refuses it"
    assert values(second) == ["before"]
    server.start()
    took = until(lambda: values(second) == ["before", "meanwhile", "meanwhile too"], 10)
    print(f"took {took * 1000:.0f} ms after the restart")
    third = mirror(server)
    third.warm()
    assert values(third) == values(first)
    first.revoke("sid", "after")
    until(lambda: "after" in values(second) and "after" in values(third))


def test_what_could_not_be_told_is_told_though_the_mirror_never_lost_the_server(server, client):
    revocations = mirror(server)
    revocations.warm()
    revocations._server._not_before = time.monotonic() + 60  # as if it had timed out
    with pytest.raises(errors.Unavailable):
        revocations.revoke("sid", "s1")
    other = mirror(server)
    other.warm()
    revocations._server._not_before = 0
    until(lambda: values(other) == ["s1"])


def test_a_redis_that_was_emptied_is_filled_again(server, client):
    first = mirror(server)
    first.warm()
    first.revoke("sid", "s1")
    first.raise_floor("people", 1_700_000_000.5)
    client.flushall()
    until(lambda: client.zcard("jwtguard:revoked") == 1)
    second = mirror(server)
    second.warm()
    assert values(second) == ["s1"]
    assert second.floors == {"people": 1_700_000_000.5}


@pytest.mark.parametrize("kept", [0, 1])
def test_news_that_are_gone_from_the_stream_are_read_from_the_set(server, client, kept):
    first, second = mirror(server), mirror(server)
    second.step()
    for number in range(3):
        first.revoke("sid", f"s{number}")
    client.xtrim("jwtguard:revoked:news", kept, approximate=False)
    second.step()
    assert values(second) == ["s0", "s1", "s2"]


def test_floors_are_news_too(server):
    first, second = mirror(server, max_entries=1), mirror(server)
    second.step()
    first.revoke("sub", "alice", before=1_700_000_000, issuer="people")
    first.revoke("kid", "k1")
    first.revoke("kid", "k2", issuer="people")
    second.step()
    assert second.floors == {"people": 1_700_000_000, None: float("inf")}


def test_a_server_that_has_lost_the_last_news_is_told_them_again(server, client):
    """Such as a replica that took over."""
    first, second = mirror(server), mirror(server)
    first.step()
    first.revoke("sid", "s1")
    first.step()
    client.delete("jwtguard:revoked", "jwtguard:revoked:news")
    client.hset("jwtguard:revoked:state", "number", 0)
    first.step()
    second.step()
    assert values(second) == ["s1"]


@pytest.mark.parametrize("others", [["s3"], ["s3", "s4"]], ids=len)
def test_a_server_that_has_lost_the_last_news_and_has_others_is_told_and_heard(
    server, client, others
):
    """Such as a replica that took over, where somebody else was faster to write."""
    first, second = mirror(server), mirror(server)
    first.revoke("sid", "s1")
    first.step()
    copies = {key: client.dump(key) for key in list(client.scan_iter())}
    first.revoke("sid", "s2")
    first.step()
    for key, copy in copies.items():
        client.restore(key, 0, copy, replace=True)
    for value in others:
        second.revoke("sid", value)
    first.step()
    assert values(first) == ["s1", "s2", *others]
    third = mirror(server)
    third.step()
    assert values(third) == values(first)


def test_a_redis_that_is_silent_for_too_long_is_what_the_user_said_it_is(server, caplog):
    ahead = [0.0]
    idp = FakeIssuer()
    raw = idp.token("alice", expires=3600)

    def clock():
        return time.time() + ahead[0]

    refusing, allowing = (
        Guard(
            [idp.trusted()],
            revocations=mirror(server, when_stale=word, clock=clock),
            clock=clock,
        )
        for word in ("refuse", "allow")
    )
    for guard in (refusing, allowing):
        assert guard.verify(raw).subject == "alice"
    server.kill()
    until(lambda: "not heard of" in caplog.text)
    ahead[0] = 59
    assert refusing.verify(raw).subject == "alice"
    ahead[0] = 62
    assert refusing.revocations.age > 60
    for _ in range(2):
        with pytest.raises(errors.Unavailable) as caught:
            refusing.verify(raw)
        assert (caught.value.reason, caught.value.status) == ("revocations_stale", 503)
    assert allowing.verify(raw).subject == "alice"
    assert allowing.revocations.age > 60
    server.start()
    until(lambda: refusing.revocations.age < 2)
    assert refusing.verify(raw).subject == "alice"


def test_a_process_that_starts_without_redis_knows_nothing(server):
    server.kill()
    idp = FakeIssuer()
    raw = idp.token("alice")
    refusing, allowing = (
        Guard([idp.trusted()], revocations=mirror(server, when_stale=word))
        for word in ("refuse", "allow")
    )
    with pytest.raises(errors.Unavailable):
        refusing.verify(raw)
    assert allowing.verify(raw).subject == "alice"
    assert allowing.revocations.age == float("inf")
    server.start()
    until(lambda: refusing.revocations.age < 2)
    assert refusing.verify(raw).subject == "alice"


def test_a_redis_that_hangs_holds_nobody_up(server):
    idp = FakeIssuer()
    guard = Guard([idp.trusted()], revocations=mirror(server))
    raws = [idp.token(f"user-{n}") for n in range(3)]
    guard.verify(raws[0])
    server.hang()
    begun = time.monotonic()
    for raw in raws:
        guard.verify(raw)
    assert time.monotonic() - begun < 0.2
    server.resume()
    other = mirror(server)
    until(lambda: told(other))
    until(lambda: "s1" in values(guard.revocations))


def told(revocations):
    try:
        return revocations.revoke("sid", "s1")
    except errors.Unavailable:
        return None


def test_where_there_are_more_than_fit_floors_stand_for_the_first_to_be_over(server, client):
    words = {"max_entries": 8}
    first = mirror(server, **words)
    first.warm()
    now = time.time()
    first.revoke("kid", "k1", issuer="people")
    for number in range(12):
        first.revoke("sid", f"s{number:02}", issuer="people", until=now + 1000 - number)
    until(lambda: client.zcard("jwtguard:revoked") <= 8)
    second = mirror(server, **words)
    second.warm()
    assert "k1" in values(second)
    assert len(values(second)) <= 8
    assert list(second.floors) == ["people"]
    assert now + 59 < second.floors["people"] < now + 70
    # What is over makes room and leaves nothing behind.
    client.flushall()
    third = mirror(server, **words, prefix="other:")
    third.revoke("sid", "over", until=now - 1)
    third.revoke("sid", "s1")
    assert [m for m, _ in client.zscan("other:revoked")[1]] == [
        b'{"sid":"s1","at":%s}' % str(third.entries[-1].at).rstrip("0").rstrip(".").encode()
    ]


def test_lines_that_are_not_understood_are_passed_over_and_said(server, client, caplog):
    client.zadd("jwtguard:revoked", {b"not a line": 4e9, b'{"sid":"s1","at":1}': 4e9})
    revocations = mirror(server)
    revocations.warm()
    assert revocations.entries == [Entry("sid", "s1", at=1.0)]
    assert "not understood" in caplog.text


def test_mirrors_that_nobody_has_any_more_end(server, client):
    revocations = mirror(server)
    revocations.warm()
    until(lambda: len(client.client_list()) > 1)
    del revocations
    until(lambda: len(client.client_list()) == 1, 10)
