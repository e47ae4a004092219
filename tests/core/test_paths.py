"""Paths with one reading, patterns, and which rule a path belongs to (threats 1.4)."""

import itertools

import pytest

from jwtguard import Rule, errors
from jwtguard.core.paths import Pattern, Router, is_unambiguous, return_address

from .forge import make_guard, refused, request, status, token

OPEN = make_guard([Rule("/**", access="public")])

# threats 0.1, 0.2, 1.4: the decoded path -> refused on public paths too
BAD_PATHS = [
    *("", "admin", "*", "?x", "http://x/admin", "\\admin", " /admin"),
    *("//", "//admin", "/a//b", "/a//", "///"),  # Istio CVE-2021-31920, vLLM GHSA-94f4
    *("/.", "/..", "/./a", "/../a", "/a/.", "/a/..", "/a/./b", "/a/../b"),  # Envoy CVE-2019-9901
    *("/a\\b", "/\\", "/a\\..\\b", "/..\\admin"),  # Envoy CVE-2021-29492
    *("/a;b", "/a;", "/;/a", "/a;x=1/b", "/..;/a"),  # Envoy CVE-2026-73511
    *("/a#b", "/a#", "/a?b", "/a?", "/#/../a"),  # oauth2-proxy CVE-2026-41059
    *("/a%2fb", "/a%2Fb", "/%61", "/a%00", "/%25", "/a%2e%2e", "/%5c"),  # Spring %25
    *(f"/a{chr(c)}" for c in (*range(32), *range(0x7F, 0xA0))),  # Starlette /admin%0A
    *("/a\n/b", "/a\r\nb", "/\x00", "/a\x85"),
    *("/\ufffd", "/a\ufffdb", "/\ud800", "/a\udcff", "/\udfff/b"),
]
GOOD_PATHS = [
    *(
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/A",
        "/a.b",
        "/.a",
        "/a.",
        "/...",
        "/..a",
        "/a..",
        "/.well-known/x",
    ),
    *("/100%", "/100%/x", "/%", "/%zz", "/%2", "/a%2x", "/a:b", "/a@b", "/a,b", "/a=b", "/a+b"),
    *("/a b", "/a&b", "/a|b", '/a"b', "/{a}", "/[a]", "/^", "/`", "/é", "/日本", "/😀", "/\xa0"),
    *("/a" * 4000, "/" + "a" * 8000, "/\u2028", "/\u200b", "/\ufeff", "/\u202e"),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_a_path_with_a_second_reading_is_400_on_public_paths_too(path):
    assert not is_unambiguous(path)
    assert refused(OPEN, path) == (400, "ambiguous_path")
    assert refused(OPEN, path, raw_path="/x")[0] == 400
    assert refused(OPEN, path, raw_path=path)[0] == 400
    assert refused(OPEN, path, bearer=token())[0] == 400


@pytest.mark.parametrize("path", GOOD_PATHS, ids=lambda p: ascii(p)[:20])
def test_a_path_with_one_reading_passes(path):
    assert is_unambiguous(path)
    assert status(OPEN, path) == 200


# decoded path, raw target, passes
TARGETS = [
    ("/a", "/a", True),
    ("/a", "/a?x=/../", True),
    ("/a", "/%61", True),
    ("/a", "/a?%2F%5C%2E", True),
    ("/100%", "/100%25", True),
    ("/é", "/%C3%A9", True),
    ("/a b", "/a%20b", True),
    ("/a/b", "/a%2Fb", False),
    ("/a/b", "/a%2fb", False),
    ("/a/../b", "/a%2f..%2fb", False),
    ("/a.b", "/a%2Eb", False),
    ("/a.b", "/a%2eb", False),
    ("/a", "/a%5C", False),
    ("/a", "/a%5c", False),
    ("/a", "/a\\", False),
    ("/a%2fb", "/a%252fb", False),
    ("/admin", "http://evil/admin", False),
    ("/admin", "admin", False),
    ("/", "*", False),
    ("/", "", False),
    ("/", "?x", False),
    ("/public", "/public#/../admin", False),
    ("/admin", "/admin ", False),
    ("/admin", "/ad\tmin", False),
    ("/admin", "/admin\x7f", False),
    ("/x", "/f/\ud800", False),
]


@pytest.mark.parametrize(("path", "raw", "passes"), TARGETS)
def test_the_raw_target_is_looked_at_where_the_server_gives_it(path, raw, passes):
    assert status(OPEN, path, raw_path=raw) == (200 if passes else 400)


# decoded path, raw target, passes: Rule("/files/**", opaque_tail=True) beside a closed rest
OPAQUE = [
    ("/files/a", "/files/a", True),
    ("/files/a/b", "/files/a%2Fb", True),
    ("/files/a;b", "/files/a;b", True),
    ("/files/a?b", "/files/a%3Fb", True),
    ("/files/a#b", "/files/a%23b", True),
    ("/files//a", "/files//a", True),
    ("/files/a//", None, True),
    ("/files//", "/files/%2F", True),
    ("/files/", "/files/", True),
    ("/files", "/files", True),
    ("/files/a;b", None, True),
    ("/files/é;", "/files/%C3%A9;", True),
    ("/files/a%2fb", "/files/a%252fb", False),
    ("/files/../a", "/files/%2e%2e/a", False),
    ("/files/..", "/files/..", False),
    ("/files/./a", None, False),
    ("/files/a\\b", "/files/a%5Cb", False),
    ("/files/a\n", "/files/a%0A", False),
    ("/files/a\x85", None, False),
    ("/files/\ufffd", "/files/%FF", False),
    ("/files/a", "/files%2Fa", False),
    ("//files/a", "//files/a", False),
    ("/files;x/a", "/files;x/a", False),
    ("/files;/a", None, False),
    ("/files;", None, False),
    ("/filesx//a", "/filesx//a", False),
    ("/x//files/a", None, False),
    ("/files/a/b", "/other%2Fb", False),
    ("/files/a#b", "/files/a#b", True),
    ("/other/a//b", None, False),
    ("files/a;", None, False),
    ("/files/a/b", "/mount/files/a%2Fb", True),
    ("/files/a/b", "/mount%2Ffiles/a/b", False),
    ("/files/a;b", "/files/\ud800", False),
]


@pytest.mark.parametrize(("path", "raw", "passes"), OPAQUE)
def test_an_opaque_tail_lets_names_through_behind_its_prefix(path, raw, passes):
    guard = make_guard([Rule("/files/**", opaque_tail=True)])
    assert status(guard, path, raw_path=raw) == (401 if passes else 400)
    assert status(guard, path, raw_path=raw, bearer=token()) == (200 if passes else 400)


def test_an_opaque_tail_below_a_name():
    guard = make_guard([Rule("/t/{id}/*/f/**", opaque_tail=True)])
    assert status(guard, "/t/1/x/f/a//b") == 401
    assert status(guard, "/t/1//f/a//b") == 400
    assert status(guard, "/t/1/x;/f/a//b") == 400
    assert status(guard, "/t//x/f/a") == 400


def test_an_opaque_tail_over_everything():
    guard = make_guard([Rule("/**", opaque_tail=True, access="public")])
    for path in ("//", "/;", "/a//b", "/?"):
        assert status(guard, path) == 200
    for path in ("/..", "/\\", "/a/../b"):
        assert status(guard, path) == 400


# --- patterns -----------------------------------------------------------------------------------

# pattern -> (matches, does not match)
PATTERNS = {
    "/": (["/"], ["/a", "/a/"]),
    "/a": (["/a", "/a/"], ["/", "/A", "/ab", "/a/b", "/a.html", "/b"]),
    "/a/": (["/a", "/a/"], ["/a/b"]),
    "/a/*": (["/a/b", "/a/b/", "/a/*", "/a/{x}"], ["/a", "/a/", "/a/b/c"]),
    "/*/b": (["/a/b"], ["/b", "/a/a/b", "/a"]),
    "/{x}": (["/a", "/é"], ["/", "/a/b"]),
    "/{x}/{y}": (["/a/b"], ["/a"]),
    "/a/**": (["/a", "/a/", "/a/b", "/a/b/c/d/"], ["/", "/ab", "/abc/d", "/A/b", "/b/a"]),
    "/**": (["/", "/a", "/a/b/c"], []),
    "/*/**": (["/a", "/a/b"], ["/"]),
    "/api/public/**": (["/api/public", "/api/public/x"], ["/api/publicX", "/api"]),
    "/a b": (["/a b"], ["/a%20b", "/a+b"]),
    "/é": (["/é"], ["/e\u0301", "/É"]),
    "/100%": (["/100%"], ["/100"]),
    "/a.b": (["/a.b"], ["/axb"]),
    "/a+b": (["/a+b"], ["/a b", "/aab"]),
}


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        (pattern, path, verdict)
        for pattern, (good, bad) in PATTERNS.items()
        for verdict, paths in ((True, good), (False, bad))
        for path in paths
    ],
)
def test_a_pattern_matches_whole_segments(pattern, path, matches):
    router = Router()
    router.add(Pattern(pattern), "found")
    assert router.find(path) == (["found"] if matches else [])
    guard = make_guard([Rule(pattern, access="public")])
    assert status(guard, path) in ((200,) if matches else (400, 401))


