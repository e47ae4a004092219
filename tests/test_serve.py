"""The server that proxies ask: whom it believes, what it makes of a question, what it answers."""

import asyncio
import json
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jwtguard import Guard, Issuer, RemoteKeys, Rule
from jwtguard.cli import main
from jwtguard.core import Fetched
from jwtguard.core.errors import ConfigurationError, JWTGuardError
from jwtguard.serve.app import ForwardAuth
from jwtguard.serve.original import Original, Unjudged
from jwtguard.serve.policies import read_policies
from jwtguard.serve.proxies import Askers
from jwtguard.serve.settings import Settings

from .contract import CASES, TOKEN, idp
from .serve_door import OF_THE_PROXY, PROXY, ask_server, question, server_of

SECRET = "the proxies' own word"
ASKED = (("X-Original-Method", "GET"), ("X-Original-URI", "/x"))
REMOTE = Issuer(
    idp.issuer, audience=None, algorithms=["RS256"], keys=RemoteKeys("https://keys.test/jwks")
)
BEARER = ("Authorization", f"Bearer {TOKEN}")


def guard_of(**settings):
    rules = [Rule("/public/**", access="public"), Rule("/admin/**", roles="admin")]
    return Guard(**{"issuers": [idp.trusted()], "rules": rules, **settings})


def server(guard=None, **settings):
    settings = settings or {"trusted_proxies": PROXY}
    found = Settings(**settings)
    assert found.problems == []
    return ForwardAuth({"p": guard or guard_of()}, Askers(found))


# --- endpoints ----------------------------------------------------------------------------------


# An exchange is made once, so that a second question would find another state of things.
ASKED_TWICE = [name for name in CASES if name not in OF_THE_PROXY and CASES[name].fetch is None]


@pytest.mark.parametrize("name", ASKED_TWICE)
def test_verify_and_refusal_say_together_what_auth_says(name):
    """nginx asks twice and must come to the same end as proxies that ask once."""
    case = CASES[name]
    said = question(case.ask)
    verdict, refusal, auth = (
        ask_server(server_of(case.guard()), f"/{endpoint}/p", said)
        for endpoint in ("verify", "refusal", "auth")
    )
    assert verdict.status in (200, 401, 403)
    assert (verdict.status == 200) == (auth.status == 200)
    if auth.status == 200:
        assert verdict.headers == auth.headers
        assert (refusal.status, refusal.header("retry-after")) == (503, "1")
        return
    assert verdict.header("www-authenticate") is None  # nginx would send it twice
    assert refusal.status == auth.status
    for answer in (refusal, auth):
        answer.headers = [pair for pair in answer.headers if pair[0] != "content-length"]
    assert refusal.headers == auth.headers
    assert len(refusal.body) == len(auth.body)


def test_200_brings_the_claims_and_no_body():
    guard = guard_of(forward={"X-User-Id": "sub", "X-Roles": "roles", "X-Mail": "email"})
    token = idp.token("zoë", roles=["a", "ü"])
    for endpoint in ("verify", "auth"):
        answer = ask_server(
            server(guard), f"/{endpoint}/p", [*ASKED, ("Authorization", f"Bearer {token}")]
        )
        assert (answer.status, answer.body) == (200, b"")
        told = {name: value.encode("latin-1").decode() for name, value in answer.headers}
        assert told == {
            "x-user-id": "zoë",
            "x-roles": '["a","ü"]',
            "cache-control": "no-store",
            "content-length": "0",
        }


@pytest.mark.parametrize("sub", [" alice", "alice ", "  "])
def test_a_claim_that_would_lose_its_white_space_is_not_sent(sub, caplog):
    guard = guard_of(forward={"X-User-Id": "sub"})
    credentials = ("Authorization", f"Bearer {idp.token(sub)}")

    answer = ask_server(server(guard), "/auth/p", [*ASKED, credentials])

    assert answer.status == 200
    assert answer.header("x-user-id") is None
    assert "white space" in caplog.text


