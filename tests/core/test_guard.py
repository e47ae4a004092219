"""The guard: what the app gets to see, what the client is told, what is remembered."""

import json
import logging

import pytest

from jwtguard import JWKSet, Rule, Secret, errors
from jwtguard.core import Allow, Deny, Request
from jwtguard.core.cache import MAX_CACHED_TOKEN, TokenCache
from jwtguard.core.grammar import accepts
from jwtguard.core.refused import escaped, fingerprint
from jwtguard.drive import run
from jwtguard.testing import private_key, public_jwk, sign

from .forge import (
    CLAIMS,
    HEADER,
    NOW,
    OTHER_SECRET,
    forge,
    make_guard,
    make_issuer,
    refused,
    request,
    status,
    token,
)

NAVIGATION = [("Sec-Fetch-Mode", "navigate")]


def header(decision, name):
    found = [value for key, value in decision.headers if key.lower() == name.lower()]
    assert len(found) <= 1
    return found[0] if found else None


# --- cache: LiteLLM CVE-2026-35030, fast-jwt GHSA-rp9m-7r4c-75qg --------------------------------


def test_tokens_that_share_a_beginning_are_not_each_others():
    guard = make_guard()
    raws = {name: token(sub=name) for name in ("alice", "bob", "carol")}
    assert len({raw[:40] for raw in raws.values()}) == 1
    for _ in range(3):
        for name, raw in raws.items():
            assert guard.verify(raw).subject == name
            with pytest.raises(errors.InvalidToken):
                guard.verify(raw[:-4])
            with pytest.raises(errors.InvalidToken):
                guard.verify(raw + "A")


def test_a_token_seen_before_is_judged_by_every_rule_anew():
    other = make_issuer(issuer="https://other.test/", name="other", keys=Secret(OTHER_SECRET))
    rules = [
        Rule("/people", issuers="people"),
        Rule("/other", issuers="other"),
        Rule("/admin", roles="admin"),
        Rule("/t/{id}", require={"sub": {"path": "id"}}),
    ]
    guard = make_guard(rules, issuers=[make_issuer(), other])
    raw = token()
    for _ in range(2):
        assert refused(guard, "/people", bearer=raw) == (200, None)
        assert refused(guard, "/other", bearer=raw) == (401, "issuer_not_for_rule")
        assert refused(guard, "/admin", bearer=raw) == (403, "role_missing")
        assert refused(guard, "/t/alice", bearer=raw) == (200, None)
        assert refused(guard, "/t/bob", bearer=raw) == (403, "requirement_not_met")
        assert refused(guard, "/x", bearer=raw) == (200, None)


def test_one_guard_does_not_know_what_another_has_verified():
    raw = token()
    assert make_guard().verify(raw)
    with pytest.raises(errors.BadSignature):
        make_guard(keys=Secret(OTHER_SECRET)).verify(raw)


class Turning:
    """A local key source whose keys are swapped whole."""

    local = True
    problems = ()

    def __init__(self, *sources):
        self.turn(*sources)

    def turn(self, *sources):
        self.keys = JWKSet({"keys": list(sources)}).current()

    def current(self):
        return self.keys


def test_a_key_that_leaves_the_set_takes_its_tokens_with_it():
    old, new = private_key("ES256"), private_key("ES256")
    keys = Turning(public_jwk(old, kid="old"))
    guard = make_guard(algorithms=["ES256"], keys=keys)
    raw = sign(CLAIMS, old, "ES256", {"kid": "old"})
    assert guard.verify(raw)
    keys.turn(public_jwk(old, kid="old"), public_jwk(new, kid="new"))
    assert guard.verify(raw)
    keys.turn(public_jwk(new, kid="new"))
    for _ in range(2):
        with pytest.raises(errors.KeyNotFound):
            guard.verify(raw)
    keys.turn(public_jwk(new, kid="old"))  # the same key id, another key
    with pytest.raises(errors.BadSignature):
        guard.verify(raw)
    keys.turn(public_jwk(old, kid="old", alg="ES256", use="enc"), public_jwk(new, kid="new"))
    with pytest.raises(errors.KeyNotFound):
        guard.verify(raw)
    keys.turn(public_jwk(old, kid="old"))
    assert guard.verify(raw)


def test_refusals_are_never_remembered():
    keys = Turning(public_jwk(private_key("ES256")))
    right = private_key("ES256")
    guard = make_guard(algorithms=["ES256"], keys=keys)
    raw = sign(CLAIMS, right, "ES256")
    with pytest.raises(errors.BadSignature):
        guard.verify(raw)
    keys.turn(public_jwk(right))
    assert guard.verify(raw)


class Entry:
    def __init__(self, raw):
        self.raw = raw


def test_the_cache_is_bounded_and_keeps_what_is_used():
    cache = TokenCache(100)
    kept = Entry("kept")
    cache.put(kept)
    for number in range(10_000):
        cache.put(Entry(str(number)))
        assert cache.get("kept") is kept
        assert len(cache) <= 100
    assert cache.get("0") is None
    assert cache.get("9999").raw == "9999"


def test_long_tokens_are_not_kept():
    cache = TokenCache(10)
    cache.put(Entry("x" * MAX_CACHED_TOKEN))
    cache.put(Entry("y" * (MAX_CACHED_TOKEN + 1)))
    assert len(cache) == 1
    raw = token(fill="x" * 6000)
    guard = make_guard()
    for _ in range(2):
        assert guard.verify(raw).subject == "alice"


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_a_small_cache_never_holds_more_than_its_size(size):
    cache = TokenCache(size)
    for name in "abcdef":
        cache.put(Entry(name))
        assert len(cache) <= size
    guard = make_guard(cache_size=size)
    for _ in range(2):
        assert guard.verify(token())


# --- forwarded headers: Django CVE-2015-0219, CVE-2026-3902, oauth2-proxy CVE-2025-64484 ---------

