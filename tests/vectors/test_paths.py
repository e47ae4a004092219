"""Bypass lists for paths and methods (nomore403), and oauth2-proxy's redirects."""

from urllib.parse import unquote, urlsplit

import pytest

from jwtguard import Rule
from jwtguard.core import Deny
from jwtguard.core.paths import return_address
from tests.core.forge import make_guard, request

# Everything under /open is public; whatever else an application serves needs a token.
guard = make_guard(
    [
        Rule(["/", "/open/**", "/health"], access="public"),
        Rule("/admin/**", roles="admin"),
        Rule("/files/**", opaque_tail=True),
    ]
)
POSITIONS = [
    "/admin{}",
    "/admin/{}",
    "/admin{}/",
    "/{}admin",
    "/{}/admin",
    "//admin{}",
    "/admin/secret{}",
    "/admin{}/secret",
    "/open/{}/../admin",
    "/open{}/admin",
    "/open/..{}/admin",
    "/%2e{}/admin",
    "/files/{}/../../admin",
    "/files/{}x",
]


def lines(document):
    return [(repr(line), line) for line in document]


def readings(target):
    """What a server could make of a target: its path decoded, with and without the query."""
    path, _, query = target.partition("?")
    yield unquote(path, errors="surrogateescape"), target, query
    yield unquote(path, errors="replace"), None, query
    yield unquote(target, errors="replace"), target, ""
    yield target, target, ""


def routed(path):
    """The path as a careless application takes it: resolved, merged, cut off, lower case."""
    for cut in ";?#\0\n":
        path = path.partition(cut)[0]
    parts = []
    for part in path.replace("\\", "/").lower().split("/"):
        if part == "..":
            del parts[-1:]
        elif part.strip() not in ("", "."):
            parts.append(part.strip())
    return "/" + "/".join(parts)


@pytest.mark.vectors("path_bypass_nomore403_endpaths.txt", lines)
def test_no_spelling_reaches_a_protected_path_without_a_token(vector):
    for position in POSITIONS:
        for path, raw_path, query in readings(position.format(vector)):
            decision = guard.decide(request(path, raw_path=raw_path, query=query))
            if isinstance(decision, Deny):
                assert decision.status in (400, 401)
            else:
                assert not routed(path).startswith(("/admin", "/files")), (path, raw_path)


@pytest.mark.vectors("path_bypass_nomore403_httpmethods.txt", lines)
def test_no_method_reaches_a_protected_path_without_a_token(vector):
    overrides = [
        (name, "GET") for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    ]
    for method in (vector, vector.lower(), vector.title()):
        decision = guard.decide(request("/admin", method=method, headers=overrides))
        assert isinstance(decision, Deny)
        assert decision.status == 401
    assert guard.decide(request("/health", method=vector)).status == 200


def redirects(document):
    return [(case["name"], case) for case in document["cases"]]


@pytest.mark.vectors("redirect_validator_cases.json", redirects)
def test_a_return_address_stays_on_this_site(vector):
    """Absolute addresses, which the original allows for listed domains, are refused here."""
    target = vector["redirect"]
    if vector["valid"] and target.startswith("/"):
        assert return_address(target) == target
    else:
        assert return_address(target) == "/"
    parts = urlsplit(return_address(target))
    assert (parts.scheme, parts.netloc) == ("", "")
