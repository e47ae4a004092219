"""Tenants of an issuer template: who may speak, and with whose keys."""

import functools
import json
import logging

import pytest

from jwtguard import (
    Discovery,
    Guard,
    Introspection,
    Issuer,
    JWKSet,
    RemoteKeys,
    Rule,
    Secret,
    drive,
    errors,
)
from jwtguard.core import Allow, Fetched, Request
from jwtguard.core.model import Background
from jwtguard.core.tenants import MAX_TENANTS
from jwtguard.testing import FakeIssuer

from .forge import AUDIENCE, NOW, SECRET, token, warming

TEMPLATE = "https://login.test/{tenant}/v2.0"
START = float(NOW)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


clock = Clock()


@pytest.fixture(autouse=True)
def _at_the_start():
    clock.now = START


def iss_of(tenant):
    return TEMPLATE.replace("{tenant}", tenant)


def issuer(tenants, iss=TEMPLATE, **words):
    words = {
        "name": "multi",
        "audience": AUDIENCE,
        "algorithms": ["HS256"],
        "keys": Secret(SECRET),
    } | words
    return Issuer(iss, tenants=tenants, **words)


def guard_of(*issuers, rules=()):
    return Guard(issuers, rules, clock=clock)


def problems_of(*issuers):
    with pytest.raises(errors.ConfigurationError) as failure:
        guard_of(*issuers)
    return dict(failure.value.problems)


def request(raw, path="/x"):
    return Request("GET", path, headers=[("Authorization", f"Bearer {raw}")])


def decided(guard, raw, path="/x"):
    decision = guard.decide(request(raw, path))
    return decision.status, getattr(decision, "error", None) and decision.error.reason


class Asked:
    """A function that lets everybody in who *allowed* says, and remembers whom it was asked of."""

    def __init__(self, allowed=lambda name: True):
        self.allowed = allowed
        self.names = []

    def __call__(self, name):
        self.names.append(name)
        return self.allowed(name)


# --- a function ---------------------------------------------------------------------------------


def test_a_function_says_who_may_speak():
    asked = Asked(lambda name: name == "a")
    guard = guard_of(issuer(asked))

    got = guard.verify(token(iss=iss_of("a")))
    assert (got.tenant, got.issuer, got["iss"]) == ("a", "multi", iss_of("a"))
    assert decided(guard, token(iss=iss_of("b"))) == (401, "unknown_issuer")
    assert asked.names == ["a", "b"]


@pytest.mark.parametrize("verdict", [False, None, 1, "yes", "a", [True], object()])
def test_only_true_lets_a_tenant_speak(verdict):
    guard = guard_of(issuer(lambda name: verdict))
    assert decided(guard, token(iss=iss_of("a"))) == (401, "unknown_issuer")


NAMES = [
    *("a", "A", "0", "contoso.example", "a-b_c.d~e", "a.", "a-", "a~", "f" * 128),
    "72f988bf-86f1-41af-91ab-2d7cd011db47",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_is_asked_about_plain_names(name):
    asked = Asked()
    assert guard_of(issuer(asked)).verify(token(iss=iss_of(name))).tenant == name
    assert asked.names == [name]


NO_NAMES = {
    "empty": "",
    "a slash": "a/b",
    "dots": "..",
    "one dot": ".",
    "dots and a slash": "../a",
    "two dots inside": "a..b",
    "two dots at the end": "a..",
    "a dot in front": ".a",
    "a dash in front": "-a",
    "a tilde in front": "~a",
    "too long": "f" * 129,
    "a backslash": "a\\b",
    "a percent": "a%2fb",
    "a question mark": "a?b",
    "a number sign": "a#b",
    "an at": "a@b",
    "a colon": "a:80",
    "a space": "a b",
    "a newline": "a\n",
    "a NUL": "a\x00",
    "braces": "{tenant}",
    "a letter outside ASCII": "ä",
    "a digit outside ASCII": "٣",
    "a plus": "a+b",
    "a star": "*",
}


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES)
def test_a_function_is_never_asked_about_anything_else(name):
    asked = Asked()
    guard = guard_of(issuer(asked))
    assert decided(guard, token(iss=iss_of(name))) == (401, "unknown_issuer")
    assert asked.names == []


