"""The door of docs/adapters.md: what it forgets, the contract table finds."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .contract import CASES
from .test_contract import check
from .test_own_door import PAGE, blocks, check_choice

ROOT = Path(__file__).parents[1]
SOURCES = dict(blocks(PAGE.read_text("utf-8")))
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "PATH": "",
    "PYTHONDONTWRITEBYTECODE": "1",
    "JWTGUARD_WITHOUT": os.environ.get("JWTGUARD_WITHOUT", ""),
}

# What is left out, or done wrong -> the lines of it.
FORGOTTEN = {
    "the raw target": ("        raw_path=request.target,\n", ""),
    "the query": ("        query=request.query,\n", ""),
    "the headers": ("        headers=request.headers,\n", ""),
    "the scheme": ("        scheme=request.scheme,\n", ""),
    "that it is a WebSocket": ("        websocket=request.websocket,\n", ""),
    "the mount": ("        mount=request.prefix,\n", ""),
    "to refuse": ("if isinstance(decision, Deny):", "if False:"),
    "the headers of a refusal": ("list(decision.headers), decision.body", "[], decision.body"),
    "the body of a refusal": ("list(decision.headers), decision.body", "list(decision.headers)"),
    "to publish the token": ('state["jwtguard.token"] = token', 'state["jwtguard.token"] = None'),
    "to publish variables": ("    state.update(allow.variables)\n", ""),
    "to remove headers": (
        'if name.lower().replace("_", "-") not in allow.remove',
        "if True",
    ),
    "other spellings of headers": ('.replace("_", "-") not in', " not in"),
    "to set headers": ("[*kept, *allow.set]", "kept"),
    "to replace the query": ("        request.query = allow.query\n", ""),
    "the guard's own headers": ("    response.headers += [pair", "    [pair"),
    "that the app's headers count": (" if pair[0].lower() not in given]", "]"),
    "the subprotocol": ("response.subprotocol or allow.subprotocol", "response.subprotocol"),
}


@pytest.fixture
def door(tmp_path, monkeypatch):
    """Makes the page's door with other text in the place of some."""

    def make(wanted="", instead=""):
        for name, source in SOURCES.items():
            if name == "tern_guard.py" and wanted:
                assert source.count(wanted) == 1
                source = source.replace(wanted, instead)
            (tmp_path / name).write_text(source)
            monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module("tern_door").door

    yield make
    for name in SOURCES:
        sys.modules.pop(Path(name).stem, None)


@pytest.mark.parametrize(("wanted", "instead"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_the_table_finds_a_door_that_forgets(wanted, instead, door, caplog):
    forgetful = door(wanted, instead)

    def fails(check, *given):
        try:
            check(*given)
        except Exception:  # an assertion, or a door that falls over
            return True
        return False

    assert fails(check_choice, forgetful) or any(
        fails(check, case, forgetful, caplog) for case in CASES.values()
    )


def test_the_table_runs_against_a_door_that_is_named(door, tmp_path):
    door()
    some = "HEAD or WebSocket"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", some),
            *("tests/test_own_door.py", "--door", "tern_door:door"),
        ],
        cwd=ROOT,
        env={**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_door_that_cannot_be_imported_is_an_error(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x"),
            *("tests/test_own_door.py", "--door", "nobodys:door"),
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "No module named 'nobodys'" in done.stdout