FORWARD = {"X-User": "sub", "X-Deep": "/a/b", "X-Any": "any"}
# claim "any" -> the header, None: none
FORWARDED = [
    (..., None),
    (None, None),
    ("text", "text"),
    ("", ""),
    ("é 日本", "é 日本"),
    (" padded ", " padded "),
    ("a\r\nX-Admin: 1", None),
    ("a\nb", None),
    ("nul\0", None),
    ("del\x7f", None),
    ("c1\x85", None),
    (5, "5"),
    (1.5, "1.5"),
    (True, "true"),
    (False, "false"),
    ([], "[]"),
    (["a", "b"], '["a","b"]'),
    (["a,b"], '["a,b"]'),
    (["é"], '["é"]'),
    (["a\r\nb"], '["a\\r\\nb"]'),
    (["a\x7f"], None),
    ({"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
    (10**30, str(10**30)),
]


@pytest.mark.parametrize(("claim", "sent"), FORWARDED)
def test_a_claim_becomes_a_header(claim, sent, caplog):
    guard = make_guard(forward=FORWARD)
    allow = guard.decide(request(bearer=token(any=claim)))
    assert allow.remove == {"x-user", "x-deep", "x-any"}
    assert dict(allow.set) == {"X-User": "alice"} | ({} if sent is None else {"X-Any": sent})
    if sent is None and claim not in (..., None):
        assert "any" in caplog.text
        assert "X-Admin" not in caplog.text


def test_clients_own_copies_are_removed_on_every_path():
    guard = make_guard(
        [
            Rule("/open", access="public"),
            Rule("/maybe", access="optional"),
            Rule("/more", forward={"X-More": "more"}),
        ],
        forward=FORWARD,
        preflight="pass",
    )
    names = {"x-user", "x-deep", "x-any", "x-more"}
    cors = [("Origin", "https://a.test"), ("Access-Control-Request-Method", "GET")]
    for allow in (
        guard.decide(request("/open")),
        guard.decide(request("/maybe")),
        guard.decide(request("/x", bearer=token())),
        guard.decide(request("/more", bearer=token(more="m"))),
        guard.decide(request("/x", method="OPTIONS", headers=cors)),
    ):
        assert isinstance(allow, Allow)
        assert allow.remove == names
    assert dict(guard.decide(request("/open", bearer=token())).set) == {}
    allow = guard.decide(request("/more", bearer=token(more="m", a={"b": "d"})))
    assert dict(allow.set) == {"X-User": "alice", "X-Deep": "d", "X-More": "m"}


# --- variables, REMOTE_USER ---------------------------------------------------------------------


def test_claim_variables():
    claims = {"z": 'q"é', "camelCase": [1, {"b": 1, "a": None}], "https://x.test/r": True}
    raw = token(HEADER | {"kid": "k"}, **claims)
    found = make_guard(variables="json").decide(request(bearer=raw)).variables
    assert found["jwt_claim_sub"] == '"alice"'
    assert found["jwt_claim_z"] == '"q\\"é"'
    assert found["jwt_claim_camelCase"] == '[1,{"a":null,"b":1}]'
    assert found["jwt_claim_https://x.test/r"] == "true"
    assert found["jwt_header_alg"] == '"HS256"'
    assert found["jwt_header_kid"] == '"k"'
    assert json.loads(found["jwt_payload"]) == CLAIMS | claims
    assert list(json.loads(found["jwt_payload"])) == sorted(CLAIMS | claims)
    assert found["jwt_headers"] == '{"alg":"HS256","kid":"k"}'
    found = make_guard(variables="plain").decide(request(bearer=raw)).variables
    assert found["jwt_claim_sub"] == "alice"
    assert found["jwt_claim_camelCase"] == '[1,{"a":null,"b":1}]'
    assert found["jwt_header_alg"] == "HS256"
    assert dict(make_guard().decide(request(bearer=raw)).variables) == {}
    assert (
        dict(
            make_guard([Rule("/x", access="public")], variables="json")
            .decide(request(bearer=raw))
            .variables
        )
        == {}
    )


# template (... is the default), claims -> name
USERS = [
    (..., {}, "alice"),
    (..., {"sub": ...}, None),
    (..., {"sub": ""}, None),
    (..., {"sub": "é"}, "é"),
    (..., {"sub": "a\r\nb"}, None),
    (..., {"sub": "a\x85"}, None),
    (None, {}, None),
    ("{issuer}:{sub}", {}, "people:alice"),
    ("{email}", {"email": "a@b"}, "a@b"),
    ("{n}", {"n": 7}, "7"),
    ("{n}", {"n": True}, None),
    ("{n}", {"n": 1.5}, None),
    ("{n}", {"n": ["a"]}, None),
    ("{n}", {"n": None}, None),
    ("{sub}/{n}", {}, None),
    ("user {{}} {sub}!", {}, "user {} alice!"),
]


@pytest.mark.parametrize(("template", "claims", "name"), USERS)
def test_the_name_of_the_user(template, claims, name):
    words = {} if template is ... else {"remote_user": template}
    assert make_guard(**words).decide(request(bearer=token(**claims))).remote_user == name


def test_of_several_issuers_none_gives_a_name_until_written():
    other = make_issuer(issuer="https://o.test", name="o")
    guard = make_guard(issuers=[make_issuer(), other])
    assert guard.decide(request(bearer=token())).remote_user is None


@pytest.mark.parametrize(
    ("tenants", "name"),
    [(["a"], "alice"), (["a", "b"], None), (lambda tenant: True, None)],
    ids=["one", "two", "whoever a function lets in"],
)
def test_of_several_tenants_none_gives_a_name_until_written(tenants, name):
    template = {"issuer": "https://{tenant}.test", "tenants": tenants}
    asked = request(bearer=token(iss="https://a.test"))

    guard = make_guard(issuers=[make_issuer(**template)])
    assert guard.decide(asked).remote_user == name

    guard = make_guard(issuers=[make_issuer(**template)], remote_user="{iss}:{sub}")
    assert guard.decide(asked).remote_user == "https://a.test:alice"


# --- refusals -----------------------------------------------------------------------------------


def check_insufficient(token, request):
    return False


# what -> rule words, request words, row of the closed table in details.md
REFUSALS = {
    "MissingCredentials": ({}, {}, 401, "unauthorized", "no_credentials", "No credentials"),
    "TokenExpired": (
        {},
        {"bearer": token(exp=1)},
        401,
        "invalid_token",
        "expired",
        "The token has expired.",
    ),
    "InvalidToken": (
        {},
        {"bearer": "x"},
        401,
        "invalid_token",
        "invalid_token",
        "The token is not valid.",
    ),
    "InvalidRequest": (
        {},
        {"bearer": "!"},
        400,
        "invalid_request",
        "bad_request",
        "The request is malformed.",
    ),
    "ambiguous path": (
        {},
        {"path": "//x"},
        400,
        "invalid_request",
        "bad_request",
        "The request is malformed.",
    ),
    "AccessDenied": (
        {"roles": "a"},
        {"bearer": token()},
        403,
        "forbidden",
        "forbidden",
        "Access denied.",
    ),
    "AccessDenied as 401": (
        {"roles": "a", "status": 401},
        {"bearer": token()},
        401,
        "forbidden",
        "forbidden",
        "Access denied.",
    ),
    "InsufficientScope": (
        {"scopes": "a b"},
        {"bearer": token()},
        403,
        "insufficient_scope",
        "insufficient_scope",
        "The token lacks a required scope.",
    ),
    "CrossSiteRequest": (
        {"credentials": {"cookie": "c"}},
        {"method": "POST", "headers": [("Cookie", f"c={token()}")]},
        403,
        "forbidden",
        "cross_site",
        "The request came from another site.",
    ),
    "method not covered": (
        {"methods": "GET", "roles": "a"},
        {"method": "POST"},
        403,
        "forbidden",
        "method_not_covered",
        "Access denied.",
    ),
    "https required": (
        {"https": "refuse"},
        {"scheme": "http"},
        403,
        "forbidden",
        "https_required",
        "Use https.",
    ),
}
CHALLENGES = {
    "MissingCredentials": "Bearer",
    "AccessDenied as 401": "Bearer",
    "TokenExpired": 'Bearer error="invalid_token", error_description="The token has expired."',
    "InvalidToken": 'Bearer error="invalid_token", error_description="The token is not valid."',
    "InvalidRequest": (
        'Bearer error="invalid_request", error_description="The request is malformed."'
    ),
    "InsufficientScope": (
        'Bearer error="insufficient_scope", '
        'error_description="The token lacks a required scope.", scope="a b"'
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_the_closed_table_of_refusals(what):
    rule, words, code, error, body_code, message = REFUSALS[what]
    words = dict(words)
    path = words.pop("path", "/x")
    for realm in (None, 'a "b\\'):
        deny = make_guard([Rule("/x", **rule)], realm=realm).decide(request(path, **words))
        assert isinstance(deny, Deny)
        assert deny.status == code
        body = json.loads(deny.body)
        assert body["error"] == error
        assert body["code"] == body_code
        assert body["message"].startswith(message)
        assert body["ref"] == deny.ref
        assert set(body) == {"error", "message", "code", "ref"}
        challenge = CHALLENGES.get(what)
        if challenge and realm:
            quoted = 'Bearer realm="a \\"b\\\\"'
            rest = challenge.removeprefix("Bearer").strip()
            challenge = f"{quoted}, {rest}" if rest else quoted
        assert header(deny, "WWW-Authenticate") == challenge
        assert header(deny, "Cache-Control") == "no-store"
        assert header(deny, "X-Content-Type-Options") == "nosniff"
        assert "Authorization" in header(deny, "Vary")
        assert header(deny, "Content-Length") == str(len(deny.body))
        assert header(deny, "Content-Type") == "application/json"


def test_503_says_when_to_come_back():
    from .test_keys import Asked

    guard = make_guard(algorithms=["ES256"], keys=Asked())
    deny = guard.decide(request(bearer=sign(CLAIMS, private_key("ES256"), "ES256")))
    assert (deny.status, deny.error.reason) == (503, "keys_unavailable")
    assert header(deny, "Retry-After").isdigit()
    assert header(deny, "WWW-Authenticate") is None
    assert json.loads(deny.body)["code"] == "unavailable"


class Breaking(Turning):
    """A source with a defect: it answers at start-up, and then no more."""

    message = None

    def current(self):
        if self.message:
            raise RuntimeError(self.message)
        return self.keys


def test_a_source_that_breaks_is_503_and_its_message_stays_out_of_the_log(caplog):
    keys = Breaking(public_jwk(private_key("ES256")))
    guard = make_guard(algorithms=["ES256"], keys=keys)
    keys.message = "secret inside"
    raw = sign(CLAIMS, private_key("ES256"), "ES256")
    assert refused(guard, bearer=raw) == (503, "internal_error")
    with pytest.raises(errors.Unavailable):
        guard.verify(raw)
    assert "RuntimeError" in caplog.text
    assert "secret inside" not in caplog.text


# Accept -> type
ACCEPT = [
    (None, "application/json"),
    ("", "application/json"),
    ("*/*", "application/json"),
    ("application/json", "application/json"),
    ("application/*", "application/json"),
    ("application/problem+json", "application/problem+json"),
    ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
    ("text/*", "text/html"),
    ("text/html;q=0.5, application/json", "application/json"),
    ("application/json;q=0, text/html;q=0.1", "text/html"),
    ("text/html;q=0", "application/json"),
    ("image/png", "application/json"),
    ("text/html;level=1", "text/html"),
    ("TEXT/HTML", "text/html"),
    ("text/html;q=9", "application/json"),
    ("text/html;q=x", "application/json"),
    ("text/html;q=1e5", "application/json"),
    ("text/html;q=0.5;q=1", "text/html"),
    ("garbage", "application/json"),
    (";;,,/,//", "application/json"),
    ("text/html/x", "application/json"),
    ("*/html", "application/json"),
]


@pytest.mark.parametrize(("accept", "media_type"), ACCEPT)
def test_the_body_is_of_a_type_the_client_likes(accept, media_type):
    offered = ("application/json", "application/problem+json", "text/html")
    assert accepts(accept, offered) == media_type
    headers = [] if accept is None else [("Accept", accept)]
    deny = make_guard().decide(request(headers=headers))
    assert header(deny, "Content-Type").partition(";")[0] == media_type
    if media_type == "application/problem+json":
        body = json.loads(deny.body)
        assert (body["status"], body["title"]) == (401, "No credentials were sent.")
    if media_type == "text/html":
        assert deny.ref.encode() in deny.body


def test_head_has_the_header_and_no_content():
    deny = make_guard().decide(request(method="HEAD"))
    assert deny.body == b""
    assert int(header(deny, "Content-Length")) > 50


def test_an_error_body_may_change_the_body_and_nothing_else():
    guard = make_guard(error_body=lambda error, request: {"oops": error.reason, "at": request.path})
    deny = guard.decide(request())
    assert json.loads(deny.body) == {"oops": "no_credentials", "at": "/x"}
    assert (deny.status, header(deny, "WWW-Authenticate")) == (401, "Bearer")
    guard = make_guard(error_body=lambda error, request: None)
    assert json.loads(guard.decide(request()).body)["code"] == "no_credentials"


@pytest.mark.parametrize(
    "error_body",
    [
        lambda error, request: 1 / 0,
        lambda error, request: {"x": object()},
        lambda error, request: 5,
        lambda error, request: "text",
        lambda error, request: {"x": "\ud800"},
    ],
)
def test_an_error_body_that_breaks_does_not_break_the_refusal(error_body):
    deny = make_guard(error_body=error_body).decide(request())
    assert deny.status == 401
    assert json.loads(deny.body)


def test_response_headers_are_on_refusals_too_where_not_set():
    guard = make_guard(response_headers=True)
    deny = guard.decide(request())
    assert header(deny, "X-Frame-Options") == "DENY"
    assert header(deny, "X-XSS-Protection") == "0"
    assert header(deny, "X-Content-Type-Options") == "nosniff"
    guard = make_guard(response_headers={"Cache-Control": "public", "X-A": "b"})
    deny = guard.decide(request())
    assert (header(deny, "Cache-Control"), header(deny, "X-A")) == ("no-store", "b")


# --- redirects ----------------------------------------------------------------------------------

LOGIN = [Rule("/login", access="public"), Rule("/q/**", credentials={"query": "t"})]
# request words, location or None
REDIRECTS = [
    ({"headers": NAVIGATION}, "/login?next=%2Fx"),
    ({"headers": NAVIGATION, "query": "a=b&c=%20"}, "/login?next=%2Fx%3Fa%3Db%26c%3D%2520"),
    ({"headers": NAVIGATION, "method": "HEAD"}, "/login?next=%2Fx"),
    ({"headers": NAVIGATION, "mount": "/m"}, "/m/login?next=%2Fm%2Fx"),
    ({"headers": NAVIGATION, "mount": "//evil"}, "/login?next=%2F"),
    ({"headers": NAVIGATION, "mount": "/\ud800"}, "/%3F/login?next=%2F%253F%2Fx"),
    ({"headers": NAVIGATION, "query": "a=\ud800"}, "/login?next=%2F"),
    ({"headers": NAVIGATION, "query": "a=\r\nX: y"}, "/login?next=%2F"),
    ({"headers": NAVIGATION, "bearer": "x"}, "/login?next=%2Fx"),
    ({"headers": [("Accept", "text/html")]}, "/login?next=%2Fx"),
    ({"headers": NAVIGATION, "method": "POST"}, None),
    ({"headers": NAVIGATION, "websocket": True}, None),
    ({"headers": [("Sec-Fetch-Mode", "cors"), ("Accept", "text/html")]}, None),
    ({"headers": [("Accept", "text/html"), ("X-Requested-With", "x")]}, None),
    ({"headers": [("Accept", "application/json")]}, None),
    ({"headers": NAVIGATION, "bearer": "!"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("words", "location"), REDIRECTS)
def test_browsers_are_sent_to_the_login(words, location):
    deny = make_guard(LOGIN, login="/login").decide(request(**words))
    assert header(deny, "Location") == location
    assert deny.status == (302 if location else 400 if words.get("bearer") == "!" else 401)


def test_a_token_in_the_query_does_not_travel_on():
    guard = make_guard(LOGIN, login="/login?a=b")
    deny = guard.decide(request("/q/é", headers=NAVIGATION, query="t=secret&k=v"))
    assert header(deny, "Location") == "/login?a=b&next=%2Fq%2F%25C3%25A9%3Fk%3Dv"


def test_a_login_elsewhere_is_told_the_whole_address():
    guard = make_guard(login="https://id.test/in", public_url="https://app.test")
    deny = guard.decide(request(headers=[*NAVIGATION, ("Host", "evil.test")]))
    assert header(deny, "Location") == "https://id.test/in?next=https%3A%2F%2Fapp.test%2Fx"


def test_a_rule_with_401_never_redirects():
    guard = make_guard([*LOGIN, Rule("/x", roles="a", status=401)], login="/login")
    for words in ({}, {"bearer": token()}):
        deny = guard.decide(request(headers=NAVIGATION, **words))
        assert (deny.status, header(deny, "Location")) == (401, None)


# request words, status, location
HTTPS = [
    ({}, 308, "https://app.test/x"),
    ({"query": "a=b"}, 308, "https://app.test/x?a=b"),
    ({"method": "HEAD"}, 308, "https://app.test/x"),
    ({"scheme": "ws", "websocket": True}, 403, None),
    ({"method": "POST"}, 403, None),
    ({"bearer": "x"}, 403, None),
    ({"headers": [("Authorization", "Basic x")]}, 403, None),
    ({"headers": [("Host", "evil.test")]}, 308, "https://app.test/x"),
    ({"path": "/c", "headers": [("Cookie", "c=x")]}, 403, None),
    ({"path": "/c", "headers": [("Cookie", "c=!")]}, 403, None),
    ({"path": "/c", "headers": [("Cookie", "d=x")]}, 308, "https://app.test/c"),
    ({"path": "/open"}, 308, "https://app.test/open"),
]


@pytest.mark.parametrize(("words", "code", "location"), HTTPS)
def test_plain_http_is_redirected_without_credentials_and_refused_with(words, code, location):
    guard = make_guard(
        [
            Rule("/open", access="public"),
            Rule("/c", credentials={"cookie": "c"}),
            Rule("/plain", https=False),
        ],
        require_https="redirect",
        public_url="https://app.test",
    )
    deny = guard.decide(request(**({"scheme": "http"} | words)))
    assert (deny.status, header(deny, "Location")) == (code, location)
    assert status(guard, "/plain", scheme="http", bearer=token()) == 200
    assert status(guard, "/x", scheme="https", bearer=token()) == 200


# --- other sites --------------------------------------------------------------------------------

COOKIE = ("Cookie", f"c={token()}")
SITE = ("Sec-Fetch-Site", "same-origin")
# headers, websocket, method, passes: origins https://app.test, public_url https://own.test
CROSS = [
    ([], False, "GET", True),
    ([("Origin", "https://evil.test")], False, "HEAD", True),
    ([], False, "POST", False),
    ([SITE], False, "POST", True),
    ([("Sec-Fetch-Site", "none")], False, "DELETE", True),
    ([("Sec-Fetch-Site", "same-site")], False, "POST", False),
    ([("Sec-Fetch-Site", "cross-site")], False, "POST", False),
    ([("Sec-Fetch-Site", "Same-Origin")], False, "POST", False),
    ([SITE, ("Sec-Fetch-Site", "cross-site")], False, "POST", False),
    ([("Origin", "https://app.test")], False, "POST", True),
    ([("Origin", "https://own.test")], False, "POST", True),
    ([("Origin", "https://app.test"), ("Sec-Fetch-Site", "cross-site")], False, "POST", True),
    ([("Origin", "https://APP.test")], False, "POST", False),
    ([("Origin", "https://app.test.evil")], False, "POST", False),
    ([("Origin", "https://app.test:443")], False, "POST", False),
    ([("Origin", "null")], False, "POST", False),
    ([("Origin", "https://h.test"), ("Host", "h.test")], False, "POST", True),
    ([("Origin", "http://h.test:80"), ("Host", "h.test")], False, "POST", False),
    ([("Origin", "https://h.test"), ("Host", "h.test:443")], False, "POST", True),
    ([("Origin", "https://h.test:8443"), ("Host", "h.test:8443")], False, "POST", True),
    ([("Origin", "https://h.test"), ("Host", "x.test")], False, "POST", False),
    ([("Origin", "https://h.test")], False, "POST", False),
    ([("Origin", "https://h.test"), ("Host", "h.test/x")], False, "POST", False),
    ([("Origin", "https://h.test"), ("Host", "u@h.test")], False, "POST", False),
    ([("Origin", "https://[::1]:1"), ("Host", "[::1]:1")], False, "POST", True),
    ([("Origin", "https://h.test"), ("Host", "[::1")], False, "POST", False),
    ([("Origin", "https://h.test"), ("Host", "h.test"), ("Host", "h.test")], False, "POST", False),
    ([("Origin", "https://app.test"), ("Origin", "https://app.test")], False, "POST", False),
    ([("Origin", "https://h.test"), ("Host", "h.test"), SITE], False, "POST", True),
    ([("Origin", "https://h.test"), ("Host", "h.test"), ("Sec-Fetch-Site", "same-site")], False,
     "POST", False),
    ([("Origin", "https://app.test")], True, "GET", True),
    ([], True, "GET", False),
    ([SITE], True, "GET", False),
    ([("Origin", "null"), SITE], True, "GET", False),
    ([("Origin", "https://evil.test")], True, "GET", False),
    ([("Origin", "https://h.test"), ("Host", "h.test")], True, "GET", True),
    ([], False, "OPTIONS", True),
    ([], False, "TRACE", True),
    ([], False, "PROPFIND", False),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "websocket", "method", "passes"), CROSS)
def test_a_cookie_is_not_taken_from_another_site(headers, websocket, method, passes):
    guard = make_guard(
        [Rule("/x", credentials=["bearer", {"cookie": "c"}])],
        origins="https://app.test",
        public_url="https://own.test",
    )
    words = {"websocket": websocket, "method": method}
    expected = (200, None) if passes else (403, "cross_site")
    assert refused(guard, headers=[COOKIE, *headers], **words) == expected
    assert refused(guard, headers=headers, bearer=token(), **words) == (200, None)


def test_a_listed_origin_may_read_its_refusal():
    guard = make_guard(origins="https://app.test")
    deny = guard.decide(request(headers=[("Origin", "https://app.test")]))
    assert header(deny, "Access-Control-Allow-Origin") == "https://app.test"
    assert header(deny, "Access-Control-Allow-Credentials") == "true"
    assert "Origin" in header(deny, "Vary")
    for other in ("https://evil.test", "null", "*"):
        deny = guard.decide(request(headers=[("Origin", other)]))
        assert header(deny, "Access-Control-Allow-Origin") is None


PREFLIGHT = [("Origin", "https://app.test"), ("Access-Control-Request-Method", "PUT")]
# mode, headers, method, status
PREFLIGHTS = [
    ("judge", PREFLIGHT, "OPTIONS", 401),
    ("answer", PREFLIGHT, "OPTIONS", 204),
    ("answer", PREFLIGHT, "options", 204),
    ("answer", [("Origin", "https://x.test"), PREFLIGHT[1]], "OPTIONS", 401),
    ("answer", PREFLIGHT[:1], "OPTIONS", 401),
    ("answer", PREFLIGHT[1:], "OPTIONS", 401),
    ("answer", PREFLIGHT, "POST", 401),
    ("answer", [], "OPTIONS", 401),
    ("pass", PREFLIGHT, "OPTIONS", 200),
    ("pass", [("Origin", "https://x.test"), PREFLIGHT[1]], "OPTIONS", 200),
    ("pass", PREFLIGHT[:1], "OPTIONS", 401),
    ("pass", PREFLIGHT, "GET", 401),
    ("pass", [], "OPTIONS", 401),
]


@pytest.mark.parametrize(("mode", "headers", "method", "code"), PREFLIGHTS)
def test_preflights(mode, headers, method, code):
    guard = make_guard(preflight=mode, origins="https://app.test", response_headers={"X-A": "b"})
    decision = guard.decide(request(headers=headers, method=method))
    assert decision.status == code
    if code == 204:
        assert decision.error is None
        assert header(decision, "Access-Control-Allow-Methods") == "PUT"
        assert header(decision, "Access-Control-Allow-Headers") is None
        assert header(decision, "X-A") == "b"
    if code == 200:
        assert decision.token is None
        assert dict(decision.variables) == {}


def test_a_preflight_is_told_the_headers_it_asked_for():
    guard = make_guard(preflight="answer", origins="https://app.test")
    asked = [*PREFLIGHT, ("Access-Control-Request-Headers", "authorization,x-a")]
    deny = guard.decide(request(headers=asked, method="OPTIONS"))
    assert header(deny, "Access-Control-Allow-Headers") == "authorization,x-a"
    assert refused(guard, "//x", headers=asked, method="OPTIONS")[0] == 400


# --- the log line -------------------------------------------------------------------------------


def refusal_line(caplog, guard, **words):
    caplog.clear()
    caplog.set_level(logging.DEBUG, "jwtguard.refused")
    decision = guard.decide(request(**words))
    (record,) = [r for r in caplog.records if r.name == "jwtguard.refused"]
    return record, record.getMessage(), decision


def test_a_refusal_is_one_line_with_its_facts(caplog):
    guard = make_guard([Rule("/a"), Rule("/x", roles="a")])
    raw = token(aud="https://api.test/")
    record, line, deny = refusal_line(caplog, guard, bearer=raw)
    assert line == (
        f"401 audience_mismatch ref={deny.ref} rule=1:/x GET /x issuer=people "
        f"sub={fingerprint('alice')} token={fingerprint(raw)} "
        'found="https://api.test/" want="https://api.test" hint="differs by a trailing slash"'
    )
    assert (record.status, record.reason, record.ref) == (401, "audience_mismatch", deny.ref)
    assert record.levelno == logging.WARNING
    record, line, _ = refusal_line(caplog, guard)
    assert record.levelno == logging.WARNING
    assert "token=" not in line
    record, line, _ = refusal_line(caplog, guard, path="/other")
    assert "rule=closing:/**" in line
    record, line, _ = refusal_line(caplog, guard, path="//")
    assert "rule=" not in line


@pytest.mark.parametrize(
    "words",
    [{"require": {"sub": "bob"}}, {"require": {"/sub": {"path": "id"}}}],
    ids=["claim", "pointer"],
)
def test_a_subject_is_a_fingerprint_also_where_it_is_what_was_found(words, caplog):
    guard = make_guard([Rule("/u/{id}", **words)])
    record, line, _ = refusal_line(caplog, guard, path="/u/bob", bearer=token(sub="alice"))
    assert record.reason == "requirement_not_met"
    assert record.found == fingerprint("alice")
    assert "alice" not in line


HOSTILE = {
    "control characters": token(iss="a\r\nINFO forged\x1b[31m\0"),
    "not ASCII": token(iss="é\u2028日本"),
    "quotes": token(iss='" hint="x'),
    "long": token(iss="x" * 5000),
    "long escapes": token(iss="\n" * 3000),
    "exp of 4,000 digits": token(exp=10**4000),
    "exp negative of 4,000 digits": token(exp=-(10**4000)),
    "aud of many": token(aud=["x" * 50] * 100),
    "exp a deep list": forge(b'{"exp":' + b"[" * 30 + b"]" * 30 + b"}"),
    "kid": token(HEADER | {"kid": "\n" * 256}, key=b"x" * 32),
    "alg": token({"alg": "\x1b[31m" * 100}),
    "typ": token(HEADER | {"typ": "\n" * 400}),
    "sub": token(sub="x\n" * 4000, exp=1),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_values_are_escaped_and_cut(raw, caplog):
    record, line, _ = refusal_line(caplog, make_guard(), bearer=raw)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 900
    assert not [part for part in raw.split(".") if part in line]
    for fact in (record.found, record.want, record.hint):
        assert fact is None or len(str(fact)) <= 200


def test_requests_are_escaped_too(caplog):
    for words in (
        {"path": "/\n" + "x" * 9000},
        {"path": "/\ud800"},
        {"method": "G\nT" * 300},
        {"path": "/x", "raw_path": "/%2F\n" + "y" * 9000},
    ):
        _, line, _ = refusal_line(caplog, make_guard(), **words)
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 900


def test_nothing_is_worked_out_for_a_log_that_nobody_reads(caplog):
    caplog.set_level(logging.CRITICAL, "jwtguard.refused")
    assert status(make_guard()) == 401
    assert caplog.records == []


def test_an_ignored_cookie_is_logged_at_debug(caplog):
    guard = make_guard([Rule("/x", access="optional", credentials={"cookie": "c"})])
    for value in ("x", "!"):
        record, line, decision = refusal_line(caplog, guard, headers=[("Cookie", f"c={value}")])
        assert decision.status == 200
        assert record.levelno == logging.DEBUG
        assert "ref=-" in line


def test_escaping():
    assert escaped("a") == "a"
    assert escaped('"\n\\') == '\\"\\n\\\\'
    assert escaped(5) == "5"
    assert escaped(["a"]) == "['a']"
    assert escaped("x" * 200) == "x" * 200
    assert len(escaped("x" * 201)) == 200
    assert escaped("x" * 201).endswith("~")
    assert len(fingerprint("\ud800")) == 9


# --- small things -------------------------------------------------------------------------------


def test_values_show_themselves_without_tokens():
    raw = token()
    allow = make_guard().decide(request(bearer=raw))
    assert repr(allow) == "<Allow token=<VerifiedToken issuer='people'>>"
    deny = make_guard().decide(request())
    assert repr(deny).startswith("<Deny 401 MissingCredentials(")
    assert Deny(errors.AccessDenied()).status == 403
    assert repr(Request("GET", "/a\n")) == "<Request GET '/a\\n'>"
    assert allow.status == 200


def test_the_flows_can_be_stepped_by_hand():
    guard = make_guard()
    for flow in (guard.decide_flow(request(bearer=token())), guard.decide_flow(request())):
        with pytest.raises(StopIteration) as stop:
            next(flow)
        assert isinstance(stop.value.value, Allow | Deny)


def test_a_request_takes_headers_as_a_list_or_an_object():
    class Headers:
        def get_all(self, name):
            return [f"Bearer {token()}"] if name == "authorization" else []

    assert make_guard().decide(Request("GET", "/", headers=Headers())).status == 200
    assert make_guard().decide(Request("GET", "/", headers=())).status == 401
    sent = Request("GET", "/", headers=[("X-A", "1"), ("x-a", "2"), ("X-B", "3")])
    assert list(sent.headers.get_all("x-a")) == ["1", "2"]
    assert (sent.header("x-a"), sent.header("x-b"), sent.header("x-c")) == (None, "3", None)


# --- waiting ------------------------------------------------------------------------------------


def waiting(rules=(), bearer=None, **words):
    """A decision that waits for a key, and the key."""
    from .test_keys import Asked

    key = private_key("ES256")
    guard = make_guard(rules, algorithms=["ES256"], keys=Asked(), **words)
    flow = guard.decide_flow(request(bearer=bearer or sign(CLAIMS, key, "ES256")))
    assert next(flow).method == "GET"
    return flow, JWKSet(public_jwk(key)).current()


def outcome(step, value):
    with pytest.raises(StopIteration) as stop:
        step(value)
    return stop.value.value


def test_a_decision_waits_for_the_key():
    flow, keys = waiting()
    assert outcome(flow.send, keys).token.subject == "alice"
    flow, keys = waiting([Rule("/x", roles="a")])
    deny = outcome(flow.send, keys)
    assert (deny.status, deny.error.reason) == (403, "role_missing")
    assert (deny.error.issuer, deny.error.subject) == ("people", "alice")
    flow, _ = waiting()
    assert outcome(flow.throw, errors.FetchError("refused")).status == 503
    flow, _ = waiting()
    assert outcome(flow.throw, RuntimeError("defect")).error.reason == "internal_error"


def test_a_token_that_expires_while_waiting_is_refused():
    now = [NOW]
    flow, keys = waiting(clock=lambda: now[0])
    now[0] = CLAIMS["exp"] + 10
    assert outcome(flow.send, keys).error.reason == "expired"


# --- recalling ----------------------------------------------------------------------------------


def test_what_was_seen_before_is_recalled_without_a_request():
    guard = make_guard(
        [
            Rule("/open", access="public"),
            Rule("/admin", roles="admin"),
            Rule("/mine/{id}", require={"sub": {"path": "id"}}),
            Rule("/checked", check=lambda token, request: True),
            Rule("/cookie", credentials=["bearer", {"cookie": "c"}]),
            Rule("/safe", https="refuse"),
        ],
        forward={"X-User": "sub"},
    )
    raw = token()
    field = f"Bearer {raw}"
    assert guard.recall("GET", "/x", "/x", field) is None
    assert status(guard, "/x", bearer=raw) == 200
    allow = guard.recall("GET", "/x", "/x?a=b", field)
    assert (allow.token.subject, dict(allow.set)) == ("alice", {"X-User": "alice"})
    allow.token.claims["sub"] = "root"
    assert guard.recall("GET", "/x", None, field).token.claims["sub"] == "alice"
    for path in ("/open", "/admin", "/mine/alice", "/checked", "/cookie", "/safe"):
        guard.decide(request(path, bearer=raw))
        assert guard.recall("GET", path, path, field) is None
    for method, path, raw_path, value in (
        ("POST", "/x", "/x", field),
        ("GET", "/y", "/y", field),
        ("GET", "/x", "/%78", field),
        ("GET", "/x", "/a%2F..%2Fx", field),
        ("GET", "/x", "/x", None),
        ("GET", "/x", "/x", f"bearer {raw}"),
        ("GET", "/x", "/x", raw),
        ("GET", "/x", "/x", f"Bearer  {raw}"),
        ("GET", "/x", "/x", f"{field},{field}"),
        ("GET", "/x", "/x", f"{field} "),
        ("GET", "/x", "/x", f"{field}A"),
    ):
        assert guard.recall(method, path, raw_path, value) is None
    unmet = token(sub="bob")
    assert guard.verify(unmet)
    assert guard.recall("GET", "/x", "/x", f"Bearer {unmet}") is None


def test_a_refused_token_is_never_recalled():
    guard = make_guard([Rule("/admin", roles="admin")])
    raw = token()
    for _ in range(2):
        assert status(guard, "/admin", bearer=raw) == 403
        assert guard.recall("GET", "/admin", None, f"Bearer {raw}") is None
    good = token(role="admin")
    assert status(guard, "/admin", bearer=good) == 200
    assert guard.recall("GET", "/admin", None, f"Bearer {good}").status == 200
    assert guard.recall("GET", "/admin", None, f"Bearer {raw}") is None


@pytest.mark.parametrize("access", ["optional", "protected"])
def test_a_token_that_met_a_rule_where_a_view_judged_is_recalled(access):
    guard = make_guard(
        [
            Rule("/open", access="public"),
            Rule("/feed", access="optional"),
            Rule("/x", roles="admin"),
        ]
    )
    good, raw = token(role="admin"), token()
    for path, bearer, recalled in (
        ("/x", good, True),
        ("/feed", raw, True),
        ("/x", raw, False),
        ("/open", raw, False),
    ):
        guard.judge(request(path, bearer=bearer), access=access)
        known = guard.recall("GET", path, path, f"Bearer {bearer}")
        assert (known is not None) == recalled


def test_known_targets_are_bounded():
    guard = make_guard()
    for number in range(5000):
        assert status(guard, f"/p/{number}", bearer=token()) == 200
    assert len(guard.policy._known) <= 1024
    assert status(guard, "/" + "x" * 5000, bearer=token()) == 200
    assert not any(len(path) > 256 for _, path in guard.policy._known)


def test_an_app_may_refuse_like_a_rule():
    guard = make_guard([Rule("/x", roles="a")], realm="r")
    deny = guard.refusal(errors.InsufficientScope(["a"]), request(), "view")
    assert deny.status == 403
    assert 'realm="r"' in header(deny, "WWW-Authenticate")
    assert guard.refusal(errors.MissingCredentials(), request(websocket=True), "view").status == 401


def test_somebodys_headers_may_answer_none_and_in_any_case():
    from email.message import Message

    headers = Message()
    headers["Authorization"] = f"Bearer {token()}"
    headers["X-Tenant"] = "t1"
    seen = []
    guard = make_guard([Rule("/**", check=lambda _, r: seen.append(r.header("X-TENANT")) or True)])
    assert guard.decide(Request("GET", "/x", headers=headers)).status == 200
    assert seen == ["t1"]
    assert guard.decide(Request("GET", "/x", headers=Message())).status == 401


@pytest.mark.parametrize("odd", [{"headers": None}, {"headers": 5}, {"method": None}])
def test_a_request_that_cannot_even_be_refused_in_style_is_503(odd, caplog):
    words = {"method": "GET", "headers": ()} | odd
    made = Request(words["method"], "/x", headers=words["headers"])
    deny = make_guard().decide(made)
    assert isinstance(deny, Deny)
    assert deny.status in (400, 503)
    assert "internal_error" in repr(deny.error) or deny.status == 400


def test_connect_for_a_websocket_counts_as_get_and_nothing_else_does():
    guard = make_guard([Rule("/**", methods=["GET"], access="public"), Rule("/**", roles="admin")])
    verdicts = {
        method: guard.decide(Request(method, "/x", websocket=True)).status
        for method in ("GET", "CONNECT", "POST")
    }
    assert verdicts == {"GET": 200, "CONNECT": 200, "POST": 401}


def test_a_door_is_given_a_guard():
    from jwtguard import asgi, wsgi

    async def asgi_app(scope, receive, send):
        raise AssertionError("never called")

    def wsgi_app(environ, start_response):
        raise AssertionError("never called")

    for door, app in ((asgi, asgi_app), (wsgi, wsgi_app)):
        for guard in (None, "jwtguard.toml", app):
            with pytest.raises(errors.ConfigurationError, match="takes a Guard"):
                door.GuardMiddleware(app, guard)


# --- a view that says for itself what it wants --------------------------------------------------


def decision_of(guard, path, headers=(), **words):
    return run(_judged(guard, Request("GET", path, headers=list(headers)), words))


def _judged(guard, request, words):
    decision = guard.judge(request, **words)
    return decision if isinstance(decision, (Allow, Deny)) else (yield from decision)


def test_a_view_may_open_itself_only_where_no_rule_of_the_users_decides():
    guard = make_guard([Rule("/ruled/**")])
    asked = []

    def is_public():
        asked.append(True)
        return True

    allow = decision_of(guard, "/free", is_public=is_public)
    assert isinstance(allow, Allow)
    assert allow.token is None
    assert asked == [True]
    assert decision_of(guard, "/ruled/x", is_public=is_public).status == 401
    assert asked == [True], "nobody asks the view where a rule decides"
    assert decision_of(guard, "/free", is_public=lambda: False).status == 401


def test_a_view_that_opened_itself_looks_at_no_credentials():
    headers = [("Authorization", f"Bearer {token()}")]
    allow = decision_of(make_guard(), "/free", headers, is_public=lambda: True)
    assert allow.token is None


def test_a_view_that_judges_for_itself_is_not_opened_by_a_public_rule():
    guard = make_guard([Rule("/open", access="public")])
    assert decision_of(guard, "/open", access="protected").status == 401
    headers = [("Authorization", f"Bearer {token()}")]
    for _ in range(2):
        assert decision_of(guard, "/open", headers, access="protected").token is not None
    assert decision_of(guard, "/open", access="optional").token is None
    assert decision_of(guard, "/x", headers, access="protected").token is not None
    assert decision_of(guard, "/open").token is None


def test_a_method_that_no_rule_covers_stays_refused_whatever_a_view_says():
    guard = make_guard([Rule("/r", methods=["POST"], roles="admin")])
    found = decision_of(guard, "/r", access="optional", is_public=lambda: True)
    assert found.error.reason == "method_not_covered"


def test_a_door_can_tell_that_no_rule_of_the_users_decided():
    guard = make_guard([Rule("/ruled/**")])
    headers = [("Authorization", f"Bearer {token()}")]
    assert guard.is_closing(decision_of(guard, "/free", headers))
    assert not guard.is_closing(decision_of(guard, "/ruled/x", headers))


def test_a_guard_shows_its_issuers_and_no_secret():
    assert repr(make_guard([Rule("/x")])) == "<Guard issuers=['people'] rules=1>"


def test_a_view_that_cannot_say_whether_it_is_open_is_asked_again_and_closed():
    guard = make_guard()
    raw = token()
    assert status(guard, bearer=raw) == 200

    def broken():
        raise KeyError("x")

    assert guard.recall("GET", "/x", "/x", f"Bearer {raw}") is not None
    assert guard.recall("GET", "/x", "/x", f"Bearer {raw}", broken) is None
    assert guard.judge(request(bearer=raw), is_public=broken).status == 503
