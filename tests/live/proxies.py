"""Proxies in front of an app, with the configurations of ``examples/proxies`` as they stand.

Only the ports are others. What must be so behind every proxy is in `Facts`.
"""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jwtguard.testing import sign
from tests import shared

from .servers import PROTECTED, ROOT, SECRET, Kind, Reply, Server, _wait, free_port
from .test_servers import ENDPATHS, ODD, bypasses

EXAMPLES = ROOT / "examples" / "proxies"
DOWN = "https://down.example"

POLICY = """
observer   = "prometheus"
public_url = "https://api.example.com"
protected_resource = { authorization_servers = ["https://login.example.com/"] }

[server]
{server}

[[issuer]]
name       = "live"
audience   = false
algorithms = ["HS256"]
secret     = { env = "JWTGUARD_TEST_SECRET" }

[[issuer]]
issuer     = "https://down.example"
audience   = false
algorithms = ["RS256"]
jwks_uri   = "http://127.0.0.1:9/jwks"

[issuer.remote]
insecure_http = true
timeout       = 1

[[issuer]]
issuer     = "{provider}"
name       = "people"
audience   = "app"
algorithms = ["ES256"]
discovery  = true

[issuer.remote]
insecure_http = true

[login]
issuer        = "people"
client_id     = "app"
client_secret = "of the app"
secret        = { env = "JWTGUARD_TEST_SECRET" }
insecure_http = true
idle          = 4

[[rule]]
path    = "/mine/**"
issuers = "session"

[[rule]]
path  = "/admin/**"
roles = "admin"
issuers = "live"

[[rule]]
path = "/down"
issuers = "https://down.example"

[[rule]]
path  = "/app/**"
login = "/login"
issuers = "live"

[[rule]]
path        = "/cookie/**"
credentials = { cookie = "auth_token" }
issuers = "live"

[[rule]]
path    = "/reports"
scopes  = "reports:read"
issuers = "live"

[[rule]]
path   = "/few"
access = "public"
rate   = "2/hour"

[[rule]]
path   = "/**"
access = "public"

[forward]
X-User-Id   = "sub"
X-User-Role = "role"
"""
BY_ADDRESS = 'trusted_proxies = ["127.0.0.1"]'


def token(**claims: object) -> str:
    claims = {"exp": int(time.time()) + 3600, "sub": "root", "roles": ["admin"], **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return sign(claims, SECRET.encode(), "HS256")


def bearer(**claims: object) -> str:
    return f"Authorization: Bearer {token(**claims)}"


def of_the_provider_that_is_down() -> str:
    head, body = ({"alg": "RS256", "kid": "a"}, {"iss": DOWN, "exp": time.time() + 60})
    parts = [json.dumps(part).encode() for part in (head, body)]
    return ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"x" * 256)
    )


@dataclass
class Ports:
    """What stands in the examples, and what stands there in a test."""

    proxy: int
    app: int
    jwtguard: int

    def put_into(self, text: str) -> str:
        for found, port in ((8000, self.proxy), (8001, self.app), (8642, self.jwtguard)):
            assert f":{found}" in text
            text = text.replace(f":{found}", f":{port}")
        return text


def written(
    directory: Path, server: str = BY_ADDRESS, provider: str = "http://127.0.0.1:9"
) -> Path:
    """The policy."""
    policy = directory / "app.toml"
    policy.write_text(POLICY.replace("{server}", server).replace("{provider}", provider))
    return policy


