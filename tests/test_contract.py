"""Every case of the contract table goes through every door."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jwtguard import VerifiedToken

from .contract import ALICE, CASES, GROUPS, PAGE, UNASKED, Case, Refusal
from .doors import APP_BODY, BOTH, DOORS, Answer, Ask, Door, do_without
from .serve_door import OF_THE_PROXY, serve_door

DOORS = {**DOORS, "serve": serve_door}
NOT_FOR = {"serve": OF_THE_PROXY}
try:
    from .fastapi_door import FASTAPI_DOORS

    DOORS |= FASTAPI_DOORS
except ModuleNotFoundError as missing:
    do_without(missing)
try:
    from .flask_door import flask_door

    DOORS["flask"] = flask_door
except ModuleNotFoundError as missing:
    do_without(missing)
try:
    from .quart_door import OF_QUART_ITSELF, quart_door

    DOORS["quart"] = quart_door
    NOT_FOR["quart"] = OF_QUART_ITSELF
except ModuleNotFoundError as missing:
    do_without(missing)


def check(case: Case, door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """*case* comes out as it must through *door*, and again when its token was seen before."""
    caplog.set_level(logging.DEBUG, logger="jwtguard")
    guard = case.guard()
    for _ in range(2):
        caplog.clear()
        _check_answer(case, door(guard, case.ask, case.fetch), caplog)


def _check_answer(case: Case, answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    records = [r for r in caplog.records if r.name == "jwtguard.refused" and r.ref != "-"]
    assert not [r for r in caplog.records if r.getMessage().startswith("unexpected ")]
    assert (answer.seen is not None) == case.reaches_app, records
    for name, value in case.response.items():
        assert answer.header(name) == value, name
    if case.reaches_app:
        assert not records
        _check_app(case, answer)
    elif case.answered:
        assert not records
        assert answer.status == case.answered
        assert case.body is UNASKED or answer.body == case.body
    else:
        assert len(records) == 1
        if case.reason is not None:
            assert records[0].reason == case.reason
        _check_refusal(case, answer, records[0])


def _check_app(case: Case, answer: Answer) -> None:
    seen = answer.seen
    assert seen is not None
    assert (answer.status, answer.body) == (200, APP_BODY)
    assert seen.token is None or isinstance(seen.token, VerifiedToken)
    assert seen.claims == ({} if seen.token is None else seen.token.claims)
    if case.sub is not UNASKED:
        assert (seen.token.subject if seen.token else None) == case.sub
    for name, value in case.headers_seen.items():
        assert seen.headers.get(name.lower()) == (None if value is None else [value]), name
    for expected, found in (
        (case.path, seen.path),
        (case.query, seen.query),
        (case.variables, seen.variables),
        (case.subprotocols, seen.subprotocols),
    ):
        assert expected is UNASKED or found == expected


def _check_refusal(case: Case, answer: Answer, record: logging.LogRecord) -> None:
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Vary")
    if case.method.upper() != "HEAD":
        assert answer.header("Content-Length") == str(len(answer.body))
    told = json.dumps(answer.headers) + answer.body.decode()
    for secret in re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", str((case.headers, case.target))):
        assert secret not in told
        assert secret not in record.getMessage()
    if case.redirect is not None:
        assert (answer.status, answer.header("Location")) == case.redirect
        assert answer.body == b""
        return
    refusal = case.refused
    assert refusal is not None
    assert answer.status == record.status == refusal.status
    assert answer.header("WWW-Authenticate") == _challenge(refusal, case.realm)
    assert (answer.header("Retry-After") is not None) == (refusal.status in (429, 503))
    _check_body(case, refusal, answer, record.ref)


def _challenge(refusal: Refusal, realm: str | None) -> str | None:
    if realm is None or refusal.challenge is None:
        return refusal.challenge
    scheme, _, rest = refusal.challenge.partition(" ")
    return f"{scheme} realm={realm}" + (f", {rest}" if rest else "")


def _check_body(case: Case, refusal: Refusal, answer: Answer, ref: str) -> None:
    assert re.fullmatch("[0-9a-f]{8}", ref)
    if case.method.upper() == "HEAD":
        assert answer.body == b""
        return
    if case.body is not UNASKED:
        assert json.loads(answer.body) == case.body
        return
    told = {
        "error": refusal.error,
        "message": refusal.message,
        "code": refusal.code,
        "ref": ref,
    }
    content_type = answer.header("Content-Type")
    if content_type == "application/json":
        assert json.loads(answer.body) == told
    elif content_type == "application/problem+json":  # RFC 9457 section 3.1
        problem = {"type": "about:blank", "title": refusal.message, "status": refusal.status}
        assert json.loads(answer.body) == problem | told
    else:
        assert content_type == "text/html; charset=utf-8"
        assert refusal.message.encode() in answer.body
        assert ref.encode() in answer.body


@pytest.mark.parametrize(
    ("case", "door"),
    [
        pytest.param(case, DOORS[door], id=f"{name}-{door}")
        for name, case in CASES.items()
        for door in DOORS
        if name not in NOT_FOR.get(door, ())
    ],
)
def test_contract(case, door, caplog):
    check(case, door, caplog)


def _neighbours(ask: Ask) -> Iterator[Ask]:
    """Requests that are like *ask* but for one thing."""
    for method in ("GET", "HEAD", "POST", "OPTIONS", "POUET"):
        yield replace(ask, method=method)
    yield replace(ask, websocket=not ask.websocket)
    yield replace(ask, raw=not ask.raw)
    yield replace(ask, scheme="http")
    yield replace(ask, headers=())
    yield replace(ask, headers=(("Authorization", ALICE),))
    yield replace(ask, headers=(("Origin", PAGE), ("Access-Control-Request-Method", "PUT")))
    yield replace(ask, target=f"{ask.target}/")
    yield replace(ask, target=ask.target.partition("?")[0] + "?a=b")


@pytest.mark.parametrize("door", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("group", GROUPS)
def test_no_request_changes_the_answer_to_another(group, door, caplog):
    """Whatever a guard remembers of requests, it is nothing that another one could notice."""
    caplog.set_level(logging.DEBUG, logger="jwtguard")
    for case in GROUPS[group]:
        guard = case.guard()
        for neighbour in _neighbours(case.ask):
            door(guard, neighbour, case.fetch)
        caplog.clear()
        _check_answer(case, door(guard, case.ask, case.fetch), caplog)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_cookie_that_is_ignored_is_logged_for_those_who_look(door, caplog):
    caplog.set_level(logging.DEBUG, logger="jwtguard.refused")
    case = CASES["optional: an expired token in a cookie is anonymous"]

    door(case.guard(), case.ask)

    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.reason == "expired"


def test_only_a_framework_that_is_named_may_be_missing(monkeypatch):
    missing = ModuleNotFoundError("No module named 'quart'", name="quart.routing")
    monkeypatch.setenv("JWTGUARD_WITHOUT", "flask quart")
    do_without(missing)
    monkeypatch.setenv("JWTGUARD_WITHOUT", "flask")
    with pytest.raises(ModuleNotFoundError):
        do_without(missing)


def test_every_case_has_a_name_of_its_own():
    assert len(CASES) == sum(map(len, GROUPS.values()))
