"""What processes tell each other through a store."""

import json

import pytest

from jwtguard import Introspection, Issuer, drive, errors
from jwtguard.core.model import Fetched
from jwtguard.core.sealing import Sealing
from jwtguard.core.shared import is_first_use
from jwtguard.stores import MemoryStore

from .forge import NOW, make_guard, refused

GOOD = {"active": True, "sub": "alice", "exp": NOW + 30}


class Watched(MemoryStore):
    """A store that says what was asked of it, and can be away."""

    def __init__(self):
        super().__init__(clock=lambda: 0)
        self.asked = []
        self.away = False

    def _see(self, *question):
        self.asked.append(question)
        if self.away:
            raise errors.FetchError("away")

    def get(self, name):
        self._see("get", name)
        return super().get(name)

    def put(self, name, value, ttl):
        self._see("put", name, value, ttl)
        super().put(name, value, ttl)

    def add(self, name, value, ttl):
        self._see("add", name, value, ttl)
        return super().add(name, value, ttl)


class Process:
    """A guard of its own that asks about opaque tokens."""

    def __init__(self, store, answer=GOOD, *, ttl=60, leeway=0, client_id="api", **words):
        self.now = NOW
        self.questions = 0
        self.answer = answer
        asking = Introspection(
            words.pop("endpoint", "https://i.test/ask"),
            client_id=client_id,
            client_secret="s",
            ttl=ttl,
            clock=lambda: self.now,
        )
        issuer = Issuer(
            "https://i.test/",
            name="people",
            audience=None,
            algorithms=(),
            keys=None,
            introspection=asking,
            required_claims=(),
            leeway=leeway,
        )
        self.guard = make_guard(issuers=[issuer], store=store, clock=lambda: self.now, **words)
        self.guard.exchange((self._fetch, None))

    def _fetch(self, question):
        self.questions += 1
        return Fetched(200, {}, json.dumps(self.answer).encode())

    def ask(self, raw="opaque"):
        return refused(self.guard, bearer=raw)


def test_what_one_process_was_told_counts_for_the_others_as_long_as_for_itself():
    store = Watched()
    first, second = Process(store), Process(store)
    assert first.ask() == (200, None)
    second.now = NOW + 29
    assert second.ask() == (200, None)
    assert (first.questions, second.questions) == (1, 0)
    second.now = NOW + 30
    assert second.ask() == (401, "expired")
    _, name, value, ttl = store.asked[1]
    assert ttl == 30, "no longer than the token"
    assert "opaque" not in name
    assert json.loads(value) == {"asked_at": NOW, "claims": {**GOOD, "iss": "https://i.test/"}}


def test_the_lag_is_ttl_from_when_the_provider_was_asked():
    store = Watched()
    endless = {"active": True, "sub": "alice"}
    first, second = Process(store, endless), Process(store, endless)
    first.ask()
    assert store.asked[-1][3] == 60
    second.now = NOW + 59
    second.ask()
    second.now = NOW + 60  # the store has not forgotten it: its clock stands still
    second.ask()
    assert second.questions == 1


def test_a_clock_that_is_behind_makes_nothing_last_longer():
    store = Watched()
    endless = {"active": True, "sub": "alice"}
    first, second = Process(store, endless), Process(store, endless)
    first.now = NOW + 500
    first.ask()
    second.ask()
    assert second.questions == 0
    second.now = NOW + 60
    assert second.guard.recall("GET", "/x", "/x", "Bearer opaque") is None


@pytest.mark.parametrize(
    "words", [{"client_id": "other"}, {"endpoint": "https://i.test/other"}, {"ttl": 0}]
)
def test_an_answer_counts_where_the_same_client_asks_the_same_server(words):
    store = Watched()
    first, second = Process(store), Process(store, **words)
    first.ask()
    second.ask()
    assert second.questions == 1


def test_tokens_that_were_refused_are_not_shared_and_not_looked_up_again():
    store = Watched()
    process = Process(store, {"active": False})
    for _ in range(3):
        assert process.ask() == (401, "token_inactive")
    assert [question[0] for question in store.asked] == ["get"]


def test_an_answer_of_another_process_is_judged_as_ones_own():
    store = Watched()
    Process(store).ask()
    strict = Process(store)
    strict.guard.issuers[0].required_claims = ("email",)
    assert strict.ask() == (401, "claim_missing")
    assert strict.questions == 0


