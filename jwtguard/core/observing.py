"""What an observer is told: every decision, and every exchange with an identity provider.

Nothing here waits, and nothing that an observer does can change an answer: what it raises is
logged once and goes no further. Where a guard has no observer there is no `Watch` either, and a
request pays for one comparison.
"""

import logging
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

from .errors import AuthError, Problem
from .model import Background, Clock, Decision, Deny, Fetch, Fetched, Flow
from .refused import fingerprint
from .remote import RemoteKeys
from .token import VerifiedToken
from .wording import as_list

log = logging.getLogger("jwtguard")

T = TypeVar("T")

Verdict = Literal["allowed", "refused", "reported", "answered"]
How = Literal["recalled", "verified"]
Kind = Literal["keys", "introspection", "login"]

MAX_TOLD = 32  # exchanges of one source that are known to be told


class Decided:
    """A decision.

    - ``verdict``: "allowed"; "refused"; "reported" where it would have been refused, and is not
      until the rule's ``report_until``; "answered" where the guard answers in the app's place
      without refusing (a preflight, metadata).
    - ``rule``: its label, such as ``3:/api/**``, or the view whose ``requires`` refused. None
      where no rule was asked, as for a path with two readings, and for a preflight let through.
    - ``token``: the token that passed; None where nobody was authenticated.
    - ``error``: why it was refused, or would have been.
    - ``how``: whether ``token`` had been seen before ("recalled") or not ("verified": by its
      signature or by introspection).
    - ``seconds``: how long the decision took, with all waiting; None where it was recalled the
      short way, which takes microseconds, and where a view refused.
    """

    __slots__ = ("error", "how", "rule", "seconds", "token", "verdict")

    def __init__(
        self,
        verdict: Verdict,
        rule: str | None,
        token: VerifiedToken | None = None,
        error: AuthError | None = None,
        how: How | None = None,
        seconds: float | None = None,
    ) -> None:
        self.verdict = verdict
        self.rule = rule
        self.token = token
        self.error = error
        self.how = how
        self.seconds = seconds

    @property
    def reason(self) -> str | None:
        """The stable code of the refusal (docs/reasons.md)."""
        return None if self.error is None else self.error.reason

    @property
    def status(self) -> int | None:
        """The HTTP status of the refusal; a browser may have been redirected instead."""
        return None if self.error is None else self.error.status

    @property
    def issuer(self) -> str | None:
        """The configured name of the issuer, where it is known."""
        if self.token is not None:
            return self.token.issuer
        return None if self.error is None else self.error.issuer

    @property
    def subject(self) -> str | None:
        """The fingerprint of ``sub``, as in the log; never ``sub`` itself."""
        if self.token is not None:
            subject = self.token.subject
        else:
            subject = None if self.error is None else self.error.subject
        return None if subject is None else fingerprint(subject)

    def __repr__(self) -> str:
        return f"<Decided {self.verdict} {self.rule} {self.reason}>"


class Exchange:
    """An HTTP exchange with an identity provider, told once however many requests waited for it.

    - ``kind``: "keys" (a JWK Set, or the discovery document in front of it), "introspection",
      "login".
    - ``issuer``: the configured name.
    - ``url``: where it went.
    - ``status``: of the answer; None where there was none.
    - ``seconds``: how long it took.
    - ``keys_from``: for "keys", when the set that is used now was fetched, in seconds since the
      epoch; None before the first good answer.
    """

    __slots__ = ("issuer", "keys_from", "kind", "seconds", "status", "url")

    def __init__(
        self,
        kind: Kind,
        issuer: str,
        url: str,
        status: int | None,
        seconds: float,
        keys_from: float | None = None,
    ) -> None:
        self.kind = kind
        self.issuer = issuer
        self.url = url
        self.status = status
        self.seconds = seconds
        self.keys_from = keys_from

    def __repr__(self) -> str:
        return f"<Exchange {self.kind} {self.issuer} {self.status}>"


@runtime_checkable
class Observer(Protocol):
    """Somebody who is told what the guard does; derive from it and write what you need.

    All three are called on the way of a request, in its thread or on its event loop: they must be
    quick and must not wait. What they raise is logged once and changes nothing.
    """

    def decided(self, decided: Decided) -> None:
        """A request was judged."""

    def recalled(self, rule: str, token: VerifiedToken) -> None:
        """The same for a token that met *rule* before: almost every request, so make it quick.

        Unless it is written anew, `decided` is told.
        """
        self.decided(Decided("allowed", rule, token, how="recalled"))

    def exchanged(self, exchange: Exchange) -> None:
        """Somebody was asked over HTTP, or did not answer."""