@pytest.mark.parametrize(
    "iss",
    [
        "https://login.test/a/v2.0/",
        "https://login.test/a/v2x0",
        "https://login.test/a",
        "HTTPS://login.test/a/v2.0",
        "http://login.test/a/v2.0",
        "xhttps://login.test/a/v2.0",
        "https://loginxtest/a/v2.0",
        "https://login.test/a/v2.0\n",
        TEMPLATE,
    ],
)
def test_an_iss_is_the_template_to_the_letter(iss):
    asked = Asked()
    assert decided(guard_of(issuer(asked)), token(iss=iss)) == (401, "unknown_issuer")
    assert asked.names == []


def test_a_template_may_begin_and_end_with_the_tenant():
    guard = guard_of(issuer(Asked(), "{tenant}"))
    assert guard.verify(token(iss="a.b")).tenant == "a.b"
    guard = guard_of(issuer(Asked(), "https://{tenant}.login.test/"))
    assert guard.verify(token(iss="https://a.b.login.test/")).tenant == "a.b"
    assert decided(guard, token(iss="https://a/.login.test/")) == (401, "unknown_issuer")


def test_a_function_is_not_asked_about_a_token_that_is_malformed():
    asked = Asked()
    guard = guard_of(issuer(asked))
    assert decided(guard, "a.b.c") == (401, "malformed_token")
    assert decided(guard, token(iss=5)) == (401, "claim_type")
    assert decided(guard, token(iss=...)) == (401, "unknown_issuer")
    assert asked.names == []


@pytest.mark.parametrize("error", [ValueError, KeyError, errors.FetchError, RecursionError])
def test_an_exception_of_the_function_is_503(error, caplog):
    def broken(name):
        raise error(f"{name} is secret")

    guard = guard_of(issuer(broken))
    assert decided(guard, token(iss=iss_of("a"))) == (503, "internal_error")
    with pytest.raises(errors.Unavailable):
        guard.verify(token(iss=iss_of("a")))
    assert "a is secret" not in caplog.text
    # Nobody else is affected.
    assert decided(guard, token()) == (401, "unknown_issuer")


async def _coroutine(name):
    return True


class _AsyncCall:
    async def __call__(self, name):
        return True


@pytest.mark.parametrize(
    "function", [_coroutine, functools.partial(_coroutine), _AsyncCall()], ids=repr
)
def test_a_coroutine_function_is_a_start_up_error(function):
    found = problems_of(issuer(function))
    assert "cannot be a coroutine function" in found["issuers[0].tenants"]


def test_a_token_that_was_seen_is_not_asked_about_again():
    asked = Asked()
    guard = guard_of(issuer(asked))
    raw = token(iss=iss_of("a"))
    for _ in range(3):
        assert decided(guard, raw) == (200, None)
    assert asked.names == ["a"]


# --- a list -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tenants", ["a", ["a", "b"], ("a", "b"), {"a", "b"}, iter(["a", "b"])])
def test_a_list_says_who_may_speak(tenants):
    guard = guard_of(issuer(tenants))
    assert guard.verify(token(iss=iss_of("a"))).tenant == "a"
    assert decided(guard, token(iss=iss_of("c"))) == (401, "unknown_issuer")


