"""``jwtguard explain``: the way of a request through a guard, step by step.

The verdict is the guard's own (`Guard.decide`); the steps are told with the functions that it
uses, in the order of its `judge`.
"""

import json
import logging
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from jwtguard.core.browser import is_preflight
from jwtguard.core.candidates import Candidates
from jwtguard.core.errors import AuthError, CrossSiteRequest
from jwtguard.core.extractor import (
    Bearer,
    FromCookie,
    FromHeader,
    FromQuery,
    FromSubprotocol,
    Place,
)
from jwtguard.core.grammar import is_token
from jwtguard.core.model import Allow, Decision, Deny, Request
from jwtguard.core.policy import BoundRule
from jwtguard.core.refused import escaped, fingerprint
from jwtguard.core.reporting import shown
from jwtguard.core.token import Verified
from jwtguard.guard import Guard

from .checking import find, preflight_hint
from .output import WrongUse, facts, painted, printable, without_tokens, wrapped
from .sources import named, need_transport, origin, told
from .tokens import read_token, unverified, when


class Step(NamedTuple):
    """A thing the guard looks at, and what it finds."""

    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.label}: {self.text}"


def run(given: Namespace) -> int:
    """0 where the request is allowed, 1 where it is denied."""
    guard = find(given.target)
    request = _request(given)
    log = logging.getLogger("jwtguard.refused")
    log.disabled, was = True, log.disabled  # the steps say it, and more
    try:
        with told() as notes:
            decision = guard.decide(request)
    finally:
        log.disabled = was
    if isinstance(decision, Deny) and decision.error is not None:
        need_transport(decision.error)
    steps = [
        Step(step.label, without_tokens(step.text)) for step in _told(guard, request, decision)
    ]
    steps += [Step("keys", without_tokens(note)) for note in notes]
    rule, reason = _rule(guard, request), _reason(decision)
    verdict = "allow" if isinstance(decision, Allow) else "deny"
    if given.json:
        report = {
            "verdict": verdict,
            "status": decision.status,
            "rule": rule,
            "reason": reason,
            "steps": [str(step) for step in steps],
        }
        print(json.dumps(report, indent=2))
    else:
        _print(steps, verdict, decision.status, reason)
    return 0 if isinstance(decision, Allow) else 1


def _print(steps: list[Step], verdict: str, status: int, reason: str | None) -> None:
    out = sys.stdout
    for step in steps:
        lines = wrapped(printable(step.text), 14).split("\n")
        print(painted(f"{step.label:<13} ", "dim", out) + "\n".join(lines)[14:])
    word = painted(verdict, "green" if verdict == "allow" else "red", out)
    if verdict == "allow":
        print(f"{'verdict':<13} {word}" + (f", reported: {reason}" if reason else ""))
    else:
        print(f"{'verdict':<13} {word} {status} {reason or ''}")


