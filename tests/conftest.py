"""The last lines of a run say how many of the shared vectors ran (see tests.shared)."""

from collections import Counter
from importlib.util import find_spec
from typing import Any

PREFIX = "vectors: "

# It takes the checkers, which the environment of scripts/check has; that script runs it.
collect_ignore = [] if find_spec("mypy") and find_spec("pyright") else ["test_typing.py"]


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--door", metavar="MODULE:NAME", help="for tests/test_own_door.py")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed", "xfailed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, number in getattr(report, "user_properties", ()):
                if name.startswith(PREFIX):
                    ran[name.removeprefix(PREFIX)] += number
    if ran:
        terminalreporter.section("shared vectors")
    for name, number in sorted(ran.items()):
        terminalreporter.line(f"{number} x {name}")
