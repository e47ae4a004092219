"""Revocations that come from elsewhere: lines, files, and the thread that follows them."""

import asyncio
import gc
import json
import math
import threading
import time
import weakref

import pytest

from jwtguard import Guard, errors
from jwtguard.revocations import Entry, RedisRevocations, RevocationFile, Revocations
from jwtguard.revocations.following import Following
from jwtguard.revocations.lines import entry_in, line_of
from jwtguard.testing import FakeIssuer

SOON = 5.0


def until(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


# --- lines --------------------------------------------------------------------------------------

LINES = [
    (Entry("jti", "j1", "people", at=5.0), '{"jti":"j1","issuer":"people","at":5}'),
    (Entry("sid", "s1", until=9.25, at=5.5), '{"sid":"s1","until":9.25,"at":5.5}'),
    (Entry("sub", 'a"\nä', before=4.0, at=5.0), '{"sub":"a\\"\\n\\u00e4","before":4,"at":5}'),
    (
        Entry("kid", "k1", "p", 1.5, 2.5, 3.0),
        '{"kid":"k1","issuer":"p","before":1.5,"until":2.5,"at":3}',
    ),
]


@pytest.mark.parametrize(("entry", "line"), LINES, ids=[entry.kind for entry, _ in LINES])
def test_an_entry_is_a_line_and_a_line_an_entry(entry, line):
    assert line_of(entry) == line
    assert entry_in(line) == entry
    assert entry_in(line.encode()) == entry


WRONG_LINES = [
    ("", "Expecting value"),
    ("sub alice", "Expecting value"),
    ("[]", "not a JSON object"),
    ("{}", "names one of jti, sid, sub, kid; found 0"),
    ('{"sid": "a", "kid": "b"}', "found 2"),
    ('{"sub": "alice", "befor": 1}', "'befor' is not a word of a line; did you mean 'before'"),
    ('{"sub": "alice"}', "before: is missing"),
    ('{"jti": "a"}', "issuer: is missing"),
    ('{"sid": 1}', "sid: is text"),
    ('{"sid": "a", "at": "now"}', "at: is seconds"),
    ('{"sid": "a", "at": true}', "at: is seconds"),
    ('{"sid": "a", "until": -1}', "until: is seconds"),
    ('{"sid": "a", "sid": "b"}', "twice|duplicate"),
]


@pytest.mark.parametrize(("line", "message"), WRONG_LINES)
def test_a_line_that_says_nothing_clear_is_refused(line, message):
    with pytest.raises(ValueError, match=message):
        entry_in(line)


# --- files --------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "revoked.jsonl"
    path.write_text("")
    return path


def values(revocations):
    return sorted(entry.value for entry in revocations.entries)


def test_a_file_is_read_at_the_start_and_again_when_it_changes(path):
    path.write_text('{"sid": "s1"}\n\n  {"sid": "s2"}\r\n')
    idp = FakeIssuer()
    raws = {sid: idp.token("alice", sid=sid) for sid in ("s1", "s2", "s3")}
    guard = Guard([idp.trusted()], revocations=RevocationFile(path))
    revocations = guard.revocations

    def refused():
        return [sid for sid, raw in raws.items() if not is_good(guard, raw)]

    assert refused() == ["s1", "s2"]
    path.write_text('{"sid": "s1"}\n{"sid": "s3"}')
    begun = time.monotonic()
    until(lambda: refused() == ["s1", "s3"])
    assert time.monotonic() - begun < 1
    assert revocations.age < 1
    assert revocations.problems == ()


def is_good(guard, raw):
    try:
        return guard.verify(raw) is not None
    except errors.TokenRevoked:
        return False


def test_a_line_may_come_to_say_less(path):
    path.write_text('{"sub": "alice", "before": 1800000000}\n{"sid": "s1"}')
    revocations = RevocationFile(path)
    path.write_text('{"sub": "alice", "before": 1700000000}\n{"sid": "s1"}\n')
    assert revocations._read() == []
    assert sorted(revocations.entries) == [
        Entry("sid", "s1"),
        Entry("sub", "alice", before=1700000000.0),
    ]


def test_what_is_revoked_stands_in_the_file_for_the_others(path):
    path.write_text('{"sid": "by-hand"}')  # and no newline at the end
    first, second = RevocationFile(path), RevocationFile(path)
    second.warm()
    entry = first.revoke("sub", "alice", issuer="people", until=4e9)
    asyncio.run(first.arevoke("sid", "s2"))
    assert values(first) == ["alice", "by-hand", "s2"]
    until(lambda: values(second) == values(first))
    lines = path.read_text().splitlines()
    assert json.loads(lines[1])["sub"] == "alice"
    assert path.read_text().endswith("\n")
    assert first._read() == []
    assert values(first) == ["alice", "by-hand", "s2"]
    assert [e.before for e in first.entries if e.kind == "sub"] == [pytest.approx(entry.before)]


def test_an_empty_file_gets_its_first_line(path):
    RevocationFile(path).revoke("sid", "s1")
    assert path.read_text().startswith('{"sid":"s1","at":')
    assert path.read_text().count("\n") == 1


def test_what_cannot_be_written_counts_here_and_is_said(tmp_path, path):
    revocations = RevocationFile(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.Unavailable) as caught:
        revocations.revoke("sid", "s1")
    assert caught.value.reason == "revocation_not_stored"
    assert values(revocations) == ["s1"]


def test_lines_that_cannot_be_read_are_a_problem_at_the_start(path):
    path.write_text('{"sid": "s1"}\nsub alice\n{"jti": "x"}\n')
    problems = RevocationFile(path).problems
    assert [where for where, _ in problems] == ["file", "file"]
    assert f"{path}, line 2" in problems[0][1]
    assert "line 3: issuer: is missing" in problems[1][1]


def test_later_they_are_said_and_take_nothing_away(path, caplog):
    path.write_text('{"sid": "s1"}\n')
    revocations = RevocationFile(path)
    path.write_text('{"sid": "s2"}\nsub alice\n')
    revocations.step()
    assert values(revocations) == ["s1", "s2"]
    assert f"{path}, line 2" in caplog.text
    path.write_text('{"sid": "s2"}\n')
    revocations.step()
    assert values(revocations) == ["s2"]


@pytest.mark.parametrize("wrong", ["missing.jsonl", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_problem_at_the_start(tmp_path, wrong):
    ((where, what),) = RevocationFile(tmp_path / wrong).problems
    assert where == "file"
    assert "an empty file is one in which nothing is revoked" in what


def test_a_file_that_is_gone_keeps_what_is_known_and_comes_back(path, caplog):
    path.write_text('{"sid": "s1"}\n')
    revocations = RevocationFile(path)
    path.unlink()
    for _ in range(2):
        assert revocations._stepped() > 0
    assert caplog.text.count("not heard of") == 1
    assert values(revocations) == ["s1"]
    path.write_text('{"sid": "s1"}\n')
    revocations._stepped()
    assert values(revocations) == ["s1"]
    assert revocations._is_lost is False


def test_a_file_of_any_size_is_not_read(path, monkeypatch):
    monkeypatch.setattr("jwtguard.revocations.file.MAX_FILE", 10)
    path.write_text('{"sid": "s1"}')
    assert "more than 10 bytes" in RevocationFile(path).problems[0][1]


def test_for_a_file_it_can_be_said_what_counts_when_it_is_gone(path):
    clock = [1_800_000_000.0]
    words = {"max_age": 60, "when_stale": "refuse", "clock": lambda: clock[0]}
    revocations = RevocationFile(path, **words)
    revocations._is_followed = True  # by this test
    revocations.look(clock[0] + 59)
    assert revocations.look_again == clock[0] + 60
    with pytest.raises(
        errors.Unavailable, match=r"revocations_stale: nothing was heard of /.* 60 s"
    ):
        revocations.look(clock[0] + 60)
    clock[0] += 60
    assert revocations.age == 60
    revocations.step()
    assert revocations.age == 0
    revocations.look(clock[0])


STALE = [
    ({"max_age": 4, "when_stale": "refuse"}, "max_age"),
    ({"max_age": math.inf, "when_stale": "refuse"}, "max_age"),
    ({"max_age": True, "when_stale": "refuse"}, "max_age"),
    ({"max_age": 60, "when_stale": "deny"}, "when_stale"),
    ({"max_age": 60}, "when_stale"),
    ({"when_stale": "allow"}, "max_age"),
]


@pytest.mark.parametrize(("words", "where"), STALE)
@pytest.mark.parametrize("kind", ["file", "redis"])
def test_what_is_said_of_silence_has_both_halves(path, kind, words, where):
    made = (
        RevocationFile(path, **words) if kind == "file" else RedisRevocations("redis://x", **words)
    )
    assert [at for at, _ in made.problems] == [where]


def test_a_shared_source_has_no_default_for_silence():
    with pytest.raises(errors.ConfigurationError) as caught:
        Guard([FakeIssuer().trusted()], revocations=RedisRevocations("redis://x"))
    assert [where for where, _ in caught.value.problems] == [
        "revocations.max_age",
        "revocations.when_stale",
    ]
    assert "'refuse' answers 503" in str(caught.value)
    assert "'allow' goes on" in str(caught.value)


# --- following ----------------------------------------------------------------------------------


class Scripted(Following):
    """A source that does as it is told, step by step."""

    source = "a script"

    def __init__(self, *steps, **words):
        super().__init__(**{"max_age": 60, "when_stale": "refuse"} | words)
        self.steps = list(steps)
        self.done = 0

    def step(self):
        step = self.steps.pop(0) if self.steps else None
        self.done += 1
        if isinstance(step, Exception):
            raise step
        if step is not None:
            self.add([step])
        self.heard()
        return 0.01


def test_the_first_request_waits_for_what_is_there():
    idp = FakeIssuer()
    guard = Guard([idp.trusted()], revocations=Scripted(Entry("sub", "alice", before=3e9)))
    with pytest.raises(errors.TokenRevoked):
        guard.verify(idp.token("alice"))


def test_warm_begins_to_follow():
    revocations = Scripted(Entry("sid", "s1"))
    guard = Guard([FakeIssuer().trusted()], revocations=revocations)
    guard.warm()
    assert values(revocations) == ["s1"]
    asyncio.run(guard.awarm())


def test_a_defect_of_a_source_ends_nothing_and_tells_no_secret(caplog):
    caplog.set_level("INFO", "jwtguard.revocations")
    revocations = Scripted(KeyError("hunter2"), errors.FetchError("down"), Entry("sid", "s1"))
    revocations.warm()
    until(lambda: values(revocations) == ["s1"])
    until(lambda: "heard of again: a script" in caplog.text)
    assert "not heard of: a script: KeyError" in caplog.text
    assert "hunter2" not in caplog.text
    assert "down" not in caplog.text, "once is enough"


def test_a_thread_ends_with_what_it_follows():
    before = set(threading.enumerate())
    revocations = Scripted()
    revocations.warm()
    (thread,) = set(threading.enumerate()) - before
    gone = weakref.ref(revocations)
    del revocations
    until(lambda: gc.collect() >= 0 and gone() is None)
    until(lambda: not thread.is_alive())


def test_many_first_requests_wait_together():
    class Slow(Scripted):
        def step(self):
            time.sleep(0.1)
            return super().step()

    revocations = Slow(Entry("sub", "bob"))
    said = []

    def look():
        try:
            revocations.look(time.time())
            said.append(values(revocations))
        except errors.Unavailable as error:
            said.append(error)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [["bob"]] * 8


def test_while_it_is_read_for_the_first_time_nobody_can_say(monkeypatch):
    monkeypatch.setattr("jwtguard.revocations.following.FIRST", 0.01)
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Scripted):
        def step(self):
            begun.set()
            go_on.wait(SOON)
            return super().step()

    revocations = Slow(when_stale="allow")
    with pytest.raises(errors.Unavailable, match="what is in a script is being read"):
        revocations.look(time.time())
    go_on.set()
    until(lambda: revocations.age < 1)
    revocations.look(time.time())
    assert revocations.look_again == math.inf


def test_on_an_event_loop_the_first_request_stops_nobody_for_long():
    go_on = threading.Event()

    class Slow(Scripted):
        def step(self):
            go_on.wait(SOON)
            return super().step()

    async def look():
        began = time.monotonic()
        with pytest.raises(errors.Unavailable, match="is being read"):
            Slow(when_stale="allow").look(time.time())
        return time.monotonic() - began

    waited = asyncio.run(look())
    go_on.set()
    assert waited < 0.4  # half a second in a thread


def test_a_forked_child_begins_anew():
    revocations = Scripted()
    revocations.warm()
    until(lambda: revocations.look_again > time.time())
    revocations.begin()
    assert revocations.look_again == -math.inf
    revocations.look(time.time())
    assert revocations._is_followed


def test_many_threads_revoke_at_once_and_nothing_is_lost():
    revocations = Revocations(max_entries=500)

    def revoke(worker):
        for number in range(200):
            revocations.revoke("sid", f"{worker}-{number}", issuer="people")

    threads = [threading.Thread(target=revoke, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert revocations.count == len(revocations.entries) <= 500
    assert revocations.floors["people"] > time.time()
    revocations.discard(revocations.entries)
    assert revocations.count == 0
    revocations.discard([Entry("sid", "x")])
    assert asyncio.run(revocations.arevoke("sid", "x")).value == "x"
