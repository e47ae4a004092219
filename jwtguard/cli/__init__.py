"""The command ``jwtguard``. Exit codes: 0 yes, 1 no, 2 wrong use."""

import argparse
import importlib
import logging
import sys
from difflib import get_close_matches
from typing import NoReturn

from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.core.errors import ConfigurationError
from jwtguard.guard import Guard

from . import checking, developing, explaining, keys, listing, revoking, routing, serving, tokens
from .output import WrongUse, complain, write_problems

TARGET = "a TOML file, or module:guard"


_log = logging.getLogger("jwtguard")
_SILENCE = logging.NullHandler()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise WrongUse(message)


def main(
    argv: list[str] | None = None, guard: Guard | None = None, app: object | None = None
) -> int:
    """Run a command with *argv* (by default the process's) and return its exit code.

    Where a *guard* is given, it stands for TARGET, which the words do not name then; an *app* for
    ``--app``.
    """
    words = sys.argv[1:] if argv is None else argv
    code: int
    try:
        if words[:1] == ["demo"]:  # it reads its own words
            code = importlib.import_module("jwtguard.demo").main(words[1:])
        else:
            ours, command = _until_dashes(words)
            given = _parser(guard, app).parse_args(ours, argparse.Namespace(words=command))
            _log.addHandler(_SILENCE)  # what the library would log is said by the commands
            code = given.run(given)
    except SystemExit as stop:  # argparse, after --help and --version
        return int(stop.code or 0)
    except ConfigurationError as error:
        write_problems("problem", error.problems, sys.stderr)
        return 2
    except WrongUse as error:
        complain(f"jwtguard: {error}")
        return 2
    return code


