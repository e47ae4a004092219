"""Protected-resource metadata (RFC 9728): what is told, and how it is configured."""

import json
import logging

import pytest

from jwtguard import Rule, errors
from jwtguard.core import Allow

from .forge import ISSUER, make_guard, make_issuer, request, token

SITE = "https://api.test"
WELL_KNOWN = "/.well-known/oauth-protected-resource"


def make(given, rules=(), **words):
    return make_guard(rules, protected_resource=given, **{"public_url": SITE} | words)


def document(given=True, rules=(), path="", **words):
    decision = make(given, rules, **words).decide(request(WELL_KNOWN + path))
    assert decision.status == 200
    return json.loads(decision.body)


def test_without_a_word_the_origin_is_the_resource():
    assert document() == {
        "resource": SITE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    }


def test_every_field_is_told_as_it_was_given():
    fields = {
        "authorization_servers": [ISSUER, "https://other.test/a"],
        "bearer_methods_supported": ["query"],
        "scopes_supported": ["a:read", "a:write"],
        "resource_name": "Notes of Zoë",
        "resource_documentation": "https://docs.test/?page=1",
        "resource_policy_uri": "https://docs.test/policy",
        "resource_tos_uri": "https://docs.test/terms",
    }
    resource = {"resource": f"{SITE}/a/b.c"}

    assert document({"path": "/a/b.c", **fields}, path="/a/b.c") == resource | fields


def test_one_value_may_stand_for_a_list():
    words = {
        "scopes_supported": "a b",
        "authorization_servers": ISSUER,
        "bearer_methods_supported": "header",
    }

    found = document(words)

    assert found["scopes_supported"] == ["a", "b"]
    assert found["authorization_servers"] == [ISSUER]
    assert found["bearer_methods_supported"] == ["header"]


def test_the_resource_is_at_the_public_url_as_browsers_write_it():
    assert document(public_url="https://api.test/")["resource"] == SITE
    assert document(public_url="http://127.0.0.1:8000")["resource"] == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("issuers", "servers"),
    [
        ([{}, {"issuer": "https://b.test", "name": "b"}], [ISSUER, "https://b.test"]),
        ([{"issuer": "http://127.0.0.1:9000"}], ["http://127.0.0.1:9000"]),
        ([{"issuer": "http://localhost"}], ["http://localhost"]),
        ([{"issuer": "https://[::1]:8443/a"}], ["https://[::1]:8443/a"]),
        (
            [{"issuer": "https://x/{tenant}/v2.0", "tenants": ["a", "b"]}],
            ["https://x/a/v2.0", "https://x/b/v2.0"],
        ),
        ([{}, {"issuer": None, "name": "jobs"}], [ISSUER]),
        ([{}, {"issuer": "accounts.google.com", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "http://plain.test", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "https://query.test/?a=b", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "https://who@host.test", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "https://host.test:99999", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "https://host.test:0", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "https:///nowhere", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "https://host.test/ä", "name": "b"}], [ISSUER]),
        ([{}, {"issuer": "https://host.test/a b", "name": "b"}], [ISSUER]),
    ],
)
def test_the_authorization_servers_are_the_issuers_that_have_an_address(issuers, servers):
    made = [make_issuer(**words) for words in issuers]

    assert document(issuers=made)["authorization_servers"] == servers


QUERY = ["bearer", {"query": "access_token"}]


@pytest.mark.parametrize(
    ("pattern", "credentials", "told"),
    [
        ("/mcp", QUERY, True),
        ("/mcp/feed", QUERY, True),
        ("/mcp/**", QUERY, True),
        ("/**", QUERY, True),
        ("/{any}", QUERY, True),
        ("/*/feed", QUERY, True),
        ("/", QUERY, False),
        ("/feed", QUERY, False),
        ("/feed/**", QUERY, False),
        ("/mcpx", QUERY, False),
        ("/mcp", ["bearer"], False),
        ("/mcp", ["bearer", {"query": "token"}], False),
        ("/mcp", [{"cookie": "token"}], False),
    ],
)
def test_the_query_is_told_where_a_rule_of_the_resource_reads_it(pattern, credentials, told):
    rules = [Rule("/nowhere"), Rule(pattern, credentials=credentials)]

    found = document({"path": "/mcp"}, rules, path="/mcp")

    assert found["bearer_methods_supported"] == (["header", "query"] if told else ["header"])


@pytest.mark.parametrize("given", [None, False, [], ()])
def test_there_is_none_unless_it_is_wanted(given):
    guard = make(given, public_url=None)

    decision = guard.decide(request(WELL_KNOWN))

    assert decision.status == 401
    assert ("WWW-Authenticate", "Bearer") in decision.headers


