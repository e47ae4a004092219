"""``jwtguard check``: everything that is wrong with a configuration, at once."""

import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from jwtguard import drive, transport
from jwtguard.config import Target, in_words_of, key_file_warnings, key_sources, load
from jwtguard.core.errors import (
    AuthError,
    ConfigurationError,
    FetchError,
    Problem,
    TokenInactive,
)
from jwtguard.guard import Guard
from jwtguard.revocations.following import Following

from .output import painted, printable, without_tokens, wrapped, write_problems
from .sources import fetch_keys, told


def find(target: Target) -> Guard:
    """The Guard that a command's TARGET names. Raises ConfigurationError."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # where `python -m` looks, the installed command does not
    return load(target)


def run(given: Namespace) -> int:
    """0 where the guard can be used, 1 with problems; warnings alone are 0."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    guard = None
    try:
        guard = find(given.target)
        said = {what for _, what in guard.warnings}
        files = [warning for warning in key_file_warnings(guard) if warning[1] not in said]
        switches = [("", said) for said in guard.switches]
        warnings = (*guard.warnings, *files, *switches)
        if given.online:
            problems = tuple(in_words_of(guard, problem) for problem in _outages(guard))
        elif _asks(guard) and find_spec("httpx2") is None:
            warnings = (*warnings, ("", transport.INSTALL))
    except ConfigurationError as error:
        problems = error.problems
    if given.json:
        report = {
            kind: [
                {"where": without_tokens(where), "what": without_tokens(what)}
                for where, what in found
            ]
            for kind, found in (("problems", problems), ("warnings", warnings))
        }
        print(json.dumps(report, indent=2))
        return 1 if problems else 0
    out = sys.stdout
    verdict = painted(
        f"{counted(len(problems), 'problem')}, {counted(len(warnings), 'warning')}",
        "red" if problems else "yellow" if warnings else "green",
        out,
    )
    print(f"{without_tokens(printable(str(given.target)))}: {verdict}")
    write_problems("problem", problems, out)
    write_problems("warning", warnings, out)
    if guard is not None:
        _describe(guard)
    return 1 if problems else 0


def _asks(guard: Guard) -> bool:
    """Whether anybody is asked over HTTP."""
    return guard.site is not None or any(
        issuer.fetches or issuer.introspection for issuer in guard.issuers
    )


def _outages(guard: Guard) -> Iterator[Problem]:
    """Fetch the keys and ask whoever else is asked; a problem for each that has nothing to give."""
    notes = fetch_keys(guard)
    for place, issuer, source in key_sources(guard):
        if source in notes and not source.current().keys:
            why = "; ".join(notes[source]) or "asked too short a time ago"
            yield place, f"the keys of issuer {issuer.name} cannot be had: {why}"
    for index, issuer in enumerate(guard.issuers):
        if issuer.introspection is not None:
            try:
                drive.run(issuer.introspection.ask(NOBODYS), transport.shared().fetch)
            except TokenInactive:  # so the server answered, and this client may ask
                continue
            except AuthError as error:
                yield f"issuers[{index}].introspection", f"it does not work: {error.hint}"
            else:
                yield (
                    f"issuers[{index}].introspection",
                    "it says of any text that it is an active token; nobody must trust it",
                )
    if guard.site is not None:
        with told("jwtguard.login") as said:
            drive.run(guard.site.warm(), transport.shared().fetch)
        yield from (("login.issuer", what) for what in said)
    if isinstance(guard.revocations, Following):
        guard.revocations.warm()
        if math.isinf(guard.revocations.age):
            yield "revocations", f"nothing was heard of {guard.revocations.source}"
    if guard.store is not None:
        try:
            guard.store.get(NOBODYS)
        except FetchError as error:
            yield "store", f"it does not answer: {error}"


NOBODYS = "jwtguard-check-is-no-token"


def counted(number: int, noun: str) -> str:
    """As in "no keys", "1 key", "2 keys"."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _describe(guard: Guard) -> None:
    """What a reader should know of a guard that is all right."""
    rules = guard.policy.rules
    optional = [bound.rule.text for bound in rules if bound.access == "optional"]
    names = ", ".join(issuer.name for issuer in guard.issuers) or "none"
    print(f"issuers: {names}; rules: {len(rules)}")
    if guard.site is not None:
        print(wrapped(f"people sign in at {guard.site.idp}"))
    print(wrapped(f"open to everybody: {' '.join(guard.policy.opened) or 'nothing'}"))
    if optional:
        print(wrapped(f"open, but a token that is sent must be good: {' '.join(optional)}"))
    print("everything else needs a valid token")
    if hint := preflight_hint(guard):
        print(wrapped(f"hint: {hint}"))


def preflight_hint(guard: Guard) -> str | None:
    """Other sites may call, and nobody answers their preflights unless CORS stands in front."""
    if not guard.origins or guard.preflight != "judge":
        return None
    return (
        "CORS preflights carry no token and are judged like any request; where the app answers "
        "them itself, put its CORS middleware in front of the guard, or set "
        'preflight = "answer"'
    )
