"""Requirements: every operator on every type (design section 4, details.md)."""

import logging

import pytest

from jwtguard import Requirement, Rule, errors

from .forge import make_guard, refused, request, token

GUARD = make_guard()

# requirement on the claim "x" -> the values it lets through; every other value of VALUES fails
VALUES = {
    "absent": ...,
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "1": 1,
    "1.0": 1.0,
    "1.5": 1.5,
    "-1": -1,
    "big": 10**30,
    "text 1": "1",
    "text true": "true",
    "empty text": "",
    "a": "a",
    "A": "A",
    "ab": "ab",
    "a newline": "a\n",
    "long": "a" * 257,
    "256": "a" * 256,
    "[]": [],
    "[a]": ["a"],
    "[a, b]": ["a", "b"],
    "[1]": [1],
    "[true]": [True],
    "[null]": [None],
    "[[a]]": [["a"]],
    "[{}]": [{}],
    "{}": {},
    "{a: 1}": {"a": 1},
}
PRESENT = set(VALUES) - {"absent"}
OBJECTS = {"{}", "{a: 1}"}
PASSES = [
    ("a", {"a", "[a]", "[a, b]"}),
    (1, {"1", "1.0", "[1]"}),
    (1.0, {"1", "1.0", "[1]"}),
    (True, {"true", "[true]"}),
    (False, {"false"}),
    (None, {"null", "[null]"}),
    ([None], {"null", "[null]"}),
    ("1", {"text 1"}),
    ("", {"empty text"}),
    (10**30, {"big"}),
    (["a", 0], {"a", "[a]", "[a, b]", "0"}),
    (["b"], {"[a, b]"}),
    ({"gt": 1}, {"1.5", "big"}),
    ({"gte": 1}, {"1", "1.0", "1.5", "big"}),
    ({"lt": 1}, {"0", "-1"}),
    ({"lte": 1.0}, {"0", "1", "1.0", "-1"}),
    ({"gt": -2, "lt": 0}, {"-1"}),
    ({"ne": "a"}, PRESENT - OBJECTS - {"a", "[a]", "[a, b]"}),
    ({"ne": 1}, PRESENT - OBJECTS - {"1", "1.0", "[1]"}),
    ({"ne": True}, PRESENT - OBJECTS - {"true", "[true]"}),
    ({"ne": None}, PRESENT - OBJECTS - {"null", "[null]"}),
    ({"not_in": ["a", 1]}, PRESENT - OBJECTS - {"a", "[a]", "[a, b]", "1", "1.0", "[1]"}),
    ({"not_in": "a"}, PRESENT - OBJECTS - {"a", "[a]", "[a, b]"}),
    ({"all": ["a", "b"]}, {"[a, b]"}),
    ({"all": "a"}, {"[a]", "[a, b]"}),
    ({"all": [1]}, {"[1]"}),
    ({"all": [True]}, {"[true]"}),
    ({"matches": "a"}, {"a"}),
    ({"matches": "a+"}, {"a", "256"}),
    ({"matches": "(?i)a"}, {"a", "A"}),
    ({"matches": ""}, {"empty text"}),
    ({"matches": "a$"}, {"a"}),
    ({"exists": True}, PRESENT),
    ({"exists": False}, {"absent"}),
    ({"exists": True, "ne": "a"}, PRESENT - OBJECTS - {"a", "[a]", "[a, b]"}),
]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(("wanted", "passes"), PASSES, ids=[repr(w) for w, _ in PASSES])
def test_a_requirement_on_a_claim(wanted, passes, value):
    name = next(n for n, v in VALUES.items() if v is value)
    requirement = Requirement(require={"x": wanted})
    assert requirement.problems == []
    raw = token(x=value)
    if name in passes:
        assert GUARD.verify(raw, requirement)
    else:
        with pytest.raises(errors.AccessDenied) as caught:
            GUARD.verify(raw, requirement)
        assert caught.value.reason == "requirement_not_met"


# (claim, path parameter, passes): as text, an integer by its decimal text
BY_PATH = [
    ("7", "7", True),
    (7, "7", True),
    (-7, "-7", True),
    (7, "07", False),
    (7.0, "7", False),
    (7.0, "7.0", False),
    (True, "True", False),
    (True, "true", False),
    (True, "1", False),
    (None, "None", False),
    (..., "7", False),
    (["5", "7"], "7", True),
    ([5, 7], "7", True),
    ([True], "1", False),
    ([[7]], "7", False),
    ([], "7", False),
    ({"7": 7}, "7", False),
    ("A", "a", False),
    ("é", "é", True),
    ("e\u0301", "é", False),
]


@pytest.mark.parametrize(("claim", "parameter", "passes"), BY_PATH)
def test_a_claim_is_compared_with_the_path(claim, parameter, passes):
    rules = [Rule("/t/{id}/**", require={"x": {"path": "id"}})]
    found = refused(make_guard(rules), f"/t/{parameter}/y", bearer=token(x=claim))
    assert found == ((200, None) if passes else (403, "requirement_not_met"))