BAD = {
    "a template without tenants": ({"tenants": ()}, "tenants", "list the tenants"),
    "tenants without a template": (
        {"tenants": ["a"], "iss": "https://login.test/"}, "tenants", "need a place in the issuer"),
    "a function without a template": (
        {"tenants": bool, "iss": "https://login.test/"}, "tenants", "need a place in the issuer"),
    "a function without an issuer": (
        {"tenants": bool, "iss": None}, "tenants", "need a place in the issuer"),
    "two places": (
        {"tenants": ["a"], "iss": "https://{tenant}/{tenant}/"}, "issuer", "more than once"),
    "an empty name": ({"tenants": ["a", ""]}, "tenants", "without a slash; found ''"),
    "a slash": ({"tenants": ["a/b"]}, "tenants", "without a slash"),
    "a number": ({"tenants": [5]}, "tenants", "without a slash; found 5"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "place", "what"), BAD.values(), ids=BAD)
def test_bad_tenants_are_a_start_up_error(words, place, what):
    [(where, said)] = problems_of(issuer(**words)).items()
    assert where == f"issuers[0].{place}"
    assert what in said


def test_a_template_without_tenants_asks_nobody_at_start_up():
    asked = Asked()
    guard_of(issuer(asked, keys=discovery(), algorithms=["ES256"]))
    assert asked.names == []


# --- whose token it is --------------------------------------------------------------------------


def test_a_written_issuer_wins_over_a_template():
    asked = Asked()
    plain = Issuer(
        iss_of("a"), name="plain", audience=AUDIENCE, algorithms=["HS256"], keys=Secret("k" * 32)
    )
    listed = issuer(["b"], name="listed", keys=Secret("l" * 32))
    guard = guard_of(issuer(asked), plain, listed)

    assert decided(guard, token(iss=iss_of("a"))) == (401, "bad_signature")
    got = guard.verify(token(iss=iss_of("a"), key=b"k" * 32))
    assert (got.issuer, got.tenant) == ("plain", None)
    got = guard.verify(token(iss=iss_of("b"), key=b"l" * 32))
    assert (got.issuer, got.tenant) == ("listed", "b")
    assert asked.names == []


def test_of_two_templates_that_fit_the_first_that_says_yes_counts():
    narrow = "https://login.test/a{tenant}/v2.0"
    first = issuer(lambda name: name == "b", narrow, name="first", keys=Secret("f" * 32))
    second = issuer(Asked(), name="second")
    guard = guard_of(first, second)

    assert guard.verify(token(iss=iss_of("ac"))).issuer == "second"
    got = guard.verify(token(iss=iss_of("ab"), key=b"f" * 32))
    assert (got.issuer, got.tenant) == ("first", "b")
    assert decided(guard, token(iss=iss_of("ab"))) == (401, "bad_signature")  # no falling back


def test_one_template_is_one_issuers():
    found = problems_of(issuer(Asked()), issuer(Asked(), name="second"))
    assert "is issuers[0]'s too" in found["issuers[1].issuer"]


def test_two_templates_of_different_addresses():
    first = issuer(["a"], "https://one.test/{tenant}/", name="one")
    second = issuer(Asked(), "https://two.test/{tenant}/", name="two")
    guard = guard_of(first, second)
    assert guard.verify(token(iss="https://one.test/a/")).issuer == "one"
    assert guard.verify(token(iss="https://two.test/a/")).issuer == "two"
    assert decided(guard, token(iss="https://one.test/b/")) == (401, "unknown_issuer")


def test_a_rule_names_a_template_as_any_issuer():
    plain = Issuer(
        "https://b.test/", name="b", audience=AUDIENCE, algorithms=["HS256"], keys=Secret(SECRET)
    )
    rules = [Rule("/m/**", issuers="multi"), Rule("/b/**", issuers="b")]
    guard = guard_of(issuer(Asked()), plain, rules=rules)
    raw = token(iss=iss_of("a"))
    for _ in range(2):
        assert decided(guard, raw, "/m/x") == (200, None)
        assert decided(guard, raw, "/b/x") == (401, "issuer_not_for_rule")
        assert decided(guard, token(iss="https://b.test/"), "/m/x") == (401, "issuer_not_for_rule")