class Adding(Guard):
    """A guard that has something to say to the client beside the app."""

    def judge(self, *given, **words):
        allow = super().judge(*given, **words)
        allow.added = (
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Cache-Control", "no-store"),
            ("RateLimit", '"default";r=1;t=2'),
        )
        return allow


def test_what_the_apps_response_is_to_get_is_in_the_answer():
    answer = ask_server(server(Adding([idp.trusted()])), "/auth/p", [*ASKED, BEARER])

    assert answer.headers == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("ratelimit", '"default";r=1;t=2'),
        ("x-set-cookie-1", "a=1"),
        ("x-set-cookie-2", "b=2"),
        ("cache-control", "no-store"),
        ("content-length", "0"),
    ]


RESOURCE = {"public_url": "https://api.example.com", "protected_resource": True}
METADATA = "/.well-known/oauth-protected-resource"


def test_what_the_guard_serves_itself_stands_under_pages():
    app = server(guard_of(**RESOURCE))
    asked = (("X-Original-Method", "GET"), ("X-Original-URI", METADATA))

    for target, headers in ((f"/pages/p{METADATA}", ()), ("/pages/p", asked)):
        answer = ask_server(app, target, headers)
        assert answer.status == 200
        assert json.loads(answer.body)["resource"] == "https://api.example.com"
    assert ask_server(app, "/refusal/p", asked).status == 200
    assert ask_server(app, f"/pages/p{METADATA}", method="HEAD").body == b""
    assert ask_server(app, f"/pages/p{METADATA}", method="POST").status == 405


def test_pages_serves_nothing_else():
    app = server(guard_of(**RESOURCE, preflight="pass"))
    for target in ("/pages/p/x", "/pages/p/public/a", "/pages/p/", f"/pages/p{METADATA}//"):
        assert ask_server(app, target, [BEARER]).status == 404


def test_a_page_of_the_guard_is_no_permission(caplog):
    app = server(guard_of(**RESOURCE))
    asked = (("X-Original-Method", "GET"), ("X-Original-URI", METADATA))

    assert ask_server(app, "/verify/p", asked).status == 403
    assert ask_server(app, "/auth/p", asked).status == 403
    assert "have the proxy send it to /pages/p" in caplog.text


def test_a_preflight_that_the_guard_answers_is_no_permission():
    app = server(guard_of(origins="https://app.example.com", preflight="answer"))
    asked = (
        ("X-Original-Method", "OPTIONS"),
        ("X-Original-URI", "/x"),
        ("Origin", "https://app.example.com"),
        ("Access-Control-Request-Method", "PUT"),
    )
    assert ask_server(app, "/verify/p", asked).status == 403
    assert ask_server(app, "/auth/p", asked).status == 403
    answer = ask_server(app, "/refusal/p", asked)
    assert (answer.status, answer.header("access-control-allow-methods")) == (204, "PUT")


def test_a_provider_that_is_down_is_403_for_nginx_and_then_503():
    guard = guard_of(issuers=[REMOTE])

    async def down(fetch):
        return Fetched(500, {}, b"")

    def start(flow):
        raise AssertionError("nothing to be done in the background")

    guard.exchange(on_loops=(down, start))
    app = server(guard)
    assert ask_server(app, "/verify/p", [*ASKED, BEARER]).status == 403
    answer = ask_server(app, "/refusal/p", [*ASKED, BEARER])
    assert answer.status == 503
    assert int(answer.header("retry-after")) > 0


def test_the_length_is_that_of_the_exchange_with_the_proxy():
    app = server()
    head = (("X-Forwarded-Method", "HEAD"), ("X-Forwarded-Uri", "/x"))

    answer = ask_server(app, "/auth/p", head)  # Caddy asks with GET about a HEAD
    assert (answer.header("content-length"), answer.body) == ("0", b"")
    answer = ask_server(app, "/auth/p/x", method="HEAD")  # Envoy asks with the method itself
    assert (int(answer.header("content-length")) > 50, answer.body) == (True, b"")


