"""The house rules: what the core may touch, which way imports point, what is exported."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jwtguard
from jwtguard.core import errors

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "jwtguard"
CORE = sorted((PACKAGE / "core").glob("*.py"))

# The standard library's modules that compute and do nothing else, and the two for cryptography.
ALLOWED = {
    "base64",
    "binascii",
    "collections.abc",
    "contextlib",
    "copy",
    "cryptography",
    "dataclasses",
    "datetime",
    "difflib",
    "functools",
    "hashlib",
    "hmac",
    "html",
    "inspect",
    "ipaddress",
    "json",
    "jwt",
    "logging",
    "math",
    "operator",
    "random",
    "re",
    "secrets",
    "string",
    "time",
    "traceback",
    "types",
    "typing",
    "urllib.parse",
    "weakref",
}
# Opening files, evaluating text, starting things.
FORBIDDEN_CALLS = {"open", "exec", "eval", "compile", "__import__", "input", "print"}

# Lowest first. A module may import from its own layer and from those below it.
LAYERS = [
    {"errors", "grammar", "wording"},
    {"store", "sealing"},
    {"claims", "addresses", "rates"},
    {"token"},
    {"model"},
    {"jose", "algorithms", "disguise"},
    {"keys"},
    {"keyloader", "paths", "extractor", "browser", "refused", "freshness", "reporting"},
    {"discovery", "client_auth"},
    {"remote"},
    {"tenants", "introspection", "observing"},
    {"issuer", "cache", "publish", "requirement", "challenge", "revocation", "shared"},
    {"candidates", "signin"},
    {"verifier", "policy"},
    {"metadata", "counting"},
    {"consistency"},
    {"setup"},
    {"trust"},
    {"answers"},
    {"outcome"},
    {"guard"},
    {"__init__"},
]


def imports(path, *, runtime_only=True):
    """(module, level) of every import; those under ``if TYPE_CHECKING`` only if asked for."""
    skipped = set()
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            skipped |= {id(n) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if runtime_only and id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module is None:
                yield from ((alias.name, node.level) for alias in node.names)
            else:
                yield node.module, node.level


def layer(name):
    return next((i for i, names in enumerate(LAYERS) if name in names), None)


@pytest.mark.parametrize("path", CORE, ids=[p.stem for p in CORE])
def test_the_core_imports_nothing_that_touches_the_world(path):
    for module, level in imports(path):
        if level == 0:
            assert module in ALLOWED or module.partition(".")[0] in {"cryptography", "jwt"}, module
        else:
            assert level == 1, f"{path.stem} imports from above the core: {module}"


@pytest.mark.parametrize("path", CORE, ids=[p.stem for p in CORE])
def test_the_core_calls_nothing_that_touches_the_world(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{path.stem}:{node.lineno}"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global), path.stem


@pytest.mark.parametrize("path", CORE, ids=[p.stem for p in CORE])
def test_layers_point_downward_only(path):
    assert layer(path.stem) is not None, f"{path.stem} has no layer: put it into LAYERS"
    for module, level in imports(path):
        if level == 1:
            assert layer(module) is not None, module
            assert layer(module) <= layer(path.stem), f"{path.stem} imports {module}"


def test_no_two_modules_of_the_core_import_each_other():
    edges = {path.stem: {m for m, level in imports(path) if level == 1} for path in CORE}
    while leaves := {name for name, wanted in edges.items() if not wanted & edges.keys()}:
        edges = {name: wanted for name, wanted in edges.items() if name not in leaves}
    assert edges == {}


def test_every_layer_is_a_module():
    assert set().union(*LAYERS) == {path.stem for path in CORE}


FRAMEWORKS = [
    "flask",
    "django",
    "fastapi",
    "starlette",
    "httpx",
    "httpx2",
    "redis",
    "click",
    "uvicorn",
    "gunicorn",
]


def loaded_by(statement):
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    return {name.partition(".")[0] for name in out.stdout.split()} | set(out.stdout.split())


@pytest.mark.parametrize("module", ["jwtguard", "jwtguard.wsgi", "jwtguard.asgi"])
def test_importing_it_imports_no_framework(module):
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & {*FRAMEWORKS, "hypothesis", "pytest", "joserfc", "limits"}


PUBLIC = [
    "Guard",
    "Introspection",
    "Issuer",
    "Rule",
    "Requirement",
    "VerifiedToken",
    "errors",
    "from_toml",
    "from_mapping",
    "Secret",
    "PublicKey",
    "JWKSet",
    "RemoteKeys",
    "Discovery",
    "Bearer",
    "FromCookie",
    "FromHeader",
    "FromQuery",
    "FromSubprotocol",
    "Login",
]


def test_every_public_name_of_the_contract_is_exported():
    missing = [name for name in PUBLIC if not hasattr(jwtguard, name)]
    assert missing == []
    assert set(PUBLIC) <= set(jwtguard.__all__)


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__":
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", list(modules()))
def test_everything_in_all_exists_once(name):
    if ".django" in name:
        importlib.import_module("tests.django_project")  # Django wants settings
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    assert [entry for entry in listed if not hasattr(module, entry)] == []


def test_writers_of_doors_find_their_names_in_the_core():
    core = importlib.import_module("jwtguard.core")
    assert {"Request", "Allow", "Deny", "Fetch"} <= set(core.__all__)
    drive = importlib.import_module("jwtguard.drive")
    assert callable(drive.run)
    assert inspect.iscoroutinefunction(drive.arun)
    for door in ("wsgi", "asgi"):
        assert importlib.import_module(f"jwtguard.{door}").GuardMiddleware


# --- reasons ------------------------------------------------------------------------------------

RAISED_AT_ONCE = {
    name: cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, errors.AuthError)
}
# ClaimError and its kin take the claim first.
CLAIM_FIRST = {n for n, c in RAISED_AT_ONCE.items() if issubclass(c, errors.ClaimError)}
NO_REASON = {"InsufficientScope", "TooManyRequests"}


def reasons_in_code():
    """Every reason: the classes' own, and the text given where one is raised."""
    found = {cls.reason for cls in RAISED_AT_ONCE.values()}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            name = node.func.id
            at = 1 if name in CLAIM_FIRST or name == "_denied" else 0
            if (name in RAISED_AT_ONCE and name not in NO_REASON) or name == "_denied":
                given = [a.value for a in node.args[at : at + 1] if isinstance(a, ast.Constant)]
                given += [
                    k.value.value
                    for k in node.keywords
                    if k.arg == "reason" and isinstance(k.value, ast.Constant)
                ]
                found |= {reason for reason in given if isinstance(reason, str)}
    return found


