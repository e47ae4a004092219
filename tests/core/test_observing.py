"""What observers are told, once each, and that nothing they do is felt by a request."""

import json
import logging
from datetime import UTC, datetime

import pytest

from jwtguard import Introspection, RemoteKeys, Rule, errors, requires
from jwtguard.core import Allow, Deny, Fetch, Fetched
from jwtguard.core.model import Background
from jwtguard.core.observing import MAX_TOLD, Decided, Exchange, Observer, Watch
from jwtguard.core.refused import fingerprint
from jwtguard.drive import run
from jwtguard.testing import FakeIssuer

from .forge import NOW, make_guard, make_issuer, request, token

URL = "https://issuer.test/jwks"
DAY = 86_400


class Noting(Observer):
    """Notes what it is told."""

    def __init__(self):
        self.told = []
        self.exchanges = []

    def decided(self, decided):
        self.told.append(decided)

    def exchanged(self, exchange):
        self.exchanges.append(exchange)


def fields(decided):
    return (
        decided.verdict,
        decided.rule,
        decided.reason,
        decided.status,
        decided.issuer,
        decided.how,
    )


@pytest.fixture
def seen():
    return Noting()


def test_every_decision_is_told_once(seen):
    rules = [
        Rule("/public", access="public"),
        Rule("/admin", roles="admin"),
        Rule("/get", methods="GET", scopes="a"),
    ]
    guard = make_guard(rules, observer=seen)
    raw = token()
    nobody = (None, None, None)
    closing = "closing:/**"
    asked = [
        (request("/public"), ("allowed", "0:/public", None, *nobody)),
        (request("/x"), ("refused", closing, "no_credentials", 401, None, None)),
        (request("/x", bearer=raw), ("allowed", closing, None, None, "people", "verified")),
        (request("/x", bearer=raw), ("allowed", closing, None, None, "people", "recalled")),
        (
            request("/admin", bearer=raw),
            ("refused", "1:/admin", "role_missing", 403, "people", None),
        ),
        (
            request("/get", method="PUT"),
            ("refused", closing, "method_not_covered", 403, None, None),
        ),
        (request("/a;b"), ("refused", None, "ambiguous_path", 400, None, None)),
    ]
    for one, told in asked:
        guard.decide(one)
        assert fields(seen.told[-1]) == told
    assert len(seen.told) == len(asked)
    assert all(decided.seconds >= 0 for decided in seen.told)


def test_a_request_that_goes_the_short_way_is_told_with_its_token(seen):
    guard = make_guard(observer=seen)
    field = f"Bearer {token()}"
    assert guard.recall("GET", "/x", None, field) is None
    guard.decide(request(bearer=token()))
    allow = guard.recall("GET", "/x", None, field)
    told = seen.told[-1]
    assert fields(told) == ("allowed", "closing:/**", None, None, "people", "recalled")
    assert (told.token, told.seconds) == (allow.token, None)
    assert len(seen.told) == 2


def test_the_subject_is_told_as_a_fingerprint(seen):
    guard = make_guard([Rule("/admin", roles="admin")], observer=seen)
    guard.decide(request(bearer=token()))
    guard.decide(request("/admin", bearer=token()))
    guard.decide(request())
    guard.decide(request(bearer=token(sub=...)))
    subjects = [told.subject for told in seen.told]
    assert subjects == [fingerprint("alice"), fingerprint("alice"), None, None]
    assert "alice" not in repr(seen.told)


def test_what_is_reported_is_told_so(seen):
    until = datetime.fromtimestamp(NOW + 10 * DAY, UTC).date()
    guard = make_guard(observer=seen, report_until=until)
    guard.decide(request())
    guard.decide(request("/a;b"))
    assert [fields(one) for one in seen.told] == [
        ("reported", "closing:/**", "no_credentials", 401, None, None),
        ("reported", None, "ambiguous_path", 400, None, None),
    ]