# --- whom to believe ----------------------------------------------------------------------------

BELIEVED = [
    ({"trusted_proxies": "192.0.2.7"}, "192.0.2.7", None),
    ({"trusted_proxies": ["192.0.2.0/24"]}, "192.0.2.255", None),
    ({"trusted_proxies": ["10.0.0.1", "192.0.2.7"]}, "::ffff:192.0.2.7", None),
    ({"trusted_proxies": "2001:db8::/32"}, "2001:db8::7", None),
    ({"trusted_proxies": "unix", "uds": "socket"}, None, None),
    ({"shared_secret": SECRET}, "203.0.113.9", SECRET),
    ({"shared_secret": SECRET}, None, SECRET),
    ({"trusted_proxies": "192.0.2.7", "shared_secret": SECRET}, "192.0.2.7", SECRET),
]
DOUBTED = [
    ({"trusted_proxies": "192.0.2.7"}, "192.0.2.8", None),
    ({"trusted_proxies": "192.0.2.7"}, None, None),
    ({"trusted_proxies": "192.0.2.7"}, "192.0.2.7.evil.example", None),
    ({"trusted_proxies": "192.0.2.7"}, "", None),
    ({"trusted_proxies": "127.0.0.1"}, "::1", None),
    ({"trusted_proxies": "2001:db8::/32"}, "2001:db9::7", None),
    ({"trusted_proxies": "unix", "uds": "socket"}, "127.0.0.1", None),
    ({"shared_secret": SECRET}, "192.0.2.7", None),
    ({"shared_secret": SECRET}, "192.0.2.7", f"{SECRET}."),
    ({"shared_secret": SECRET}, "192.0.2.7", SECRET[:-1]),
    ({"shared_secret": SECRET}, "192.0.2.7", f"{SECRET}, {SECRET}"),
    ({"shared_secret": SECRET}, "192.0.2.7", ""),
    ({"trusted_proxies": "192.0.2.7", "shared_secret": SECRET}, "192.0.2.7", None),
    ({"trusted_proxies": "192.0.2.7", "shared_secret": SECRET}, "192.0.2.8", SECRET),
]


@pytest.mark.parametrize(("settings", "peer", "secret"), BELIEVED)
def test_a_proxy_that_is_believed_gets_a_verdict(settings, peer, secret):
    said = [*ASKED, BEARER, *([("X-Jwtguard-Proxy-Secret", secret)] if secret else [])]
    assert ask_server(server(**settings), "/auth/p", said, peer=peer).status == 200


@pytest.mark.parametrize(("settings", "peer", "secret"), DOUBTED)
def test_nobody_else_gets_one(settings, peer, secret, caplog):
    said = [*ASKED, BEARER, *([] if secret is None else [("X-Jwtguard-Proxy-Secret", secret)])]
    for endpoint in ("auth", "verify", "refusal", "pages"):
        for headers in (said, said[:-1], []):
            for policy in ("p", "q", "p/x"):
                answer = ask_server(server(**settings), f"/{endpoint}/{policy}", headers, peer=peer)
                assert (answer.status, answer.body) == (403, b"Forbidden\n")
    assert not [record for record in caplog.records if record.name == "jwtguard.refused"]
    assert SECRET not in caplog.text


def test_a_secret_that_is_sent_twice_is_not_believed():
    said = [*ASKED, BEARER, *[("X-Jwtguard-Proxy-Secret", SECRET)] * 2]
    assert ask_server(server(shared_secret=SECRET), "/auth/p", said).status == 403


def test_a_server_that_was_told_nothing_believes_nobody():
    app = ForwardAuth({"p": guard_of()}, Askers(Settings()))
    assert ask_server(app, "/auth/p", [*ASKED, BEARER]).status == 403


# --- questions ----------------------------------------------------------------------------------