def test_a_target_that_was_seen_before_leads_to_the_document_still():
    guard = make(True)
    for _ in range(2):
        for method in ("GET", "POST"):
            decision = guard.decide(request(WELL_KNOWN, bearer=token(), method=method))
            assert not isinstance(decision, Allow)
            field = f"Bearer {token()}"
            assert guard.recall(method, WELL_KNOWN, WELL_KNOWN, field) is None
    assert isinstance(guard.decide(request("/x", bearer=token())), Allow)


@pytest.mark.parametrize("access", ["public", "optional", "protected"])
def test_a_view_that_judges_for_itself_does_not_hide_the_document(access):
    decision = make(True).judge(request(WELL_KNOWN), access=access)

    assert decision.status == 200


# what is given -> (place, part of the message) of every problem
PROBLEMS = {
    "text": ("/mcp", [("", "is True, a mapping or a list of mappings; found str")]),
    "number": (5, [("", "found int")]),
    "zero": (0, [("", "found int")]),
    "list of text": (["/mcp"], [("[0]", "found str")]),
    "False in a list": ([True, False], [("[1]", "found bool")]),
    "unknown": ({"scope_supported": "a"}, [(".scope_supported", "mean 'scopes_supported'")]),
    "unlike anything": ({"zzz": 1}, [(".zzz", "known are path, scopes_supported")]),
    "key is no text": ({5: 1}, [(".5", "is not a key")]),
    "resource": ({"resource": SITE}, [(".resource", "public_url and path")]),
    "path number": ({"path": 5}, [(".path", "a path such as '/mcp'")]),
    "path None": ({"path": None}, [(".path", "a path such as '/mcp'")]),
    "path empty": ({"path": ""}, [(".path", "a path such as '/mcp'")]),
    "path without a slash": ({"path": "mcp"}, [(".path", "found 'mcp'")]),
    "path with a slash at the end": ({"path": "/mcp/"}, [(".path", "none at the end")]),
    "path with a newline at the end": ({"path": "/mcp\n"}, [(".path", "letters, digits")]),
    "path with dots": ({"path": "/a/../b"}, [(".path", "letters, digits")]),
    "path with dots at the end": ({"path": "/a/.."}, [(".path", "letters, digits")]),
    "path with an empty segment": ({"path": "/a//b"}, [(".path", "letters, digits")]),
    "path with an escape": ({"path": "/a%20b"}, [(".path", "letters, digits")]),
    "path pattern": ({"path": "/mcp/**"}, [(".path", "letters, digits")]),
    "path in an address": ({"path": f"{SITE}/mcp"}, [(".path", "letters, digits")]),
    "path twice": ([{"path": "/a"}, {}, {"path": "/a"}], [("[2].path", "'/a' is described twice")]),
    "origin twice": ([{}, True], [("[1].path", "'/' is described twice")]),
    "origin and who knows": ([{}, {"path": 5}], [("[1].path", "a path such as")]),
    "scopes number": ({"scopes_supported": 5}, [(".scopes_supported", "5 is not a scope")]),
    "scopes None": ({"scopes_supported": None}, [(".scopes_supported", "is empty")]),
    "scopes empty": ({"scopes_supported": []}, [(".scopes_supported", "is empty; leave it out")]),
    "scopes blank": ({"scopes_supported": " "}, [(".scopes_supported", "is empty")]),
    "scope with a blank": ({"scopes_supported": ["a b"]}, [(".scopes_supported", "not a scope")]),
    "scope with a quote": ({"scopes_supported": 'a"'}, [(".scopes_supported", "RFC 6749")]),
    "scope with a backslash": ({"scopes_supported": "a\\"}, [(".scopes_supported", "RFC 6749")]),
    "method body": (
        {"bearer_methods_supported": ["header", "body"]},
        [(".bearer_methods_supported", "found 'body'")],
    ),
    "method list": (
        {"bearer_methods_supported": [["header"]]},
        [(".bearer_methods_supported", "'header' and 'query'")],
    ),
    "servers empty": ({"authorization_servers": []}, [(".authorization_servers", "is empty")]),
    "servers number": ({"authorization_servers": 5}, [(".authorization_servers", "found 5")]),
    "server http": (
        {"authorization_servers": ["http://login.test"]},
        [(".authorization_servers", "https addresses")],
    ),
    "server with a query": (
        {"authorization_servers": ["https://login.test?a"]},
        [(".authorization_servers", "without a query")],
    ),
    "server with a fragment": (
        {"authorization_servers": ["https://login.test/#a"]},
        [(".authorization_servers", "https addresses")],
    ),
    "name number": ({"resource_name": 5}, [(".resource_name", "is text; found 5")]),
    "name empty": ({"resource_name": ""}, [(".resource_name", "is text")]),
    "name with a newline": ({"resource_name": "a\nb"}, [(".resource_name", "is text")]),
    "name of half a character": ({"resource_name": "\ud800"}, [(".resource_name", "is text")]),
    "documentation": ({"resource_documentation": "/docs"}, [(".resource_documentation", "https")]),
    "policy": ({"resource_policy_uri": "http://x/"}, [(".resource_policy_uri", "https")]),
    "terms": ({"resource_tos_uri": ["https://x/"]}, [(".resource_tos_uri", "https")]),
    "all at once": (
        [{"pth": "/a", "resource_name": 5}, {"path": "b"}],
        [("[0].pth", "mean 'path'"), ("[0].resource_name", "is text"), ("[1].path", "a path")],
    ),
}