# pattern -> part of the message
BROKEN = {
    "": "must start with '/'",
    "a": "must start with '/'",
    "**": "must start with '/'",
    "http://x/a": "must start",
    "/a/**/b": "'**' stands only at the end",
    "/**/a": "'**' stands only at the end",
    "/a*": "a whole segment",
    "/a**": "a whole segment",
    "/{a}b": "a whole segment",
    "/a{b}": "a whole segment",
    "/***": "a whole segment",
    "/{": "a whole segment",
    "/}": "a whole segment",
    "/{}": "not a name in braces",
    "/{a b}": "not a name in braces",
    "/{1}": "not a name in braces",
    "/{a}/{a}": "the same name twice",
    "/a//b": "'//' is refused before",
    "/a/../b": "is refused before",
    "/./a": "is refused before",
    "/a;b": "';' is refused before",
    "/a?b": "'?' is refused before",
    "/a#b": "'#' is refused before",
    "/a\n": "is refused before",
    "/a\x85": "is refused before",
    "/\ufffd": "is refused before",
    "/a%2Fb": "decoded character",
    "/caf%C3%A9": "decoded character",
    "/<name>": "Flask's and Django's",
    "/<int:id>": "Flask's and Django's",
    "/:id": "Express'",
    "/a/:id/b": "Express'",
    "/{path:path}": "Starlette's",
    "/{id:int}": "Starlette's",
    "/a/.*": "regular expression",
    "^/a": "regular expression",
    "/a$": "regular expression",
    "/[a-z]+": "regular expression",
    "/(?P<id>x)": "Flask's",
    "/(?:x)": "regular expression",
    "/a\\.b": "regular expression",
}


