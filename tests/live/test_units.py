"""The units of ``examples/deploy``, looked at by systemd's own tool."""

import os
import re
import shutil
import subprocess

import pytest

from .servers import ROOT

UNITS = sorted((ROOT / "examples" / "deploy").glob("*.service"))
EXPOSURE = 15  # tenths; systemd-analyze calls what is below 2 OK, and a service without a word 96


def analyze(*words):
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("JWTGUARD_LIVE") == "required":
            pytest.fail("systemd-analyze is not installed")
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(params=UNITS, ids=lambda unit: unit.name)
def unit(request, tmp_path):
    """With a program in the place of those that are not installed here."""
    text, count = re.subn(r"=/opt/\w+/bin/\w+", "=/bin/true", request.param.read_text())
    assert count == 2
    path = tmp_path / request.param.name
    path.write_text(text)
    return path


def test_there_are_units():
    assert [unit.name for unit in UNITS] == ["app.service", "jwtguard.service"]


def test_systemd_finds_nothing_wrong(unit):
    assert analyze("verify", str(unit)) == (0, "")


def test_systemd_says_what_is_wrong(unit):
    """So that the test above could fail."""
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=somewhat"))

    _, said = analyze("verify", str(unit))

    assert "somewhat" in said


def test_little_of_the_system_is_exposed(unit):
    status, said = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", str(unit))

    assert status == 0, said[-500:]
