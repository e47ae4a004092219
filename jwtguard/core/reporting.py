"""Report-only: until when refusals are logged and not enforced.

A request that would have been refused reaches the app as it would on a public path: nobody is
authenticated, and the headers that the guard sets are removed. From the date on it is refused,
which takes no restart.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from .errors import Problem
from .model import Clock

if TYPE_CHECKING:
    from .policy import Rule

ReportUntil = date | datetime | str
"""A date (its first moment, in UTC), a date with a time (UTC where it names no zone), or either as
ISO 8601 text."""

MAX_DAYS = 90
_DAY = 86_400


def moment_of(value: object) -> float:
    """A `ReportUntil` in seconds since the epoch. Raises ValueError, TypeError, OverflowError."""
    if isinstance(value, str):
        text = value.strip()
        value = datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text)
    if not isinstance(value, date):
        raise TypeError
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def shown(moment: float) -> str:
    """A date where it is the first moment of one, else with its time."""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{at:%Y-%m-%d}" if at.time() == time() else f"{at:%Y-%m-%d %H:%M} UTC"


class Reporting:
    """What ``report_until`` of a guard and of its rules come to, in seconds since the epoch.

    None: refusals are enforced. ``by_default`` is for rules that do not say, and for what no rule
    names. ``by_all`` is for a request whose rule cannot be told: it may be any, so it is reported
    only for as long as all of them report.
    """

    def __init__(self, given: object, rules: Sequence["Rule"], clock: Clock) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._clock = clock
        others = " ".join(rule.text for rule in rules if rule.report_until is None)
        names = f"{others} and what no rule names" if others else "what no rule names"
        self.by_default = self._read("report_until", given, names)
        self._own: dict[Rule, float | None] = {}
        for index, rule in enumerate(rules):
            value = rule.report_until
            if value is False:
                self._own[rule] = None
            elif value is not None:
                self._own[rule] = self._read(f"rules[{index}].report_until", value, rule.text)
        ends = [self.by_default, *self._own.values()]
        self.by_all = None if None in ends else min(end for end in ends if end is not None)

    def by(self, rule: "Rule") -> float | None:
        """Until when the refusals of *rule* are only reported."""
        return self._own.get(rule, self.by_default)

    def _read(self, where: str, value: object, names: str) -> float | None:
        if value is None:
            return None
        try:
            moment = moment_of(value)
        except (ValueError, TypeError, OverflowError):
            what = "is a date such as 2027-01-31, or a date with a time in ISO 8601"
            self.problems.append((where, f"{what}; found {value!r}"))
            return None
        if not callable(self._clock):  # a problem of its own
            return None
        ahead = moment - self._clock()
        if ahead > MAX_DAYS * _DAY:
            latest = shown((moment - ahead) // _DAY * _DAY + MAX_DAYS * _DAY)
            self.problems.append(
                (
                    where,
                    f"is {shown(moment)}; report-only ends within {MAX_DAYS} days, so write "
                    f"{latest} or earlier, and a later date when you know that it is needed",
                )
            )
        elif ahead <= 0:
            what = f"was {shown(moment)}: refusals are enforced since then, so take it out"
            self.warnings.append((where, what))
        else:
            self.warnings.append(
                (
                    where,
                    f"refuses nothing before {shown(moment)} ({names}): what will be refused from "
                    "then on is logged with enforced=false, and reaches the app as anonymous",
                )
            )
        return moment
