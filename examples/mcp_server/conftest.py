"""For the tests of this example: an issuer of their own in the place of the real one."""

import shutil
import sys
from pathlib import Path

import pytest

from jwtguard import from_toml
from jwtguard.testing import FakeIssuer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def idp():
    return FakeIssuer("https://login.example.com/", audience="https://books.example.com/mcp")


@pytest.fixture
def app(idp, tmp_path):
    import shelf

    shutil.copy(HERE / "jwtguard.toml", tmp_path)
    (tmp_path / "issuer.pub").write_text(idp.public_pem())
    return shelf.create_app(from_toml(tmp_path / "jwtguard.toml"))
