"""The configuration file: every word of it, and every way to get it wrong."""

import json
import tomllib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

import jwtguard
from jwtguard import Discovery, Guard, Issuer, RemoteKeys, config
from jwtguard.cli.keys import public_pem
from jwtguard.config import schema
from jwtguard.core import Allow, Request
from jwtguard.core.errors import ConfigurationError
from jwtguard.testing import private_key, public_jwk, sign

SECRET = "a secret of more than thirty-two bytes"
KEY = private_key("ES256")
PEM = public_pem(KEY).decode()
ISSUER = {"audience": False, "algorithms": ["HS256"], "secret": SECRET}
JWKS = "https://login.example.com/jwks"
FETCHED = {"issuer": "https://login.example.com", "audience": False, "algorithms": ["ES256"]}

FETCHING = {"issuer": FETCHED | {"jwks_uri": JWKS}}
RESOURCE = {"public_url": "https://api.example.com", "protected_resource": {"path": "/mcp"}}


def problems(mapping, base="."):
    with pytest.raises(ConfigurationError) as caught:
        config.from_mapping(mapping, base)
    return caught.value.problems


def clean(words):
    return {name: word for name, word in words.items() if word is not None}


def with_issuer(**words):
    return {"issuer": [clean(ISSUER | words)]}


def with_rule(**words):
    return with_issuer() | {"rule": [{"path": "/x"} | words]}


# --- the schema ---------------------------------------------------------------------------------


def given_to(section, key):
    """What the class was given under *key*."""
    return {
        "guard": lambda guard: getattr(guard._setup.given, key),
        "issuer": lambda guard: getattr(guard.issuers[0], key),
        "rule": lambda guard: getattr(guard.policy.rules[0].rule, key),
        "requirement": lambda guard: getattr(guard.policy.rules[0].rule.requirement, key),
    }[section]


# section, key, value in the file, what the class makes of it
WORDS = [
    ("guard", "forward", {"X-User": "sub"}, {"X-User": "sub"}),
    ("guard", "variables", "json", "json"),
    ("guard", "realm", "api", "api"),
    ("guard", "origins", ["https://app.example.com"], ["https://app.example.com"]),
    ("guard", "public_url", "https://app.example.com", "https://app.example.com"),
    ("guard", "preflight", "answer", "answer"),
    ("guard", "login", "https://login.example.com/", "https://login.example.com/"),
    ("guard", "remote_user", "{issuer}:{sub}", "{issuer}:{sub}"),
    ("guard", "strip_credentials", True, True),
    ("guard", "response_headers", True, True),
    ("guard", "require_https", "refuse", "refuse"),
    ("guard", "cache_size", 10, 10),
    ("guard", "protected_resource", False, False),
    ("guard", "trusted_proxies", ["10.0.0.0/8"], ["10.0.0.0/8"]),
    ("guard", "failed_rate", "20/minute", "20/minute"),
    ("guard", "report_until", "2026-01-01", "2026-01-01"),
    ("guard", "observer", [], []),
    ("issuer", "issuer", "https://login.example.com/", "https://login.example.com/"),
    ("issuer", "name", "people", "people"),
    ("issuer", "audience", "https://api.example.com", {"https://api.example.com"}),
    ("issuer", "audience", ["a", "b"], {"a", "b"}),
    ("issuer", "audience", False, None),
    ("issuer", "algorithms", "HS256", ("HS256",)),
    ("issuer", "typ", "at+jwt", "at+jwt"),
    ("issuer", "required_claims", [], ()),
    ("issuer", "leeway", 0, 0),
    ("issuer", "max_age", 60, 60),
    ("issuer", "roles", ["/realm/roles"], ("/realm/roles",)),
    ("issuer", "require", {"token_use": "access"}, {"token_use": "access"}),
    ("issuer", "any_iss", True, True),
    ("rule", "path", ["/a", "/b/**"], ["/a", "/b/**"]),
    ("rule", "access", "optional", "optional"),
    ("rule", "methods", ["GET"], {"GET", "HEAD"}),
    ("rule", "credentials", {"cookie": "auth_token"}, None),
    ("rule", "issuers", "default", ("default",)),
    ("rule", "status", 401, 401),
    ("rule", "login", False, False),
    ("rule", "forward", {"X-User": "sub"}, {"X-User": "sub"}),
    ("rule", "https", "refuse", "refuse"),
    ("rule", "opaque_tail", True, True),
    ("rule", "rate", {"limit": "1/day", "by": "claim:sub"}, {"limit": "1/day", "by": "claim:sub"}),
    ("rule", "report_until", False, False),
    ("requirement", "scopes", "a b", ("a", "b")),
    ("requirement", "any_scope", ["a"], ("a",)),
    ("requirement", "roles", "admin", ("admin",)),
    ("requirement", "any_role", ["admin", "root"], ("admin", "root")),
    ("requirement", "require", {"role": {"ne": "guest"}}, {"role": {"ne": "guest"}}),
]


@pytest.mark.parametrize(("section", "key", "value", "made"), WORDS)
def test_every_parameter_is_a_word_of_the_file(section, key, value, made):
    mapping = {
        "guard": lambda: {"public_url": "https://app.example.com"} | with_issuer() | {key: value},
        "issuer": lambda: with_issuer(**{key: value}),
        "rule": lambda: with_rule(**{"path": "/x/**", key: value}),
        "requirement": lambda: with_rule(**{key: value}),
    }[section]()
    guard = config.from_mapping(mapping)
    if key == "credentials":
        assert [place.name for place in guard.policy.rules[0].ambient] == ["auth_token"]
    else:
        assert given_to(section, key)(guard) == made


def test_tenants_are_a_word_of_the_file():
    guard = config.from_mapping(
        with_issuer(issuer="https://x/{tenant}/v2.0", tenants=["a", "b"], required_claims=["exp"])
    )

    assert guard.issuers[0].tenants == ("a", "b")


def test_the_table_of_words_is_complete():
    tried = {"guard": set(), "issuer": {"tenants"}, "rule": set(), "requirement": set()}
    for section, key, _, _ in WORDS:
        tried[section].add(key)

    assert tried["guard"] == set(schema.GUARD_KEYS)
    assert tried["issuer"] == set(schema.ISSUER_KEYS)
    assert tried["rule"] | tried["requirement"] == set(schema.RULE_KEYS)