def test_a_path_parameter_outside_a_path_fails():
    with pytest.raises(errors.AccessDenied):
        GUARD.verify(token(x="a"), Requirement(require={"x": {"path": "id"}}))


def test_requirements_of_one_mapping_all_hold_and_of_a_list_any():
    both = Requirement(require={"a": 1, "/b/c": "x"})
    assert GUARD.verify(token(a=1, b={"c": "x"}), both)
    either = Requirement(require=[{"a": 1}, {"/b/c": "x", "d": 2}])
    for good in ({"a": 1}, {"b": {"c": "x"}, "d": 2}):
        assert GUARD.verify(token(**good), either)
    for bad in ({}, {"b": {"c": "x"}}, {"d": 2}, {"a": 2}):
        with pytest.raises(errors.AccessDenied) as caught:
            GUARD.verify(token(**bad), either)
        assert caught.value.want == "a"


# (requirement, claims, reason or None)
WORDS = [
    ({"scopes": "a b"}, {"scope": "b a c"}, None),
    ({"scopes": ["a", "b"]}, {"scope": "a"}, "insufficient_scope"),
    ({"scopes": "a"}, {}, "insufficient_scope"),
    ({"scopes": "A"}, {"scope": "a"}, "insufficient_scope"),
    ({"any_scope": "a b"}, {"scope": "b"}, None),
    ({"any_scope": "a b"}, {"scope": "c"}, "insufficient_scope"),
    ({"roles": "admin"}, {"role": "admin"}, None),
    ({"roles": "admin user"}, {"roles": ["admin", "user"]}, "role_missing"),
    ({"roles": "admin user"}, {"role": "admin user"}, None),
    ({"roles": ["a", "b"]}, {"roles": ["b", "a"]}, None),
    ({"roles": ["a", "b"]}, {"roles": ["a"]}, "role_missing"),
    ({"any_role": ["a", "b"]}, {"roles": ["b"]}, None),
    ({"any_role": ["a", "b"]}, {"roles": ["c"]}, "role_missing"),
    ({"any_role": "a"}, {}, "role_missing"),
    ({"any_role": "admin"}, {"roles": ["administrator", "Admin", "adm"]}, "role_missing"),
    ({"roles": {"a"}}, {"roles": ["a"]}, None),
    ({}, {}, None),
]


@pytest.mark.parametrize(("words", "claims", "reason"), WORDS)
def test_scopes_and_roles(words, claims, reason):
    assert refused(make_guard([Rule("/x", **words)]), bearer=token(**claims))[1] == reason


def test_the_rule_chooses_between_403_and_401():
    for words, status in (({}, 403), ({"status": 401}, 401)):
        for requirement in ({"roles": "a"}, {"require": {"a": 1}}, {"any_role": "a"}):
            guard = make_guard([Rule("/x", **requirement, **words)])
            assert guard.decide(request(bearer=token())).status == status
        guard = make_guard([Rule("/x", scopes="a", **words)])
        assert guard.decide(request(bearer=token())).status == 403


# --- check --------------------------------------------------------------------------------------


def raising(token, request):
    raise RuntimeError("oh")


@pytest.mark.parametrize("verdict", [False, None, 0, 1, "yes", "True", [True], object()])
def test_only_true_passes_a_check(verdict):
    guard = make_guard([Rule("/x", check=lambda token, request: verdict)])
    assert refused(guard, bearer=token()) == (403, "check_failed")


def test_a_check_sees_the_token_and_the_request():
    def check(token, request):
        return token.subject == "alice" and request.path == "/x"

    assert refused(make_guard([Rule("/x", check=check)]), bearer=token()) == (200, None)
    assert refused(make_guard([Rule("/x", check=check)]), bearer=token(sub="b"))[0] == 403


def test_a_check_that_raises_refuses_with_its_traceback_in_the_log(caplog):
    for status in (403, 401):
        guard = make_guard([Rule("/x", check=raising, status=status)])
        assert refused(guard, bearer=token()) == (403, "check_error")
    assert "RuntimeError: oh" in caplog.text
    assert "raising" in caplog.text


def test_a_check_without_a_name_is_logged_by_its_type(caplog):
    class Check:
        def __call__(self, token, request):
            return False

    caplog.set_level(logging.WARNING)
    assert refused(make_guard([Rule("/x", check=Check())]), bearer=token())[0] == 403
    assert "Check" in caplog.text


def test_a_check_that_returns_a_coroutine_refuses():
    async def ask():
        return True

    guard = make_guard([Rule("/x", check=lambda token, request: ask())])
    assert refused(guard, bearer=token()) == (403, "check_failed")


# --- start-up -----------------------------------------------------------------------------------


async def waiting(token, request):
    return True


class Waiting:
    async def __call__(self, token, request):
        return True


