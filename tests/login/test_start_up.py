"""Start-up: every problem says where it is and what to write; what is less safe is said aloud."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jwtguard import Discovery, Guard, Introspection, Issuer, JWKSet, Login, PublicKey, Rule, Secret
from jwtguard.errors import ConfigurationError
from jwtguard.testing import FakeIssuer, private_key

from .people import CLIENT, ISS, ORIGIN, SECRET, Provider, browser, site

IDP = FakeIssuer(ISS, algorithm="ES256", name="people")

PEM = private_key("ES256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def problems(login=None, **words):
    """The problems of a guard with these words for its login, and of its own."""
    own = {**CLIENT, "issuer": "people", "secret": SECRET, **(login or {})}
    words = {"issuers": [IDP.trusted()], "public_url": ORIGIN, **words}
    with pytest.raises(ConfigurationError) as caught:
        Guard(login=Login(own.pop("issuer"), **own), **words)
    for secret in (SECRET, CLIENT["client_secret"], "hunter2"):
        assert secret not in str(caught.value)
    return list(caught.value.problems)


LONG = "x" * 32
WORDS = {
    # --- who signs people in
    "no such issuer": (
        {"issuer": "poeple"},
        "issuer",
        "'poeple' is no https address and no name of an issuer with an iss value; there are "
        "['people']; did you mean 'people'?",
    ),
    "an empty issuer": ({"issuer": ""}, "issuer", "is an issuer's name or address; found ''"),
    "an issuer that is no text": ({"issuer": 5}, "issuer", "is an issuer's name or address"),
    "an Issuer": ({"issuer": IDP.trusted()}, "issuer", "is an issuer's name or address"),
    "plain http": ({"issuer": "http://login.example.org/"}, "issuer", "is not https"),
    "another scheme": ({"issuer": "ftp://login.example.org/"}, "issuer", "is an https address"),
    "a query": ({"issuer": "https://x.example/?a"}, "issuer", "has a query, where discovery"),
    "a user": ({"issuer": "https://a:hunter2@x.example/"}, "issuer", "holds a user name"),
    # --- who we are
    "no secret of the client": ({"client_secret": None}, "client_secret", "is missing: it is"),
    "an empty client": ({"client_id": ""}, "client_id", "is text, the name of this service"),
    "a client that is no text": ({"client_id": 5}, "client_id", "is text, the name of this"),
    "a method": ({"method": "none"}, "method", "'none' is not one of 'client_secret_basic', "),
    "two proofs": ({"private_key": PEM}, "client_secret", "is not used by private_key_jwt"),
    "a key that is none": (
        {"client_secret": None, "private_key": "hunter2"},
        "private_key",
        "is not a private key in PEM without a passphrase",
    ),
    # --- what seals and signs
    "no secret": ({"secret": None}, "secret", "is missing: it seals and signs"),
    "a short secret": ({"secret": "hunter2"}, "secret", "has 7 bytes; 32 are needed at least"),
    "a short one of several": ({"secret": [LONG, b"hunter2"]}, "secret[1]", "has 7 bytes; 32"),
    "a short Secret": ({"secret": Secret("hunter2")}, "secret", "32"),
    "a short Secret that is let through elsewhere": (
        {"secret": Secret("hunter2", insecure_short_keys=True)},
        "secret",
        "has 7 bytes; 32 are needed at least",
    ),
    "a variable that is not set": (
        {"secret": Secret.from_env("JWTGUARD_NOT_SET")},
        "secret",
        "the environment variable JWTGUARD_NOT_SET is not set",
    ),
    "a public key": (
        {"secret": PublicKey.from_pem(IDP.public_pem())},
        "secret",
        "is a Secret; public keys seal nothing",
    ),
    "no text": ({"secret": 5}, "secret", "is text or bytes; found int"),
    "a mapping": ({"secret": {"env": "X"}}, "secret", "is text or bytes; found dict"),
    "one that is no text": ({"secret": [LONG, None]}, "secret[1]", "is text or bytes; found None"),
    "half a character": ({"secret": "\ud800" * 32}, "secret", "is not text that UTF-8 can write"),
    "an empty list": ({"secret": []}, "secret", "is empty"),
    "an empty text": ({"secret": ""}, "secret", "has 0 bytes"),
    "nine": (
        {"secret": [f"{i}{LONG}" for i in range(9)]},
        "secret",
        "are 9; 8 are understood at most",
    ),
    # --- what is asked for and kept
    "no openid": ({"scopes": "profile"}, "scopes", "lack 'openid', without which there is no"),
    "no scopes": ({"scopes": []}, "scopes", "lack 'openid'"),
    "a scope that is no text": ({"scopes": ["openid", 5]}, "scopes", "is text or a list of text"),
    "two spaces": ({"scopes": "openid  email"}, "scopes", "is text or a list of text"),
    "an empty claim": ({"claims": [""]}, "claims", "is text or a list of text"),
    "a claim that is no text": ({"claims": [["x"]]}, "claims", "is text or a list of text"),
    "a claim of every session": ({"claims": ["sub"]}, "claims", "'sub' is in every session"),
    "the time of the sign-in": ({"claims": "auth_time"}, "claims", "'auth_time' is in every"),
    "a claim that would judge the session": (
        {"claims": ["nbf"]},
        "claims",
        "'nbf' would decide whether the session is good; leave it out",
    ),
    "a proof of possession": ({"claims": "cnf"}, "claims", "'cnf' would decide whether"),
    "roles that are no text": ({"default_roles": [1]}, "default_roles", "is text or a list"),
    "no such algorithm": ({"algorithms": "RS25"}, "algorithms", "'RS25' is not an algorithm"),
    "alg none": ({"algorithms": ["none"]}, "algorithms", "'none' means unsigned tokens"),
    "an algorithm of other keys": ({"algorithms": "RS256"}, "algorithms", "RS256 needs a key"),
    "algorithms that are no text": ({"algorithms": [5]}, "algorithms", "is text or a list"),
    "userinfo that is a word": ({"userinfo": "yes"}, "userinfo", "is true or false; found 'yes'"),
    "insecure_http that is a word": ({"insecure_http": 1}, "insecure_http", "is true or false"),
    # --- how long
    "no time": ({"idle": 0}, "idle", "is a number of seconds from 1 to 34,560,000"),
    "less than a second": ({"idle": 0.5}, "idle", "is a number of seconds from 1"),
    "time backwards": ({"lifetime": -1}, "lifetime", "is a number of seconds from 1"),
    "for ever": ({"lifetime": float("inf")}, "lifetime", "is a number of seconds from 1"),
    "longer than a cookie lasts": ({"lifetime": 1e12}, "lifetime", "(400 days, as browsers"),
    "no number": ({"idle": "3600"}, "idle", "found '3600'"),
    "a word": ({"idle": True}, "idle", "found True"),
    "not a number": ({"timeout": float("nan")}, "timeout", "is a number of seconds above 0"),
    "no timeout": ({"timeout": None}, "timeout", "is a number of seconds above 0; found None"),
    # --- where
    "a relative path": ({"login_path": "login"}, "login_path", "'login' must start with '/'"),
    "a parameter": ({"login_path": "/in/{x}"}, "login_path", "is a plain path such as '/auth/log"),
    "a tree": ({"callback_path": "/back/**"}, "callback_path", "such as '/auth/callback'"),
    "a star": ({"logout_path": "/*/out"}, "logout_path", "is a plain path such as"),
    "a slash at the end": ({"logout_path": "/out/"}, "logout_path", "is a plain path such as"),
    "the root": ({"login_path": "/"}, "login_path", "is a plain path such as"),
    "an address": ({"callback_path": "https://x.example/"}, "callback_path", "must start with"),
    "two slashes": ({"login_path": "//evil"}, "login_path", "can match no request"),
    "dots": ({"login_path": "/a/../b"}, "login_path", "can match no request"),
    "a query in a path": ({"login_path": "/in?x"}, "login_path", "can match no request"),
    "an umlaut": ({"login_path": "/än"}, "login_path", "is a plain path such as"),
    "a space": ({"login_path": "/log in"}, "login_path", "is a plain path such as"),
    "a quote": ({"login_path": '/in"'}, "login_path", "is a plain path such as"),
    "Flask's way to write": ({"login_path": "/<x>"}, "login_path", "write {name}"),
    "no path": ({"backchannel_path": None}, "backchannel_path", "a path is text, not NoneType"),
    "a list": ({"login_path": ["/in"]}, "login_path", "a path is text, not list"),
    "the same path": ({"logout_path": "/auth/login"}, "login_path", "is the same as another path"),
    "away": ({"after_login": "https://evil.example/"}, "after_login", "is a path of this site"),
    "away without a scheme": ({"after_logout": "//evil"}, "after_logout", "is a path of this"),
    "after it no text": ({"after_login": None}, "after_login", "is a path of this site"),
    "after it nothing": ({"after_logout": ""}, "after_logout", "is a path of this site"),
    "not written as browsers do": ({"after_login": "/ä"}, "after_login", "such as '/'; found"),
    "round in circles": ({"after_login": "/auth/login?a=b"}, "after_login", "go in circles"),
    "round in circles by a slash": ({"after_logout": "/auth/logout/"}, "after_logout", "circles"),
}


@pytest.mark.parametrize(("login", "where", "what"), WORDS.values(), ids=WORDS)
def test_a_word_that_makes_no_sense_is_explained(login, where, what):
    found = problems(login)

    assert [at for at, _ in found if at == f"login.{where}"], found
    assert what in next(text for at, text in found if at == f"login.{where}")
    assert len(found) == 1


ISSUERS = {
    "a template": (
        {"issuers": [Issuer("https://x.example/{tenant}", name="people", tenants=["a"],
                            audience="x", algorithms="ES256", keys=JWKSet(IDP.jwks()))]},
        "is a template or has no keys; name one provider",
    ),
    "one that is introspected": (
        {"issuers": [Issuer(ISS, name="people", audience="x", algorithms=(), keys=None,
                            introspection=Introspection(f"{ISS}i", client_id="a",
                                                        client_secret="b"))]},
        "'people' is a template or has no keys; name one provider",
    ),
    "one without an iss": (
        {"issuers": [Issuer(name="people", audience="x", algorithms="ES256",
                            keys=JWKSet(IDP.jwks()))]},
        "'people' is no https address and no name of an issuer with an iss value; there are []",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "what"), ISSUERS.values(), ids=ISSUERS)
def test_not_every_issuer_signs_people_in(words, what):
    ((where, found),) = problems(**words)
    assert where == "login.issuer"
    assert what in found


BROKEN = {
    "an iss that is no text": {"issuer": 5},
    "no keys": {"keys": JWKSet({"keys": []})},
    "an audience that is none": {"audience": []},
    "an algorithm that is none": {"algorithms": ["x"]},
}


@pytest.mark.parametrize("words", BROKEN.values(), ids=BROKEN)
def test_problems_of_the_issuer_are_told_at_the_issuer(words):
    words = {
        "issuer": ISS,
        "name": "people",
        "audience": "x",
        "algorithms": ["ES256"],
        "keys": JWKSet(IDP.jwks()),
        **words,
    }
    found = problems(issuers=[Issuer(words.pop("issuer"), **words)])

    assert {where.partition(".")[0] for where, _ in found} == {"issuers[0]"}


def test_an_address_may_be_written_out_where_an_issuer_has_it():
    guard = site(Provider(), login={"issuer": ISS})

    assert guard.site.idp == ISS


def test_all_problems_are_told_at_once():
    own = {"client_secret": None, "idle": 0, "login_path": "x", "secret": "hunter2"}

    for public_url in (ORIGIN, None, "x", "http://app.example.com"):
        found = [where for where, _ in problems(own, public_url=public_url, rules=[Rule("x")])]
        assert {
            "login.client_secret",
            "login.idle",
            "login.login_path",
            "login.secret",
            "rules[0].path",
        } <= set(found)
        assert ("public_url" in found) == (public_url != ORIGIN)


def test_this_sites_own_address_is_needed():
    ((where, what),) = problems(public_url=None)

    assert where == "public_url"
    assert "login tells the provider where to send browsers back to" in what
    assert problems(public_url="http://app.example.com") == [
        ("public_url", "'http://app.example.com' is not https")
    ]


CREDENTIALS = {
    "without a login": (
        {"login": None, "rules": [Rule("/x", credentials="session")]},
        "rules[0].credentials",
        'has "session", which a Guard with login=Login(…) makes; there is none',
    ),
    "with a login elsewhere": (
        {"login": "/login", "rules": [Rule("/login", access="public"),
                                      Rule("/x", credentials=["bearer", "session"])]},
        "rules[1].credentials",
        'has "session", which a Guard with login=Login(…) makes',
    ),
    "issuers without sessions": (
        {"rules": [Rule("/x", credentials="session", issuers="people")]},
        "rules[0].credentials",
        'has "session", whose issuer the rule does not list; add "session" to issuers',
    ),
    "an issuer of that name": (
        {"issuers": [IDP.trusted(), FakeIssuer("https://x/", algorithm="ES256").trusted(
            name="session")]},
        "issuers[1].name",
        "'session' is the name of login's own issuer; choose another one",
    ),
    "a name nobody has": (
        {"rules": [Rule("/x", issuers="sesion")]},
        "rules[0].issuers",
        "'sesion' is no issuer's name; there are people, session; did you mean 'session'?",
    ),
    "a Login on a rule": (
        {"rules": [Rule("/x", login=Login("people", **CLIENT))]},
        "rules[0].login",
        "is a path such as '/login' or an https address; found <Login 'people' client_id='app'>",
    ),
    "a login that is none": ({"login": 5}, "login", "is a path such as '/login'"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "where", "what"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_sessions_take_a_login(words, where, what):
    login = Login("people", secret=SECRET, **CLIENT)
    words = {"issuers": [IDP.trusted()], "public_url": ORIGIN, "login": login, **words}
    with pytest.raises(ConfigurationError) as caught:
        Guard(**words)

    ((at, found),) = caught.value.problems
    assert at == where
    assert what in found


def test_a_rule_for_a_path_of_the_login_is_warned_about():
    guard = site(Provider(), rules=[Rule("/auth/login", access="public")])

    assert guard.warnings == (
        ("rules[0].path", "'/auth/login' is answered by login, before any rule"),
    )


# --- what is less safe is said aloud --------------------------------------------------------------


def test_on_this_machine_a_secret_is_made_and_the_log_says_so(logged):
    for origin in ("http://localhost:8000", "http://127.0.0.1", "http://[::1]:5000"):
        logged.clear()
        alice = browser(Provider(), public_url=origin, login={"secret": None})
        assert alice.get("/auth/login").status == 302
        assert [line for line in logged if line.startswith("login has no secret, so one was made")]

    other = browser(Provider(), public_url=origin, login={"secret": None})
    other.cookies = alice.cookies  # another process knows nothing of it
    state = alice.cookies.popitem()[0].rpartition("login-")[2]
    assert other.get(f"/auth/callback?state={state}").status == 400


def test_insecure_http_is_said_and_is_for_this_machine(logged):
    login = {"issuer": "http://127.0.0.1:9000", "insecure_http": True}
    guard = site(Provider(), issuers=[], public_url="http://localhost", login=login)

    assert "insecure_http is set for login" in guard.switches
    assert any(line.startswith("insecure_http is set for login") for line in logged)


def test_what_was_given_is_taken():
    provider = Provider()
    for secret in (
        SECRET,
        SECRET.encode(),
        Secret(SECRET),
        [SECRET, b"x" * 32, Secret("y" * 32)],
        (SECRET,),
        JWKSet({"keys": [{"kty": "oct", "k": "A" * 43}]}),
        "ä" * 16,
    ):
        assert site(provider, login={"secret": secret}).switches == []


def test_a_guard_of_nothing_but_a_login_is_one():
    guard = Guard([], login=Login(ISS, secret=SECRET, **CLIENT), public_url=ORIGIN)

    assert [issuer.name for issuer in guard.issuers] == []
    assert guard.site.paths == (
        "/auth/login",
        "/auth/callback",
        "/auth/logout",
        "/auth/backchannel-logout",
    )


def test_a_discovery_of_its_own_may_belong_to_the_issuer():
    people = Issuer(ISS, name="people", audience="x", algorithms="RS256", keys=Discovery())

    assert site(Provider(), issuers=[people]).site.idp == ISS


def test_repr_names_the_client_and_no_secret():
    login = Login("people", secret=SECRET, **CLIENT)

    assert repr(login) == "<Login 'people' client_id='app'>"
