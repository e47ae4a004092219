"""`cache_file`: the last known keys outlive the process, and nothing else does."""

import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jwtguard import Discovery, Guard, Issuer, RemoteKeys, config, drive, errors
from jwtguard.core import Fetched
from jwtguard.lastknown import MAX_AHEAD, MAX_FRAME, LastKnown, Origin, distrust, is_foreign
from jwtguard.signing import public_jwk
from jwtguard.testing import FakeIssuer, private_key

from .test_transport import asgi_door, wsgi_door

URL = "https://issuer.test/jwks"
ISSUER = "https://issuer.test/"
DOCUMENT = "https://issuer.test/.well-known/openid-configuration"
START = 1_800_000_000.0
DOWN = errors.FetchError("down")


class Clock:
    now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def idp(clock):
    return FakeIssuer(ISSUER, algorithm="ES256", clock=clock)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def answer(keys, **headers):
    return Fetched(200, headers, json.dumps(keys).encode())


def remote(path, clock, **words):
    return RemoteKeys(URL, **({"cache_file": path, "clock": clock, "jitter": lambda: 0.0} | words))


def discovery(path, clock, issuer=ISSUER):
    source = Discovery(cache_file=path, clock=clock, jitter=lambda: 0.0)
    return source, Issuer(issuer, audience=None, algorithms=["ES256"], keys=source)


def ask(source, *answers):
    """Refresh a source on these answers, all of which it must want."""
    given = list(answers)

    def fetch(wish):
        one = given.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    drive.run(source.refresh(), fetch)
    assert given == []


def wait_for(fact):
    until = time.monotonic() + 5
    while not fact() and time.monotonic() < until:
        time.sleep(0.005)
    assert fact()


def kept(path):
    """What the file says; None where there is none."""
    return json.loads(path.read_text()) if path.exists() else None


def wait_until_kept(path, at):
    wait_for(lambda: path.exists() and kept(path)["fetched_at"] == at)


def fetched(path, clock, keys, **words):
    """A source that has fetched *keys*, and kept them."""
    source = remote(path, clock, **words)
    ask(source, answer(keys))
    wait_until_kept(path, clock.now)
    return source


def said(caplog):
    return [r.getMessage() for r in caplog.records if "cache_file" in r.getMessage()]


# --- restart ------------------------------------------------------------------------------------


class Provider:
    """Answers with its fake issuer's keys while it is up; for threads and for tasks."""

    def __init__(self, idp):
        self.idp, self.up, self.asked = idp, True, 0

    def fetch(self, wish):
        self.asked += 1
        if not self.up:
            raise DOWN
        return answer(self.idp.jwks())

    async def afetch(self, wish):
        return self.fetch(wish)


def wsgi_life(source, idp, provider, clock):
    guard = Guard([idp.trusted(keys=source)], clock=clock)
    return wsgi_door(guard, fetch=provider.fetch)


def asgi_life(source, idp, provider, clock):
    guard = Guard([idp.trusted(keys=source)], clock=clock)
    return asgi_door(guard, fetch=provider.afetch)


@pytest.mark.parametrize("life", [wsgi_life, asgi_life], ids=["wsgi", "asgi"])
def test_a_restart_while_the_issuer_is_down_serves_known_keys_and_recovers(
    life, path, clock, idp, caplog
):
    provider = Provider(idp)
    door = life(remote(path, clock), idp, provider, clock)
    assert door(idp.bearer()) == 200
    wait_until_kept(path, START)

    provider.up = False
    clock.now += 40_000
    source = remote(path, clock)
    door = life(source, idp, provider, clock)
    assert [door(idp.bearer()), door(idp.bearer("bob"))] == [200, 200]
    stranger = FakeIssuer(ISSUER, algorithm="ES256", clock=clock)
    assert door(stranger.bearer()) == 503  # it may be a key of today
    assert said(caplog) == []

    provider.up = True
    idp.rotate(keep=1)
    clock.now += 3_600  # past any wait after failures
    assert door(idp.bearer()) == 200
    wait_until_kept(path, clock.now)
    assert len(kept(path)["jwks"]["keys"]) == 2