def _until_dashes(words: list[str]) -> tuple[list[str], list[str]]:
    """The words of ``dev``, and behind ``--`` those of its command."""
    if words[:1] != ["dev"] or "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser(guard: Guard | None, app: object | None) -> argparse.ArgumentParser:
    from jwtguard import __version__  # the package may still be on its way while it imports us

    parser = _Parser(
        prog="jwtguard",
        description="JWT authentication in front of any WSGI or ASGI app.",
        epilog="Exit codes: 0 yes, 1 no, 2 wrong use.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"jwtguard {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, allow_abbrev=False)

    def on_target(command: argparse.ArgumentParser) -> None:
        if guard is None:
            command.add_argument("target", metavar="TARGET", help=TARGET)
        else:
            command.set_defaults(target=guard)

    check = command("check", "Find everything that is wrong with a configuration.")
    on_target(check)
    check.add_argument("--json", action="store_true", help="problems and warnings as JSON")
    check.add_argument(
        "--online", action="store_true", help="fetch the keys too; without it nothing is fetched"
    )
    check.set_defaults(run=checking.run)

    explain = command("explain", "Show the way of a request, step by step.")
    on_target(explain)
    explain.add_argument("method", metavar="METHOD")
    explain.add_argument("path", metavar="PATH", help="as on the wire, percent-encoded")
    explain.add_argument("--token", metavar="T", help="sent as Authorization: Bearer T; - is stdin")
    explain.add_argument(
        "--header", metavar="'K: V'", action="append", default=[], help="may stand several times"
    )
    explain.add_argument("--json", action="store_true", help="the same as JSON")
    explain.set_defaults(run=explaining.run)

    verify = command("verify", "Verify a token; its claims as JSON.")
    on_target(verify)
    verify.add_argument("token", metavar="TOKEN", nargs="?", default="-", help="- is stdin")
    verify.set_defaults(run=tokens.verify)

    inspect = command("inspect", "Show what a token says, without verifying it.")
    inspect.add_argument("token", metavar="TOKEN", nargs="?", default="-", help="- is stdin")
    inspect.set_defaults(run=tokens.inspect)

    token = command("token", "Mint a token for development.")
    on_target(token)
    token.add_argument("--issuer", metavar="NAME", help="whose token; needed where several are")
    token.add_argument(
        "--key",
        metavar="FILE",
        help="private key, in PEM or a JWK; without it the issuer's own secret",
    )
    token.add_argument(
        "--kid", help="the key id; otherwise the JWK's, or the issuer's for this key"
    )
    token.add_argument("--sub", metavar="S", required=True, help="the subject")
    token.add_argument(
        "--claim",
        metavar="K=JSON",
        action="append",
        default=[],
        help="another claim; a bare word is text, null leaves the claim out",
    )
    token.add_argument(
        "--expires", metavar="SECONDS", type=int, default=3600, help="from now; 3600 by default"
    )
    token.set_defaults(run=tokens.token)

    listed = command("keys", "List the keys that each issuer has now; fetches them if need be.")
    on_target(listed)
    listed.add_argument("--json", action="store_true", help="the same as JSON")
    listed.set_defaults(run=listing.run)

    routes = command("routes", "List the routes of an app, the rule of each, and what is open.")
    on_target(routes)
    routes.add_argument(
        "--app",
        metavar="module:app",
        required=app is None,
        default=app,
        help="what the server runs; module:make_app() calls a function",
    )
    routes.add_argument("--json", action="store_true", help="the same as JSON")
    routes.set_defaults(run=routing.run)

    keygen = command("keygen", "Make a key: a pair in PEM, or a base64url secret for HS*.")
    keygen.add_argument(
        "algorithm",
        metavar="ALG",
        nargs="?",
        default="RS256",
        type=_algorithm,
        help="RS256 by default; " + ", ".join(ALGORITHMS),
    )
    keygen.add_argument(
        "--out", metavar="PREFIX", help="write PREFIX.key (mode 0600) and PREFIX.pub"
    )
    keygen.set_defaults(run=keys.keygen)

    revoke = command("revoke", "End tokens before their time, in all processes that share this.")
    on_target(revoke)
    named = revoke.add_mutually_exclusive_group(required=True)
    named.add_argument("--jti", metavar="ID", help="one token; needs --issuer")
    named.add_argument("--sid", metavar="ID", help="the tokens of a session")
    named.add_argument("--sub", metavar="S", help="the tokens of a subject issued before now")
    named.add_argument("--kid", metavar="ID", help="the tokens signed with a key")
    revoke.add_argument("--issuer", metavar="NAME", help="whose tokens; otherwise everybody's")
    revoke.add_argument(
        "--before", metavar="TIME", help="only tokens issued before, as 2027-01-15T08:00:00Z"
    )
    revoke.add_argument(
        "--for",
        dest="seconds",
        metavar="SECONDS",
        type=_positive,
        help="after which the last of these tokens has expired anyway",
    )
    revoke.set_defaults(run=revoking.run)

    dev = command("dev", "Run a command with a development issuer in place of the real ones.")
    dev.usage = "jwtguard dev [-h] [--public-url URL] FILE -- CMD ..."
    dev.add_argument("file", metavar="FILE", help="a TOML file; behind -- stands the command")
    dev.add_argument(
        "--public-url",
        metavar="URL",
        help="where the command listens, as browsers see it, instead of the file's public_url; "
        "with a [login], http://localhost:8000 where neither is on this machine",
    )
    dev.set_defaults(run=developing.run)

    serve = command("serve", "Answer the questions of a proxy: nginx, Caddy, Traefik, Envoy.")
    serve.add_argument(
        "target", metavar="FILE|DIR", help="a TOML file, or a directory of them, one per policy"
    )
    serve.add_argument("--port", metavar="N", type=int, help="instead of [server] port")
    serve.set_defaults(run=serving.run)

    command("demo", "Show a guarded app, as WSGI and as ASGI.")
    return parser


def _positive(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e10:
        raise argparse.ArgumentTypeError(f"is a number of seconds above 0; found {word!r}")
    return seconds


def _algorithm(word: str) -> str:
    if word in ALGORITHMS:
        return word
    close = get_close_matches(word.upper(), ALGORITHMS, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(ALGORITHMS)}"
    raise argparse.ArgumentTypeError(f"no such algorithm; {hint}")


__all__ = ["main"]