def test_a_tenant_of_the_path():
    rules = [Rule("/t/{name}/**", require={"tid": {"path": "name"}})]
    guard = guard_of(issuer(Asked()), rules=rules)
    raw = token(iss=iss_of("a"), tid="a")
    assert decided(guard, raw, "/t/a/x") == (200, None)
    assert decided(guard, raw, "/t/b/x")[0] == 403


# --- keys of their own --------------------------------------------------------------------------


def discovery(url=None, **words):
    return Discovery(url, **({"clock": clock, "jitter": lambda: 0.0} | words))


def fake(tenant, iss=None):
    return FakeIssuer(iss or iss_of(tenant), audience=AUDIENCE, algorithm="ES256", clock=clock)


IDPS = {name: fake(name) for name in ("a", "b")}


class Provider:
    """Answers as the provider of these tenants does; an exception is raised."""

    def __init__(self, idps=IDPS):
        self.idps = dict(idps)
        self.urls = []
        self.documents = {}

    def __call__(self, wish):
        self.urls.append(wish.url)
        for name, idp in self.idps.items():
            if wish.url == f"https://login.test/{name}/keys":
                return Fetched(200, {}, json.dumps(idp.jwks()).encode())
            if wish.url == f"{idp.issuer}/.well-known/openid-configuration":
                return self.document(name)
        return Fetched(404, {}, b"")

    def document(self, name, **changes):
        found = (
            {
                "issuer": self.idps[name].issuer,
                "jwks_uri": f"https://login.test/{name}/keys",
            }
            | self.documents.get(name, {})
            | changes
        )
        return Fetched(200, {}, json.dumps(found).encode())


def by_discovery(tenants, *more, url=None, **words):
    keys = [discovery(url, **words), *more] if more else discovery(url, **words)
    return issuer(tenants, keys=keys, algorithms=["ES256"])


def seen(guard, provider, raw):
    """(status, reason) after whatever exchange it takes; what was asked for."""
    before = len(provider.urls)
    decision = drive.run(guard.decide_flow(request(raw)), provider)
    reason = getattr(decision, "error", None) and decision.error.reason
    return (
        decision.status,
        reason,
        [url.partition("login.test/")[2] for url in provider.urls[before:]],
    )


A_DOCUMENT = "a/v2.0/.well-known/openid-configuration"
B_DOCUMENT = "b/v2.0/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "tenants", [["a", "b"], lambda name: name in "ab"], ids=["list", "function"]
)
def test_each_tenant_has_a_document_and_keys_of_its_own(tenants):
    guard, provider = guard_of(by_discovery(tenants)), Provider()

    assert seen(guard, provider, IDPS["a"].token()) == (200, None, [A_DOCUMENT, "a/keys"])
    assert seen(guard, provider, IDPS["b"].token()) == (200, None, [B_DOCUMENT, "b/keys"])
    assert seen(guard, provider, IDPS["a"].token("bob")) == (200, None, [])
    assert guard.verify(IDPS["b"].token()).tenant == "b"


@pytest.mark.parametrize(
    "tenants", [["a", "b"], lambda name: name in "ab"], ids=["list", "function"]
)
def test_a_tenant_may_not_sign_for_another(tenants):
    guard, provider = guard_of(by_discovery(tenants)), Provider()
    for name in "ab":
        assert seen(guard, provider, IDPS[name].token())[0] == 200

    forged = IDPS["b"].token(iss=iss_of("a"))

    status, reason, _ = seen(guard, provider, forged)
    assert (status, reason) == (401, "key_not_found")
    [theirs] = [key for _, key in IDPS["b"]._keys]
    forged = IDPS["a"].token(key=theirs)
    assert seen(guard, provider, forged) == (401, "bad_signature", [])


def test_nobody_is_asked_for_the_keys_of_a_stranger():
    guard, provider = guard_of(by_discovery(lambda name: name == "a")), Provider()
    assert seen(guard, provider, IDPS["b"].token()) == (401, "unknown_issuer", [])
    # Nor for those of a tenant whose token fails a cheap check.
    assert seen(guard, provider, IDPS["a"].token(expires=-60)) == (401, "expired", [])
    assert seen(guard, provider, IDPS["a"].token(aud="x")) == (401, "audience_mismatch", [])


