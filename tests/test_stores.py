"""Stores, without a server: what a memory store keeps, and what Redis ones say of a bad address."""

import asyncio
import os
import sys
import time

import pytest

from jwtguard import errors
from jwtguard.core.store import Store
from jwtguard.stores import MemoryStore, RedisStore

KEY = "a key of thirty-two bytes or more, for tests"


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_value_is_there_for_its_time():
    clock = Clock()
    store = MemoryStore(clock=clock)
    assert store.get("a") is None
    store.put("a", b"1", 10)
    assert store.add("a", b"2", 10) is False
    clock.now = 9.9
    assert store.get("a") == b"1"
    store.put("a", b"3", 10)
    clock.now = 10
    assert store.get("a") == b"3"
    clock.now = 19.9
    assert store.get("a") is None
    assert store.add("a", b"", 10) is True
    assert store.get("a") == b""
    assert store.add("a", b"", 10) is False
    store.remove("a")
    store.remove("a")
    assert store.get("a") is None


def test_on_event_loops_it_is_the_same():
    async def run():
        store = MemoryStore()
        await store.aput("a", b"1", 60)
        assert await store.aadd("a", b"2", 60) is False
        assert await store.aget("a") == b"1"
        await store.aremove("a")
        return await store.aget("a")

    assert asyncio.run(run()) is None


def test_both_are_stores():
    assert isinstance(MemoryStore(), Store)
    assert isinstance(RedisStore("redis://127.0.0.1", key=KEY), Store)


def test_where_there_is_no_room_the_values_that_go_are_the_soonest_to_be_forgotten():
    clock = Clock()
    store = MemoryStore(8, clock=clock)
    assert store.add("used", b"", 1)
    for number in range(20):
        store.put(f"v{number}", b"", 100 - number)
    assert store.get("used") == b"", "what was added stays for its time"
    assert store.get("v0") == b""
    assert store.get("v19") == b""
    assert repr(store) in {f"<MemoryStore entries={n}>" for n in range(6, 9)}
    clock.now = 200
    store.put("new", b"", 0)
    store.put("newer", b"", 1)
    assert repr(store) == "<MemoryStore entries=1>"


def test_what_was_added_is_not_made_room_of():
    store = MemoryStore(4)
    for number in range(4):
        assert store.add(f"u{number}", b"", 60)
    with pytest.raises(errors.FetchError, match="holds 4 values that must stay"):
        store.add("u4", b"", 60)
    with pytest.raises(errors.FetchError, match="must stay"):
        store.put("v", b"", 60)
    assert store.add("u0", b"", 60) is False


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "9", None])
def test_the_bound_is_a_number(wrong):
    assert [where for where, _ in MemoryStore(wrong).problems] == ["max_entries"]


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://127.0.0.1", "", None, 6379])
def test_an_address_that_is_none_is_a_problem_and_is_not_shown(url):
    ((where, what),) = RedisStore(url, key=KEY).problems
    assert where == "redis"
    assert "redis://127.0.0.1:6379/0" in what


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://user:hunter2@redis.test:6380/1", "redis.test:6380"),
        ("rediss://:hunter2@redis.test", "redis.test"),
        ("unix:///run/redis.sock?db=1", "/run/redis.sock"),
        ("unix://user:hunter2@/run/redis.sock", "/run/redis.sock"),
    ],
)
def test_where_it_is_is_shown_and_no_password(url, place):
    store = RedisStore(url, key=KEY)
    assert store.problems == ()
    assert repr(store) == f"<RedisStore {place}>"


def test_without_redis_py_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    store = RedisStore("redis://127.0.0.1", key=KEY)
    assert store.problems == (
        ("redis", "needs redis-py: pip install 'jwtguard-middleware[redis]'"),
    )


def test_a_short_key_is_a_problem():
    assert [where for where, _ in RedisStore("redis://127.0.0.1", key="short").problems] == ["key"]


def test_where_nobody_listens_it_is_said_at_once_and_every_time():
    store = RedisStore("redis://127.0.0.1:1", key=KEY)
    begun = time.monotonic()
    for _ in range(3):
        with pytest.raises(errors.FetchError, match=r"redis at 127\.0\.0\.1:1: ConnectionError"):
            store.get("a")
    with pytest.raises(errors.FetchError):
        asyncio.run(store.aadd("a", b"", 1))
    assert time.monotonic() - begun < 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_waits_for_no_lock_of_its_parents():
    store = MemoryStore()
    store._lock.acquire()
    pid = os.fork()
    if pid == 0:
        store.put("a", b"1", 60)
        os._exit(0 if store.get("a") == b"1" else 1)
    until = time.monotonic() + 5
    while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.01)
    store._lock.release()
    if done == (0, 0):
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert done == (pid, 0)
