"""[revocation] and [store] in a configuration, and the command that revokes."""

import json
import time

import pytest

from jwtguard import Guard, Login, Revocations, cli, config, errors
from jwtguard.revocations import RedisRevocations, RevocationFile
from jwtguard.stores import RedisStore
from jwtguard.testing import FakeIssuer

SECRET = "a secret of more than thirty-two bytes"
ISSUER = {"name": "jobs", "audience": False, "algorithms": ["HS256"], "secret": SECRET}
REDIS = "redis://127.0.0.1:1/0"  # where nobody listens
STALE = {"max_age": 60, "when_stale": "refuse"}


def guard_of(base=".", **tables):
    return config.from_mapping({"issuer": [ISSUER], **tables}, base)


def problems(base=".", **tables):
    with pytest.raises(errors.ConfigurationError) as caught:
        guard_of(base, **tables)
    return caught.value.problems


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "revoked.jsonl").write_text('{"sid": "s1"}\n')
    (tmp_path / "redis.url").write_text(f"{REDIS}\n")
    return tmp_path


def test_a_file_is_found_beside_the_configuration(folder):
    revocations = guard_of(folder, revocation={"file": "revoked.jsonl"}).revocations
    assert type(revocations) is RevocationFile
    assert revocations.path == folder / "revoked.jsonl"
    assert (revocations.max_age, revocations.when_stale) == (None, None)
    revocations = guard_of(folder, revocation={"file": "revoked.jsonl", **STALE}).revocations
    assert (revocations.max_age, revocations.when_stale) == (60, "refuse")


@pytest.mark.parametrize("word", [REDIS, {"env": "REDIS_URL"}, {"file": "redis.url"}])
def test_the_address_of_redis_may_stand_anywhere(folder, monkeypatch, word):
    monkeypatch.setenv("REDIS_URL", REDIS)
    guard = guard_of(
        folder,
        revocation={"redis": word, "prefix": "app:", **STALE},
        store={"redis": word, "key": SECRET, "prefix": "app:"},
    )
    assert type(guard.revocations) is RedisRevocations
    assert guard.revocations.source == "redis at 127.0.0.1:1"
    assert guard.revocations._keys[0] == "app:revoked"
    assert type(guard.store) is RedisStore
    assert repr(guard.store) == "<RedisStore 127.0.0.1:1>"


def test_without_them_nothing_is_shared():
    guard = guard_of()
    assert (guard.revocations, guard.store) == (None, None)


WRONG = [
    ({"revocation": {}}, "revocation", 'has file = "revoked.jsonl" or redis'),
    ({"revocation": {"file": "a", "redis": REDIS}}, "revocation", "found both"),
    ({"revocation": "revoked.jsonl"}, "revocation", "is a table, [revocation]; found str"),
    ({"revocation": {"file": 1}}, "revocation.file", "is text; found 1"),
    ({"revocation": {"file": ""}}, "revocation.file", "is text; found ''"),
    ({"revocation": {"file": "none"}}, "revocation.file", "No such file"),
    ({"revocation": {"file": "revoked.jsonl", "prefix": "a"}}, "revocation.prefix", "for redis"),
    ({"revocation": {"redis": 1, **STALE}}, "revocation.redis", "is text, or one of"),
    ({"revocation": {"redis": "x", **STALE}}, "revocation.redis", "is an address such as"),
    ({"revocation": {"redis": {"env": "NOT_SET"}, **STALE}}, "revocation.redis", "NOT_SET is not"),
    ({"revocation": {"redis": REDIS, "max_age": 60}}, "revocation.when_stale", "'refuse' answers"),
    (
        {"revocation": {"redis": REDIS, "when_stale": "allow"}},
        "revocation.max_age",
        "for how many seconds",
    ),
    (
        {"revocation": {"redis": REDIS, "max_age": 60, "when_stale": "deny"}},
        "revocation.when_stale",
        "'deny' is not one of",
    ),
    ({"revocation": {"redis": REDIS, **STALE, "ttl": 1}}, "revocation.ttl", "not of [revocation]"),
    ({"revocations": {"file": "x"}}, "revocations", "is written as a table, [revocation]"),
    ({"store": 1}, "store", "is a table, [store]; found int"),
    ({"store": {"redis": REDIS}}, "store.key", "jwtguard keygen HS256"),
    ({"store": {"key": SECRET}}, "store.redis", "is missing"),
    ({"store": {"redis": REDIS, "key": "short"}}, "store.key", "32 bytes or more"),
    ({"store": {"redis": "x", "key": SECRET}}, "store.redis", "is an address such as"),
    ({"store": {"redis": REDIS, "key": {"env": "NOT_SET"}}}, "store.key", "NOT_SET is not set"),
    ({"store": {"redis": REDIS, "key": SECRET, "keys": 1}}, "store.keys", "did you mean 'key'"),
]


@pytest.mark.parametrize(("tables", "where", "what"), WRONG)
def test_what_is_wrong_is_said_in_its_place_and_once(folder, tables, where, what):
    ((place, said),) = problems(folder, **tables)
    assert place == where
    assert what in said


# --- jwtguard revoke ----------------------------------------------------------------------------


@pytest.fixture
def run(folder, capsys):
    (folder / "jwtguard.toml").write_text(
        '[[issuer]]\nname = "jobs"\naudience = false\nalgorithms = ["HS256"]\n'
        f'secret = "{SECRET}"\n[revocation]\nfile = "revoked.jsonl"\n'
    )

    def run(*words, target=None, **given):
        capsys.readouterr()
        target = [str(target or folder / "jwtguard.toml")] if "guard" not in given else []
        code = cli.main(["revoke", *target, *words], **given)
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), " ".join(err.split())

    return run


