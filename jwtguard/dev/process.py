"""Running a command as if nothing stood in front of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import FrameType

from jwtguard.cli.output import WrongUse

_PASSED_ON = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
_OF_TERMINALS = {"SIGINT", "SIGQUIT"}


def run_command(command: list[str], environment: Mapping[str, str]) -> int:
    """Its exit code; 128 and the number of the signal that ended it, as shells have it.

    Signals are passed on to it. Raises WrongUse where it cannot be started.
    """
    early: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if process is None:
            early.append(number)
        elif signal.Signals(number).name not in _OF_TERMINALS or not _in_foreground():
            process.send_signal(number)  # asks first whether it still runs

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        try:
            process = subprocess.Popen(command, env=environment)  # noqa: S603 - the user's own
        except OSError as error:
            raise WrongUse(f"{command[0]}: {error.strerror or error}") from None
        for number in early:
            process.send_signal(number)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Whether a terminal has sent its signals to the command already, and not to us alone."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False
