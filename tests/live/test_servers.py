"""What real servers make of odd requests, in front of guarded Flask and Starlette apps.

Whatever bytes arrive: nothing protected is served without a token, and nothing a client sends is
answered with a 5xx.
"""

import base64
import os
import subprocess
import sys
import time

import pytest

from jwtguard.testing import sign
from tests import shared

from .servers import APPS, KINDS, PROTECTED, ROOT, SECRET, need, serve

ENDPATHS = "path_bypass_nomore403_endpaths.txt"
HTTP_METHODS = "path_bypass_nomore403_httpmethods.txt"

TOKEN = sign(
    {"exp": int(time.time()) + 3600, "roles": ["admin"], "sub": "root"}, SECRET.encode(), "HS256"
)
BEARER = f"Authorization: Bearer {TOKEN}"


@pytest.fixture(scope="module", params=KINDS)
def server(request, tmp_path_factory):
    kind = KINDS[request.param]
    need(kind)
    directory = tmp_path_factory.mktemp("live")
    with serve(request.param, APPS[kind.protocol], directory) as running:
        yield running


def fault(reply):
    """What is wrong with an answer to a request without a good token, or None."""
    if PROTECTED in reply.raw:
        return "served"
    if reply.status >= 500:
        return str(reply.status)
    return None


def faults(server, targets, *headers, method="GET"):
    found = ((target, fault(server.get(target, *headers, method=method))) for target in targets)
    return [(target, what) for target, what in found if what]


# --- odd targets (threats.md 0.1 and 0.2) -------------------------------------------------------

ODD = [
    *("//admin", "///admin", "/%2fadmin", "//%2f/admin", "/%2Fadmin", "/./admin", "/admin/."),
    *("/%61dmin", "/%61%64%6d%69%6e", "/admin%2fsecret", "/admin/secret", "/admin/", "/admin//"),
    *("/admin%00", "/admin%0a", "/admin%0A", "/admin%0d", "/admin%0d%0a", "/admin%09", "/admin%20"),
    *("/admin#x", "/admin?x", "/admin;x", "/admin%3bx", "/admin%3fx", "/admin%23x", "/;/admin"),
    *("/public/../admin", "/public/%2e%2e/admin", "/public/%2e%2e%2fadmin", "/public/..%2fadmin"),
    *("/public/..;/admin", "/public#/../admin", "/public/#/../../admin", "/public?/../admin"),
    *("/public\\..\\admin", "/public/%5c..%5cadmin", "/public/%252e%252e/admin", "/%252fadmin"),
    *("http://evil.example/admin", "http://evil.example//admin", "https:///admin", "http:/admin"),
    *("admin", "\\admin", "*", "?x", "#admin", "@/admin", ":80/admin", "evil.example:80"),
    *("/admin%ff", "/%c0%afadmin", "/admin%c2%85", "/admin%e2%80%a8", "/\xff/../admin"),
    *("/st//private/s.txt", "/st/./private/s.txt", "/st/x/../private/s.txt", "/st/private//s.txt"),
    *(
        "/st/;/%2e%2e/private/s.txt",
        "/st/%70rivate/s.txt",
        "/st/private%2fs.txt",
        "/st%2fprivate/s.txt",
    ),
    *("/st/private/./s.txt", "/st/private/s.txt/", "/st/%2e/private/s.txt", "/st//./private/s.txt"),
    *(
        "/st/private/s.txt%00",
        "/st/private/s.txt%0a",
        "/st\\private\\s.txt",
        "/st/..%2fst/private/s.txt",
    ),
]

POSITIONS = (
    "/admin{}",
    "/admin/{}",
    "/{}/admin",
    "/public/{}/admin",
    "/public/{}/../admin",
    "/admin{}/secret",
    "/st/{}/private/s.txt",
    "/st/private{}/s.txt",
)


def bypasses():
    """The bypass list's payloads in every position, behind the handmade ones."""
    for payload in shared.lines(ENDPATHS):
        for position in POSITIONS:
            yield position.format(payload)


def test_the_token_opens_what_is_protected(server):
    """So that the other tests could fail."""
    for target in ("/admin", "/admin/secret", "/st/private/s.txt"):
        assert server.get(target).status == 401
        reply = server.get(target, BEARER)
        assert (reply.status, PROTECTED in reply.raw) == (200, True)
    assert server.get("/public/a").raw.endswith(b"open")