def last_line(folder):
    return json.loads((folder / "revoked.jsonl").read_text().splitlines()[-1])


REVOKED = [
    (["--jti", "j1", "--issuer", "jobs"], {"jti": "j1", "issuer": "jobs"}, "jti j1 of issuer jobs"),
    (["--sid", "s2"], {"sid": "s2"}, "sid s2 of every issuer"),
    (["--sid", "s3", "--issuer", "session"], {"sid": "s3", "issuer": "session"}, "issuer session"),
    (["--kid", "k1"], {"kid": "k1"}, "kid k1"),
    (
        ["--sub", "alice", "--before", "2027-01-15T08:00:00Z"],
        {"sub": "alice", "before": 1800000000},
        "tokens issued before 2027-01-15T08:00:00Z",
    ),
    (
        ["--sub", "alice", "--before", "1800000000"],
        {"sub": "alice", "before": 1800000000},
        "2027-01-15T08:00:00Z",
    ),
    (
        ["--sub", "alice", "--before", "2027-01-15T09:00:00+01:00"],
        {"sub": "alice", "before": 1800000000},
        "2027-01-15T08:00:00Z",
    ),
]


@pytest.mark.parametrize(("words", "line", "said"), REVOKED)
def test_revoke_says_what_it_did_and_the_others_know(folder, run, words, line, said):
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert said in out
    found = last_line(folder)
    assert found.pop("at") == pytest.approx(time.time(), abs=60)
    assert found == line


def test_a_subject_s_tokens_end_as_of_now_and_for_as_long_as_is_said(folder, run):
    assert run("--sub", "alice", "--for", "3600")[0] == 0
    found = last_line(folder)
    assert found["before"] == pytest.approx(time.time(), abs=60)
    assert found["until"] == pytest.approx(time.time() + 3600, abs=60)


WRONG_USE = [
    ([], "one of the arguments --jti --sid --sub --kid is required"),
    (["--sid", "a", "--sub", "b"], "not allowed with argument"),
    (["--jti", "a"], "--issuer: is missing"),
    (["--jti", "a", "--issuer", "jobs", "--before", "1800000000"], "--before: does not go with"),
    (["--sub", ""], "--sub: is text"),
    (["--sub", "a", "--issuer", "job"], "did you mean 'jobs'?"),
    (["--sub", "a", "--before", "2027"], "is a time such as"),
    (["--sub", "a", "--before", "2027-01-15T08:00:00"], "is a time such as"),
    (["--sub", "a", "--before", "now"], "is a time such as"),
    (["--sub", "a", "--for", "0"], "a number of seconds above 0; found '0'"),
    (["--sub", "a", "--for", "1h"], "a number of seconds above 0; found '1h'"),
    (["--sub", "a", "--for", "nan"], "a number of seconds above 0; found 'nan'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG_USE)
def test_revoke_says_what_to_write(folder, run, words, said):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert (folder / "revoked.jsonl").read_text() == '{"sid": "s1"}\n'


@pytest.mark.parametrize("revocations", [None, Revocations()])
def test_revoke_needs_a_place_that_is_shared(run, revocations):
    guard = Guard([FakeIssuer().trusted()], revocations=revocations)
    code, _, err = run("--sid", "a", guard=guard)
    assert code == 2
    assert "add [revocation]" in err


def test_where_nobody_could_be_told_revoke_says_so(run):
    revocations = RedisRevocations(REDIS, **STALE)
    guard = Guard([FakeIssuer().trusted()], revocations=revocations)
    code, out, err = run("--sid", "a", guard=guard)
    assert (code, out) == (1, "")
    assert "nothing was revoked: redis at 127.0.0.1:1: ConnectionError" in err


def test_check_online_asks_what_is_shared(capsys):
    idp = FakeIssuer()
    revocations = RedisRevocations(REDIS, **STALE)
    guard = Guard([idp.trusted()], revocations=revocations, store=RedisStore(REDIS, key=SECRET))
    assert cli.main(["check", "--online"], guard=guard) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "nothing was heard of redis at 127.0.0.1:1" in out
    assert "problem: store it does not answer: redis at 127.0.0.1:1: ConnectionError" in out
    assert cli.main(["check"], guard=guard) == 0


@pytest.mark.parametrize(("command", "code"), [(["check", "--online"], 1), (["check"], 0)])
def test_check_online_asks_the_provider_of_a_login(capsys, command, code):
    login = Login(
        "http://127.0.0.1:1/",
        client_id="app",
        client_secret="a secret",
        secret=SECRET,
        insecure_http=True,
    )
    guard = Guard([], public_url="https://app.example.com", login=login)
    assert cli.main(command, guard=guard) == code
    out = " ".join(capsys.readouterr().out.split())
    said = "problem: login.issuer nobody can sign in for now: http://127.0.0.1:1/.well-known/"
    assert (said in out) is (code == 1)
    assert "people sign in at http://127.0.0.1:1/" in out


def test_explain_says_that_a_session_is_accepted(capsys):
    login = Login("https://idp.example/", client_id="app", client_secret="a secret", secret=SECRET)
    guard = Guard([], public_url="https://app.example.com", login=login)
    assert cli.main(["explain", "GET", "/me"], guard=guard) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "a valid token from session, in Authorization: Bearer or cookie" in out


def test_check_online_is_content_where_all_is_well(folder, capsys):
    guard = Guard([FakeIssuer().trusted()], revocations=RevocationFile(folder / "revoked.jsonl"))
    assert cli.main(["check", "--online"], guard=guard) == 0
