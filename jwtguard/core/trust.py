"""Which tokens are good, whatever request they come with, and for how long."""

import logging
import traceback
from collections.abc import Sequence
from typing import TypeVar

from .candidates import Candidates
from .claims import check_types
from .errors import (
    AuthError,
    ConfigurationError,
    FetchError,
    InvalidToken,
    MalformedToken,
    TokenExpired,
    Unavailable,
)
from .issuer import Issuer
from .keyloader import RefreshingKeySource, RemoteKeySource
from .model import Ask, Background, Clock, Flow, Request
from .observing import Kind
from .requirement import Requirement
from .revocation import Revocations
from .setup import Setup
from .shared import SharedAnswers
from .token import Verified, VerifiedToken, token_for_request
from .verifier import Verifier

log = logging.getLogger("jwtguard")

T = TypeVar("T")


class Trust:
    """A guard's issuers, and what they vouch for."""

    def __init__(self, setup: Setup, cache_size: int, clock: Clock) -> None:
        self._setup = setup
        self._clock = clock
        self.policy = setup.policy
        self.site = setup.site
        self.issuers: tuple[Issuer, ...] = tuple(setup.issuers)
        self.revocations = setup.revocations
        self.store = setup.given.store
        shared = None if self.store is None else SharedAnswers(self.store)
        self._watch = setup.watch
        self.verifier = Verifier(cache_size, clock, self.revocations, shared, setup.watch)

    def candidates(self, issuers: str | Sequence[str] | None = None) -> Candidates:
        """The issuers that may speak: those named, or those of the closing rule.

        Raises errors.ConfigurationError for a name that no issuer has.
        """
        if issuers is None:
            return self.policy.closing.candidates
        names = [issuers] if isinstance(issuers, str) else list(issuers)
        known = [issuer.name for issuer in self.issuers]
        known += [] if self.site is None else [self.site.issuer.name]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigurationError([("issuers", f"{unknown[0]!r} is none of {known}")])
        return self._setup.candidates(names)

    def verify_flow(
        self,
        raw: str,
        requirement: Requirement | None = None,
        issuers: str | Sequence[str] | None = None,
    ) -> Flow[VerifiedToken]:
        """Verify a token that did not come with a request. Raises errors.AuthError."""
        candidates = self.candidates(issuers)
        if requirement is not None and requirement.problems:
            raise ConfigurationError(requirement.problems)
        try:
            if not isinstance(raw, str):
                raise MalformedToken(hint=f"a token is text, not {type(raw).__name__}")
            known = yield from self._known(raw, candidates)
            token = token_for_request(known)
            if requirement is not None:
                requirement.authorize(token, Request("GET", "/"), {})
        except AuthError:
            raise
        except Exception as error:
            raise unexpected(error) from None
        return token

    def _known(self, raw: str, candidates: Candidates) -> Flow[Verified]:
        known = self.verifier.recall(raw, candidates)
        if known is None:
            verified = self.verifier.verify(raw, candidates)
            known = verified if isinstance(verified, Verified) else (yield from verified)
        return (yield from self.refreshed(known)) if is_due(known) else known

    def renew_flow(self, token: VerifiedToken) -> Flow[float]:
        """For how many seconds more a token that was good may be taken to be.

        Raises errors.InvalidToken where it is no longer good. Where nobody can be asked, or a
        function or source of the user's breaks, it is good until its own end.
        """
        known = token._verified
        candidates = self._setup.only(known.issued_by)
        try:
            until = (yield from self._known(known.raw, candidates)).valid_until
        except InvalidToken:
            raise
        except Exception as error:
            if not isinstance(error, Unavailable):
                unexpected(error)
            # Its own end takes no key: exp, and max_age where that is set.
            self._check_revoked(known)
            times = check_types(known.claims)
            _, until = known.issued_by.check_claims(known.claims, times, self._clock())
        left: float = until - self._clock()
        if left <= 0:
            raise TokenExpired("exp", found=known.claims.get("exp"))
        return left

    def _check_revoked(self, known: Verified) -> None:
        try:
            self.verifier.check_revoked(known)
        except InvalidToken:
            raise
        except Exception as error:  # as above: what cannot be said ends nothing
            if not isinstance(error, Unavailable):
                unexpected(error)

    def warm_flows(self) -> list[Flow[None]]:
        """Fetch the keys that must be fetched: a flow for each source, to be run side by side.

        They raise nothing: an outage is logged, and so is a defect of a key source.
        """
        flows: list[Flow[None]] = []
        for issuer in self.issuers:
            for source in issuer.sources:
                if isinstance(source, RefreshingKeySource):
                    flows.append(self._told(_warm(source), issuer, "keys"))
            if issuer.introspection is not None:
                flows.append(self._told(issuer.introspection.warm(), issuer, "introspection"))
        if self.site is not None:
            flows.append(self._told(self.site.warm(), self.site.issuer, "login"))
        if self.revocations is not None:
            flows.append(_begin(self.revocations))
        return [_without_defects(flow) for flow in flows]

    def refreshed(self, known: Verified) -> Flow[Verified]:
        """A refresh of the keys is begun, and nobody waits for it."""
        assert known.refreshing is not None
        try:
            yield Background(self._told(known.refreshing.refresh(), known.issued_by, "keys"))
        except FetchError as error:  # it could not be started; somebody tries again in a while
            log.error("keys were not refreshed: %s", error)
        except Exception as error:  # a source of the user's
            unexpected(error)
        return known

    def _told(self, flow: Flow[T], issuer: Issuer, kind: Kind) -> Flow[T]:
        return flow if self._watch is None else self._watch.exchanges(flow, issuer.name, kind)

    @property
    def switches(self) -> list[str]:
        """What was made less safe, by a switch that says so."""
        said = []
        for issuer in self.issuers:
            for source in issuer.given_sources:
                if getattr(source, "insecure", False):
                    remote = isinstance(source, RemoteKeySource)
                    switch = "insecure_http" if remote else "insecure_short_keys"
                    said.append(f"{switch} is set for issuer {issuer.name}")
            if issuer.introspection is not None and issuer.introspection.insecure:
                said.append(f"insecure_http is set for the introspection of {issuer.name}")
        return said if self.site is None else [*said, *self.site.switches]


def _warm(source: RefreshingKeySource) -> Flow[None]:
    if source.due() or not source.current().keys:
        yield from source.refresh()


def _begin(revocations: Revocations) -> Flow[None]:
    yield Ask(revocations.warm, revocations.warm)


def _without_defects(flow: Flow[None]) -> Flow[None]:
    """*flow*, where a defect is logged: the process starts, and requests are refused."""
    try:
        yield from flow
    except Exception as error:
        log.error("unexpected %s at start-up", type(error).__name__)


def is_due(known: Verified) -> bool:
    """Whether the keys behind a token should be fetched anew, ahead of their end."""
    try:
        return known.refreshing is not None and known.refreshing.due()
    except Exception as error:  # a source of the user's
        unexpected(error)
        return False


def unexpected(error: Exception) -> Unavailable:
    """A defect of ours or of a key source: refused, and logged without the message.

    The message of a foreign exception may quote what it choked on, the traceback does not.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("unexpected %s while judging; refused\n%s", type(error).__name__, frames)
    return Unavailable("internal_error")
