"""``jwtguard dev FILE -- CMD``: a command, and an issuer whose tokens its guard takes.

The configuration that the command sees, by its environment alone, is FILE with the keys of this
run's issuer in place of every issuer's own. Only the command line leads here.
"""

import os
import shlex
import sys
import tempfile
from pathlib import Path

from jwtguard.cli.output import WrongUse
from jwtguard.config import VARIABLE, from_toml
from jwtguard.core.errors import ConfigurationError

from .derive import derive
from .issuer import DevIssuer
from .keys import make_keys, write_keys
from .pages import Pages
from .process import run_command
from .serve import listening, serving

__all__ = ["main"]


def main(file: str, command: list[str], public_url: str | None = None) -> int:
    """Run *command* with the derived configuration; its exit code.

    *public_url* is where it listens, as browsers see it.
    """
    if not command:
        raise WrongUse("dev takes a command: jwtguard dev jwtguard.toml -- flask run")
    with (
        tempfile.TemporaryDirectory(prefix="jwtguard-dev-") as name,  # mode 0700
        listening() as (sock, address),
    ):
        directory = Path(name)
        keys = make_keys()
        write_keys(keys, directory)
        derived = directory / "jwtguard.toml"
        notes = derive(Path(file), derived, address, public_url)
        try:
            issuer = DevIssuer(from_toml(derived), keys)
        except ConfigurationError as error:
            problems = [
                (f"{file}: {where}" if where else file, what) for where, what in error.problems
            ]
            raise ConfigurationError(problems) from None
        with serving(issuer, sock) as pages:
            for line in (*_introduction(issuer, address, derived), *_sign_in(pages), *notes):
                print(line, file=sys.stderr)
            sys.stderr.flush()
            return run_command(command, {**os.environ, VARIABLE: str(derived)})


def _sign_in(pages: Pages) -> list[str]:
    if pages.provider is None:
        return []
    return [f"jwtguard dev: open {pages.provider.origin}/ and sign in there as anybody"]


def _introduction(issuer: DevIssuer, address: str, derived: Path) -> list[str]:
    if not issuer.issuers:
        return []
    first = issuer.issuers[0]
    name = shlex.quote(first.name) if len(issuer.issuers) > 1 else None
    names = ", ".join(one.name for one in issuer.issuers)
    chosen = "" if name is None else f" -d issuer={name}"
    words = [] if name is None else ["--issuer", name]
    if (file := issuer.key_file(first)) is not None:
        words += ["--key", str(derived.parent / file)]
    return [
        f"jwtguard dev: {address}/ makes tokens of {names} for anybody on this machine",
        f"  curl -s {address}/token{chosen} -d sub=alice -d roles=admin -d scopes=read",
        f"  jwtguard token {' '.join([str(derived), *words])} --sub alice",
    ]
