"""For the tests of this example: an issuer of their own in the place of the real one."""

import shutil
import sys
from pathlib import Path

import pytest

from jwtguard.testing import FakeIssuer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def idp():
    return FakeIssuer("https://login.example.com/", audience="https://notes.example.com/api")


@pytest.fixture(scope="session")
def config(idp, tmp_path_factory):
    """The folder of the configuration, with the fake issuer's key where the real one's would be."""
    folder = tmp_path_factory.mktemp("config")
    for name in ("jwtguard.toml", "gateway.toml"):
        shutil.copy(HERE / name, folder)
    (folder / "issuer.pub").write_text(idp.public_pem())
    return folder
