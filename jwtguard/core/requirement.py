"""What a verified token must say: one object for rules, decorators, dependencies and `verify`."""

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

from .claims import Claims, lookup
from .errors import AccessDenied, InsufficientScope, Problem
from .model import Request
from .token import VerifiedToken
from .wording import as_list, did_you_mean

log = logging.getLogger("jwtguard")

Check = Callable[[VerifiedToken, Request], object]
Parameters = Mapping[str, object]
Test = Callable[[Any, Parameters], bool]

MAX_MATCHED = 256  # characters that `matches` looks at; longer text fails

_ABSENT = object()


class RequirementWords(TypedDict, total=False):
    """The parameters of `Requirement`, for type checkers: what takes them as words says so."""

    scopes: str | Iterable[str]
    any_scope: str | Iterable[str]
    roles: str | Iterable[str]
    any_role: str | Iterable[str]
    require: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    check: Check | None


REQUIREMENT_WORDS = dict.fromkeys(RequirementWords.__annotations__)
"""The same names, in order."""


class Requirement:
    """What a token must have besides being valid.

    - ``scopes``, ``roles``: all of them; ``any_scope``, ``any_role``: one of them. A plain string
      is one value, except that scopes are split on spaces.
    - ``require``: claim name (or JSON Pointer) -> value, list of values, or operators. A list of
      such mappings means any one of them.
    - ``check``: ``check(token, request)``; only ``True`` allows.
    """

    __slots__ = (
        "_alternatives",
        "any_role",
        "any_scope",
        "check",
        "parameter_names",
        "problems",
        "require",
        "roles",
        "scopes",
    )

    def __init__(
        self,
        scopes: str | Iterable[str] = (),
        any_scope: str | Iterable[str] = (),
        roles: str | Iterable[str] = (),
        any_role: str | Iterable[str] = (),
        require: Mapping[str, Any] | Sequence[Mapping[str, Any]] = {},
        check: Check | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        self.parameter_names: set[str] = set()
        self.scopes = self._words("scopes", scopes, split=True)
        self.any_scope = self._words("any_scope", any_scope, split=True)
        self.roles = self._words("roles", roles)
        self.any_role = self._words("any_role", any_role)
        self.require = require
        self._alternatives = self._compile(require)
        self.check = check
        if check is not None and not callable(check):
            self.problems.append(("check", f"is a function (token, request); found {check!r}"))
        elif inspect.iscoroutinefunction(check) or inspect.iscoroutinefunction(
            getattr(check, "__call__", None)  # noqa: B004 - an object whose call is async
        ):
            self.problems.append(
                ("check", "is a coroutine function; a check is synchronous and asks nobody")
            )

    def __bool__(self) -> bool:
        """Whether it asks for anything more than a valid token."""
        return bool(
            self.scopes
            or self.any_scope
            or self.roles
            or self.any_role
            or self._alternatives
            or self.check
        )

    @property
    def is_static(self) -> bool:
        """Whether one token meets it always or never, whatever the request."""
        return self.check is None and not self.parameter_names

    def __repr__(self) -> str:
        words = [word for word in REQUIREMENT_WORDS if getattr(self, word)]
        said = [f"{word}={getattr(self, word)!r}" for word in words]
        return f"Requirement({', '.join(said)})"

    def authorize(
        self,
        token: VerifiedToken,
        request: Request,
        parameters: Parameters,
        status: int = 403,
    ) -> None:
        """Raises InsufficientScope, or AccessDenied with *status*."""
        if self.scopes and not token.scopes.issuperset(self.scopes):
            raise InsufficientScope(self.scopes, found=" ".join(sorted(token.scopes)))
        if self.any_scope and token.scopes.isdisjoint(self.any_scope):
            raise InsufficientScope(self.any_scope, found=" ".join(sorted(token.scopes)))
        if self.roles and not token.roles.issuperset(self.roles):
            raise _denied(status, "role_missing", sorted(token.roles), " and ".join(self.roles))
        if self.any_role and token.roles.isdisjoint(self.any_role):
            raise _denied(status, "role_missing", sorted(token.roles), " or ".join(self.any_role))
        if self._alternatives:
            self._check_claims(token, parameters, status)
        if self.check is not None:
            self._run_check(self.check, token, request, status)

    def _check_claims(self, token: VerifiedToken, parameters: Parameters, status: int) -> None:
        unmet = self.unmet(token.claims, parameters)
        if unmet is not None:
            name, value = unmet
            raise _denied(status, "requirement_not_met", value, name)

    def unmet(self, claims: Claims, parameters: Parameters) -> tuple[str, object] | None:
        """The first claim that fails a test of ``require``, with its value; None: all is met.

        Of several alternatives it is the first one's.
        """
        first: tuple[str, object] | None = None
        for alternative in self._alternatives:
            for name, test in alternative:
                value = lookup(claims, name, _ABSENT)
                if not test(value, parameters):
                    first = first or (name, None if value is _ABSENT else value)
                    break
            else:
                return None
        return first

    @staticmethod
    def _run_check(check: Check, token: VerifiedToken, request: Request, status: int) -> None:
        try:
            verdict = check(token, request)
        except Exception:
            log.exception("check %s raised; the request is refused", _name(check))
            raise _denied(403, "check_error", None, _name(check)) from None
        if verdict is True:
            return
        if inspect.iscoroutine(verdict):
            verdict.close()  # it would have been awaited by nobody
        raise _denied(status, "check_failed", verdict, _name(check))

    # --- start-up ---

    def _words(self, where: str, value: Any, *, split: bool = False) -> tuple[str, ...]:
        words = as_list(value)
        if split and isinstance(value, str):
            words = [word for word in value.split(" ") if word]
        if not words and value != ():
            self.problems.append((where, "is empty: it would ask for nothing; leave it out"))
        for word in words:
            if not isinstance(word, str) or not word:
                self.problems.append((where, f"is text or a list of text; found {word!r}"))
                return ()
            if split and (not word.isascii() or not word.isprintable() or set(word) & set(' "\\')):
                # RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
                self.problems.append((where, f"{word!r} is not a scope (RFC 6749 section 3.3)"))
                return ()
        return tuple(words)

    def _compile(self, require: Any) -> tuple[tuple[tuple[str, Test], ...], ...]:
        several = isinstance(require, Sequence) and not isinstance(require, str)
        mappings = list(require) if several else [require]
        if require == []:
            self.problems.append(("require", "is a list of no alternatives; leave it out"))
        alternatives = []
        for index, mapping in enumerate(mappings):
            where = f"require[{index}]" if several else "require"
            if not isinstance(mapping, Mapping):
                self.problems.append((where, f"is a mapping of claims; found {mapping!r}"))
            elif mapping:
                alternatives.append(tuple(self._tests(where, mapping)))
            elif several:
                self.problems.append((where, "is empty and would let every token through"))
        return tuple(alternatives)

    def _tests(self, where: str, mapping: Mapping[str, Any]) -> Iterable[tuple[str, Test]]:
        for name, wanted in mapping.items():
            if not isinstance(name, str) or not name:
                self.problems.append((where, f"{name!r} is not a claim name"))
                continue
            at = f"{where}.{name}"
            if isinstance(wanted, Mapping):
                if not wanted:
                    self.problems.append((at, f"is empty; the operators are {_LISTED}"))
                for operator, operand in wanted.items():
                    test = self._operator(at, operator, operand)
                    if test is not None:
                        yield name, test
                continue
            values = [None] if wanted is None else as_list(wanted)
            if not values or not all(_is_scalar(value) for value in values):
                self.problems.append((at, f"is a value or a list of values; found {wanted!r}"))
                continue
            yield name, _equals(values)

    def _operator(self, where: str, operator: object, operand: Any) -> Test | None:
        if operator == "path" and isinstance(operand, str):
            self.parameter_names.add(operand)
            return _path(operand)
        build = _OPERATORS.get(operator) if isinstance(operator, str) else None
        if build is None and operator != "path":
            hint = did_you_mean(operator, _WORDS)
            self.problems.append(
                (where, f"{operator!r} is no operator; the operators are {_LISTED}{hint}")
            )
            return None
        try:
            if build is None:
                raise ValueError("takes the name of a path parameter")
            return build(operand)
        except (ValueError, TypeError) as error:
            self.problems.append((f"{where}.{operator}", f"{error}; found {operand!r}"))
            return None


def _name(check: object) -> str:
    return getattr(check, "__qualname__", type(check).__name__)


def _denied(status: int, reason: str, found: object, want: str) -> AccessDenied:
    error = AccessDenied(reason, found=found, want=want)
    error.status = status
    return error


# --- comparing ----------------------------------------------------------------------------------


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(claim: object, wanted: object) -> bool:
    """Equal as JSON: ``1`` is ``1.0`` but not ``true``, and ``"1"`` is no number."""
    if isinstance(claim, bool) or isinstance(wanted, bool):
        return claim is wanted
    if _is_number(claim) and _is_number(wanted):
        return claim == wanted
    return type(claim) is type(wanted) and claim == wanted


def _is_one_of(claim: object, values: Sequence[object]) -> bool:
    """Whether a scalar claim, or an element of an array, is one of the values."""
    elements = claim if isinstance(claim, list) else [claim]
    return any(_same(element, value) for element in elements for value in values)


def _equals(values: Sequence[object]) -> Test:
    return lambda claim, _: claim is not _ABSENT and _is_one_of(claim, values)


def _path(name: str) -> Test:
    def test(claim: Any, parameters: Parameters) -> bool:
        # As text: a path has no types. The decimal text of an integer, but never of true.
        if name not in parameters:
            return False
        wanted = str(parameters[name])
        elements = claim if isinstance(claim, list) else [claim]
        return any(
            element == wanted if isinstance(element, str) else str(element) == wanted
            for element in elements
            if isinstance(element, str)
            or (isinstance(element, int) and element is not True and element is not False)
        )

    return test


def _number(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def build(operand: Any) -> Test:
        if not _is_number(operand):
            raise ValueError("takes a number")
        return lambda claim, _: _is_number(claim) and compare(claim, operand)

    return build


def _not_in(operand: Any) -> Test:
    values = as_list(operand)
    if not values or not all(_is_scalar(value) for value in values):
        raise ValueError("takes a value or a list of values")
    return lambda claim, _: (
        claim is not _ABSENT and not isinstance(claim, dict) and not _is_one_of(claim, values)
    )


def _ne(operand: Any) -> Test:
    if not _is_scalar(operand):
        raise ValueError("takes one value; use not_in for several")
    return _not_in([operand])


def _all(operand: Any) -> Test:
    values = as_list(operand)
    if not values or not all(_is_scalar(value) for value in values):
        raise ValueError("takes a list of values that the array must hold")
    return lambda claim, _: (
        isinstance(claim, list) and all(_is_one_of(claim, [value]) for value in values)
    )


def _matches(operand: Any) -> Test:
    if not isinstance(operand, str):
        raise ValueError("takes a regular expression")
    try:
        fullmatch = re.compile(operand).fullmatch
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from None
    return lambda claim, _: (
        isinstance(claim, str) and len(claim) <= MAX_MATCHED and fullmatch(claim) is not None
    )


def _exists(operand: Any) -> Test:
    if not isinstance(operand, bool):
        raise ValueError("takes true or false")
    return lambda claim, _: (claim is not _ABSENT) is operand


_OPERATORS: dict[str, Callable[[Any], Test]] = {
    "gt": _number(lambda claim, operand: claim > operand),
    "gte": _number(lambda claim, operand: claim >= operand),
    "lt": _number(lambda claim, operand: claim < operand),
    "lte": _number(lambda claim, operand: claim <= operand),
    "ne": _ne,
    "not_in": _not_in,
    "all": _all,
    "matches": _matches,
    "exists": _exists,
}
_WORDS = [*_OPERATORS, "path"]
_LISTED = ", ".join(_WORDS)
