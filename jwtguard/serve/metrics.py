"""``/metrics``, where the extra ``[prometheus]`` is installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory

SHARED = "PROMETHEUS_MULTIPROC_DIR"


def exposition() -> tuple[bytes, str] | None:
    """The text of everything that is counted, and its content type; None where nothing is."""
    try:
        observing = import_module("jwtguard.observe.prometheus")
    except ModuleNotFoundError:
        return None
    text: tuple[bytes, str] = observing.metrics_text()
    return text


@contextmanager
def added_up() -> Iterator[None]:
    """A directory over which the workers that are started meanwhile add their numbers up."""
    if SHARED in os.environ or find_spec("prometheus_client") is None:
        yield
        return
    with TemporaryDirectory(prefix="jwtguard-metrics-") as directory:
        os.environ[SHARED] = directory
        try:
            yield
        finally:
            del os.environ[SHARED]
