"""The guard: a request in, a decision out.

The way of a request, each step a refusal if in doubt:

1. the target has one reading (`paths`), else 400;
2. the first rule that matches (`policy`); https where it is wanted; its limits by address
   (`counting`);
3. the one token the request carries (`extractor`), and no other site's cookie (`browser`);
4. a token seen before, or verification (`verifier`), which may wait for an answer;
5. the rule's requirement (`requirement`), and its limits by claim;
6. what becomes of it (`outcome`): what the app gets to see, or what the client is told.

Almost nothing here waits, so `judge` is a plain function, and only a token whose key must be asked
for makes it return a flow.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from . import challenge
from .answers import Answers
from .browser import check_same_site, is_preflight
from .candidates import Candidates
from .counting import Counting
from .errors import (
    AuthError,
    ConfigurationError,
    HttpsRequired,
    InvalidRequest,
    MethodNotCovered,
    MissingCredentials,
    Problem,
)
from .extractor import Bearer, Place, check_authorization, read_one
from .issuer import Issuer
from .model import (
    Allow,
    Clock,
    Decision,
    Deny,
    Flow,
    Pairs,
    Request,
)
from .observing import Decided, Observer
from .outcome import Outcomes
from .paths import Pattern
from .policy import Access, BoundRule, Rule
from .publish import Variables
from .rates import Rate, RateStore
from .reporting import ReportUntil
from .revocation import Revocations
from .setup import UNSET, Https, Parameters, Preflight, Setup, Unset
from .signin import SignIn
from .store import Store
from .token import Verified, token_for_request
from .trust import Trust, is_due, unexpected

log = logging.getLogger("jwtguard")


class Guard(Trust):
    """Issuers, rules, and what the app and the client get to see.

    - ``issuers``, ``rules``: see `Issuer` and `Rule`. What no rule names needs a valid token.
    - ``forward``: request header -> claim (or JSON Pointer) for the app; what the client sends
      under these names never reaches it.
    - ``variables``: "json" or "plain" publishes ``jwt_claim_<name>`` and its kin.
    - ``realm``: names the protected space in challenges (RFC 9110 section 11.5).
    - ``origins``: other sites' origins that may send cookies along and read refusals.
    - ``public_url``: this site's own origin; no address is ever built from the Host header.
    - ``preflight``: a CORS preflight is judged like any request ("judge"), answered for listed
      origins ("answer"), or let through ("pass").
    - ``login``: where browsers are sent instead of a 401: a path, or an https address; or a
      `jwtguard.Login`, which signs them in here.
    - ``remote_user``: the template of ``REMOTE_USER``; ``"{sub}"`` where there is one issuer.
    - ``strip_credentials``: take the token out of what the app sees.
    - ``response_headers``: True for four protective ones, or a mapping; set where the app did not.
    - ``require_https``: "refuse" or "redirect" what comes over plain http.
    - ``error_body``: ``(error, request) -> mapping or None`` for another JSON body.
    - ``protected_resource``: True, a mapping or a list of mappings: what clients are told of this
      site (RFC 9728), at ``/.well-known/oauth-protected-resource`` and in challenges.
    - ``trusted_proxies``: networks (``10.0.0.0/8``) whose ``X-Forwarded-For`` says who the client
      is; "unix" for peers without an address.
    - ``failed_rate``: how many failed authentications an address has, as a rule's ``rate``.
    - ``rate_store``: where requests are counted; in this process where not given.
    - ``report_until``: a date, at most 90 days ahead: before it, what would be refused is logged
      and reaches the app as anonymous. For rules that say nothing else, and for odd paths.
    - ``revocations``: what ended before its time (`Revocations`).
    - ``store``: what processes share, such as answers of introspection (`jwtguard.stores`).
    - ``cache_size``: verified tokens to remember, each of at most 4 KiB.
    - ``observer``: an `observe.Observer`, or several: told of decisions and exchanges.
    - ``clock``: seconds since the epoch.

    Raises `errors.ConfigurationError` with every problem at once.
    """

    def __init__(
        self,
        issuers: Sequence[Issuer],
        rules: Sequence[Rule] = (),
        *,
        forward: Mapping[str, str] = {},
        variables: Variables = None,
        realm: str | None = None,
        origins: str | Sequence[str] = (),
        public_url: str | None = None,
        preflight: Preflight = "judge",
        login: str | SignIn | None = None,
        remote_user: str | Unset | None = UNSET,
        strip_credentials: bool = False,
        response_headers: Mapping[str, str] | Literal[True] = {},
        require_https: Https = False,
        error_body: challenge.ErrorBody | None = None,
        protected_resource: Any = None,
        trusted_proxies: str | Sequence[str] = (),
        failed_rate: Rate | None = None,
        rate_store: RateStore | None = None,
        report_until: ReportUntil | None = None,
        revocations: Revocations | None = None,
        store: Store | None = None,
        cache_size: int = 4096,
        observer: Observer | Sequence[Observer] | None = None,
        clock: Clock = time.time,
    ) -> None:
        setup = Setup(
            Parameters(
                issuers=issuers,
                rules=rules,
                forward=forward,
                variables=variables,
                realm=realm,
                origins=origins,
                public_url=public_url,
                preflight=preflight,
                login=login,
                remote_user=remote_user,
                strip_credentials=strip_credentials,
                response_headers=response_headers,
                require_https=require_https,
                error_body=error_body,
                protected_resource=protected_resource,
                trusted_proxies=trusted_proxies,
                failed_rate=failed_rate,
                rate_store=rate_store,
                report_until=report_until,
                revocations=revocations,
                store=store,
                cache_size=cache_size,
                observer=observer,
                clock=clock,
            )
        )
        if setup.problems:
            raise ConfigurationError(setup.problems)
        super().__init__(setup, cache_size, clock)
        self.warnings: tuple[Problem, ...] = tuple(setup.warnings)
        self.response_headers: Pairs = setup.response_headers
        self._answers = Answers(setup)
        self._outcomes = Outcomes(setup, self._answers)
        # What decides by itself, whatever a view says.
        self._own = (self.policy.uncovered, self.policy.metadata, self.policy.sign_in)
        self._forward_names = setup.forward_names
        self.origins = setup.origins
        self.preflight: Preflight = preflight
        self.proxies = setup.proxies
        self._counting = Counting(setup.rate_store, setup.proxies, setup.failed_limits, clock)
        self._announce()

    def __repr__(self) -> str:
        return f"<Guard issuers={[i.name for i in self.issuers]} rules={len(self.policy.rules)}>"

    def _announce(self) -> None:
        """Start-up says what is open, and every switch that makes something less safe."""
        log.info("open to everybody: %s", " ".join(self.policy.opened) or "nothing")
        for said in self.switches:
            log.warning("%s", said)
        for where, what in self.warnings:
            log.warning("%s: %s", where, what)

    # --- decide ---

    def decide_flow(self, request: Request) -> Flow[Decision]:
        """Allow or Deny, after whatever exchange it takes; nothing else, whatever was sent."""
        decision = self.judge(request)
        if isinstance(decision, (Allow, Deny)):
            return decision
        return (yield from decision)

    def recall(
        self,
        method: str,
        path: str,
        raw_path: str | None,
        field: str | None,
        is_public: Callable[[], bool] | None = None,
    ) -> Allow | None:
        """What `judge` would say of a plain target and a token that were both seen before.

        *field* is the value of the only ``Authorization`` field, *is_public* as in `judge`. None:
        ask `judge`, which wants the whole request. Here is nothing that `judge` does not say too;
        doors come here first because this is what almost every request is.
        """
        if field is None or field[:7] != "Bearer ":
            return None
        route = self.policy.recall(method, path, raw_path)
        if route is None or not route[0].is_plain:
            return None
        bound = route[0]
        if is_public is not None and bound is self.policy.closing and _may_be_open(is_public):
            return None
        known = self.verifier.recall(field[7:], bound.candidates)
        if known is None or (known.refreshing is not None and is_due(known)):
            return None
        rule, published = known.published
        if rule is not bound:  # not met by this token yet
            return None
        token = token_for_request(known)
        if self._watch is not None:
            self._watch.recalled(bound.label, token)
        return Allow(token, bound.rule, self._forward_names, published)

    def judge(
        self,
        request: Request,
        *,
        is_public: Callable[[], bool] | None = None,
        access: Access | None = None,
        again: bool = False,
    ) -> Decision | Flow[Decision]:
        """The decision at once, or the flow that leads to it where somebody must be asked.

        *is_public* is asked where no rule of the user's decides: whether the view itself says that
        it is open. *access* stands for the rule's own, where a view judges for itself; *again*:
        after it was judged, and counted, further out.
        """
        watch = self._watch
        if watch is None:
            return self._route(request, is_public, access, again)
        began = watch.timer()
        decision = self._route(request, is_public, access, again)
        if isinstance(decision, (Allow, Deny)):
            return watch.decision(decision, began)
        return watch.waiting(decision, began)

    def _route(
        self,
        request: Request,
        is_public: Callable[[], bool] | None,
        access: Access | None,
        again: bool,
    ) -> Decision | Flow[Decision]:
        bound: BoundRule | None = None
        try:
            bound, pattern, method = self.policy.route(request)
            if is_public is not None and bound is self.policy.closing and is_public():
                access = "public"
            if access is not None and bound.origin not in self._own:
                bound = bound.with_access(access)
            if bound.https and request.scheme not in ("https", "wss"):
                raise HttpsRequired
            if bound.limits and not again:
                rest = partial(self._judge, request, bound, pattern, method)
                return self._concluded(self._counting.judge(request, bound, rest), request, bound)
            return self._judge(request, bound, pattern, method)
        except AuthError as error:
            return self._outcomes.refuse(error, request, bound)
        except Exception as error:
            return self._outcomes.refuse(unexpected(error), request, bound)

    def _judge(
        self, request: Request, bound: BoundRule, pattern: Pattern | None, method: str
    ) -> Decision | Flow[Decision]:
        """The rest of `judge`, once it is known which rule decides."""
        raw: str | None = None
        from_cookie = False
        try:
            if bound is self.policy.metadata:
                return self._answers.to_metadata(request, method)
            if bound.origin is self.policy.sign_in:
                return self._concluded(self._sign_in(request, method), request, bound)
            if self.preflight != "judge" and is_preflight(request, method):
                if self.preflight == "pass":
                    allow = self._outcomes.allow(request, bound)
                    allow.rule = None
                    return allow
                answer = self._answers.to_preflight(request)
                if answer is not None:
                    return answer
            if bound.access == "public":
                return self._outcomes.allow(request, bound)
            if bound is self.policy.uncovered:
                raise MethodNotCovered(found=method)
            if not bound.reads_authorization:
                check_authorization(request)
            if bound.bearer_only:
                # What stands there need not be a token68; one that is a JWT is (`outcome`).
                raw = Bearer.glance(request)
            if raw is None:
                raw = read_one(bound.explicit, request)
            candidates = bound.candidates
            if raw is None and bound.ambient:
                raw = self._read_cookie(bound.ambient, request, bound, method)
                from_cookie = True
            if raw is None and bound.session is not None:
                place, candidates = bound.session
                raw = self._read_cookie((place,), request, bound, method)
                from_cookie = True
            if raw is None:
                if bound.access == "optional":
                    return self._outcomes.allow(request, bound)
                raise MissingCredentials
            found: Verified | Flow[Verified] | None = self.verifier.recall(raw, candidates)
            if found is None:
                found = self._verify(raw, request, bound, candidates, from_cookie)
            if isinstance(found, Verified):
                if is_due(found):  # whatever becomes of this request
                    found = self.refreshed(found)
                elif self.site is not None and self._is_to_renew(found, request):
                    found = _at_once(found)
                else:
                    return self._settle(request, bound, pattern, found, from_cookie)
            rest = self._wait(found, request, bound, pattern, from_cookie)
            return self._concluded(rest, request, bound, raw, from_cookie)
        except AuthError as error:
            return self._outcomes.refuse(error, request, bound, raw, from_cookie)
        except Exception as error:
            return self._outcomes.refuse(unexpected(error), request, bound, raw)

    def _concluded(
        self,
        flow: Flow[Decision],
        request: Request,
        bound: BoundRule,
        raw: str | None = None,
        from_cookie: bool = False,
    ) -> Flow[Decision]:
        """*flow*, which judges, to the end: what it raises is a refusal."""
        try:
            return (yield from flow)
        except AuthError as error:
            return self._outcomes.refuse(error, request, bound, raw, from_cookie)
        except Exception as error:
            return self._outcomes.refuse(unexpected(error), request, bound, raw)

    def _verify(
        self,
        raw: str,
        request: Request,
        bound: BoundRule,
        candidates: Candidates,
        from_cookie: bool,
    ) -> Verified | Flow[Verified]:
        if not self._counting.failed:
            return self.verifier.verify(raw, candidates)
        verify = partial(self.verifier.verify, raw, candidates)
        # A bad cookie is nobody's there, and an old one must not lock people out.
        is_counted = not (from_cookie and bound.access == "optional")
        return self._counting.verify(request, verify, is_counted=is_counted)

    def _wait(
        self,
        verifying: Flow[Verified],
        request: Request,
        bound: BoundRule,
        pattern: Pattern | None,
        from_cookie: bool,
    ) -> Flow[Decision]:
        """The rest of `judge` where somebody is asked first, or a session is made anew."""
        known = yield from verifying
        allow = self._settle(request, bound, pattern, known, from_cookie)
        site = self.site
        if site is not None and self._is_to_renew(known, request):
            allow.added = yield from self._told(site.renew(known, request), site.issuer, "login")
        return allow

    def _is_to_renew(self, known: Verified, request: Request) -> bool:
        """Whether this is a session that would end soon; a handshake sets no cookies."""
        site = self.site
        return (
            site is not None
            and known.issued_by is site.issuer
            and not request.websocket
            and site.is_due(known)
        )

    def _sign_in(self, request: Request, method: str) -> Flow[Decision]:
        """What `jwtguard.login` answers."""
        site = self.site
        assert site is not None
        deny = yield from self._told(site.answer(request, method), site.issuer, "login")
        return self._answers.completed(deny)

    def _read_cookie(
        self, places: Sequence[Place], request: Request, bound: BoundRule, method: str
    ) -> str | None:
        try:
            raw = read_one(places, request)
        except InvalidRequest as error:
            if bound.access != "optional":
                raise
            self._outcomes.pass_over(error, request, bound, None)
            return None
        if raw is not None and bound.access != "optional":
            check_same_site(request, method, self.origins)
        return raw

    def _settle(
        self,
        request: Request,
        bound: BoundRule,
        pattern: Pattern | None,
        known: Verified,
        from_cookie: bool,
    ) -> Allow:
        """A good token meets the rule's requirement."""
        if from_cookie and bound.access == "optional":
            # Only now: a bad cookie is nobody's there, whoever sent it.
            check_same_site(request, request.method.upper(), self.origins)
        token = token_for_request(known)
        requirement = bound.requirement
        if requirement is not None:
            parameters: Mapping[str, object] = {}
            if pattern is not None and requirement.parameter_names:
                parameters = pattern.parameters(request.path)
            try:
                requirement.authorize(token, request, parameters, bound.rule.status)
            except AuthError as error:
                error.issuer, error.subject = token.issuer, token.subject
                raise
        return self._outcomes.allow(request, bound, known, token)

    # --- besides ---

    def reported_until(self, request: Request) -> float | None:
        """When what is refused of such a request begins to be, in seconds since the epoch."""
        try:
            return self.policy.route(request)[0].report_until
        except AuthError:
            return self._outcomes.unruled.report_until

    def is_closing(self, allow: Allow) -> bool:
        """Whether the request was let through, and by no rule of the user's."""
        return allow.rule is self.policy.closing.rule and allow.reported is None

    def refusal(
        self, error: AuthError, request: Request, said_by: str, raw: str | None = None
    ) -> Deny:
        """The answer where the app itself refuses a request that was allowed.

        It is logged and told as a rule's refusal would be; *said_by* stands for the rule.
        """
        bound, _ = self.policy.choose(request.path, request.method.upper())
        if self._watch is not None:
            self._watch.decided(Decided("refused", said_by, error=error))
        return self._answers.refusal(error, request, bound, said_by, raw)


def _may_be_open(is_public: Callable[[], bool]) -> bool:
    try:
        return is_public()
    except Exception:  # `judge` asks again, and says what is wrong
        return True


def _at_once(known: Verified) -> Flow[Verified]:
    """A flow that asks nobody."""
    yield from ()
    return known
