"""``/metrics``, where ``prometheus-client`` is installed (the extra ``[prometheus]``)."""

import os
from importlib.util import find_spec

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def exposition() -> tuple[str, bytes] | None:
    """Content type and text of everything that is counted; None where nothing is.

    With several workers prometheus-client adds them up over the files of a directory, which the
    variable PROMETHEUS_MULTIPROC_DIR names.
    """
    if find_spec("prometheus_client") is None:
        return None
    import prometheus_client
    from prometheus_client import multiprocess

    registry = prometheus_client.REGISTRY
    if MULTIPROCESS in os.environ:
        registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return prometheus_client.CONTENT_TYPE_LATEST, prometheus_client.generate_latest(registry)
