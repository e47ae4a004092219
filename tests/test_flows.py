"""A key source that must ask for its keys: what comes of every answer, through every door."""

import asyncio
import json

import pytest

from jwtguard import Guard, Issuer, Rule, drive, errors
from jwtguard.core import Allow, Deny, Fetch, Fetched, Request
from jwtguard.core.keys import KeySet, parse_jwk_set
from jwtguard.core.model import Ask as Question
from jwtguard.testing import FakeIssuer

from .contract import NO_CREDENTIALS, UNAVAILABLE, bearer
from .doors import DOORS, Ask

URL = "https://issuer.test/jwks"

idp = FakeIssuer()
ALICE = idp.bearer("alice")


class AskedKeys:
    """The smallest key source with an exchange in it: ask once, then know."""

    problems = ()

    def __init__(self):
        self.keys = KeySet()
        self.closed = 0

    def current(self):
        return self.keys

    def lookup(self, algorithm, kid):
        try:
            answer = yield Fetch(URL)
        except GeneratorExit:
            self.closed += 1
            raise
        if answer.status != 200:
            raise errors.KeysUnavailable(hint=f"status {answer.status}", retry_after=7)
        self.keys, _ = parse_jwk_set(json.loads(answer.body), symmetric=False)


class Exchange:
    """A fetch that answers from a list; an exception in it is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, fetch):
        self.asked.append(fetch)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answered(status=200):
    return Fetched(status, {"content-type": "application/json"}, json.dumps(idp.jwks()).encode())


def make_guard(source=None, *rules):
    issuer = Issuer(
        idp.issuer,
        audience=idp.audience,
        algorithms=["RS256"],
        keys=AskedKeys() if source is None else source,
    )
    return Guard([issuer], rules)


every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


def ask_as_alice(door, guard, fetch, value=ALICE):
    return door(guard, Ask("/x", headers=tuple(bearer(value).items())), fetch)


@every_door
def test_an_answer_lets_the_token_in_and_is_remembered(door):
    guard, fetch = make_guard(), Exchange(answered())

    for value in (ALICE, ALICE, idp.bearer("bob")):
        assert ask_as_alice(door, guard, fetch, value).status == 200

    assert [(asked.url, asked.method) for asked in fetch.asked] == [(URL, "GET")]


@every_door
def test_a_failed_exchange_is_503_with_retry_after(door):
    guard, fetch = make_guard(), Exchange(errors.FetchError("refused"), answered())

    answer = ask_as_alice(door, guard, fetch)

    assert answer.status == UNAVAILABLE.status
    assert int(answer.header("Retry-After")) > 0
    assert answer.header("WWW-Authenticate") is None
    assert json.loads(answer.body)["code"] == "unavailable"
    assert b"refused" not in answer.body
    assert ask_as_alice(door, guard, fetch).status == 200  # nothing was remembered


@every_door
def test_what_the_source_cannot_use_is_503_with_its_retry_after(door):
    answer = ask_as_alice(door, make_guard(), Exchange(answered(status=500)))

    assert (answer.status, answer.header("Retry-After")) == (503, "7")


@every_door
def test_without_a_way_to_ask_it_is_503(door):
    assert ask_as_alice(door, make_guard(), None).status == 503


@every_door
@pytest.mark.parametrize("error", [RuntimeError, OSError, TimeoutError, KeyError])
def test_an_exception_that_a_fetch_should_not_raise_stays_inside(door, error):
    fetch = Exchange(error("a defect in fetch"))

    answer = ask_as_alice(door, make_guard(), fetch)

    assert answer.status == 503
    assert b"defect" not in answer.body


@every_door
@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 7}', b"\xff\xfe", b"{" * 5000])
def test_an_exception_in_a_source_stays_inside(door, body):
    answer = ask_as_alice(door, make_guard(), Exchange(Fetched(200, {}, body)))

    assert answer.status == 503
    assert answer.seen is None


@every_door
def test_a_key_that_nobody_knows_is_a_bad_token(door):
    stranger = FakeIssuer()

    answer = ask_as_alice(door, make_guard(), Exchange(answered()), stranger.bearer())

    assert answer.status == 401


@every_door
@pytest.mark.parametrize(
    "value",
    [
        "Bearer abc",
        idp.bearer(expires=-60),
        idp.bearer(aud="https://other.test"),
        idp.bearer(iss="https://other.test/"),
        idp.bearer(header={"typ": "logout+jwt"}),
        idp.bearer(exp="soon"),
        f"Bearer {'a' * 20_000}",
    ],
    ids=["no JWT", "expired", "audience", "issuer", "typ", "a claim's type", "too long"],
)
def test_a_token_that_could_never_pass_costs_no_exchange(door, value):
    fetch = Exchange()

    assert ask_as_alice(door, make_guard(), fetch, value).status == 401
    assert fetch.asked == []


@every_door
def test_a_public_path_costs_no_exchange(door):
    fetch = Exchange()
    guard = make_guard(None, Rule("/**", access="public"))

    assert ask_as_alice(door, guard, fetch).status == 200
    assert fetch.asked == []


@every_door
def test_an_optional_path_does_not_take_an_outage_for_nobody(door):
    rule = Rule("/**", access="optional", credentials={"cookie": "auth_token"})
    ask = Ask("/x", headers=(("Cookie", f"auth_token={ALICE[7:]}"),))

    answer = door(make_guard(None, rule), ask, Exchange(errors.FetchError("down")))

    assert answer.status == 503
    assert answer.seen is None


# --- by hand ------------------------------------------------------------------------------------


def request(value=ALICE):
    return Request("GET", "/x", headers=list(bearer(value).items()))


def finish(step, *given):
    """The value that a flow ends with at this step."""
    with pytest.raises(StopIteration) as end:
        step(*given)
    return end.value.value


def test_a_flow_asks_and_goes_on_with_the_answer():
    flow = make_guard().decide_flow(request())

    assert next(flow) == Fetch(URL)
    decision = finish(flow.send, answered())

    assert isinstance(decision, Allow)
    assert decision.token.subject == "alice"


def test_a_flow_that_is_told_of_a_failure_denies():
    flow = make_guard().decide_flow(request())

    next(flow)
    decision = finish(flow.throw, errors.FetchError("no route"))

    assert isinstance(decision, Deny)
    assert decision.status == 503
    assert isinstance(decision.error, errors.KeysUnavailable)


def test_a_flow_that_need_not_ask_ends_at_once():
    decision = finish(next, make_guard().decide_flow(Request("GET", "/x")))

    assert (decision.status, decision.error.code) == (401, NO_CREDENTIALS.code)


def test_a_flow_may_ask_several_times():
    class Twice(AskedKeys):
        def lookup(self, algorithm, kid):
            first = yield Fetch("https://issuer.test/.well-known/openid-configuration")
            assert first.status == 302
            yield from super().lookup(algorithm, kid)

    flow = make_guard(Twice()).decide_flow(request())

    assert next(flow).url.endswith("openid-configuration")
    assert flow.send(answered(status=302)) == Fetch(URL)
    assert isinstance(finish(flow.send, answered()), Allow)


def test_a_source_may_mend_a_failure_itself():
    class Stale(AskedKeys):
        def lookup(self, algorithm, kid):
            try:
                yield from super().lookup(algorithm, kid)
            except errors.FetchError:
                self.keys, _ = parse_jwk_set(idp.jwks(), symmetric=False)

    flow = make_guard(Stale()).decide_flow(request())
    next(flow)

    assert isinstance(finish(flow.throw, errors.FetchError("down")), Allow)


def test_a_flow_that_is_given_up_tells_its_source():
    source = AskedKeys()
    flow = make_guard(source).decide_flow(request())
    next(flow)

    flow.close()

    assert source.closed == 1


def test_a_cancelled_task_gives_its_flow_up():
    source = AskedKeys()

    async def never(fetch):
        await asyncio.Event().wait()

    async def cancel():
        flow = make_guard(source).decide_flow(request())
        task = asyncio.create_task(drive.arun(flow, never))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert source.closed == 1


def test_an_interrupt_gives_its_flow_up():
    source = AskedKeys()

    def interrupted(fetch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive.run(make_guard(source).decide_flow(request()), interrupted)

    assert source.closed == 1


def test_requests_that_wait_at_once_do_not_mix():
    guard = make_guard()
    tokens = {f"user-{number}": idp.bearer(f"user-{number}") for number in range(20)}
    asked = []

    async def fetch(wanted):
        asked.append(wanted)
        await asyncio.sleep(0.001 * (len(asked) % 3))
        return answered()

    async def all_at_once():
        flows = [guard.decide_flow(request(value)) for value in tokens.values()]
        return await asyncio.gather(*(drive.arun(flow, fetch) for flow in flows))

    decisions = asyncio.run(all_at_once())

    assert [decision.token.subject for decision in decisions] == list(tokens)


def test_verify_flow_asks_too():
    flow = make_guard().verify_flow(ALICE[7:])

    assert next(flow) == Fetch(URL)
    assert finish(flow.send, answered()).subject == "alice"


def test_verify_says_that_it_could_not_check():
    with pytest.raises(errors.KeysUnavailable):
        make_guard().verify(ALICE[7:])
    with pytest.raises(errors.KeysUnavailable):
        asyncio.run(make_guard().averify(ALICE[7:]))


# --- questions that are no HTTP exchange ---------------------------------------------------------


def in_both(flow):
    """What comes of a flow in threads and on an event loop."""
    return drive.run(flow()), asyncio.run(drive.arun(flow()))


def test_a_question_is_answered_without_and_with_an_event_loop():
    async def on_a_loop(word):
        return f"on a loop: {word}"

    def flow():
        return (yield Question("in threads: {}".format, on_a_loop, ("who",)))

    assert in_both(flow) == ("in threads: who", "on a loop: who")


def test_an_answer_on_a_loop_may_be_there_already():
    def flow():
        return (yield Question(lambda: 1, lambda: 2))

    assert in_both(flow) == (1, 2)


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (errors.InvalidRequest(hint="too long"), errors.InvalidRequest),
        (OSError("a secret"), errors.FetchError),
    ],
)
def test_what_a_question_raises_is_thrown_in_without_what_it_might_quote(raised, seen):
    def ask():
        raise raised

    def flow():
        try:
            yield Question(ask, ask)
        except errors.JWTGuardError as error:
            return type(error), "a secret" in str(error)

    assert in_both(flow) == ((seen, False), (seen, False))


def test_a_request_that_a_door_hands_over_without_a_body_has_none():
    with pytest.raises(errors.InvalidRequest):
        Request("POST", "/").read_body(10)