def _request(given: Namespace) -> Request:
    """The request as a server would hand it over: the target decoded once, and as it came."""
    headers = [_header(text) for text in given.header]
    if given.token is not None:
        headers.append(("Authorization", f"Bearer {read_token(given.token)}"))
    target = given.path.encode("utf-8", "surrogateescape")
    raw, _, query = target.partition(b"?")
    return Request(
        given.method,
        unquote_to_bytes(raw).decode("utf-8", "replace"),
        raw_path=target.decode("latin-1"),
        query=query.decode("latin-1"),
        headers=headers,
        client="127.0.0.1",
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not is_token(name):
        raise WrongUse("--header takes a name and a value, as in --header 'Origin: https://x'")
    return name, value.strip().encode("utf-8", "surrogateescape").decode("latin-1")


def _reason(decision: Decision) -> str | None:
    if isinstance(decision, Allow):
        return None if decision.reported is None else decision.reported.reason
    if decision.error is None:
        return "preflight" if decision.status == 204 else "metadata"
    return decision.error.reason


def _rule(guard: Guard, request: Request) -> str | None:
    try:
        return guard.policy.route(request)[0].label
    except AuthError:
        return None


# --- steps --------------------------------------------------------------------------------------


def _told(guard: Guard, request: Request, decision: Decision) -> Iterator[Step]:
    if isinstance(decision, Deny) or decision.reported is None:
        yield from _steps(guard, request, decision)
        return
    yield from _steps(guard, request, Deny(decision.reported))
    until = guard.reported_until(request)
    end = "" if until is None else f" before {shown(until)}"
    yield Step("report-only", f"this is not enforced{end}: the app is reached, by nobody")
    yield from _answer(decision)


def _steps(guard: Guard, request: Request, decision: Decision) -> Iterator[Step]:
    error = decision.error if isinstance(decision, Deny) else None
    yield Step("request", f"{escaped(request.method)} {escaped(request.path)}")
    try:
        bound, pattern, method = guard.policy.route(request)
    except AuthError as refusal:
        yield Step("target", f"refused before any rule: {facts(refusal)}")
        yield from _answer(decision)
        return
    yield Step("target", "has one reading")
    if is_preflight(request, method) and (error is None and _rule_of(decision) is None):
        word = "let through" if isinstance(decision, Allow) else "answered"
        yield Step("preflight", f"a CORS preflight is {word} without a token")
        yield from _answer(decision)
        return
    if bound is guard.policy.metadata:
        yield Step("rule", "none is asked: here are facts for clients (protected_resource)")
        yield from _answer(decision)
        return
    yield from _passed_over(guard, request, bound)
    if bound is guard.policy.uncovered:
        yield Step(
            "rule",
            f"{bound.label}: no rule is for {method} here, and one that was passed over asks for "
            "more than a valid token, so the rest is refused",
        )
        yield from _answer(decision)
        return
    if bound is guard.policy.closing:
        yield Step("rule", f"{bound.label}, which closes the list: no rule names this path")
    else:
        by = pattern.text if pattern is not None else bound.rule.text
        yield Step("rule", f"{bound.label} decides: {by} is the first that matches")
    if bound.limits:
        yield Step("limits", ", ".join(map(str, bound.limits)))
    if bound.access == "public":
        yield Step("wants", "nothing: credentials are not looked at")
    else:
        yield Step("wants", _wants(bound))
        yield from _credentials(guard, request, bound, decision)
    if is_preflight(request, method) and error is not None and (hint := preflight_hint(guard)):
        yield Step("hint", hint)
    yield from _answer(decision)


def _rule_of(decision: Decision) -> object:
    return decision.rule if isinstance(decision, Allow) else None


def _passed_over(guard: Guard, request: Request, bound: BoundRule) -> Iterator[Step]:
    rules = guard.policy.rules
    last = rules.index(bound) if bound in rules else len(rules)
    here = {entry.order for entry in guard.policy.router.find(request.path)}
    others: list[BoundRule] = []
    for order, passed in enumerate(rules[:last]):
        if order not in here:
            others.append(passed)
            continue
        yield from _elsewhere(others)
        others = []
        methods = ", ".join(sorted(passed.rule.methods or ()))
        yield Step("passed over", f"{passed.label} is for {methods}")
    yield from _elsewhere(others)


def _elsewhere(rules: list[BoundRule]) -> Iterator[Step]:
    """Rules in a row whose paths do not match, as one step."""
    if len(rules) > 3:
        labels = f"{rules[0].label} to {rules[-1].label} ({len(rules)} rules)"
    else:
        labels = ", ".join(rule.label for rule in rules)
    if rules:
        yield Step("passed over", f"{labels}: the path does not match")


def _wants(bound: BoundRule) -> str:
    trusted = bound.candidates.issuers
    if bound.session is not None:
        trusted |= bound.session[1].issuers
    names = ", ".join(sorted(issuer.name for issuer in trusted)) or "nobody"
    places = " or ".join(_place(place) for place in bound.places)
    wants = [f"a valid token from {names}, in {places}"]
    if bound.access == "optional":
        wants.append("or no token at all")
    requirement = bound.requirement
    if requirement is not None:
        for word in ("scopes", "any_scope", "roles", "any_role"):
            if listed := getattr(requirement, word):
                wants.append(f"{word} {', '.join(listed)}")
        if requirement.require:
            wants.append(f"require {_json(requirement.require)}")
        if requirement.check is not None:
            wants.append(f"check {getattr(requirement.check, '__qualname__', '…')}")
    return "; ".join(wants)


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _place(place: Place) -> str:
    if isinstance(place, Bearer):
        return "Authorization: Bearer"
    words = {FromCookie: "cookie", FromHeader: "header", FromQuery: "query parameter"}
    words[FromSubprotocol] = "subprotocol"
    word = next((word for kind, word in words.items() if isinstance(place, kind)), None)
    return repr(place) if word is None else f"{word} {getattr(place, 'name', '')}"


def _credentials(
    guard: Guard, request: Request, bound: BoundRule, decision: Decision
) -> Iterator[Step]:
    """Where a token was found, and what became of it."""
    error = decision.error if isinstance(decision, Deny) else None
    found: list[str] = []
    session = () if bound.session is None else (bound.session[0],)
    candidates = bound.candidates
    for places in (bound.explicit, bound.ambient, session):
        if found:
            if bound.ambient or session:
                yield Step("credentials", "cookies are not read: an explicit place decides alone")
            break
        for place in places:
            try:
                raw = place.read(request)
            except AuthError as refusal:
                yield Step("credentials", f"{_place(place)}: {facts(refusal)}")
                if isinstance(decision, Allow):
                    yield Step("token", _PASSED_OVER)
                return
            if raw is None:
                yield Step("credentials", f"{_place(place)}: nothing")
            else:
                yield Step("credentials", f"{_place(place)}: a token, {fingerprint(raw)}")
                found.append(raw)
                if bound.session is not None and places is session:
                    candidates = bound.session[1]
    if len(found) > 1:
        yield Step("credentials", "several tokens in one request: refused")
    elif isinstance(error, CrossSiteRequest):
        yield Step("cookie", f"refused: {facts(error)}")
    elif found:
        yield from _token(guard, found[0], candidates, bound, decision)
    elif bound.access == "optional":
        yield Step("token", "none is needed: the request goes on without a user")


_PASSED_OVER = "a bad cookie is passed over where no token is needed"


def _token(
    guard: Guard, raw: str, candidates: Candidates, bound: BoundRule, decision: Decision
) -> Iterator[Step]:
    asked = candidates.introspecting
    if asked is not None and raw.count(".") not in (2, 4):
        yield Step("token", f"is no JWT: issuer {asked.name} is asked what it is (introspection)")
    else:
        yield Step("token says", _said(raw))
    try:
        token = guard.verify(raw, issuers=[issuer.name for issuer in candidates.issuers])
        verifier = guard.verifier
        # Where it is no longer remembered, at least the keys are known by now.
        known = verifier.recall(raw, candidates) or verifier.verify(raw, candidates)
    except AuthError as refusal:
        by = "" if refusal.issuer is None else f" by issuer {refusal.issuer}"
        yield Step("token", f"refused{by}: {refusal.status} {facts(refusal)}")
        if isinstance(decision, Allow):
            yield Step("token", _PASSED_OVER)
        return
    expires = token.claims.get("exp")
    until = "does not expire" if expires is None else f"expires {when(expires)}"
    yield Step("token", f"good: issuer {token.issuer}, {until}")
    if isinstance(known, Verified):
        yield from _key(known)
    if bound.requirement is not None:
        error = decision.error if isinstance(decision, Deny) else None
        met = "is met" if error is None else f"is not met: {facts(error)}"
        yield Step("requirement", met)


def _key(verified: Verified) -> Iterator[Step]:
    """Which key it was, where there is a choice."""
    key, issuer = verified.key, verified.issued_by
    if key is not None and (len(verified.keys) > 1 or issuer.fetches):
        holders = [origin(one) for one in issuer.sources if key in one.current()]
        yield Step("key", f"{escaped(named(key))}, from {' and '.join(holders)}")


def _said(raw: str) -> str:
    """What stands in a token that nobody has verified yet."""
    try:
        header, claims = unverified(raw)
    except ValueError as error:
        return f"nothing readable: {error}"
    said = {name: header.get(name) for name in ("alg", "kid", "typ")}
    said |= {name: claims.get(name) for name in ("iss", "aud")}
    return ", ".join(f"{name} {escaped(v)}" for name, v in said.items() if v is not None)


def _answer(decision: Decision) -> Iterator[Step]:
    """What the client gets, or what the app gets to see."""
    if isinstance(decision, Deny):
        yield Step("answer", f"{decision.status}")
        for name, value in decision.headers:
            if name in ("WWW-Authenticate", "Location", "Retry-After"):
                yield Step("answer", f"{name}: {value}")
        return
    kept = {name.lower() for name, _ in decision.set}
    for name, value in decision.set:
        yield Step("forwarded", f"{name}: {escaped(value)}")
    if removed := sorted(decision.remove - kept):
        yield Step("removed", f"{', '.join(removed)} (the app sees none of these)")
    if decision.query is not None:
        yield Step("removed", "the token from the query")
    if decision.remote_user is not None:
        yield Step("published", f"REMOTE_USER {escaped(decision.remote_user)}")
    if decision.variables:
        yield Step("published", ", ".join(escaped(name) for name in decision.variables))
