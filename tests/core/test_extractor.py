"""Where a token may stand, and what is no token (RFC 6750, threats 1.3)."""

import time

import pytest

from jwtguard import Bearer, FromCookie, FromHeader, FromQuery, FromSubprotocol, Rule, errors
from jwtguard.core import Request

from .forge import make_guard, refused, request, token

RAW = token()
N, M, S = None, "malformed_credentials", "several_credentials"

# (values of the Authorization fields, token or None or reason)
AUTHORIZATION = {
    "absent": ([], N),
    "empty": ([""], N),
    "a token": ([f"Bearer {RAW}"], RAW),
    "lower case": ([f"bearer {RAW}"], RAW),
    "mixed case (RFC 9110 11.1)": ([f"BeArEr {RAW}"], RAW),
    "several spaces": ([f"Bearer    {RAW}"], RAW),
    "opaque token68": (["Bearer abc~+/-._=="], "abc~+/-._=="),
    "one character": (["Bearer x"], "x"),
    "scheme alone": (["Bearer"], N),
    "scheme and a space": (["Bearer "], N),
    "scheme and spaces": (["Bearer     "], N),
    "another scheme": (["Basic dXNlcjpwYXNz"], N),
    "a longer scheme": ([f"Bearers {RAW}"], N),
    "a longer scheme with a dash": ([f"Bearer-x {RAW}"], N),
    "no space": ([f"Bearer{RAW}"], N),
    "the token alone": ([RAW], N),
    "DPoP": ([f"DPoP {RAW}"], N),
    "Digest with parameters": (['Digest username="a, Bearer b", realm="x"'], N),
    "Digest with commas": (['Digest a=1, b=2, c="x y"'], N),
    "tab": ([f"Bearer\t{RAW}"], M),
    "space and tab": ([f"Bearer \t{RAW}"], M),
    "tab alone": (["Bearer\t"], M),
    "trailing space": ([f"Bearer {RAW} "], M),
    "trailing newline": ([f"Bearer {RAW}\n"], M),
    "trailing NUL": ([f"Bearer {RAW}\0"], M),
    "two words": (["Bearer a b"], M),
    "a comma": (["Bearer a,b"], M),
    "a trailing comma": (["Bearer a,"], M),
    "a comma at once": (["Bearer,a"], M),
    "quoted": (['Bearer "a"'], M),
    "parameter": (["Bearer token=a"], M),
    "equals in front": (["Bearer =a"], M),
    "equals within": (["Bearer a=b"], M),
    "colon": (["Bearer: a"], M),
    "no-break space": (["Bearer\u00a0a"], M),
    "not ASCII": (["Bearer é"], M),
    "surrogate": (["Bearer \ud800"], M),
    "braces": (['Bearer {"a":1}'], M),
    "two fields": ([f"Bearer {RAW}", f"Bearer {RAW}"], S),
    "two fields, one empty": ([f"Bearer {RAW}", ""], S),
    "two fields, one Basic (Envoy CVE-2020-25017)": (["Basic x", f"Bearer {RAW}"], S),
    "joined": ([f"Bearer {RAW},Bearer {RAW}"], S),
    "joined with a space": ([f"Bearer {RAW}, Bearer {RAW}"], S),
    "joined, Basic first": ([f"Basic x, Bearer {RAW}"], S),
    "joined, Bearer first": ([f"Bearer {RAW}, Basic x"], S),
    "joined, Digest first": ([f'Digest a="x, y", Bearer {RAW}'], S),
    "joined, spaces and tabs": ([f"Basic x ,\t Bearer \t{RAW}"], S),
}


@pytest.mark.parametrize(("values", "found"), AUTHORIZATION.values(), ids=AUTHORIZATION)
def test_authorization(values, found):
    sent = Request("GET", "/", headers=[("Authorization", value) for value in values])
    if found in (M, S):
        with pytest.raises(errors.InvalidRequest) as caught:
            Bearer().read(sent)
        assert caught.value.reason == found
        assert make_guard().decide(sent).status == 400
    else:
        assert Bearer().read(sent) == found
        assert make_guard().decide(sent).status == (200 if found == RAW else 401)


