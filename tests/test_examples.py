"""Each example starts with one command, and the requests it prints do what its README says.

What the examples promise in detail, their own tests show: ``python -m pytest examples``.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import curl

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))

# The command -> the statuses of the requests that it prints, in order.
COMMANDS = {
    "flask_app ./run": [200, 401, 200, 201, 200, 403, 200],
    "fastapi_app ./run": [200, 200, 401, 403, 201, 200, 404, 403, 200, 403, 200],
    "django_app ./run": [200, 401, 200, 403, 200, 200, 403, 200],
    "django_app ./run wsgi": [200, 401, 200, 403, 200, 200, 403, 200],
    "mcp_server ./run": [401, 200, 403, 200, 200, 200, 200],
}


def answers(process):
    """Send the printed requests, once all are there and the server listens."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        # What flask, uvicorn and runserver say when they are up.
        if any(word in line for word in ("Running on", "running on", "Quit the server")):
            break
    return [curl.send(line) for line in lines if line.startswith("curl ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_starts_with_one_command(command, tmp_path):
    name, *words = command.split()
    folder = shutil.copytree(
        ROOT / "examples" / name, tmp_path / name, ignore=shutil.ignore_patterns("issuer.*")
    )
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "PORT": str(port),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert [answer.status for answer in answers(process)] == COMMANDS[command]
    finally:
        process.kill()
        process.communicate()


def test_every_example_has_a_command_that_is_tried_here():
    assert {path.name for path in EXAMPLES} == {command.split()[0] for command in COMMANDS}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_has_tests_of_its_own(example):
    assert list(example.glob("test_*.py"))


# Row C1 of the reference system: each recipe is in an example.
RECIPES = {
    "open /health": ("flask_app", "`/health` is open"),
    "cookie for single-page apps": ("flask_app", "cookie for single-page apps"),
    "gateway that forwards claims": ("flask_app", "gateway that forwards claims"),
    "role-based areas": ("django_app", "an area for roles"),
    "RSA in production": ("django_app", "RSA in production"),
}


@pytest.mark.parametrize(("name", "text"), RECIPES.values(), ids=RECIPES)
def test_every_recipe_is_in_the_readme_of_an_example(name, text):
    assert text in (ROOT / "examples" / name / "README.md").read_text()
