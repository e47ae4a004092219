"""nginx with ``auth_request``: examples/proxies/nginx.conf."""

import os

import pytest

from jwtguard.testing import FakeIssuer

from .proxies import EXAMPLES, Facts, bearer, behind, need_program, running, told


def start(ports, directory, change=lambda text: text):
    """nginx, with nothing of the machine's own."""
    program = need_program("nginx")
    configuration = directory / "nginx.conf"
    text = change(ports.put_into((EXAMPLES / "nginx.conf").read_text()))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"    {kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    text = text.replace("http {\n", f"http {{\n    access_log off;\n{paths}", 1)
    configuration.write_text(text)
    more = f"daemon off; pid {directory}/pid;"
    if os.geteuid() == 0:
        more += " user root;"  # who may open the test's Unix socket
    log = directory / "error.log"
    arguments = [program, "-p", str(directory), "-e", str(log), "-c", str(configuration)]
    return running([*arguments, "-g", more], ports.proxy, directory, "nginx")


@pytest.fixture(scope="module")
def idp():
    issuer = FakeIssuer(audience="app", algorithm="ES256")
    with issuer.serve() as address:
        issuer.issuer = address
        yield issuer


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, idp):
    with behind(start, tmp_path_factory.mktemp("nginx"), provider=idp.issuer) as found:
        yield found


class TestNginx(Facts):
    pass


UNIX = 'uds = "socket"\nworkers = 2\ntrusted_proxies = "unix"'


def test_over_a_unix_socket_with_several_workers(tmp_path):
    def start_on_socket(ports, directory):
        address = f"127.0.0.1:{ports.jwtguard}"
        return start(ports, directory, lambda text: text.replace(address, f"unix:{socket}"))

    socket = tmp_path / "socket"
    with behind(start_on_socket, tmp_path, UNIX) as proxy:
        assert told(proxy.get("/admin", bearer()))["app"] == "PROTECTED"
        assert proxy.get("/admin", "X-Original-URI: /public/a").status == 401
        assert proxy.get("/app/a", "Accept: text/html").status == 302


def test_with_a_shared_secret(tmp_path):
    secret, line = "only nginx and jwtguard know", 'X-Jwtguard-Proxy-Secret "";'

    def knowing(ports, directory):
        return start(ports, directory, lambda text: text.replace(line, f'{line[:-3]}"{secret}";'))

    for started, status in ((knowing, 200), (start, 403)):
        with behind(started, tmp_path, f'shared_secret = "{secret}"') as proxy:
            assert proxy.get("/admin", bearer()).status == status
            for said in (secret, "another"):
                header = f"X-Jwtguard-Proxy-Secret: {said}"
                assert proxy.get("/public/a", header).status == status


def test_without_jwtguard_nobody_gets_to_the_app(tmp_path):
    with behind(start, tmp_path, is_up=False) as proxy:
        for target in ("/admin", "/public/a"):
            reply = proxy.get(target, bearer())
            assert (reply.status, told(reply)) == (500, None)


@pytest.mark.parametrize(
    ("line", "instead", "target", "header"),
    [
        ("proxy_set_header X-User-Role       $user_role;", "", "/public/a", "X-User-Role: boss"),
        (
            "underscores_in_headers off;",
            "underscores_in_headers on;",
            "/public/a",
            "X_User_Id: eve",
        ),
        ("X-Original-URI          $request_uri;", "X-Original-URI $uri;", "/public/a%2fb", ""),
        ("proxy_pass http://app;", "proxy_pass http://app/;", "/public/%41", ""),
        ("X-Forwarded-Proto       $scheme;", "X-Forwarded-Proto $http_x;", "/public/a", "X: a, b"),
    ],
)
def test_what_the_lines_of_the_example_are_for(line, instead, target, header, tmp_path):
    """So that the other tests could fail: without them, things are otherwise."""

    def seen(change):
        with behind(lambda ports, directory: start(ports, directory, change), tmp_path) as proxy:
            reply = proxy.get(target, *([header] if header else []))
            found = told(reply)
            if found is None:
                return reply.status
            return found["target"], [h for h in found["headers"] if "user" in h[0].lower()[:6]]

    def changed(text):
        assert line in text
        return text.replace(line, instead)

    assert seen(lambda text: text) != seen(changed)
