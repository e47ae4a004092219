"""``jwtguard serve``: the server that proxies ask."""

from argparse import Namespace
from pathlib import Path


def run(given: Namespace) -> int:
    """Until a signal ends it; 1 where it cannot listen."""
    from jwtguard.serve.run import serve  # nothing else of the commands comes near it

    return serve(Path(given.target), given.port)