def test_what_only_code_can_be_is_no_word_of_the_file():
    assert not {"clock", "error_body"} & set(schema.GUARD_KEYS)
    assert "check" not in schema.RULE_KEYS


@pytest.mark.parametrize(
    "spelling", [("issuer", "rule"), ("issuers", "rules"), ("issuer", "rules")]
)
def test_singular_and_plural_are_the_same(spelling):
    issuer, rule = spelling
    guard = config.from_mapping({issuer: [ISSUER], rule: [{"path": "/x", "access": "public"}]})

    assert len(guard.issuers) == len(guard.policy.rules) == 1


def test_one_table_may_stand_for_a_list_of_one():
    guard = config.from_mapping({"issuer": ISSUER, "rule": {"path": "/x"}})

    assert guard.policy.rules[0].rule.text == "/x"


def test_the_file_of_the_contract_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("JOBS_KEY", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=")
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public_jwk(KEY, kid="k1")]}))
    (tmp_path / "jwtguard.toml").write_text(
        """
        realm   = "api.example.com"
        origins = ["https://app.example.com"]
        variables = "json"

        [[issuer]]
        issuer     = "https://login.example.com/"
        name       = "people"
        audience   = "https://api.example.com"
        algorithms = ["ES256"]
        jwks_file  = "jwks.json"
        typ        = "at+jwt"

        [[issuer]]
        name       = "jobs"
        algorithms = ["HS256"]
        audience   = false
        secret     = { env = "JOBS_KEY", encoding = "base64" }

        [[rule]]
        path   = ["/health", "/login", "/static/**"]
        access = "public"

        [[rule]]
        path     = "/admin/**"
        any_role = ["admin", "superuser"]

        [[rule]]
        path        = "/app/**"
        credentials = ["bearer", { cookie = "auth_token" }]
        login       = "/login"

        [forward]
        X-User-Id   = "sub"
        X-User-Role = "role"
        """
    )
    guard = jwtguard.from_toml(tmp_path / "jwtguard.toml")

    token = sign(
        {"sub": "job-1", "role": "admin", "exp": 4e9},
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
        "HS256",
    )
    headers = [("Authorization", f"Bearer {token}")]
    decision = guard.decide(Request("GET", "/admin/x", headers=headers))
    assert isinstance(decision, Allow)
    assert dict(decision.set) == {"X-User-Id": "job-1", "X-User-Role": "admin"}
    assert decision.token.issuer == "jobs"
    assert guard.decide(Request("GET", "/health")).status == 200
    assert guard.decide(Request("GET", "/other")).status == 401


# --- keys ---------------------------------------------------------------------------------------

