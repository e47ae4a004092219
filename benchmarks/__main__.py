"""`python -m benchmarks`: one table from one run. Its exit code says nothing about the figures."""

import argparse
import logging
import multiprocessing
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import (
    frameworks,
    issuers,
    matching,
    memory,
    observing,
    outage,
    refresh,
    requests,
    stampede,
)

SEEN_BUDGET = {"HS256": 1 / 12, "RS256": 1 / 20}
NEW_BUDGET = 1 / 4
MATCHING_BUDGET = 1.3
MEMORY_BUDGET = 4.0  # MiB between a full cache and the end: what an allocator moves about
GAP_BUDGET = 50  # milliseconds that an event loop may be away from its other tasks
OUTAGE_BUDGET = {"p50": 1.1, "p99": 1.5}
WAIT_BUDGET = refresh.DELAY / 2 * 1000  # milliseconds: who waits for the provider takes twice that
BEGUN_BUDGET = 1.25  # once for each fetch; two threads may well begin together
ISSUERS_BUDGET = 1.2
FRAMEWORKS_BUDGET = 1 / 15
TELLING_BUDGET = 1.0  # microseconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="What jwtguard costs, as ratios in one run."
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=TABLES,
        metavar="TABLE",
        help=f"this table alone; may be repeated ({', '.join(TABLES)})",
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
    parser.add_argument(
        "--stampede",
        type=int,
        default=500,
        help="requests at once for the stampede table (%(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=10,
        help="for each of the tables outage and refresh (%(default)s)",
    )
    given = parser.parse_args(arguments)
    # Refusals and outages are logged as in service, and not shown.
    logging.getLogger("jwtguard").addHandler(logging.NullHandler())
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"medians of {given.rounds} rounds of {given.batch} requests, in turn; times in us")
    lines: list[str] = []
    for name, table in TABLES.items():
        if name in (given.only or TABLES):
            lines += table(given)
    print("\nbudget" + f"{'found':>54}{'at most':>10}{'':8}{'key loaded':>10}")
    for line in lines:
        print(line)


def _requests(given: argparse.Namespace) -> Iterable[str]:
    rows = []
    print("\nadded time per request")
    heads = ("raw crypto", "seen token", "+new path", "new token", "PyJWT", "key loaded")
    print(f"{'':12}" + "".join(f"{head:>12}" for head in heads))
    for algorithm in requests.ALGORITHMS:
        for row in requests.measure(algorithm, given.rounds, given.batch):
            rows.append(row)
            figures = (row.raw, row.seen, row.elsewhere, row.new, row.peer, row.loaded)
            print(f"{row.door:6}{row.algorithm:6}" + "".join(f"{f:12.1f}" for f in figures))
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


def _matching(given: argparse.Namespace) -> Iterable[str]:
    print("\nrule matching")
    print(f"{'rules':>12}{'choose':>12}{'ratio':>12}{'decide':>12}{'ratio':>12}")
    rows = matching.measure(matching.COUNTS, given.rounds, given.batch)
    first, last = rows[0], rows[-1]
    for one in rows:
        choose, decide = one.choose / first.choose, one.decide / first.decide
        print(
            f"{one.rules:12,}{one.choose:12.2f}{choose:12.2f}{one.decide:12.2f}{decide:12.2f}"
        )  # fmt: skip
    sizes = f"{last.rules:,} rules / {first.rules:,} rules"
    yield _line(f"choosing the rule, {sizes}", last.choose / first.choose, MATCHING_BUDGET)
    yield _line(f"deciding, {sizes}", last.decide / first.decide, MATCHING_BUDGET)


def _memory(given: argparse.Namespace) -> Iterable[str]:
    if not given.tokens:
        return
    print("\nmemory, every token new")
    print(f"{'tokens':>12}{'remembered':>12}{'growth MiB':>12}")
    # Nothing that was freed before hides what grows.
    rows = in_own_process(memory.measure, memory.marks(given.tokens))
    for kept in rows:
        print(f"{kept.tokens:12,}{kept.remembered:12,}{kept.growth:12.1f}")
    grown = rows[-1].growth - rows[0].growth
    yield _line("memory after the cache was full, MiB", grown, MEMORY_BUDGET)


def _stampede(given: argparse.Namespace) -> Iterable[str]:
    print(f"\nstampede of {given.stampede} requests, the worst of {stampede.RUNS} runs; ms")
    print(f"{'':24}{'fetches':>12}{'loop away':>12}{'of it busy':>12}{'slowest':>12}")
    # Only the first exchange of a process loads the HTTP client.
    rows = stampede.worst(
        [in_own_process(stampede.measure, given.stampede) for _ in range(stampede.RUNS)]
    )
    for row in rows:
        away = [f"{'-' if one is None else f'{one:.1f}':>12}" for one in (row.gap, row.busy)]
        print(f"{row.door:6}{row.what:18}{row.fetches:12}{''.join(away)}{row.slowest:12.1f}")
    cold = [row for row in rows if row.cold]
    for row in cold:
        yield _line(f"{row.door} stampede, {row.what}: fetches", row.fetches, 1)
    for row in cold:
        if row.gap is not None:
            yield _line(f"{row.door} stampede, {row.what}: loop away, ms", row.gap, GAP_BUDGET)


