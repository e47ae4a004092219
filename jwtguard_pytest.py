"""Fixtures for pytest, known wherever jwtguard is installed.

pytest loads this module in every run, with or without a test that cares. So it stands beside the
package and imports nothing of it before a fixture is asked for, and its names say whose they are.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jwtguard.testing import Clock, FakeIssuer


@pytest.fixture
def jwtguard_clock() -> "Clock":
    """A clock that stands still until the test moves it (`jwtguard.testing.Clock`)."""
    from jwtguard.testing import Clock

    return Clock()


@pytest.fixture
def jwtguard_issuer(jwtguard_clock: "Clock") -> "FakeIssuer":
    """An issuer for a guard made in the test: ``Guard([jwtguard_issuer.trusted()])``.

    Its time is that of ``jwtguard_clock``.
    """
    from jwtguard.testing import FakeIssuer

    return FakeIssuer(algorithm="ES256", clock=jwtguard_clock)
