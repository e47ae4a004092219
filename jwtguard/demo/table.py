"""Every request worth sending to the demo, and what must come back.

One table: the check sends it, the page clicks through it, and `curl` writes it down.
"""

import http.client
import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from jwtguard import Guard
from jwtguard.signing import private_key
from jwtguard.testing import FakeIssuer, session

HOST = "127.0.0.1"
NAVIGATION = ("Accept", "text/html")
FORWARDED = "X-Forwarded-For"
FORM = ("Content-Type", "application/x-www-form-urlencoded")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """A request, and what comes back, as `outcome` puts it.

    ``what`` names it (at most 14 characters, for the table); ``browser`` says that a script in a
    page can send it; ``shown`` that the demo prints it as a curl line.
    """

    what: str
    method: str
    target: str
    expected: str
    headers: Headers = ()
    body: str = ""
    browser: bool = True
    shown: bool = False
    steps: Callable[[int], str] | None = None

    def send(self, port: int) -> str:
        """The outcome at the server on *port*."""
        return self.steps(port) if self.steps else outcome(exchange(port, self))


def requests(issuer: FakeIssuer, guard: Guard, protocol: str) -> list[Row]:
    """The table, with fresh tokens. *protocol* is "WSGI" or "ASGI": their servers differ once."""

    def bearer(sub: str = "alice", **words: Any) -> tuple[str, str]:
        return "Authorization", issuer.bearer(sub, **words)

    alice = bearer(email="alice@demo.test", roles="user")
    root = bearer("root", email="root@demo.test", roles=["user", "admin"])
    unsigned = bearer(header={"alg": "none"})
    unsigned = unsigned[0], unsigned[1].rpartition(".")[0] + "."
    cookie = "Cookie", session(guard, "alice", email="alice@demo.test")["Cookie"]
    forged = "X-Auth-User-ID", "root"
    preflight = (
        ("Origin", "https://elsewhere.test"),
        ("Access-Control-Request-Method", "GET"),
    )
    # werkzeug's server merges leading slashes before anybody sees them; uvicorn does not.
    two_slashes = "401 no_credentials" if protocol == "WSGI" else "400 bad_request"
    return [
        Row("open", "GET", "/", "200 jwtguard demo"),
        Row("open", "GET", "/health", "200 ok", shown=True),
        Row("open", "GET", "/api/public", "200 nobody", shown=True),
        Row("forged header", "GET", "/api/public", "200 nobody", (forged,), shown=True),
        Row("underscores", "GET", "/api/public", "200 nobody", (("X_Auth_User_ID", "root"),)),
        Row("old token", "GET", "/api/public", "200 nobody", (bearer(expires=-60),)),
        Row("open", "GET", "/static/demo.css", "200 text/css"),
        Row("no token", "GET", "/api/protected", "401 no_credentials", shown=True),
        Row("token", "GET", "/api/protected", "200 alice", (alice,), shown=True),
        Row("forged header", "GET", "/api/protected", "200 alice", (alice, forged)),
        Row("expired", "GET", "/api/protected", "401 expired", (bearer(expires=-60),), shown=True),
        Row("audience", "GET", "/api/protected", "401 invalid_token", (bearer(aud="x"),)),
        Row(
            "signature",
            "GET",
            "/api/protected",
            "401 invalid_token",
            (bearer(key=private_key(issuer.algorithm)),),
        ),
        Row("alg none", "GET", "/api/protected", "401 invalid_token", (unsigned,)),
        Row(
            "malformed",
            "GET",
            "/api/protected",
            "400 bad_request",
            (("Authorization", "Bearer a b"),),
        ),
        Row("two tokens", "GET", "/api/protected", "400 bad_request", (alice, root)),
        Row("role missing", "GET", "/api/admin", "403 forbidden", (alice,), shown=True),
        Row("role", "GET", "/api/admin", "200 root", (root,), shown=True),
        Row("no rule", "GET", "/elsewhere", "401 no_credentials"),
        Row("token", "GET", "/elsewhere", "404 not_found", (alice,)),
        Row("two slashes", "GET", "//api/protected", two_slashes),
        Row("two slashes", "GET", "/api//protected", "400 bad_request", (alice,)),
        Row("hidden slash", "GET", "/api%2fprotected", "400 bad_request", (alice,)),
        Row("dot segments", "GET", "/health/../app", "400 bad_request", (alice,), browser=False),
        Row("token", "HEAD", "/api/protected", "200", (alice,)),
        Row("no token", "HEAD", "/api/protected", "401"),
        Row("token", "OPTIONS", "/api/admin", "204 GET, HEAD, OPTIONS", (root,)),
        Row("preflight", "OPTIONS", "/api/admin", "401 no_credentials", preflight, browser=False),
        Row("script", "GET", "/app/", "401 no_credentials"),
        Row(
            "navigation",
            "GET",
            "/app",
            "302 /auth/login?next=%2Fapp",
            (NAVIGATION,),
            browser=False,
            shown=True,
        ),
        Row("session", "GET", "/app/", "200 alice", (cookie,), browser=False, shown=True),
        Row("session", "GET", "/api/protected", "200 alice", (cookie,), browser=False),
        Row("role missing", "GET", "/api/admin", "403 forbidden", (cookie,), browser=False),
        Row(
            "not a bearer",
            "GET",
            "/api/protected",
            "401 invalid_token",
            (("Authorization", f"Bearer {cookie[1].partition('=')[2]}"),),
        ),
        Row(
            "cross-site",
            "POST",
            "/app/",
            "403 cross_site",
            (cookie, ("Origin", "https://evil.test")),
            browser=False,
            shown=True,
        ),
        Row(
            "same site",
            "POST",
            "/app/",
            "200 alice",
            (cookie, ("Sec-Fetch-Site", "same-origin")),
            browser=False,
        ),
        Row(
            "too often",
            "GET",
            "/api/admin",
            "429 Retry-After RateLimit",
            browser=False,
            steps=partial(_too_often, root),
        ),
        Row("no sign-in", "GET", "/auth/callback", "400 missing_code"),
        Row("made up", "GET", "/auth/callback?code=x", "400 login_state"),
        Row(
            "asks first",
            "GET",
            "/auth/logout",
            "200 Sign out?",
            (cookie, ("Sec-Fetch-Site", "cross-site")),
            browser=False,
        ),
    ]


