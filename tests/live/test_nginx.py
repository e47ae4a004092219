"""nginx with ``auth_request``: examples/proxies/nginx.conf."""

import contextlib

import pytest

from .proxies import EXAMPLES, PROTECTED, Facts, behind, bearer, need_program, running, told


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
    log = directory / "error.log"
    arguments = [program, "-p", str(directory), "-e", str(log), "-c", str(configuration)]
    return running([*arguments, "-g", more], ports.proxy, directory, "nginx")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    with behind(start, tmp_path_factory.mktemp("nginx")) as found:
        yield found


class TestNginx(Facts):
    pass
