"""Start-up: every problem at once, each with its place and what to write instead."""

import inspect
import logging

import pytest

from jwtguard import Discovery, Guard, Issuer, JWKSet, PublicKey, Rule, Secret, errors, from_mapping
from jwtguard.core import Request
from jwtguard.testing import private_key, public_jwk

from .forge import NOW, OTHER_SECRET, SECRET, make_guard, make_issuer, token

RSA_KEYS = JWKSet(public_jwk(private_key("RS256")))
NAMELESS = {"issuer": None, "audience": None}


def twins():
    return [make_issuer(**NAMELESS, name="a"), make_issuer(**NAMELESS, name="b")]


# what changes -> place, part of the message
ISSUERS = {
    "issuer number": ({"issuer": 5}, "issuer", "is text"),
    "issuer empty": ({"issuer": ""}, "issuer", "is text"),
    "name number": ({"name": 5}, "name", "is text"),
    "name empty": ({"name": ""}, "name", "is text"),
    "name list": ({"name": ["x"]}, "name", "is text"),
    "audience empty text": ({"audience": ""}, "audience", "write None"),
    "audience empty": ({"audience": []}, "audience", "write None (false in a file)"),
    "audience number": ({"audience": 5}, "audience", "text or a list of text"),
    "audience False": ({"audience": False}, "audience", "write None"),
    "audience nested": ({"audience": [["a"]]}, "audience", "text or a list of text"),
    "algorithms empty": ({"algorithms": []}, "algorithms", "name the alg values"),
    "algorithms None": ({"algorithms": None}, "algorithms", "name the alg values"),
    "none": ({"algorithms": ["none"]}, "algorithms", "never accepted"),
    "None": ({"algorithms": ["None"]}, "algorithms", "never accepted"),
    "nOnE among others": ({"algorithms": ["HS256", "nOnE"]}, "algorithms", "never accepted"),
    "lower case": ({"algorithms": ["hs256"]}, "algorithms", "did you mean 'HS256'"),
    "misspelt": ({"algorithms": ["HS265"]}, "algorithms", "did you mean 'HS256'"),
    "any": ({"algorithms": "any"}, "algorithms", "known are HS256, HS384"),
    "algorithm number": ({"algorithms": [256]}, "algorithms", "is not an algorithm"),
    "algorithm list": ({"algorithms": [["HS256"]]}, "algorithms", "is not an algorithm"),
    "RS256 with a secret": ({"algorithms": ["RS256"]}, "algorithms", "needs a key of type RSA"),
    "ES384 with RSA": (
        {"algorithms": ["ES384"], "keys": RSA_KEYS},
        "algorithms",
        "needs a key of type P-384; found RSA",
    ),
    "HS256 with RSA": ({"keys": RSA_KEYS}, "algorithms", "anybody who has them could sign"),
    "HS256 and RS256 with RSA": (
        {"algorithms": ["RS256", "HS256"], "keys": RSA_KEYS},
        "algorithms",
        "Use Secret",
    ),
    "keys None": ({"keys": None}, "keys", "introspection"),
    "keys text": ({"keys": SECRET.decode()}, "keys", "Secret"),
    "keys bytes": ({"keys": SECRET}, "keys", "Secret"),
    "keys mapping": ({"keys": {"keys": []}}, "keys", "Secret"),
    "keys list of text": ({"keys": [SECRET.decode()]}, "keys", "Secret"),
    "keys empty": ({"keys": []}, "keys", "no key"),
    "typ Bearer": ({"typ": "Bearer"}, "typ", "payload claim of some providers (Keycloak)"),
    "typ bearer": ({"typ": "bearer"}, "typ", "payload claim"),
    "typ empty": ({"typ": ""}, "typ", "leave it out"),
    "typ number": ({"typ": 5}, "typ", "at+jwt"),
    "typ list": ({"typ": ["at+jwt"]}, "typ", "is text"),
    "required_claims number": ({"required_claims": [5]}, "required_claims", "claim names"),
    "required_claims empty": ({"required_claims": [""]}, "required_claims", "claim names"),
    "leeway negative": ({"leeway": -1}, "leeway", "seconds, 0 or more"),
    "leeway text": ({"leeway": "10"}, "leeway", "seconds"),
    "leeway True": ({"leeway": True}, "leeway", "seconds"),
    "leeway NaN": ({"leeway": float("nan")}, "leeway", "seconds"),
    "leeway infinite": ({"leeway": float("inf")}, "leeway", "seconds"),
    "leeway None": ({"leeway": None}, "leeway", "seconds"),
    "max_age 0": ({"max_age": 0}, "max_age", "above 0"),
    "max_age text": ({"max_age": "1h"}, "max_age", "seconds"),
    "max_age NaN": ({"max_age": float("nan")}, "max_age", "seconds"),
    "roles number": ({"roles": [5]}, "roles", "claim names or JSON Pointers"),
    "roles empty": ({"roles": ""}, "roles", "claim names or JSON Pointers"),
    "template without tenants": ({"issuer": "https://x/{tenant}"}, "tenants", "list the tenants"),
    "tenants without template": ({"tenants": ["a"]}, "tenants", "need a place in the issuer"),
    "tenants without issuer": (
        {"issuer": None, "tenants": ["a"]},
        "tenants",
        "need a place in the issuer",
    ),
    "tenant with a slash": (
        {"issuer": "https://x/{tenant}", "tenants": ["a/b"]},
        "tenants",
        "without a slash",
    ),
    "tenant number": (
        {"issuer": "https://x/{tenant}", "tenants": [5]},
        "tenants",
        "without a slash",
    ),
    "tenant star": ({"issuer": "https://x/{tenant}", "tenants": "*"}, "tenants", "one name"),
    "tenant blank": ({"issuer": "https://x/{tenant}", "tenants": [" x"]}, "tenants", "one name"),
    "another place": ({"issuer": "https://x/{tenantid}/v2"}, "issuer", "is written {tenant}"),
    "any_iss text": ({"any_iss": "yes"}, "any_iss", "true or false"),
    "any_iss with issuer": ({"any_iss": True}, "any_iss", "remove it or the issuer"),
}