def test_reasons_are_stable_codes():
    reasons = reasons_in_code()
    assert {"expired", "audience_mismatch", "role_missing", "check_error"} <= reasons
    assert [r for r in reasons if not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", r)] == []


def test_every_reason_is_explained_in_the_docs():
    text = (ROOT / "docs" / "reasons.md").read_text("utf-8")
    listed = set(re.findall(r"`([a-z_]+)`", text))
    assert sorted(reasons_in_code() - listed) == []


# --- errors -------------------------------------------------------------------------------------

TREE = """
    JWTGuardError Exception
    ConfigurationError JWTGuardError
    ConfigurationError ValueError
    FetchError JWTGuardError
    AuthError JWTGuardError
    MissingCredentials AuthError 401
    InvalidRequest AuthError 400
    InvalidToken AuthError 401
    MalformedToken InvalidToken 401
    UnknownIssuer InvalidToken 401
    AlgorithmNotAllowed InvalidToken 401
    KeyNotFound InvalidToken 401
    BadSignature InvalidToken 401
    TokenInactive InvalidToken 401
    TokenRevoked InvalidToken 401
    ClaimError InvalidToken 401
    MissingClaim ClaimError 401
    ClaimMismatch ClaimError 401
    TokenExpired ClaimError 401
    TokenNotYetValid ClaimError 401
    TokenTooOld ClaimError 401
    AccessDenied AuthError 403
    InsufficientScope AuthError 403
    CrossSiteRequest AuthError 403
    TooManyRequests AuthError 429
    Unavailable AuthError 503
    KeysUnavailable Unavailable 503
    IntrospectionUnavailable Unavailable 503
"""


@pytest.mark.parametrize("row", TREE.strip().splitlines(), ids=str.strip)
def test_the_tree_of_errors_is_the_contracts(row):
    name, base, *status = row.split()
    cls = getattr(errors, name)
    assert issubclass(
        cls, getattr(errors, base, None) or {"ValueError": ValueError}.get(base, Exception)
    )
    if status:
        assert cls.status == int(status[0])


def test_an_error_says_its_reason_and_hint():
    assert str(errors.MalformedToken()) == "malformed_token"
    assert str(errors.MalformedToken(hint="no dots")) == "malformed_token: no dots"
    assert errors.TooManyRequests(7).retry_after == 7
    assert errors.IntrospectionUnavailable(retry_after=9).retry_after == 9
    assert errors.TokenExpired("exp").claim == "exp"


def test_problems_are_told_all_at_once():
    one = errors.ConfigurationError([("rules[3].scopes", "is text")])
    assert str(one) == "rules[3].scopes: is text"
    assert str(errors.ConfigurationError("no place")) == "no place"
    two = errors.ConfigurationError([("a", "x"), ("", "y")])
    assert str(two) == "2 problems\n  a: x\n  y"
    assert two.problems == (("a", "x"), ("", "y"))
