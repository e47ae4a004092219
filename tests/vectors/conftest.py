"""Vectors of others, read where they lie: beside the repository, never copied into it."""

import json
from collections import Counter
from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"

_ran = pytest.StashKey[Counter]()


def read(name):
    """A file of vectors: parsed JSON, or lines of text; None where it is not there."""
    path = VECTORS / name
    if not path.exists():
        return None
    text = path.read_text("utf-8")
    return json.loads(text) if name.endswith(".json") else [t for t in text.split("\n") if t]


def pytest_generate_tests(metafunc):
    """A test marked ``vectors(file, cases)`` runs once per case that *cases* finds in the file."""
    marker = metafunc.definition.get_closest_marker("vectors")
    if marker is None:
        return
    name, cases = marker.args
    document = read(name)
    if document is None:
        why = pytest.mark.skip(reason=f"../shared/vectors/{name} is not here")
        metafunc.parametrize("vector", [pytest.param(None, marks=why)], ids=[name])
        return
    found = list(cases(document))
    assert found, f"{name} holds no vectors"
    metafunc.parametrize("vector", [case for _, case in found], ids=[str(i) for i, _ in found])


@pytest.fixture(autouse=True)
def _counted(request):
    """Count the vectors that really ran."""
    marker = request.node.get_closest_marker("vectors")
    yield
    if marker is not None:
        request.config.stash.setdefault(_ran, Counter())[marker.args[0]] += 1


def pytest_configure(config):
    config.addinivalue_line("markers", "vectors(file, cases): runs once per vector of a file")


def pytest_terminal_summary(terminalreporter, config):
    ran = config.stash.get(_ran, Counter())
    terminalreporter.section("vectors")
    terminalreporter.write_line(
        f"{sum(ran.values())} vectors of {len(ran)} files ran"
        if ran
        else "no vectors ran: ../shared/vectors is not here"
    )
    for name, count in sorted(ran.items()):
        terminalreporter.write_line(f"{count:6}  {name}")
