"""``jwtguard dev``: a command in front of a development issuer."""

from argparse import Namespace


def run(given: Namespace) -> int:
    """The command's own exit code."""
    from jwtguard import dev  # nothing else of the commands comes near it

    return dev.main(given.file, given.words, given.public_url)
