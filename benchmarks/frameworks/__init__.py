"""Added time per request inside the frameworks, beside what their people use.

Each module has apps with one trivial view: bare, behind jwtguard, behind a peer; and the same with
a decorator, a dependency or an authentication class, among them one that does nothing.
"""

import importlib
import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import traffic
from benchmarks.stopwatch import Times, Variant, one_batch, time_in_turn
from benchmarks.traffic import Signer

ALGORITHMS = ("HS256", "RS256")
FRAMEWORKS = {
    "Flask": "flask",
    "Quart": "quart",
    "Django": "django",
    "Django async": "django_async",
    "DRF": "rest",
    "Starlette": "starlette",
    "FastAPI": "fastapi",
    "Litestar": "litestar",
}
"""The module of each, which brings settings that are global: each wants its own process."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """An app, and the app that does the same without a token."""

    app: str
    empty: str

    def added(self, times: Times) -> float:
        """Microseconds per request that the token takes."""
        return times.added(self.app, self.empty)


@dataclass(frozen=True, slots=True)
class Form:
    """A way to ask for a token, ours and those of the peers."""

    name: str
    ours: Beyond
    peers: Mapping[str, Beyond]


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds that a request with a token seen before takes longer than without a check."""

    framework: str
    algorithm: str
    form: str
    alone: float  # the whole request without it
    ours: float
    peers: Mapping[str, float]


def is_refused(request: Any, call: Any) -> bool:
    """Whether this is not answered by the view."""
    try:
        call(request)
    except Exception:  # other answers are an AssertionError; async Django wants a loop to log them
        return True
    return False


def variants(module: str, algorithm: str) -> dict[str, Variant]:
    """The apps of a framework, ready to be timed; every token was seen before."""
    logging.disable()
    framework = importlib.import_module(f"{__name__}.{module}")
    signer = Signer(algorithm)
    seen = signer.tokens(len(traffic.PATHS))
    found = {}
    for name, app in framework.apps(signer).items():
        pairs = zip(itertools.cycle(seen), itertools.cycle(traffic.PATHS), strict=False)
        found[name] = Variant(partial(_requests, framework.request, pairs), framework.caller(app))
        one_batch(found[name], len(seen))
    for form in framework.FORMS:
        for beyond in (form.ours, *form.peers.values()):
            forged = framework.request(seen[0][:-4] + b"AAAA", traffic.PATHS[0])
            assert is_refused(forged, found[beyond.app].call), f"{beyond.app} lets everybody in"
    return found


def _requests(request: Any, pairs: Iterator[tuple[bytes, bytes]], count: int) -> list[Any]:
    return [request(*pair) for pair in itertools.islice(pairs, count)]


def measure(name: str, algorithm: str, rounds: int, batch: int) -> list[Row]:
    """A row for each form; for a process of its own."""
    module = FRAMEWORKS[name]
    times = time_in_turn(variants(module, algorithm), rounds, batch)
    framework = importlib.import_module(f"{__name__}.{module}")
    return [
        Row(
            name,
            algorithm,
            form.name,
            times.whole(form.ours.empty),
            form.ours.added(times),
            {peer: beyond.added(times) for peer, beyond in form.peers.items()},
        )
        for form in framework.FORMS
    ]