def problems(*args, **words):
    with pytest.raises(errors.ConfigurationError) as caught:
        make(*args, **words)
    return list(caught.value.problems)


@pytest.mark.parametrize(("given", "expected"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_has_its_place_and_says_what_to_write(given, expected):
    found = problems(given)

    assert [where for where, _ in found] == [f"protected_resource{at}" for at, _ in expected]
    for (_, what), (_, part) in zip(found, expected, strict=True):
        assert part in what


@pytest.mark.parametrize("given", [True, {}, {"path": "/mcp"}, [{"path": "/mcp"}]])
def test_this_sites_own_address_must_be_known(given):
    found = problems(given, public_url=None)

    assert [where for where, _ in found] == ["public_url"]
    assert "protected_resource" in found[0][1]
    assert [where for where, _ in problems(given, public_url="http://api.test")] == ["public_url"]
    assert [where for where, _ in problems(given, public_url="here")] == ["public_url"]


def test_a_missing_address_is_one_problem_whoever_needs_it():
    found = problems(True, public_url=None, require_https="redirect")

    assert [where for where, _ in found] == ["public_url"]


def test_a_resource_has_an_authorization_server():
    for issuer in (None, "accounts.google.com", "http://plain.test"):
        found = problems({"path": "/mcp"}, issuers=[make_issuer(issuer=issuer)])
        assert [where for where, _ in found] == ["protected_resource.authorization_servers"]
        assert "name the authorization servers" in found[0][1]
    named = {"authorization_servers": "https://login.test"}
    assert make(named, issuers=[make_issuer(issuer=None)]).warnings == ()


def test_tenants_that_nobody_listed_are_not_told():
    words = {"issuer": "https://x/{tenant}", "tenants": lambda name: name == "a"}

    found = problems(True, issuers=[make_issuer(**words)])

    assert [where for where, _ in found] == ["protected_resource.authorization_servers"]
    named = {"authorization_servers": ["https://x/a"]}
    assert make(named, issuers=[make_issuer(**words)]).warnings == ()


def test_an_issuer_that_is_wrong_itself_is_not_missed_as_a_server():
    for issuers in ([make_issuer(leeway=-1)], [make_issuer(issuer=None), make_issuer(typ=5)]):
        found = problems(True, issuers=issuers)
        assert [where for where, _ in found if "protected_resource" in where] == []
    found = problems({"authorization_servers": "https://x"}, issuers=[make_issuer(leeway=-1)])
    assert [where for where, _ in found] == ["issuers[0].leeway"]


def test_a_server_that_no_token_may_come_from_is_warned_about(caplog):
    caplog.set_level(logging.WARNING, logger="jwtguard")

    guard = make([{}, {"path": "/a", "authorization_servers": [ISSUER, ISSUER.rstrip("/")]}])

    ((place, what),) = guard.warnings
    assert place == "protected_resource[1].authorization_servers"
    assert what.startswith(f"{ISSUER.rstrip('/')!r} is no issuer's iss, letter for letter")
    assert what in caplog.text


def test_a_rule_for_the_document_is_warned_about():
    document = f"{WELL_KNOWN}/mcp"
    rules = [
        Rule("/.well-known/**", access="public", methods="GET"),
        Rule([WELL_KNOWN, document]),
        Rule(f"{document}/x"),
    ]

    guard = make({"path": "/mcp"}, rules)

    ((place, what),) = guard.warnings
    assert place == "rules[1].path[1]"
    assert "answered by protected_resource, before any rule" in what
    ((place, _),) = make({"path": "/mcp"}, [Rule(f"{document}/")]).warnings
    assert place == "rules[0].path"


def test_a_view_that_refuses_names_the_metadata_too():
    guard = make({"path": "/mcp"})
    error = errors.InsufficientScope(["notes:write"])

    deny = guard.refusal(error, request("/mcp/x"), "requires:view")

    told = dict(deny.headers)["WWW-Authenticate"]
    assert told.endswith(f'scope="notes:write", resource_metadata="{SITE}{WELL_KNOWN}/mcp"')
