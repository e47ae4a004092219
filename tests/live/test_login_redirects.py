"""Wherever somebody says that browsers should go after signing in, it is a page of this site."""

import re
import socket
from urllib.parse import quote

import pytest

from tests import shared

from .browser import APP
from .sites import DOORS, SESSION, of, site

REDIRECTS = "redirect_validator_cases.json"
both_doors = pytest.mark.parametrize("door", DOORS)


NAMES = ("next", "redirect", "rd", "return_to", "url")
CLASSICS = [
    "https://evil.example",
    "http://evil.example/",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/%5Cevil.example",
    "/%2Fevil.example",
    "%2F%2Fevil.example",
    "/%252Fevil.example",
    "/%255Cevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "/%0d%0aLocation:%20https://evil.example",
    "/\r\nSet-Cookie: a=b",
    "/%0a/evil.example",
    "/;@evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "evil.example",
    "@evil.example",
    "/@evil.example//x",
    ".evil.example",
    "/.evil.example/..//evil.example",
    "/..//evil.example",
    "/../..//evil.example",
    "/./evil.example//",
    "/inside/../..//evil.example",
    "/.//evil.example",
    "/%2e%2e//evil.example",
    "?//evil.example",
    "#//evil.example",
    "/\u2028/evil.example",
    "/\u3002evil.example",
    "\u3002\u3002evil.example",
    "/\uff0fevil.example",
    "//\uff0fevil.example",
    " //evil.example",
    "\u00a0//evil.example",
    "/\x00/evil.example",
    "/%00/evil.example",
    "http://app.example.com@evil.example",
    "//app.example.com@evil.example",
    "//evil.example/app.example.com",
    "//app.example.com.evil.example",
    "https://app.example.com.evil.example/",
    "//[::1]/",
    "//2130706433/",
    "/auth/login",
    "/auth/callback",
    "/auth/logout",
    "/auth/login?next=//evil.example",
    "/auth/callback?state=x",
]


def stays(location):
    """Whether every browser reads it as an address of this site: one slash, nothing odd."""
    path = location.partition("?")[0]
    odd = re.search(r"//|/\.\.?(/|$)", path)
    return re.fullmatch(r"/[!-\[\]-~]*", location) is not None and not odd


def redirects():
    listed = [case["redirect"] for case in (shared.load(REDIRECTS) or {"cases": []})["cases"]]
    return [*listed, *CLASSICS]


def asked_forms(payload):
    """As a parameter of each name, alone and all at once; encoded, and as it stands."""
    whole = quote(payload, safe="")
    yield "&".join(f"{name}={whole}" for name in NAMES)
    yield f"next={whole}"
    yield f"next={whole}&next=/inside"
    raw = re.sub(r"[^!-~]|[#&+]", lambda found: quote(found[0], safe=""), payload)
    yield f"next={raw}"


def test_nobody_is_led_elsewhere_after_signing_in(ada, app, record_property):
    ada.sign_in()  # from now on the provider asks nothing
    led = []
    for payload in redirects():
        for query in asked_forms(payload):
            ada.http.cookies.delete(SESSION, domain=APP)
            answer = ada.get(f"/auth/login?{query}")
            if answer.status_code == 400:  # the server's own, for what is no request
                continue
            back = ada.http.get(ada.at_callback(f"/auth/login?{query}"))
            location = back.headers.get("location", "")
            if back.status_code != 302 or not stays(location):
                led.append((query, back.status_code, location))
            ada.http.cookies.clear(domain=APP)

    assert led == []
    shared.count(record_property, REDIRECTS, len(redirects()) - len(CLASSICS))


@pytest.mark.parametrize("name", NAMES)
def test_only_next_says_where_to_go(ada, name):
    back = ada.http.get(ada.at_callback(f"/auth/login?{name}=/inside%3Fa%3D1"))

    assert back.headers["location"] == ("/inside?a=1" if name == "next" else "/")


