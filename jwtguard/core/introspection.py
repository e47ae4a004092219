"""Token introspection (RFC 7662): asking the authorization server what a token is.

For tokens that are no JWTs, or for an issuer that wants to be asked about every token. One token is
one exchange at a time, whoever waits for it, and at most 32 tokens of an issuer are asked about at
once; 32 more where they were good before, so that nobody's garbage keeps them out. What was found
is kept no longer than ``ttl`` and the token's own ``exp`` (by the verifier, in the cache of
verified tokens); that a token is no good, for ``negative_ttl``.
"""

import copy
import hashlib
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlencode

from .claims import Claims
from .client_auth import ClientAuthentication
from .discovery import TENANT, address_problems, discovered, discovery_address
from .errors import (
    FetchError,
    IntrospectionUnavailable,
    InvalidToken,
    MalformedToken,
    Problem,
    TokenInactive,
)
from .grammar import is_token68
from .jose import MAX_TOKEN, json_object
from .model import Clock, Fetch, Fetched, Flow
from .refused import MAX_VALUE
from .wording import one_of

log = logging.getLogger("jwtguard.introspection")

MAX_EXCHANGES = 32  # at a time, per issuer
MAX_REFUSED = 1024  # tokens known to be no good
MAX_SUBJECT = 255  # characters (OpenID Connect Core 1.0 section 2)
MAX_ANSWER = 65_536  # bytes
MAX_KEPT_ANSWER = 16_384  # bytes: longer ones are asked for every time
DISCOVERY_COOLDOWN = 30  # seconds between two attempts to find the endpoint
WHEN = ("opaque", "always")