@pytest.mark.parametrize("life", [wsgi_life, asgi_life], ids=["wsgi", "asgi"])
def test_after_max_stale_a_restart_is_503(life, path, clock, idp, caplog):
    fetched(path, clock, idp.jwks(), max_stale=1000)
    provider = Provider(idp)
    provider.up = False
    clock.now += 999
    door = life(remote(path, clock, max_stale=1000), idp, provider, clock)
    assert door(idp.bearer()) == 200
    clock.now += 1
    assert door(idp.bearer()) == 503
    assert said(caplog) == []

    door = life(remote(path, clock, max_stale=1000), idp, provider, clock)
    assert door(idp.bearer()) == 503
    [line] = said(caplog)
    assert (
        line
        == f"{URL}: cache_file {path} is not used: its keys are 1000 s old, more than max_stale"
    )


def test_a_key_that_the_newest_set_lacks_is_gone_after_a_restart(path, clock, idp):
    old = idp.token()
    source = fetched(path, clock, idp.jwks())
    clock.now += 3000
    idp.rotate(keep=0)
    ask(source, answer(idp.jwks()))
    wait_until_kept(path, clock.now)

    guard = Guard([idp.trusted(keys=remote(path, clock))], clock=clock)

    def down(wish):
        raise DOWN

    assert drive.run(guard.verify_flow(idp.token()), down, lambda flow: flow.close())
    with pytest.raises(errors.KeysUnavailable):
        drive.run(guard.verify_flow(old), down, lambda flow: flow.close())


def test_an_answer_that_nothing_changed_counts_as_the_last_success(path, clock, idp):
    source = remote(path, clock)
    ask(source, answer(idp.jwks(), etag='"a"'))
    wait_until_kept(path, START)
    before = kept(path)
    clock.now += 50_000
    ask(source, Fetched(304, {}, b""))
    wait_until_kept(path, START + 50_000)
    assert kept(path)["jwks"] == before["jwks"]
    clock.now += 50_000
    assert remote(path, clock).current().keys


def test_a_failed_refresh_leaves_the_file_alone(path, clock, idp):
    source = fetched(path, clock, idp.jwks())
    was = path.stat()
    for bad in (DOWN, answer({"keys": []}), Fetched(500, {}, b"")):
        clock.now += 3000
        ask(source, bad)
    assert threads_that_write() == []
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


def test_without_a_file_nothing_is_said_and_nothing_known(path, clock, caplog):
    caplog.set_level(logging.INFO)
    assert not remote(path, clock).current().keys
    assert RemoteKeys(URL).cache_file is None
    assert caplog.records == []
    assert list(path.parent.iterdir()) == []


# --- what is in the file ------------------------------------------------------------------------


