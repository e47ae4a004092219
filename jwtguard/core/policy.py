"""Rules: which paths and methods, which credentials, issuers and requirements."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Literal, Unpack

from .candidates import Candidates
from .errors import AmbiguousTarget, Problem
from .extractor import Bearer, FromSession, Place, as_places
from .grammar import is_token
from .model import Request
from .paths import OpaqueTail, Pattern, Router, check_target, is_unambiguous
from .rates import Rate, as_limits
from .reporting import ReportUntil
from .requirement import REQUIREMENT_WORDS, Requirement, RequirementWords
from .wording import as_list, did_you_mean, one_of


def is_https_word(value: object) -> bool:
    """Whether *value* is one of HTTPS (0 is not False here)."""
    return value is False or (isinstance(value, str) and value in HTTPS)


Access = Literal["protected", "optional", "public"]
ACCESS = ("protected", "optional", "public")
HTTPS = (False, "refuse", "redirect")


_OWN_WORDS = frozenset(
    {"path", "access", "methods", "credentials", "issuers", "status", "login", "forward", "https"}
    | {"opaque_tail", "rate", "report_until"}
)


class Rule:
    """What it takes to reach some paths.

    - ``path``: a pattern or a list of them: ``/exact``, ``/one/*/segment``, ``/item/{id}``,
      ``/tree/**``. The first rule whose path and method match decides.
    - ``access``: "protected" (a valid token), "optional" (a valid token or none), "public"
      (credentials are not looked at).
    - ``methods``: the HTTP methods it is for; all where not given. GET covers HEAD.
    - ``credentials``: where the token may stand; ``["bearer"]`` where not given, and "session"
      too where the guard's ``login`` is a `jwtguard.Login`.
    - ``issuers``: names of the issuers whose tokens count; all where not given.
    - ``status``: 403 or 401 for a token that does not meet the requirement.
    - ``login``: where browsers are sent instead of a 401; False switches the guard's off.
    - ``forward``: request header -> claim, besides the guard's.
    - ``https``: "refuse", "redirect" or False instead of the guard's ``require_https``.
    - ``opaque_tail``: for a ``/tree/**`` that serves names of its own (files): encoded slashes,
      ``;``, ``?``, ``#`` and empty segments pass behind the prefix.
    - ``rate``: how often: ``"10/second"``, a table ``{"limit": …, "burst": …, "by": …}`` or a list
      of these; 429 beyond it. ``by`` is "address", ``"claim:NAME"`` or a JSON Pointer.
    - ``report_until``: a date, at most 90 days ahead: before it, what this rule refuses is logged
      and reaches the app as anonymous. False: enforced, whatever the guard's says.
    - the words of `Requirement`: ``scopes any_scope roles any_role require check``.

    Problems are reported by `Guard`, all at once.
    """

    def __init__(
        self,
        path: str | Sequence[str],
        *,
        access: Literal["protected", "optional", "public"] = "protected",
        methods: str | Iterable[str] | None = None,
        credentials: Any = None,
        issuers: str | Sequence[str] | None = None,
        status: Literal[401, 403] = 403,
        login: str | Literal[False] | None = None,
        forward: Mapping[str, str] | None = None,
        https: Literal[False, "refuse", "redirect"] | None = None,
        opaque_tail: bool = False,
        rate: Rate | None = None,
        report_until: ReportUntil | Literal[False] | None = None,
        **requirement: Unpack[RequirementWords],
    ) -> None:
        self.problems: list[Problem] = []
        self.path = path
        self.access = access
        self.patterns = self._read_patterns(path)
        self.methods = self._read_methods(methods)
        self.places: list[Place] = [Bearer()]
        self.names_credentials = credentials is not None
        if credentials is not None:
            self.places, problems = as_places(credentials)
            self.problems += problems
        self.issuers = None if issuers is None else tuple(as_list(issuers))
        self.status = status
        self.login = login
        self.forward: Any = {} if forward is None else forward
        self.https = https
        self.opaque_tail = opaque_tail
        self.rate = rate
        # Not by its number: rules come and go between processes that count together.
        place = " ".join((self.text, *sorted(self.methods or ())))
        self.limits, problems = as_limits(rate, place=place)
        self.problems += problems
        self.report_until = report_until
        words: dict[str, Any] = {**requirement}
        for word in words.keys() - REQUIREMENT_WORDS:
            hint = did_you_mean(word, [*REQUIREMENT_WORDS, *_OWN_WORDS])
            self.problems.append((word, f"is not a word of a rule{hint}"))
            del words[word]
        self.requirement = Requirement(**words)
        self.problems += self.requirement.problems
        self.problems += self._other_problems()

    def __repr__(self) -> str:
        return f"<Rule {self.text}>"

    @property
    def text(self) -> str:
        """The patterns, as logs show them."""
        return " ".join(pattern.text for pattern in self.patterns)

    @property
    def asks_more(self) -> bool:
        """Whether it asks for more than a valid token."""
        return bool(self.requirement) or self.issuers is not None

    def _read_patterns(self, path: object) -> list[Pattern]:
        patterns = []
        texts = as_list(path)
        for index, text in enumerate(texts):
            try:
                patterns.append(Pattern(text))
            except ValueError as error:
                where = "path" if isinstance(path, str) else f"path[{index}]"
                self.problems.append((where, str(error)))
        if not texts:
            self.problems.append(("path", "is empty; a rule is for a path or a list of paths"))
        return patterns

    def _read_methods(self, methods: object) -> frozenset[str] | None:
        if methods is None:
            return None
        names = as_list(methods)
        if not names:
            self.problems.append(("methods", "is empty; leave it out for all methods"))
        for name in names:
            if not isinstance(name, str) or not is_token(name):
                self.problems.append(("methods", f"{name!r} is not an HTTP method"))
                return None
        found = {name.upper() for name in names}
        # RFC 9110 section 9.3.2: HEAD is GET without the content.
        return frozenset(found | {"HEAD"} if "GET" in found else found)

    def _other_problems(self) -> Iterable[Problem]:
        if self.access not in ACCESS:
            yield "access", one_of(self.access, ACCESS)
        if self.access == "public" and self.requirement:
            yield (
                "access",
                "is 'public', so nobody's token is looked at; remove "
                f"{self.requirement} or make it 'protected'",
            )
        if self.access == "public" and any(limit.claim is not None for limit in self.limits):
            yield "rate", "counts by a claim, but on a 'public' rule nobody's token is looked at"
        if self.issuers is not None and not self.issuers:
            yield "issuers", "is empty; leave it out for all issuers"
        if type(self.status) is not int or self.status not in (401, 403):
            yield "status", f"is 401 or 403; found {self.status!r}"
        if self.https is not None and not is_https_word(self.https):
            yield "https", one_of(self.https, HTTPS)
        if not isinstance(self.opaque_tail, bool):
            yield "opaque_tail", f"is true or false; found {self.opaque_tail!r}"
        elif self.opaque_tail and not all(pattern.is_tree for pattern in self.patterns):
            yield "opaque_tail", "is for patterns that end in '/**'"
        for pattern in self.patterns:
            missing = self.requirement.parameter_names - set(pattern.names)
            for name in sorted(missing):
                yield "require", f"compares with the path's {{{name}}}, which {pattern.text} lacks"


class BoundRule:
    """A rule in its place in a guard, with everything about it worked out."""

    __slots__ = (
        "access",
        "ambient",
        "bearer_only",
        "candidates",
        "explicit",
        "forward",
        "https",
        "is_plain",
        "label",
        "limits",
        "login",
        "origin",
        "reads_authorization",
        "removed",
        "report_until",
        "requirement",
        "rule",
        "session",
        "variants",
    )

    def __init__(
        self,
        rule: Rule,
        index: int | None,
        candidates: Candidates,
        session: tuple[Place, Candidates] | None,
        forward: Mapping[str, str],
        login: str | None,
        https: Literal[False, "refuse", "redirect"],
        strip_credentials: bool,
        report_until: float | None = None,
    ) -> None:
        self.rule = rule
        self.access = rule.access
        # How logs name it: its number and patterns; the closing rule has no number.
        self.label = f"{'closing' if index is None else index}:{rule.text}"
        self.candidates = candidates
        # Where a session may stand, and who makes them: nobody else's tokens count there, and
        # theirs count nowhere else.
        self.session = session
        places = [place for place in rule.places if not isinstance(place, FromSession)]
        self.explicit = tuple(place for place in places if not place.ambient)
        self.ambient = tuple(place for place in places if place.ambient)
        self.reads_authorization = any(type(place) is Bearer for place in places)
        self.bearer_only = len(places) == 1 and self.reads_authorization
        places += [] if session is None else [session[0]]
        self.removed = tuple(place for place in places if place.always_removed or strip_credentials)
        self.requirement = rule.requirement or None
        self.forward = forward
        # A rule that answers 401 to a valid token must not send its bearer to log in again.
        self.login = None if rule.status == 401 else login
        self.https = https
        self.limits = rule.limits
        self.report_until = report_until  # seconds since the epoch; None: refusals are enforced
        # Whether all that counts is a token in Authorization, so that it can be recalled.
        self.is_plain = (
            rule.access != "public"
            and self.bearer_only
            and not self.removed
            and not https
            and not rule.limits
            and rule.requirement.is_static
        )
        self.origin = self
        """The rule itself, also of its variants: a token that met one of them met all."""
        self.variants: dict[Access, BoundRule] = {}

    @property
    def places(self) -> tuple[Place, ...]:
        """Everywhere that the rule looks for a token."""
        session = () if self.session is None else (self.session[0],)
        return (*self.explicit, *self.ambient, *session)

    def with_access(self, access: Access) -> "BoundRule":
        """The same rule with another ``access``, where code and not the rule says what it is."""
        if access == self.access:
            return self
        variant = self.variants.get(access)
        if variant is None:
            variant = copy(self)
            variant.access = access
            self.variants[access] = variant
        return variant

    def without_limits(self) -> "BoundRule":
        """The same rule, where nobody counts."""
        variant = copy(self)
        variant.limits = []
        return variant


class Entry:
    """A pattern of a rule, in the router."""

    __slots__ = ("bound", "methods", "order", "pattern")

    def __init__(self, order: int, bound: BoundRule, pattern: Pattern) -> None:
        self.order = order
        self.bound = bound
        self.pattern = pattern
        self.methods = bound.rule.methods


Route = tuple[BoundRule, Pattern | None, str]

MAX_KNOWN_TARGETS = 1024
MAX_KNOWN_TARGET = 256  # characters


class Policy:
    """Rules in order, closed by one that wants a valid token for everything else.

    ``uncovered`` stands for the closing rule where it refuses because of the method; ``metadata``
    and ``sign_in`` are before them all, for the paths that the guard ``serves`` itself.
    """

    __slots__ = (
        "_known",
        "_opaque",
        "closing",
        "metadata",
        "router",
        "rules",
        "serves",
        "sign_in",
        "uncovered",
    )

    def __init__(
        self,
        rules: Sequence[BoundRule],
        closing: BoundRule,
        uncovered: BoundRule,
        metadata: BoundRule,
        sign_in: BoundRule,
    ) -> None:
        self.rules = tuple(rules)
        self.closing = closing
        self.uncovered = uncovered
        self.metadata = metadata
        self.sign_in = sign_in
        self.serves: dict[str, BoundRule] = {}
        for bound in (metadata, sign_in):
            for pattern in bound.rule.patterns:
                self.serve(pattern.text, bound)
        self.router: Router[Entry] = Router()
        self._opaque: list[OpaqueTail] = []
        self._known: dict[tuple[str, str], Route] = {}
        for order, bound in enumerate(rules):
            for pattern in bound.rule.patterns:
                self.router.add(pattern, Entry(order, bound, pattern))
                if bound.rule.opaque_tail:
                    self._opaque.append(OpaqueTail(pattern))

    def serve(self, path: str, bound: BoundRule) -> None:
        """The guard answers at *path* itself, by *bound*."""
        self.serves[path] = self.serves[f"{path}/"] = bound

    @property
    def opened(self) -> list[str]:
        """What is open to everybody, as logs show it: public rules, and where people sign in."""
        public = [bound.rule.text for bound in self.rules if bound.access == "public"]
        return [*public, *([self.sign_in.rule.text] if self.sign_in.rule.patterns else [])]

    def recall(self, method: str, path: str, raw_path: str | None) -> Route | None:
        """What `route` found out about a plain target before."""
        # One spelling has one meaning: as it went over the wire, but for the query.
        if raw_path is None or raw_path == path or raw_path.partition("?")[0] == path:
            return self._known.get((method, path))
        return None

    def route(self, request: Request) -> Route:
        """The rule for a request, by which pattern, and the method as rules know it.

        Raises AmbiguousTarget (400) where target or method has more than one reading.
        """
        path, sent_as = request.path, request.method
        if request.websocket and sent_as == "CONNECT":
            sent_as = "GET"  # RFC 8441: how HTTP/2 asks for what was a GET with Upgrade
        known = self.recall(sent_as, path, request.raw_path)
        if known is not None:
            return known
        check_target(path, request.raw_path, self._opaque)
        if not is_token(sent_as):
            raise AmbiguousTarget("malformed_method", found=sent_as)
        method = sent_as.upper()
        route = (*self.choose(path, method), method)
        if (
            # Neither may be recalled: what is always refused, and what may be a preflight.
            route[0] is not self.uncovered
            and method != "OPTIONS"
            and len(path) + len(sent_as) <= MAX_KNOWN_TARGET
            and is_unambiguous(path)
        ):
            if len(self._known) >= MAX_KNOWN_TARGETS:
                self._known.clear()
            self._known[sent_as, path] = route
        return route

    def choose(self, path: str, method: str) -> tuple[BoundRule, Pattern | None]:
        """The first rule that matches, and by which pattern.

        Where rules name this path for other methods only and one of them asks for more than a
        valid token, that is `uncovered`: whoever wrote ``methods`` did not mean to open the rest.
        """
        if path in self.serves:
            return self.serves[path], None
        best: Entry | None = None
        passed_over = False
        for entry in self.router.find(path):
            if entry.methods is None or method in entry.methods:
                if best is None or entry.order < best.order:
                    best = entry
            elif entry.bound.rule.asks_more:
                passed_over = True
        if best is not None:
            return best.bound, best.pattern
        return (self.uncovered if passed_over else self.closing), None
