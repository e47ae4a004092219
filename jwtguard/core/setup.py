"""Start-up: a guard's parameters, checked all at once, become what requests need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from .addresses import Proxies
from .browser import parse_origin
from .candidates import Candidates, Directory
from .challenge import ErrorBody
from .consistency import Consistency
from .errors import Problem
from .extractor import FromSession, Place
from .grammar import is_quotable, is_token
from .issuer import Issuer
from .metadata import Resources, is_wanted
from .model import Clock, Pairs
from .observing import Watch, observer_problems
from .policy import HTTPS, BoundRule, Policy, Rule, is_https_word
from .publish import UserName, forward_problems
from .rates import MemoryRateStore, RateStore, as_limits
from .reporting import Reporting
from .revocation import Revocations
from .signin import SESSION, SignIn, Site
from .store import Store
from .wording import as_list, one_of

Https = Literal[False, "refuse", "redirect"]
Preflight = Literal["judge", "answer", "pass"]
PREFLIGHT = ("judge", "answer", "pass")
VARIABLES = (None, "json", "plain")

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
    trusted_proxies: Any
    failed_rate: Any
    rate_store: Any
    report_until: Any
    revocations: Revocations | None
    store: Store | None
    cache_size: int
    observer: Any
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
        self.public_origin = self._read_public_url()
        self.origins = self._read_origins()
        self.response_headers = self._read_response_headers()
        self.proxies = Proxies(given.trusted_proxies)
        self.problems += self.proxies.problems
        self.failed_limits, problems = as_limits(given.failed_rate, "failed_rate", "failed")
        self.problems += problems
        self.rate_store = self._read_rate_store()
        self._check_plain_parameters()
        self.problems += forward_problems("forward", given.forward)
        for index, rule in enumerate(self.rules):
            self.problems += forward_problems(f"rules[{index}].forward", rule.forward)
        self._bind()
        self.user_name = self._read_remote_user()

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
        self.site = self._read_login()
        session = () if self.site is None else (self.site.issuer,)
        self.directory = Directory(i for i in (*self.issuers, *session) if not i.problems)
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
        self.reporting = Reporting(given.report_until, self.rules, given.clock)
        self.problems += self.reporting.problems
        self.warnings += self.reporting.warnings
        bound = [self._bound(rule, index) for index, rule in enumerate(self.rules)]
        closing, uncovered = self._bound(Rule("/**"), None), self._bound(Rule("/**"), None)
        uncovered.report_until = self.reporting.by_all
        metadata = self._bound(Rule(self.resources.paths, access="public"), None)
        metadata.label = "protected_resource"
        metadata.report_until = None  # the app has no such page
        paths = () if self.site is None else self.site.paths
        rate = None if self.site is None else self.site.rate
        pages = Rule(paths, access="public", rate=rate)
        self.problems += [
            (f"login.{w}", what) for w, what in pages.problems if w.startswith("rate")
        ]
        sign_in = self._bound(pages, None)
        sign_in.label = "login"
        sign_in.report_until = None
        self.policy = Policy(bound, closing, uncovered, metadata, sign_in)
        if self.site is not None:  # all sessions that end are told of from one address
            self.policy.serve(self.site.backchannel_path, sign_in.without_limits())
        # Stands for the rule of a request that is reported before any rule was asked.
        self.unruled = self._bound(Rule("/**"), None)
        removed = [place for one in (closing, *bound) for place in one.removed]
        self.unruled.removed = tuple(dict.fromkeys(removed))
        self.unruled.report_until = self.reporting.by_all
        named = (metadata, sign_in, uncovered, closing, *reversed(bound))
        watchers = as_list(given.observer)
        labels: dict[object, str] = {one.rule: one.label for one in named}
        self.watch = Watch(watchers, labels) if watchers else None
        found = Consistency(
            self.issuers,
            self.rules,
            self.policy,
            None if isinstance(given.login, SignIn) else given.login,
            self.public_origin is not None,
            isinstance(given.login, SignIn),
        )
        self.problems += found.problems
        self.warnings += found.warnings

    def _bound(self, rule: Rule, index: int | None) -> BoundRule:
        given = self.given
        session = self._session_of(rule)
        login: Any = given.login if rule.login is None else rule.login
        if isinstance(login, SignIn):
            # Where a session is not accepted, signing in again and again would not help.
            login = self.site.login_path if self.site and session else None
        https: Any = given.require_https if rule.https is None else rule.https
        return BoundRule(
            rule,
            index,
            self.candidates(rule.issuers and [n for n in rule.issuers if n != SESSION]),
            session,
            {**_as_mapping(given.forward), **_as_mapping(rule.forward)},
            login or None,
            https,
            given.strip_credentials,
            self.reporting.by(rule),
        )

    def _session_of(self, rule: Rule) -> tuple[Place, Candidates] | None:
        """Where a rule finds a session, and whose sessions count."""
        if self.site is None or (rule.issuers is not None and SESSION not in rule.issuers):
            return None
        if rule.names_credentials and not any(isinstance(p, FromSession) for p in rule.places):
            return None
        return self.site.place, self.only(self.site.issuer)

    def only(self, issuer: Issuer) -> Candidates:
        """This issuer and nobody else."""
        return Candidates(self.directory, [issuer])

    def candidates(self, names: Iterable[str] | None) -> Candidates:
        """The issuers with these names; None: all of them but that of sessions."""
        own = [] if self.site is None or names is None else [self.site.issuer]
        chosen = [i for i in (*self.issuers, *own) if names is None or i.name in names]
        return Candidates(self.directory, chosen)

    # --- parameters ---

    def _read_login(self) -> Site | None:
        login = self.given.login
        if not isinstance(login, SignIn):
            return None
        if self.public_origin is None:
            self.problems += [(f"login.{where}", what) for where, what in login.problems]
            return None
        site, problems = login.at(
            self.public_origin,
            self.issuers,
            self.given.revocations,
            self.given.store,
            self.given.clock,
        )
        self.problems += [(f"login.{where}", what) for where, what in problems]
        return site

    @property
    def revocations(self) -> Revocations | None:
        """Those given, or the ones that a login has for its sessions."""
        own = None if self.site is None else self.site.revocations
        return self.given.revocations or own

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
            elif isinstance(self.given.login, SignIn):
                self.problems.append(
                    (
                        "public_url",
                        "is missing: login tells the provider where to send browsers back to; "
                        "this site's own address, such as 'https://app.example.com'",
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
            idp = None if self.site is None else self.site.idp
            if idp is not None and all(issuer.issuer != idp for issuer in self.issuers):
                speakers += 1  # whose sessions' subjects are another provider's
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

    def _read_rate_store(self) -> RateStore:
        given: Any = self.given.rate_store
        if any(limit.claim is not None for limit in self.failed_limits):
            what = "counts by address only: a token that failed says nothing of its sender"
            self.problems.append(("failed_rate", what))
        if given is None:
            return MemoryRateStore()
        if not isinstance(given, RateStore):
            what = f"is a jwtguard.ratelimits.RedisRateStore(…) or its like; found {_found(given)}"
            self.problems.append(("rate_store", what))
            return MemoryRateStore()
        problems = getattr(given, "problems", ())
        self.problems += [(f"rate_store.{word}", what) for word, what in problems]
        if not self.failed_limits and not any(rule.limits for rule in self.rules):
            self.warnings.append(("rate_store", "counts nothing: no rule has a rate"))
        return given

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
        problems += observer_problems(given.observer)
        if isinstance(given.revocations, Revocations):
            problems.extend((f"revocations.{w}", what) for w, what in given.revocations.problems)
        elif given.revocations is not None:
            what = f"is a jwtguard.Revocations(…), or None; found {_found(given.revocations)}"
            problems.append(("revocations", what))
        if isinstance(given.store, Store):
            problems.extend((f"store.{w}", what) for w, what in given.store.problems)
        elif given.store is not None:
            what = f"is a jwtguard.stores.RedisStore(…) or its like; found {_found(given.store)}"
            problems.append(("store", what))
        if given.error_body is not None and not callable(given.error_body):
            problems.append(("error_body", "is a function (error, request) -> mapping or None"))


def _found(thing: object) -> str:
    """A type and never a value: what stands in the wrong place may hold a secret."""
    if isinstance(thing, Mapping):
        return "a mapping; jwtguard.from_mapping makes a Guard of the file's form"
    return type(thing).__name__


def _as_mapping(value: Any) -> Mapping[str, str]:
    return value if isinstance(value, Mapping) else {}


def _is_loopback(origin: str) -> bool:
    return urlsplit(origin).hostname in ("localhost", "127.0.0.1", "::1")
