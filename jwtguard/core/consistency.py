"""What is wrong between the parts of a guard, each of which is in order by itself."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from .errors import Problem
from .extractor import FromQuery, FromSession
from .grammar import is_quotable
from .issuer import Issuer
from .paths import Pattern, is_unambiguous
from .policy import BoundRule, Policy, Rule
from .signin import SESSION
from .wording import did_you_mean

BRANCHING_LEVELS = 6
"""Levels of the rules' tree with both a literal and a wildcard above which `check` warns."""


class Consistency:
    """The ``problems`` and ``warnings`` of issuers and rules that stand beside each other."""

    def __init__(
        self,
        issuers: list[Issuer],
        rules: list[Rule],
        policy: Policy,
        login: object,
        has_public_url: bool,
        has_sessions: bool,
    ) -> None:
        self.issuers = issuers
        self.rules = rules
        self.policy = policy
        self._login = login
        self._has_public_url = has_public_url
        self._has_sessions = has_sessions
        self.problems: list[Problem] = []
        self._check_issuers()
        everything = policy.router.covering(Pattern("/**"))
        if all(entry.methods is not None for entry in everything):
            fix = "close the list of rules with one for /** that names one of them"
            self.problems += self._two_introspecting("issuers", issuers, policy.closing.rule, fix)
        self.problems += self._unreachable()
        self.problems += self._shared_tails()
        self.problems += self._login_problems()
        self.warnings = list(self._find_warnings())

    # --- issuers ---

    def _check_issuers(self) -> None:
        if not self.issuers and not self._has_sessions:
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
            elif issuer.name == SESSION and self._has_sessions:
                what = "'session' is the name of login's own issuer; choose another one"
                self.problems.append((f"issuers[{index}].name", what))
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
            self.problems += self._rule_session(f"rules[{index}].credentials", rule)

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
        names = [*(issuer.name for issuer in self.issuers), *([SESSION] * self._has_sessions)]
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

    def _rule_session(self, at: str, rule: Rule) -> Iterable[Problem]:
        if not any(isinstance(place, FromSession) for place in rule.places):
            return
        if not self._has_sessions:
            yield at, 'has "session", which a Guard with login=Login(…) makes; there is none'
        elif rule.issuers is not None and SESSION not in rule.issuers:
            yield at, 'has "session", whose issuer the rule does not list; add "session" to issuers'

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
        logins = [("login", self._login)]
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
            elif not self._has_public_url:
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
            own = self.policy.serves.get(pattern.text)
            if own is not None:
                yield place, f"{pattern.text!r} is answered by {own.label}, before any rule"
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
