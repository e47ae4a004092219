"""Caddy with ``forward_auth``: examples/proxies/Caddyfile."""

import pytest

from jwtguard.testing import FakeIssuer

from .proxies import EXAMPLES, Facts, bearer, behind, need_program, running, told


def start(ports, directory):
    """Caddy, with nothing of the machine's own."""
    program = need_program("caddy")
    configuration = directory / "Caddyfile"
    configuration.write_text(ports.put_into((EXAMPLES / "Caddyfile").read_text()))
    arguments = [program, "run", "--adapter", "caddyfile", "--config", str(configuration)]
    own = {name: str(directory) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return running(arguments, ports.proxy, directory, "caddy", **own)


@pytest.fixture(scope="module")
def idp():
    issuer = FakeIssuer(audience="app", algorithm="ES256")
    with issuer.serve() as address:
        issuer.issuer = address
        yield issuer


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, idp):
    with behind(start, tmp_path_factory.mktemp("caddy"), provider=idp.issuer) as found:
        yield found


class TestCaddy(Facts):
    pass


def test_without_jwtguard_nobody_gets_to_the_app(tmp_path):
    with behind(start, tmp_path, is_up=False) as proxy:
        for target in ("/admin", "/public/a"):
            reply = proxy.get(target, bearer())
            assert (reply.status, told(reply)) == (502, None)