def test_what_the_guard_answers_itself_is_told_so(seen):
    origin = "https://app.test"
    guard = make_guard(origins=origin, preflight="answer", observer=seen)
    asked = [("Origin", origin), ("Access-Control-Request-Method", "PUT")]
    assert guard.decide(request(method="OPTIONS", headers=asked)).status == 204
    assert fields(seen.told[-1])[:3] == ("answered", None, None)

    passing = make_guard(preflight="pass", observer=seen)
    assert isinstance(passing.decide(request(method="OPTIONS", headers=asked)), Allow)
    assert fields(seen.told[-1])[:3] == ("allowed", None, None)


def test_what_a_view_refuses_is_told_by_the_views_name(seen):
    guard = make_guard(observer=seen)
    published = {"jwtguard.guard": guard, "jwtguard.token": guard.verify(token())}
    wanted = requires.requirement_from(None, {"roles": "admin"})
    assert isinstance(requires.judge(wanted, published, request(), {}, "audit"), Deny)
    [told] = seen.told
    assert fields(told) == ("refused", "requires:audit", "role_missing", 403, "people", None)
    assert told.seconds is None


def test_several_observers_are_each_told():
    two = Noting(), Noting()
    make_guard(observer=two).decide(request())
    assert [len(one.told) for one in two] == [1, 1]
    make_guard(observer=[]).decide(request())


class Breaking(Observer):
    def decided(self, decided):
        raise RuntimeError(TOKEN)

    def exchanged(self, exchange):
        raise RuntimeError(TOKEN)


def test_an_observer_that_raises_is_logged_once_and_changes_nothing(seen, caplog):
    guard = keys_guard([Breaking(), seen])
    for _ in range(2):
        assert run(guard.decide_flow(asked_of()), provider).status == 200
        assert guard.recall("GET", "/x", None, TOKEN) is not None
        assert run(guard.decide_flow(request()), provider).status == 401
    broke = [r for r in caplog.records if "Breaking raised RuntimeError" in r.getMessage()]
    assert len(broke) == 1
    assert TOKEN not in caplog.text
    assert (len(seen.told), len(seen.exchanges)) == (6, 1)


@pytest.mark.parametrize(
    ("given", "where", "found"),
    [
        (object(), "observer", "object"),
        ([Noting(), 3], "observer[1]", "int"),
        (Noting, "observer", "Noting itself"),
        ("prometheus", "observer", "str"),
    ],
)
def test_what_cannot_be_told_is_a_problem(given, where, found):
    with pytest.raises(errors.ConfigurationError) as caught:
        make_guard(observer=given)
    [(place, what)] = caught.value.problems
    assert place == where
    assert what.endswith(f"found {found}")


def test_without_an_observer_nothing_watches():
    assert make_guard()._watch is None


# --- exchanges ----------------------------------------------------------------------------------

idp = FakeIssuer(clock=lambda: NOW)
TOKEN = idp.bearer()


def provider(_):
    return Fetched(200, {}, json.dumps(idp.jwks()).encode())


def down(_):
    raise errors.FetchError("down")


def keys_guard(observer, now=lambda: NOW, **words):
    keys = RemoteKeys(URL, clock=now)
    return make_guard(issuers=[idp.trusted(keys=keys, **words)], observer=observer, clock=now)


def asked_of():
    return request(headers=[("Authorization", TOKEN)])


def told(exchange):
    return exchange.kind, exchange.issuer, exchange.url, exchange.status, exchange.keys_from


def test_keys_that_are_fetched_are_told_with_their_time(seen):
    guard = keys_guard(seen, name="people")
    assert run(guard.decide_flow(asked_of()), provider).status == 200
    [exchange] = seen.exchanges
    assert told(exchange) == ("keys", "people", URL, 200, NOW)
    assert exchange.seconds >= 0
    assert repr(exchange) == "<Exchange keys people 200>"
    assert seen.told[-1].how == "verified"