def test_the_file_holds_the_set_as_it_came_and_is_its_owners(path, clock, idp):
    body = b' {"keys" : [' + json.dumps(idp.jwks()["keys"][0]).encode() + b'], "x": "\xc3\xa9"}\n'
    ask(remote(path, clock), Fetched(200, {}, body))
    wait_until_kept(path, START)
    assert body in path.read_bytes()
    assert kept(path) == {
        "address": URL,
        "issuer": None,
        "fetched_at": START,
        "jwks": json.loads(body),
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_the_file_is_no_longer_than_an_answer_may_be(path, clock, idp):
    body = json.dumps(idp.jwks()).encode()
    padded = body + b" " * (5000 - len(body))
    source = remote(path, clock, max_bytes=5000)
    ask(source, Fetched(200, {}, padded))
    wait_until_kept(path, START)
    assert remote(path, clock, max_bytes=5000).current().keys


def text(keys, **changes):
    words = {"address": URL, "issuer": None, "fetched_at": START, "jwks": keys} | changes
    return json.dumps(words).encode()


KEY = public_jwk(private_key("ES256"), kid="k")
GOOD = {"keys": [KEY]}
OCT = public_jwk(private_key("HS256"), kid="s")
PRIVATE = KEY | {"d": "AAAA"}

# what the file holds -> part of the one line about it
BROKEN = {
    "empty": (b"", "not what was written"),
    "half": (text(GOOD)[:-40], "not what was written"),
    "no object": (b"[]", "not what was written"),
    "no UTF-8": (b"\xff" + text(GOOD), "not what was written"),
    "twice": (text(GOOD)[:-1] + b', "fetched_at": 1}', "not what was written"),
    "NaN": (text(GOOD, fetched_at=float("nan")), "not what was written"),
    "deep": (b'{"a":' + b"[" * 100_000, "not what was written"),
    "nothing in it": (b"{}", "another address"),
    "another address": (text(GOOD, address=URL + "2"), "another address"),
    "another issuer": (text(GOOD, issuer=ISSUER), "another address"),
    "a set alone": (json.dumps(GOOD).encode(), "another address"),
    "no time": (text(GOOD, fetched_at=None), "does not say when"),
    "a time in words": (text(GOOD, fetched_at="now"), "does not say when"),
    "a true time": (text(GOOD, fetched_at=True), "does not say when"),
    "the future": (text(GOOD, fetched_at=START + MAX_AHEAD + 1), "from the future"),
    "infinity": (text(GOOD).replace(b"1800000000.0", b"1e999"), "not what was written"),
    "a large number": (text(GOOD, fetched_at=10**400), "from the future"),
    "too old": (text(GOOD, fetched_at=START - 86_400), "86400 s old"),
    "before time": (text(GOOD, fetched_at=-1e300), "s old"),
    "no set": (text(None), "a JWK Set is an object"),
    "a list": (text([KEY]), "a JWK Set is an object"),
    "no keys": (text({"keys": []}), "no usable key"),
    "a secret": (text({"keys": [OCT]}), "no usable key"),
    "a private key": (text({"keys": [PRIVATE]}), "no usable key"),
    "too long": (text(GOOD) + b" " * (1_048_576 + MAX_FRAME), "is longer than"),
}


@pytest.mark.parametrize(("data", "why"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_does_not_help_is_passed_over_with_one_line(path, clock, caplog, data, why):
    path.write_bytes(data)
    path.chmod(0o600)
    source = remote(path, clock)
    assert source.snapshot is None
    [line] = said(caplog)
    assert line.startswith(f"{URL}: cache_file {path} is not used: ")
    assert why in line
    assert list(source.problems) == []

    ask(source, answer(GOOD))  # and the next answer is kept in its place
    wait_for(lambda: path.read_bytes() != data)
    assert kept(path)["jwks"] == GOOD
    assert remote(path, clock).current().keys


def test_what_is_left_out_of_an_answer_is_left_out_of_the_file_too(path, clock, caplog):
    path.write_bytes(text({"keys": [KEY, OCT, PRIVATE | {"kid": "p"}]}))
    path.chmod(0o600)
    keys = remote(path, clock).current().keys
    assert [key.kid for key in keys] == ["k"]
    assert caplog.text.count("left out") == 2


def test_a_clock_that_was_put_back_a_little_does_no_harm(path, clock):
    path.write_bytes(text(GOOD, fetched_at=START + MAX_AHEAD))
    path.chmod(0o600)
    assert remote(path, clock).snapshot.fetched_at == START


def test_a_link_a_directory_and_a_pipe_are_passed_over(path, clock, caplog):
    path.mkdir()
    assert not remote(path, clock).current().keys
    assert "Is a directory" in said(caplog)[-1]
    path.rmdir()
    os.mkfifo(path, 0o600)
    assert not remote(path, clock).current().keys
    assert "no regular file" in said(caplog)[-1]
    path.unlink()
    path.symlink_to(path)
    assert not remote(path, clock).current().keys
    assert "symbolic links" in said(caplog)[-1]
    assert len(said(caplog)) == 3


# --- who may write it ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666, 0o622])
def test_a_file_that_others_may_write_is_not_believed(path, clock, caplog, mode):
    path.write_bytes(text(GOOD))
    path.chmod(mode)
    source = remote(path, clock)
    assert not source.current().keys
    assert [line.rpartition(": ")[2] for line in said(caplog)] == ["others may write it"]

    guard = Guard([Issuer(ISSUER, audience=None, algorithms=["ES256"], keys=source)])
    [(where, what)] = config.key_file_warnings(guard)
    assert where == "issuers[0].keys.cache_file"
    assert f"chmod go-w {path}" in what
    ask(source, answer(GOOD))
    wait_for(lambda: stat.S_IMODE(path.stat().st_mode) == 0o600)
    assert config.key_file_warnings(guard) == []


def status(mode, uid):
    return os.stat_result((mode, 1, 1, 1, uid, 0, 1, 0, 0, 0))


def test_only_a_file_of_our_own_or_of_roots_is_believed():
    ours = os.geteuid()
    assert distrust(status(stat.S_IFREG | 0o600, ours)) is None
    assert distrust(status(stat.S_IFREG | 0o644, 0)) is None
    assert distrust(status(stat.S_IFREG | 0o600, ours + 1)) == "it belongs to another user"
    assert distrust(status(stat.S_IFDIR | 0o700, ours)) == "it is no regular file"
    assert is_foreign(status(stat.S_IFREG, ours + 1))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_users_is_neither_believed_nor_replaced(path, clock, caplog):
    path.write_bytes(text(GOOD))
    path.chmod(0o600)
    os.chown(path, 12345, 12345)
    source = remote(path, clock)
    assert not source.current().keys
    ask(source, answer(GOOD))
    wait_for(lambda: len(said(caplog)) == 2)
    assert [line.rpartition(": ")[2] for line in said(caplog)] == ["it belongs to another user"] * 2
    assert path.stat().st_uid == 12345


# --- writing ------------------------------------------------------------------------------------


def test_a_write_that_fails_is_said_once_and_stops_nothing(tmp_path, clock, idp, caplog):
    folder = tmp_path / "later"
    path = folder / "keys.json"
    source = remote(path, clock)
    guard = Guard([idp.trusted(keys=source)], clock=clock)
    [(where, what)] = config.key_file_warnings(guard)
    assert (where, what) == (
        "issuers[0].keys.cache_file",
        f"{folder} is no directory, so that no keys are kept",
    )
    for _ in range(3):
        clock.now += 3000
        ask(source, answer(idp.jwks()))
        wait_for(lambda: not threads_that_write())
    assert drive.run(guard.verify_flow(idp.token()))
    [line] = said(caplog)
    assert line == f"{URL}: cache_file {path} is not written: No such file or directory"
    [record] = [r for r in caplog.records if r.getMessage() == line]
    assert record.thread != threading.get_ident()  # nobody waits for it

    folder.mkdir()
    clock.now += 3000
    ask(source, answer(idp.jwks()))
    wait_until_kept(path, clock.now)
    path.unlink()
    folder.rmdir()
    clock.now += 3000
    ask(source, answer(idp.jwks()))
    wait_for(lambda: len(said(caplog)) == 2)


def threads_that_write():
    return [thread for thread in threading.enumerate() if "_write" in thread.name]


def test_a_directory_in_its_place_is_left_alone(path, clock, idp, caplog):
    path.mkdir()
    ask(remote(path, clock), answer(idp.jwks()))
    wait_for(lambda: any("is not written" in line for line in said(caplog)))
    assert path.is_dir()
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_an_older_answer_does_not_replace_a_newer_one(path, clock, idp):
    new = fetched(path, clock, idp.jwks())
    clock.now += 100
    was = kept(path)
    file = LastKnown(path, 10_000, clock)
    file._write(Origin(URL), START - 1, json.dumps(GOOD).encode())
    assert kept(path) == was
    file._write(Origin(URL), START, json.dumps(GOOD).encode())
    assert kept(path)["jwks"] == GOOD  # of the same time: the last one
    file._write(Origin(URL), START + 1, json.dumps(idp.jwks()).encode())
    assert kept(path)["jwks"] == idp.jwks()
    assert new.current().keys


def test_a_file_from_the_future_does_not_stay_for_ever(path, clock, idp):
    path.write_bytes(text(GOOD, fetched_at=START * 2))
    path.chmod(0o600)
    fetched(path, clock, idp.jwks())
    assert kept(path)["jwks"] == idp.jwks()


LIFE = """
import sys, json, threading
from jwtguard import RemoteKeys, drive
from jwtguard.core import Fetched
path, number, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
body = json.dumps({"keys": [json.loads(sys.argv[4])], "by": number, "pad": "x" * 20_000}).encode()
now = [1_800_000_000.0]
source = RemoteKeys("https://issuer.test/jwks", cache_file=path, cooldown=0.5, clock=lambda: now[0])
for _ in range(times):
    now[0] += 1
    drive.run(source.refresh(), lambda wish: Fetched(200, {}, body))
"""


def life(path, number, times):
    words = [str(path), str(number), str(times), json.dumps(KEY)]
    return subprocess.Popen([sys.executable, "-W", "error", "-c", LIFE, *words])


def test_a_process_that_ends_after_its_fetch_has_written_it(path):
    with life(path, 7, 1) as process:
        assert process.wait(20) == 0
    assert kept(path)["jwks"]["by"] == "7"


def test_processes_may_share_a_file_and_nobody_reads_half_of_it(path, clock):
    reader, reads = LastKnown(path, 1_048_576, clock), 0
    processes = [life(path, number, 40) for number in range(3)]
    while any(process.poll() is None for process in processes):
        if reader.read(Origin(URL)) is not None:
            reads += 1
    assert [process.wait(20) for process in processes] == [0, 0, 0]
    assert reads > 0
    assert reader.read(Origin(URL)).document["keys"] == [KEY]
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


# --- discovery ----------------------------------------------------------------------------------


def test_a_discovery_serves_after_a_restart_without_its_document(path, clock, idp):
    source, _ = discovery(path, clock)
    document = Fetched(200, {}, json.dumps({"issuer": ISSUER, "jwks_uri": URL}).encode())
    ask(source, document, answer(idp.jwks()))
    wait_until_kept(path, START)
    assert (kept(path)["address"], kept(path)["issuer"]) == (DOCUMENT, ISSUER)

    again, issuer = discovery(path, clock)
    assert again.current().keys == source.current().keys
    assert Guard([issuer], clock=clock)


def test_a_discovery_takes_no_keys_of_another_issuer(path, clock, idp, caplog):
    source, _ = discovery(path, clock)
    document = Fetched(200, {}, json.dumps({"issuer": ISSUER, "jwks_uri": URL}).encode())
    ask(source, document, answer(idp.jwks()))
    wait_until_kept(path, START)
    other, _ = discovery(path, clock, "https://second.test/")
    assert not other.current().keys
    assert "another address or issuer" in caplog.text
    assert not remote(path, clock).current().keys


TEMPLATE = "https://issuer.test/{tenant}/v2.0"


def tenants(path, clock, **words):
    source = Discovery(cache_file=path, clock=clock, jitter=lambda: 0.0)
    words = {"tenants": ["a", "b"], "audience": None, "algorithms": ["ES256"]} | words
    return Issuer(TEMPLATE, keys=source, **words)


@pytest.mark.parametrize("allowed", [["a", "b"], lambda name: True], ids=["listed", "asked"])
def test_each_tenant_of_a_template_has_a_file_of_its_own(path, clock, idp, allowed):
    issuer = tenants(path, clock, tenants=allowed)
    others = FakeIssuer(ISSUER, algorithm="ES256", clock=clock)
    for tenant, fake in (("a", idp), ("b", others)):
        iss = TEMPLATE.replace("{tenant}", tenant)
        document = Fetched(200, {}, json.dumps({"issuer": iss, "jwks_uri": URL}).encode())
        source = issuer.source_of(tenant)
        ask(source, document, answer(fake.jwks()))
        wait_until_kept(source.cache_file, START)
        assert kept(source.cache_file)["issuer"] == iss
    names = {file.name for file in path.parent.iterdir()}
    assert len(names) == 2
    assert all(name.startswith("keys-") and name.endswith(".json") for name in names)

    again = tenants(path, clock, tenants=allowed)
    for tenant, fake in (("a", idp), ("b", others)):
        [key] = again.source_of(tenant).current().keys
        assert key.kid == fake.jwks()["keys"][0]["kid"]


def test_the_template_itself_has_no_file(path, clock, caplog):
    path.write_bytes(b"x")
    tenants(path, clock)
    assert said(caplog) == []


def test_warnings_of_tenants_have_the_place_of_their_template(tmp_path):
    issuer = {
        "issuer": TEMPLATE,
        "tenants": ["a", "b"],
        "audience": False,
        "algorithms": ["ES256"],
        "discovery": True,
        "remote": {"cache_file": str(tmp_path / "none" / "keys.json")},
    }
    warnings = config.from_mapping({"issuer": [issuer]}).warnings
    places = {where for where, what in warnings if "is no directory" in what}
    assert places == {"issuer[0].remote.cache_file"}


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", 5, True, b"x", "a\0b", ["x"]])
def test_cache_file_is_the_name_of_a_file(value):
    for source in (RemoteKeys(URL, cache_file=value), Discovery(cache_file=value)):
        issuer = Issuer(ISSUER, audience=None, algorithms=["ES256"], keys=source)
        [(where, what)] = issuer.problems
        assert where == "keys.cache_file"
        assert what == f"is the name of a file; found {value!r}"


def test_in_a_file_it_is_relative_to_the_file(tmp_path):
    for words in ('jwks_uri = "https://issuer.test/jwks"', "discovery = true"):
        (tmp_path / "jwtguard.toml").write_text(
            f"[[issuer]]\nissuer = '{ISSUER}'\naudience = false\nalgorithms = 'ES256'\n{words}\n"
            "[issuer.remote]\ncache_file = 'keys.json'\n"
        )
        source = config.from_toml(tmp_path / "jwtguard.toml").issuers[0].source
        assert source.cache_file == tmp_path / "keys.json"


def test_the_file_stays_where_it_is_when_the_process_goes_elsewhere(
    tmp_path, clock, idp, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    source = remote("keys.json", clock)
    monkeypatch.chdir(tmp_path / "elsewhere")
    ask(source, answer(idp.jwks()))
    wait_until_kept(tmp_path / "keys.json", START)


def test_two_issuers_with_one_file_are_warned_about(tmp_path):
    file = tmp_path / "keys.json"
    issuers = [
        {
            "issuer": f"https://{name}.test",
            "audience": False,
            "algorithms": ["ES256"],
            "jwks_uri": f"https://{name}.test/jwks",
            "remote": {"cache_file": str(file)},
        }
        for name in "ab"
    ]
    [(where, what)] = config.from_mapping({"issuer": issuers}).warnings
    assert where == "issuer[1].remote.cache_file"
    assert (
        what == f"{file} is another issuer's too, and keeps the keys of one; name a file for each"
    )


def test_two_issuers_with_one_address_may_share_its_file(tmp_path):
    issuers = [
        Issuer(
            f"https://{name}.test",
            audience=None,
            algorithms=["ES256"],
            keys=RemoteKeys(URL, cache_file=tmp_path / "keys.json"),
        )
        for name in "ab"
    ]
    assert config.key_file_warnings(Guard(issuers)) == []


def test_a_problem_of_another_word_leaves_the_file_unread(path, clock, caplog):
    path.write_bytes(b"x")
    assert RemoteKeys(URL, cache_file=path, max_stale="1 day").problems
    assert said(caplog) == []
    assert isinstance(RemoteKeys(URL, cache_file=str(path)).cache_file, Path)
