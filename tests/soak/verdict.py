"""What a record comes to."""

import platform
from collections.abc import Sequence
from dataclasses import astuple
from statistics import median

from .run import SOON, Record, Sample

SETTLED = 0.40  # of the time: from then on workers are no longer replaced, and caches are full
GROWTH = 4.0  # MiB, which is what an allocator moves about
LEAST = 60.0  # seconds that memory is watched before its growth says anything

Checks = dict[str, tuple[object, bool]]


def checks(record: Record) -> Checks:
    """By what was asked: what was found, and whether that is as it must be."""
    found: Checks = {}

    def zero(name: str, value: int) -> None:
        found[name] = (value, value == 0)

    def wrong(start: str) -> int:
        return sum(line.startswith(start) for line in record.wrong)

    zero("2xx without a valid token", wrong("2xx") + wrong("revoked"))
    zero("5xx other than 503", wrong("5xx"))
    zero("good tokens refused, other than 503", wrong("a good token"))
    zero(
        "the wrong user, or a forged header, before the app", wrong("somebody") + wrong("a public")
    )
    zero("anything else wrong", len(record.wrong) - sum(
        wrong(one) for one in ("2xx", "revoked", "5xx", "a good token", "somebody", "a public")
    ))  # fmt: skip
    zero("redirects of the provider that were followed", record.followed)
    zero("tracebacks and internal errors in the logs", record.tracebacks)
    zero("tokens in the logs", record.tokens_in_logs)
    zero("processes left over", len(record.left_over))
    slowest = max(record.effective, default=float("inf"))
    found[f"slowest revocation, at most {SOON:g} s"] = (f"{slowest:.3f} s", slowest <= SOON)
    grown = _growths(record)
    if grown:
        most = max(grown)
        found[f"memory of a worker, at most {GROWTH:g} MiB"] = (f"{most:+.2f} MiB", most <= GROWTH)
    return found


def figures(record: Record) -> dict[str, object]:
    """What there is to tell."""
    found: dict[str, object] = {
        "python": platform.python_version(),
        "seconds": f"{record.seconds:.0f}",
        "requests": f"{record.requests:,}, {record.requests / record.seconds:.0f} a second",
        "distinct tokens": f"{record.tokens:,}",
        "worker reloads, Redis outages": f"{record.reloads}, {record.redis_outages}",
        "questions to the provider": f"{record.asked.total():,}",
        "connections closed without an answer": dict(record.unanswered) or 0,
        "revocations": _times(record.effective),
        "revocations while Redis was away, or just back": _times(record.effective_later),
        "log lines": f"{record.lines:,}",
    }
    for server, waits in record.waits.items():
        found[f"{server}, a seen token"] = _times(waits)
    for server, seconds in record.cpu.items():
        each = seconds / max(1, record.answered[server]) * 1e6
        found[f"{server}, processor time"] = f"{each:,.0f} us for each of its requests"
    for server, workers in record.memory.items():
        for process, samples in workers.items():
            if len(samples) > 3:
                found[f"{server}, worker {process}"] = _memory(record, samples)
    for reason, count in record.reasons.most_common():
        found[f"refused by {reason}"] = f"{count:,}"
    for cause, count in record.unavailable.most_common():
        found[f"503 for a good token: {cause}"] = f"{count:,}"
    return found


def samples(record: Record) -> dict[str, dict[int, list[tuple[float, int, float]]]]:
    """Memory, as it was: seconds, tokens made by then, MiB."""
    return {
        server: {process: [astuple(one) for one in of[::5]] for process, of in workers.items()}
        for server, workers in record.memory.items()
    }


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    values = (median(ordered), p99, ordered[-1])
    p50, p99, most = (f"{value * 1000:,.1f}" for value in values)
    return f"{len(ordered):,}: median {p50} ms, p99 {p99} ms, slowest {most} ms"


def _watched(record: Record, samples: Sequence[Sample]) -> list[Sample]:
    """Those of a worker that was there from when things had settled to the end."""
    begun = record.seconds * SETTLED
    if record.seconds - begun < LEAST or samples[0].at > begun:
        return []
    if samples[-1].at < record.seconds * 0.95:
        return []
    return [one for one in samples if one.at >= begun]


def _growth(watched: Sequence[Sample]) -> float:
    quarter = len(watched) // 4
    first = median(one.mib for one in watched[:quarter])
    return median(one.mib for one in watched[-quarter:]) - first


def _growths(record: Record) -> list[float]:
    workers = [of for server in record.memory.values() for of in server.values()]
    watched = (_watched(record, samples) for samples in workers)
    return [_growth(one) for one in watched if len(one) > 8]


def _memory(record: Record, samples: Sequence[Sample]) -> str:
    said = (
        f"{samples[0].mib:.1f} to {samples[-1].mib:.1f} MiB, {samples[-1].at - samples[0].at:.0f} s"
    )
    watched = _watched(record, samples)
    if len(watched) > 8:
        said += f"; {_growth(watched):+.2f} MiB since it settled"
        said += f" ({_slope(watched):+.2f} KiB for 1,000 tokens of all)"
    return said


def _slope(watched: Sequence[Sample]) -> float:
    """KiB for each thousand tokens: least squares."""
    middle = sum(one.made for one in watched) / len(watched)
    average = sum(one.mib for one in watched) / len(watched)
    across = sum((one.made - middle) ** 2 for one in watched)
    along = sum((one.made - middle) * (one.mib - average) for one in watched)
    return along / across * 1024 * 1000 if across else 0.0
