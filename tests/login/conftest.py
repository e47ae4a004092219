"""No log line of any test of a login holds a secret: a code, a token, a cookie, a verifier."""

import logging

import pytest

from . import people


class _Lines(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{self.format(record)} {vars(record)}")


@pytest.fixture(autouse=True)
def logged():
    """The lines that jwtguard logs, with all that their records hold."""
    logger, listening = logging.getLogger("jwtguard"), _Lines()
    before = logger.level
    people.UNTOLD.clear()
    logger.addHandler(listening)
    logger.setLevel(logging.DEBUG)
    yield listening.lines
    logger.setLevel(before)
    logger.removeHandler(listening)
    untold = {*people.UNTOLD, people.ACCESS_TOKEN, people.SECRET, people.CLIENT["client_secret"]}
    for line in listening.lines:
        assert [secret for secret in untold if secret in line] == []
        assert not line.startswith("unexpected ")