@pytest.mark.parametrize(("pattern", "message"), BROKEN.items(), ids=ascii)
def test_a_pattern_that_could_not_work_is_a_start_up_error(pattern, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard([Rule(pattern)])
    assert [where for where, _ in caught.value.problems] == ["rules[0].path"]
    assert message in str(caught.value)
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard([Rule(["/good", pattern])])
    assert [where for where, _ in caught.value.problems] == ["rules[0].path[1]"]


@pytest.mark.parametrize("path", [[], None, 5, [5], [None]])
def test_a_path_is_text(path):
    with pytest.raises(errors.ConfigurationError, match=r"rules\[0\]\.path"):
        make_guard([Rule(path)])


def test_a_pattern_shows_itself():
    assert repr(Pattern("/a/{b}")) == "<Pattern /a/{b}>"
    assert repr(Rule(["/a", "/b"])) == "<Rule /a /b>"
    assert Pattern("/a/{b}/**").is_tree
    assert Pattern("/{a}/*/{b}").parameters("/1/2/3/") == {"a": "1", "b": "3"}


# --- the router against a plain reading ---------------------------------------------------------


def matches(pattern, path):
    """The sentence of the design, written down once more and slowly."""
    wanted = pattern.strip("/").split("/") if pattern != "/" else []
    given = path.removesuffix("/").split("/")[1:] if path != "/" else []
    if wanted and wanted[-1] == "**":
        given, wanted = given[: len(wanted) - 1], wanted[:-1]
    return len(given) == len(wanted) and all(
        (w == "*" or w.startswith("{") or w == g) and g != ""
        for w, g in zip(wanted, given, strict=True)
    )


def test_the_router_finds_what_a_plain_reading_finds():
    words = ["a", "b", "*", "{x}"]
    patterns = ["/", "/**"]
    for length in (1, 2, 3):
        for combination in itertools.product(words, repeat=length):
            text = "/" + "/".join(combination)
            patterns += [text, f"{text}/**"]
    router = Router()
    for pattern in patterns:
        router.add(Pattern(pattern.replace("{x}", "*")), pattern)
    for length in range(5):
        for combination in itertools.product("abc", repeat=length):
            for path in {"/" + "/".join(combination), "/" + "".join(f"{c}/" for c in combination)}:
                wanted = [pattern for pattern in patterns if matches(pattern, path)]
                assert sorted(router.find(path)) == sorted(wanted), path


def test_matching_does_not_grow_with_the_rules():
    """Counted in steps, not in time: the levels of the tree that are walked."""
    router = Router()
    for number in range(3000):
        router.add(Pattern(f"/exact/{number}"), number)
        router.add(Pattern(f"/tree/{number}/**"), number)
    assert router.find("/exact/17") == [17]
    assert router.find("/tree/2999/x/y") == [2999]
    assert router.find("/nothing") == []
    assert router.branching() == 0
    router.add(Pattern("/exact/{x}"), "wild")
    assert router.branching() == 1
    assert sorted(map(str, router.find("/exact/17"))) == ["17", "wild"]


def test_a_long_path_is_walked_without_recursion():
    router = Router()
    router.add(Pattern("/a" * 5000), "deep")
    router.add(Pattern("/a" * 5000 + "/**"), "tree")
    assert sorted(router.find("/a" * 5000)) == ["deep", "tree"]
    assert router.find("/a" * 6000) == ["tree"]


# --- methods ------------------------------------------------------------------------------------

READS = Rule("/r/**", methods=["get"], scopes="read")
WRITES = Rule("/r/**", methods=["POST", "put"], scopes="write")
SCOPED = token(scope="read")

# rules, method, what happens with a token of scope "read"
METHODS = [
    ([READS, WRITES], "GET", (200, None)),
    ([READS, WRITES], "HEAD", (200, None)),
    ([READS, WRITES], "get", (200, None)),
    ([READS, WRITES], "POST", (403, "insufficient_scope")),
    ([READS, WRITES], "PUT", (403, "insufficient_scope")),
    ([READS, WRITES], "DELETE", (403, "method_not_covered")),
    ([READS, WRITES], "OPTIONS", (403, "method_not_covered")),
    ([READS, WRITES], "PROPFIND", (403, "method_not_covered")),
    ([READS, Rule("/r/**")], "DELETE", (200, None)),
    ([READS, Rule("/r/**", access="public")], "DELETE", (200, None)),
    ([Rule("/r/**", methods="GET")], "DELETE", (200, None)),
    ([Rule("/r/**", methods="GET", issuers="people")], "DELETE", (403, "method_not_covered")),
    ([Rule("/r/x", methods="GET", scopes="read"), Rule("/r/**")], "POST", (200, None)),
    ([READS], "GET ", (400, "malformed_method")),
    ([READS], "", (400, "malformed_method")),
    ([READS], "G\u0130T", (400, "malformed_method")),
    ([READS], "GET\n", (400, "malformed_method")),
    ([READS], "GET/x", (400, "malformed_method")),
]


@pytest.mark.parametrize(("rules", "method", "expected"), METHODS)
def test_methods(rules, method, expected):
    assert refused(make_guard(rules), "/r/x", method=method, bearer=SCOPED) == expected


def test_an_upgrade_header_does_not_make_a_get_of_another_method():
    """A handshake is a GET (RFC 6455 section 4.1); the doors say so, a header does not."""
    guard = make_guard([READS, WRITES], origins=["https://a.test"])
    assert refused(guard, "/r/x", websocket=True, bearer=SCOPED) == (200, None)
    for method, expected in (("POST", (403, "insufficient_scope")),):
        assert refused(guard, "/r/x", method=method, websocket=True, bearer=SCOPED) == expected


def test_the_first_rule_that_matches_decides():
    guard = make_guard(
        [
            Rule("/a/open", access="public"),
            Rule("/a/{x}", roles="r"),
            Rule("/a/**", access="optional"),
        ]
    )
    assert status(guard, "/a/open") == 200
    assert status(guard, "/a/open/") == 200
    assert status(guard, "/a/Open") == 401
    assert status(guard, "/a/b", bearer=token()) == 403
    assert status(guard, "/a/b/c") == 200
    assert status(guard, "/b") == 401
    assert guard.decide(request("/a/open")).rule.path == "/a/open"


# --- addresses sent to browsers -----------------------------------------------------------------

# oauth2-proxy GHSA-j7px, GHSA-5m6c, CVE-2020-5233, mod_auth_openidc CVE-2019-14857, CVE-2021-32786
UNSAFE = [
    *(
        "",
        "x",
        "//x",
        "///x",
        "/\\x",
        "\\x",
        "/a//b",
        "http://x",
        "https:x",
        "javascript:1",
        "?a",
        "#a",
    ),
    *("/..", "/../x", "/a/../b", "/.", "/./x", "/%2e%2e/x", "/%2E", "/%252e%252e/x", "/a/%2e%2e"),
    *(
        "/%2f/x",
        "/%2F%2Fx",
        "/%252f%252fx",
        "/%5cx",
        "/%255cx",
        "/\t/x",
        "/%09/x",
        "/a\nb",
        "/%0d%0ax",
    ),
    *(
        "/a b",
        "/a?b c",
        "/\x00",
        "/\x7f",
        "/\x85",
        "/\u00a0/x",
        "/\u2028",
        "/a?\n",
        "/a?x=\\",
        " /a",
    ),
    *(
        "/%25%32%35%32%35252e",
        "/\ud800",
        "/a?\udfff",
        "/%c2%85",
        "/%E2%80%A8",
        "/%0d%0ax",
        " /a",
        "javascript:1",
    ),
]
SAFE = {
    "/": "/",
    "/a": "/a",
    "/a/": "/a/",
    "/a?b=c&d=%20": "/a?b=c&d=%20",
    "/a?next=//evil": "/a?next=//evil",
    "/a?x=../..": "/a?x=../..",
    "/é": "/%C3%A9",
    "/%C3%A9": "/%C3%A9",
    "/a.b/...": "/a.b/...",
    "/@evil": "/@evil",
    "/a?é": "/a?%C3%A9",
    "/a:b": "/a:b",
}


@pytest.mark.parametrize("target", UNSAFE, ids=ascii)
def test_an_address_that_may_lead_elsewhere_becomes_the_root(target):
    assert return_address(target) == "/"


@pytest.mark.parametrize(("target", "address"), SAFE.items())
def test_a_good_address_is_written_anew(target, address):
    assert return_address(target) == address
    assert return_address(address) == address
