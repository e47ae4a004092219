"""What users write type-checks: the files in `tests/typing`, by mypy --strict and pyright.

They are never run. `mistakes.py` holds what a checker has to find: each of its lines is marked,
and a mark that nothing answers to is an error, too.
"""

import subprocess
import sys
from pathlib import Path

import pytest

import jwtguard

ROOT = Path(__file__).parents[1]
FILES = sorted(Path(__file__).with_name("typing").glob("*.py"))

CHECKERS = {
    "mypy": ["--strict", "--no-error-summary"],
    "pyright": ["--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_what_users_write_type_checks(checker):
    done = subprocess.run(
        [sys.executable, "-m", checker, *CHECKERS[checker], *map(str, FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_use_every_exported_name():
    text = "\n".join(path.read_text("utf-8") for path in FILES)
    assert [name for name in jwtguard.__all__ if name not in text] == []


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "jwtguard" / "py.typed").exists()