HEX = SECRET.encode().hex()
GOOD_KEYS = [
    ("secret", SECRET),
    ("secret", {"value": SECRET}),
    ("secret", {"value": HEX, "encoding": "hex"}),
    ("secret", {"env": "TEST_SECRET"}),
    ("secret", {"env": "TEST_HEX", "encoding": "hex", "kid": "k1"}),
    ("secret", {"value": {"env": "TEST_SECRET"}}),
    ("secret", {"file": "secret.txt"}),
    ("secret", {"file": "secret.hex", "encoding": "hex"}),
    ("secret", {"value": "short", "insecure_short_keys": True}),
    ("secret", [SECRET, {"file": "secret.txt"}]),
    ("public_key", PEM),
    ("public_key", {"value": PEM, "kid": "k1"}),
    ("public_key", {"env": "TEST_PEM"}),
    ("public_key", {"file": "key.pub"}),
    ("public_key", [PEM]),
    ("public_key_file", "key.pub"),
    ("public_key_file", {"file": "key.pub", "kid": "k1"}),
    ("public_key_file", {"env": "TEST_FILE"}),
    ("public_key_file", ["key.pub", {"value": "key.pub"}]),
    ("jwks_file", "jwks.json"),
    ("jwks_file", {"file": "jwks.json"}),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Key files, and variables that hold keys; not the current directory."""
    (tmp_path / "secret.txt").write_text(SECRET + "\n")
    (tmp_path / "secret.hex").write_text(HEX)
    (tmp_path / "key.pub").write_text(PEM)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public_jwk(KEY, kid="k1")]}))
    (tmp_path / "empty").write_text("")
    monkeypatch.setenv("TEST_SECRET", SECRET)
    monkeypatch.setenv("TEST_HEX", HEX)
    monkeypatch.setenv("TEST_PEM", PEM)
    monkeypatch.setenv("TEST_FILE", "key.pub")
    monkeypatch.delenv("TEST_UNSET", raising=False)
    return tmp_path


@pytest.mark.parametrize(("word", "value"), GOOD_KEYS)
def test_every_key_source_verifies_a_token(folder, word, value):
    algorithm = "HS256" if word == "secret" else "ES256"
    issuer = {"audience": False, "algorithms": algorithm, word: value}
    guard = config.from_mapping({"issuer": [issuer]}, folder)

    material = b"short" if "short" in str(value) else SECRET.encode()
    key = material if algorithm == "HS256" else KEY
    token = sign({"sub": "alice", "exp": 4e9}, key, algorithm)
    assert guard.verify(token).subject == "alice"


def test_different_key_sources_stand_side_by_side(folder):
    issuer = {
        "audience": False,
        "algorithms": ["HS256", "ES256"],
        "secret": SECRET,
        "public_key_file": "key.pub",
    }
    guard = config.from_mapping({"issuer": [issuer]}, folder)

    for key, algorithm in ((SECRET.encode(), "HS256"), (KEY, "ES256")):
        assert guard.verify(sign({"exp": 4e9}, key, algorithm)).claims == {"exp": 4e9}


# row, key words, place below issuer[0], what is said
BAD_KEYS = [
    ("A6", {"secret": {"value": "abc", "encoding": "hex"}}, ".secret", "hexadecimal"),
    ("A6", {"secret": {"value": "zz", "encoding": "hex"}}, ".secret", "hexadecimal"),
    ("A7", {"secret": {"value": "?", "encoding": "base64"}}, ".secret", "base64 with padding"),
    ("A7", {"secret": {"value": "a+b", "encoding": "base64url"}}, ".secret", "base64url"),
    ("A7", {"secret": ""}, ".secret", "empty"),
    ("A7", {"secret": {"value": "", "encoding": "hex"}}, ".secret", "empty"),
    ("A8", {"secret": {"file": "nowhere"}}, ".secret", "No such file"),
    ("A8", {"secret": {"file": "empty"}}, ".secret", "empty"),
    ("A8", {"public_key_file": "nowhere"}, ".public_key_file", "No such file"),
    ("A8", {"public_key_file": "empty"}, ".public_key_file", "not a public key in PEM"),
    ("A8", {"public_key_file": ["key.pub", "nowhere"]}, ".public_key_file[1]", "No such file"),
    ("A8", {"jwks_file": "key.pub"}, ".jwks_file", "not JSON"),
    ("A9", {}, "", "has no key to verify tokens with: add jwks_uri, discovery, jwks_file"),
    ("A11", {"secret": PEM}, ".secret", "is a PEM file, not an HMAC secret"),
    ("A11", {"secret": {"file": "key.pub"}}, ".secret", "is a PEM file, not an HMAC secret"),
    ("A11", {"secret": {"file": "jwks.json"}}, ".secret", "is a JWK or JWK Set"),
    ("A11", {"public_key": PEM}, ".algorithms", "the keys are public keys"),
    ("", {"secret": "short"}, ".secret", "5 bytes; HS256 needs at least 32"),
    ("", {"secret": [SECRET, "short"]}, ".secret[1]", "5 bytes"),
    ("", {"secret": {"env": "TEST_UNSET"}}, ".secret", "variable TEST_UNSET is not set"),
    ("", {"secret": {"env": 5}}, ".secret", "name of an environment variable"),
    ("", {"secret": {"value": SECRET, "encoding": "hx"}}, ".secret.encoding", "mean 'hex'"),
    ("", {"secret": {"value": SECRET, "kid": ""}}, ".secret.kid", "a key id is text"),
    ("", {"secret": {"value": SECRET, "kd": "a"}}, ".secret.kd", "did you mean 'kid'"),
    ("", {"secret": {"value": SECRET, "insecure_short_keys": "no"}},
     ".secret.insecure_short_keys", "true or false"),
    ("", {"secret": {}}, ".secret", "one of value, env and file; found 0"),
    ("", {"secret": {"value": SECRET, "file": "x"}}, ".secret", "found 2"),
    ("", {"secret": 5}, ".secret", "is text, not int"),
    ("", {"public_key": "key.pub"}, ".public_key", "write public_key_file"),
    ("", {"public_key": {"value": PEM, "encoding": "hex"}}, ".public_key.encoding",
     "is not a key of public_key"),
    ("", {"jwks_file": {"file": "jwks.json", "kid": "a"}}, ".jwks_file.kid", "is not a key of"),
    ("", {"keys": []}, ".keys", "is written by where the keys are"),
    ("", {"secret": SECRET, "insecure_short_keys": True}, ".insecure_short_keys",
     "stands with the key"),
    ("", {"jwks_uri": JWKS}, ".algorithms", "HS* needs a secret"),
    ("", {"discovery": "https://x/"}, ".discovery", "needs the issuer's iss value"),
    ("", {"secret": SECRET, "introspection": {}}, ".introspection.client_id", "is missing"),
    ("", {"secret": SECRET, "introspection": "x"}, ".introspection", "is a table"),
    ("", {"secret": SECRET, "remote": {}}, ".remote", "add jwks_uri or discovery"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "words", "place", "what"), BAD_KEYS)
def test_a_bad_key_is_a_start_up_error_with_its_place(folder, row, words, place, what):
    issuer = {"audience": False, "algorithms": ["HS256"], **words}
    found = dict(problems({"issuer": [issuer]}, folder))

    assert what in found["issuer[0]" + place]


# words of the issuer, place in the issuer, what is said
BAD_REMOTE = [
    ({"jwks_uri": "http://login.example.com/"}, ".jwks_uri", "is not https; insecure_http allows"),
    ({"jwks_uri": 5}, ".jwks_uri", "is an https address; found 5"),
    ({"jwks_uri": [JWKS]}, ".jwks_uri", "is an https address; found ['https://"),
    ({"jwks_uri": {"env": "TEST_UNSET"}}, ".jwks_uri", "variable TEST_UNSET is not set"),
    ({"discovery": False}, ".discovery", "is true, or the https address of"),
    ({"discovery": "login.example.com"}, ".discovery", "is an https address"),
    ({"discovery": True, "issuer": "http://login.example.com"}, ".discovery", "is not https"),
    ({"discovery": True, "issuer": None}, ".discovery", "needs the issuer's iss value"),
    ({"jwks_uri": JWKS, "discovery": True}, ".jwks_uri", "stands beside discovery"),
    ({"jwks_uri": JWKS, "public_key": PEM}, ".jwks_uri", "stands beside public_key"),
    ({"discovery": True, "public_key": PEM}, ".discovery", "stands beside public_key"),
    ({"jwks_uri": JWKS, "algorithms": ["ES256", "HS256"]}, ".algorithms", "HS* needs a secret"),
    ({"jwks_uri": JWKS, "cooldown": 5}, ".cooldown", "is a key of [issuer.remote]"),
    ({"jwks_uri": JWKS, "remote": {"cooldwn": 5}}, ".remote.cooldwn", "did you mean 'cooldown'"),
    ({"jwks_uri": JWKS, "remote": {"audience": "x"}}, ".remote.audience", "is a key of [[issuer]]"),
    ({"jwks_uri": JWKS, "remote": {"cooldown": "30"}}, ".remote.cooldown", "seconds, 0 or more"),
    ({"discovery": True, "remote": {"max_bytes": 0}}, ".remote.max_bytes", "bytes above 0"),
    ({"jwks_uri": JWKS, "remote": {"min_fresh": 90, "max_fresh": 80}}, ".remote.min_fresh",
     "is 90, more than max_fresh, 80"),
    ({"jwks_uri": JWKS, "remote": {"cache_file": ""}}, ".remote.cache_file", "name of a file"),
    ({"discovery": True, "remote": {"cache_file": 5}}, ".remote.cache_file", "name of a file"),
    ({"jwks_uri": JWKS, "remote": {"insecure_http": "no"}}, ".remote.insecure_http",
     "true or false"),
    ({"jwks_uri": JWKS, "remote": {"timeout": {"env": "TEST_UNSET"}}}, ".remote.timeout",
     "TEST_UNSET is not set"),
    ({"jwks_uri": JWKS, "remote": 5}, ".remote", "is a table, [issuer.remote]; found 5"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "place", "what"), BAD_REMOTE)
def test_a_bad_word_about_fetched_keys_is_one_problem_with_its_place(words, place, what):
    (found,) = problems({"issuer": clean(FETCHED | words)})

    assert found[0] == "issuer[0]" + place
    assert what in found[1]


def test_every_problem_of_fetched_keys_is_reported_at_once():
    remote = {"cooldwn": 5, "timeout": 0}
    second = FETCHED | {"issuer": "https://b", "jwks_uri": "http://b/", "remote": remote}

    assert {
        where for where, _ in problems({"issuers": [FETCHED | {"jwks_uri": JWKS}, second]})
    } == {
        "issuers[1].remote.cooldwn",
        "issuers[1].remote.timeout",
        "issuers[1].jwks_uri",
    }


@pytest.mark.parametrize(
    ("words", "kind", "url"),
    [
        ({"jwks_uri": JWKS}, RemoteKeys, JWKS),
        ({"jwks_uri": {"env": "TEST_ADDRESS"}}, RemoteKeys, "https://env.example.com/d"),
        ({"discovery": True}, Discovery,
         "https://login.example.com/.well-known/openid-configuration"),
        ({"discovery": "https://d.example.com/"}, Discovery, "https://d.example.com/"),
        ({"discovery": {"env": "TEST_ADDRESS"}}, Discovery, "https://env.example.com/d"),
    ],
)  # fmt: skip
def test_fetched_keys_are_an_address_or_found_by_discovery(monkeypatch, words, kind, url):
    monkeypatch.setenv("TEST_ADDRESS", "https://env.example.com/d")
    source = config.from_mapping({"issuer": clean(FETCHED | words)}).issuers[0].source

    assert type(source) is kind
    assert source.url == url


def test_the_remote_table_holds_the_words_of_fetched_keys(tmp_path):
    words = {
        "cooldown": 10, "min_fresh": 20, "max_fresh": 300, "max_stale": 4000.5, "timeout": 2,
        "max_bytes": 10_000, "insecure_http": True, "cache_file": "kept.json",
    }  # fmt: skip
    assert words.keys() == set(schema.REMOTE_KEYS)
    lines = [f"{name} = {json.dumps(value)}" for name, value in words.items()]
    file = tmp_path / "jwtguard.toml"
    file.write_text(
        "[[issuer]]\nissuer = 'https://login.example.com'\naudience = false\n"
        "algorithms = ['RS256']\njwks_uri = 'http://127.0.0.1/'\n"
        "[issuer.remote]\n" + "\n".join(lines)
    )
    source = config.from_toml(file).issuers[0].source
    was = {name: getattr(source, name, None) for name in words} | {"insecure_http": source.insecure}

    assert was == words | {"cache_file": tmp_path / "kept.json"}


# --- introspection ------------------------------------------------------------------------------

ASKED = {"client_id": "service", "client_secret": "hush-hush"}
INTROSPECTED = {"issuer": "https://login.example.com", "audience": False}


def introspected(folder, more=(), **words):
    """The one issuer of a file with this ``[issuer.introspection]``."""
    table = clean(ASKED | words)
    issuer = INTROSPECTED | dict(more) | {"introspection": table}
    return config.from_mapping({"issuer": [issuer]}, folder).issuers[0]


def private_pem():
    words = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    return KEY.private_bytes(*words).decode()


def test_the_introspection_table_holds_the_words_of_introspection(tmp_path):
    words = {
        "endpoint": "http://127.0.0.1/i", "client_id": "a", "client_secret": "b",
        "method": "client_secret_post", "when": "always", "ttl": 5, "negative_ttl": 2.5,
        "timeout": 1, "insecure_http": True,
    }  # fmt: skip
    assert {*words, "private_key"} == set(schema.INTROSPECTION_KEYS)
    lines = [f"{name} = {json.dumps(value)}" for name, value in words.items()]
    file = tmp_path / "jwtguard.toml"
    file.write_text(
        "[[issuer]]\nissuer = 'https://login.example.com'\naudience = false\n"
        "[issuer.introspection]\n" + "\n".join(lines)
    )
    issuer = config.from_toml(file).issuers[0]
    made = issuer.introspection
    client = made._client
    was = {name: getattr(made, name, None) for name in words} | {
        "insecure_http": made.insecure,
        "client_id": client.client_id,
        "client_secret": client._secret,
        "method": client.method,
    }

    assert was == words
    assert (issuer.has_keys, issuer.algorithms, issuer.sources) == (False, (), ())


@pytest.mark.parametrize(
    "given",
    [
        "hush-hush",
        {"value": "hush-hush"},
        {"value": {"env": "TEST_CLIENT_SECRET"}},
        {"env": "TEST_CLIENT_SECRET"},
        {"file": "client-secret"},
        {"file": {"env": "TEST_NAME"}},
    ],
)
def test_a_client_secret_may_stand_elsewhere(folder, monkeypatch, given):
    monkeypatch.setenv("TEST_CLIENT_SECRET", "hush-hush")
    monkeypatch.setenv("TEST_NAME", "client-secret")
    (folder / "client-secret").write_text("hush-hush\n")

    assert introspected(folder, client_secret=given).introspection._client._secret == "hush-hush"


@pytest.mark.parametrize(
    "given",
    [private_pem(), {"env": "TEST_PRIVATE"}, {"file": "client.pem"}],
    ids=["text", "env", "file"],
)
def test_a_private_key_may_stand_elsewhere(folder, monkeypatch, given):
    monkeypatch.setenv("TEST_PRIVATE", private_pem())
    (folder / "client.pem").write_text(private_pem())

    words = {"client_secret": None, "method": "private_key_jwt", "private_key": given}
    assert introspected(folder, **words).introspection._client._key[1] == "ES256"


def test_an_issuer_with_keys_is_introspected_too(folder):
    more = {"jwks_uri": JWKS, "algorithms": "ES256"}
    issuer = introspected(folder, more, when="always")

    assert (issuer.fetches, issuer.asks_always, issuer.only_asked) == (True, True, False)


def test_an_included_issuer_finds_its_files_beside_it(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "s").write_text("hush-hush")
    (tmp_path / "etc" / "issuers.toml").write_text(
        "[[issuer]]\nissuer = 'https://login.example.com'\naudience = false\n"
        "[issuer.introspection]\nclient_id = 'a'\nclient_secret = { file = 's' }\n"
    )
    guard = config.from_mapping({"include": ["etc/issuers.toml"]}, tmp_path)

    assert guard.issuers[0].introspection._client._secret == "hush-hush"


# words of [issuer.introspection], place in it, what is said
BAD_INTROSPECTION = [
    ({"client_id": None}, ".client_id", "is missing: the name of this service"),
    ({"client_id": 5}, ".client_id", "is text, the name of this service"),
    ({"client_secret": None}, ".client_secret", "text that client_secret_basic sends"),
    ({"client_secret": 5}, ".client_secret", "is text, or one of { env"),
    ({"client_secret": ""}, ".client_secret", "text that client_secret_basic sends"),
    ({"client_secret": ["hush-hush"]}, ".client_secret", "is text, or one of { env"),
    ({"client_secret": {"value": 5}}, ".client_secret", "is text, or one of { env"),
    ({"client_secret": {"text": "hush-hush"}}, ".client_secret", "is text, or one of { env"),
    ({"client_secret": {"value": "hush-hush", "file": "empty"}}, ".client_secret", "or one of"),
    ({"client_secret": {"env": "TEST_UNSET"}}, ".client_secret", "TEST_UNSET is not set"),
    ({"client_secret": {"env": 5}}, ".client_secret", "name of an environment variable"),
    ({"client_secret": {"file": "nowhere"}}, ".client_secret", "No such file"),
    ({"client_secret": {"file": "."}}, ".client_secret", "s a directory"),
    ({"client_secret": {"file": "binary"}}, ".client_secret", "is not the name of a UTF-8 text"),
    ({"client_secret": {"file": "a\0b"}}, ".client_secret", "is not the name of a UTF-8 text"),
    ({"client_secret": {"file": 5}}, ".client_secret", "is not the name of a UTF-8 text"),
    ({"client_secret": {"file": "empty"}}, ".client_secret", "text that client_secret_basic"),
    ({"private_key": {"file": "key.pub"}}, ".private_key", "is not used by client_secret_basic"),
    ({"client_secret": None, "method": "private_key_jwt"}, ".private_key", "is missing"),
    ({"client_secret": None, "method": "private_key_jwt", "private_key": {"file": "key.pub"}},
     ".private_key", "is not a private key in PEM"),
    ({"method": "none"}, ".method", "is not one of"),
    ({"when": "jwt"}, ".when", "'jwt' is not one of 'opaque', 'always'"),
    ({"endpoint": "http://login.example.com/"}, ".endpoint", "is not https"),
    ({"endpoint": {"env": "TEST_SECRET"}}, ".endpoint", "found {env = 'TEST_SECRET'}"),
    ({"ttl": "60"}, ".ttl", "is a number of seconds, 0"),
    ({"negative_ttl": -1}, ".negative_ttl", "is a number of seconds, 0"),
    ({"insecure_http": "no"}, ".insecure_http", "is true or false"),
    ({"clock": 5}, ".clock", "is not a key of [issuer.introspection]"),
    ({"clientsecret": "hush-hush"}, ".clientsecret", "did you mean 'client_secret'"),
    ({"cooldown": 5}, ".cooldown", "is a key of [issuer.remote], not of"),
    ({"audience": "x"}, ".audience", "is a key of [[issuer]], not of"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "place", "what"), BAD_INTROSPECTION)
def test_a_bad_word_about_introspection_is_one_problem_with_its_place(folder, words, place, what):
    (folder / "binary").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError) as caught:
        introspected(folder, **words)
    (found,) = caught.value.problems

    assert found[0] == "issuer[0].introspection" + place
    assert what in found[1]
    assert "hush-hush" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("table", ["x", 5, True, [], [{"client_id": "a"}]])
def test_introspection_is_a_table(table):
    (found,) = problems({"issuer": INTROSPECTED | {"introspection": table}})
    assert found[0] == "issuer[0].introspection"
    assert "is a table, [issuer.introspection]" in found[1]


def test_algorithms_without_keys_are_a_problem():
    more = INTROSPECTED | {"algorithms": ["RS256"], "introspection": ASKED}
    (found,) = problems({"issuer": more})
    assert found[0] == "issuer[0].algorithms"
    assert "without keys no signature is checked" in found[1]


def test_introspection_is_a_word_of_an_issuer():
    found = dict(problems(with_issuer() | {"introspection": ASKED}))
    assert "is a key of [[issuer]]" in found["introspection"]


def test_two_that_are_introspected_are_one_problem_at_the_rule_in_the_file():
    second = INTROSPECTED | {"issuer": "https://b.example.com"}
    issuers = [one | {"introspection": ASKED} for one in (INTROSPECTED, second)]
    (found,) = problems({"issuer": issuers, "rule": [{"path": "/**"}]})

    assert found[0] == "rule[0].issuers"
    (found,) = problems({"issuer": issuers})
    assert found[0] == "issuer"


def test_an_unset_variable_is_one_problem_and_not_two():
    assert len(problems(with_issuer(secret={"env": "TEST_UNSET"}))) == 1


def test_a_secret_is_never_quoted():
    for secret in ("hunter2", ["hunter2"], {"value": "hunter2", "encoding": "hex"}):
        assert "hunter2" not in str(problems(with_issuer(secret=secret)))


def test_secret_files_that_others_can_read_are_warned_about(folder):
    (folder / "secret.txt").chmod(0o644)
    (folder / "secret.hex").chmod(0o600)
    (folder / "key.pub").chmod(0o644)
    secrets = [{"file": "secret.txt"}, {"file": "secret.hex", "encoding": "hex"}]
    mapping = with_issuer(secret=secrets, public_key_file="key.pub", algorithms=["HS256", "ES256"])
    warnings = config.from_mapping(mapping, folder).warnings

    assert [where for where, _ in warnings] == ["issuer[0].secret[0]"]
    assert "others can read it" in warnings[0][1]


def test_a_key_set_with_a_private_key_that_others_can_read_is_warned_about(folder):
    number = KEY.private_numbers().private_value
    private = public_jwk(KEY, kid="k2", d=f"{number:x}")
    (folder / "both.json").write_text(json.dumps({"keys": [public_jwk(KEY, kid="k1"), private]}))
    (folder / "both.json").chmod(0o644)
    mapping = with_issuer(secret=None, jwks_file="both.json", algorithms="ES256")

    assert config.from_mapping(mapping, folder).warnings[0][0] == "issuer[0].jwks_file"


# --- problems -----------------------------------------------------------------------------------

# mapping, place, what is said
PROBLEMS = [
    (with_issuer() | {"relm": "x"}, "relm", "did you mean 'realm'?"),
    (with_issuer() | {"zzz": "x"}, "zzz", "known are forward, variables"),
    (with_issuer() | {"clock": 1}, "clock", "is code"),
    (with_issuer() | {"error_body": 1}, "error_body", "is code"),
    (with_issuer() | {"variables": "jsn"}, "variables", "did you mean 'json'?"),
    (with_issuer() | {"origins": [5]}, "origins", "text or a list of text"),
    (with_issuer() | {"origins": ["https://a/b"]}, "origins[0]", "no path"),
    (with_issuer() | {"strip_credentials": "no"}, "strip_credentials", "true or false"),
    (with_issuer() | {"forward": "sub"}, "forward", "is a table"),
    (with_issuer() | {"forward": {"Cookie": "sub"}}, "forward.Cookie", "means something"),
    (with_issuer() | {"login": "/login"}, "login", "round in circles"),
    (with_issuer() | {"cache_size": "many"}, "cache_size", "is a number"),
    (with_issuer() | {"realm": {"env": "TEST_UNSET"}}, "realm", "TEST_UNSET is not set"),
    (with_issuer() | RESOURCE, "protected_resource.authorization_servers", "is missing"),
    (FETCHING | {"protected_resource": True}, "public_url", "this site's own address"),
    (FETCHING | RESOURCE | {"protected_resource": "/mcp"}, "protected_resource", "found str"),
    (
        FETCHING | RESOURCE | {"protected_resource": [{"path": "/a"}, {"pth": "/b"}]},
        "protected_resource[1].pth",
        "did you mean 'path'?",
    ),
    (
        FETCHING | RESOURCE | {"protected_resource": {"resource_name": {"env": "TEST_UNSET"}}},
        "protected_resource.resource_name",
        "TEST_UNSET is not set",
    ),
    (with_issuer() | {"issuers": []}, "issuer", "write issuer or issuers, not both"),
    ({}, "issuer", "is empty"),
    ({"issuers": []}, "issuers", "is empty"),
    ({"issuer": ["x"]}, "issuer[0]", "is a table, [[issuer]]"),
    (with_issuer(audiance="x"), "issuer[0].audiance", "did you mean 'audience'?"),
    (with_issuer(audience=None), "issuer[0].audience", "audience = false says that it is not"),
    (with_issuer(audience=True), "issuer[0].audience", "text or a list of text"),
    (with_issuer(audience=[]), "issuer[0].audience", "false in a file"),
    (with_issuer(algorithms=None), "issuer[0].algorithms", 'such as ["RS256"]'),
    (with_issuer(algorithms=["HS265"]), "issuer[0].algorithms", "did you mean 'HS256'?"),
    (with_issuer(algorithms="none"), "issuer[0].algorithms", "never accepted"),
    (with_issuer(algorithms=[["HS256"]]), "issuer[0].algorithms", "text or a list of text"),
    (with_issuer(any_iss="false"), "issuer[0].any_iss", "true or false"),
    (with_issuer(typ="Bearer"), "issuer[0].typ", "JOSE header"),
    (with_issuer(realm="x"), "issuer[0].realm", "belongs to the top of the file"),
    (with_issuer(scopes="x"), "issuer[0].scopes", "is a key of [[rule]]"),
    ({"issuers": [ISSUER, ISSUER]}, "issuers[1].name", "is the name of issuers[0] too"),
    ({"issuer": [ISSUER, ISSUER]}, "issuer[1].name", "is the name of issuer[0] too"),
    ({"rule": ["x"]} | with_issuer(), "rule[0]", "is a table, [[rule]]"),
    ({"rule": [{}]} | with_issuer(), "rule[0].path", 'such as "/admin/**"'),
    (with_rule(acess="public"), "rule[0].acess", "did you mean 'access'?"),
    (with_rule(audience="x"), "rule[0].audience", "is a key of [[issuer]]"),
    (with_rule(check="x"), "rule[0].check", "is code"),
    (with_rule(path="/a/<int:id>"), "rule[0].path", "Flask's and Django's <name>"),
    (with_rule(path=["/a", "/b/:id"]), "rule[0].path[1]", "Express"),
    (with_rule(scopes=5), "rule[0].scopes", "text or a list of text"),
    (with_rule(issuers="defalt"), "rule[0].issuers", "did you mean 'default'?"),
    (with_rule(credentials=["baerer"]), "rule[0].credentials[0]", "did you mean 'bearer'?"),
    (with_rule(require={"a": {"gtt": 1}}), "rule[0].require.a", "did you mean 'gt'?"),
    (with_rule(require={"a": {"env": "TEST_UNSET"}}), "rule[0].require.a", "is not set"),
    (with_rule(access="public", roles="a"), "rule[0].access", "nobody's token is looked at"),
    (
        with_issuer() | {"rule": [{"path": "/x/**"}, {"path": "/x/y"}]},
        "rule[1].path",
        "can never match: rule[0] ('/x/**') comes first",
    ),
    (
        with_issuer() | {"rules": [{"path": "/x/**"}, {"path": ["/a", "/x/y"]}]},
        "rules[1].path[1]",
        "can never match: rules[0] ('/x/**') comes first",
    ),
]


@pytest.mark.parametrize(("mapping", "place", "what"), PROBLEMS)
def test_a_problem_has_its_place_and_says_what_to_write(mapping, place, what):
    found = problems(mapping)

    assert [where for where, _ in found] == [place]
    assert what in found[0][1]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file():
    found = problems(
        {
            "relm": "x",
            "variables": "jsn",
            "issuer": [
                {"audiance": "x", "algorithms": ["HS256"], "secret": "short"},
                {"name": "b", "audience": False, "algorithms": ["RS265"], "secret": SECRET},
            ],
            "rule": [
                {"path": "/a/<id>", "scopes": 5},
                {"path": "/b", "acess": "public", "require": {"a": {"gtt": 1}}},
                {"path": "/c", "issuers": ["c"]},
            ],
        }
    )

    assert sorted(where for where, _ in found) == sorted(
        [
            *("relm", "variables"),
            *("issuer[0].audiance", "issuer[0].audience", "issuer[0].secret"),
            "issuer[1].algorithms",
            *("rule[0].issuers", "rule[0].path", "rule[0].scopes"),
            *("rule[1].acess", "rule[1].issuers", "rule[1].require.a"),
            "rule[2].issuers",
        ]
    )
    heads = [where.partition(".")[0] for where, _ in found]
    assert heads[:2] == ["relm", "variables"]
    assert heads[2:] == sorted(heads[2:])


def test_rules_are_judged_together_whatever_else_is_wrong():
    found = problems(
        with_issuer(secret="short")
        | {"login": "/login", "rule": [{"path": "/x/**"}, {"path": "/x/y"}]}
    )

    assert {where for where, _ in found} == {"issuer[0].secret", "login", "rule[1].path"}


def test_warnings_are_in_the_words_of_the_file():
    guard = config.from_mapping(
        with_issuer() | {"rules": [{"path": "/x", "methods": "GET", "scopes": "a"}]}
    )

    assert [where for where, _ in guard.warnings] == ["rules[0].methods"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
places = st.sampled_from(
    [
        *(("guard", key) for key in (*schema.GUARD_KEYS, "include", "issuer", "rule", "server")),
        *(("issuer", key) for key in (*schema.ISSUER_KEYS, *schema.KEY_SOURCES)),
        *(("rule", key) for key in schema.RULE_KEYS),
        *(("server", key) for key in schema.SERVER_KEYS),
    ]
)


@settings(max_examples=400, deadline=None)
@given(places, json_values)
def test_any_value_anywhere_is_a_guard_or_a_configuration_error(place, value):
    section, key = place
    server = {"trusted_proxies": "192.0.2.7"}
    mapping = with_rule() | {"server": server}
    {
        "guard": mapping,
        "issuer": mapping["issuer"][0],
        "rule": mapping["rule"][0],
        "server": server,
    }[section][key] = value
    found: object
    try:
        found = config.from_mapping(mapping)
    except ConfigurationError as error:
        found = error.problems
    assert isinstance(found, Guard) or (found and all(where and what for where, what in found))


# --- files --------------------------------------------------------------------------------------


def write_toml(folder, text, name="jwtguard.toml"):
    path = folder / name
    path.write_text(text)
    return path


GOOD_TOML = f"""
[[issuer]]
audience = false
algorithms = ["HS256"]
secret = "{SECRET}"
"""


def toml_problems(path):
    with pytest.raises(ConfigurationError) as caught:
        config.from_toml(path)
    return caught.value.problems


def test_file_names_are_relative_to_the_file(folder):
    assert not folder.samefile(".")
    path = write_toml(
        folder,
        '[[issuer]]\naudience = false\nalgorithms = ["ES256"]\npublic_key_file = "key.pub"\n',
    )

    assert config.from_toml(str(path)).issuers[0].name == "default"


def test_a_missing_file_is_a_problem_at_its_name(tmp_path):
    path = tmp_path / "nowhere.toml"

    assert toml_problems(path) == ((str(path), "cannot be read: No such file or directory"),)


def test_a_syntax_error_is_a_problem_with_its_line(tmp_path):
    path = write_toml(tmp_path, 'realm = "x"\nnonsense\n')
    [(where, what)] = toml_problems(path)

    assert where == str(path)
    assert "is not TOML" in what
    assert "line 2" in what


def test_a_file_that_is_not_utf8_is_a_problem(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b'realm = "\xff"')

    assert "not UTF-8" in toml_problems(path)[0][1]


def test_a_key_below_the_first_table_is_told_where_it_belongs(tmp_path):
    path = write_toml(tmp_path, GOOD_TOML + 'realm = "x"\n')

    assert toml_problems(path) == (
        ("issuer[0].realm", "belongs to the top of the file, above the first [table]"),
    )


def test_an_included_file_brings_issuers_with_names_relative_to_itself(folder):
    below = folder / "below"
    below.mkdir()
    (folder / "key.pub").rename(below / "key.pub")
    write_toml(
        below,
        '[[issuer]]\nissuer = "https://x/"\naudience = false\n'
        'algorithms = ["ES256"]\npublic_key_file = "key.pub"\n',
        "issuers.toml",
    )
    path = write_toml(folder, 'include = ["below/issuers.toml"]\n' + GOOD_TOML)

    assert [i.name for i in config.from_toml(path).issuers] == ["default", "https://x/"]


@pytest.mark.parametrize(
    ("included", "place", "what"),
    [
        ("realm = 'x'\n", "more.toml:realm", "brings [[issuer]] tables only"),
        ("[[rule]]\npath = '/x'\n", "more.toml:rule", "brings [[issuer]] tables only"),
        ("include = ['x']\n", "more.toml:include", "brings [[issuer]] tables only"),
        ("[[issuer]]\nnam = 'x'\n", "more.toml:issuer[0].nam", "did you mean 'name'?"),
        (
            "[[issuer]]\nname = 'x'\naudience = false\nalgorithms = 'HS256'\nsecret = 'short'\n",
            "more.toml:issuer[0].secret",
            "5 bytes",
        ),
        ("nonsense", "include[0]", "more.toml: is not TOML"),
        (None, "include[0]", "more.toml: cannot be read"),
    ],
)
def test_a_problem_in_an_included_file_names_that_file(tmp_path, included, place, what):
    if included is not None:
        write_toml(tmp_path, included, "more.toml")
    path = write_toml(tmp_path, 'include = "more.toml"\n' + GOOD_TOML)

    assert what in dict(toml_problems(path))[place]


# --- environment --------------------------------------------------------------------------------


def test_a_variable_may_stand_for_any_string(monkeypatch):
    monkeypatch.setenv("TEST_WORD", "from-the-environment")
    word = {"env": "TEST_WORD"}
    guard = config.from_mapping(
        {
            "realm": word,
            "issuer": [ISSUER | {"issuer": word, "name": word, "audience": ["x", word]}],
            "forward": {"X-User": word},
            "rule": [
                {"path": "/x", "any_role": ["a", word], "issuers": word},
                {"path": "/y", "require": {"sub": word}, "credentials": [{"cookie": word}]},
            ],
        }
    )

    given_words = guard._setup.given
    assert given_words.realm == guard.issuers[0].name == "from-the-environment"
    assert given_words.forward == {"X-User": "from-the-environment"}
    assert guard.issuers[0].audience == {"x", "from-the-environment"}
    rules = [bound.rule for bound in guard.policy.rules]
    assert rules[0].requirement.any_role == ("a", "from-the-environment")
    assert rules[1].requirement.require == {"sub": "from-the-environment"}
    assert rules[1].places[0].name == "from-the-environment"


def test_env_may_be_the_name_of_a_claim_or_header():
    guard = config.from_mapping(
        with_rule(require={"env": "production"}, forward={"Env": "env"}) | {"forward": {"env": "e"}}
    )

    assert guard.policy.rules[0].rule.requirement.require == {"env": "production"}
    assert guard._setup.given.forward == {"env": "e"}


# --- load ---------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "an_app_for_jwtguard.py").write_text(
        "from jwtguard import Guard, Issuer, Secret\n"
        f"words = {ISSUER!r}\n"
        "mapping = {'issuer': words}\n"
        "guard = Guard([Issuer(audience=None, algorithms='HS256', keys=Secret(words['secret']))])\n"
        "class holder:\n    guard = guard\n"
    )
    (tmp_path / "a_broken_app_for_jwtguard.py").write_text("1 / 0\n")
    (tmp_path / "a_refused_app_for_jwtguard.py").write_text(
        "from jwtguard import Guard\nguard = Guard([])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "an_app_for_jwtguard"


@pytest.mark.parametrize("name", ["guard", "mapping", "holder.guard"])
def test_a_target_may_be_an_attribute_of_a_module(module, name):
    assert isinstance(config.load(f"{module}:{name}"), Guard)


def test_a_target_may_be_a_guard_or_a_mapping_or_a_path(tmp_path):
    guard = config.from_mapping(with_issuer())

    assert config.load(guard) is guard
    assert isinstance(config.load(with_issuer()), Guard)
    assert isinstance(config.load(write_toml(tmp_path, GOOD_TOML)), Guard)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        (None, "names no guard"),
        ("", "names no guard"),
        (5, "names no guard"),
        ("an_app_for_jwtguard:gard", "'gard' is not there; did you mean 'guard'?"),
        ("an_app_for_jwtguard:words.x", "'x' is not there"),
        ("an_app_for_jwtguard:Guard", "neither a Guard nor a mapping"),
        ("a_broken_app_for_jwtguard:guard", "ZeroDivisionError"),
        ("a_refused_app_for_jwtguard:guard", "is empty; without one no token"),
        ("no_such_module_at_all:guard", "ModuleNotFoundError"),
    ],
)
def test_a_target_that_names_no_guard_is_an_error(module, target, what):
    with pytest.raises(ConfigurationError) as caught:
        config.load(target)
    assert what in str(caught.value)


def test_the_environment_names_the_guard(tmp_path, monkeypatch):
    monkeypatch.setenv("JWTGUARD_CONFIG", str(write_toml(tmp_path, GOOD_TOML)))

    assert isinstance(config.from_environment(), Guard)


@pytest.mark.parametrize("value", [None, ""])
def test_an_unset_environment_is_an_error_and_never_no_guard(monkeypatch, value):
    monkeypatch.delenv("JWTGUARD_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("JWTGUARD_CONFIG", value)
    with pytest.raises(ConfigurationError) as caught:
        config.from_environment()
    assert caught.value.problems[0][0] == "JWTGUARD_CONFIG"


@pytest.mark.parametrize("wrong", [None, [], "x", 5, Issuer])
def test_a_configuration_that_is_no_mapping_is_an_error(wrong):
    with pytest.raises(ConfigurationError, match="is a mapping"):
        config.from_mapping(wrong)


def test_resources_are_a_table_or_a_list_of_tables_in_a_file(tmp_path):
    address = 'public_url = "https://api.example.com"\n'
    issuer = "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in FETCHING["issuer"].items()
    )
    for text, paths in (
        (f"{address}protected_resource = true\n[[issuer]]\n{issuer}", [""]),
        (f'{address}[[issuer]]\n{issuer}[protected_resource]\npath = "/mcp"', ["/mcp"]),
        (
            f'{address}[[issuer]]\n{issuer}[[protected_resource]]\npath = "/a"\n'
            '[[protected_resource]]\npath = "/b/c"',
            ["/b/c", "/a"],
        ),
    ):
        guard = config.from_toml(write_toml(tmp_path, text))

        documents = [f"/.well-known/oauth-protected-resource{path}" for path in paths]
        assert guard._setup.resources.paths == documents


def test_toml_and_mapping_are_the_same_schema(tmp_path):
    text = GOOD_TOML + '[[rule]]\npath = "/x"\nscopes = "a b"\n'
    from_file = config.from_toml(write_toml(tmp_path, text))
    from_mapping = config.from_mapping(tomllib.loads(text))

    for guard in (from_file, from_mapping):
        assert guard.policy.rules[0].rule.requirement.scopes == ("a", "b")


def test_a_file_of_a_clients_secret_that_others_can_read_is_a_warning(folder):
    secret = folder / "secret"
    secret.write_text("correct-horse")
    words = {"client_id": "api", "endpoint": "https://i.test/", "client_secret": {"file": "secret"}}
    table = {"issuer": {"audience": False, "introspection": words}}
    for mode, exposed in ((0o600, False), (0o644, True)):
        secret.chmod(mode)
        guard = config.from_mapping(table, folder)
        warned = [where for where, what in guard.warnings if "chmod o=" in what]
        assert warned == ["issuer[0].introspection.client_secret"] * exposed