def test_the_document_of_another_issuer_is_refused():
    guard, provider = guard_of(by_discovery(["a", "b"])), Provider()
    for wrong in (iss_of("b"), TEMPLATE, None):
        provider.documents["a"] = {"issuer": wrong}
        assert seen(guard, provider, IDPS["a"].token()) == (
            503,
            "keys_unavailable",
            [A_DOCUMENT],
        )
        clock.now += 3600
    assert seen(guard, provider, IDPS["b"].token())[0] == 200  # each has an outage of its own


def test_an_outage_of_one_tenant_is_nobody_elses():
    idps = {name: fake(name) for name in "ab"}
    guard, provider = guard_of(by_discovery(["a", "b"])), Provider(idps)
    assert seen(guard, provider, idps["a"].token())[0] == 200
    del provider.idps["a"]
    clock.now += 3700
    assert seen(guard, provider, idps["a"].token("new"))[0] == 200  # the last good keys
    assert seen(guard, provider, idps["b"].token())[0] == 200


@pytest.mark.parametrize(
    "tenants", [["a", "b"], lambda name: name in "ab"], ids=["list", "function"]
)
def test_each_tenants_keys_are_refreshed_for_themselves(tenants):
    idps = {name: fake(name) for name in "ab"}
    guard, provider = guard_of(by_discovery(tenants)), Provider(idps)
    raw = {name: idps[name].token(expires=9999) for name in idps}
    assert seen(guard, provider, raw["a"])[0] == 200
    clock.now += 2000
    assert seen(guard, provider, raw["b"])[0] == 200
    assert guard.recall("GET", "/x", "/x", f"Bearer {raw['a']}") is not None
    clock.now += 701

    assert guard.recall("GET", "/x", "/x", f"Bearer {raw['a']}") is None
    flow = guard.decide_flow(request(raw["a"]))
    wanted = next(flow)
    assert isinstance(wanted, Background)
    assert next(wanted.flow).url.endswith(A_DOCUMENT)
    wanted.flow.close()
    with pytest.raises(StopIteration) as end:
        flow.send(None)
    assert isinstance(end.value.value, Allow)
    assert seen(guard, provider, raw["b"]) == (200, None, [])


def test_a_rotation_takes_the_tokens_of_that_tenant_along():
    idps = {name: fake(name) for name in "ab"}
    guard, provider = guard_of(by_discovery(["a", "b"])), Provider(idps)
    raw = {name: idps[name].token(expires=9999) for name in idps}
    for name in "ab":
        assert seen(guard, provider, raw[name])[0] == 200
    idps["a"].rotate(keep=0)
    clock.now += 31

    assert seen(guard, provider, idps["a"].token("new")) == (200, None, [A_DOCUMENT, "a/keys"])
    assert seen(guard, provider, raw["a"])[:2] == (401, "key_not_found")
    assert seen(guard, provider, raw["b"]) == (200, None, [])


def test_an_address_with_a_place_for_the_tenant():
    url = "https://login.test/conf/{tenant}.json"
    guard, provider = guard_of(by_discovery(["a"], url=url)), Provider()
    [wish] = [next(guard.decide_flow(request(IDPS["a"].token())))]
    assert wish.url == "https://login.test/conf/a.json"
    assert provider.urls == []


def test_words_of_a_discovery_are_those_of_each_tenant():
    guard = guard_of(by_discovery(["a"], timeout=3, max_bytes=999))
    wish = next(guard.decide_flow(request(IDPS["a"].token())))
    assert (wish.timeout, wish.max_bytes) == (3, 999)


def test_warming_asks_for_the_keys_of_those_who_are_listed():
    guard, provider = guard_of(by_discovery(["a", "b"])), Provider()
    drive.run(warming(guard), provider)
    assert len(provider.urls) == 4
    for name in "ab":
        assert seen(guard, provider, IDPS[name].token()) == (200, None, [])


