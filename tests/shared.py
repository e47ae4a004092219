"""Test vectors that lie beside the repository, and how many of them ran.

They are other projects' and are read where they are. Where the folder is absent, a test says so
and is skipped; where it is there, the last lines of a test run say how many vectors ran.
"""

import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[2] / "shared" / "vectors"


def load(name: str) -> Any:
    """The JSON of a vector file, or None where it is absent."""
    path = VECTORS / name
    return json.loads(path.read_text()) if path.exists() else None


def lines(name: str) -> list[str]:
    """The lines of a list, none where it is absent."""
    path = VECTORS / name
    return path.read_text().splitlines() if path.exists() else []


def absent(name: str) -> pytest.MarkDecorator:
    """Skips a test, with the reason, where a vector file is absent."""
    return pytest.mark.skipif(not (VECTORS / name).exists(), reason=f"no ../shared/vectors/{name}")


def count(record_property: Any, name: str, number: int = 1) -> None:
    """Say in the summary that *number* vectors of a file ran in this test."""
    record_property(f"vectors: {name}", number)