HOSTILE = {
    "unclosed string": "Basic ," + '"\\' * 20_000,
    "quotes": "Basic ," + '"' * 40_001,
    "commas": "Basic " + ", a" * 13_000,
    "commas and spaces": "Basic ," + ", " * 20_000,
    "spaces": "Basic ," + " " * 40_000,
    "word and spaces": "Basic ,a" + " " * 40_000,
    "Bearer and spaces": "Bearer" + " " * 40_000 + "!",
    "equals": "Bearer " + "a" * 20_000 + "=" * 20_000 + "!",
    "backslashes": 'Basic ,"' + "\\" * 40_001,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_field_costs_no_time(value):
    start = time.perf_counter()
    decision = make_guard().decide(Request("GET", "/", headers=[("authorization", value)]))
    assert decision.status in (400, 401)
    assert time.perf_counter() - start < 0.5


def cookies(*fields):
    return Request("GET", "/", headers=[("Cookie", field) for field in fields])


# threats 0.3: SimpleCookie raises or returns nothing, Werkzeug raises; Cookie Chaos, CVE-2023-23934
COOKIES = {
    "absent": ([], N),
    "empty field": ([""], N),
    "empty value": (["t="], N),
    "the cookie": (["t=abc"], "abc"),
    "among others": (["a=1; t=abc; b=2"], "abc"),
    "no space": (["a=1;t=abc;b=2"], "abc"),
    "tabs and spaces": (["a=1;\t t = abc \t; b=2"], "abc"),
    "an illegal name before": (["a[]=1; t=abc"], "abc"),
    "a nameless cookie before (CVE-2023-23934)": (["=t=x; t=abc"], "abc"),
    "no equals": (["t"], N),
    "a value without a name": (["t; t=abc"], "abc"),
    "another case": (["T=abc"], N),
    "a longer name": (["tt=abc; xt=abc"], N),
    "prefix U+00A0 (Cookie Chaos)": (["\u00a0t=abc"], N),
    "prefix U+0085 (Cookie Chaos)": (["\u0085t=abc"], N),
    "prefix U+2000 (Cookie Chaos)": (["\u2000t=abc"], N),
    "vertical tab": (["\x0bt=abc"], N),
    "$Version (Cookie Chaos)": (["$Version=1; t=abc"], "abc"),
    "a name in percent-escapes": (["%74=abc"], N),
    "raw 0xA0 elsewhere": (["a=\u00a0; t=abc"], "abc"),
    "several fields (HTTP/2)": (["a=1", "t=abc"], "abc"),
    "padded token68": (["t=abc=="], "abc=="),
    "twice": (["t=a; t=b"], S),
    "twice, one empty": (["t=; t=b"], S),
    "twice, the same": (["t=a; t=a"], S),
    "twice in two fields": (["t=a", "t=b"], S),
    "joined by a comma (WSGI)": (["t=a,t=b"], M),
    "comma in the value": (["t=a,b"], M),
    "quoted": (['t="abc"'], M),
    "octal escapes": (['t="a\\012b"'], M),
    "percent-escapes": (["t=a%2Eb"], M),
    "a space within": (["t=a b"], M),
    "control character": (["t=a\x00b"], M),
    "not ASCII": (["t=é"], M),
    "surrogate": (["t=\ud800"], M),
    "a second equals": (["t=a=b"], M),
}


@pytest.mark.parametrize(("fields", "found"), COOKIES.values(), ids=COOKIES)
def test_cookie(fields, found):
    place = FromCookie("t")
    if found in (M, S):
        with pytest.raises(errors.InvalidRequest) as caught:
            place.read(cookies(*fields))
        assert caught.value.reason == found
    else:
        assert place.read(cookies(*fields)) == found


HEADERS = {
    "absent": ("", [], N),
    "empty": ("", [""], N),
    "a token": ("", ["abc"], "abc"),
    "another prefix is none": ("Token ", ["Bearer abc"], N),
    "prefix": ("Token ", ["Token abc"], "abc"),
    "prefix without case": ("Token ", ["TOKEN abc"], "abc"),
    "prefix alone": ("Token ", ["Token "], N),
    "prefix and two words": ("Token ", ["Token a b"], M),
    "two words": ("", ["a b"], M),
    "comma": ("", ["a,b"], M),
    "twice": ("", ["a", "b"], S),
    "twice with prefix": ("Token ", ["Token a", "Token b"], S),
    "not ASCII": ("", ["é"], M),
}


@pytest.mark.parametrize(("prefix", "values", "found"), HEADERS.values(), ids=HEADERS)
def test_header(prefix, values, found):
    place = FromHeader("X-Token", prefix)
    sent = Request("GET", "/", headers=[("x-token", value) for value in values])
    if found in (M, S):
        with pytest.raises(errors.InvalidRequest) as caught:
            place.read(sent)
        assert caught.value.reason == found
    else:
        assert place.read(sent) == found


# query, token or reason, what the app gets
QUERIES = {
    "absent": ("", N, ""),
    "others": ("a=1&b=2", N, "a=1&b=2"),
    "empty": ("access_token=", N, ""),
    "no equals": ("access_token", N, ""),
    "the token": ("access_token=abc", "abc", ""),
    "among others": ("a=1&access_token=abc&b=2", "abc", "a=1&b=2"),
    "percent-escapes in the value": ("access_token=a%2Eb", "a.b", ""),
    "percent-escapes in the name": ("acces%73_token=abc", "abc", ""),
    "plus stays plus": ("access_token=a+b", "a+b", ""),
    "twice": ("access_token=a&access_token=b", S, ""),
    "twice, hidden": ("access_token=a&access%5Ftoken=b", S, ""),
    "space": ("access_token=a%20b", M, ""),
    "NUL": ("access_token=a%00", M, ""),
    "bad UTF-8": ("access_token=%ff", M, ""),
    "another case": ("Access_Token=a", N, "Access_Token=a"),
    "semicolon is no separator": ("a=1;access_token=x", N, "a=1;access_token=x"),
    "brackets": ("access_token[]=x", N, "access_token[]=x"),
}


@pytest.mark.parametrize(("query", "found", "rest"), QUERIES.values(), ids=QUERIES)
def test_query(query, found, rest):
    place = FromQuery()
    sent = Request("GET", "/", query=query)
    if found in (M, S):
        with pytest.raises(errors.InvalidRequest) as caught:
            place.read(sent)
        assert caught.value.reason == found
    else:
        assert place.read(sent) == found
    assert place.without(query) == rest


# field values, token or reason, what the app sees (None: no field), completed subprotocol
SUBPROTOCOLS = {
    "absent": ([], N, N, N),
    "others": (["chat, x"], N, ..., N),
    "the token": (["bearer, abc"], "abc", N, "bearer"),
    "with others": (["bearer,abc, chat"], "abc", "chat", "bearer"),
    "others first": (["chat, bearer, abc, v2"], "abc", "chat, v2", "bearer"),
    "two fields": (["bearer", "abc"], "abc", N, "bearer"),
    "marker alone": (["bearer"], N, N, "bearer"),
    "marker last": (["chat, bearer"], N, "chat", "bearer"),
    "empty words": (["bearer,, ,abc"], "abc", N, "bearer"),
    "marker twice": (["bearer, a, bearer, b"], S, ..., N),
    "another case": (["Bearer, abc"], N, ..., N),
    "no token68": (["bearer, a!b"], M, ..., N),
}


@pytest.mark.parametrize(
    ("fields", "found", "left", "chosen"), SUBPROTOCOLS.values(), ids=SUBPROTOCOLS
)
def test_subprotocol(fields, found, left, chosen):
    place = FromSubprotocol("bearer")
    headers = [("sec-websocket-protocol", field) for field in fields]
    sent = Request("GET", "/", headers=headers, websocket=True)
    assert place.read(Request("GET", "/", headers=headers)) is None
    if found in (M, S):
        with pytest.raises(errors.InvalidRequest) as caught:
            place.read(sent)
        assert caught.value.reason == found
        return
    assert place.read(sent) == found
    guard = make_guard([Rule("/x", access="optional", credentials=[place])])
    allow = guard.decide(request(headers=headers, websocket=True) if found is None else request())
    if found is None:
        assert allow.subprotocol == chosen
        if left is not ...:
            assert dict(allow.set).get("sec-websocket-protocol") == left


def test_a_token_taken_from_a_subprotocol_is_not_handed_on():
    guard = make_guard([Rule("/x", credentials={"subprotocol": "bearer"})])
    headers = [("Sec-WebSocket-Protocol", f"v2, bearer, {RAW}, chat"), ("Origin", "x")]
    allow = guard.decide(request(headers=headers, websocket=True))
    assert allow.status == 200
    assert dict(allow.set) == {"sec-websocket-protocol": "v2, chat"}
    assert "sec-websocket-protocol" in allow.remove
    assert allow.subprotocol == "bearer"


# --- several places -----------------------------------------------------------------------------

EVERYWHERE = ["bearer", {"header": "X-T"}, {"query": "t"}, {"cookie": "c"}]
ORIGIN = "https://app.test"
AUTH, HEADER, COOKIE = (
    ("Authorization", f"Bearer {RAW}"),
    ("X-T", RAW),
    ("Cookie", f"c={RAW}"),
)
# headers, query, (status, reason)
PLACES = {
    "bearer": ([AUTH], "", (200, None)),
    "header": ([HEADER], "", (200, None)),
    "query": ([], f"t={RAW}", (200, None)),
    "cookie": ([COOKIE], "", (200, None)),
    "nowhere": ([], "", (401, "no_credentials")),
    "bearer and header": ([AUTH, HEADER], "", (400, S)),
    "bearer and query": ([AUTH], f"t={RAW}", (400, S)),
    "header and query, both bad": ([("X-T", "x")], "t=y", (400, S)),
    "bearer and cookie: the cookie is not read": (
        [AUTH, ("Cookie", "c=!; c=!")],
        "",
        (200, None),
    ),
    "bad bearer and good cookie": (
        [("Authorization", "Bearer x"), COOKIE],
        "",
        (401, "malformed_token"),
    ),
    "malformed bearer and good cookie": ([("Authorization", "Bearer !"), COOKIE], "", (400, M)),
    "empty bearer and good cookie": ([("Authorization", "Bearer"), COOKIE], "", (200, None)),
    "Basic and good cookie": ([("Authorization", "Basic x"), COOKIE], "", (200, None)),
    "bad query and good cookie": ([COOKIE], "t=!", (400, M)),
}


@pytest.mark.parametrize(("headers", "query", "expected"), PLACES.values(), ids=PLACES)
def test_one_request_carries_one_token(headers, query, expected):
    guard = make_guard([Rule("/x", credentials=EVERYWHERE)])
    assert refused(guard, headers=headers, query=query) == expected


def test_two_cookies_places_are_two_credentials():
    guard = make_guard([Rule("/x", credentials=[{"cookie": "a"}, {"cookie": "b"}])])
    assert refused(guard, headers=[("Cookie", f"a={RAW}; b={RAW}")]) == (400, S)
    assert refused(guard, headers=[("Cookie", f"b={RAW}")]) == (200, None)


OPTIONAL = {
    "nothing": ([], (200, None)),
    "a good token": ([AUTH], (200, "alice")),
    "a bad token": ([("Authorization", "Bearer x")], (401, None)),
    "a malformed field": ([("Authorization", "Bearer !")], (400, None)),
    "a good cookie": ([COOKIE], (200, "alice")),
    "a bad cookie": ([("Cookie", "c=x")], (200, None)),
    "an expired cookie": ([("Cookie", f"c={token(exp=1)}")], (200, None)),
    "a malformed cookie": ([("Cookie", "c=!")], (200, None)),
    "the cookie twice": ([("Cookie", "c=a; c=b")], (200, None)),
}


@pytest.mark.parametrize(("headers", "expected"), OPTIONAL.values(), ids=OPTIONAL)
def test_optional_takes_a_bad_cookie_for_nobody(headers, expected):
    guard = make_guard(
        [Rule("/x", access="optional", credentials=["bearer", {"cookie": "c"}])],
        forward={"X-User": "sub"},
    )
    decision = guard.decide(request(headers=headers))
    seen = getattr(decision, "token", None)
    assert (decision.status, seen and seen.subject) == expected
    if decision.status == 200:
        assert "x-user" in decision.remove
        assert bool(decision.set) is (expected[1] is not None)


def test_a_cookie_whose_keys_cannot_be_had_is_503_even_where_optional():
    from jwtguard.testing import private_key, sign

    from .forge import CLAIMS
    from .test_keys import Asked

    guard = make_guard(
        [Rule("/x", access="optional", credentials={"cookie": "c"})],
        algorithms=["ES256"],
        keys=Asked(),
    )
    raw = sign(CLAIMS, private_key("ES256"), "ES256")
    assert refused(guard, headers=[("Cookie", f"c={raw}")]) == (503, "keys_unavailable")


def test_stripping_takes_out_the_token_and_nothing_else():
    guard = make_guard([Rule("/x", credentials=EVERYWHERE)], strip_credentials=True)
    sent = [("Cookie", f"a=1;  b=2; c={RAW}; d"), ("Authorization", "Basic x"), ("X-T", "")]
    allow = guard.decide(request(headers=sent, query="a=1&t=&b=2"))
    assert allow.status == 200
    assert allow.remove == {"cookie", "x-t"}
    assert dict(allow.set) == {"cookie": "a=1; b=2; d"}
    assert allow.query == "a=1&b=2"
    allow = guard.decide(request(headers=[("Authorization", f"Bearer {RAW}")]))
    assert "authorization" in allow.remove
    assert dict(allow.set) == {}
    assert allow.query is None
    two = make_guard(
        [Rule("/x", access="optional", credentials=[{"cookie": "a"}, {"cookie": "b"}])],
        strip_credentials=True,
    )
    allow = two.decide(request(headers=[("Cookie", "a=x; k=1"), ("Cookie", "b=y")]))
    assert dict(allow.set) == {"cookie": "k=1"}
    allow = two.decide(request(headers=[("Cookie", "a=x")]))
    assert dict(allow.set) == {}
    several = make_guard(
        [Rule("/x", access="optional", credentials=[{"query": "p"}, {"query": "q"}])]
    )
    assert several.decide(request(query="p=&z=1&q=")).query == "z=1"


def test_places_show_where_they_look():
    shown = [
        repr(place)
        for place in (
            Bearer(),
            FromHeader("X-T"),
            FromCookie("c"),
            FromQuery(),
            FromSubprotocol("bearer"),
        )
    ]
    assert shown == [
        "Bearer()",
        "FromHeader('x-t')",
        "FromCookie('c')",
        "FromQuery('access_token')",
        "FromSubprotocol('bearer')",
    ]


# credentials, place behind rules[0], part of the message
BROKEN = {
    "empty": ([], ".credentials", "leave it out"),
    "number": (5, ".credentials[0]", 'none of "bearer"'),
    "misspelt": ("baerer", ".credentials[0]", "did you mean 'bearer'"),
    "unknown form": ({"form": "x"}, ".credentials[0]", "none of"),
    "None within": (["bearer", None], ".credentials[1]", "none of"),
    "unknown key": ({"cookie": "a", "prefix": "x"}, ".credentials[0]", "unknown key 'prefix'"),
    "two forms": ({"cookie": "a", "query": "b"}, ".credentials[0]", "unknown key"),
    "cookie number": ({"cookie": 5}, ".credentials[0]", "takes text"),
    "prefix None": ({"header": "X", "prefix": None}, ".credentials[0]", "takes text"),
    "cookie name": ({"cookie": "a b"}, ".credentials[0].cookie", "the name of a cookie"),
    "cookie name empty": ({"cookie": ""}, ".credentials[0].cookie", "the name of a cookie"),
    "header name": ({"header": "X:"}, ".credentials[0].header", "the name of a header"),
    "header underscore": ({"header": "X_T"}, ".credentials[0].header", "write x-t"),
    "query name": ({"query": ""}, ".credentials[0].query", "name"),
    "subprotocol": (
        {"subprotocol": "a,b"},
        ".credentials[0].subprotocol",
        "name of a subprotocol",
    ),
    "object": ([FromCookie("a b")], ".credentials[0].cookie", "the name of a cookie"),
    "object number": ([FromCookie(5)], ".credentials[0].cookie", "the name of a cookie"),
    "object prefix": ([FromHeader("X", None)], ".credentials[0].prefix", "text"),
}


@pytest.mark.parametrize(("credentials", "place", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_credentials_are_a_start_up_error(credentials, place, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard([Rule("/x", credentials=credentials)])
    assert [where for where, _ in caught.value.problems] == [f"rules[0]{place}"]
    assert message in str(caught.value)


def test_other_cookies_stay_as_they_are_whatever_bytes_they_have():
    guard = make_guard([Rule("/x", credentials={"cookie": "t"})], strip_credentials=True)
    beside = "n=caf\u00c3\u00a9"  # UTF-8, as servers hand it over
    allow = guard.decide(request(headers=[("Cookie", f"t={RAW}; {beside}")]))
    assert allow.set == [("cookie", "n=caf\u00e9")]
