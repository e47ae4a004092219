"""For the tests of this example: an issuer of their own in the place of the real one."""

import shutil
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from jwtguard import from_toml
from jwtguard.testing import FakeIssuer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def idp():
    return FakeIssuer("https://login.example.com/", audience="https://parcels.example.com/api")


@pytest.fixture
def app(idp, tmp_path):
    import parcels

    shutil.copy(HERE / "jwtguard.toml", tmp_path)
    (tmp_path / "issuer.pub").write_text(idp.public_pem())
    return parcels.create_app(from_toml(tmp_path / "jwtguard.toml"))


@pytest.fixture
def client(app):
    with TestClient(app, base_url="https://parcels.example.com") as client:
        yield client