def test_warming_asks_for_the_keys_of_those_who_have_spoken():
    guard, provider = guard_of(by_discovery(lambda name: True)), Provider()
    drive.run(warming(guard), provider)
    assert provider.urls == []
    seen(guard, provider, IDPS["a"].token())
    clock.now += 3000
    before = len(provider.urls)
    drive.run(warming(guard), provider)
    assert provider.urls[before:] == [
        f"https://login.test/{A_DOCUMENT}",
        "https://login.test/a/keys",
    ]


def test_keys_beside_a_discovery_are_every_tenants():
    shared = fake("shared")
    guard = guard_of(by_discovery(["a", "b"], JWKSet(shared.jwks())))
    provider = Provider()
    [key] = [key for _, key in shared._keys]
    [kid] = [kid for kid, _ in shared._keys]

    for name in "ab":
        raw = IDPS[name].token(key=key, header={"kid": kid})
        assert seen(guard, provider, raw) == (200, None, [])
    assert seen(guard, provider, IDPS["a"].token())[2] == [A_DOCUMENT, "a/keys"]
    raw = IDPS["a"].token("forged", iss=iss_of("b"))
    assert seen(guard, provider, raw)[:2] == (401, "key_not_found")
    assert len(guard.issuers[0].sources) == 4


def test_two_discoveries_and_remote_keys_side_by_side():
    remote = RemoteKeys("https://login.test/all", clock=clock)
    issuer_ = by_discovery(["a"], discovery("https://old.test/{tenant}/conf"), remote)
    guard = guard_of(issuer_)
    urls = []

    def fetch(wish):
        urls.append(wish.url)
        raise errors.FetchError("down")

    decision = drive.run(guard.decide_flow(request(IDPS["a"].token())), fetch)
    assert decision.status == 503
    assert urls == [
        f"https://login.test/{A_DOCUMENT}",
        "https://old.test/a/conf",
        "https://login.test/all",
    ]


def test_remote_keys_of_a_template_are_every_tenants():
    keys = RemoteKeys("https://login.test/a/keys", clock=clock)
    guard = guard_of(issuer(["a", "b"], keys=keys, algorithms=["ES256"]))
    provider = Provider()
    assert seen(guard, provider, IDPS["a"].token()) == (200, None, ["a/keys"])
    assert seen(guard, provider, IDPS["a"].token(iss=iss_of("b"))) == (200, None, [])
    assert guard.issuers[0].sources == (keys,)


# --- at most so many ----------------------------------------------------------------------------


def test_keys_of_so_many_tenants_are_kept_and_no_more():
    guard, provider = guard_of(by_discovery(lambda name: True)), Provider()
    tenancy = guard.issuers[0].tenancy
    assert MAX_TENANTS == 1024
    assert seen(guard, provider, IDPS["a"].token())[0] == 200

    for index in range(MAX_TENANTS + 10):
        raw = IDPS["a"].token(iss=iss_of(f"t{index}"))
        assert seen(guard, provider, raw)[0] == 503
        assert len(tenancy.sources()) <= MAX_TENANTS

    # Names that lead nowhere push nobody out who has keys.
    assert seen(guard, provider, IDPS["a"].token("new")) == (200, None, [])


def test_of_those_with_keys_whoever_was_met_first_is_asked_for_again():
    idps = {f"t{index}": IDPS["a"] for index in range(MAX_TENANTS)}
    guard = guard_of(by_discovery(lambda name: True))
    tenancy = guard.issuers[0].tenancy
    body = json.dumps(IDPS["a"].jwks()).encode()

    def fetch(wish):
        if wish.url.endswith("/keys"):
            return Fetched(200, {}, body)
        iss = wish.url.partition("/.well-known")[0]
        document = {"issuer": iss, "jwks_uri": "https://login.test/x/keys"}
        return Fetched(200, {}, json.dumps(document).encode())

    for name in (*idps, "one-more"):
        raw = IDPS["a"].token(iss=iss_of(name))
        assert drive.run(guard.decide_flow(request(raw)), fetch).status == 200
    assert len(tenancy.sources()) == MAX_TENANTS
    # A token that was seen goes on being good; a new one makes the keys be asked for again.
    assert decided(guard, IDPS["a"].token(iss=iss_of("t1"))) == (200, None)
    flow = guard.decide_flow(request(IDPS["a"].token("new", iss=iss_of("t0"))))
    assert next(flow).url == f"{iss_of('t0')}/.well-known/openid-configuration"
    flow.close()


