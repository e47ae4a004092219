"""HTTP exchanges, against a server that misbehaves as told; on loopback only."""

import asyncio
import contextlib
import errno
import gzip
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import jwtguard
from jwtguard import Discovery, Guard, Issuer, RemoteKeys, asgi, drive, errors, wsgi
from jwtguard.core import Fetch, Fetched
from jwtguard.testing import FakeIssuer, private_key
from jwtguard.transport import Transport

from .contract import bearer
from .doors import Ask, environ_of, scope_of

idp = FakeIssuer(algorithm="ES256")
BODY = json.dumps(idp.jwks()).encode()


def http(body=BODY, status="200 OK", *fields):
    lines = [f"HTTP/1.1 {status}", *fields]
    if not any(line.lower().startswith("transfer-encoding") for line in fields):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Provider:
    """Answers each connection as *behave* does with (socket, request, provider)."""

    def __init__(self, behave=lambda sock, request, provider: sock.sendall(http())):
        self.behave = behave
        self.hits = []
        self.over = threading.Event()
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port = self._sockets[0].getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/jwks"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._sockets[0].accept()
                self._sockets.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            while True:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    chunk = sock.recv(4096)
                    if not chunk or chunk[0] == 0x16:  # a TLS handshake
                        sock.close()
                        return None
                    request += chunk
                self.hits.append(request.decode("latin-1"))
                if self.behave(sock, request, self) == "close":
                    return sock.close()

    def end(self):
        self.over.set()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def wish(self, **words):
        return Fetch(self.url, **({"insecure_http": True, "timeout": 3} | words))


