"""Signing in with a browser: OpenID Connect Core 1.0, as a client of the provider.

guard = Guard(issuers, rules, public_url="https://app.example.com", login=Login("people", …))

The guard then serves four paths itself and keeps who signed in in a cookie of its own.

- `sealing`, `cookies`: what only we can read, and how it is kept in the browser;
- `provider`: what we ask of the provider;
- `signing_in`, `signing_out`: the flows; `sessions`: what lies between them;
- `refreshing`: asking the provider again, while a session is used;
- `site`: all of it at one guard's address.
"""

import logging
import math
import secrets
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from jwtguard.core import revocation
from jwtguard.core.client_auth import ClientAuthentication
from jwtguard.core.discovery import address_problems, discovery_address
from jwtguard.core.errors import Problem
from jwtguard.core.issuer import Issuer
from jwtguard.core.keyloader import LocalKeys
from jwtguard.core.model import Clock
from jwtguard.core.paths import SAFE_IN_PATH, Pattern, return_address
from jwtguard.core.rates import Rate
from jwtguard.core.remote import Discovery
from jwtguard.core.store import Store
from jwtguard.core.wording import as_list, did_you_mean
from jwtguard.revocations import Revocations

from .cookies import MAX_AGE, Cookies
from .provider import Provider
from .refreshing import Refreshing
from .sealing import MIN_SECRET, Keys, secrets_of
from .sessions import JUDGING, OURS, Sessions
from .signing_in import SigningIn, Words
from .signing_out import SigningOut
from .site import Site

__all__ = ["Login"]

log = logging.getLogger("jwtguard.login")

Secrets = str | bytes | LocalKeys | Sequence[str | bytes | LocalKeys]