def test_a_list_is_not_limited():
    tenants = [f"t{index}" for index in range(MAX_TENANTS + 1)]
    guard = guard_of(by_discovery(tenants))
    assert len(guard.issuers[0].sources) == MAX_TENANTS + 1
    assert guard.issuers[0].tenancy.keys_of("t0") is guard.issuers[0].sources[0]


# --- start-up of discovery ----------------------------------------------------------------------

BAD_DISCOVERY = {
    "an address without the tenant": (
        {"url": "https://login.test/conf"},
        "keys.url",
        "put {tenant} into the address",
    ),
    "a template in plain http": (
        {"iss": "http://login.test/{tenant}/"},
        "keys",
        "is not https",
    ),
    "a template with a query": (
        {"iss": "https://login.test/?t={tenant}"},
        "keys",
        "cannot be discovered for an iss with a query",
    ),
    **{
        f"a tenant {name!r} that makes no address": (
            {"tenants": ["b", name]},
            "tenants",
            f"without a slash; found {name!r}",
        )
        for name in ("a b", "a?b", "a#b", "ä", "a\n", "\ud800")
    },
}


@pytest.mark.parametrize(("words", "place", "what"), BAD_DISCOVERY.values(), ids=BAD_DISCOVERY)
def test_a_tenant_that_cannot_be_discovered_is_a_start_up_error(words, place, what):
    words = {"tenants": ["a"]} | words
    keys = discovery(words.pop("url", None))
    [(where, said)] = problems_of(issuer(**words, keys=keys, algorithms=["ES256"])).items()
    assert where == f"issuers[0].{place}"
    assert what in said


def test_no_key_of_a_tenant_shows_up_in_a_log(caplog):
    caplog.set_level(logging.DEBUG)
    guard, provider = guard_of(by_discovery(lambda name: True)), Provider()
    raw = IDPS["a"].token()
    seen(guard, provider, raw)
    seen(guard, provider, raw[:-4] + "AAAA")
    assert raw.rpartition(".")[0] not in caplog.text


# --- introspection of a template ----------------------------------------------------------------


def opaque(tenants):
    introspection = Introspection(
        "https://login.test/i", client_id="c", client_secret="s", clock=clock
    )
    people = issuer(tenants, keys=None, algorithms=(), introspection=introspection)
    return guard_of(people)


def told(guard, raw="opaque", **claims):
    answer = {"active": True, "aud": AUDIENCE, "exp": NOW + 60} | claims
    flow = guard.decide_flow(request(raw))
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(Fetched(200, {}, json.dumps(answer).encode()))
    return end.value.value


@pytest.mark.parametrize(
    "tenants", [["a", "b"], lambda name: name in "ab"], ids=["list", "function"]
)
def test_an_answer_says_which_tenant_it_is_about(tenants):
    assert told(opaque(tenants), iss=iss_of("b")).token.tenant == "b"
    for iss in (iss_of("c"), TEMPLATE, iss_of("a/b"), "https://other.test/"):
        assert told(opaque(tenants), iss=iss).error.reason == "unknown_issuer"


@pytest.mark.parametrize("tenants", [["a"], lambda name: True], ids=["list", "function"])
def test_an_answer_without_iss_about_a_template_is_nobodys(tenants):
    assert told(opaque(tenants)).error.reason == "unknown_issuer"