def test_an_exchange_without_an_answer_is_told_too(seen):
    guard = keys_guard(seen, name="people")
    assert run(guard.decide_flow(asked_of()), down).status == 503
    assert told(seen.exchanges[0]) == ("keys", "people", URL, None, None)
    assert (seen.told[-1].reason, seen.told[-1].issuer) == ("keys_unavailable", "people")


def test_an_exchange_is_told_once_however_many_wait_for_it(seen):
    guard = keys_guard(seen)
    flows = [guard.decide_flow(asked_of()) for _ in range(3)]
    wishes = [next(flow) for flow in flows]
    for flow, wanted in zip(flows, wishes, strict=True):
        with pytest.raises(StopIteration) as end:
            flow.send(provider(wanted))
        assert end.value.value.status == 200
    assert len(seen.exchanges) == 1
    assert len(seen.told) == 3


def test_who_is_cancelled_tells_nothing(seen):
    flow = keys_guard(seen).decide_flow(asked_of())
    next(flow)
    flow.close()
    assert (seen.told, seen.exchanges) == ([], [])


def test_a_refresh_in_the_background_and_warming_up_are_told(seen):
    now = NOW
    guard = keys_guard(seen, now=lambda: now)
    for flow in guard.warm_flows():
        run(flow, provider)
    now += 3000
    started = []
    run(guard.decide_flow(asked_of()), provider, started.append)
    assert len(seen.exchanges) == 1
    [refresh] = started
    run(refresh, provider)
    assert [one.keys_from for one in seen.exchanges] == [NOW, NOW + 3000]


def test_introspection_is_told_by_its_issuer(seen):
    introspection = Introspection("https://issuer.test/ask", client_id="a", client_secret="b")
    people = make_issuer(keys=None, algorithms=(), introspection=introspection)
    guard = make_guard(issuers=[people], observer=seen)

    claims = {"active": True, "aud": "https://api.test", "exp": NOW + 60}
    answer = Fetched(200, {}, json.dumps(claims).encode())

    assert run(guard.decide_flow(request(bearer="opaque")), lambda _: answer).status == 200
    url = "https://issuer.test/ask"
    assert told(seen.exchanges[0]) == ("introspection", "people", url, 200, None)
    assert run(guard.decide_flow(request(bearer="other")), down).status == 503
    assert seen.exchanges[1].status is None
    for flow in guard.warm_flows():
        run(flow, down)


def watching(flow):
    seen = Noting()
    return seen, Watch([seen], {}).exchanges(flow, "people", "login")


def test_exchanges_that_nobody_names_are_each_told():
    def flow():
        first = yield Fetch("https://a.test")
        second = yield Fetch("https://a.test")
        nothing = yield Background(inner())
        assert nothing is None
        yield Fetch("https://c.test")
        return first.status, second.status

    def inner():
        yield Fetch("https://b.test")

    seen, watched = watching(flow())
    assert run(watched, lambda wanted: Fetched(204, {}, b"")) == (204, 204)
    assert [one.url for one in seen.exchanges] == [
        "https://a.test", "https://a.test", "https://b.test", "https://c.test"
    ]  # fmt: skip


def test_what_is_remembered_of_told_exchanges_is_bounded():
    class Source:
        pass

    source = Source()

    def flow():
        for attempt in range(3 * MAX_TOLD):
            yield Fetch("https://a.test", flight=(source, attempt))

    seen, watched = watching(flow())
    run(watched, lambda wanted: Fetched(200, {}, b""))
    assert len(seen.exchanges) == 3 * MAX_TOLD


def test_a_decision_and_an_exchange_say_what_they_are():
    assert repr(Decided("allowed", None)) == "<Decided allowed None None>"
    assert repr(Exchange("login", "people", URL, None, 0.1)) == "<Exchange login people None>"


def test_nothing_is_logged_of_an_observer_that_works(seen, caplog):
    caplog.set_level(logging.DEBUG, logger="jwtguard")
    guard = make_guard(observer=seen)
    caplog.clear()
    guard.decide(request(bearer=token()))
    assert caplog.records == []