def _outage(given: argparse.Namespace) -> Iterable[str]:
    print("\nknown tokens while the provider")
    print(f"{'':30}{'p50':>12}{'ratio':>12}{'p99':>12}{'ratio':>12}{'attempts':>12}")
    normal: dict[str, outage.Row] = {}
    for row in outage.measure(given.seconds):
        base = normal.setdefault(row.door, row)
        p50, p99 = row.p50 / base.p50, row.p99 / base.p99
        print(
            f"{row.door:6}{row.provider:24}{row.p50:12.2f}{p50:12.2f}{row.p99:12.2f}{p99:12.2f}"
            f"{row.failed:12}"
        )
        if row is not base:
            name = f"{row.door} provider {row.provider} / normal"
            yield _line(f"{name}, p50", p50, OUTAGE_BUDGET["p50"])
            yield _line(f"{name}, p99", p99, OUTAGE_BUDGET["p99"])


def _refresh(given: argparse.Namespace) -> Iterable[str]:
    print(f"\nknown tokens while keys are refreshed, each time in {refresh.DELAY:g} s")
    print(f"{'':18}{'p50':>12}{'p99':>12}{'slowest':>12}{'fetches':>12}{'begun':>12}")
    for row in refresh.measure(given.seconds):
        what = "refreshing" if row.refreshing else "calm"
        print(
            f"{row.door:6}{what:12}{row.p50:12.2f}{row.p99:12.2f}{row.slowest:12.1f}"
            f"{row.fetches:12}{row.begun:12}"
        )
        if row.refreshing:
            slowest = row.slowest / 1000
            yield _line(f"{row.door} refreshing, slowest request, ms", slowest, WAIT_BUDGET)
            begun = row.begun / max(row.fetches, 1)
            yield _line(f"{row.door} refreshing, begun / fetches", begun, BEGUN_BUDGET)


def _issuers(given: argparse.Namespace) -> Iterable[str]:
    print("\nissuers, added time per request")
    print(f"{'':6}{'issuers':>12}{'seen token':>12}{'new token':>12}{'unknown iss':>12}")
    base: dict[str, issuers.Row] = {}
    for row in issuers.measure(issuers.COUNTS, given.rounds, given.batch):
        first = base.setdefault(row.algorithm, row)
        print(
            f"{row.algorithm:6}{row.issuers:12,}{row.seen:12.1f}{row.new:12.1f}{row.unknown:12.1f}"
        )
        if row is not first:
            sizes = f"{row.algorithm} {row.issuers:,} issuers / {first.issuers}"
            yield _line(f"{sizes}, seen token", row.seen / first.seen, ISSUERS_BUDGET)
            yield _line(f"{sizes}, new token", row.new / first.new, ISSUERS_BUDGET)
            yield _line(f"{sizes}, unknown iss", row.unknown / first.unknown, ISSUERS_BUDGET)


def _frameworks(given: argparse.Namespace) -> Iterable[str]:
    print("\nframeworks, added time per request")
    print(f"{'':49}{'app alone':>12}{'seen token':>12}   beside")
    for name in frameworks.FRAMEWORKS:
        for algorithm in frameworks.ALGORITHMS:
            # Of a framework's whole request, so fewer requests tell as much.
            found = in_own_process(
                frameworks.measure, name, algorithm, given.rounds, max(given.batch // 3, 1)
            )
            for row in found:
                what = f"{row.framework:13}{row.algorithm:6}{row.form:30}"
                peers = ", ".join(f"{peer} {took:.1f}" for peer, took in row.peers.items())
                print(f"{what:49}{row.alone:12.1f}{row.ours:12.1f}   {peers}")
                for peer, took in row.peers.items():
                    said = f"{row.framework} {row.algorithm} {row.form} / {peer}"
                    yield _line(said, row.ours / took, FRAMEWORKS_BUDGET)


def _observing(given: argparse.Namespace) -> Iterable[str]:
    print("\nobservers, added time per request with a known token")
    print(f"{'':12}{'nobody':>12}{'silent':>12}{'Prometheus':>12}{'OpenTelemetry':>15}")
    for row in observing.measure(given.rounds, given.batch):
        figures = f"{row.nobody:12.2f}{row.silent:12.2f}{row.prometheus:12.2f}{row.otel:15.2f}"
        print(f"{row.door:12}{figures}")
        told = row.prometheus - row.nobody
        yield _line(f"{row.door} telling Prometheus, us", told, TELLING_BUDGET)


TABLES: dict[str, Callable[[argparse.Namespace], Iterable[str]]] = {
    "requests": _requests,
    "matching": _matching,
    "memory": _memory,
    "stampede": _stampede,
    "outage": _outage,
    "refresh": _refresh,
    "issuers": _issuers,
    "frameworks": _frameworks,
    "observing": _observing,
}
"""Each prints itself and yields its lines of the budget."""


def in_own_process(measure: Callable[..., Any], *words: Any) -> Any:
    """What *measure* finds where nothing else ran before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, words)


def _line(what: str, found: float, most: float) -> str:
    return f"{what:52}{found:8.3f}{most:10.3f}  {'pass' if found <= most else 'FAIL'}"


if __name__ == "__main__":
    main()