METHOD, URI = ("X-Original-Method", "GET"), ("X-Original-URI", "/public/a")
FORWARDED = ("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/public/a")
UNCLEAR = {
    "nothing": [],
    "no target": [METHOD],
    "no method": [URI],
    "no target of the other kind": [FORWARDED[0]],
    "no method of the other kind": [FORWARDED[1]],
    "a target twice": [METHOD, URI, URI],
    "two targets": [METHOD, URI, ("X-Original-URI", "/admin")],
    "a method twice": [METHOD, METHOD, URI],
    "both kinds": [METHOD, URI, *FORWARDED],
    "the method of one kind and the target of the other": [METHOD, FORWARDED[1]],
    "one kind and half of the other": [METHOD, URI, FORWARDED[1]],
    "two schemes": [METHOD, URI, *[("X-Forwarded-Proto", "https")] * 2],
    "a list of schemes": [METHOD, URI, ("X-Forwarded-Proto", "https, http")],
    "an odd scheme": [METHOD, URI, ("X-Forwarded-Proto", "ftp")],
}


@pytest.mark.parametrize("headers", UNCLEAR.values(), ids=UNCLEAR)
def test_a_question_that_is_not_clear_gets_no_verdict(headers):
    app = server()
    for endpoint, status in (("auth", 400), ("refusal", 400), ("pages", 400), ("verify", 403)):
        answer = ask_server(app, f"/{endpoint}/p", [*headers, BEARER])
        assert answer.status == status
        assert b"{" not in answer.body


@pytest.mark.parametrize("name", ["X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Method"])
def test_a_target_in_the_path_stands_alone(name):
    app = server()
    assert ask_server(app, "/auth/p/public/a").status == 200
    assert ask_server(app, "/auth/p/public/a", [(name, "/public/a")]).status == 400


PREFIXED = {
    "/auth/p/public/a": 200,
    "/auth/p/public/a?b=/admin": 200,
    "/auth/p/": 401,
    "/auth/p": 400,
    "/auth/p//public/a": 400,
    "/auth/p/public/../admin": 400,
    "/auth/p/public/%2e%2e/admin": 400,
    "/auth/p/public%2fa": 400,
    "/auth/p/public/a#b": 400,
    "/auth/p/public/a;b": 400,
    "/auth/p/public\\a": 400,
    "/auth/p/public/a%00": 400,
    "/auth/p/public/\xe9": 400,
    "/auth/p%2fpublic/a": 404,
    "/auth/%70/public/a": 404,
    "/auth//p/public/a": 404,
    "/auth/./p/public/a": 404,
    "//auth/p/public/a": 404,
    "/auth/p?/public/a": 400,
    "http://p/auth/p/public/a": 404,
    "/AUTH/p/public/a": 404,
    "/auth/P/public/a": 404,
    "/auth/q/public/a": 404,
    "/auth": 404,
    "/auth/": 404,
    "/": 404,
    "": 404,
    "*": 404,
}


@pytest.mark.parametrize(("target", "status"), PREFIXED.items())
def test_a_target_in_the_path_is_judged_as_it_stands(target, status):
    assert ask_server(server(), target).status == status


def test_the_policy_is_named_by_the_path_alone():
    open_to_all = Guard([idp.trusted()], [Rule("/**", access="public")])
    app = ForwardAuth(
        {"closed": guard_of(), "open": open_to_all}, Askers(Settings(trusted_proxies=PROXY))
    )
    for host in ("open", "open.example.com"):
        said = [*ASKED, ("Host", host), ("X-Forwarded-Host", host)]
        assert ask_server(app, "/verify/closed", said).status == 401
        assert ask_server(app, "/verify/open", said).status == 200


