"""Start-up: a guard's parameters, checked all at once, become what requests need."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from .browser import parse_origin
from .candidates import Candidates, Directory
from .challenge import ErrorBody
from .errors import Problem
from .extractor import FromQuery
from .grammar import is_quotable, is_token
from .issuer import Issuer
from .metadata import Resources, is_wanted
from .model import Clock, Pairs
from .paths import Pattern, is_unambiguous
from .policy import HTTPS, BoundRule, Policy, Rule, is_https_word
from .publish import UserName, forward_problems
from .wording import as_list, did_you_mean, one_of

Https = Literal[False, "refuse", "redirect"]
Preflight = Literal["judge", "answer", "pass"]
PREFLIGHT = ("judge", "answer", "pass")
VARIABLES = (None, "json", "plain")

BRANCHING_LEVELS = 6
"""Levels of the rules' tree with both a literal and a wildcard above which `check` warns."""

# Row B16 of what reverse proxies usually add; X-XSS-Protection 1 would open holes in old browsers.
SAFE_RESPONSE_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("X-XSS-Protection", "0"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
)


class Unset:
    """The default of a parameter where None means something else."""

    def __repr__(self) -> str:
        return "…"


UNSET = Unset()


@dataclass
class Parameters:
    """What a Guard was given, as it was given."""

    issuers: Sequence[Issuer]
    rules: Sequence[Rule]
    forward: Mapping[str, str]
    variables: Any
    realm: str | None
    origins: str | Sequence[str]
    public_url: str | None
    preflight: Any
    login: Any
    remote_user: Any
    strip_credentials: bool
    response_headers: Any
    require_https: Any
    error_body: ErrorBody | None
    protected_resource: Any
    cache_size: int
    clock: Clock