def observer_problems(given: object) -> Iterable[Problem]:
    """What is wrong with an ``observer`` parameter."""
    for index, observer in enumerate(as_list(given)):
        if not isinstance(observer, Observer) or isinstance(observer, type):
            where = f"observer[{index}]" if isinstance(given, list | tuple) else "observer"
            found = observer.__name__ if isinstance(observer, type) else type(observer).__name__
            yield (
                where,
                "is an object with the methods of jwtguard.observe.Observer, such as "
                f"PrometheusObserver(); found {found}{' itself' * isinstance(observer, type)}",
            )


class Watch:
    """A guard's observers. *labels* are the names of its rules."""

    def __init__(
        self,
        observers: Iterable[Observer],
        labels: Mapping[object, str],
        timer: Clock = time.perf_counter,
    ) -> None:
        self._observers = tuple(observers)
        self._labels = labels
        self.timer = timer
        self._broken: set[int] = set()
        # source -> exchanges of it that are told; gone with the source
        self._told: WeakKeyDictionary[object, dict[tuple[str, int], object]]
        self._told = WeakKeyDictionary()

    # --- decisions ---

    def recalled(self, rule: str, token: VerifiedToken) -> None:
        """A request went the short way."""
        for observer in self._observers:
            try:
                observer.recalled(rule, token)
            except Exception as error:
                self._broke(observer, error)

    def decision(self, decision: Decision, began: float) -> Decision:
        """A request was judged; *began* is what `timer` said when it came."""
        seconds = self.timer() - began
        if isinstance(decision, Deny):
            verdict: Verdict = "answered" if decision.error is None else "refused"
            self.decided(Decided(verdict, decision.rule, None, decision.error, None, seconds))
            return decision
        rule, token = self._labels.get(decision.rule), decision.token
        how: How | None = None
        if token is not None:
            how = "recalled" if token._verified.is_told else "verified"
            token._verified.is_told = True
        verdict = "allowed" if decision.reported is None else "reported"
        self.decided(Decided(verdict, rule, token, decision.reported, how, seconds))
        return decision

    def waiting(self, flow: Flow[Decision], began: float) -> Flow[Decision]:
        """The same for a request that waits."""
        return self.decision((yield from flow), began)

    def decided(self, decided: Decided) -> None:
        """Tell everybody."""
        for observer in self._observers:
            try:
                observer.decided(decided)
            except Exception as error:
                self._broke(observer, error)

    # --- exchanges ---

    def exchanges(self, flow: Flow[T], issuer: str, kind: Kind) -> Flow[T]:
        """*flow*, whose exchanges are told as those of *issuer*."""
        try:
            wanted = next(flow)
            while True:
                began = self.timer()
                answer: Any = None
                failed: Exception | None = None
                try:
                    if isinstance(wanted, Background):
                        answer = yield Background(self.exchanges(wanted.flow, issuer, kind))
                    else:
                        answer = yield wanted
                except Exception as error:
                    failed = error
                seconds = self.timer() - began
                try:
                    following = flow.send(answer) if failed is None else flow.throw(failed)
                finally:  # by now whoever asked has read the answer
                    if isinstance(wanted, Fetch) and self._is_first(wanted):
                        self._exchanged(wanted, issuer, kind, answer, seconds)
                wanted = following
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    def _is_first(self, fetch: Fetch) -> bool:
        """Whether nobody else who waited for this exchange has told it."""
        if fetch.flight is None:
            return True
        source, attempt = fetch.flight
        told = self._told.setdefault(source, {})
        if len(told) >= MAX_TOLD:
            told.clear()
        mine = object()
        return told.setdefault((fetch.url, attempt), mine) is mine

    def _exchanged(
        self, fetch: Fetch, issuer: str, kind: Kind, answer: Fetched | None, seconds: float
    ) -> None:
        source = fetch.flight and fetch.flight[0]
        snapshot = None
        if kind == "keys" and isinstance(source, RemoteKeys):
            snapshot = source.snapshot
        keys_from = None if snapshot is None else snapshot.fetched_at
        status = None if answer is None else answer.status
        exchange = Exchange(kind, issuer, fetch.url, status, seconds, keys_from)
        for observer in self._observers:
            try:
                observer.exchanged(exchange)
            except Exception as error:
                self._broke(observer, error)

    def _broke(self, observer: Observer, error: Exception) -> None:
        if id(observer) in self._broken:
            return
        self._broken.add(id(observer))
        frames = "".join(traceback.format_tb(error.__traceback__))  # its text may quote anything
        log.error(
            "%s raised %s; it is not said again\n%s",
            type(observer).__name__,
            type(error).__name__,
            frames,
        )