def asked(*headers, tail=None, method="GET", networks=()):
    fields = {}
    for name, value in headers or ASKED:
        fields.setdefault(name.lower(), []).append(value)
    scope = {
        "type": "http",
        "method": method,
        "path": "/auth/p",
        "query_string": b"",
        "headers": [],
    }
    askers = Askers(Settings(trusted_proxies=[PROXY, *networks]))

    async def receive():
        return {"type": "http.request", "body": b"the body", "more_body": False}

    return Original(scope, receive, fields, tail, askers)


@pytest.mark.parametrize(
    ("given", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("evil, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.3", "203.0.113.9"),
        (f"203.0.113.9, {PROXY}, 10.0.0.3", "203.0.113.9"),
        ("10.0.0.3", "10.0.0.3"),
        ("203.0.113.9:1234", "203.0.113.9"),
        ("[2001:db8::1]:1234", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9,", None),
        ("203.0.113.9, unknown", None),
        ("203.0.113.9, _hidden", None),
        ("", None),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy_of_ours(given, client):
    request = asked(*ASKED, ("X-Forwarded-For", given), networks=["10.0.0.0/8"])
    assert request.client == client


def test_several_fields_are_one_list():
    said = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "10.0.0.3")]
    assert asked(*ASKED, *said, networks=["10.0.0.0/8"]).client == "203.0.113.9"
    assert asked().client is None


@pytest.mark.parametrize(
    ("said", "scheme"),
    [([], "http"), (["http"], "http"), (["HTTPS"], "https"), (["wss"], "wss"), (["ws"], "ws")],
)
def test_the_scheme_is_what_the_proxy_says(said, scheme):
    assert asked(*ASKED, *(("X-Forwarded-Proto", one) for one in said)).scheme == scheme


def test_plain_http_is_refused_where_https_is_wanted():
    app = server(guard_of(require_https="refuse"))
    said = [*ASKED, BEARER]
    assert ask_server(app, "/auth/p", said).status == 403
    assert ask_server(app, "/auth/p", [*said, ("X-Forwarded-Proto", "https")]).status == 200


def test_the_host_is_the_clients():
    request = asked(*ASKED, ("Host", "jwtguard"), ("X-Forwarded-Host", "api.example.com"))
    assert request.header("Host") == "api.example.com"
    assert asked(*ASKED, ("Host", "api.example.com")).header("host") == "api.example.com"


def test_the_body_is_there_for_what_the_guard_serves_itself():
    assert asyncio.run(asked().read_body(100)) == b"the body"
    assert asyncio.run(asked(("Host", "a"), tail="/x", method="POST").read_body(100)) == b"the body"


def test_a_question_about_nothing_says_what_it_should_name():
    with pytest.raises(Unjudged, match="X-Original-URI, or X-Forwarded-Method"):
        asked(("Host", "a"))


# --- about the server itself --------------------------------------------------------------------


def test_health_and_readiness_are_nobodys_secret_and_ask_nobody():
    app = server(guard_of(issuers=[REMOTE]))
    for target in ("/healthz", "/readyz"):
        answer = ask_server(app, target, peer="203.0.113.9")
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert ask_server(app, target, method="HEAD").header("content-length") == "3"
        assert ask_server(app, target, method="POST").status == 405
    for target in ("/healthz/", "/metrics/x", "/p/x", "/verify/p"):
        assert ask_server(app, target, peer="203.0.113.9").status in (403, 404)


def test_start_up_waits_for_no_provider():
    guard, sent = guard_of(issuers=[REMOTE]), []

    async def hanging(fetch):
        await asyncio.sleep(60)

    guard.exchange(on_loops=(hanging, lambda flow: None))
    app = server(guard)
    messages = ["lifespan.startup", "lifespan.shutdown"]

    async def receive():
        await asyncio.sleep(0)
        return {"type": messages.pop(0)}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(asyncio.wait_for(app({"type": "lifespan"}, receive, send), 5))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_handshake_is_not_for_this_server():
    with pytest.raises(JWTGuardError, match="websocket"):
        asyncio.run(server()({"type": "websocket"}, None, None))


def test_numbers_are_there_where_somebody_counts(monkeypatch):
    observing = SimpleNamespace(metrics_text=lambda: (b"a 1\n", "text/plain; version=1.0.0"))
    monkeypatch.setitem(sys.modules, "jwtguard.observe.prometheus", observing)
    answer = ask_server(server(), "/metrics", peer="203.0.113.9")
    assert (answer.status, answer.body) == (200, b"a 1\n")
    assert answer.header("content-type") == "text/plain; version=1.0.0"

    monkeypatch.setitem(sys.modules, "jwtguard.observe.prometheus", None)  # as not installed
    assert ask_server(server(), "/metrics").status == 404


# --- files --------------------------------------------------------------------------------------

ISSUER = """
[[issuer]]
audience   = false
algorithms = ["HS256"]
secret     = "a secret of more than thirty-two bytes"
"""
SERVER = '[server]\ntrusted_proxies = ["127.0.0.1"]\n'


def written(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.toml").write_text(text)
    return directory


def problems_of(target):
    with pytest.raises(ConfigurationError) as caught:
        read_policies(target)
    return list(caught.value.problems)


def test_a_file_is_the_policy_of_its_name_and_the_default(tmp_path):
    written(tmp_path, shop=ISSUER + SERVER)

    policies = read_policies(tmp_path / "shop.toml")

    assert policies.guards.keys() == {"shop", "default"}
    assert policies.guards["shop"] is policies.guards["default"]
    assert (policies.settings.host, policies.settings.port) == ("127.0.0.1", 8642)


def test_a_directory_has_a_policy_for_each_file(tmp_path):
    written(tmp_path, shop=ISSUER, admin=ISSUER, server=SERVER)
    (tmp_path / "notes.txt").write_text("no policy")

    policies = read_policies(tmp_path)

    assert policies.guards.keys() == {"shop", "admin"}
    assert policies.settings.trusted == ("127.0.0.1",)


def test_every_problem_of_every_file_is_said_at_once(tmp_path):
    written(
        tmp_path,
        a="[[rule]]\npaht = 1",
        b=SERVER + "[[issuer]]",
        **{"not a name": ISSUER, "c": "not TOML"},
    )
    places = [where for where, _ in problems_of(tmp_path)]

    assert {place.partition(".toml")[0] for place in places} == {"a", "b", "c", "not a name"}
    assert "a.toml rule[0].paht" in places


SAID = {
    "no one to believe": (ISSUER, "server.trusted_proxies", "is missing"),
    "a socket, and no one": (ISSUER + '[server]\nuds = "s"', "server.trusted_proxies", '["unix"]'),
    "no table": ("server = 1\n" + ISSUER, "server", "is a table"),
    "an unknown word": (ISSUER + "[server]\nbind = 1", "server.bind", "is not a key of [server]"),
    "no address": (ISSUER + '[server]\ntrusted_proxies = "lb"', "trusted_proxies[0]", "'lb'"),
    "host bits": (ISSUER + '[server]\ntrusted_proxies = "10.0.0.1/8"', "[0]", "10.0.0.0/8"),
    "everybody": (ISSUER + '[server]\ntrusted_proxies = "0.0.0.0/0"', "[0]", "everybody"),
    "unix, and no socket": (ISSUER + '[server]\ntrusted_proxies = "unix"', "proxies", "no uds"),
    "no text": (ISSUER + "[server]\ntrusted_proxies = [1]", "trusted_proxies", "found [1]"),
    "a short secret": (ISSUER + '[server]\nshared_secret = "short"', "shared_secret", "shorter"),
    "no port": (ISSUER + "[server]\nport = 70000", "server.port", "65535"),
    "a port as text": (ISSUER + '[server]\nport = "80"', "server.port", "'80'"),
    "no host": (ISSUER + '[server]\nhost = ""', "server.host", "address"),
    "no workers": (ISSUER + "[server]\nworkers = 0", "server.workers", "1 or more"),
    "true workers": (ISSUER + "[server]\nworkers = true", "server.workers", "True"),
    "a socket beside a port": (ISSUER + '[server]\nuds = "s"\nport = 1', "server.uds", "remove"),
    "no path": (ISSUER + "[server]\nuds = 1", "server.uds", "found 1"),
    "the server alone": (SERVER, "", "no policy"),
}


@pytest.mark.parametrize(("text", "where", "what"), SAID.values(), ids=SAID)
def test_a_problem_says_what_to_write(text, where, what, tmp_path):
    written(tmp_path, app=text)

    (problem,) = problems_of(tmp_path / "app.toml")

    assert problem[0].startswith("app.toml")
    assert where in problem[0]
    assert what in problem[1]


def test_one_server_listens(tmp_path):
    written(tmp_path, a=ISSUER + SERVER, b=ISSUER + SERVER)
    assert problems_of(tmp_path) == [
        ("server", "stands in a.toml and b.toml; one server listens, so keep one of them")
    ]


def test_an_empty_directory_has_no_policy(tmp_path):
    ((_, what),) = problems_of(tmp_path)
    assert "no *.toml file" in what


def test_the_secret_may_stand_in_a_variable_or_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PROXY_SECRET", SECRET)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    for source in ('{ env = "PROXY_SECRET" }', '{ file = "secret" }', f'"{SECRET}"'):
        written(tmp_path, app=f"{ISSUER}[server]\nshared_secret = {source}")
        assert read_policies(tmp_path / "app.toml").settings.secret == SECRET.encode()


def test_check_looks_at_the_server_too(tmp_path, capsys):
    written(tmp_path, good=ISSUER + SERVER, bad=ISSUER + "[server]\nworker = 2")

    assert main(["check", str(tmp_path / "good.toml")]) == 0
    assert main(["check", str(tmp_path / "bad.toml")]) == 1
    assert "did you mean 'workers'?" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_serve_ends_with_2_and_all_problems_before_it_listens(kind, tmp_path, capsys):
    written(tmp_path, app=ISSUER)

    assert main(["serve", str(tmp_path / "app.toml" if kind == "file" else tmp_path)]) == 2
    assert "app.toml server.trusted_proxies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "rule", "word"),
    [
        ({"strip_credentials": True}, {}, "strip_credentials"),
        ({"response_headers": True}, {}, "response_headers"),
        ({}, {"credentials": {"query": "t"}}, "credentials"),
        ({}, {"credentials": {"subprotocol": "bearer"}}, "credentials"),
    ],
)
def test_what_a_proxy_does_not_do_is_said(settings, rule, word):
    from jwtguard.serve.policies import lost

    guard = Guard([idp.trusted()], [Rule("/x", **rule)], **settings)
    assert [where for where, _ in lost(guard)] == [word]
    assert list(lost(guard_of())) == []


# --- the page -----------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


def test_the_page_shows_the_examples_as_they_are():
    page = (ROOT / "docs" / "forward-auth.md").read_text("utf-8")
    files = {path.name: path.read_text("utf-8") for path in (ROOT / "examples/proxies").iterdir()}
    assert files.keys() == {"nginx.conf", "Caddyfile", "traefik.yml", "envoy.yaml", "app.toml"}
    shown = re.findall(r"```(?:nginx|caddyfile|yaml)\n(.*?)```", page, re.DOTALL)
    assert len(shown) == 5
    for block in shown:
        assert sum(block in text for text in files.values()) == 1
    for name in files:
        assert f"`{name}`" in page


def test_the_policy_of_the_examples_is_good(capsys):
    assert main(["check", str(ROOT / "examples" / "proxies" / "app.toml")]) == 0


def test_logs_say_who_was_not_believed(caplog):
    caplog.set_level(logging.WARNING, logger="jwtguard.serve")
    ask_server(server(), "/auth/p", ASKED, peer="203.0.113.9")
    assert "203.0.113.9 is not in trusted_proxies" in caplog.text