# (words, place behind rules[0], part of the message)
BROKEN = {
    "scopes number": ({"scopes": 5}, ".scopes", "text or a list of text"),
    "scopes with an empty one": ({"scopes": ["a", ""]}, ".scopes", "text or a list"),
    "scope with a space": ({"scopes": ["a b"]}, ".scopes", "RFC 6749"),
    "scope with a quote": ({"any_scope": 'a"b'}, ".any_scope", "RFC 6749"),
    "scope with a backslash": ({"any_scope": "a\\b"}, ".any_scope", "RFC 6749"),
    "scope not ASCII": ({"scopes": "é"}, ".scopes", "RFC 6749"),
    "scope with a control": ({"scopes": ["a\x7f"]}, ".scopes", "RFC 6749"),
    "roles number": ({"roles": 5}, ".roles", "text or a list of text"),
    "role empty": ({"any_role": ""}, ".any_role", "text or a list of text"),
    "roles None within": ({"any_role": [None]}, ".any_role", "text or a list of text"),
    "any_role of none": ({"any_role": []}, ".any_role", "it would ask for nothing"),
    "any_scope of none": ({"any_scope": set()}, ".any_scope", "it would ask for nothing"),
    "require text": ({"require": "x"}, ".require", "mapping of claims"),
    "require number": ({"require": 5}, ".require", "mapping of claims"),
    "require list of text": ({"require": ["x"]}, ".require[0]", "mapping of claims"),
    "require empty alternative": ({"require": [{"a": 1}, {}]}, ".require[1]", "every token"),
    "require empty list": ({"require": []}, ".require", "no alternatives"),
    "require name number": ({"require": {5: 1}}, ".require", "not a claim name"),
    "require name empty": ({"require": {"": 1}}, ".require", "not a claim name"),
    "require no operator": ({"require": {"a": {}}}, ".require.a", "the operators are gt, gte"),
    "require empty values": ({"require": {"a": []}}, ".require.a", "a value or a list of values"),
    "require nested list": ({"require": {"a": [[1]]}}, ".require.a", "a value or a list"),
    "require mapping within": ({"require": {"a": [{"gt": 1}]}}, ".require.a", "a value or a list"),
    "unknown operator": ({"require": {"a": {"equals": 1}}}, ".require.a", "is no operator"),
    "misspelt operator": ({"require": {"a": {"gtt": 1}}}, ".require.a", "did you mean 'gt"),
    "operator number": ({"require": {"a": {1: 1}}}, ".require.a", "is no operator"),
    "gt text": ({"require": {"a": {"gt": "1"}}}, ".require.a.gt", "takes a number"),
    "gt true": ({"require": {"a": {"gt": True}}}, ".require.a.gt", "takes a number"),
    "lte None": ({"require": {"a": {"lte": None}}}, ".require.a.lte", "takes a number"),
    "ne list": ({"require": {"a": {"ne": [1]}}}, ".require.a.ne", "use not_in"),
    "not_in empty": ({"require": {"a": {"not_in": []}}}, ".require.a.not_in", "list of values"),
    "not_in nested": ({"require": {"a": {"not_in": [[]]}}}, ".require.a.not_in", "list of values"),
    "all empty": ({"require": {"a": {"all": []}}}, ".require.a.all", "must hold"),
    "matches number": ({"require": {"a": {"matches": 5}}}, ".require.a.matches", "regular expr"),
    "matches broken": ({"require": {"a": {"matches": "("}}}, ".require.a.matches", "no regular"),
    "exists text": ({"require": {"a": {"exists": "yes"}}}, ".require.a.exists", "true or false"),
    "exists number": ({"require": {"a": {"exists": 1}}}, ".require.a.exists", "true or false"),
    "path number": ({"require": {"a": {"path": 1}}}, ".require.a.path", "path parameter"),
    "path unknown": ({"require": {"a": {"path": "id"}}}, ".require", "which /x lacks"),
    "check text": ({"check": "os.getuid"}, ".check", "is a function"),
    "check coroutine": ({"check": waiting}, ".check", "coroutine function"),
    "check async object": ({"check": Waiting()}, ".check", "coroutine function"),
}


@pytest.mark.parametrize(("words", "place", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_requirement_is_a_start_up_error(words, place, message):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard([Rule("/x", **words)])
    assert [where for where, _ in caught.value.problems] == [f"rules[0]{place}"]
    assert message in str(caught.value)


def test_a_broken_requirement_is_told_by_verify_too():
    with pytest.raises(errors.ConfigurationError, match="takes a number"):
        GUARD.verify(token(), Requirement(require={"a": {"gt": "1"}}))


def test_a_requirement_knows_whether_it_asks_for_anything():
    assert not Requirement()
    assert not Requirement(require={})
    for words in ({"scopes": "a"}, {"any_role": "a"}, {"require": {"a": 1}}, {"check": raising}):
        assert Requirement(**words)
    shown = repr(Requirement(scopes="a b", require={"x": 1}))
    assert shown == "Requirement(scopes=('a', 'b'), require={'x': 1})"