def test_what_is_remembered_for_no_time_is_told_to_nobody():
    store = Watched()
    for words in ({"ttl": 0}, {"answer": GOOD | {"exp": NOW - 1}, "leeway": 5}):
        assert Process(store, **words).ask() == (200, None)
        assert [question[0] for question in store.asked] == ["get"]
        store.asked.clear()


def test_a_long_answer_is_told_to_nobody():
    store = Watched()
    assert Process(store, GOOD | {"pad": "x" * 20_000}).ask() == (200, None)
    assert [question[0] for question in store.asked] == ["get"]


def test_where_the_store_is_away_the_provider_is_asked():
    store = Watched()
    first, second = Process(store), Process(store)
    store.away = True
    assert first.ask() == second.ask() == (200, None)
    assert (first.questions, second.questions) == (1, 1)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"asked_at": "x", "claims": {}}',
        b'{"asked_at": 1800000000, "claims": []}',
        b'{"asked_at": 1800000000}',
    ],
)
def test_what_is_no_answer_of_ours_is_none(value):
    store = Watched()
    process = Process(store)
    assert process.ask() == (200, None)
    name = store.asked[0][1]
    store.put(name, value, 60)
    other = Process(store)
    assert other.ask() == (200, None)
    assert other.questions == 1


@pytest.mark.parametrize("wrong", ["redis://127.0.0.1", {}, object()])
def test_a_store_is_a_store(wrong):
    with pytest.raises(errors.ConfigurationError, match=r"store: is a jwtguard\.stores\.Redis"):
        make_guard(store=wrong)


def test_the_stores_own_problems_are_the_guards():
    with pytest.raises(errors.ConfigurationError, match=r"store\.max_entries: is a number"):
        make_guard(store=MemoryStore(0))


# --- what may be used once ----------------------------------------------------------------------


def test_an_identifier_is_used_once_by_whoever_it_belongs_to():
    store = Watched()
    words = {"of": "a key's thumbprint", "ttl": 90.5}
    assert drive.run(is_first_use(store, "jti", **words)) is True
    assert drive.run(is_first_use(store, "jti", **words)) is False
    assert drive.run(is_first_use(store, "other", **words)) is True
    assert drive.run(is_first_use(store, "jti", of="another", ttl=1)) is True
    _, name, value, ttl = store.asked[0]
    assert (value, ttl) == (b"", 90.5)
    assert "jti" not in name


def test_two_words_are_not_one():
    store = Watched()
    assert drive.run(is_first_use(store, "bc", of="a", ttl=1)) is True
    assert drive.run(is_first_use(store, "c", of="ab", ttl=1)) is True


def test_what_nobody_can_check_is_not_let_in():
    store = Watched()
    store.away = True
    with pytest.raises(errors.Unavailable) as caught:
        drive.run(is_first_use(store, "jti", of="x", ttl=1))
    assert (caught.value.reason, caught.value.status) == ("store_unavailable", 503)


# --- sealing ------------------------------------------------------------------------------------

KEY = "thirty-two bytes of a secret key"


def test_what_is_sealed_opens_for_the_same_key_and_name_alone():
    mine, theirs = Sealing(KEY), Sealing(KEY.encode())
    name = mine.name("session:alice")
    assert name == theirs.name("session:alice")
    assert "alice" not in name
    sealed = mine.seal(name, b"secret")
    assert b"secret" not in sealed
    assert mine.seal(name, b"secret") != sealed, "nobody sees that it is the same"
    assert theirs.opened(name, sealed) == b"secret"
    assert mine.opened(mine.name("session:bob"), sealed) is None
    assert Sealing(KEY + "!").opened(name, sealed) is None
    assert Sealing(KEY + "!").name("session:alice") != name
    for broken in (b"", sealed[:5], sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        assert mine.opened(name, broken) is None


@pytest.mark.parametrize("key", ["", "short", b"short", None, 7, ["x" * 40]])
def test_a_key_that_is_none_is_a_problem_and_is_not_shown(key):
    ((where, what),) = Sealing(key).problems
    assert where == "key"
    assert "32 bytes" in what
    assert "short" not in what
