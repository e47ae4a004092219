"""What a guard counts, by which key: requests to rules that have a rate, and failed authentication.

By address is counted before credentials are looked at, by claim once the token has met the rule.
Failures are looked up before a token is read, so that whoever guesses costs neither a parse nor a
signature check; a token that was verified before is not asked about.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import ceil
from typing import Any, TypeVar

from .addresses import Proxies, client_key
from .claims import lookup
from .errors import FetchError, InvalidToken, TooManyRequests, Unavailable
from .model import Allow, Ask, Clock, Decision, Deny, Flow, Pairs, Request
from .policy import BoundRule
from .publish import json_text
from .rates import Limit, RateStore, SharedRateStore, Used, key_for, remaining, wait
from .token import Verified, VerifiedToken

log = logging.getLogger("jwtguard")

T = TypeVar("T")

PAUSE = 1.0
"""Seconds for which a store that is down is not asked again."""

Standing = list[tuple[Limit, Used]]


class Counting:
    """Counts for one guard. ``failed`` are the limits of failed authentication."""

    def __init__(
        self, store: RateStore, proxies: Proxies, failed: Sequence[Limit], clock: Clock
    ) -> None:
        self.failed = failed
        self._store = store
        self._shared = store if isinstance(store, SharedRateStore) else None
        self._proxies = proxies
        self._clock = clock
        self._down_since = float("-inf")
        self._said: set[str] = set()

    def judge(
        self,
        request: Request,
        bound: BoundRule,
        rest: Callable[[], Decision | Flow[Decision]],
    ) -> Flow[Decision]:
        """*rest*, which judges, within the rule's limits. Raises TooManyRequests, Unavailable."""
        client = self._client(request)
        standing: Standing = []
        for limit in bound.limits:
            if limit.claim is None:
                yield from self._count(bound, limit, (client,), standing)
        found = rest()
        decision = found if isinstance(found, (Allow, Deny)) else (yield from found)
        if isinstance(decision, Deny) or decision.reported is not None:
            return decision
        for limit in bound.limits:
            if limit.claim is not None:
                who = _holder(decision.token, limit.claim) or (client,)
                try:
                    yield from self._count(bound, limit, who, standing)
                except TooManyRequests as error:
                    if decision.token is not None:
                        error.issuer, error.subject = decision.token.issuer, decision.token.subject
                    raise
        decision.added = (*decision.added, *_headers(bound.limits, standing))
        return decision

    def verify(
        self,
        request: Request,
        verify: Callable[[], Verified | Flow[Verified]],
        *,
        is_counted: bool,
    ) -> Flow[Verified]:
        """*verify* a token, unless too many from this address failed; a failure *is_counted*.

        Raises TooManyRequests, Unavailable, and whatever *verify* raises.
        """
        client = self._client(request)
        keys = [(limit, key_for(limit, (client,))) for limit in self.failed]
        for limit, key in keys:
            used = yield from self._look(limit, key)
            if used is not None and not remaining(limit, used):
                raise _exceeded(limit, used, client, "too_many_failures")
        try:
            found = verify()
            return found if isinstance(found, Verified) else (yield from found)
        except InvalidToken:
            for limit, key in keys if is_counted else ():
                with suppress(Unavailable):  # why it was refused is known
                    yield from self._hit(limit, key)
            raise

    def _count(
        self, bound: BoundRule, limit: Limit, who: Sequence[str], standing: Standing
    ) -> Flow[None]:
        answer = yield from self._hit(limit, key_for(limit, who))
        if answer is None:
            return
        allowed, used = answer
        standing.append((limit, used))
        if not allowed:
            error = _exceeded(limit, used, who[0] if limit.claim is None else None)
            error.headers = _headers(bound.limits, standing)
            raise error

    def _hit(self, limit: Limit, key: str) -> Flow[tuple[bool, Used] | None]:
        """Count; None where that cannot be done now."""
        asked, shared = (key, limit.quota, limit.window, self._clock()), self._shared
        if shared is None:
            return self._store.hit(*asked)
        return (yield from self._ask(shared, shared.hit, shared.ahit, asked))

    def _look(self, limit: Limit, key: str) -> Flow[Used | None]:
        """The counts; None where they cannot be had now."""
        asked, shared = (key, limit.window, self._clock()), self._shared
        if shared is None:
            return self._store.look(*asked)
        return (yield from self._ask(shared, shared.look, shared.alook, asked))

    def _ask(
        self,
        shared: SharedRateStore,
        in_threads: Callable[..., T],
        on_loops: Callable[..., Awaitable[T]],
        asked: tuple[Any, ...],
    ) -> Flow[T | None]:
        """The store's answer; None where it is down and requests are let through."""
        now: float = asked[-1]
        is_open = shared.when_down == "allow"
        if not 0 <= now - self._down_since < PAUSE:
            try:
                answer: T = yield Ask(in_threads, on_loops, asked)
                return answer
            except FetchError as error:
                self._down_since = now
                what = "let through uncounted" if is_open else "refused"
                log.error("the rate store is down, requests are %s: %s", what, error)
        if is_open:
            return None
        raise Unavailable("rates_unavailable", retry_after=1)

    def _client(self, request: Request) -> str:
        """What stands for the client; and a word, once, where that is likely not who is meant."""
        peer = request.client
        forwarded = request.headers.get_all("x-forwarded-for")
        address = self._proxies.client(peer, forwarded)
        if address is None:
            self._say_once(
                "limits by address count everybody as one: a peer has no address; if it is your "
                "proxy on a Unix socket, write trusted_proxies = ['unix']"
            )
        elif forwarded and address.is_private and not self._is_known(peer, forwarded):
            self._say_once(
                f"limits by address count everybody behind {address} as one: it sends "
                "X-Forwarded-For; if it is your proxy, name it in trusted_proxies"
            )
        return client_key(address)

    def _is_known(self, peer: str | None, forwarded: Sequence[str]) -> bool:
        """Whether *peer* is a trusted proxy, or the server has read for itself whom one named."""
        return self._proxies.trust(peer) or any(str(peer) in value for value in forwarded)

    def _say_once(self, what: str) -> None:
        kind = what[:40]
        if kind not in self._said:
            self._said.add(kind)
            log.warning("%s", what)


def _holder(token: VerifiedToken | None, claim: str) -> Sequence[str] | None:
    """Who holds the claim: its value, within the issuer that says so. None where nobody does.

    An issuer must not be able to use up what another's users have (RFC 7519 section 4.1.2: a
    subject is unique in the context of its issuer).
    """
    value = None if token is None else lookup(token.claims, claim)
    if token is None or value is None:
        return None
    return "token", token.issuer, token.tenant or "", json_text(value)


def _exceeded(
    limit: Limit, used: Used, client: str | None, reason: str | None = None
) -> TooManyRequests:
    error = TooManyRequests(wait(limit, used), reason)
    error.found, error.want = client, str(limit)
    return error


def _headers(limits: Sequence[Limit], standing: Standing) -> Pairs:
    """What clients are told (draft-ietf-httpapi-ratelimit-headers-11, sections 3 and 4)."""
    policy = ", ".join([limit.policy for limit in limits])
    now = ", ".join([_service_limit(limit, used) for limit, used in standing])
    return (("RateLimit-Policy", policy), ("RateLimit", now)) if now else ()


def _service_limit(limit: Limit, used: Used) -> str:
    left = remaining(limit, used)
    seconds = max(1, ceil(used.left)) if left else wait(limit, used)
    return f'"{limit.name}";r={left};t={seconds}'