@pytest.mark.parametrize(
    "path", ["/auth/login", "/auth/login/", "/auth/callback?x=1", "/%61uth/login"]
)
def test_nobody_goes_in_circles(ada, path):
    back = ada.http.get(ada.at_callback(f"/auth/login?next={quote(path, safe='')}"))

    assert back.headers["location"] == "/"


PATHS = [
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example",
    "/%5Cevil.example",
    "/%2Fevil.example",
    "/;@evil.example",
    "/.//evil.example",
    "/%0d%0aLocation:x",
    "/%09//evil.example",
    "/a//evil.example",
    "/\\\\evil.example/x",
    "/%252F%252Fevil.example",
    "/inside?x=//evil.example",
    "/@evil.example",
    "/inside?x=\\evil",
    "/inside?%0d%0aSet-Cookie:a=b",
    "/inside?next=https://evil.example",
]


@pytest.mark.parametrize("path", PATHS)
def test_the_address_that_we_build_ourselves_stays_here(app, ada, path):
    """What a browser is sent to the login with: the page that it asked for."""
    said = "Sec-Fetch-Mode: navigate", "Accept: text/html", f"Host: {APP}"
    context = app.certificate.context()
    reply = send(app, context, f"GET {path} HTTP/1.1\r\n" + "".join(f"{x}\r\n" for x in said))
    status, headers = reply
    if status == 400:
        return
    assert status == 302
    login = headers["location"]
    assert login.startswith("/auth/login?next=%2F")
    back = ada.http.get(ada.at_callback(login))
    assert stays(back.headers["location"])


def send(app, context, head):
    """A request as it stands, over TLS: its status and headers."""
    with (
        socket.create_connection(("127.0.0.1", app.server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=APP) as connection,
    ):
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode("latin-1"))
        raw = b""
        while chunk := connection.recv(65536):
            raw += chunk
    first, *lines = raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return int(first.split(" ")[1]), headers


HOSTS = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "//evil.example",
    "X-Script-Name": "/evil",
    "X-Original-URL": "//evil.example/",
    "X-Rewrite-URL": "//evil.example/",
    "Forwarded": "host=evil.example;proto=http",
    "X-Host": "evil.example",
    "Origin": "https://evil.example",
    "Referer": "https://evil.example/",
}


@pytest.mark.parametrize(("name", "value"), HOSTS.items(), ids=HOSTS)
@both_doors
def test_no_header_moves_us_elsewhere(door, name, value, unpushed, certificate, tmp_path):
    said = {name: value}
    with site(door, unpushed, tmp_path, certificate) as app, app.visitor() as visitor:
        asked = visitor.get("/inside", headers=said)
        leaving = visitor.get("/auth/login", headers=said)
        visitor.get("/auth/login")
        callback = visitor.at_callback()
        back = visitor.http.get(callback, headers=said)
        left = visitor.get("/auth/logout", headers=said)

    assert asked.headers["location"] == "/auth/login?next=%2Finside"
    assert of(leaving.headers["location"], "redirect_uri") == app.url("/auth/callback")
    assert back.headers["location"] == "/inside"
    assert of(left.headers["location"], "post_logout_redirect_uri") == app.url("/")
    for answer in (asked, leaving, back, left):
        assert "evil" not in str(answer.headers) + answer.text


@pytest.mark.parametrize("mount", ["//evil.example", "/\\evil.example", "/evil//"])
def test_a_mount_prefix_that_a_client_names_leads_nowhere_else(
    mount, people, certificate, tmp_path
):
    """gunicorn takes SCRIPT_NAME from a header, if whoever sends it is trusted: all, here."""
    with site("wsgi", people, tmp_path, certificate) as app:
        head = f"GET {mount}/inside HTTP/1.1\r\nHost: {APP}\r\nSCRIPT_NAME: {mount}\r\n"
        navigates = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"
        status, headers = send(app, app.certificate.context(), head + navigates)

    assert status in (302, 400)
    assert stays(headers.get("location", "/"))
    assert "evil.example" not in headers.get("location", "").partition("?")[0]