def _too_often(admin: tuple[str, str], port: int) -> str:
    """One address, which may come ten times at once, until it is told to wait."""
    sender = FORWARDED, f"198.51.100.{next(_senders) % 250}"
    row = Row("", "GET", "/api/admin", "", (admin, sender))
    for passed in range(100):
        answer = exchange(port, row)
        if answer.status != 200:
            told = " ".join(name for name in ("Retry-After", "RateLimit") if name in answer.headers)
            return f"{answer.status} {told}" if passed >= 10 else f"{passed} of 10 passed"
    return "is never told"


# --- over HTTP ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


_senders = count()


def exchange(port: int, row: Row) -> Answer:
    """Send a request as it stands, over real HTTP.

    Each is somebody else's, as a proxy would say, so that limits by address count it alone.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.putrequest(row.method, row.target)
        if all(name != FORWARDED for name, _ in row.headers):
            connection.putheader(FORWARDED, f"203.0.113.{next(_senders) % 250}")
        for name, value in row.headers:
            connection.putheader(name, value)
        if row.body:
            connection.putheader("Content-Length", str(len(row.body)))
        connection.endheaders(row.body.encode())
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def outcome(answer: Answer) -> str:
    """An answer in a few words: the status, and the one thing that matters beside it."""
    headers, body = answer.headers, answer.body
    kind = headers.get_content_type()
    word = headers.get("Location") or headers.get("Allow")
    if word and "://" in word:
        word = urlsplit(word).path  # the rest is of this one answer
    if word is None and not body:
        word = ""
    elif word is None and kind == "application/json":
        said = json.loads(body)
        word = said.get("code") or said.get("user") or said.get("status")
    elif word is None and kind == "text/html":
        title = re.search(r"<title>(.*?)</title>", body.decode())
        word = title and title[1]
    elif word is None:
        word = kind
    return f"{answer.status} {word}".rstrip()


# --- told to people -----------------------------------------------------------------------------

_LINE = "{:24} {:14} {:27} {}"


def run(name: str, port: int, rows: Sequence[Row]) -> bool:
    """Send every row and print what came back. Returns whether all is as expected."""
    print(f"\n{name} on http://{HOST}:{port}\n")
    print(_LINE.format("request", "", "expected", "got"))
    different = 0
    for row in rows:
        try:
            got = row.send(port)
        except Exception as error:
            got = type(error).__name__  # the server is gone, or its answer is no HTTP
        said = "ok" if got == row.expected else got
        print(_LINE.format(f"{row.method} {row.target}", row.what, row.expected, said))
        if got != row.expected:
            different += 1
            print("^ differs")
    print(f"\n{name}: {len(rows) - different} of {len(rows)} as expected")
    return not different


def curl(row: Row, origin: str) -> str:
    """The request as a command line."""
    words = ["curl", "-i", *(["-X", row.method] if row.method not in ("GET", "HEAD") else [])]
    words += ["-I"] if row.method == "HEAD" else []
    words += ["--path-as-is"] if "/../" in row.target else []
    for name, value in row.headers:
        words += ["-H", f"{name}: {value}"]
    words += ["-d", row.body] if row.body else []
    return shlex.join([*words, origin + row.target])


def shown_in_browser(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The table for the page, as plain data."""
    return [
        {**asdict(row), "steps": None, "curl": curl(row, "ORIGIN")} for row in rows if not row.steps
    ]
