"""Rule matching: the time must not grow with the number of rules."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jwtguard import Rule
from jwtguard.core.model import Allow, Request

from .stopwatch import Times, Variant, time_in_turn
from .traffic import Signer

COUNTS = (10, 1_000, 10_000)
_PER_KIND = 3  # rules of each kind that are asked for, the same number whatever the rules


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds for choosing the rule, and for the whole decision on a seen token."""

    rules: int
    choose: float
    decide: float


def rules_and_paths(count: int) -> tuple[list[Rule], list[bytes]]:
    """A third exact, a third trees, a third with {name}; and paths spread over them.

    A path for a tree or a name ends in ``%d``, to be filled in with a new number each time, as
    a guard remembers where usual paths lead.
    """
    patterns: list[str] = []
    paths: list[list[bytes]] = [[], [], []]
    for number in range(count):
        at = f"/area{number % 97}/part{number}"
        kind = number % 3
        patterns.append((f"{at}/list", f"{at}/**", f"{at}/{{item}}")[kind])
        paths[kind].append(f"{at}/{('list', 'a%d', '%d')[kind]}".encode())
    chosen = [kind[len(kind) * n // _PER_KIND] for kind in paths for n in range(_PER_KIND)]
    return [Rule(pattern, scopes="reports:read") for pattern in patterns], chosen


def measure(counts: tuple[int, ...], rounds: int, batch: int) -> list[Row]:
    """A row for each number of rules."""
    signer = Signer("HS256")
    token = signer.tokens(1)[0]
    numbers = itertools.count()
    variants = {"nothing": Variant(lambda n: [b""] * n, lambda _: None)}
    for count in counts:
        rules, paths = rules_and_paths(count)
        guard = signer.guard(rules)
        endless = itertools.cycle(paths)

        def fresh_paths(n: int, endless: Any = endless) -> list[str]:
            return [
                (path % next(numbers) if b"%d" in path else path).decode()
                for path in itertools.islice(endless, n)
            ]

        def fresh_requests(n: int, paths: Callable[[int], list[str]] = fresh_paths) -> Any:
            return [
                Request(
                    "GET", path, headers=[("authorization", (b"Bearer " + token).decode())]
                )
                for path in paths(n)
            ]  # fmt: skip

        def choose(path: str, guard: Any = guard) -> None:
            guard.policy.choose(path, "GET")

        def decide(request: Request, guard: Any = guard) -> None:
            assert isinstance(guard.decide(request), Allow)

        variants[f"choose {count}"] = Variant(fresh_paths, choose)
        variants[f"decide {count}"] = Variant(fresh_requests, decide)
    times: Times = time_in_turn(variants, rounds, batch)
    return [
        Row(count, *(times.added(f"{what} {count}", "nothing") for what in ("choose", "decide")))
        for count in counts
    ]
