"""``jwtguard serve`` as a process: how it starts, reloads and ends."""

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import time

from .proxies import BY_ADDRESS, at, bearer, jwtguard_serve, over, running, until, written
from .servers import ROOT, SECRET, Reply, free_port

ASKED = ("X-Original-Method: GET", "X-Original-URI: /admin")


def ended(target, *options):
    """What a server says that does not come up."""
    done = subprocess.run(
        jwtguard_serve(target, *options),
        cwd=ROOT,
        env={**os.environ, "JWTGUARD_TEST_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stderr


@contextlib.contextmanager
def serving(directory, server=BY_ADDRESS):
    port = free_port()
    with running(
        jwtguard_serve(written(directory, server), "--port", str(port)),
        *(port, directory, "jwtguard"),
    ) as process:
        yield process, at(port, directory)


def test_it_answers_and_ends_when_it_is_told_to(tmp_path):
    with serving(tmp_path) as (process, server):
        assert server.get("/healthz").status == 200
        assert server.get("/verify/app", *ASKED).status == 401
        assert server.get("/verify/default", *ASKED, bearer()).header("x-user-id") == "root"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    log = server.log.read_text()
    assert "jwtguard serve: app, default at http://127.0.0.1:" in log
    assert "Traceback" not in log
    assert SECRET not in log


def test_a_running_answer_is_given_before_it_ends(tmp_path):
    with serving(tmp_path) as (process, server):
        head = b"GET /verify/app HTTP/1.1\r\nHost: a\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(head + b"Connection: close\r\n\r\n"[:-2])
            connection.sendall(b"".join(f"{line}\r\n".encode() for line in ASKED) + b"\r\n")
            process.send_signal(signal.SIGTERM)
            assert Reply(connection.recv(1 << 16)).status == 401
        assert process.wait(timeout=10) == 0


def test_an_odd_target_is_no_question(tmp_path):
    with serving(tmp_path) as (_, server):
        for target, status in (
            ("/auth/app/public/a", 200),
            ("/auth/app/public/a#/../admin", 400),
            ("/auth/app/public/%2e%2e/admin", 400),
            ("/auth/app//admin", 400),
            ("/auth/app/admin", 401),
            ("http://127.0.0.1/auth/app/public/a", 404),
            ("/x/../auth/app/public/a", 404),
        ):
            assert (target, server.get(target).status) == (target, status)
        large = "a" * 60_000  # a proxy lets less through
        assert server.get("/auth/app/public/a", f"Cookie: {large}").status == 200


def test_a_handshake_is_answered_like_any_question(tmp_path):
    shake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    with serving(tmp_path) as (_, server):
        assert server.get("/auth/app", *ASKED, *shake).status == 401
        assert server.get("/auth/app", *ASKED, *shake, bearer()).status == 200
    assert "Unsupported upgrade" not in server.log.read_text()


def test_a_unix_socket_is_its_owners_and_the_groups_and_goes_with_the_server(tmp_path):
    policy = written(tmp_path, 'uds = "socket"\ntrusted_proxies = "unix"')
    path = tmp_path / "socket"
    question = "".join(f"{line}\r\n" for line in ("Host: a", *ASKED, "Connection: close"))
    request = f"GET /verify/app HTTP/1.1\r\n{question}\r\n".encode()

    def answers():
        return over(path, request)

    with running(jwtguard_serve(policy), None, tmp_path, "first") as process:
        assert until(answers).status == 401
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        status, said = ended(policy)
        assert (status, "somebody listens" in said) == (2, True)
        process.kill()
        process.wait()
    assert path.exists()  # nobody could remove it
    with running(jwtguard_serve(policy), None, tmp_path, "second") as process:
        assert until(answers).status == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert not path.exists()


def test_several_workers_take_a_new_policy_one_after_another(tmp_path):
    with serving(tmp_path, f"{BY_ADDRESS}\nworkers = 2") as (process, server):
        assert server.get("/verify/app", *ASKED).status == 401
        policy = tmp_path / "app.toml"
        policy.write_text(policy.read_text().replace('"/admin/**"', '"/elsewhere/**"'))
        process.send_signal(signal.SIGHUP)
        answers = []

        def is_new():
            answers.append(server.get("/verify/app", *ASKED).status)
            return answers[-8:] == [200] * 8

        until(is_new)
        assert set(answers) <= {200, 401}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0


def test_with_several_workers_a_body_does_not_wait_for_the_head_to_be_acknowledged(tmp_path):
    waits = []
    with (
        serving(tmp_path, f"{BY_ADDRESS}\nworkers = 2") as (_, server),
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection,
        connection.makefile("rb") as answers,
    ):
        for _ in range(60):
            begun = time.monotonic()
            lines = "".join(f"{line}\r\n" for line in ("Host: a", *ASKED))
            connection.sendall(f"GET /auth/app HTTP/1.1\r\n{lines}\r\n".encode())
            head = list(iter(answers.readline, b"\r\n"))
            (length,) = (line for line in head if line.lower().startswith(b"content-length"))
            assert b"unauthorized" in answers.read(int(length.split(b":")[1]))
            waits.append(time.monotonic() - begun)

    # A delayed acknowledgement takes 40 ms, each time but for the first few.
    assert min(waits[-20:]) < 0.02


def test_the_workers_numbers_are_added_up(tmp_path):
    with serving(tmp_path, f"{BY_ADDRESS}\nworkers = 2") as (_, server):
        for _ in range(12):
            assert server.get("/verify/app", *ASKED).status == 401
        found = [server.get("/metrics").raw.decode() for _ in range(8)]

    counted = (
        r'jwtguard_decisions_total\{[^}]*reason="no_credentials",rule="1:/admin/\*\*".*\} (\S+)'
    )
    assert [re.findall(counted, text) for text in found] == [["12.0"]] * 8


def test_what_is_wrong_is_said_before_anything_listens(tmp_path):
    status, said = ended(written(tmp_path, "workers = 2"))
    assert status == 2
    assert "app.toml server.trusted_proxies" in said
    status, said = ended(tmp_path / "nothing.toml")
    assert (status, "cannot be read" in said) == (2, True)
    status, said = ended(written(tmp_path, 'uds = "no/socket"\ntrusted_proxies = "unix"'))
    assert (status, "its directory must be there" in said) == (2, True)
    (tmp_path / "file").touch()
    status, said = ended(written(tmp_path, 'uds = "file"\ntrusted_proxies = "unix"'))
    assert (status, "is no socket" in said) == (2, True)
    status, said = ended(tmp_path / "app.toml", "--port", "1")
    assert (status, "remove uds" in said) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, said = ended(written(tmp_path), "--port", str(taken.getsockname()[1]))
    assert status == 1
    assert "address already in use" in said
