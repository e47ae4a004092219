"""``jwtguard routes``: each route of an app, the rule that decides it, and what is open."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple

from jwtguard.core.paths import Pattern
from jwtguard.core.policy import BoundRule, Policy
from jwtguard.core.requirement import REQUIREMENT_WORDS
from jwtguard.requires import Said
from jwtguard.routes import Route, can_read, routes_of
from jwtguard.routes.patterns import covers, meets

from .checking import counted, find
from .output import WIDTH, Colour, WrongUse, painted, printable, wrapped, write_problems

# What a section is called, in the order they are printed: what is open comes first.
_SECTIONS = {
    "unguarded": "behind no guard: open, unless the app itself refuses",
    "public": "open to everybody",
    "partly": "may be open to everybody, depending on the path",
    "optional": "open, but a token that is sent must be good",
    "protected": "needs a valid token",
    "refused": "always refused",
}
_OPEN = ("unguarded", "public", "partly")


class Deciding(NamedTuple):
    """A rule, those of its patterns that a route meets, and what it does there."""

    bound: BoundRule
    label: str
    access: str


@dataclass(frozen=True)
class Row:
    """A route, for the methods that the same rules decide."""

    route: Route
    methods: tuple[str, ...]
    rules: tuple[Deciding, ...]
    access: str
    notes: tuple[str, ...]


def run(given: Namespace) -> int:
    """0, or 1 where a decorator guards nothing, or a route is open for want of a guard."""
    guard = find(given.target)
    app = _app(given.app) if isinstance(given.app, str) else given.app
    try:
        routes = list(routes_of(app))
    except Exception as error:
        raise WrongUse(
            f"{given.app}: its routes cannot be read: {type(error).__name__}: {error}"
        ) from error
    if not can_read(app):
        raise WrongUse(
            f"{given.app} is a {type(app).__name__}, whose routes are not known here; "
            "name a Flask, Quart, Django, Starlette, FastAPI or Litestar app, or what wraps one"
        )
    is_guarded = any(route.guarded for route in routes)
    rows = sorted(
        (row for route in routes for row in _rows(guard.policy, route)),
        key=lambda row: ([*_SECTIONS].index(row.access), row.route.text),
    )
    problems = list(dict.fromkeys(_problems(rows, is_guarded)))
    if not is_guarded and any(row.access == "unguarded" for row in rows):
        problems.insert(0, (given.app, _no_guard(app)))
    if given.json:
        report = {
            "guarded": is_guarded,
            "routes": [_as_json(row) for row in rows],
            "problems": [{"where": where, "what": what} for where, what in problems],
        }
        print(json.dumps(report, indent=2))
    else:
        _print(given.app, rows, is_guarded)
        write_problems("problem", problems, sys.stdout)
    return 1 if problems else 0


def _app(target: str) -> object:
    """What ``module:app`` names; ``module:make()`` is called."""
    name = target.removesuffix("()")
    if ":" not in name:
        raise WrongUse("--app takes module:app, or module:make_app() for a function to call")
    try:
        found = resolve_name(name)
        return found() if target.endswith("()") else found
    except Exception as error:  # whatever a module of the user's may raise
        raise WrongUse(
            f"--app {target}: {type(error).__name__}: {printable(str(error))}"
        ) from error


# --- which rule ---------------------------------------------------------------------------------

_OTHER = "other methods"


def _rows(policy: Policy, route: Route) -> Iterator[Row]:
    """The route, once for each set of rules that may decide it."""
    named = {method for bound in policy.rules for method in bound.rule.methods or ()}
    methods = route.methods or (*sorted(named), _OTHER)
    groups: dict[tuple[Deciding, ...], list[str]] = {}
    for method in methods:
        groups.setdefault(_deciding(policy, route, method), []).append(method)
    for rules, known in groups.items():
        shown = tuple(method for method in known if method != "HEAD" or "GET" not in known)
        if route.websocket:
            shown = ("websocket",)
        elif not route.methods and len(groups) == 1:
            shown = ()
        if route.guarded:
            access, notes = _access(policy, route, rules)
        else:
            access, notes = "protected" if _asks(route) else "unguarded", []
        yield Row(route, shown, rules, access, tuple(filter(None, (route.note, *notes))))


def _deciding(policy: Policy, route: Route, method: str) -> tuple[Deciding, ...]:
    """What may decide a path of *route*, in order; one thing where it decides them all.

    See `Policy.choose`.
    """
    if route.pattern.text in policy.serves:
        return (Deciding(policy.serves[route.pattern.text], route.pattern.text, "public"),)
    found: list[Deciding] = []
    passed_over: list[Pattern] = []
    for bound in policy.rules:
        near = [one for one in bound.rule.patterns if meets(one, route.pattern, route.parts)]
        if not near:
            continue
        if bound.rule.methods is None or method in bound.rule.methods:
            number = bound.label.partition(":")[0]
            texts = " ".join(one.text for one in near)
            found.append(Deciding(bound, f"{number}:{texts}", bound.access))
            if any(covers(one, route.pattern) for one in near):
                return tuple(found)
        elif bound.rule.asks_more:
            passed_over += near
    if not any(covers(one, route.pattern) for one in passed_over):
        found.append(Deciding(policy.closing, policy.closing.label, "protected"))
    if passed_over:
        found.append(Deciding(policy.uncovered, policy.uncovered.label, "refused"))
    return tuple(found)


def _asks(route: Route) -> bool:
    """Whether its view wants a token; without a guard in front that is all it goes by."""
    return any(said != "public" for said in route.said)


def _access(policy: Policy, route: Route, rules: Sequence[Deciding]) -> tuple[str, list[str]]:
    """The section a route belongs to, and what a reader should know of it."""
    bounds = [deciding.bound for deciding in rules]
    if policy.metadata in bounds:
        return "refused", ["the guard itself answers here, and the app is not asked"]
    notes = []
    kinds = {deciding.access for deciding in rules}
    if "public" in route.said:
        if policy.closing in bounds:
            kinds = {_opened(policy, deciding) for deciding in rules}
        else:
            notes.append("it opens nothing: a rule decides")
    if _asks(route):
        if "public" in kinds:
            notes.append(
                "a public rule reads no token: nobody meets this there, unless it reads one itself"
            )
        kinds = {"protected" if kind != "refused" else kind for kind in kinds}
    if kinds == {"refused"}:
        notes.append("its rules are for other methods, and the closing rule refuses")
    if len(kinds) == 1:
        return kinds.pop(), notes
    if "public" in kinds:
        return "partly", notes
    return "optional" if "optional" in kinds else "protected", notes


def _opened(policy: Policy, deciding: Deciding) -> str:
    """``public`` opens a view where no rule of the user's decides."""
    return "public" if deciding.bound is policy.closing else deciding.access