def test_no_odd_target_leads_past_the_guard(server):
    assert faults(server, ODD) == []


@shared.absent(ENDPATHS)
def test_no_bypass_of_the_list_leads_past_the_guard(server, record_property):
    targets = list(bypasses())

    assert faults(server, targets) == []
    shared.count(record_property, ENDPATHS, len(shared.lines(ENDPATHS)))


@shared.absent(HTTP_METHODS)
def test_no_method_of_the_list_leads_past_the_guard(server, record_property):
    methods = shared.lines(HTTP_METHODS)

    for method in (*methods, *map(str.lower, methods)):
        for target in ("/admin", "/st/private/s.txt"):
            assert (method, fault(server.get(target, method=method))) == (method, None)
    shared.count(record_property, HTTP_METHODS, len(methods))


@pytest.mark.parametrize("name", ["uvicorn-h11", "gunicorn"])
def test_without_the_guard_odd_targets_reach_what_is_protected(name, tmp_path):
    """The lists above are worth something: real apps serve the protected view for these."""
    need(KINDS[name])
    plain = APPS[f"plain {KINDS[name].protocol}"]
    with serve(name, plain, tmp_path) as server:
        reached = [target for target in ODD if PROTECTED in server.get(target).raw]

    assert len(reached) > 8, reached


# --- odd headers --------------------------------------------------------------------------------

HEADERS = {
    "the path in X-Original-URL": (
        ["X-Original-URL: /public/a", "X-Rewrite-URL: /public/a"],
        {401},
    ),
    "the path in X-Forwarded-Uri": (["X-Forwarded-Uri: /public/a"], {401}),
    "the path in Host": (["Host: h/public?x="], {400, 401}),
    "two Host fields": (["Host: a", "Host: b/public/a?"], {400, 401}),
    "another method in a header": (["X-HTTP-Method-Override: OPTIONS"], {401}),
    "two Authorization fields": ([BEARER, BEARER], {400}),
    "a good and a bad Authorization": (["Authorization: Bearer abc", BEARER], {400}),
    "Authorization with a Basic one": ([BEARER, "Authorization: Basic YTpi"], {400}),
    "two tokens joined": ([f"{BEARER}, Bearer {TOKEN}"], {400}),
    "an empty Authorization": (["Authorization:"], {401}),
    "a folded Authorization": (["Authorization: Bearer", f" {TOKEN} x"], {400}),
    "Authorization with an underscore name": ([f"HTTP_AUTHORIZATION: Bearer {TOKEN}"], {400, 401}),
    "40 KB of Authorization": ([f"Authorization: Bearer {'a' * 40_000}"], {400, 401, 431}),
    "16 KB of token": ([f"Authorization: Bearer {'a.' * 8_000}"], {400, 401, 431}),
    "bytes that are no text": (["Authorization: Bearer \xff\xfe\x80"], {400}),
    "a NUL": (["Authorization: Bearer \0"], {0, 400, 401}),
    "the token in the query's place": ([f"Cookie: auth_token={TOKEN}"], {401}),
    "a user in a header": (
        ["Remote-User: root", "REMOTE_USER: root", "X-User-Id: root"],
        {400, 401},
    ),
    "a preflight's headers": (
        ["Origin: https://a.test", "Access-Control-Request-Method: GET"],
        {401},
    ),
}


@pytest.mark.parametrize(("headers", "statuses"), HEADERS.values(), ids=HEADERS)
def test_no_odd_header_opens_what_is_protected(headers, statuses, server):
    reply = server.get("/admin", *headers)

    assert fault(reply) is None
    assert reply.status in statuses


IDENTITIES = ("X-User-Id", "x-user-id", "X_User_Id", "x_user-id", "X-USER_ID", "X-User-Id ")


@pytest.mark.parametrize("name", IDENTITIES)
def test_no_identity_header_of_a_client_reaches_the_app(name, server):
    reply = server.get("/whoami", f"{name}: root")

    assert reply.status in (200, 400)
    assert b"root" not in reply.raw


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", "authorization"),
        ("P\x01T", "authorization"),
        ("PUT", "a\x7f"),
        ("PUT", "\xff\x80"),
        ("", ""),
        ("PUT\t", "a\tb"),
        ("PUT, DELETE", "a" * 5000),
    ],
)
def test_a_preflight_is_answered_whatever_it_asks_for(method, headers, server):
    reply = server.get(
        "/admin",
        "Origin: https://app.example.com",
        f"Access-Control-Request-Method: {method}",
        f"Access-Control-Request-Headers: {headers}",
        method="OPTIONS",
    )

    assert fault(reply) is None
    assert reply.status in ({204} if method == "PUT" and headers.isalpha() else {204, 400, 401})