class Login:
    """People sign in at an OpenID provider, and have a session here.

    - ``issuer``: the name or ``iss`` of one of the guard's issuers, or another provider's address
      (its discovery document is found there).
    - ``client_id`` and ``client_secret`` or ``private_key`` (PEM text): this service, as the
      provider knows it; ``method``: "client_secret_basic", "client_secret_post" or
      "private_key_jwt" (RFC 7523).
    - ``secret``: text or bytes, 32 at least, or a `Secret`; seals and signs all that is kept in
      browsers. With a list the first is used and the others are still understood. Where
      ``public_url`` is http on this machine, one is made at start-up.
    - ``scopes``: what is asked for; ``algorithms``: of id_tokens; the issuer's where not given.
    - ``login_path``, ``callback_path``, ``logout_path``, ``backchannel_path``: served here.
    - ``after_login``, ``after_logout``: paths to go to where no other is known.
    - ``claims``: those of the id_token (and userinfo) that the session keeps; ``default_roles``:
      of people for whom the provider names none.
    - ``userinfo``: ask that endpoint too.
    - ``idle``: seconds without a request after which a session ends; ``lifetime``: after which it
      ends in any case.
    - ``rate``: how often an address may ask for its paths, as a rule's ``rate``; the provider,
      who calls ``backchannel_path``, as often as it likes.
    - ``timeout``: seconds for an exchange with the provider; ``insecure_http``: allow plain http,
      to loopback and private addresses only.

    Problems are reported by `Guard`.
    """

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        client_secret: str | None = None,
        private_key: str | bytes | None = None,
        method: str | None = None,
        secret: Secrets | None = None,
        scopes: str | Sequence[str] = ("openid", "profile", "email"),
        algorithms: str | Sequence[str] = (),
        login_path: str = "/auth/login",
        callback_path: str = "/auth/callback",
        logout_path: str = "/auth/logout",
        backchannel_path: str = "/auth/backchannel-logout",
        after_login: str = "/",
        after_logout: str = "/",
        claims: str | Sequence[str] = ("email", "email_verified", "name"),
        default_roles: str | Sequence[str] = ("user",),
        userinfo: bool = False,
        idle: float = 3600,
        lifetime: float = 43_200,
        timeout: float = 5,
        insecure_http: bool = False,
        rate: Rate | None = None,
    ) -> None:
        usual = "client_secret_basic" if private_key is None else "private_key_jwt"
        self.issuer = issuer
        self.client = ClientAuthentication(
            client_id, client_secret, private_key, usual if method is None else method
        )
        self.scopes = _words(scopes)
        self.algorithms = tuple(as_list(algorithms))
        self.paths = (login_path, callback_path, logout_path, backchannel_path)
        self.after_login = after_login
        self.after_logout = after_logout
        self.claims = tuple(as_list(claims))
        self.default_roles = tuple(as_list(default_roles))
        self.userinfo = userinfo
        self.idle = idle
        self.lifetime = lifetime
        self.timeout = timeout
        self.insecure_http = insecure_http
        self.rate = rate
        self._secrets, found = secrets_of(secret)
        self._is_secret_missing = secret is None
        self.problems: list[Problem] = [
            *self.client.problems,
            *found,
            *self._path_problems(),
            *self._other_problems(),
        ]

    def __repr__(self) -> str:
        return f"<Login {self.issuer!r} client_id={self.client.client_id!r}>"

    # --- start-up ---

    def _path_problems(self) -> Iterable[Problem]:
        for word, path in zip(PATHS, self.paths, strict=True):
            try:
                pattern = Pattern(path)
            except ValueError as error:
                yield word, str(error)
                continue
            plain = path == quote(path, safe=SAFE_IN_PATH) and not path.endswith("/")
            if pattern.names or "*" in path or not plain:
                yield word, f"is a plain path such as {PATHS[word]!r}; found {path!r}"
        if any(self.paths.count(path) > 1 for path in self.paths):
            yield "login_path", "is the same as another path of the login; each needs its own"
        for word in ("after_login", "after_logout"):
            path = getattr(self, word)
            if not isinstance(path, str) or (path != "/" and return_address(path) != path):
                yield word, f"is a path of this site, such as '/'; found {path!r}"
            elif path.partition("?")[0].rstrip("/") in self.paths:
                yield word, f"{path!r} is a path of the login itself; browsers would go in circles"

    def _other_problems(self) -> Iterable[Problem]:
        if not isinstance(self.issuer, str) or not self.issuer:
            yield "issuer", f"is an issuer's name or address; found {self.issuer!r}"
        if "openid" not in self.scopes:
            yield "scopes", "lack 'openid', without which there is no id_token"
        for word in ("scopes", "claims", "default_roles", "algorithms"):
            values = getattr(self, word)
            if not all(isinstance(one, str) and one for one in values):
                yield word, f"is text or a list of text; found {values!r}"
        for name in self.claims:
            if name in OURS:
                yield "claims", f"{name!r} is in every session already; leave it out"
            elif name in JUDGING:
                yield "claims", f"{name!r} would decide whether the session is good; leave it out"
        for word in ("idle", "lifetime"):
            value = getattr(self, word)
            if type(value) not in (int, float) or not 1 <= value <= MAX_AGE:
                limit = f"from 1 to {MAX_AGE:,} (400 days, as browsers keep cookies)"
                yield word, f"is a number of seconds {limit}; found {value!r}"
        if type(self.timeout) not in (int, float) or not 0 < self.timeout < math.inf:
            yield "timeout", f"is a number of seconds above 0; found {self.timeout!r}"
        for word in ("userinfo", "insecure_http"):
            if not isinstance(getattr(self, word), bool):
                yield word, f"is true or false; found {getattr(self, word)!r}"

    def at(
        self,
        origin: str,
        issuers: Sequence[Issuer],
        revocations: revocation.Revocations | None,
        store: Store | None,
        clock: Clock,
    ) -> tuple[Site | None, Sequence[Problem]]:
        """`core.signin.SignIn.at`."""
        problems = list(self.problems)
        secure = origin.startswith("https:")
        known = self._secrets
        switches = []
        if not secure:
            switches.append(
                "login at a public_url that is http is for development: its cookies have neither "
                "Secure nor the prefix __Host-"
            )
        if self._is_secret_missing and secure:
            problems.append(
                (
                    "secret",
                    "is missing: it seals and signs what browsers keep; 32 characters or more, "
                    "from the environment or a file. `jwtguard keygen HS256` makes a good one",
                )
            )
        elif self._is_secret_missing:
            known = [secrets.token_bytes(MIN_SECRET)]
            switches.append(
                "login has no secret, so one was made for this process: sessions end with it, and "
                "no other process knows them"
            )
        if self.insecure_http:
            switches.append("insecure_http is set for login")
        trusted = self._trusted(issuers) if not problems else None
        if problems or (trusted is not None and trusted.problems):
            return None, problems  # the issuer's are told with it
        iss = self.issuer if trusted is None else trusted.issuer
        person, document, found = self._provider_of(iss, trusted, issuers, clock)
        if person is None or iss is None or found:
            return None, found
        provider = Provider(
            iss,
            document,
            self.client,
            timeout=self.timeout,
            insecure_http=self.insecure_http,
            clock=clock,
        )
        problems = [*_of_ours(person.problems)]
        if problems:
            return None, problems
        keys = Keys(known)
        cookies = Cookies(secure=secure)
        sessions = Sessions(
            origin, keys, cookies, idle=self.idle, lifetime=self.lifetime, clock=clock
        )
        words = Words(
            self.scopes,
            self.claims,
            self.default_roles,
            self.userinfo,
            self.paths,
            self.after_login,
        )
        signing_in = SigningIn(words, origin, provider, person, keys, cookies, sessions, clock)
        if store is None:
            log.info(
                "login: there is no store for refresh tokens, so they are not used: sessions last "
                "for their lifetime without asking the provider again"
            )
        else:
            signing_in.refreshing = Refreshing(
                store, keys, provider, signing_in.refreshed, self.lifetime, self.idle
            )
        ended = Revocations(clock=clock) if revocations is None else revocations
        signing_out = SigningOut(
            origin,
            provider,
            _told_by(person),
            cookies,
            sessions,
            ended,
            signing_in.refreshing,
            self.lifetime,
            clock,
        )
        if trusted is not None:
            trusted.id_tokens_for.add(self.client.client_id)
        site = Site(
            origin,
            self.paths,
            self.after_logout,
            provider,
            sessions,
            signing_in,
            signing_out,
            switches,
            self.rate,
        )
        return site, ()

    def _trusted(self, issuers: Sequence[Issuer]) -> Issuer | None:
        """The guard's issuer that is meant, if it is one of them."""
        for issuer in issuers:
            if self.issuer in (issuer.name, issuer.issuer) and issuer.issuer is not None:
                return issuer
        return None

    def _provider_of(
        self, iss: str | None, trusted: Issuer | None, issuers: Sequence[Issuer], clock: Clock
    ) -> tuple[Issuer | None, str, Sequence[Problem]]:
        """The issuer of id_tokens, the address of the provider's document, and problems."""
        if trusted is None and "://" not in self.issuer:
            names = [issuer.name for issuer in issuers if issuer.issuer is not None]
            hint = did_you_mean(self.issuer, names)
            return (
                None,
                "",
                [
                    (
                        "issuer",
                        f"{self.issuer!r} is no https address and no name of an issuer with an "
                        f"iss value; there are {names}{hint}",
                    )
                ],
            )
        assert iss is not None
        if trusted is not None and ("{" in iss or not trusted.has_keys):
            return (
                None,
                "",
                [("issuer", f"{trusted.name!r} is a template or has no keys; name one provider")],
            )
        if "?" in iss:
            return None, "", [("issuer", "has a query, where discovery finds nothing")]
        document = discovery_address(iss)
        keys: Any = Discovery(insecure_http=self.insecure_http, timeout=self.timeout, clock=clock)
        algorithms: Sequence[str] = self.algorithms or ("RS256",)
        if trusted is not None:
            keys = list(trusted.given_sources)
            algorithms = self.algorithms or trusted.algorithms
            documents = [one.url for one in keys if isinstance(one, Discovery)]
            document = documents[0] if documents else document
        found = [*address_problems("issuer", document, self.insecure_http)]
        person = Issuer(
            iss,
            name=f"login at {iss}",
            audience=self.client.client_id,
            algorithms=list(algorithms),
            keys=keys,
            required_claims=("exp", "iat", "sub"),
            leeway=10 if trusted is None else trusted.leeway,
            roles=("roles", "role", "/realm_access/roles") if trusted is None else trusted.roles,
        )
        # An access token is nobody's identity (RFC 9068 section 2.1, RFC 8725 section 3.12).
        person.types = frozenset({None, "jwt"})
        return person, document, found


PATHS = {
    "login_path": "/auth/login",
    "callback_path": "/auth/callback",
    "logout_path": "/auth/logout",
    "backchannel_path": "/auth/backchannel-logout",
}


def _words(scopes: object) -> tuple[Any, ...]:
    return tuple(scopes.split(" ") if isinstance(scopes, str) else as_list(scopes))


def _of_ours(problems: Iterable[Problem]) -> Iterable[Problem]:
    """Problems of the issuer of id_tokens, by the words that a login has for it."""
    for where, what in problems:
        yield "algorithms" if where == "algorithms" else "issuer", what


def _told_by(person: Issuer) -> Issuer:
    """The same provider, for logout tokens (Back-Channel Logout 1.0 section 2.4)."""
    teller = Issuer(
        person.issuer,
        name=person.name,
        audience=list(person.audience or ()),
        algorithms=list(person.algorithms),
        keys=list(person.given_sources),
        required_claims=("iat", "jti"),
        max_age=MAX_LOGOUT_AGE,
        leeway=person.leeway,
    )
    teller.types = frozenset({None, "jwt", "logout+jwt"})
    return teller


MAX_LOGOUT_AGE = 600  # seconds after which a logout token, replayed, ends nothing any more