class Introspection:
    """How an issuer is asked about tokens.

    - ``endpoint``: the https address; where it is not given, discovery finds it.
    - ``client_id`` and ``client_secret`` or ``private_key`` (PEM text): who asks; ``method``:
      "client_secret_basic", "client_secret_post" or "private_key_jwt" (RFC 7523).
    - ``when``: "opaque", about tokens that are no JWTs; "always", about JWTs that were found good,
      too.
    - ``ttl``, ``negative_ttl``: seconds that a good and a bad answer are remembered;
      ``timeout``: seconds for an exchange.
    - ``insecure_http``: allow plain http, to loopback and private addresses only.
    - ``clock``: seconds since the epoch.

    Problems are reported by `Guard`.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        client_id: str,
        client_secret: str | None = None,
        private_key: str | bytes | None = None,
        method: str = "client_secret_basic",
        when: str = "opaque",
        ttl: float = 60,
        negative_ttl: float = 10,
        timeout: float = 5,
        insecure_http: bool = False,
        clock: Clock = time.time,
    ) -> None:
        self.endpoint = self._given_endpoint = endpoint
        self.when = when
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.timeout = timeout
        self.insecure = insecure_http
        self.issuer: str | None = None
        self._told = False  # whose tokens these are
        self._document: str | None = None  # the address of the discovery document
        self._is_discovered = False
        self._client = ClientAuthentication(client_id, client_secret, private_key, method)
        self._clock = clock
        self._asking: dict[str, _Asking] = {}
        self._refused: dict[bytes, tuple[float, InvalidToken]] = {}
        self._attempt = 0  # of discovery
        self._not_before = -math.inf
        self.problems = tuple(self._find_problems())

    def __repr__(self) -> str:
        return f"<Introspection {self.endpoint or 'by discovery'}>"

    def _find_problems(self) -> Iterable[Problem]:
        yield from self._client.problems
        if self.endpoint is not None:
            yield from address_problems("endpoint", self.endpoint, self.insecure)
        if self.when not in WHEN:
            yield "when", one_of(self.when, WHEN)
        for name in ("ttl", "negative_ttl", "timeout"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                yield name, f"is a number of seconds, 0 or more; found {value!r}"
        if self.timeout == 0:
            yield "timeout", "is 0 seconds, in which nobody can answer"
        if not isinstance(self.insecure, bool):
            yield "insecure_http", f"is true or false; found {self.insecure!r}"

    def of(self, issuer: str | None, document: str | None = None) -> Iterable[Problem]:
        """Told by the `Issuer` whose tokens these are, and where its discovery document is."""
        if self._told and self.issuer != issuer:
            yield "introspection", f"is that of {self.issuer!r}; give each issuer its own"
            return
        self.issuer, self._told = issuer, True
        if self.endpoint is None:
            if issuer is None:
                yield "introspection.endpoint", "is missing; discovery needs the issuer's iss value"
            elif isinstance(issuer, str) and TENANT in issuer:
                yield "introspection.endpoint", "is missing; it is not discovered for a template"
            elif isinstance(issuer, str) and "?" in issuer and document is None:
                yield (
                    "introspection.endpoint",
                    "is missing; it is not discovered for an iss with a query",
                )
            elif isinstance(issuer, str):
                self._document = document or discovery_address(issuer)
                yield from address_problems("introspection.endpoint", self._document, self.insecure)

    # --- asking ---

    @property
    def identity(self) -> tuple[str | None, str | None, str]:
        """Whose tokens these are and who asks, as it was configured."""
        return self.issuer, self._given_endpoint, self._client.client_id

    def check(self, raw: str) -> None:
        """What need not be asked. Raises MalformedToken, or what `refuse` was told of before."""
        if len(raw) > MAX_TOKEN:
            raise MalformedToken("token_too_long", found=len(raw), want=MAX_TOKEN)
        if not is_token68(raw):
            raise MalformedToken(hint="characters outside token68")
        until, error = self._refused.get(_digest(raw), (0.0, None))
        if error is not None and self._clock() < until:
            raise copy.copy(error)  # a traceback and a refusal of its own

    def ask(self, raw: str, *, was_good: bool = False) -> Flow[tuple[Claims, bool]]:
        """What the server says of an active token, and whether that is worth its memory.

        *was_good*: it said so of this one before.

        Raises TokenInactive, or whatever `refuse` was told of this token before;
        IntrospectionUnavailable (503) where there is no answer to go by.
        """
        self.check(raw)
        asking = self._join(raw, 2 * MAX_EXCHANGES if was_good else MAX_EXCHANGES)
        waiter = object()
        asking.waiting.add(waiter)
        try:
            endpoint = self.endpoint or (yield from self._find_endpoint())
            if asking.question is None:
                asking.question = self._question(raw, endpoint)
            # Made anew by each: what is asked about must not hold itself, so that the transport
            # can tell when nobody waits any more.
            answer = yield replace(asking.question, flight=(asking, 0))
            return self._read(raw, endpoint, answer), len(answer.body) <= MAX_KEPT_ANSWER
        except FetchError as error:
            raise IntrospectionUnavailable(hint=str(error)) from None
        finally:
            asking.waiting.discard(waiter)
            if not asking.waiting and self._asking.get(raw) is asking:
                self._asking.pop(raw, None)

    def warm(self) -> Flow[None]:
        """Find the endpoint, where that takes discovery. An outage is logged, and no more."""
        if self.endpoint is None:
            try:
                yield from self._find_endpoint()
            except IntrospectionUnavailable as error:
                log.error("introspection is not available: %s", error)

    def refuse(self, raw: str, error: InvalidToken) -> None:
        """Remember for a moment that a token is no good."""
        if len(self._refused) >= MAX_REFUSED:
            self._refused.clear()
        kept = copy.copy(error)
        # Cut, so that the bound is one of bytes too; the log shows no more of them anyway.
        kept.found, kept.want = _cut(error.found), _cut(error.want)
        kept.subject = error.subject and error.subject[:MAX_SUBJECT]
        self._refused[_digest(raw)] = self._clock() + self.negative_ttl, kept

    def _join(self, raw: str, limit: int) -> "_Asking":
        self._forget_abandoned()
        asking = self._asking.get(raw)
        if asking is None:
            if len(self._asking) >= limit:
                hint = f"{len(self._asking)} tokens are being asked about"
                raise IntrospectionUnavailable("introspection_busy", retry_after=1, hint=hint)
            asking = self._asking.setdefault(raw, _Asking(self._clock()))
        return asking

    def _forget_abandoned(self) -> None:
        """Those whose waiters stayed behind when we were forked. Two exchanges may be made."""
        limit = self._clock() - 3 * self.timeout
        for raw, asking in list(self._asking.items()):
            if asking.since < limit:
                self._asking.pop(raw, None)

    def _question(self, raw: str, endpoint: str) -> Fetch:
        form = {"token": raw, "token_type_hint": "access_token"}
        audience = self.issuer
        if audience is None or TENANT in audience:
            audience = endpoint
        headers, form = self._client.prove(form, audience, self._clock())
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers["Accept"] = "application/json"
        return Fetch(
            endpoint,
            method="POST",
            headers=headers,
            body=urlencode(form).encode(),
            timeout=self.timeout,
            max_bytes=MAX_ANSWER,
            insecure_http=self.insecure,
        )

    def _read(self, raw: str, url: str, answer: Fetched) -> Claims:
        if answer.status in (404, 405, 410) and self._is_discovered:
            self.endpoint = None  # it has moved
        if answer.status != 200:
            why = " (are client_id and its secret right?)" if answer.status in (400, 401) else ""
            raise FetchError(f"{url} answered {answer.status}{why}")
        try:
            claims = json_object(answer.body)
        except ValueError:
            raise FetchError(f"{url} answered no JSON object") from None
        if "active" not in claims:
            raise FetchError(f"{url} does not say whether the token is active")
        if claims["active"] is not True:  # not what is taken for true
            error = TokenInactive(found=claims["active"], want=True)
            self.refuse(raw, error)
            raise error
        return claims

    def _find_endpoint(self) -> Flow[str]:
        assert self._document is not None, "told by the issuer; see `of`"
        url, attempt = self._document, self._attempt
        now = self._clock()
        if 0 < self._not_before - now <= DISCOVERY_COOLDOWN:  # else the clock was set back
            wait = math.ceil(self._not_before - now)
            raise IntrospectionUnavailable(retry_after=wait, hint=f"{url}; asked again in {wait} s")
        try:
            answer = yield Fetch(
                url,
                headers={"Accept": "application/json"},
                timeout=self.timeout,
                insecure_http=self.insecure,
                flight=(self, attempt),
            )
            found = discovered(url, answer, self.issuer, "introspection_endpoint", self.insecure)
        except FetchError as error:
            if attempt == self._attempt:
                self._not_before = self._clock() + DISCOVERY_COOLDOWN
                self._attempt = attempt + 1
            raise IntrospectionUnavailable(
                retry_after=DISCOVERY_COOLDOWN, hint=str(error)
            ) from None
        self._attempt = attempt + 1
        self.endpoint, self._is_discovered = found, True
        return found


class _Asking:
    """A token that is being asked about, and who waits for the answer."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.waiting: set[object] = set()
        self.question: Fetch | None = None


def _cut(value: object) -> str | None:
    if value is None:
        return None
    return (value if isinstance(value, str) else repr(value))[: MAX_VALUE + 1]


def _digest(raw: str) -> bytes:
    return hashlib.sha256(raw.encode()).digest()