@dataclass
class Setup:
    """What a guard works with. ``problems`` is empty, or the guard must not exist."""

    given: Parameters
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        given = self.given
        self.issuers = self._of_type("issuers", Issuer, given.issuers)
        self.rules = self._of_type("rules", Rule, given.rules)
        for kind, things in (("issuers", self.issuers), ("rules", self.rules)):
            for index, thing in enumerate(things):
                self.problems += [(f"{kind}[{index}].{w}", what) for w, what in thing.problems]
        self._check_issuers()
        self.public_origin = self._read_public_url()
        self.origins = self._read_origins()
        self.user_name = self._read_remote_user()
        self.response_headers = self._read_response_headers()
        self._check_plain_parameters()
        self.problems += forward_problems("forward", given.forward)
        for index, rule in enumerate(self.rules):
            self.problems += forward_problems(f"rules[{index}].forward", rule.forward)
        self._bind()

    def _of_type(self, where: str, kind: type, things: Iterable[Any]) -> list[Any]:
        found = []
        for index, thing in enumerate(as_list(things)):
            if isinstance(thing, kind):
                found.append(thing)
            else:
                at = f"{where}[{index}]"
                self.problems.append((at, f"is a {kind.__name__}(…); found {_found(thing)}"))
        return found

    def _bind(self) -> None:
        given = self.given
        self.directory = Directory(issuer for issuer in self.issuers if not issuer.problems)
        self.forward_names = frozenset(
            str(name).lower()
            for forward in (given.forward, *(rule.forward for rule in self.rules))
            for name in _as_mapping(forward)
        )
        self.resources = Resources(
            given.protected_resource, self.public_origin, self.issuers, self.rules
        )
        self.problems += self.resources.problems
        self.warnings += self.resources.warnings
        bound = [self._bound(rule, index) for index, rule in enumerate(self.rules)]
        closing, uncovered = self._bound(Rule("/**"), None), self._bound(Rule("/**"), None)
        metadata = self._bound(Rule(self.resources.paths, access="public"), None)
        metadata.label = "protected_resource"
        self.policy = Policy(bound, closing, uncovered, metadata)
        everything = self.policy.router.covering(Pattern("/**"))
        if all(entry.methods is not None for entry in everything):
            fix = "close the list of rules with one for /** that names one of them"
            self.problems += self._two_introspecting("issuers", self.issuers, closing.rule, fix)
        self.problems += self._unreachable()
        self.problems += self._shared_tails()
        self.problems += self._login_problems()
        self.warnings += self._find_warnings()

    def _bound(self, rule: Rule, index: int | None) -> BoundRule:
        given = self.given
        login: Any = given.login if rule.login is None else rule.login
        https: Any = given.require_https if rule.https is None else rule.https
        return BoundRule(
            rule,
            index,
            self.candidates(rule.issuers),
            {**_as_mapping(given.forward), **_as_mapping(rule.forward)},
            login or None,
            https,
            given.strip_credentials,
        )

    def candidates(self, names: Iterable[str] | None) -> Candidates:
        """The issuers with these names; None: all of them."""
        chosen = [i for i in self.issuers if names is None or i.name in names]
        return Candidates(self.directory, chosen)

    # --- issuers ---

    def _check_issuers(self) -> None:
        if not self.issuers:
            self.problems.append(
                ("issuers", "is empty; without one no token could ever be verified")
            )
        names: dict[str, int] = {}
        spellings: dict[str, int] = {}
        for index, issuer in enumerate(self.issuers):
            if issuer.problems:
                continue
            if issuer.name in names:
                self.problems.append(
                    (
                        f"issuers[{index}].name",
                        f"{issuer.name!r} is the name of issuers[{names[issuer.name]}] too; give "
                        "each its own name",
                    )
                )
            names.setdefault(issuer.name, index)
            # A template whose tenants a function names stands for itself.
            for iss in issuer.spellings or [issuer.issuer]:
                if iss is None:
                    continue
                if iss in spellings:
                    other = spellings[iss]
                    self.problems.append(
                        (
                            f"issuers[{index}].issuer",
                            f"{iss!r} is issuers[{other}]'s too; one issuer takes a list of keys",
                        )
                    )
                spellings.setdefault(iss, index)
        nameless = [issuer.name for issuer in self.issuers if issuer.issuer is None]
        for index, rule in enumerate(self.rules):
            self.problems += self._rule_issuers(f"rules[{index}].issuers", rule, nameless)

    def _rule_issuers(self, at: str, rule: Rule, nameless: list[str]) -> Iterable[Problem]:
        if rule.issuers is None:
            if len(nameless) > 1 and rule.access != "public":
                listed = ", ".join(map(repr, nameless))
                yield (
                    at,
                    f"is missing: {listed} have no iss value, so a token could be any of theirs; "
                    "name the issuers of this rule",
                )
            yield from self._two_introspecting(at, self.issuers, rule)
            return
        names = [issuer.name for issuer in self.issuers]
        for name in rule.issuers:
            if name not in names:
                hint = did_you_mean(name, names)
                yield at, f"{name!r} is no issuer's name; there are {', '.join(names)}{hint}"
        chosen = [name for name in rule.issuers if name in nameless]
        if len(chosen) > 1:
            listed = " and ".join(map(repr, chosen))
            yield at, f"{listed} have no iss value; at most one such issuer may speak on a rule"
        listed_here = [issuer for issuer in self.issuers if issuer.name in rule.issuers]
        yield from self._two_introspecting(at, listed_here, rule)

    @staticmethod
    def _two_introspecting(
        at: str, issuers: list[Issuer], rule: Rule, fix: str = "name one of them for this rule"
    ) -> Iterable[Problem]:
        asked = [repr(issuer.name) for issuer in issuers if issuer.introspection is not None]
        if len(asked) > 1 and rule.access != "public":
            yield (
                at,
                f"{' and '.join(asked)} are introspected, and a token that is no JWT does not say "
                f"whose it is; {fix}",
            )

    # --- rules ---

    def _patterns(self) -> Iterator[tuple[str, int, Rule, Pattern]]:
        """The patterns of the rules that are in order by themselves."""
        for index, rule in enumerate(self.rules):
            if rule.problems:
                continue
            for at, pattern in enumerate(rule.patterns):
                place = "path" if isinstance(rule.path, str) else f"path[{at}]"
                yield f"rules[{index}].{place}", index, rule, pattern

    def _unreachable(self) -> Iterable[Problem]:
        for place, index, rule, pattern in self._patterns():
            earlier = [
                entry
                for entry in self.policy.router.covering(pattern)
                if entry.order < index
                and not entry.bound.rule.problems
                and (entry.methods is None or (rule.methods and rule.methods <= entry.methods))
            ]
            if earlier:
                first = min(earlier, key=lambda entry: entry.order)
                yield (
                    place,
                    f"{pattern.text!r} can never match: rules[{first.order}] "
                    f"({first.pattern.text!r}) comes first; move this rule above it",
                )

    def _shared_tails(self) -> Iterable[Problem]:
        opaque = [(i, p) for _, i, rule, p in self._patterns() if rule.opaque_tail]
        for place, index, rule, pattern in self._patterns():
            for other, tree in opaque:
                same = pattern.text == tree.text and rule.opaque_tail
                if index != other and not same and pattern.may_enter(tree):
                    yield (
                        place,
                        f"{pattern.text!r} stands inside {tree.text!r} of rules[{other}], whose "
                        "opaque_tail lets names through that two programs may read differently; "
                        "keep one rule for that subtree",
                    )

    def _login_problems(self) -> Iterable[Problem]:
        logins = [("login", self.given.login)]
        logins += [(f"rules[{i}].login", rule.login) for i, rule in enumerate(self.rules)]
        for place, login in logins:
            if login is None or login is False:
                continue
            if not isinstance(login, str):
                yield place, f"is a path such as '/login' or an https address; found {login!r}"
            elif login.startswith("/"):
                yield from self._local_login(place, login)
            elif parse_https(login) is None:
                yield place, f"{login!r} is neither a path (/login) nor an https address"
            elif self.public_origin is None:
                yield (
                    place,
                    "is an address elsewhere, which must be told where to come back to; set "
                    "public_url to this site's own, such as 'https://app.example.com'",
                )

    def _local_login(self, place: str, login: str) -> Iterable[Problem]:
        path = login.partition("?")[0]
        if not is_unambiguous(path) or set(login) & set(' #"') or not is_quotable(login):
            yield place, f"{login!r} is not a plain path"
            return
        bound, _ = self.policy.choose(path, "GET")
        # A rule with a problem may be the one that was meant to open the login.
        in_doubt = any(rule.problems for rule in self.rules)
        if bound.access == "protected" and not in_doubt:
            yield (
                place,
                f"{path!r} is itself protected by rule {bound.label}, so browsers would be sent "
                f"round in circles; put Rule({path!r}, access='public') first",
            )

    # --- parameters ---

    def _read_public_url(self) -> str | None:
        given = self.given.public_url
        redirects = "redirect" in (self.given.require_https, *(r.https for r in self.rules))
        if given is None:
            if redirects:
                self.problems.append(
                    (
                        "public_url",
                        "is missing: 'redirect' needs to know this site's own address, such as "
                        "'https://app.example.com' (the Host header is the client's)",
                    )
                )
            elif is_wanted(self.given.protected_resource):
                self.problems.append(
                    (
                        "public_url",
                        "is missing: protected_resource tells clients this site's own address, "
                        "such as 'https://api.example.com'",
                    )
                )
            return None
        origin = parse_origin(given.rstrip("/")) if isinstance(given, str) else None
        if origin is None:
            self.problems.append(
                ("public_url", f"is an origin such as 'https://app.example.com'; found {given!r}")
            )
        elif origin.startswith("http:") and (redirects or not _is_loopback(origin)):
            self.problems.append(("public_url", f"{given!r} is not https"))
        return origin

    def _read_origins(self) -> frozenset[str]:
        found = set() if self.public_origin is None else {self.public_origin}
        for index, text in enumerate(as_list(self.given.origins)):
            origin = parse_origin(text)
            if origin is None:
                self.problems.append(
                    (
                        f"origins[{index}]",
                        f"is scheme, host and port only, as browsers send it: "
                        f"'https://app.example.com'; no wildcard, no path; found {text!r}",
                    )
                )
            else:
                found.add(origin)
        return frozenset(found)

    def _read_remote_user(self) -> UserName | None:
        template = self.given.remote_user
        if template is UNSET:
            # Subjects are unique within an issuer only, and each tenant is one.
            speakers = sum(
                2 if issuer.tenancy.are_asked_for else len(issuer.tenants) or 1
                for issuer in self.issuers
            )
            template = "{sub}" if speakers == 1 else None
        if template is None:
            return None
        try:
            return UserName(template)
        except (ValueError, TypeError) as error:
            self.problems.append(("remote_user", f"{template!r}: {error}"))
            return None

    def _read_response_headers(self) -> Pairs:
        given = self.given.response_headers
        if given is True:
            return SAFE_RESPONSE_HEADERS
        if given is False or given is None:
            return ()
        if not isinstance(given, Mapping):
            self.problems.append(("response_headers", f"is True or a mapping; found {given!r}"))
            return ()
        for name, value in given.items():
            if not isinstance(name, str) or not is_token(name):
                self.problems.append(("response_headers", f"{name!r} is not a header name"))
            elif not isinstance(value, str) or not is_quotable(value):
                self.problems.append((f"response_headers.{name}", "is printable ASCII text"))
        return tuple(given.items())

    def _check_plain_parameters(self) -> None:
        given, problems = self.given, self.problems
        if given.realm is not None and not (
            isinstance(given.realm, str) and is_quotable(given.realm)
        ):
            problems.append(("realm", f"is printable ASCII text; found {given.realm!r}"))
        if given.variables not in VARIABLES:
            problems.append(("variables", one_of(given.variables, VARIABLES)))
        if given.preflight not in PREFLIGHT:
            problems.append(("preflight", one_of(given.preflight, PREFLIGHT)))
        if not is_https_word(given.require_https):
            problems.append(("require_https", one_of(given.require_https, HTTPS)))
        if not isinstance(given.strip_credentials, bool):
            problems.append(
                ("strip_credentials", f"is true or false; found {given.strip_credentials!r}")
            )
        if type(given.cache_size) is not int or given.cache_size < 0:
            problems.append(
                ("cache_size", f"is a number of tokens, 0 or more; found {given.cache_size!r}")
            )
        if not callable(given.clock):
            problems.append(("clock", "is a function that returns seconds since 1970"))
        if given.error_body is not None and not callable(given.error_body):
            problems.append(("error_body", "is a function (error, request) -> mapping or None"))

    # --- warnings ---

    def _find_warnings(self) -> Iterable[Problem]:
        nameless = [issuer for issuer in self.issuers if issuer.issuer is None]
        if len(nameless) == 1 and len(self.issuers) > 1:
            for index, rule in enumerate(self.rules):
                if rule.issuers is None and rule.access != "public":
                    yield (
                        f"rules[{index}].issuers",
                        f"names none, so {nameless[0].name!r} may speak here too, whose tokens "
                        "carry no iss; name the issuers if that is not meant",
                    )
        for place, index, rule, pattern in self._patterns():
            if pattern.text in self.policy.documents:
                yield place, f"{pattern.text!r} is answered by protected_resource, before any rule"
            if rule.methods and rule.asks_more:
                what = f"{pattern.text!r} is covered for {', '.join(sorted(rule.methods))} only; "
                rest = self._rest(pattern)
                if rest is None:
                    what += "other methods are refused (method_not_covered)"
                    yield f"rules[{index}].methods", what
                elif not rest.rule.asks_more:
                    what += f"other methods reach rule {rest.label}, which asks for less"
                    yield f"rules[{index}].methods", what
            if any(isinstance(spot, FromQuery) for spot in rule.places):
                yield (
                    f"rules[{index}].credentials",
                    "a token in the query ends up in logs and histories (RFC 9700 section 4.3.2)",
                )
        levels = self.policy.router.branching()
        if levels > BRANCHING_LEVELS:
            yield "rules", f"{levels} levels hold both a literal and a wildcard; matching is slow"

    def _rest(self, pattern: Pattern) -> BoundRule | None:
        """The rule that decides for the methods that no rule of this path names."""
        covering = self.policy.router.covering(pattern)
        rest = [entry for entry in covering if entry.methods is None]
        return min(rest, key=lambda entry: entry.order).bound if rest else None


def _found(thing: object) -> str:
    """A type and never a value: what stands in the wrong place may hold a secret."""
    if isinstance(thing, Mapping):
        return "a mapping; jwtguard.from_mapping makes a Guard of the file's form"
    return type(thing).__name__


def _as_mapping(value: Any) -> Mapping[str, str]:
    return value if isinstance(value, Mapping) else {}


def parse_https(address: str) -> str | None:
    """The origin of an absolute https address without a fragment, or None."""
    try:
        parts = urlsplit(address)
        ok = parts.scheme == "https" and parts.hostname and parts.port != 0 and not parts.fragment
    except ValueError:
        return None
    if not ok or not is_quotable(address) or set(address) & set(' \\"'):
        return None
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(origin: str) -> bool:
    return urlsplit(origin).hostname in ("localhost", "127.0.0.1", "::1")