# --- what is printed ----------------------------------------------------------------------------

_ABOVE = (
    "stands in the app with @requires(…) above the route, where it guards nothing; put it below, "
    "next to the function"
)
_UNGUARDED = (
    "is behind no guard, though other routes of the app are; put the guard around all of it"
)
_NO_GUARD = (
    "has no guard in front: no rule is used, and what is listed as behind no guard is open. Put "
    "the guard there by {door}; where another module does so, name what that one makes and the "
    "server runs, such as --app wsgi:app"
)
_DOORS = {
    "flask": "JWTGuard(app, guard) of jwtguard.flask",
    "quart": "JWTGuard(app, guard) of jwtguard.quart",
    "django": "GuardMiddleware of jwtguard.django in MIDDLEWARE",
    "fastapi": "install(app, guard) of jwtguard.fastapi",
    "starlette": "install(app, guard) of jwtguard.starlette",
    "litestar": "install(app, guard) of jwtguard.litestar",
}


def _no_guard(app: object) -> str:
    """What to do where no guard stands in front of *app*."""
    packages = (base.__module__.partition(".")[0] for base in type(app).__mro__)
    doors = (_DOORS[package] for package in packages if package in _DOORS)
    door = next(doors, "GuardMiddleware(app, guard) of jwtguard.wsgi or jwtguard.asgi")
    return _NO_GUARD.format(door=door)


def _problems(rows: Iterable[Row], is_guarded: bool) -> Iterator[tuple[str, str]]:
    for row in rows:
        for view in row.route.passed:
            yield row.route.text, f"{view} {_ABOVE}"
        if is_guarded and row.access == "unguarded":
            yield row.route.text, _UNGUARDED


def words_of(said: Said) -> str:
    """What a view says of itself, as its author wrote it."""
    if said == "public":
        return "@public"
    words = []
    for word in REQUIREMENT_WORDS:
        value = getattr(said, word)
        if word == "check" and value is not None:
            words.append(f"check {getattr(value, '__qualname__', '…')}")
        elif value:
            text = json.dumps(value, default=str) if word == "require" else ", ".join(value)
            words.append(f"{word} {text}")
    return f"requires {'; '.join(words) or 'a valid token'}"


def _print(app: str, rows: Sequence[Row], is_guarded: bool) -> None:
    out = sys.stdout
    opened = sum(row.access in _OPEN for row in rows)
    count = painted(f"{opened or 'none'} open to everybody", "red" if opened else "green", out)
    print(f"{app}: {counted(len({row.route for row in rows}), 'route')}, {count}")
    if not is_guarded:
        print(f"note: no guard stands in front of {app}")
    for access, title in _SECTIONS.items():
        section = [row for row in rows if row.access == access]
        if section:
            colour: Colour = "red" if access in _OPEN else "bold"
            print(painted(title, colour, out))
            _print_section(section, is_guarded)


def _print_section(rows: Sequence[Row], is_guarded: bool) -> None:
    methods = [" ".join(row.methods) or "any method" for row in rows]
    wide = min(max(map(len, methods)), 16)
    long = min(max(len(row.route.text) for row in rows), 36)
    for row, method in zip(rows, methods, strict=True):
        left = f"  {method:<{wide}}  {printable(row.route.text):<{long}}  "
        rules = printable(" or ".join(map(_label, row.rules)))
        if len(row.rules) > 1:
            rules = f"depends on the path: {rules}"
        if row.access == "unguarded":  # rules see the paths of what the guard stands in front of
            rules = "" if is_guarded else f"not used: {rules}"
        if len(left + rules) > WIDTH:
            left, rules = f"{left.rstrip()}\n", wrapped(rules, wide + 6)
        print((left + rules).rstrip())
        for fact in (*map(words_of, row.route.said), *row.notes):
            print(wrapped(printable(fact), wide + 6))


def _label(deciding: Deciding) -> str:
    access = deciding.access
    return deciding.label if access == "protected" else f"{deciding.label} ({access})"


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "route": row.route.text,
        "pattern": row.route.pattern.text,
        "methods": list(row.methods) or None,
        "access": row.access,
        "rules": [deciding.label for deciding in row.rules],
        "said": [words_of(said) for said in row.route.said],
        "notes": list(row.notes),
        "passed": list(row.route.passed),
    }
