"""``flask jwtguard …``: the commands of ``jwtguard`` that have a TARGET, here the app's guard."""

import sys
from functools import partial
from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

from jwtguard.core.errors import ConfigurationError

if TYPE_CHECKING:
    from .extension import Extension

_COMMANDS = {
    "check": "Find everything that is wrong with the guard and the routes of this app.",
    "explain": "Show the way of a request, step by step: METHOD PATH.",
    "verify": "Verify a token; its claims as JSON.",
    "routes": "List the routes of this app, the rule of each, and what is open.",
    "keys": "List the keys that each issuer has now.",
    "token": "Mint a token for development.",
}


def commands(extension: "Extension") -> AppGroup:
    """The group to add to the commands of the app."""
    group = AppGroup("jwtguard", help="Ask the guard of this app.")
    for name, text in _COMMANDS.items():
        words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="…")
        group.add_command(
            click.Command(
                name,
                context_settings={"ignore_unknown_options": True},
                callback=partial(_run, extension, name),
                params=[words],
                help=text,
                add_help_option=False,  # the command itself tells more
            )
        )
    return group


def _run(extension: "Extension", name: str, words: tuple[str, ...]) -> None:
    from jwtguard.cli import main
    from jwtguard.cli.output import write_problems

    try:
        if name == "check":
            extension.check_routes()
    except ConfigurationError as error:
        write_problems("problem", error.problems, sys.stderr)
        sys.exit(1)
    sys.exit(main([name, *words], extension.guard, extension.app))