def need_program(name: str) -> str:
    """Its path. Skips with the reason, or fails where it must not be missing."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("JWTGUARD_LIVE") == "required":
            pytest.fail(f"{name} is not installed, and JWTGUARD_LIVE=required")
        pytest.skip(f"{name} is not installed")
    return found


@contextlib.contextmanager
def running(
    arguments: list[str], port: int | None, directory: Path, name: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that listens on *port*, until the block ends."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env={**os.environ, "JWTGUARD_TEST_SECRET": SECRET, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        if port is not None:
            _wait(process, port, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


def jwtguard_serve(target: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "jwtguard", "serve", str(target), *options]


def at(port: int, directory: Path) -> Server:
    """What listens on a port, with the log of jwtguard."""
    return Server("http", Kind("http", (), ()), port, directory / "jwtguard.log")


def over(path, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(request)
        chunks = []
        while chunk := connection.recv(1 << 16):
            chunks.append(chunk)
    return Reply(b"".join(chunks))


def until(is_so):
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        with contextlib.suppress(OSError):
            if found := is_so():
                return found
        time.sleep(0.05)
    pytest.fail("it did not come to that")


@contextlib.contextmanager
def behind(
    start: Callable[[Ports, Path], contextlib.AbstractContextManager[object]],
    directory: Path,
    server: str = BY_ADDRESS,
    *,
    is_up: bool = True,
    provider: str = "http://127.0.0.1:9",
) -> Iterator[Server]:
    """A proxy that *start* starts, with the app and (where it *is_up*) jwtguard behind it."""
    ports = Ports(free_port(), free_port(), free_port())
    policy = written(directory, server, provider)
    app = [sys.executable, "-m", "uvicorn", "--http", "h11", "--log-level", "warning"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(
                [*app, "--port", str(ports.app), "tests.live.behind:app"],
                *(ports.app, directory, "app"),
                JWTGUARD_TEST_POLICY=str(policy),
            )
        )
        if is_up:
            if "uds" in server:
                arguments, port = jwtguard_serve(policy), None
            else:
                port = ports.jwtguard
                arguments = jwtguard_serve(policy, "--port", str(port))
            stack.enter_context(running(arguments, port, directory, "jwtguard"))
            if port is None:
                until(lambda: over(directory / "socket", b"GET /healthz HTTP/1.0\r\n\r\n").status)
        stack.enter_context(start(ports, directory))
        yield at(ports.proxy, directory)


# --- what must be so ----------------------------------------------------------------------------

IDENTITY = [
    spelling(name)
    for name in ("X-User-Id", "X-User-Role")
    for spelling in (
        str,
        str.lower,
        str.upper,
        lambda text: text.replace("-", "_"),
        lambda text: text.replace("-", "_").lower(),
        lambda text: text.replace("-", "_", 1),
        lambda text: "_".join(text.rsplit("-", 1)),
    )
]

# Names under which proxies say what the client asked for.
WORDS = [
    *("X-Original-URI: /public/a", "X-Original-Method: OPTIONS", "X-Forwarded-Uri: /public/a"),
    *("X-Forwarded-Method: OPTIONS", "X-Original-URL: /public/a", "X-Rewrite-URL: /public/a"),
    *("X_Original_URI: /public/a", "X_Forwarded_Uri: /public/a", "x-original-uri: /public/a"),
    *("X-HTTP-Method-Override: GET", "X-Method-Override: OPTIONS", "X-Forwarded-Prefix: /public"),
    *("X-Envoy-Original-Path: /public/a", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"),
    *("X-Forwarded-Host: evil.example", "X-Jwtguard-Proxy-Secret: guess", "Host: /public/a"),
    *("Connection: Authorization", "Connection: X-Original-URI", "Connection: X-User-Id, close"),
    *("Content-Length: 0", "Expect: 100-continue", "TE: trailers", "Upgrade: h2c"),
]

MORE_ODD = [
    *("/public/%2e%2e%2fadmin", "/public/.%2e/admin", "/public;/../admin", "/public%3b/../admin"),
    *("/public/..%5cadmin", "/public/%2e%2e%5cadmin", "/public//../admin", "/public/a/../../admin"),
    *("/admin%2f..%2fpublic", "/admin/..;/public", "/admin/../public", "/admin/%2e%2e/public"),
    *("/public/a?/../../admin", "/public/a#/../../admin", "/public/a%3f/../../admin"),
    *("http://127.0.0.1/admin", "HTTP://x/public/../admin", "https://a@b/admin", "//evil/admin"),
    *("/%2561dmin", "/%25%36%31dmin", "/adm%69n%2f", "/_jwtguard", "/refusal/app", "/verify/app"),
    *("/auth/app", "/auth/app/admin", "/pages/app/admin", "/_jwtguard/../admin", "/%5fjwtguard"),
    *("/.well-known/oauth-protected-resource/../../admin", "/.well-known/../admin"),
    *("/.well-known/oauth-protected-resource%2f..%2f..%2fadmin", "/admin\t", "/admin%u002f"),
]


def told(reply):
    """What the app said; None where it was not reached."""
    if reply.header("x-app") is None:
        return None
    return json.loads(reply.raw.partition(b"\r\n\r\n")[2])


def fault(reply):
    """What is wrong with an answer to a request without a good token, or None."""
    if PROTECTED in reply.raw:
        return "served"
    if reply.status >= 500:
        return str(reply.status)
    found = told(reply) if reply.status != 101 else None
    return found and found["disagrees"]


def values(found, name):
    """Everything that an app would take for the header *name*."""
    return [v for n, v in found["headers"] if n.lower().replace("_", "-") == name]


def cookies_of(reply):
    """The cookies that a reply sets, as a browser sends them back; "" takes one away."""
    head = reply.raw.partition(b"\r\n\r\n")[0].decode("latin-1")
    found = re.findall(r"(?im)^set-cookie: ([^=]+)=([^;\r\n]*)", head)
    return dict(found)


def cookie_field(cookies):
    return "Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items() if value)


class Facts:
    """What must be so behind every proxy; the fixture ``proxy`` is one, its provider ``idp``."""

    def signed_in(self, proxy, idp, **claims):
        """The cookies of somebody who asked for /mine/a, was sent to sign in, and is back."""
        browser = ("Host: api.example.com", "Accept: text/html")
        asked = proxy.get("/mine/a?b=c", *browser)
        assert (asked.status, asked.header("location")) == (
            302,
            "/auth/login?next=%2Fmine%2Fa%3Fb%3Dc",
        )
        left = proxy.get(asked.header("location"), *browser)
        assert left.status == 302
        back = idp.sign_in(left.header("location"), "alice", **claims)
        path = back.removeprefix("https://api.example.com")
        assert path.startswith("/auth/callback?")
        done = proxy.get(path, *browser, cookie_field(cookies_of(left)))
        assert (done.status, done.header("location")) == (302, "/mine/a?b=c")
        return cookies_of(done)

    def test_people_sign_in_and_are_back_and_sign_out(self, proxy, idp):
        cookies = self.signed_in(proxy, idp)

        found = told(proxy.get("/mine/a?b=c", cookie_field(cookies)))
        assert (values(found, "x-user-id"), found["target"]) == (["alice"], "/mine/a?b=c")
        own = ("Sec-Fetch-Site: same-origin", "Origin: https://api.example.com")
        out = proxy.get("/auth/logout", cookie_field(cookies), *own, method="POST")
        assert out.status in (302, 303)
        assert proxy.get("/mine/a", cookie_field(cookies)).status == 401

    def test_a_session_is_renewed_on_the_way(self, proxy, idp):
        cookies = self.signed_in(proxy, idp, name="n" * 3000)  # it takes two cookies
        assert len([value for value in cookies.values() if value]) == 2
        time.sleep(2.1)  # half of idle

        reply = proxy.get("/mine/a", cookie_field(cookies))

        assert values(told(reply), "x-user-id") == ["alice"]
        renewed = cookies_of(reply)
        assert renewed.keys() == {name for name, value in cookies.items() if value}
        assert reply.header("cache-control") == "no-store"
        assert b"x-set-cookie" not in reply.raw.lower()
        assert proxy.get("/mine/a", cookie_field(renewed)).status == 200

    def test_the_provider_ends_sessions_with_a_form(self, proxy, idp):
        cookies = self.signed_in(proxy, idp, sid="of the provider")
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        logout = idp.token(
            "alice", aud="app", sid="of the provider", events=event, jti="1",
            header={"typ": "logout+jwt"},
        )  # fmt: skip
        body = f"logout_token={logout}"
        lines = (
            "POST /auth/backchannel-logout HTTP/1.1",
            "Host: api.example.com",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
            "Connection: close",
            "",
            body,
        )
        assert proxy.send("\r\n".join(lines).encode()).status == 200
        assert proxy.get("/mine/a", cookie_field(cookies)).status == 401

    def test_the_token_opens_what_is_protected_and_the_app_sees_claims_and_target(self, proxy):
        reply = proxy.get("/admin/a%20b?c=%2e&d=//..", bearer(sub="zoë", role="boss"))

        found = told(reply)
        assert (reply.status, found["app"], found["disagrees"]) == (200, "PROTECTED", None)
        assert (found["method"], found["target"]) == ("GET", "/admin/a%20b?c=%2e&d=//..")
        assert values(found, "x-user-id") == ["zoë"]
        assert values(found, "x-user-role") == ["boss"]

    def test_a_refusal_is_the_guards_own(self, proxy):
        reply = proxy.get("/admin")
        assert reply.status == 401
        assert reply.raw.lower().count(b"www-authenticate: bearer") == 1
        assert reply.raw.count(b"no_credentials") == 1
        assert reply.header("cache-control") == "no-store"

        assert proxy.get("/admin", bearer(roles=[])).status == 403
        lacking = proxy.get("/reports", bearer())
        assert lacking.status == 403
        assert 'scope="reports:read"' in lacking.header("www-authenticate")

    def test_two_tokens_are_400(self, proxy):
        for target in ("/admin", "/reports"):
            reply = proxy.get(target, bearer(), bearer(sub="other"))
            assert reply.status == 400
            assert told(reply) is None

    def test_a_provider_that_is_down_is_503(self, proxy):
        reply = proxy.get("/down", f"Authorization: Bearer {of_the_provider_that_is_down()}")

        assert reply.status == 503
        assert int(reply.header("retry-after")) > 0
        assert b'"unavailable"' in reply.raw

    def test_a_browser_is_sent_to_the_login_and_comes_back(self, proxy):
        reply = proxy.get("/app/a?b=c", "Accept: text/html", "Sec-Fetch-Mode: navigate")

        assert reply.status == 302
        assert reply.header("location") == "/login?next=%2Fapp%2Fa%3Fb%3Dc"
        assert proxy.get("/app/a", "Accept: text/html", method="POST").status == 401

    @pytest.mark.parametrize("name", IDENTITY)
    def test_nobody_sends_an_identity_along(self, proxy, name):
        header = f"{name}: eve"
        for target, credentials, mine in (
            ("/public/a", [], []),
            ("/reports", [bearer(scope="reports:read")], ["root"]),
            ("/reports", [bearer(scope="reports:read", sub=None)], []),
        ):
            found = told(proxy.get(target, header, *credentials, header))
            assert found["disagrees"] is None
            assert values(found, "x-user-id") == mine
            assert values(found, "x-user-role") == []

    def test_what_a_claim_says_is_not_read_by_the_proxy(self, proxy):
        for sub in ("{env.HOME}", "{http.request.uri}", "$request_uri", "${HOME}", "a, b", "%2e"):
            found = told(proxy.get("/admin", bearer(sub=sub)))
            assert values(found, "x-user-id") == [sub]

    @pytest.mark.parametrize("word", WORDS)
    def test_a_client_does_not_say_what_it_asked_for(self, proxy, word):
        for target in ("/admin", "/admin/secret?a"):
            assert fault(proxy.get(target, word)) is None
            assert fault(proxy.get(target, word, word)) is None
            assert fault(proxy.get(target, word, bearer(roles=[]))) is None

    def test_no_odd_target_leads_past_the_guard(self, proxy):
        assert [(t, what) for t in (*ODD, *MORE_ODD) if (what := fault(proxy.get(t)))] == []

    @shared.absent(ENDPATHS)
    def test_no_bypass_of_the_list_leads_past_the_guard(self, proxy, record_property):
        assert [(t, what) for t in bypasses() if (what := fault(proxy.get(t)))] == []
        shared.count(record_property, ENDPATHS, len(shared.lines(ENDPATHS)))

    def test_app_and_guard_see_the_same_target(self, proxy):
        """Whatever passes, the app's own guard says the same of what the app got."""
        letters = ("%41", "%7e", "~", "%20", "+", "%2B", "%25", "%c3%a9", "!$&'()*,=:@", "%24")
        for letter in letters:
            found = told(proxy.get(f"/public/{letter}x?{letter}"))
            assert found["disagrees"] is None
            assert found["target"] == f"/public/{letter}x?{letter}"

    @pytest.mark.parametrize(
        "method",
        [
            *("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"),
            *("get", "GeT", "G\u00cbT", "PRI", "POUET", "GET/", "FOO,GET"),
        ],
    )
    def test_no_method_leads_past_the_guard(self, proxy, method):
        reply = proxy.get("/admin", method=method)

        assert fault(reply) is None
        assert reply.status != 200

    def test_head_has_the_refusal_without_its_body(self, proxy):
        reply = proxy.get("/admin", method="HEAD")

        assert reply.status == 401
        assert reply.raw.endswith(b"\r\n\r\n")
        assert proxy.get("/admin", bearer(), method="HEAD").status == 200

    def test_a_preflight_is_judged(self, proxy):
        headers = ("Origin: https://app.example.com", "Access-Control-Request-Method: PUT")
        assert proxy.get("/admin", *headers, method="OPTIONS").status == 401

    def test_a_body_gets_to_the_app_and_never_in_the_way_of_the_next_request(self, proxy):
        body = b"GET /admin HTTP/1.1\r\nHost: a\r\nX-A: b"
        for target, *headers in (
            ("/public/a",),
            ("/admin", bearer()),
            ("/admin",),
            ("/.well-known/oauth-protected-resource",),
            ("/.well-known/oauth-protected-resource/nothing",),
        ):
            head = [f"POST {target} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
            chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            chunked = [*head[:2], "Transfer-Encoding: chunked", *headers]
            for lines, content in ((head, body), (chunked, chunks)):
                raw = "\r\n".join((*lines, "Connection: close", "", "")).encode() + content
                reply = proxy.send(raw)
                found = told(reply)
                assert (found is None) == (not target.startswith("/public") and not headers)
                assert found is None or found["body"] == body.decode()
                assert fault(proxy.get("/admin")) is None
                assert proxy.get("/admin").status == 401
                assert proxy.get("/admin", bearer()).status == 200

    def test_a_handshake_is_judged(self, proxy):
        def shake(target, *headers):
            return proxy.get(
                target,
                *("Host: api.example.com", "Connection: Upgrade", "Upgrade: websocket"),
                *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
                *headers,
            )

        assert shake("/admin").status == 401
        assert shake("/admin", bearer(roles=[])).status == 403
        assert shake("/public/a").status == 101
        opened = shake("/admin", bearer())
        assert opened.status == 101
        cookie = f"Cookie: auth_token={token()}"
        assert shake("/cookie/a", cookie, "Origin: https://evil.example").status == 403
        assert shake("/cookie/a", cookie, "Origin: https://api.example.com").status == 101

    def test_another_sites_form_is_refused(self, proxy):
        cookie = f"Cookie: auth_token={token()}"
        evil, own = "Origin: https://evil.example", "Origin: https://api.example.com"
        assert proxy.get("/cookie/a", cookie, evil, method="POST").status == 403
        assert proxy.get("/cookie/a", cookie, own, method="POST").status == 200
        assert proxy.get("/cookie/a", cookie).status == 200

    @pytest.mark.parametrize("size", [7_000, 12_000, 40_000, 100_000, 1_200_000])
    def test_headers_of_any_size_are_no_servers_fault(self, proxy, size):
        for header in ("Authorization: Bearer ", "Cookie: a=", "X-User-Id: ", "X-Original-URI: /"):
            assert fault(proxy.get("/admin", header + "a" * size)) is None
        many = [f"X-A{n}: {'b' * 100}" for n in range(size // 100)]
        assert fault(proxy.get("/admin", *many)) is None
        assert fault(proxy.get(f"/admin/{'a' * size}")) is None

    def test_a_limit_counts_the_client_and_not_what_it_says_of_itself(self, proxy):
        said = (f"X-Forwarded-For: 203.0.113.{number}" for number in range(6))
        replies = [proxy.get("/few", header) for header in said]

        assert [reply.status for reply in replies[:2]] == [200, 200]
        refused = replies[-1]  # not the third: another hour may have begun
        assert (refused.status, told(refused)) == (429, None)
        assert int(refused.header("retry-after")) > 0

    def test_an_old_client_without_host_is_answered(self, proxy):
        assert fault(proxy.send(b"GET /admin HTTP/1.0\r\n\r\n")) is None

    def test_the_proxy_hands_metadata_on(self, proxy):
        reply = proxy.get("/.well-known/oauth-protected-resource")

        assert reply.status == 200
        assert reply.header("content-type") == "application/json"
        assert b'"resource": "https://api.example.com"' in reply.raw
        challenge = proxy.get("/admin").header("www-authenticate")
        assert "/.well-known/oauth-protected-resource" in challenge
