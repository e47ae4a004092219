"""`python -m benchmarks`: one table from one run. Its exit code says nothing about the figures."""

import argparse
import multiprocessing
import os
import platform
from collections.abc import Iterable, Sequence

from . import matching, memory, requests

SEEN_BUDGET = {"HS256": 1 / 12, "RS256": 1 / 20}
NEW_BUDGET = 1 / 4
MATCHING_BUDGET = 1.3
MEMORY_BUDGET = 4.0  # MiB between a full cache and the end: what an allocator moves about


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="What jwtguard costs, as ratios in one run."
    )
    parser.add_argument(
        "--rounds", type=int, default=120, help="rounds; each times every variant (%(default)s)"
    )
    parser.add_argument(
        "--batch", type=int, default=50, help="requests of a variant in a round (%(default)s)"
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=1_000_000,
        help="distinct tokens for the memory table; 0 leaves it out (%(default)s)",
    )
    given = parser.parse_args(arguments)
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"medians of {given.rounds} rounds of {given.batch} requests, in turn; times in us")

    rows = []
    print("\nadded time per request")
    heads = ("raw crypto", "seen token", "+new path", "new token", "PyJWT", "key loaded")
    print(f"{'':12}" + "".join(f"{head:>12}" for head in heads))
    for algorithm in requests.ALGORITHMS:
        for row in requests.measure(algorithm, given.rounds, given.batch):
            rows.append(row)
            figures = (row.raw, row.seen, row.elsewhere, row.new, row.peer, row.loaded)
            print(f"{row.door:6}{row.algorithm:6}" + "".join(f"{f:12.1f}" for f in figures))

    print("\nrule matching")
    print(f"{'rules':>12}{'choose':>12}{'ratio':>12}{'decide':>12}{'ratio':>12}")
    matched = matching.measure(matching.COUNTS, given.rounds, given.batch)
    first = matched[0]
    for one in matched:
        choose, decide = one.choose / first.choose, one.decide / first.decide
        print(
            f"{one.rules:12,}{one.choose:12.2f}{choose:12.2f}{one.decide:12.2f}{decide:12.2f}"
        )  # fmt: skip

    remembered = []
    if given.tokens:
        print("\nmemory, every token new")
        print(f"{'tokens':>12}{'remembered':>12}{'growth MiB':>12}")
        # A process of its own: nothing that was freed before hides what grows.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            remembered = pool.apply(memory.measure, (memory.marks(given.tokens),))
        for kept in remembered:
            print(f"{kept.tokens:12,}{kept.remembered:12,}{kept.growth:12.1f}")

    print("\nbudget" + f"{'found':>54}{'at most':>10}{'':8}{'key loaded':>10}")
    for line in [*_request_budget(rows), *_other_budget(matched, remembered)]:
        print(line)


def _request_budget(rows: Sequence[requests.Row]) -> Iterable[str]:
    for row in rows:
        if row.algorithm in SEEN_BUDGET:
            name = f"{row.door} {row.algorithm} seen token / PyJWT"
            yield _line(name, row.seen_ratio(row.peer), SEEN_BUDGET[row.algorithm]) + (
                f"{row.seen_ratio(row.loaded):14.3f}"
            )
    for row in rows:
        name = f"{row.door} {row.algorithm} new token / PyJWT, less raw crypto"
        yield _line(name, row.new_ratio(row.peer), NEW_BUDGET) + (
            f"{row.new_ratio(row.loaded):14.3f}"
        )


def _other_budget(
    matched: Sequence[matching.Row], remembered: Sequence[memory.Row]
) -> Iterable[str]:
    first, last = matched[0], matched[-1]
    sizes = f"{last.rules:,} rules / {first.rules:,} rules"
    yield _line(f"choosing the rule, {sizes}", last.choose / first.choose, MATCHING_BUDGET)
    yield _line(f"deciding, {sizes}", last.decide / first.decide, MATCHING_BUDGET)
    if remembered:
        grown = remembered[-1].growth - remembered[0].growth
        yield _line("memory after the cache was full, MiB", grown, MEMORY_BUDGET)


def _line(what: str, found: float, most: float) -> str:
    return f"{what:52}{found:8.3f}{most:10.3f}  {'pass' if found <= most else 'FAIL'}"


if __name__ == "__main__":
    main()