COOKIES = {
    "alone": ([f"auth_token={TOKEN}"], {200}),
    "between others": ([f"a[]=1; auth_token={TOKEN}; b=2"], {200}),
    "behind a byte that is no text": ([f"\xa0=1; auth_token={TOKEN}"], {200, 400}),
    "twice in one field": ([f"auth_token={TOKEN}; auth_token={TOKEN}"], {400}),
    "twice in two fields": ([f"auth_token={TOKEN}", f"auth_token={TOKEN}"], {400}),
    "in front of another field": ([f"auth_token={TOKEN}", "b=2"], {200, 400}),
    "behind another field": (["b=2", f"auth_token={TOKEN}"], {200, 400, 401}),
    "nameless": (["=auth_token=x"], {401}),
    "behind U+00A0": ([f"\xa0auth_token={TOKEN}"], {400, 401}),
}


@pytest.mark.parametrize(("cookies", "statuses"), COOKIES.values(), ids=COOKIES)
def test_a_cookie_is_read_or_refused(cookies, statuses, server):
    reply = server.get("/cookie/a", *(f"Cookie: {cookie}" for cookie in cookies))

    assert reply.status in statuses


END = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

RAW = {
    "blank lines in front": b"\r\n\r\nGET /admin" + END,
    "HTTP/0.9": b"GET /admin\r\n\r\n",
    "HTTP/1.0": b"GET /admin HTTP/1.0\r\n\r\n",
    "HTTP/9.9": b"GET /admin HTTP/9.9\r\nHost: a\r\nConnection: close\r\n\r\n",
    "an empty target": b"GET " + END,
    "a target with a space": b"GET /public/a /admin" + END,
    "a target with a tab": b"GET /public/a\t/admin" + END,
    "a tab behind the target": b"GET /admin\t" + END,
    "bytes in the target": b"GET /\xff\xfe/admin" + END,
    "a lower-case method": b"get /admin" + END,
    "a method with a NUL": b"G\0T /admin" + END,
    "bare line feeds": b"GET /admin HTTP/1.1\nHost: a\nConnection: close\n\n",
    "no Host": b"GET /admin HTTP/1.1\r\nConnection: close\r\n\r\n",
    "a second request behind a public one": (
        b"GET /public/a HTTP/1.1\r\nHost: a\r\n\r\nGET /admin" + END
    ),
    "a request hidden in a body": (
        b"POST /login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 43\r\n\r\n"
        b"GET /admin HTTP/1.1\r\nHost: a\r\nX: 0123456\r\n\r\n"
    ),
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_no_odd_bytes_open_what_is_protected(raw, server):
    reply = server.send(raw, patience=1)

    assert PROTECTED not in reply.raw
    assert reply.status < 500 or b"HTTP/9.9" in raw  # 505 is the server's own


# --- mount prefixes -----------------------------------------------------------------------------

# gunicorn takes SCRIPT_NAME and PATH_INFO from a header of whoever connects from 127.0.0.1.
SCRIPT_NAMES = [
    ("/public/admin", "SCRIPT_NAME: /public"),
    ("/public/admin/secret", "SCRIPT_NAME: /public"),
    ("/public/admin", "SCRIPT_NAME: /public/"),
    ("/st/private/s.txt", "SCRIPT_NAME: /st"),
    ("/public/a", "PATH_INFO: /admin"),
    ("/public/a", "SCRIPT-NAME: /admin"),
    ("//evil.example/admin", "SCRIPT_NAME: //evil.example"),
    ("/admin", "SCRIPT_NAME: /"),
    ("/admin", "SCRIPT_NAME: /admin"),
]


@pytest.mark.parametrize(("target", "header"), SCRIPT_NAMES)
def test_a_client_cannot_move_the_app(target, header, server):
    reply = server.get(target, header)

    assert PROTECTED not in reply.raw
    assert reply.status < 500


def test_a_prefix_that_is_none_is_gunicorns_own_error(server):
    """gunicorn answers 500 itself, before any app is asked."""
    reply = server.get("/admin", "SCRIPT_NAME: /elsewhere")

    assert PROTECTED not in reply.raw
    assert reply.status == (500 if server.name == "gunicorn" else reply.status)
    assert reply.status < 500 or server.name == "gunicorn"


@pytest.mark.parametrize("prefix", ["//evil.example", "/\\evil.example", "/%09/evil.example"])
def test_a_login_redirect_stays_on_this_site(prefix, server):
    reply = server.get(f"{prefix}/app/x", "Accept: text/html", f"SCRIPT_NAME: {prefix}")

    location = reply.header("location") or "/"
    assert "evil.example" not in location.partition("?")[0]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_a_login_redirect_is_relative(server):
    reply = server.get("/app/x?a=1", "Accept: text/html", "Host: evil.example")

    assert (reply.status, reply.header("location")) == (302, "/login?next=%2Fapp%2Fx%3Fa%3D1")


MOUNTED = [
    *("/admin", "/m/admin", "/m/m/admin", "/mx/admin", "/x/m/admin", "/m//admin", "//m/admin"),
    *("/m/../admin", "/admin/m", "/m%2fadmin", "/m/%61dmin", "/%6d/admin", "/public/m/admin"),
    *("/m/public/../admin", "/madmin", "/m/st/private/s.txt", "/m/admin%0a", "/m;/admin"),
]


@pytest.mark.parametrize(
    ("name", "app", "options", "environment"),
    [
        ("uvicorn-h11", APPS["asgi"], ["--root-path", "/m"], {}),
        ("uvicorn-httptools", APPS["asgi"], ["--root-path", "/m"], {}),
        ("hypercorn", APPS["asgi"], ["--root-path", "/m"], {}),
        ("hypercorn-wsgi", APPS["wsgi"], ["--root-path", "/m"], {}),
        ("gunicorn", APPS["wsgi"], [], {"SCRIPT_NAME": "/m"}),
        ("uvicorn-h11", APPS["fastapi"], ["--factory"], {}),
        ("uvicorn-h11", APPS["fastapi"], ["--factory", "--root-path", "/m"], {}),
    ],
    ids=["uvicorn-h11", "uvicorn-httptools", "hypercorn", "hypercorn-wsgi", "gunicorn",
         "fastapi", "fastapi and --root-path"],
)  # fmt: skip
def test_no_target_leads_past_the_guard_under_a_mount_prefix(
    name, app, options, environment, tmp_path
):
    need(KINDS[name])
    with serve(name, app, tmp_path, options=options, **environment) as server:
        replies = {target: server.get(target) for target in MOUNTED}
        opened = [
            target
            for target in ("/admin", "/m/admin")
            if PROTECTED in server.get(target, BEARER).raw
        ]

    assert [target for target, reply in replies.items() if PROTECTED in reply.raw] == []
    # gunicorn itself answers 500 where a target does not start with its SCRIPT_NAME.
    own = {500} if name == "gunicorn" else set()
    assert {reply.status for reply in replies.values() if reply.status >= 500} <= own
    assert opened


def test_fastapi_with_a_root_path_wrapped_from_outside_does_not_start(tmp_path):
    need(KINDS["uvicorn-h11"])
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "--factory", "tests.live.apps:wrapped_from_outside",
         "--port", "0"],
        cwd=ROOT,
        env={
            **os.environ,
            "JWTGUARD_TEST_SECRET": SECRET,
            "JWTGUARD_TEST_FILES": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "add_middleware" in done.stderr


# --- WebSocket ----------------------------------------------------------------------------------


def handshake(server, *headers):
    key = base64.b64encode(b"0123456789abcdef").decode()
    lines = [
        "GET /admin/ws HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *headers,
    ]
    return server.send("\r\n".join([*lines, "", ""]).encode("latin-1"), patience=1)


def test_a_handshake_without_a_token_is_refused(server):
    reply = handshake(server)

    assert reply.status in (401, 403)
    assert PROTECTED not in reply.raw


def test_a_handshake_with_a_token_is_accepted(server):
    if server.kind.protocol == "wsgi":
        assert handshake(server, BEARER).status != 101
    else:
        assert handshake(server, BEARER).status == 101