@pytest.mark.parametrize(("words", "place", "message"), ISSUERS.values(), ids=ISSUERS)
def test_a_broken_issuer_is_a_start_up_error(words, place, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        Guard([make_issuer(name="good", issuer="https://good.test"), make_issuer(**words)])
    assert [where for where, _ in caught.value.problems] == [f"issuers[1].{place}"]
    assert message in str(caught.value)


# rules and guard words -> place, part of the message
GUARDS = {
    "access": ([Rule("/x", access="open")], {}, "rules[0].access", "one of 'protected'"),
    "access misspelt": ([Rule("/x", access="publik")], {}, "rules[0].access", "mean 'public'"),
    "public with roles": (
        [Rule("/x", access="public", roles="a")],
        {},
        "rules[0].access",
        "nobody's token is looked at",
    ),
    "methods empty": ([Rule("/x", methods=[])], {}, "rules[0].methods", "leave it out"),
    "methods number": ([Rule("/x", methods=5)], {}, "rules[0].methods", "not an HTTP method"),
    "methods blank": ([Rule("/x", methods="GET POST")], {}, "rules[0].methods", "HTTP method"),
    "status": ([Rule("/x", status=404)], {}, "rules[0].status", "401 or 403"),
    "issuers empty": ([Rule("/x", issuers=[])], {}, "rules[0].issuers", "leave it out"),
    "issuers unknown": ([Rule("/x", issuers="peple")], {}, "rules[0].issuers", "mean 'people'"),
    "https": ([Rule("/x", https="yes")], {}, "rules[0].https", "one of False, 'refuse'"),
    "https redirect": ([Rule("/x", https="redirect")], {}, "public_url", "own address"),
    "opaque_tail text": ([Rule("/x/**", opaque_tail="y")], {}, "rules[0].opaque_tail", "true"),
    "opaque_tail exact": ([Rule("/x", opaque_tail=True)], {}, "rules[0].opaque_tail", "'/**'"),
    "rule login": ([Rule("/x", login=5)], {}, "rules[0].login", "a path such as '/login'"),
    "rule login list": ([Rule("/x", login=["/l"])], {}, "rules[0].login", "a path such as"),
    "forward text": ([Rule("/x", forward="X")], {}, "rules[0].forward", "maps request headers"),
    "forward list": ([Rule("/x", forward=["X"])], {}, "rules[0].forward", "maps request headers"),
    "rule forward": (
        [Rule("/x", forward={"Cookie": "sub"})],
        {},
        "rules[0].forward.Cookie",
        "a name of your own",
    ),
    "unknown word": ([Rule("/x", scope="a")], {}, "rules[0].scope", "did you mean 'scopes'"),
    "not a rule": (["/x"], {}, "rules[0]", "is a Rule(…)"),
    "never matches": (
        [Rule("/a/**"), Rule("/a/b")],
        {},
        "rules[1].path",
        "can never match: rules[0] ('/a/**') comes first; move this rule above it",
    ),
    "never matches, in a list": (
        [Rule("/{x}/y"), Rule(["/z", "/a/y"])],
        {},
        "rules[1].path[1]",
        "can never match",
    ),
    "never matches, method": (
        [Rule("/a", methods=["GET", "POST"]), Rule("/a", methods="GET")],
        {},
        "rules[1].path",
        "can never match",
    ),
    "never matches, name over star": ([Rule("/*"), Rule("/{x}")], {}, "rules[1].path", "never"),
    "never matches, tree in tree": (
        [Rule("/a/**"), Rule("/a/*/**")],
        {},
        "rules[1].path",
        "never match",
    ),
    "inside an opaque tail": (
        [Rule("/f/x"), Rule("/f/**", opaque_tail=True)],
        {},
        "rules[0].path",
        "keep one rule for that subtree",
    ),
    "wildcards inside an opaque tail": (
        [Rule("/*/x"), Rule("/f/**", opaque_tail=True)],
        {},
        "rules[0].path",
        "stands inside '/f/**'",
    ),
    "login loops": ([], {"login": "/login"}, "login", "round in circles"),
    "login loops on a rule": (
        [Rule("/app/**", login="/app/login")],
        {},
        "rules[0].login",
        "access='public') first",
    ),
    "login relative": ([], {"login": "login"}, "login", "neither a path (/login) nor"),
    "login http": ([], {"login": "http://x.test/"}, "login", "neither a path"),
    "login elsewhere": ([], {"login": "https://x.test/login"}, "login", "set public_url"),
    "login //": ([], {"login": "//x.test/login"}, "login", "not a plain path"),
    "login ..": ([], {"login": "/a/../login"}, "login", "not a plain path"),
    "login fragment": ([], {"login": "/login#x"}, "login", "not a plain path"),
    "login control": ([], {"login": "/login?\n"}, "login", "not a plain path"),
    "login not ASCII": ([], {"login": "/lögin"}, "login", "not a plain path"),
    "login number": ([], {"login": 5}, "login", "a path such as '/login'"),
    "login True": ([], {"login": True}, "login", "a path such as '/login'"),
    "login with a fragment": (
        [],
        {"login": "https://x.test/#a", "public_url": "https://a.test"},
        "login",
        "neither a path",
    ),
    "login with a space": (
        [],
        {"login": "https://x.test/ a", "public_url": "https://a.test"},
        "login",
        "neither a path",
    ),
    "login bad port": (
        [],
        {"login": "https://x.test:99999/", "public_url": "https://a.test"},
        "login",
        "neither a path",
    ),
    "public_url missing": ([], {"require_https": "redirect"}, "public_url", "Host header is the"),
    "public_url path": ([], {"public_url": "https://a.test/x"}, "public_url", "is an origin"),
    "public_url number": ([], {"public_url": 5}, "public_url", "is an origin"),
    "public_url http": ([], {"public_url": "http://a.test"}, "public_url", "is not https"),
    "public_url user": ([], {"public_url": "https://u@a.test"}, "public_url", "is an origin"),
    "origins wildcard": ([], {"origins": "*"}, "origins[0]", "no wildcard"),
    "origins host wildcard": ([], {"origins": ["https://*.a.test"]}, "origins[0]", "wildcard"),
    "origins path": ([], {"origins": ["https://a.test", "https://a.test/"]}, "origins[1]", "path"),
    "origins null": ([], {"origins": "null"}, "origins[0]", "scheme, host and port only"),
    "origins bare": ([], {"origins": "a.test"}, "origins[0]", "scheme, host and port"),
    "origins number": ([], {"origins": [5]}, "origins[0]", "scheme, host and port"),
    "origins default port": ([], {"origins": "https://a.test:443"}, "origins[0]", "browsers send"),
    "origins bad port": ([], {"origins": "https://a.test:x"}, "origins[0]", "scheme, host"),
    "origins bad address": ([], {"origins": "https://[::1"}, "origins[0]", "scheme, host"),
    "origins port 0": ([], {"origins": "https://a.test:0"}, "origins[0]", "scheme, host"),
    "origins ftp": ([], {"origins": "ftp://a.test"}, "origins[0]", "scheme, host"),
    "origins not ASCII": ([], {"origins": "https://ä.test"}, "origins[0]", "scheme, host"),
    "preflight": ([], {"preflight": "allow"}, "preflight", "one of 'judge', 'answer', 'pass'"),
    "variables": ([], {"variables": "text"}, "variables", "one of None, 'json', 'plain'"),
    "variables True": ([], {"variables": True}, "variables", "one of None"),
    "require_https": ([], {"require_https": True}, "require_https", "one of False, 'refuse'"),
    "realm quote control": ([], {"realm": "a\n"}, "realm", "printable ASCII"),
    "realm not ASCII": ([], {"realm": "ä"}, "realm", "printable ASCII"),
    "realm number": ([], {"realm": 5}, "realm", "printable ASCII"),
    "strip_credentials": ([], {"strip_credentials": "yes"}, "strip_credentials", "true or false"),
    "cache_size negative": ([], {"cache_size": -1}, "cache_size", "0 or more"),
    "cache_size True": ([], {"cache_size": True}, "cache_size", "0 or more"),
    "cache_size float": ([], {"cache_size": 1.5}, "cache_size", "0 or more"),
    "error_body": ([], {"error_body": "x"}, "error_body", "(error, request)"),
    "response_headers number": ([], {"response_headers": 5}, "response_headers", "or a mapping"),
    "response_headers name": ([], {"response_headers": {"a b": "x"}}, "response_headers", "name"),
    "response_headers value": (
        [],
        {"response_headers": {"X-A": "a\r\nb"}},
        "response_headers.X-A",
        "printable ASCII",
    ),
    "remote_user number": ([], {"remote_user": 5}, "remote_user", "5"),
    "remote_user braces": ([], {"remote_user": "{sub"}, "remote_user", "{sub"),
    "remote_user empty field": ([], {"remote_user": "{}"}, "remote_user", "'{issuer}:{sub}'"),
    "remote_user format": ([], {"remote_user": "{sub:>9}"}, "remote_user", "claim names"),
    "remote_user conversion": ([], {"remote_user": "{sub!r}"}, "remote_user", "claim names"),
    "forward None": ([], {"forward": None}, "forward", "maps request headers to claims"),
    "forward name": ([], {"forward": {"X Y": "a"}}, "forward.X Y", "not a header name"),
    "forward name number": ([], {"forward": {5: "a"}}, "forward.5", "not a header name"),
    "forward underscore": ([], {"forward": {"X_Y": "a"}}, "forward.X_Y", "write X-Y"),
    "forward claim": ([], {"forward": {"X-Y": 5}}, "forward.X-Y", "claim name or a JSON Pointer"),
    "forward claim empty": ([], {"forward": {"X-Y": ""}}, "forward.X-Y", "claim name"),
    "forward twice": ([], {"forward": {"X-Y": "a", "x-y": "b"}}, "forward.x-y", "stands twice"),
    **{
        f"forward {name}": ([], {"forward": {name: "sub"}}, f"forward.{name}", "name of your own")
        for name in (
            "Authorization",
            "COOKIE",
            "Host",
            "Content-Type",
            "content-length",
            "Connection",
            "Transfer-Encoding",
            "Upgrade",
            "X-Forwarded-For",
        )
    },
}


@pytest.mark.parametrize(("rules", "words", "place", "message"), GUARDS.values(), ids=GUARDS)
def test_a_broken_guard_is_a_start_up_error(rules, words, place, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(rules, **words)
    assert [where for where, _ in caught.value.problems] == [place]
    assert message in str(caught.value)


# issuers, rules -> place, part of the message
SEVERAL = {
    "none": ([], [], "issuers", "is empty"),
    "None": (None, [], "issuers", "is empty"),
    "not an issuer": ([make_issuer(), "x"], [], "issuers[1]", "is a Issuer(…)"),
    "the same iss": (
        [make_issuer(), make_issuer(name="b")],
        [],
        "issuers[1].issuer",
        "one issuer takes a list of keys",
    ),
    "the same name": (
        [make_issuer(), make_issuer(issuer="https://b.test")],
        [],
        "issuers[1].name",
        "give each its own name",
    ),
    "a tenant is another issuer": (
        [
            make_issuer(issuer="https://x.test/a"),
            make_issuer(issuer="https://x.test/{tenant}", tenants=["a"], name="t"),
        ],
        [],
        "issuers[1].issuer",
        "'https://x.test/a' is issuers[0]'s too",
    ),
    "two without iss on a rule": (
        twins(),
        [Rule("/x", issuers=["a", "b"])],
        "rules[0].issuers",
        "at most one such issuer",
    ),
    "two without iss and a rule that names none": (
        twins(),
        [Rule("/x")],
        "rules[0].issuers",
        "name the issuers of this rule",
    ),
}


@pytest.mark.parametrize(("issuers", "rules", "place", "message"), SEVERAL.values(), ids=SEVERAL)
def test_issuers_that_do_not_go_together_are_a_start_up_error(issuers, rules, place, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        Guard(issuers, rules)
    assert [where for where, _ in caught.value.problems] == [place]
    assert message in str(caught.value)


def test_every_problem_is_told_at_once():
    with pytest.raises(errors.ConfigurationError) as caught:
        Guard(
            [
                Issuer("https://a.test", audience="", algorithms="none", keys=Secret("x")),
                Issuer(audience=None, algorithms="RS256", keys=PublicKey.from_pem("x"), leeway=-1),
            ],
            [Rule("x", access="open", roles=5), Rule("/y", methods=[], forward={"Host": "sub"})],
            realm="\n",
            cache_size=-1,
            forward={"X_A": "a"},
        )
    assert {where for where, _ in caught.value.problems} == {
        "issuers[0].audience",
        "issuers[0].algorithms",
        "issuers[0].keys.value",
        "issuers[1].keys.pem",
        "issuers[1].leeway",
        "rules[0].path",
        "rules[0].access",
        "rules[0].roles",
        "rules[1].methods",
        "rules[1].forward.Host",
        "realm",
        "cache_size",
        "forward.X_A",
    }


# What looks unusual and is right.
GOOD = {
    "one issuer, no list": ({"issuers": make_issuer()}, []),
    "login on a public rule": ({"login": "/login"}, [Rule("/login", access="public")]),
    "login on an optional rule": ({"login": "/login?a=b"}, [Rule("/login", access="optional")]),
    "login elsewhere": ({"login": "https://x.test/in", "public_url": "https://a.test/"}, []),
    "login off": ({"login": "/login"}, [Rule("/login", access="public"), Rule("/a", login=False)]),
    "public_url on loopback": ({"public_url": "http://localhost:8000"}, []),
    "public_url on 127.0.0.1": ({"public_url": "http://127.0.0.1:8000"}, []),
    "public_url on ::1": ({"public_url": "http://[::1]:8000"}, []),
    "methods apart": ({}, [Rule("/a", methods="GET"), Rule("/a", methods="POST"), Rule("/a")]),
    "narrow before wide": ({}, [Rule("/a/b"), Rule("/a/*"), Rule("/a/**"), Rule("/**")]),
    "two opaque rules of one tree": (
        {},
        [
            Rule("/f/**", methods="GET", access="public", opaque_tail=True),
            Rule("/f/**", opaque_tail=True),
        ],
    ),
    "opaque beside": ({}, [Rule("/f/**", opaque_tail=True), Rule("/g/x"), Rule("/f2/**")]),
    "headers off": ({"response_headers": False}, []),
    "headers None": ({"response_headers": None}, []),
    "names of two without iss": (
        {"issuers": twins()},
        [Rule("/a", issuers="a"), Rule("/b", issuers="b"), Rule("/c", access="public")],
    ),
}


@pytest.mark.parametrize(("words", "rules"), GOOD.values(), ids=GOOD)
def test_what_looks_unusual_and_is_right(words, rules):
    assert make_guard(rules, **words).policy.rules is not None


def places(guard):
    return [where for where, _ in guard.warnings]


def test_warnings_tell_what_may_surprise():
    nameless = make_issuer(**NAMELESS, name="jobs", keys=Secret(OTHER_SECRET))
    guard = make_guard(
        [Rule("/a"), Rule("/b", issuers="people"), Rule("/c", access="public")],
        issuers=[make_issuer(), nameless],
    )
    assert places(guard) == ["rules[0].issuers"]
    assert "'jobs' may speak here too" in guard.warnings[0][1]
    guard = make_guard([Rule("/a", methods="GET", roles="x")])
    assert places(guard) == ["rules[0].methods"]
    assert "method_not_covered" in guard.warnings[0][1]
    rest = Rule("/a", roles="y")
    assert places(make_guard([Rule("/a", methods="GET", roles="x"), rest])) == []
    guard = make_guard([Rule("/a", methods="GET", roles="x"), Rule("/**", access="public")])
    assert places(guard) == ["rules[0].methods"]
    assert "other methods reach rule 1:/**, which asks for less" in guard.warnings[0][1]
    guard = make_guard([Rule("/a", credentials={"query": "t"})])
    assert places(guard) == ["rules[0].credentials"]
    rules = [Rule("/a" * n + end) for n in range(8) for end in ("/b", "/*")]
    guard = make_guard(rules)
    assert places(guard) == ["rules"]
    assert "levels hold both" in guard.warnings[0][1]
    assert make_guard().warnings == ()


def test_start_up_says_what_is_open(caplog):
    caplog.set_level(logging.INFO)
    make_guard([Rule(["/health", "/s/**"], access="public"), Rule("/x")])
    assert "open to everybody: /health /s/**" in caplog.text
    caplog.clear()
    make_guard()
    assert "open to everybody: nothing" in caplog.text


def test_a_guard_shows_itself():
    assert "remote_user" in str(inspect.signature(Guard))
    assert "= …" in str(inspect.signature(Guard))
    guard = make_guard([Rule("/a")])
    assert repr(guard) == "<Guard issuers=['people'] rules=1>"
    assert SECRET.decode() not in repr(guard.issuers)


@pytest.mark.parametrize(
    ("word", "empty"),
    [
        *(
            (word, empty)
            for word in ("scopes", "any_scope", "roles", "any_role")
            for empty in ("", [], set(), {}.keys())
        ),
        *((word, " ") for word in ("scopes", "any_scope")),
    ],
)
def test_a_requirement_that_came_out_empty_is_a_start_up_error(word, empty):
    """An unset variable in a template must not open the rule."""
    with pytest.raises(errors.ConfigurationError, match=rf"rules\[0\]\.{word}"):
        make_guard([Rule("/admin/**", **{word: empty})])


def test_a_rule_for_the_root_of_an_opaque_tree_is_a_start_up_error():
    """GET /files// is the tree's root for one reader and a name below it for another."""
    with pytest.raises(errors.ConfigurationError, match="stands inside"):
        make_guard(
            [Rule("/files", roles="admin"), Rule("/files/**", access="public", opaque_tail=True)]
        )
    make_guard([Rule("/files/**", access="public", opaque_tail=True), Rule("/**", roles="x")])


SECRET_TEXT = "SUPERSECRET" * 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: Guard(issuers=[{"name": "jobs", "secret": SECRET_TEXT}]),
        lambda: Guard({"issuer": [{"secret": SECRET_TEXT}]}),
        lambda: Guard([make_issuer()], [{"path": "/x", "login": SECRET_TEXT}]),
        lambda: make_guard(issuers=[make_issuer(keys=Secret("utf8", SECRET_TEXT))]),
        lambda: from_mapping({"issuer": [[{"secret": SECRET_TEXT}]]}),
        lambda: from_mapping({"issuer": [SECRET_TEXT]}),
    ],
)
def test_a_start_up_error_holds_no_secret_that_stands_in_the_wrong_place(make):
    with pytest.raises(errors.ConfigurationError) as caught:
        make()
    assert "SUPERSECRET" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("word", ["public_url", "login", "origins", "realm", "preflight"])
def test_a_variable_under_the_wrong_word_is_named_and_not_quoted(word, monkeypatch):
    monkeypatch.setenv("JOBS_KEY", SECRET_TEXT + "\n")
    issuer = {"audience": False, "algorithms": "HS256", "secret": SECRET_TEXT}
    with pytest.raises(errors.ConfigurationError) as caught:
        from_mapping({"issuer": issuer, word: {"env": "JOBS_KEY"}})
    assert "SUPERSECRET" not in str(caught.value)
    assert "JOBS_KEY" in str(caught.value)


@pytest.mark.parametrize("clock", [None, 5, "now"])
def test_a_clock_that_cannot_be_asked_is_a_start_up_error(clock):
    with pytest.raises(errors.ConfigurationError, match="clock: is a function"):
        Guard([make_issuer()], clock=clock)


@pytest.mark.parametrize("scheme", ["http", "HTTP", "", "ftp", "https ", "ws"])
def test_what_is_not_https_is_not_https(scheme):
    guard = make_guard([Rule("/**", access="public")], require_https="refuse")
    assert guard.decide(Request("GET", "/x", scheme=scheme)).status == 403


def test_a_preflight_that_passes_leaves_its_query_token_behind_and_needs_https_too():
    rule = Rule("/q", credentials={"query": "access_token"})
    guard = make_guard([rule], preflight="pass", require_https="refuse")
    preflight = [("Origin", "https://x.test"), ("Access-Control-Request-Method", "PUT")]
    made = Request("OPTIONS", "/q", query="access_token=abc&a=1", headers=preflight)
    assert guard.decide(made).query == "a=1"
    plain = Request("OPTIONS", "/q", headers=preflight, scheme="http")
    assert guard.decide(plain).status == 403


@pytest.mark.parametrize(
    "asked",
    [
        [("Access-Control-Request-Method", 'a b, "')],
        [("Access-Control-Request-Method", "a\x01b")],
        [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Method", "GET")],
        [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "x y")],
    ],
)
def test_what_no_browser_sends_is_no_preflight(asked):
    guard = make_guard([], preflight="answer", origins="https://x.test")
    decision = guard.decide(
        Request("OPTIONS", "/x", headers=[("Origin", "https://x.test"), *asked])
    )
    assert decision.status == 401


def test_every_subprotocol_token_is_taken_out():
    guard = make_guard([Rule("/**", access="public", credentials={"subprotocol": "bearer"})])
    offered = [("Sec-WebSocket-Protocol", "bearer, T, bearer, T, chat")]
    allow = guard.decide(Request("GET", "/x", websocket=True, headers=offered))
    assert allow.set == [("sec-websocket-protocol", "chat")]


def test_a_login_address_stays_short_and_cheap():
    guard = make_guard(login="https://login.test/", public_url="https://x.test")
    headers = [("Sec-Fetch-Mode", "navigate")]
    deny = guard.decide(Request("GET", "/c/" + "%" * 65_000, headers=headers))
    assert deny.status == 302
    assert len(dict(deny.headers)["Location"]) < 200


def test_two_templates_of_one_text_are_a_start_up_error():
    words = {"audience": "a", "algorithms": ["RS256"], "tenants": lambda name: True}
    twice = [
        Issuer("https://x/{tenant}", name=name, keys=Discovery(), **words)
        for name in ("one", "two")
    ]
    with pytest.raises(errors.ConfigurationError, match=r"is issuers\[0\]'s too"):
        Guard(twice)
    assert Guard(twice[:1])


def test_a_switch_of_a_template_is_announced_before_any_tenant_has_spoken(caplog):
    words = {"audience": "a", "algorithms": ["RS256"], "tenants": lambda name: True}
    with caplog.at_level("WARNING"):
        Guard([Issuer("http://10.0.0.1/{tenant}", keys=Discovery(insecure_http=True), **words)])
    assert "insecure_http is set for issuer http://10.0.0.1/{tenant}" in caplog.text


def test_a_log_line_about_many_issuers_stays_short():
    issuers = [make_issuer(issuer=f"https://{n:02}.test/", name=str(n)) for n in range(40)]
    guard = Guard(issuers, clock=lambda: NOW)
    with pytest.raises(errors.UnknownIssuer) as refused:
        guard.verify(token(iss="https://00.test"))
    assert refused.value.want.endswith("https://04.test/ or one of 35 more")
    assert refused.value.hint == "differs by a trailing slash"