@contextlib.contextmanager
def tcp(behave):
    """The port of a server that does *behave* with each connection, and closes it."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = server.accept()
                with sock, contextlib.suppress(OSError):
                    behave(sock)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.fixture(scope="module")
def transport():
    return OURS


def ask_sync(transport, wish):
    return transport.fetch(wish)


def ask_async(transport, wish):
    return asyncio.run(transport.afetch(wish))


both_ways = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["thread", "loop"])

OURS = Transport()
CLIENTS = {
    "ours": lambda: OURS,
    "Client": lambda: Transport(httpx2.Client(timeout=None, verify=False)),
    "AsyncClient": lambda: Transport(httpx2.AsyncClient(timeout=None, verify=False)),
}
every_client = pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)


# --- one exchange -------------------------------------------------------------------------------


@both_ways
def test_an_exchange_brings_status_headers_and_body(transport, ask):
    def behave(sock, request, provider):
        sock.sendall(http(b"{}", "404 Not Found", "ETag: a", "X-Two: 1", "X-Two: 2"))

    with Provider(behave) as provider:
        wish = provider.wish(method="POST", headers={"Accept": "x/y"}, body=b"")
        answer = ask(transport, wish)
    assert (answer.status, answer.body) == (404, b"{}")
    assert (answer.headers["etag"], answer.headers["x-two"]) == ("a", "1, 2")
    assert provider.hits[0].startswith("POST /jwks HTTP/1.1\r\n")


@every_client
def test_a_request_says_who_asks_and_wants_nothing_compressed(make):
    with Provider() as provider:
        make().fetch(provider.wish(headers={"Accept": "x/y"}))
    fields = dict(line.split(": ", 1) for line in provider.hits[0].lower().splitlines()[1:-1])
    assert fields["user-agent"] == f"jwtguard/{jwtguard.__version__}"
    assert fields["accept-encoding"] == "identity"
    assert fields["accept"] == "x/y"
    assert not {"cookie", "authorization", "referer"} & fields.keys()


def drip(data):
    def behave(sock, request, provider):
        for byte in data * 1000:
            sock.sendall(bytes([byte]))
            if provider.over.wait(0.02):
                return

    return behave


def stop_after(data):
    def behave(sock, request, provider):
        sock.sendall(data)
        provider.over.wait(5)

    return behave


def reset(sock, request, provider):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    return "close"


def send(data):
    def behave(sock, request, provider):
        sock.sendall(data)
        return "close"

    return behave


def drip_body(sock, request, provider):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
    drip(b" ")(sock, request, provider)


def endless(sock, request, provider):
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        sock.sendall(b"0" * 999)


BOMB = gzip.compress(b"0" * 5_000_000)
CHUNKED = "Transfer-Encoding: chunked"
MISBEHAVING = {
    "never answers": (stop_after(b""), "no answer within 0.2 s"),
    "stops in the headers": (stop_after(b"HTTP/1.1 200 OK\r\nA: b"), "no answer within 0.2 s"),
    "stops in the body": (stop_after(http()[:-5]), "no answer within 0.2 s"),
    "drips headers": (drip(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 99), "no answer within 0.2 s"),
    "drips its body": (
        drip_body,
        "no answer within 0.2 s",
    ),
    "resets": (reset, "Error"),
    "closes": (send(b""), "Error"),
    "closes in the body": (send(http()[:-5]), "Error"),
    "speaks no HTTP": (send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "Error"),
    "endless headers": (send(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 99_999), "Error"),
    "gzip": (send(http(BOMB, "200 OK", "Content-Encoding: gzip")), "a compressed answer"),
    "br": (send(http(b"x", "200 OK", "Content-Encoding: br")), "a compressed answer"),
    "gzip in capitals": (send(http(BOMB, "200 OK", "Content-Encoding: GZIP")), "a compressed"),
    "two encodings": (
        send(http(b"", "200 OK", "Content-Encoding: identity, gzip")),
        "a compressed answer",
    ),
    "too long": (send(http(b"0" * 2001)), "an answer of over 2000 bytes"),
    "too long in chunks": (
        send(http(b"800\r\n" + b"0" * 2048 + b"\r\n0\r\n\r\n", "200 OK", CHUNKED)),
        "an answer of over 2000 bytes",
    ),
    "without an end": (
        endless,
        "an answer of over 2000 bytes",
    ),
}


@every_client
@pytest.mark.parametrize(("behave", "text"), MISBEHAVING.values(), ids=MISBEHAVING)
def test_a_server_that_misbehaves_is_a_fetch_error_in_time(behave, text, make):
    with Provider(behave) as provider:
        begun = time.monotonic()
        with pytest.raises(errors.FetchError) as failure:
            make().fetch(provider.wish(timeout=0.2, max_bytes=2000))
        assert time.monotonic() - begun < 0.2 + 1
    assert str(failure.value).startswith(f"{provider.url}: ")
    assert text in str(failure.value)
    assert len(provider.hits) == 1


@every_client
def test_an_answer_as_long_as_it_may_be_is_taken(make):
    with Provider(send(http(b"0" * 2000))) as provider:
        answer = make().fetch(provider.wish(max_bytes=2000))
    assert len(answer.body) == 2000


def test_a_thread_of_a_users_client_ends_where_the_body_drips():
    with Provider(drip_body) as provider, httpx2.Client() as client:
        with pytest.raises(errors.FetchError):
            Transport(client).fetch(provider.wish(timeout=0.2))
        # The pool of the client has its connection back: the exchange is over.
        until = time.monotonic() + 2
        while client._transport._pool.connections and time.monotonic() < until:
            time.sleep(0.01)
        assert not client._transport._pool.connections


@pytest.mark.parametrize("make_client", [httpx2.Client, httpx2.AsyncClient])
def test_a_compressed_answer_that_a_client_had_whole_is_refused_too(make_client):
    def handle(request):
        return httpx2.Response(200, content=BOMB, headers={"Content-Encoding": "gzip"})

    transport = Transport(make_client(transport=httpx2.MockTransport(handle)))
    with pytest.raises(errors.FetchError, match="a compressed answer"):
        transport.fetch(Fetch("https://issuer.test/"))


def test_nobody_listens():
    provider = Provider()
    provider.end()
    with pytest.raises(errors.FetchError, match=r"/jwks: ConnectError: Connection refused$"):
        OURS.fetch(provider.wish())


@every_client
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status, make):
    with Provider() as elsewhere:
        answer = http(b"", f"{status} Moved", f"Location: {elsewhere.url}")
        with Provider(send(answer)) as provider:
            assert make().fetch(provider.wish()).status == status
        assert elsewhere.hits == []


@every_client
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_cookies_are_not_sent_back(encoding, make):
    fields = ["Set-Cookie: a=b; Path=/", f"Content-Encoding: {encoding}"]
    with Provider(send(http(b"{}", "200 OK", *fields))) as provider:
        transport = make()
        for _ in range(2):
            with contextlib.suppress(errors.FetchError):
                transport.fetch(provider.wish())
    assert len(provider.hits) == 2
    assert not any("cookie" in hit.lower() for hit in provider.hits)


# --- addresses ----------------------------------------------------------------------------------

PLAIN = "plain http to a public address"
METADATA = "plain http to the metadata service of a cloud"


@pytest.mark.parametrize(
    ("url", "insecure", "text"),
    [
        ("http://127.0.0.1/", False, "not https"),
        ("http://8.8.8.8/", False, "not https"),
        ("ftp://127.0.0.1/", True, "not https"),
        ("file:///etc/passwd", True, "not https"),
        ("http://192.0.2.1/", True, PLAIN),
        ("http://8.8.8.8/", True, PLAIN),
        ("http://0.0.0.0/", True, PLAIN),
        ("http://169.254.169.254/", True, PLAIN),
        ("http://172.32.0.1/", True, PLAIN),
        ("http://[2001:db8::1]/", True, PLAIN),
        ("http://[fe80::1]/", True, PLAIN),
        ("http://[::ffff:8.8.8.8]/", True, PLAIN),
        ("http://[::]/", True, PLAIN),
        ("http://[fd00:ec2::254]/", True, METADATA),
        ("http://[fd20:00ce:0:0:0:0:0:254]/", True, METADATA),
    ],
)
def test_an_address_that_may_not_be_asked_is_not_asked(url, insecure, text):
    def never(request):
        raise AssertionError(request)

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(never))
    with pytest.raises(errors.FetchError) as failure:
        Transport(client).fetch(Fetch(url, insecure_http=insecure))
    assert str(failure.value) == f"{url}: {text}"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "[::1]", "[fd00::1]"],
)
def test_loopback_and_private_addresses_may_be_asked_in_plain_http(host):
    client = httpx2.AsyncClient(
        transport=httpx2.MockTransport(lambda request: httpx2.Response(200))
    )
    answer = Transport(client).fetch(Fetch(f"http://{host}/", insecure_http=True))
    assert answer.status == 200


def test_a_host_that_nobody_knows_is_said_to_be_so():
    for url in ("https://issuer.invalid/", "http://issuer.invalid/"):
        with pytest.raises(errors.FetchError, match=r"(ConnectError|gaierror): \w+ ") as failure:
            OURS.fetch(Fetch(url, insecure_http=True, timeout=3))
        assert "issuer.invalid/: " in str(failure.value)


@every_client
def test_https_to_a_server_without_tls_is_a_fetch_error(make):
    def behave(sock):
        sock.recv(100)
        sock.sendall(http())

    with tcp(behave) as port, pytest.raises(errors.FetchError, match=r"WRONG_VERSION_NUMBER$"):
        make().fetch(Fetch(f"https://127.0.0.1:{port}/", timeout=2))


def test_a_certificate_that_nobody_vouches_for_is_said_to_be_so(tmp_path):
    key = private_key("ES256")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.test")])
    day, now = timedelta(days=1), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "both.pem").write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")

    def behave(sock):
        with contextlib.suppress(OSError):
            context.wrap_socket(sock, server_side=True).close()

    for make in (Transport, lambda: Transport(httpx2.Client())):
        with tcp(behave) as port, pytest.raises(errors.FetchError) as failure:
            make().fetch(Fetch(f"https://localhost:{port}/", timeout=2))
        assert str(failure.value).endswith("ConnectError: self-signed certificate")


# --- a client of the user's ---------------------------------------------------------------------


@pytest.mark.parametrize("make", [httpx2.Client, httpx2.AsyncClient])
def test_a_users_client_makes_the_exchange(make):
    asked = []

    def handle(request):
        asked.append(request)
        return httpx2.Response(200, content=BODY, headers={"ETag": '"a"'})

    client = make(transport=httpx2.MockTransport(handle), headers={"X-Own": "1"})
    answer = Transport(client).fetch(Fetch("https://issuer.test/jwks"))
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, BODY, '"a"')
    assert asked[0].headers["x-own"] == "1"


@pytest.mark.parametrize("client", ["x", httpx2.Client, object()])
def test_what_is_no_client_is_an_error_when_the_transport_is_made(client):
    with pytest.raises(errors.ConfigurationError, match=r"^client is an httpx2\.Client or an "):
        Transport(client)


def caused(error, by):
    error.__cause__ = by
    return error


SELF = ValueError("a secret")
SELF.__cause__ = SELF

# what a client raises -> what is said of it
RAISED = [
    (lambda: ValueError("a secret"), "ValueError"),
    (lambda: SELF, "ValueError"),
    (lambda: OSError("a secret"), "OSError"),
    (lambda: OSError(errno.ECONNREFUSED, "a secret"), "ConnectionRefusedError: Connection refused"),
    (lambda: OSError(10**30, "a secret"), "OSError"),
    (lambda: OSError("a secret", "another"), "OSError"),
    (lambda: ssl.SSLError("a secret"), "SSLError"),
    (lambda: ssl.SSLCertVerificationError("a secret"), "SSLCertVerificationError"),
    (lambda: caused(ValueError("a secret"), OSError(errno.EPIPE, "")), "ValueError: Broken pipe"),
    (
        lambda: caused(
            ValueError("a secret"),
            ExceptionGroup("a secret", [OSError(errno.ENETUNREACH, ""), KeyError("a secret")]),
        ),
        "ValueError: Network is unreachable",
    ),
]


@pytest.mark.parametrize("make", [httpx2.Client, httpx2.AsyncClient])
@pytest.mark.parametrize(("error", "said"), RAISED)
def test_what_a_client_raises_is_named_and_not_quoted(make, error, said):
    def handle(request):
        raise error()

    client = make(transport=httpx2.MockTransport(handle))
    with pytest.raises(errors.FetchError) as failure:
        Transport(client).fetch(Fetch("https://issuer.test/"))
    assert str(failure.value) == f"https://issuer.test/: {said}"


# --- many waiters -------------------------------------------------------------------------------


class Source:
    """Who asks; any object that can be hashed and referred to weakly."""


def slowly(seconds=0.15, data=None):
    def behave(sock, request, provider):
        provider.over.wait(seconds)
        sock.sendall(http() if data is None else data)

    return behave


@pytest.mark.parametrize("data", [http(), http(b"", "200 OK", "Content-Encoding: gzip")])
def test_threads_tasks_and_loops_wait_for_one_exchange(data):
    transport, source = Transport(), Source()

    async def tasks(wish):
        asked = (transport.afetch(wish) for _ in range(25))
        return await asyncio.gather(*asked, return_exceptions=True)

    def one(wish):
        try:
            return [transport.fetch(wish)]
        except errors.FetchError as error:
            return [error]

    with Provider(slowly(0.3, data)) as provider, ThreadPoolExecutor(52) as pool:
        wish = provider.wish(flight=(source, 0))
        waiting = [pool.submit(one, wish) for _ in range(50)]
        waiting += [pool.submit(asyncio.run, tasks(wish)) for _ in range(2)]
        answers = [answer for future in waiting for answer in future.result()]
    assert len(answers) == 100
    assert len(provider.hits) == 1
    if b"gzip" in data:  # an error of one's own, as a traceback grows where it is raised
        assert len({id(answer) for answer in answers}) == 100
        assert {type(answer) for answer in answers} == {errors.FetchError}
    else:
        assert {answer.body for answer in answers} == {BODY}


def test_a_late_waiter_gets_the_answer_and_the_next_attempt_asks_anew(transport):
    source = Source()
    with Provider() as provider:
        for _ in range(3):
            transport.fetch(provider.wish(flight=(source, 0)))
        assert len(provider.hits) == 1
        transport.fetch(provider.wish(flight=(source, 1)))
        transport.fetch(provider.wish(flight=(Source(), 1)))
        transport.fetch(provider.wish())
        transport.fetch(provider.wish())
    assert len(provider.hits) == 5


def test_answers_of_earlier_attempts_are_not_kept_where_the_address_changes(transport):
    source = Source()
    with Provider() as provider:

        def ask(attempt):
            wish = provider.wish(flight=(source, attempt))
            transport.fetch(replace(wish, url=f"{provider.url}?signed={attempt}"))
            return len(provider.hits)

        assert [ask(0), ask(1), ask(2)] == [1, 2, 3]
        assert ask(0) == 4, "the first one was forgotten"
        assert ask(2) == 4, "the last one was not"


def test_an_outcome_that_nobody_read_does_not_come_up_later(transport):
    source = Source()
    with Provider() as provider:
        transport.fetch(provider.wish(flight=(source, 0), timeout=0.1))
        time.sleep(0.25)
        transport.fetch(provider.wish(flight=(source, 0), timeout=0.1))
    assert len(provider.hits) == 2


@pytest.mark.parametrize(("make", "number"), [(Transport, 110), (CLIENTS["Client"], 40)])
def test_providers_that_hang_do_not_keep_another_ones_answer_waiting(make, number):
    def hang(sock, request, provider):
        provider.over.wait(10)

    async def main(transport, hanging, good):
        asked = [asyncio.create_task(transport.afetch(hanging)) for _ in range(number)]
        await asyncio.sleep(0.3)
        answer = await transport.afetch(good)
        for one in asked:
            one.cancel()
        return answer

    with Provider(hang) as provider, Provider() as another:
        answer = asyncio.run(main(make(), provider.wish(timeout=8), another.wish(timeout=3)))
    assert answer.status == 200


def test_a_cancelled_leader_fails_nobody(transport):
    async def main(wish):
        leader = asyncio.create_task(transport.afetch(wish))
        others = [asyncio.create_task(transport.afetch(wish)) for _ in range(3)]
        await asyncio.sleep(0.05)
        leader.cancel()
        return await asyncio.gather(leader, *others, return_exceptions=True)

    with Provider(slowly()) as provider:
        leader, *others = asyncio.run(main(provider.wish(flight=(Source(), 0))))
    assert isinstance(leader, asyncio.CancelledError)
    assert [answer.status for answer in others] == [200, 200, 200]
    assert len(provider.hits) == 1


def test_a_loop_that_ends_while_its_request_waits_fails_nobody(transport):
    async def leave(wish):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(transport.afetch(wish), 0.05)

    with Provider(slowly()) as provider:
        wish = provider.wish(flight=(Source(), 0))
        asyncio.run(leave(wish))
        assert transport.fetch(wish).status == 200
    assert len(provider.hits) == 1


def test_an_event_loop_is_not_blocked_while_it_waits(transport):
    async def main(wish):
        task, longest = asyncio.create_task(transport.afetch(wish)), 0.0
        while not task.done():
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)
        return longest

    with Provider(slowly()) as provider:
        assert asyncio.run(main(provider.wish())) < 0.1


# --- fork ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_asks_anew_and_the_parent_goes_on():
    transport, source = Transport(), Source()
    with Provider() as provider:
        wish = provider.wish(flight=(source, 0))
        transport.fetch(wish)
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                status = 0 if transport.fetch(wish).body == BODY else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(provider.hits) == 2
        transport.fetch(wish)
        assert len(provider.hits) == 2  # still known here
        transport.fetch(provider.wish(flight=(source, 1)))
        assert len(provider.hits) == 3


# --- background ---------------------------------------------------------------------------------


def test_a_flow_runs_in_the_background(transport):
    with Provider() as provider:
        source = RemoteKeys(provider.url, insecure_http=True)
        transport.background(source.refresh())
        wait_for(lambda: source.current().keys)


def wait_for(fact):
    until = time.monotonic() + 3
    while not fact() and time.monotonic() < until:
        time.sleep(0.01)
    assert fact()


# --- through the doors --------------------------------------------------------------------------


class Clock:
    """The time of day, which can be put forward."""

    ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


def wsgi_door(guard, **words):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    guarded = wsgi.GuardMiddleware(app, guard, **words)

    def ask(value):
        answer = []
        environ = environ_of(Ask("/x", headers=tuple(bearer(value).items())))
        b"".join(guarded(environ, lambda status, headers: answer.append(int(status[:3]))))
        return answer[0]

    return ask


def asgi_door(guard, **words):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = asgi.GuardMiddleware(app, guard, **words)

    def ask(value):
        answer = []

        async def send(message):
            answer.append(message)

        scope = scope_of(Ask("/x", headers=tuple(bearer(value).items())))
        asyncio.run(guarded(scope, None, send))
        return answer[0]["status"]

    return ask


both_doors = pytest.mark.parametrize("door", [wsgi_door, asgi_door], ids=["wsgi", "asgi"])


def guard_of(keys, **words):
    words = {"audience": idp.audience, "algorithms": ["ES256"]} | words
    return Guard([Issuer(idp.issuer, keys=keys, **words)])


@both_doors
def test_tokens_of_known_keys_pass_while_the_provider_is_down(door):
    clock = Clock()
    stranger = FakeIssuer(algorithm="ES256")
    with Provider() as provider:
        keys = RemoteKeys(provider.url, insecure_http=True, clock=clock, timeout=1)
        ask = door(guard_of(keys))
        known = idp.bearer()
        assert [ask(known), ask(known)] == [200, 200]
        assert len(provider.hits) == 1
    clock.ahead = 3000  # a refresh is due, and fails in the background
    assert ask(known) == 200
    wait_for(lambda: keys._failures == 1)
    assert [ask(known), ask(idp.bearer("bob")), ask(stranger.bearer())] == [200, 200, 503]
    clock.ahead = 86_000
    assert [ask(known), ask(idp.bearer("carol"))] == [200, 200]
    wait_for(lambda: keys._failures == 2)
    clock.ahead = 90_000
    assert ask(known) == 503


@both_doors
def test_a_refresh_ahead_makes_no_request_wait(door):
    clock = Clock()
    with Provider() as provider:
        keys = RemoteKeys(provider.url, insecure_http=True, clock=clock)
        ask, known = door(guard_of(keys)), idp.bearer()
        assert ask(known) == 200
        provider.behave = slowly(0.4)
        clock.ahead = 3000
        begun = time.monotonic()
        assert [ask(known) for _ in range(10)] == [200] * 10
        assert time.monotonic() - begun < 0.3
        wait_for(lambda: keys._attempt == 2)
        assert len(provider.hits) == 2


@both_doors
def test_discovery_finds_the_keys_and_a_rotation(door):
    def behave(sock, request, provider):
        found = {"issuer": rotating.issuer, "jwks_uri": provider.url}
        document = b"openid-configuration" in request
        sock.sendall(http(json.dumps(found if document else rotating.jwks()).encode()))

    rotating, clock = FakeIssuer(algorithm="ES256"), Clock()
    with Provider(behave) as provider:
        keys = Discovery(
            f"{provider.origin}/.well-known/openid-configuration", clock=clock, insecure_http=True
        )
        ask = door(guard_of(keys))
        old = rotating.bearer()
        assert ask(old) == 200
        rotating.rotate(keep=0)
        assert ask(rotating.bearer()) == 401  # within the cooldown
        clock.ahead = 31
        assert ask(rotating.bearer()) == 200
        assert ask(old) == 401
    paths = [hit.split()[1] for hit in provider.hits]
    assert paths == ["/.well-known/openid-configuration", "/jwks"] * 2


@both_doors
def test_cold_and_unreachable_is_503(door):
    provider = Provider()
    provider.end()
    assert door(guard_of(RemoteKeys(provider.url, insecure_http=True)))(idp.bearer()) == 503


@pytest.mark.parametrize(
    ("door", "make"), [(wsgi_door, httpx2.Client), (asgi_door, httpx2.AsyncClient)]
)
def test_a_door_takes_a_client(door, make):
    handler = httpx2.MockTransport(lambda request: httpx2.Response(200, content=BODY))
    ask = door(guard_of(RemoteKeys("https://issuer.test/jwks")), client=make(transport=handler))
    assert [ask(idp.bearer()), ask(idp.bearer())] == [200, 200]


def test_a_users_fetch_refreshes_in_a_thread():
    clock, asked = Clock(), []

    def fetch(wish):
        asked.append(threading.current_thread())
        return Fetched(200, {}, BODY)

    keys = RemoteKeys("https://issuer.test/jwks", clock=clock)
    ask = wsgi_door(guard_of(keys), fetch=fetch)
    assert ask(idp.bearer()) == 200
    clock.ahead = 3000
    assert ask(idp.bearer()) == 200
    wait_for(lambda: keys._attempt == 2)
    assert asked[0] is threading.current_thread()
    assert asked[1] is not asked[0]


def test_a_users_fetch_refreshes_in_a_task():
    clock, asked = Clock(), []

    async def fetch(wish):
        await asyncio.sleep(0)
        asked.append(wish)
        return Fetched(200, {}, BODY)

    async def app(scope, receive, send):
        asked.append("app")

    keys = RemoteKeys("https://issuer.test/jwks", clock=clock)
    guarded = asgi.GuardMiddleware(app, guard_of(keys), fetch=fetch)
    scope = scope_of(Ask("/x", headers=tuple(bearer(idp.bearer()).items())))

    async def main():
        await guarded(scope, None, app)
        clock.ahead = 3000
        await guarded(scope, None, app)
        while keys._attempt < 2:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert [one if one == "app" else one.url for one in asked] == [
        keys.url,
        "app",
        "app",
        keys.url,
    ]


def test_warm_fetches_before_the_first_request_and_stops_nothing():
    with Provider() as provider:
        first, second = (RemoteKeys(provider.url, insecure_http=True) for _ in range(2))
        guard_of(first).warm()
        asyncio.run(guard_of(second).awarm())
        assert [len(first.current()), len(second.current()), len(provider.hits)] == [1, 1, 2]
    down = guard_of(RemoteKeys(provider.url, insecure_http=True))
    down.warm()
    asyncio.run(down.awarm())
    with pytest.raises(errors.KeysUnavailable):
        down.verify(idp.token())
    with pytest.raises(errors.KeysUnavailable):
        asyncio.run(down.averify(idp.token()))
    assert guard_of(first).verify(idp.token()).subject == "alice"


@both_doors
def test_a_stampede_costs_one_exchange(door):
    with Provider(slowly()) as provider:
        ask = door(guard_of(RemoteKeys(provider.url, insecure_http=True)))
        with ThreadPoolExecutor(40) as pool:
            statuses = list(pool.map(lambda n: ask(idp.bearer(f"user{n}")), range(40)))
    assert statuses == [200] * 40
    assert len(provider.hits) == 1


class SlowLog(logging.Handler):
    """A log that lets the other threads go ahead."""

    def emit(self, record):
        time.sleep(0.02)


def test_threads_that_wait_for_a_failure_count_it_once():
    log, slow = logging.getLogger("jwtguard.keys"), SlowLog()
    log.addHandler(slow)
    refused = http(b"", "500 Internal Server Error")
    with Provider(slowly(0.15, refused)) as provider:
        keys = RemoteKeys(provider.url, insecure_http=True, jitter=lambda: 0)
        ask = wsgi_door(guard_of(keys))
        with ThreadPoolExecutor(40) as pool:
            statuses = list(pool.map(lambda n: ask(idp.bearer(f"user{n}")), range(40)))
    log.removeHandler(slow)
    assert statuses == [503] * 40
    assert (keys._failures, keys._attempt, len(provider.hits)) == (1, 1, 1)
    assert keys._not_before < time.time() + 31


# --- drivers ------------------------------------------------------------------------------------


def test_without_a_way_to_fetch_nothing_is_asked():
    keys = RemoteKeys("https://issuer.test/jwks")
    flow = guard_of(keys).verify_flow(idp.token())
    with pytest.raises(errors.KeysUnavailable):
        drive.run(flow)
    assert keys._failures == 1
    with pytest.raises(errors.KeysUnavailable):
        asyncio.run(drive.arun(guard_of(RemoteKeys(keys.url)).verify_flow(idp.token())))


WITHOUT_HTTPX2 = """
import sys
sys.modules["httpx2"] = None
from jwtguard import Guard, Issuer, RemoteKeys, Secret, asgi, errors, wsgi
def guard(keys, algorithm):
    return Guard([Issuer("https://a.test/", audience="a", algorithms=[algorithm], keys=keys)])
app = lambda environ, start_response: []
wsgi.GuardMiddleware(app, guard(Secret("s" * 32), "HS256"))
for door in (wsgi, asgi):
    try:
        door.GuardMiddleware(None, guard(RemoteKeys("https://a.test/jwks"), "RS256"))
    except errors.ConfigurationError as error:
        print(error)
"""


def test_without_httpx2_start_up_names_the_command_that_installs_it():
    python = [sys.executable, "-W", "error", "-c", WITHOUT_HTTPX2]
    told = subprocess.run(python, capture_output=True, check=True, text=True).stdout.splitlines()
    assert len(told) == 2
    assert all("pip install 'jwtguard-middleware[http]'" in line for line in told)
