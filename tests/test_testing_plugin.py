"""The pytest plugin: what a test of a user's gets, and what everybody else does not."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jwtguard"

TEST = """
from jwtguard import Guard, errors
import pytest

def test_fixtures(jwtguard_issuer, jwtguard_clock):
    guard = Guard([jwtguard_issuer.trusted(leeway=0)], clock=jwtguard_clock)
    raw = jwtguard_issuer.token(expires=60)
    assert guard.verify(raw).subject == "alice"
    jwtguard_clock.advance(60)
    with pytest.raises(errors.TokenExpired):
        guard.verify(raw)
"""

LOADED = """
import sys

def test_loaded():
    assert "jwtguard_pytest" in sys.modules
    assert [name for name in sys.modules if name.partition(".")[0] == "jwtguard"] == []
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest over a test of a user's, outside of this repository."""

    def run(source):
        (tmp_path / "test_theirs.py").write_text(source)
        plugin = ["-p", "jwtguard_pytest", "-p", "no:cacheprovider", "-W", "error"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugin, "test_theirs.py"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_fixtures_work_in_a_users_test(run):
    done = run(TEST)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_run_that_uses_none_of_them_loads_nothing(run):
    done = run(LOADED)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_is_one_of_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"jwtguard_pytest": "jwtguard_pytest"}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert {path for path in wheel if not (ROOT / path).exists()} == set()
    assert "jwtguard_pytest.py" in wheel


def test_every_fixture_says_whose_it_is():
    tree = ast.parse((ROOT / "jwtguard_pytest.py").read_text("utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert names
    assert all(name.startswith("jwtguard_") for name in names)


def test_what_guards_an_app_loads_nothing_of_the_test_kit():
    doors = "jwtguard.wsgi, jwtguard.asgi, jwtguard.config, jwtguard.requires, jwtguard.transport"
    code = f"import sys, jwtguard, {doors}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()

    assert "jwtguard.wsgi" in loaded
    assert [name for name in loaded if name.startswith("jwtguard.testing")] == []


# Programs for development, which are no part of a guarded app.
MAY_USE_IT = {"testing", "demo", "dev", "cli"}


def test_only_programs_for_development_use_the_test_kit():
    users = set()
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = (
                [node.module or "", *(a.name for a in node.names)]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            if any("testing" in name.split(".") for name in names):
                users.add(part)

    assert users <= MAY_USE_IT
