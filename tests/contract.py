"""The contract table: requests, and what every door makes of them.

Each `Case` is a fact: under these settings this request gets that answer, and where it passes the
app sees just this. The table goes through every door of `tests.doors`; a new case is a new row.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt

from jwtguard import (
    FromCookie,
    FromHeader,
    FromQuery,
    Guard,
    Introspection,
    Issuer,
    RemoteKeys,
    Rule,
    Secret,
    errors,
)
from jwtguard.core import Fetch, Fetched
from jwtguard.core.rates import Used
from jwtguard.testing import FakeIssuer, sign

from .doors import Ask, FetchSync, Pairs

SITE = "https://api.test"
PAGE = "https://app.example.com"  # another origin, listed where a case says so
EVIL = "https://evil.example"

idp = FakeIssuer()
TOKEN = idp.token("alice")
ALICE = f"Bearer {TOKEN}"
EXPIRED = f"Bearer {idp.token('alice', expires=-60)}"
FORGED = f"Bearer {TOKEN[:-8]}AAAAAAAA"

JOBS_SECRET = "a secret of the jobs issuer, long enough"
JOBS = Issuer(name="jobs", audience=None, algorithms=["HS256"], keys=Secret(JOBS_SECRET))


def jobs_token(**claims: Any) -> str:
    """A token of the issuer that has no iss value."""
    return sign({"exp": int(time.time()) + 7200, **claims}, JOBS_SECRET.encode(), "HS256")


# --- refusals (details.md, the closed table) ----------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """What a client is told; ``challenge`` is the value of WWW-Authenticate without a realm."""

    status: int
    error: str
    code: str
    message: str
    challenge: str | None = None


def _with_error(error: str, message: str) -> str:
    return f'Bearer error="{error}", error_description="{message}"'


NO_CREDENTIALS = Refusal(
    401, "unauthorized", "no_credentials", "No credentials were sent.", "Bearer"
)
EXPIRED_TOKEN = Refusal(
    401,
    "invalid_token",
    "expired",
    "The token has expired.",
    _with_error("invalid_token", "The token has expired."),
)
INVALID_TOKEN = Refusal(
    401,
    "invalid_token",
    "invalid_token",
    "The token is not valid.",
    _with_error("invalid_token", "The token is not valid."),
)
BAD_REQUEST = Refusal(
    400,
    "invalid_request",
    "bad_request",
    "The request is malformed.",
    _with_error("invalid_request", "The request is malformed."),
)
BAD_TARGET = Refusal(400, "invalid_request", "bad_request", "The request is malformed.")
DENIED = Refusal(403, "forbidden", "forbidden", "Access denied.")
DENIED_401 = Refusal(401, "forbidden", "forbidden", "Access denied.", "Bearer")
CROSS_SITE = Refusal(403, "forbidden", "cross_site", "The request came from another site.")
NOT_COVERED = Refusal(403, "forbidden", "method_not_covered", "Access denied.")
USE_HTTPS = Refusal(403, "forbidden", "https_required", "Use https.")
UNAVAILABLE = Refusal(
    503, "temporarily_unavailable", "unavailable", "The token could not be checked now."
)


def lacks_scope(scope: str) -> Refusal:
    message = "The token lacks a required scope."
    challenge = f'{_with_error("insufficient_scope", message)}, scope="{scope}"'
    return Refusal(403, "insufficient_scope", "insufficient_scope", message, challenge)


# --- cases --------------------------------------------------------------------------------------


class _Unasked:
    """The default of an expectation that a case does not have."""

    def __repr__(self) -> str:
        return "…"


UNASKED: Any = _Unasked()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row. Everything from ``refused`` on is what must come of it.

    ``refused`` None: the app is reached. ``response`` and ``headers_seen`` map names to exact
    values, None for absent; ``reason`` is what the log line says.
    """

    name: str
    target: str = "/x"
    method: str = "GET"
    headers: Pairs | Mapping[str, str] = ()
    scheme: str = "https"
    websocket: bool = False
    mount: str = ""
    raw: bool = True

    rules: Sequence[Rule] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    fetch: FetchSync | None = None  # how exchanges are made, where there are any

    refused: Refusal | None = None
    redirect: tuple[int, str] | None = None
    answered: int | None = None  # by the guard, without being a refusal
    reason: str | None = None
    realm: str | None = None
    response: Mapping[str, str | None] = field(default_factory=dict)
    body: Any = UNASKED
    sub: Any = UNASKED
    path: Any = UNASKED
    query: Any = UNASKED
    headers_seen: Mapping[str, str | None] = field(default_factory=dict)
    variables: Any = UNASKED
    subprotocols: Any = UNASKED

    @property
    def ask(self) -> Ask:
        headers = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        return Ask(
            target=self.target,
            method=self.method,
            headers=tuple(headers),
            scheme=self.scheme,
            websocket=self.websocket,
            mount=self.mount,
            raw=self.raw,
        )

    def guard(self) -> Guard:
        settings = {"issuers": [idp.trusted()], **self.settings}
        return Guard(rules=self.rules, **settings)

    @property
    def reaches_app(self) -> bool:
        return self.refused is None and self.redirect is None and self.answered is None


def bearer(value: str = ALICE) -> dict[str, str]:
    return {"Authorization": value}


PUBLIC = Rule("/public/**", access="public")

# --- paths --------------------------------------------------------------------------------------

_AMBIGUOUS = {
    "a dot-dot segment": "/public/../admin",
    "a dot-dot segment at the end": "/public/..",
    "a dot segment": "/public/./admin",
    "a dot segment at the end": "/public/.",
    "an encoded dot-dot segment": "/public/%2e%2e/admin",
    "a half encoded dot-dot segment": "/public/.%2E/admin",
    "an empty segment": "/public//a",
    "an empty first segment": "//public/a",
    "two slashes at the end": "/public/a//",
    "a backslash": "/public/a\\b",
    "an encoded backslash": "/public/a%5Cb",
    "a NUL": "/public/a%00",
    "a newline at the end": "/public/a%0a",
    "CR and LF": "/public/a%0d%0ab",
    "a tab": "/public/a%09",
    "U+001F": "/public/a%1f",
    "DEL": "/public/a%7f",
    "U+0085 of the second control range": "/public/a%c2%85",
    "U+009F of the second control range": "/public/a%C2%9F",
    "a semicolon": "/public/a;b",
    "an encoded semicolon": "/public/a%3bb",
    "an encoded number sign": "/public/a%23b",
    "an encoded question mark": "/public/a%3fb",
    "a double encoded slash": "/public/a%252fb",
    "a double encoded letter": "/public/%2561",
    "invalid UTF-8": "/public/%ff",
    "an overlong slash": "/public/%c0%af",
    "an encoded surrogate": "/public/%ed%a0%80",
}
_AMBIGUOUS_RAW = {
    "an encoded slash": "/public/a%2fb",
    "an encoded slash in upper case": "/public/a%2Fb",
    "an encoded dot": "/public/a%2ejpg",
    "a fragment": "/public/a#b",
    "the absolute form": "http://evil.example/public/a",
    "the asterisk form": "*",
    "the authority form": "evil.example:443",
    "no slash in front": "public/a",
    "a backslash in front": "\\public/a",
    "a query alone": "?a=1",
}

PATHS = [
    *(
        Case(
            name=f"{what} in the path is refused{where}, on public paths too",
            target=target,
            rules=[PUBLIC],
            raw=raw,
            refused=BAD_TARGET,
        )
        for raw, where in ((True, ""), (False, " where there is no raw target"))
        for what, target in _AMBIGUOUS.items()
    ),
    *(
        Case(
            name=f"{what} in the raw target is refused, on public paths too",
            target=target,
            rules=[PUBLIC],
            refused=BAD_TARGET,
        )
        for what, target in _AMBIGUOUS_RAW.items()
    ),
    Case(
        name="a good token does not make an ambiguous path better",
        target="/x/../admin",
        headers=bearer(),
        refused=BAD_TARGET,
    ),
    Case(
        name="without a raw target an encoded slash is the slash it became",
        target="/public/a%2fb",
        rules=[PUBLIC],
        raw=False,
        path="/public/a/b",
    ),
    Case(
        name="a per cent sign that escapes nothing passes",
        target="/public/100%25",
        rules=[PUBLIC],
        path="/public/100%",
    ),
    Case(
        name="an encoded letter is the letter",
        target="/%70ublic/%61",
        rules=[PUBLIC],
        path="/public/a",
    ),
    Case(
        name="an encoded letter does not lead past a rule",
        target="/%61dmin",
        rules=[Rule("/admin", roles="admin"), Rule("/**", access="public")],
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="UTF-8 in the path passes and is compared decoded",
        target="/caf%C3%A9/men%C3%BC",
        rules=[Rule("/café/**", access="public")],
        path="/café/menü",
    ),
    *(
        Case(
            name=f"{target} has one reading and passes",
            target=f"/public{target}",
            rules=[PUBLIC],
            path=f"/public{path}",
        )
        for target, path in (
            ("/.hidden", "/.hidden"),
            ("/a..b", "/a..b"),
            ("/...", "/..."),
            ("/a+b", "/a+b"),
            ("/a%20b", "/a b"),
            ("/a=b&c,d:e@f!$'()*~_-", "/a=b&c,d:e@f!$'()*~_-"),
            ("/100%25z", "/100%z"),
        )
    ),
    Case(name="the query takes no part in matching", target="/x?/public/a", refused=NO_CREDENTIALS),
    Case(
        name="dots and slashes in the query are nobody's business",
        target="/public/a?next=//b/../c%2f;%00",
        rules=[PUBLIC],
        query="next=//b/../c%2f;%00",
    ),
    *(
        Case(
            name=f"{name} does not choose the path",
            headers={name: "/public/a"},
            rules=[PUBLIC],
            refused=NO_CREDENTIALS,
        )
        for name in (
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-Forwarded-Uri",
            "X-Forwarded-Prefix",
            "X-Envoy-Original-Path",
            "Script-Name",
        )
    ),
    Case(
        name="Host does not choose the path",
        headers={"Host": "api.test/public/a?x="},
        rules=[PUBLIC],
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="User-Agent exempts nobody",
        headers={"User-Agent": "kube-probe/1.30"},
        rules=[Rule("/health", access="public")],
        refused=NO_CREDENTIALS,
    ),
]

FILES = Rule("/files/**", access="public", opaque_tail=True)

OPAQUE_TAIL = [
    *(
        Case(
            name=f"opaque_tail lets {what} through behind its prefix",
            target=f"/files/{tail}",
            rules=[FILES],
            path=f"/files/{path}",
        )
        for what, tail, path in (
            ("an encoded slash", "a%2fb", "a/b"),
            ("a semicolon", "a;b", "a;b"),
            ("an encoded semicolon", "a%3Bb", "a;b"),
            ("an encoded question mark", "a%3fb", "a?b"),
            ("an encoded number sign", "a%23b", "a#b"),
            ("an empty segment", "a//b", "a//b"),
        )
    ),
    *(
        Case(
            name=f"opaque_tail does not let {what} through",
            target=f"/files/{tail}",
            rules=[FILES],
            refused=BAD_TARGET,
        )
        for what, tail in (
            ("a dot-dot segment", "../x"),
            ("an encoded dot-dot segment", "%2e%2e/x"),
            ("a dot-dot segment behind an encoded slash", "a%2f..%2fb"),
            ("a backslash", "a\\b"),
            ("an encoded backslash", "a%5cb"),
            ("a NUL", "a%00"),
            ("a newline", "a%0a"),
            ("a double encoding", "a%252fb"),
        )
    ),
    *(
        Case(
            name=f"opaque_tail is for its own tail only: {target}",
            target=target,
            rules=[FILES],
            refused=BAD_TARGET,
        )
        for target in (
            "/other/a%2fb",
            "/other/a;b",
            "/files%2fa",
            "//files/a",
            "/files;x/a",
            "/filesX/a%2fb",
            "/x%2ffiles/a",
        )
    ),
    Case(
        name="what opaque_tail lets through is still judged by its rule",
        target="/files/a%2fb",
        rules=[Rule("/files/**", opaque_tail=True)],
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="opaque_tail counts behind a mount prefix",
        target="/m/files/a%2fb",
        mount="/m",
        rules=[FILES],
        path="/files/a/b",
    ),
    Case(
        name="an encoded slash at the mount prefix is refused beside opaque_tail",
        target="/m%2ffiles/a",
        mount="/m",
        rules=[FILES],
        refused=BAD_TARGET,
    ),
]

# --- rules --------------------------------------------------------------------------------------


def _public(*paths: str) -> list[Rule]:
    return [Rule(list(paths), access="public")]


MATCHING = [
    *(
        Case(name=f"{pattern} matches {target}", target=target, rules=_public(pattern))
        for pattern, target in (
            ("/health", "/health"),
            ("/health", "/health/"),
            ("/health/", "/health"),
            ("/one/*/segment", "/one/a/segment"),
            ("/one/*/segment", "/one/a/segment/"),
            ("/item/{id}", "/item/7"),
            ("/tree/**", "/tree"),
            ("/tree/**", "/tree/"),
            ("/tree/**", "/tree/a"),
            ("/tree/**", "/tree/a/b/c/"),
            ("/t/{id}/**", "/t/7/a"),
            ("/", "/"),
            ("/**", "/"),
            ("/**", "/a/b"),
        )
    ),
    *(
        Case(
            name=f"{pattern} does not match {target}",
            target=target,
            rules=_public(pattern),
            refused=NO_CREDENTIALS,
        )
        for pattern, target in (
            ("/health", "/healthz"),
            ("/health", "/health/x"),
            ("/health", "/HEALTH"),
            ("/health", "/"),
            ("/one/*/segment", "/one/segment"),
            ("/one/*/segment", "/one/a/b/segment"),
            ("/item/{id}", "/item"),
            ("/item/{id}", "/item/"),
            ("/tree/**", "/treehouse"),
            ("/tree/**", "/Tree/a"),
            ("/t/{id}/**", "/t"),
            ("/", "/a"),
        )
    ),
    Case(name="what no rule names needs a token", refused=NO_CREDENTIALS, reason="no_credentials"),
    Case(name="what no rule names is open to a valid token", headers=bearer(), sub="alice"),
    Case(
        name="the first rule that matches decides, and it opens",
        target="/a/open",
        rules=[Rule("/a/open", access="public"), Rule("/a/**", roles="admin")],
    ),
    Case(
        name="the first rule that matches decides, and it closes",
        target="/a/b",
        rules=[Rule("/a/{x}", roles="admin"), Rule("/a/**", access="public")],
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="a rule is written relative to where the guard stands",
        target="/m/health",
        mount="/m",
        rules=_public("/health"),
    ),
    Case(
        name="the mount prefix is no part of the path judged",
        target="/m/m/health",
        mount="/m",
        rules=_public("/m/m/**"),
        refused=NO_CREDENTIALS,
    ),
    Case(name="the mount prefix alone is /", target="/m", mount="/m", rules=_public("/")),
    Case(
        name="a path parameter that equals the claim lets in",
        target="/tenants/a/x",
        headers=bearer(idp.bearer(tenant_id="a")),
        rules=[Rule("/tenants/{tenant}/**", require={"tenant_id": {"path": "tenant"}})],
        sub="alice",
    ),
    Case(
        name="a path parameter that differs from the claim does not",
        target="/tenants/b/x",
        headers=bearer(idp.bearer(tenant_id="a")),
        rules=[Rule("/tenants/{tenant}/**", require={"tenant_id": {"path": "tenant"}})],
        refused=DENIED,
        reason="requirement_not_met",
    ),
]

_OPEN_GET = [Rule("/r/**", methods=["GET"], access="public")]
_READ = Rule("/r/**", methods=["GET"], scopes="reports:read")
_WRITE = Rule("/r/**", scopes="reports:write")

METHODS = [
    *(
        Case(name=f"a rule for GET covers {method}", target="/r/a", method=method, rules=_OPEN_GET)
        for method in ("GET", "HEAD", "get", "Head")
    ),
    *(
        Case(
            name=f"a rule for GET does not cover {method}",
            target="/r/a",
            method=method,
            rules=_OPEN_GET,
            refused=NO_CREDENTIALS,
        )
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "POUET", "GETX")
    ),
    Case(
        name="a rule for HEAD does not cover GET",
        target="/r/a",
        rules=[Rule("/r/**", methods="HEAD", access="public")],
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="methods of a rule are compared in upper case",
        target="/r/a",
        method="post",
        rules=[Rule("/r/**", methods=["Post"], access="public")],
    ),
    Case(
        name="a WebSocket handshake counts as GET",
        target="/r/a",
        websocket=True,
        scheme="wss",
        rules=_OPEN_GET,
    ),
    Case(
        name="a WebSocket handshake is guarded like any request",
        websocket=True,
        scheme="wss",
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="a WebSocket handshake with a token passes",
        websocket=True,
        scheme="wss",
        headers=bearer(),
        sub="alice",
    ),
    *(
        Case(
            name=f"{name} is ignored",
            target="/r/a",
            method="POST",
            headers={name: "GET"},
            rules=_OPEN_GET,
            refused=NO_CREDENTIALS,
        )
        for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    ),
    *(
        Case(
            name=f"the method {method!r} is no HTTP token",
            target="/public/a",
            method=method,
            rules=[PUBLIC],
            refused=BAD_TARGET,
            reason="malformed_method",
        )
        for method in ("GE T", "GET\t", "G(ET", "", "GÉT")
    ),
    Case(
        name="a rule without methods covers every method",
        target="/public/a",
        method="POUET",
        rules=[PUBLIC],
    ),
    Case(
        name="a rule whose methods do not fit is passed over",
        target="/r/a",
        method="POST",
        headers=bearer(idp.bearer(scopes="reports:write")),
        rules=[_READ, _WRITE],
        sub="alice",
    ),
    Case(
        name="the rule that takes over asks for its own",
        target="/r/a",
        method="POST",
        headers=bearer(idp.bearer(scopes="reports:read")),
        rules=[_READ, _WRITE],
        refused=lacks_scope("reports:write"),
        reason="insufficient_scope",
    ),
    Case(
        name="a method that no rule covers is refused where the rules asked for more",
        target="/r/a",
        method="POST",
        headers=bearer(idp.bearer(scopes="reports:read")),
        rules=[_READ],
        refused=NOT_COVERED,
        reason="method_not_covered",
    ),
    Case(
        name="a rule that lists issuers asked for more than a valid token",
        target="/r/a",
        method="DELETE",
        headers=bearer(),
        rules=[Rule("/r/**", methods="GET", issuers=idp.issuer)],
        refused=NOT_COVERED,
    ),
    Case(
        name="a passed-over rule that asked for a valid token only leaves it at that",
        target="/r/a",
        method="POST",
        headers=bearer(),
        rules=[Rule("/r/**", methods="GET")],
        sub="alice",
    ),
    Case(
        name="a later rule of the user's covers the method",
        target="/r/a",
        method="POST",
        headers=bearer(),
        rules=[_READ, Rule("/**")],
        sub="alice",
    ),
]

# --- credentials --------------------------------------------------------------------------------

TWO = "several_credentials"
BAD = "malformed_credentials"


def _authorization(what: str, value: str, refused: Refusal, reason: str | None = None) -> Case:
    return Case(
        name=f"Authorization: {what}", headers=bearer(value), refused=refused, reason=reason
    )


_HEADER = [Rule("/**", credentials=[{"header": "X-Token"}])]
_PREFIXED = [Rule("/**", credentials=[FromHeader("X-Token", prefix="Token ")])]
_COOKIE = [Rule("/**", credentials=[{"cookie": "auth_token"}])]
_QUERY = [Rule("/**", credentials=[{"query": "access_token"}])]
_SUBPROTOCOL = [Rule("/**", credentials=[{"subprotocol": "bearer"}])]
_EITHER = [Rule("/**", credentials=["bearer", FromCookie("auth_token")])]
_ALL = [Rule("/**", credentials=["bearer", FromHeader("X-Token"), FromQuery()])]


def cookie(value: str) -> dict[str, str]:
    return {"Cookie": value}


CREDENTIALS = [
    *(
        Case(name=f"Authorization: {what} carries the token", headers=bearer(value), sub="alice")
        for what, value in (
            ("Bearer", ALICE),
            ("bearer in lower case", f"bearer {TOKEN}"),
            ("BEARER in upper case", f"BEARER {TOKEN}"),
            ("Bearer with several spaces", f"Bearer   {TOKEN}"),
        )
    ),
    _authorization("an empty value is no credentials", "", NO_CREDENTIALS, "no_credentials"),
    _authorization("Basic is no credentials", "Basic YTpi", NO_CREDENTIALS),
    _authorization("Bearer alone is no credentials", "Bearer", NO_CREDENTIALS),
    _authorization("Bearer and spaces is no credentials", "Bearer  ", NO_CREDENTIALS),
    _authorization("a longer scheme name is another scheme", "BearerXa", NO_CREDENTIALS),
    _authorization("a shorter scheme name is another scheme", "Beare", NO_CREDENTIALS),
    _authorization("a scheme that only ends alike", f"XBearer {TOKEN}", NO_CREDENTIALS),
    _authorization("Bearer inside another scheme", f"Basic Bearer {TOKEN}", NO_CREDENTIALS),
    _authorization(
        "a scheme with parameters is another scheme",
        'Digest username="a", realm="Bearer b", nonce="c"',
        NO_CREDENTIALS,
    ),
    _authorization("something behind the token is malformed", f"{ALICE} x", BAD_REQUEST, BAD),
    _authorization("a tab before the token is malformed", f"Bearer\t{TOKEN}", BAD_REQUEST, BAD),
    _authorization("a comma behind the token is malformed", f"{ALICE},", BAD_REQUEST),
    _authorization("a comma before the token is malformed", f"Bearer ,{TOKEN}", BAD_REQUEST),
    _authorization("two tokens behind one Bearer", f"{ALICE},{TOKEN}", BAD_REQUEST),
    _authorization("a quoted token is malformed", f'Bearer "{TOKEN}"', BAD_REQUEST, BAD),
    _authorization("a parameter is malformed", f"Bearer token={TOKEN}", BAD_REQUEST, BAD),
    _authorization("letters outside ASCII are malformed", f"Bearer {TOKEN}é", BAD_REQUEST, BAD),
    _authorization("two joined Bearers are two tokens", f"{ALICE},{ALICE}", BAD_REQUEST, TWO),
    _authorization("two joined with a space too", f"{ALICE}, {ALICE}", BAD_REQUEST, TWO),
    _authorization("Bearer joined with Basic", f"{ALICE}, Basic YTpi", BAD_REQUEST, TWO),
    _authorization("Basic joined with Bearer", f"Basic YTpi, {ALICE}", BAD_REQUEST, TWO),
    _authorization(
        "a token68 that is no JWT is a bad token", "Bearer abc", INVALID_TOKEN, "malformed_token"
    ),
    _authorization("an expired token", EXPIRED, EXPIRED_TOKEN, "expired"),
    _authorization("a forged token", FORGED, INVALID_TOKEN, "bad_signature"),
    *(
        Case(
            name=f"two Authorization fields are refused: {what}",
            headers=[("Authorization", first), ("Authorization", second)],
            refused=BAD_REQUEST,
            reason=TWO,
        )
        for what, first, second in (
            ("the same token twice", ALICE, ALICE),
            ("a good and a bad token", ALICE, FORGED),
            ("Basic first", "Basic YTpi", ALICE),
            ("Basic last", ALICE, "Basic YTpi"),
            ("no Bearer at all", "Basic YTpi", "Basic YTpj"),
        )
    ),
    *(
        Case(
            name=f"two Authorization fields are refused: an empty one {where}",
            headers=[("Authorization", first), ("Authorization", second)],
            refused=BAD_REQUEST,
        )
        for where, first, second in (("first", "", ALICE), ("last", ALICE, ""))
    ),
    # a header of its own
    Case(name="a header carries the token", headers={"X-Token": TOKEN}, rules=_HEADER, sub="alice"),
    Case(
        name="a header of the rule means that Authorization is not read",
        headers=bearer(),
        rules=_HEADER,
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="an empty header is no credentials",
        headers={"X-Token": ""},
        rules=_HEADER,
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="a header twice is two tokens",
        headers=[("X-Token", TOKEN), ("X-Token", TOKEN)],
        rules=_HEADER,
        refused=BAD_REQUEST,
    ),
    Case(
        name="a header with more than token68 is malformed",
        headers={"X-Token": f"{TOKEN} x"},
        rules=_HEADER,
        refused=BAD_REQUEST,
        reason=BAD,
    ),
    Case(
        name="a header's prefix is taken off",
        headers={"X-Token": f"Token {TOKEN}"},
        rules=_PREFIXED,
        sub="alice",
    ),
    Case(
        name="a header without its prefix is no credentials",
        headers={"X-Token": TOKEN},
        rules=_PREFIXED,
        refused=NO_CREDENTIALS,
    ),
    # a cookie
    *(
        Case(
            name=f"a cookie carries the token: {what}",
            headers=cookie(value),
            rules=_COOKIE,
            sub="alice",
        )
        for what, value in (
            ("alone", f"auth_token={TOKEN}"),
            ("between others", f"a=1; auth_token={TOKEN}; b=2"),
            ("without spaces", f"a=1;auth_token={TOKEN};b=2"),
            ("with spaces and tabs around", f"a=1; \t auth_token \t=\t {TOKEN} \t"),
            ("behind an illegal name", f"a[]=1; auth_token={TOKEN}"),
            ("behind a nameless one", f"=auth_token=x; auth_token={TOKEN}"),
            ("behind one without equals", f"auth_token; auth_token={TOKEN}"),
            ("behind a byte that is no text", f"\xa0\xff=1; auth_token={TOKEN}"),
            ("behind an unbalanced quote", f'a="1; auth_token={TOKEN}'),
            ("beside a name that differs in case", f"AUTH_TOKEN=x; auth_token={TOKEN}"),
        )
    ),
    *(
        Case(
            name=f"no credentials: a cookie {what}",
            headers=cookie(value),
            rules=_COOKIE,
            refused=NO_CREDENTIALS,
        )
        for what, value in (
            ("that is empty", "auth_token="),
            ("of another name", f"token={TOKEN}"),
            ("whose name differs in case", f"Auth_Token={TOKEN}"),
            ("behind U+00A0", f"\xa0auth_token={TOKEN}"),
            ("behind U+0085", f"\x85auth_token={TOKEN}"),
            ("behind U+2000", f"\xe2\x80\x80auth_token={TOKEN}"),
            ("whose name is longer", f"xauth_token={TOKEN}"),
            ("with a percent-encoded name", f"auth%5Ftoken={TOKEN}"),
            ("inside another's value", f'a="auth_token={TOKEN}"'),
        )
    ),
    *(
        Case(
            name=f"malformed: a cookie {what}",
            headers=cookie(value),
            rules=_COOKIE,
            refused=BAD_REQUEST,
        )
        for what, value in (
            ("that stands twice", f"auth_token={TOKEN}; auth_token={TOKEN}"),
            ("that stands twice, once empty", f"auth_token=; auth_token={TOKEN}"),
            ("in quotes, which are not taken off", f'auth_token="{TOKEN}"'),
            ("with a percent escape, which is not decoded", "auth_token=a%2Eb"),
            ("joined with another by a comma", f"auth_token={TOKEN},b=2"),
            ("joined with itself by a comma", f"auth_token={TOKEN}, auth_token={TOKEN}"),
            ("that holds Bearer too", f"auth_token=Bearer {TOKEN}"),
        )
    ),
    Case(
        name="a cookie of the rule means that Authorization is not read",
        headers=bearer(),
        rules=_COOKIE,
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="a rule without the cookie does not read it",
        headers=cookie(f"auth_token={TOKEN}"),
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="a cookie with an expired token",
        headers=cookie(f"auth_token={EXPIRED[7:]}"),
        rules=_COOKIE,
        refused=EXPIRED_TOKEN,
    ),
    # the query
    Case(
        name="the query carries the token and the app sees the rest",
        rules=_QUERY,
        target=f"/x?a=1&access_token={TOKEN}&b=2",
        sub="alice",
        query="a=1&b=2",
    ),
    Case(
        name="the query carried nothing but the token",
        rules=_QUERY,
        target=f"/x?access_token={TOKEN}",
        sub="alice",
        query="",
    ),
    Case(
        name="a percent-encoded name of the parameter counts",
        rules=_QUERY,
        target=f"/x?access%5Ftoken={TOKEN}",
        sub="alice",
        query="",
    ),
    Case(
        name="an empty parameter is no credentials",
        rules=_QUERY,
        target="/x?access_token=",
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="the parameter twice is two tokens",
        rules=_QUERY,
        reason=TWO,
        target=f"/x?access_token={TOKEN}&access_token={TOKEN}",
        refused=BAD_REQUEST,
    ),
    Case(
        name="a parameter with more than token68 is malformed",
        rules=_QUERY,
        reason=BAD,
        target=f"/x?access_token={TOKEN}%20",
        refused=BAD_REQUEST,
    ),
    Case(
        name="a parameter that is no JWT is a bad token",
        rules=_QUERY,
        target="/x?access_token=abc",
        refused=INVALID_TOKEN,
    ),
    Case(
        name="the query is not read where the rule does not say so",
        target=f"/x?access_token={TOKEN}",
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="an anonymous request keeps a query without the parameter as it is",
        rules=[Rule("/**", access="optional", credentials=[FromQuery()])],
        target="/x?a=%31&&b",
        sub=None,
        query="a=%31&&b",
    ),
    # a WebSocket subprotocol
    Case(
        name="a subprotocol carries the token and the app sees neither word",
        websocket=True,
        headers={"Sec-WebSocket-Protocol": f"bearer, {TOKEN}, chat, log"},
        rules=_SUBPROTOCOL,
        sub="alice",
        subprotocols=["chat", "log"],
        headers_seen={"Sec-WebSocket-Protocol": "chat, log"},
    ),
    Case(
        name="the marker and the token may stand behind other subprotocols",
        websocket=True,
        headers={"Sec-WebSocket-Protocol": f"chat,bearer,{TOKEN}"},
        rules=_SUBPROTOCOL,
        sub="alice",
        subprotocols=["chat"],
    ),
    Case(
        name="nothing is left of an offer that was the token alone",
        websocket=True,
        headers={"Sec-WebSocket-Protocol": f"bearer, {TOKEN}"},
        rules=_SUBPROTOCOL,
        sub="alice",
        subprotocols=[],
        headers_seen={"Sec-WebSocket-Protocol": None},
    ),
    Case(
        name="the marker alone is no credentials",
        websocket=True,
        headers={"Sec-WebSocket-Protocol": "bearer"},
        rules=_SUBPROTOCOL,
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="an offer without the marker is no credentials",
        websocket=True,
        headers={"Sec-WebSocket-Protocol": f"chat, {TOKEN}"},
        rules=_SUBPROTOCOL,
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="two markers are two tokens",
        websocket=True,
        rules=_SUBPROTOCOL,
        headers={"Sec-WebSocket-Protocol": f"bearer, {TOKEN}, bearer, {TOKEN}"},
        refused=BAD_REQUEST,
        reason=TWO,
    ),
    Case(
        name="a subprotocol counts in handshakes only",
        rules=_SUBPROTOCOL,
        headers={"Sec-WebSocket-Protocol": f"bearer, {TOKEN}"},
        refused=NO_CREDENTIALS,
    ),
    # several places
    *(
        Case(
            name=f"a rule with several places takes {what}",
            target=target,
            headers=headers,
            rules=_ALL,
            sub="alice",
        )
        for what, target, headers in (
            ("Authorization", "/x", bearer()),
            ("the header", "/x", {"X-Token": TOKEN}),
            ("the query", f"/x?access_token={TOKEN}", {}),
            ("the header beside Basic", "/x", {"X-Token": TOKEN, "Authorization": "Basic YTpi"}),
        )
    ),
    *(
        Case(
            name=f"two explicit places carry a token: {what}",
            target=target,
            headers=headers,
            rules=_ALL,
            refused=BAD_REQUEST,
            reason=TWO,
        )
        for what, target, headers in (
            ("Authorization and header", "/x", {**bearer(), "X-Token": TOKEN}),
            ("Authorization and query", f"/x?access_token={TOKEN}", bearer()),
            ("a bad one and a good one", "/x", {**bearer(FORGED), "X-Token": TOKEN}),
        )
    ),
    Case(
        name="a bad credential never falls through to a good cookie",
        rules=_EITHER,
        headers={**bearer(FORGED), **cookie(f"auth_token={TOKEN}")},
        refused=INVALID_TOKEN,
        reason="bad_signature",
    ),
    Case(
        name="a malformed credential never falls through to a good cookie",
        rules=_EITHER,
        headers={**bearer("Bearer a b"), **cookie(f"auth_token={TOKEN}")},
        refused=BAD_REQUEST,
    ),
    Case(
        name="where Authorization carries a token the cookie is not read",
        rules=_EITHER,
        headers={**bearer(), **cookie("auth_token=a; auth_token=b")},
        sub="alice",
    ),
    Case(
        name="where Authorization carries another scheme the cookie is read",
        rules=_EITHER,
        headers={**bearer("Basic YTpi"), **cookie(f"auth_token={TOKEN}")},
        sub="alice",
    ),
    Case(
        name="two cookies of the rule are two tokens",
        rules=[Rule("/**", credentials=[FromCookie("a"), FromCookie("b")])],
        headers=cookie(f"a={TOKEN}; b={TOKEN}"),
        refused=BAD_REQUEST,
        reason=TWO,
    ),
    Case(
        name="a public rule does not look at credentials",
        target="/public/a",
        rules=[PUBLIC],
        headers=[("Authorization", FORGED), ("Authorization", "Bearer , ,")],
        sub=None,
    ),
    # whose token
    Case(
        name="a token of an issuer that nobody configured is refused",
        headers=bearer(idp.bearer(iss="https://elsewhere.test/")),
        refused=INVALID_TOKEN,
        reason="unknown_issuer",
    ),
    Case(
        name="a token of an issuer that the rule does not list is refused",
        headers=bearer(),
        settings={"issuers": [idp.trusted(), JOBS]},
        rules=[Rule("/**", issuers="jobs")],
        refused=INVALID_TOKEN,
        reason="issuer_not_for_rule",
    ),
    Case(
        name="a token of the issuer that the rule lists passes",
        headers=bearer(f"Bearer {jobs_token(sub='cron')}"),
        settings={"issuers": [idp.trusted(), JOBS]},
        rules=[Rule("/**", issuers="jobs")],
        sub="cron",
    ),
    Case(
        name="no token falls back to another issuer's keys",
        headers=bearer(f"Bearer {jobs_token(sub='cron', iss=idp.issuer, aud=idp.audience)}"),
        settings={"issuers": [idp.trusted(), JOBS]},
        refused=INVALID_TOKEN,
        reason="algorithm_not_allowed",
    ),
]

# --- requirements -------------------------------------------------------------------------------


def _requirement(
    what: str, claims: Mapping[str, Any], refused: Refusal | None, **words: Any
) -> Case:
    return Case(
        name=f"requirement: {what}",
        headers=bearer(idp.bearer(**claims)),
        rules=[Rule("/**", **words)],
        refused=refused,
        sub=UNASKED if refused else "alice",
    )


def _raises(token: object, request: object) -> bool:
    raise RuntimeError("a defect in a check")


REQUIREMENTS = [
    _requirement("all scopes are there", {"scopes": "a b c"}, None, scopes="a b"),
    _requirement("one scope of two is not all", {"scopes": "a"}, lacks_scope("a b"), scopes="a b"),
    _requirement(
        "the challenge lists scopes as the rule does", {}, lacks_scope("b a"), scopes=["b", "a"]
    ),
    _requirement("one of any_scope is enough", {"scopes": "b"}, None, any_scope="a b"),
    _requirement("none of any_scope is not", {"scopes": "c"}, lacks_scope("a b"), any_scope="a b"),
    _requirement("one of any_role is enough", {"roles": ["admin"]}, None, any_role=["x", "admin"]),
    _requirement("none of any_role is not", {"roles": ["user"]}, DENIED, any_role=["x", "admin"]),
    _requirement("one role of two is not all", {"roles": ["a"]}, DENIED, roles=["a", "b"]),
    _requirement("a role is compared whole", {"roles": ["administrator"]}, DENIED, roles="admin"),
    _requirement("a string is one role", {"roles": "admin user"}, DENIED, roles="admin"),
    _requirement(
        "status=401 answers 401 and a plain challenge", {}, DENIED_401, roles="admin", status=401
    ),
    _requirement(
        "insufficient_scope stays 403 beside status=401",
        {},
        lacks_scope("a"),
        scopes="a",
        status=401,
    ),
    _requirement("a check that says True allows", {}, None, check=lambda token, request: True),
    _requirement(
        "a check that says something true does not", {}, DENIED, check=lambda token, request: "yes"
    ),
    Case(
        name="a check that raises is 403",
        headers=bearer(),
        rules=[Rule("/**", check=_raises)],
        refused=DENIED,
        reason="check_error",
    ),
    Case(
        name="a check sees the request",
        target="/x?a=1",
        method="PUT",
        headers=bearer(),
        sub="alice",
        rules=[
            Rule(
                "/**",
                check=lambda token, request: (
                    (token.subject, request.method, request.path, request.query)
                    == ("alice", "PUT", "/x", "a=1")
                ),
            )
        ],
    ),
]

# --- browsers -----------------------------------------------------------------------------------

JAR = cookie(f"auth_token={TOKEN}")
_SITE = {"origins": [PAGE], "public_url": SITE}


def _cross(what: str, refused: bool, method: str = "POST", **headers: str) -> Case:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Case(
        name=f"a cookie on {method}: {what} is {'refused' if refused else 'let through'}",
        method=method,
        headers={"Host": "api.test", **JAR, **named},
        rules=_EITHER,
        settings=_SITE,
        refused=CROSS_SITE if refused else None,
        reason="cross_site" if refused else None,
        sub=UNASKED if refused else "alice",
    )


def _handshake(what: str, refused: bool, **headers: str) -> Case:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Case(
        name=f"a cookie on a handshake: {what} is {'refused' if refused else 'let through'}",
        websocket=True,
        scheme="wss",
        headers={"Host": "api.test", **JAR, **named},
        rules=_EITHER,
        settings=_SITE,
        refused=CROSS_SITE if refused else None,
        sub=UNASKED if refused else "alice",
    )


_CORS = {
    "Access-Control-Allow-Origin": PAGE,
    "Access-Control-Allow-Credentials": "true",
}
_NO_CORS = {"Access-Control-Allow-Origin": None, "Access-Control-Allow-Credentials": None}

CROSS_SITE_CASES = [
    *(_cross("a safe method", False, method=method) for method in ("GET", "HEAD", "OPTIONS")),
    _cross("GET from another site", False, method="GET", Origin=EVIL, Sec_Fetch_Site="cross-site"),
    *(
        _cross("nothing that says where it comes from", True, method=method)
        for method in ("POST", "PUT", "PATCH", "DELETE", "POUET", "post")
    ),
    _cross("a listed Origin", False, Origin=PAGE),
    _cross("a listed Origin from another site", False, Origin=PAGE, Sec_Fetch_Site="cross-site"),
    _cross("public_url's Origin", False, Origin=SITE),
    _cross("another Origin", True, Origin=EVIL),
    _cross("Origin: null", True, Origin="null"),
    _cross("an Origin that only starts alike", True, Origin=f"{PAGE}.evil.example"),
    _cross("an Origin of another scheme", True, Origin=PAGE.replace("https", "http")),
    _cross("an Origin of another port", True, Origin=f"{PAGE}:8443"),
    _cross("Sec-Fetch-Site: same-origin", False, Sec_Fetch_Site="same-origin"),
    _cross("Sec-Fetch-Site: none", False, Sec_Fetch_Site="none"),
    _cross("Sec-Fetch-Site: same-site", True, Sec_Fetch_Site="same-site"),
    _cross("Sec-Fetch-Site: cross-site", True, Sec_Fetch_Site="cross-site"),
    _cross("same-site from a sister's Origin", True, Sec_Fetch_Site="same-site", Origin=EVIL),
    _cross(
        "cross-site although Origin is Host",
        True,
        Sec_Fetch_Site="cross-site",
        Origin="https://other.test",
        Host="other.test",
    ),
    _cross("an Origin that is Host", False, Origin="https://other.test", Host="other.test"),
    _cross(
        "an Origin that is Host and port",
        False,
        Origin="https://other.test:8443",
        Host="other.test:8443",
    ),
    _cross(
        "an Origin that is Host with another port",
        True,
        Origin="https://other.test:8443",
        Host="other.test",
    ),
    _handshake("no Origin", True),
    _handshake("no Origin but Sec-Fetch-Site: none", True, Sec_Fetch_Site="none"),
    _handshake("Origin: null", True, Origin="null"),
    _handshake("another Origin", True, Origin=EVIL),
    _handshake("a listed Origin", False, Origin=PAGE),
    _handshake("public_url's Origin", False, Origin=SITE),
    _handshake("an Origin that is Host", False, Origin="https://other.test", Host="other.test"),
    Case(
        name="a Bearer token may come from another site",
        method="POST",
        rules=_EITHER,
        headers={**bearer(), "Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
        sub="alice",
    ),
    Case(
        name="a Bearer token opens a WebSocket from another site",
        websocket=True,
        rules=_EITHER,
        headers={**bearer(), "Origin": EVIL},
        sub="alice",
    ),
    Case(
        name="a refusal to a listed origin can be read by the page",
        headers={"Origin": PAGE},
        settings=_SITE,
        refused=NO_CREDENTIALS,
        response=_CORS,
    ),
    Case(
        name="a refusal to another origin cannot",
        headers={"Origin": EVIL},
        settings=_SITE,
        refused=NO_CREDENTIALS,
        response=_NO_CORS,
    ),
    Case(
        name="a refusal without Origin has no CORS headers",
        settings=_SITE,
        refused=NO_CREDENTIALS,
        response=_NO_CORS,
    ),
]

_PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization, x-a",
}
_ANSWER = {**_SITE, "preflight": "answer"}
_PASS = {**_SITE, "preflight": "pass", "forward": {"X-User-Id": "sub"}}


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in _PREFLIGHT.items() if key != name}


PREFLIGHTS = [
    Case(
        name="a preflight is judged by default",
        method="OPTIONS",
        headers=_PREFLIGHT,
        settings=_SITE,
        refused=NO_CREDENTIALS,
        response=_CORS,
    ),
    Case(
        name="a preflight is judged by default, and public is public",
        method="OPTIONS",
        headers=_PREFLIGHT,
        settings=_SITE,
        target="/public/a",
        rules=[PUBLIC],
    ),
    Case(
        name="preflight=answer replies to a listed origin without reaching the app",
        method="OPTIONS",
        headers=_PREFLIGHT,
        settings=_ANSWER,
        answered=204,
        body=b"",
        response={
            **_CORS,
            "Access-Control-Allow-Methods": "PUT",
            "Access-Control-Allow-Headers": "authorization, x-a",
        },
    ),
    Case(
        name="preflight=answer judges an origin that is not listed",
        method="OPTIONS",
        headers={**_PREFLIGHT, "Origin": EVIL},
        settings=_ANSWER,
        refused=NO_CREDENTIALS,
        response=_NO_CORS,
    ),
    Case(
        name="preflight=answer judges Origin: null",
        method="OPTIONS",
        headers={**_PREFLIGHT, "Origin": "null"},
        settings=_ANSWER,
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="preflight=pass lets a preflight through and publishes nothing",
        method="OPTIONS",
        headers={**_PREFLIGHT, **bearer(), "X-User-Id": "forged"},
        settings=_PASS,
        sub=None,
        headers_seen={"X-User-Id": None},
    ),
    *(
        Case(
            name=f"preflight={word} judges OPTIONS without {name}",
            method="OPTIONS",
            headers=_without(name),
            settings=settings,
            refused=NO_CREDENTIALS,
        )
        for word, settings in (("answer", _ANSWER), ("pass", _PASS))
        for name in ("Origin", "Access-Control-Request-Method")
    ),
    *(
        Case(
            name=f"preflight={word} judges GET with a preflight's headers",
            headers=_PREFLIGHT,
            settings=settings,
            refused=NO_CREDENTIALS,
        )
        for word, settings in (("answer", _ANSWER), ("pass", _PASS))
    ),
    Case(
        name="preflight=pass does not let an ambiguous path through",
        method="OPTIONS",
        headers=_PREFLIGHT,
        settings=_PASS,
        target="//x",
        refused=BAD_TARGET,
    ),
]

_LOGIN_RULES = [
    Rule("/login", access="public"),
    Rule("/app/**", login="/login"),
    Rule("/api/**", login=False),
    Rule("/own/**", roles="admin", status=401),
]
_NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
_HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def _login(what: str, location: str, **words: Any) -> Case:
    words = {"target": "/app/a", "headers": _HTML, "rules": _LOGIN_RULES, **words}
    return Case(name=f"login: {what}", redirect=(302, location), **words)


def _no_login(what: str, refused: Refusal, **words: Any) -> Case:
    words = {"target": "/app/a", "headers": _HTML, "rules": _LOGIN_RULES, **words}
    return Case(
        name=f"login: no redirect for {what}", refused=refused, response={"Location": None}, **words
    )


_GUARD_LOGIN = {"settings": {"login": "/login"}}

LOGIN = [
    _login("a page request goes to the login page", "/login?next=%2Fapp%2Fa"),
    _login("a navigation goes too", "/login?next=%2Fapp%2Fa", headers=_NAVIGATE),
    _login("HEAD goes too", "/login?next=%2Fapp%2Fa", method="HEAD"),
    _login(
        "the query comes along", "/login?next=%2Fapp%2Fa%3Fx%3D1%26y%3D2", target="/app/a?x=1&y=2"
    ),
    _login(
        "the path is percent-encoded",
        "/login?next=%2Fapp%2Fcaf%25C3%25A9%2520x",
        target="/app/caf%C3%A9%20x",
    ),
    _login(
        "an expired token goes too",
        "/login?next=%2Fapp%2Fa",
        headers={**_HTML, **bearer(EXPIRED)},
        reason="expired",
    ),
    _login(
        "a login with a query gets &next",
        "/login?a=1&next=%2Fapp%2Fa",
        rules=[Rule("/login", access="public"), Rule("/app/**", login="/login?a=1")],
    ),
    _login(
        "an absolute login gets an absolute address from public_url",
        "https://login.example.com/in?next=https%3A%2F%2Fapi.test%2Fapp%2Fa",
        rules=[Rule("/app/**", login="https://login.example.com/in")],
        settings={"public_url": SITE},
        headers={**_HTML, "Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    ),
    _login(
        "the guard's login counts where the rule has none",
        "/login?next=%2Fother",
        target="/other",
        **_GUARD_LOGIN,
    ),
    _login(
        "the mount prefix is put back",
        "/m/login?next=%2Fm%2Fapp%2Fa",
        target="/m/app/a",
        mount="/m",
    ),
    _login(
        "a token in the query is not in next",
        "/login?next=%2Fapp%2Fa%3Fx%3D1",
        target=f"/app/a?access_token={EXPIRED[7:]}&x=1",
        rules=[
            Rule("/login", access="public"),
            Rule("/app/**", login="/login", credentials=[FromQuery()]),
        ],
    ),
    *(
        _login(
            f"the mount prefix {mount!r} leads nowhere else",
            "/login?next=%2F",
            target=f"{mount}/app/a",
            mount=mount,
            raw=False,
        )
        for mount in ("//evil.example", "/\\evil.example", "/\t/evil.example", "/a/../..")
    ),
    _no_login("a request of a script", NO_CREDENTIALS, headers={"Accept": "application/json"}),
    _no_login("a request without Accept", NO_CREDENTIALS, headers={}),
    _no_login(
        "a request that fetch made", NO_CREDENTIALS, headers={"Sec-Fetch-Mode": "cors", **_HTML}
    ),
    _no_login(
        "X-Requested-With", NO_CREDENTIALS, headers={"X-Requested-With": "XMLHttpRequest", **_HTML}
    ),
    _no_login("POST", NO_CREDENTIALS, method="POST"),
    _no_login("a handshake", NO_CREDENTIALS, websocket=True),
    _no_login("a rule with login=False", NO_CREDENTIALS, target="/api/a", **_GUARD_LOGIN),
    _no_login("a rule without a login", NO_CREDENTIALS, target="/other"),
    _no_login("a rule with status=401", NO_CREDENTIALS, target="/own/a", **_GUARD_LOGIN),
    _no_login(
        "a rule with status=401 that refuses a token",
        DENIED_401,
        target="/own/a",
        headers={**_HTML, **bearer()},
        **_GUARD_LOGIN,
    ),
    _no_login("a malformed request", BAD_REQUEST, headers={**_HTML, **bearer("Bearer a b")}),
    _no_login("an ambiguous path", BAD_TARGET, target="//evil.example/app/a"),
    _no_login(
        "a token that may not",
        DENIED,
        headers={**_HTML, **bearer()},
        rules=[Rule("/login", access="public"), Rule("/app/**", login="/login", roles="admin")],
    ),
]

# --- optional access ----------------------------------------------------------------------------

_FEED = [Rule("/**", access="optional", credentials=["bearer", FromCookie("auth_token")])]
_FEED_ADMIN = [Rule("/**", access="optional", roles="admin")]

OPTIONAL = [
    Case(name="optional: no credentials is anonymous", rules=_FEED, sub=None),
    Case(name="optional: a good token is somebody", rules=_FEED, headers=bearer(), sub="alice"),
    Case(name="optional: a good cookie is somebody", rules=_FEED, headers=JAR, sub="alice"),
    Case(
        name="optional: another scheme is anonymous",
        rules=_FEED,
        headers=bearer("Basic YTpi"),
        sub=None,
    ),
    Case(
        name="optional: an expired token is refused",
        rules=_FEED,
        headers=bearer(EXPIRED),
        refused=EXPIRED_TOKEN,
    ),
    Case(
        name="optional: a forged token is refused",
        rules=_FEED,
        headers=bearer(FORGED),
        refused=INVALID_TOKEN,
    ),
    Case(
        name="optional: malformed credentials are refused",
        rules=_FEED,
        headers=bearer("Bearer a b"),
        refused=BAD_REQUEST,
    ),
    *(
        Case(
            name=f"optional: {what} in a cookie is anonymous",
            rules=_FEED,
            headers=cookie(f"auth_token={value}"),
            sub=None,
            settings={"variables": "json"},
            variables={},
        )
        for what, value in (
            ("an expired token", EXPIRED[7:]),
            ("a forged token", FORGED[7:]),
            ("garbage", "abc"),
            ("a token of somebody else's issuer", idp.token(iss="https://elsewhere.test/")),
        )
    ),
    *(
        Case(
            name=f"optional: {what} in a cookie from another site is anonymous",
            method="POST",
            rules=_FEED,
            headers={**cookie(f"auth_token={value}"), "Origin": EVIL},
            sub=None,
        )
        for what, value in (("an expired token", EXPIRED.removeprefix("Bearer ")), ("garbage", "x"))
    ),
    Case(
        name="optional: a good cookie from another site is refused",
        method="POST",
        rules=_FEED,
        headers={**JAR, "Origin": EVIL},
        refused=CROSS_SITE,
        reason="cross_site",
    ),
    Case(
        name="two Authorization fields are refused where only a cookie counts",
        rules=_COOKIE,
        headers=[*JAR.items(), ("Authorization", "Basic a"), ("Authorization", "Basic b")],
        refused=BAD_REQUEST,
    ),
    Case(
        name="optional: a bad token beside a good cookie is refused",
        rules=_FEED,
        headers={**bearer(FORGED), **JAR},
        refused=INVALID_TOKEN,
    ),
    Case(
        name="optional: a token must still meet the requirement",
        rules=_FEED_ADMIN,
        headers=bearer(),
        refused=DENIED,
    ),
    Case(name="optional: nobody need meet the requirement", rules=_FEED_ADMIN, sub=None),
]

# --- what the app sees --------------------------------------------------------------------------

_FORWARD = {"forward": {"X-User-Id": "sub", "X-User-Role": "role"}}
_SPELLINGS = ("X-User-Id", "x-user-id", "X-USER-ID", "X_User_Id", "x_user-ID", "X-User_Id")


def _forwarded(what: str, value: object, text: str | None) -> Case:
    return Case(
        name=f"forward: {what}",
        headers={**bearer(idp.bearer(role=value)), "X-User-Role": "forged"},
        settings=_FORWARD,
        headers_seen={"X-User-Role": text},
    )


FORWARD = [
    Case(
        name="forward: the app gets the claim",
        headers=bearer(),
        settings=_FORWARD,
        headers_seen={"X-User-Id": "alice"},
    ),
    *(
        Case(
            name=f"forward: a client's {name} is removed {where}",
            target=target,
            rules=rules,
            headers=[(name, "forged"), *headers],
            settings=_FORWARD,
            headers_seen={"X-User-Id": seen},
        )
        for name in _SPELLINGS
        for where, target, rules, headers, seen in (
            ("on a public rule", "/public/a", [PUBLIC], (), None),
            ("on a public rule with a token", "/public/a", [PUBLIC], bearer().items(), None),
            ("for the anonymous", "/x", _FEED, (), None),
            ("on a protected rule", "/x", (), bearer().items(), "alice"),
        )
    ),
    Case(
        name="forward: a rule's own header is removed on every other rule",
        target="/public/a",
        rules=[PUBLIC, Rule("/own/**", forward={"X-Own": "sub"})],
        headers={"X-Own": "forged"},
        headers_seen={"X-Own": None},
    ),
    Case(
        name="forward: a rule's own header is set there",
        target="/own/a",
        rules=[Rule("/own/**", forward={"X-Own": "sub"})],
        headers={"X-Own": "forged", **bearer()},
        headers_seen={"X-Own": "alice"},
    ),
    Case(
        name="forward: the guard's headers are set beside a rule's own",
        target="/own/a",
        rules=[Rule("/own/**", forward={"X-Own": "sub"})],
        headers=bearer(),
        settings=_FORWARD,
        headers_seen={"X-Own": "alice", "X-User-Id": "alice"},
    ),
    Case(
        name="forward: the client's several copies are all removed",
        headers=[(name, "forged") for name in _SPELLINGS] + list(bearer().items()),
        settings=_FORWARD,
        headers_seen={"X-User-Id": "alice"},
    ),
    Case(
        name="forward: other headers stay",
        headers={**bearer(), "X-Other": "b"},
        settings=_FORWARD,
        headers_seen={"X-Other": "b", "Authorization": ALICE},
    ),
    Case(
        name="forward: an absent claim leaves the header absent",
        settings=_FORWARD,
        headers={**bearer(), "X-User-Role": "forged"},
        headers_seen={"X-User-Role": None},
    ),
    Case(
        name="forward: a JSON Pointer leads into the claims",
        headers=bearer(idp.bearer(address={"city": "Graz"})),
        settings={"forward": {"X-City": "/address/city"}},
        headers_seen={"X-City": "Graz"},
    ),
    _forwarded("text stands without quotes", "admin", "admin"),
    _forwarded("an array is JSON", ["a", "b"], '["a","b"]'),
    _forwarded("an object is JSON with sorted keys", {"b": 1, "a": [True]}, '{"a":[true],"b":1}'),
    _forwarded("a number is JSON", 7, "7"),
    _forwarded("true is JSON", True, "true"),
    _forwarded("other letters are UTF-8", "Zoë 你好", "Zoë 你好"),
    _forwarded("other letters in an array are UTF-8", ["Zoë"], '["Zoë"]'),
    _forwarded("a line break is not forwarded", "a\r\nX-Admin: 1", None),
    _forwarded("a NUL is not forwarded", "a\x00b", None),
    _forwarded("DEL is not forwarded", "a\x7fb", None),
    _forwarded("U+0085 is not forwarded", "a\x85b", None),
    _forwarded("U+0085 in an array is not forwarded", ["a\x85b"], None),
]

_RICH = {"n": 1.5, "Roles": ["ä", {"b": 1, "a": None}], "https://x.test/id": True, "s": 'a"b'}
_RICH_TOKEN = idp.token("zoë", **_RICH)


def _published(form: str) -> dict[str, str]:
    """The variables of `_RICH_TOKEN`, worked out here by hand."""
    claims = jwt.decode(_RICH_TOKEN, options={"verify_signature": False})
    header = jwt.get_unverified_header(_RICH_TOKEN)

    def text(value: object) -> str:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def one(value: object) -> str:
        return value if form == "plain" and isinstance(value, str) else text(value)

    return {
        **{f"jwt_claim_{name}": one(value) for name, value in claims.items()},
        **{f"jwt_header_{name}": one(value) for name, value in header.items()},
        "jwt_payload": text(claims),
        "jwt_headers": text(header),
    }


VARIABLES = [
    Case(
        name="variables=json publishes every claim as JSON text",
        headers=bearer(f"Bearer {_RICH_TOKEN}"),
        settings={"variables": "json"},
        sub="zoë",
        variables=_published("json"),
    ),
    Case(
        name="variables=plain publishes strings without quotes",
        headers=bearer(f"Bearer {_RICH_TOKEN}"),
        settings={"variables": "plain"},
        sub="zoë",
        variables=_published("plain"),
    ),
    Case(
        name="variables are off unless set", headers=bearer(f"Bearer {_RICH_TOKEN}"), variables={}
    ),
    Case(
        name="variables are absent where nobody was authenticated",
        target="/public/a",
        rules=[PUBLIC],
        headers=bearer(),
        settings={"variables": "json"},
        variables={},
    ),
]

_STRIP = {"strip_credentials": True}

STRIPPING = [
    Case(
        name="credentials stay where nobody asked to strip them",
        headers=bearer(),
        headers_seen={"Authorization": ALICE},
    ),
    Case(
        name="strip_credentials takes Authorization",
        headers=bearer(),
        settings=_STRIP,
        sub="alice",
        headers_seen={"Authorization": None},
    ),
    Case(
        name="strip_credentials takes the header",
        headers={"X-Token": TOKEN, "X-Other": "b"},
        rules=_HEADER,
        settings=_STRIP,
        sub="alice",
        headers_seen={"X-Token": None, "X-Other": "b"},
    ),
    Case(
        name="strip_credentials takes that one cookie",
        rules=_COOKIE,
        settings=_STRIP,
        headers=cookie(f"a=1; auth_token={TOKEN}; b=2"),
        sub="alice",
        headers_seen={"Cookie": "a=1; b=2"},
    ),
    Case(
        name="strip_credentials takes the only cookie",
        rules=_COOKIE,
        settings=_STRIP,
        headers=JAR,
        sub="alice",
        headers_seen={"Cookie": None},
    ),
    Case(
        name="strip_credentials takes the cookie that was not read",
        rules=_EITHER,
        settings=_STRIP,
        headers={**bearer(), **cookie("auth_token=x; b=2")},
        sub="alice",
        headers_seen={"Authorization": None, "Cookie": "b=2"},
    ),
    Case(
        name="strip_credentials takes the query parameter",
        rules=_QUERY,
        settings=_STRIP,
        target=f"/x?access_token={TOKEN}&a=1",
        sub="alice",
        query="a=1",
    ),
]

# --- answers ------------------------------------------------------------------------------------

_FOUR = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "0",
}
_SAFE = {"response_headers": True}
_OWN = {"response_headers": {"X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "origin"}}
_PLAIN = "http"
_REFUSE = {"require_https": "refuse"}
_REDIRECT = {"require_https": "redirect", "public_url": SITE}


def _accept(what: str, accept: str | None, content_type: str) -> Case:
    return Case(
        name=f"refusal: Accept {what}",
        headers={} if accept is None else {"Accept": accept},
        refused=NO_CREDENTIALS,
        response={"Content-Type": content_type},
    )


_JSON = "application/json"
_PROBLEM = "application/problem+json"
_PAGE = "text/html; charset=utf-8"


def _angry(error: Any, request: Any) -> Mapping[str, Any]:
    raise RuntimeError("a defect in error_body")


ANSWERS = [
    _accept("absent gets JSON", None, _JSON),
    _accept("of anything gets JSON", "*/*", _JSON),
    _accept("of JSON gets JSON", _JSON, _JSON),
    _accept("of problem+json gets it", _PROBLEM, _PROBLEM),
    _accept("of a browser gets a page", "text/html,application/xhtml+xml,*/*;q=0.8", _PAGE),
    _accept("that likes JSON better gets JSON", "text/html;q=0.5, application/json", _JSON),
    _accept("of HTML with q=0 gets JSON", "text/html;q=0, */*", _JSON),
    _accept("of something else gets JSON", "image/png", _JSON),
    _accept("of garbage gets JSON", ";;,q=\x00/=,", _JSON),
    Case(name="refusal: HEAD has no body", method="HEAD", refused=NO_CREDENTIALS, body=b""),
    Case(
        name="refusal: the realm stands in the challenge",
        settings={"realm": 'a "b"'},
        refused=NO_CREDENTIALS,
        realm=r'"a \"b\""',
    ),
    Case(
        name="refusal: the realm stands before the error",
        settings={"realm": "api"},
        headers=bearer(EXPIRED),
        refused=EXPIRED_TOKEN,
        realm='"api"',
    ),
    Case(
        name="refusal: the realm stands before the scope",
        settings={"realm": "api"},
        headers=bearer(),
        rules=[Rule("/**", scopes="a b")],
        refused=lacks_scope("a b"),
        realm='"api"',
    ),
    Case(
        name="error_body changes the body",
        settings={"error_body": lambda error, request: {"oops": error.status, "at": request.path}},
        refused=NO_CREDENTIALS,
        body={"oops": 401, "at": "/x"},
    ),
    Case(
        name="error_body that says None leaves the body",
        settings={"error_body": lambda error, request: None},
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="error_body that raises leaves the body",
        settings={"error_body": _angry},
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="error_body that makes no JSON leaves the body",
        settings={"error_body": lambda error, request: {"at": {request}}},
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="response_headers=True sets four, and the app's own stay",
        target="/public/a",
        rules=[PUBLIC],
        settings=_SAFE,
        response={**_FOUR, "Referrer-Policy": "no-referrer"},
    ),
    Case(
        name="response_headers=True sets four on refusals",
        settings=_SAFE,
        refused=NO_CREDENTIALS,
        response={**_FOUR, "Referrer-Policy": "strict-origin-when-cross-origin"},
    ),
    Case(
        name="response_headers=True sets four on a redirect",
        settings={**_SAFE, "login": "https://login.example.com/", "public_url": SITE},
        headers=_HTML,
        redirect=(302, "https://login.example.com/?next=https%3A%2F%2Fapi.test%2Fx"),
        response=_FOUR,
    ),
    Case(
        name="response_headers=True sets four on the answer to a preflight",
        method="OPTIONS",
        headers=_PREFLIGHT,
        settings={**_ANSWER, **_SAFE},
        answered=204,
        response={**_FOUR, **_CORS},
    ),
    Case(
        name="a mapping of response_headers is exactly these",
        target="/public/a",
        rules=[PUBLIC],
        settings=_OWN,
        response={
            "X-Frame-Options": "SAMEORIGIN",
            "Referrer-Policy": "no-referrer",
            "X-XSS-Protection": None,
            "X-Content-Type-Options": None,
        },
    ),
    Case(
        name="response_headers are off unless set",
        target="/public/a",
        rules=[PUBLIC],
        response={"X-Frame-Options": None, "X-Content-Type-Options": None},
    ),
    # https
    Case(
        name="require_https=refuse refuses plain http",
        scheme=_PLAIN,
        settings=_REFUSE,
        headers=bearer(),
        refused=USE_HTTPS,
        reason="https_required",
    ),
    Case(
        name="require_https=refuse refuses public paths too",
        scheme=_PLAIN,
        settings=_REFUSE,
        target="/public/a",
        rules=[PUBLIC],
        refused=USE_HTTPS,
    ),
    Case(
        name="require_https=refuse lets https through",
        settings=_REFUSE,
        headers=bearer(),
        sub="alice",
    ),
    Case(
        name="require_https does not believe X-Forwarded-Proto",
        scheme=_PLAIN,
        settings=_REFUSE,
        headers={**bearer(), "X-Forwarded-Proto": "https"},
        refused=USE_HTTPS,
    ),
    Case(
        name="require_https=refuse refuses a plain WebSocket",
        scheme="ws",
        websocket=True,
        settings=_REFUSE,
        headers=bearer(),
        refused=USE_HTTPS,
    ),
    Case(
        name="require_https=refuse lets a secure WebSocket through",
        scheme="wss",
        websocket=True,
        settings=_REFUSE,
        headers=bearer(),
        sub="alice",
    ),
    *(
        Case(
            name=f"require_https=redirect sends {method} to public_url",
            scheme=_PLAIN,
            method=method,
            target="/a/b?c=1",
            settings=_REDIRECT,
            headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
            redirect=(308, f"{SITE}/a/b?c=1"),
        )
        for method in ("GET", "HEAD")
    ),
    Case(
        name="require_https=redirect puts the mount prefix back",
        scheme=_PLAIN,
        mount="/m",
        target="/m/a",
        settings=_REDIRECT,
        redirect=(308, f"{SITE}/m/a"),
    ),
    Case(
        name="require_https=redirect leads to this site only",
        scheme=_PLAIN,
        raw=False,
        mount="//evil.example",
        target="//evil.example/a",
        settings=_REDIRECT,
        redirect=(308, f"{SITE}/"),
    ),
    Case(
        name="require_https=redirect refuses POST",
        scheme=_PLAIN,
        method="POST",
        settings=_REDIRECT,
        refused=USE_HTTPS,
    ),
    Case(
        name="require_https=redirect refuses what carried a token",
        scheme=_PLAIN,
        settings=_REDIRECT,
        headers=bearer(),
        refused=USE_HTTPS,
    ),
    Case(
        name="require_https=redirect refuses what carried a cookie with a token",
        scheme=_PLAIN,
        settings=_REDIRECT,
        rules=_COOKIE,
        headers=JAR,
        refused=USE_HTTPS,
    ),
    Case(
        name="require_https=redirect refuses what carried a token in the query",
        scheme=_PLAIN,
        settings=_REDIRECT,
        rules=_QUERY,
        target=f"/x?access_token={TOKEN}",
        refused=USE_HTTPS,
    ),
    Case(
        name="require_https=redirect refuses a plain WebSocket",
        scheme="ws",
        websocket=True,
        settings=_REDIRECT,
        refused=USE_HTTPS,
    ),
    Case(
        name="a rule may want https where the guard does not",
        scheme=_PLAIN,
        rules=[Rule("/**", https="refuse")],
        headers=bearer(),
        refused=USE_HTTPS,
    ),
    Case(
        name="a rule may do without https where the guard wants it",
        scheme=_PLAIN,
        target="/health",
        rules=[Rule("/health", access="public", https=False)],
        settings=_REFUSE,
    ),
]

# --- introspection (RFC 7662) -------------------------------------------------------------------

_ACTIVE = {"active": True, "sub": "alice", "aud": idp.audience, "exp": int(time.time()) + 7200}
_ANSWERS: dict[str, Any] = {
    "opaque-good": _ACTIVE | {"scope": "read write"},
    "opaque/good+~==": _ACTIVE,
    "opaque-dead": {"active": False},
    "opaque-one": _ACTIVE | {"active": 1},
    "opaque-text": _ACTIVE | {"active": "true"},
    "opaque-null": _ACTIVE | {"active": None},
    "opaque-expired": _ACTIVE | {"exp": 1},
    "opaque-other": _ACTIVE | {"aud": "https://other.test"},
    "opaque-forever": {"active": True, "sub": "alice", "aud": idp.audience},
    "opaque-bound": _ACTIVE | {"cnf": {"jkt": "x"}},
    "opaque-silent": {},
    TOKEN: {"active": True, "scope": "read"},
}


def _introspect(wish: Fetch) -> Fetched:
    assert wish.method == "POST"
    [raw] = parse_qs((wish.body or b"").decode())["token"]
    if raw == "opaque-refused":
        return Fetched(401, {}, b'{"error": "invalid_client"}')
    if raw not in _ANSWERS:
        raise errors.FetchError("down")
    return Fetched(200, {}, json.dumps(_ANSWERS[raw]).encode())


def _asking(when: str = "opaque", **words: Any) -> dict[str, Any]:
    """Settings with an issuer that is introspected."""
    introspection = Introspection(
        "https://issuer.test/introspect", client_id="service", client_secret="x", when=when
    )
    return {"issuers": [idp.trusted(name="people", introspection=introspection, **words)]}


def _introspected(name: str, raw: str, refused: Refusal | None = None, **words: Any) -> Case:
    words = {
        "headers": bearer(f"Bearer {raw}"),
        "settings": _asking(),
        "fetch": _introspect,
        "refused": refused,
    } | words
    return Case(name=name, **words)


_COOKIE_TOO = {"access": "optional", "credentials": ["bearer", FromCookie("c")]}

INTROSPECTION = [
    _introspected("an active opaque token is good", "opaque-good", sub="alice"),
    _introspected(
        "its scope counts", "opaque-good", rules=[Rule("/**", scopes=["read", "write"])]
    ),
    _introspected(
        "a scope that it lacks is missed",
        "opaque-good",
        lacks_scope("admin"),
        rules=[Rule("/**", scopes="admin")],
    ),
    _introspected("every character of token68 is asked about", "opaque/good+~==", sub="alice"),
    _introspected(
        "what is published is what the answer says",
        "opaque-good",
        settings=_asking() | {"forward": {"X-Id": "sub", "X-Iss": "iss", "X-Active": "active"}},
        headers_seen={"X-Id": "alice", "X-Iss": idp.issuer, "X-Active": "true"},
    ),
    *(
        _introspected(f"{what} is refused", f"opaque-{raw}", INVALID_TOKEN, reason=reason)
        for what, raw, reason in [
            ("an inactive token", "dead", "token_inactive"),
            ("active=1", "one", "token_inactive"),
            ('active="true"', "text", "token_inactive"),
            ("active=null", "null", "token_inactive"),
            ("an opaque token for somebody else", "other", "audience_mismatch"),
            ("an opaque token without exp", "forever", "claim_missing"),
            ("an opaque token that is bound to a key", "bound", "sender_constrained"),
        ]
    ),
    _introspected("an opaque token that has expired", "opaque-expired", EXPIRED_TOKEN),
    *(
        _introspected(f"{what} is 503", raw, UNAVAILABLE, reason="introspection_unavailable")
        for what, raw in [
            ("an endpoint that is down", "opaque-down"),
            ("an endpoint that refuses us", "opaque-refused"),
            ("an answer that does not say active", "opaque-silent"),
        ]
    ),
    _introspected("a JWT is not asked about", TOKEN, sub="alice"),
    _introspected("a forged JWT is never asked about", FORGED[7:], INVALID_TOKEN,
                  reason="bad_signature"),
    _introspected("an expired JWT is never asked about", EXPIRED[7:], EXPIRED_TOKEN),
    _introspected("two dots are never asked about", "a.b.c", INVALID_TOKEN,
                  reason="malformed_token"),
    _introspected("four dots are never asked about", "a.b.c.d.e", INVALID_TOKEN,
                  reason="malformed_token"),
    _introspected("what is no token68 is never asked about", "a,b", BAD_REQUEST),
    _introspected("an opaque token where nobody is asked", "opaque-good", INVALID_TOKEN,
                  settings={}, reason="malformed_token"),
    _introspected("always: a good JWT is asked about", TOKEN, settings=_asking("always"),
                  rules=[Rule("/**", scopes="read")], sub="alice"),
    _introspected("always: a good JWT that could not be asked about", idp.token("bob"),
                  UNAVAILABLE, settings=_asking("always")),
    _introspected("always: a forged JWT is not asked about", FORGED[7:], INVALID_TOKEN,
                  settings=_asking("always"), reason="bad_signature"),
    _introspected("an issuer without keys takes no JWT", TOKEN, INVALID_TOKEN,
                  settings=_asking(keys=None, algorithms=()), reason="algorithm_not_allowed"),
    _introspected("an opaque cookie", "", headers={"Cookie": "c=opaque-good"},
                  rules=[Rule("/**", credentials=[FromCookie("c")])], sub="alice"),
    _introspected("a bad opaque cookie is nobody's on an optional rule", "",
                  headers={"Cookie": "c=opaque-dead"}, rules=[Rule("/**", **_COOKIE_TOO)],
                  sub=None),
    _introspected("a cookie that could not be checked is 503 on an optional rule", "",
                  UNAVAILABLE, headers={"Cookie": "c=opaque-down"},
                  rules=[Rule("/**", **_COOKIE_TOO)]),
    _introspected("nobody is asked about a token on a public rule", "opaque-down",
                  rules=[Rule("/**", access="public")], sub=None),
]  # fmt: skip

# --- protected-resource metadata (RFC 9728) -----------------------------------------------------

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_DOCUMENT = json.dumps(
    {
        "resource": f"{SITE}/mcp",
        "authorization_servers": [idp.issuer],
        "bearer_methods_supported": ["header"],
    }
).encode()
_MCP = {"public_url": SITE, "protected_resource": {"path": "/mcp"}}
_NESTED = {
    "public_url": SITE,
    "protected_resource": [{"path": "/mcp"}, {"path": "/mcp/v2"}, {"path": "/other"}],
}
_WHOLE = {"public_url": SITE, "protected_resource": True}


def found_at(refusal: Refusal, path: str) -> Refusal:
    """*refusal*, with the address of the metadata for *path*."""
    parameter = f'resource_metadata="{SITE}{_WELL_KNOWN}{path}"'
    comma = "," if " " in str(refusal.challenge) else ""
    return replace(refusal, challenge=f"{refusal.challenge}{comma} {parameter}")


def _document(name: str, target: str = f"{_WELL_KNOWN}/mcp", **words: Any) -> Case:
    expected = {"answered": 200, "body": _DOCUMENT, "settings": _MCP}
    return Case(name=name, target=target, **(expected | words))


METADATA = [
    _document(
        "metadata is served to everybody",
        response={
            "Content-Type": "application/json",
            "Content-Length": str(len(_DOCUMENT)),
            "Cache-Control": "public, max-age=3600",
            "Access-Control-Allow-Origin": "*",
            "X-Content-Type-Options": "nosniff",
            "WWW-Authenticate": None,
        },
    ),
    _document(
        "metadata for HEAD is its header",
        method="HEAD",
        body=b"",
        response={"Content-Length": str(len(_DOCUMENT)), "Access-Control-Allow-Origin": "*"},
    ),
    _document("metadata has a slash at the end for who wants it", f"{_WELL_KNOWN}/mcp/"),
    _document("metadata is where the query does not count", f"{_WELL_KNOWN}/mcp?x=1"),
    _document("metadata is not protected by a rule", rules=[Rule("/**", roles="admin")]),
    _document(
        "metadata is not hidden by a public rule, nor the app's",
        rules=[Rule("/.well-known/**", access="public")],
    ),
    _document("metadata is what a good token gets, not the app", headers=bearer()),
    _document("metadata is what a bad token gets", headers=bearer(FORGED)),
    _document(
        "metadata is on the path that is judged, below a mount prefix",
        f"/m{_WELL_KNOWN}/mcp",
        mount="/m",
    ),
    _document(
        "metadata carries the response headers",
        settings={**_MCP, "response_headers": {"X-Frame-Options": "DENY", "cache-control": "x"}},
        response={"X-Frame-Options": "DENY", "Cache-Control": "public, max-age=3600"},
    ),
    *(
        _document(
            f"metadata answers a preflight of any origin where others are told to {preflight}",
            method="OPTIONS",
            headers={
                "Origin": EVIL,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "mcp-protocol-version",
            },
            settings={**_MCP, "preflight": preflight},
            answered=204,
            body=b"",
            response={
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": "GET, HEAD",
                "Access-Control-Allow-Headers": "*",
                "Access-Control-Allow-Credentials": None,
            },
        )
        for preflight in ("judge", "answer", "pass")
    ),
    *(
        _document(
            f"metadata cannot be asked for with {what}",
            answered=405,
            body=b"",
            response={"Allow": "GET, HEAD, OPTIONS"},
            **words,
        )
        for what, words in (
            ("POST", {"method": "POST"}),
            ("PUT and a good token", {"method": "PUT", "headers": bearer()}),
            ("POUET", {"method": "POUET"}),
            ("a WebSocket handshake", {"websocket": True, "headers": bearer()}),
        )
    ),
    _document(
        "metadata of the origin itself has no path",
        _WELL_KNOWN,
        settings=_WHOLE,
        body=_DOCUMENT.replace(b"/mcp", b""),
    ),
    Case(
        name="metadata is served where there is any only",
        target=f"{_WELL_KNOWN}/mcp",
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="metadata of another path is not there",
        target=f"{_WELL_KNOWN}/other",
        settings=_MCP,
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="metadata has one spelling of its path",
        target=f"/x/..{_WELL_KNOWN}/mcp",
        settings=_MCP,
        refused=BAD_TARGET,
    ),
    Case(
        name="metadata is not told over plain http where https is wanted",
        target=f"{_WELL_KNOWN}/mcp",
        scheme="http",
        settings={**_MCP, "require_https": "refuse"},
        refused=USE_HTTPS,
    ),
    *(
        Case(
            name=f"the challenge names {expected or 'the origin'} for {target}",
            target=target,
            settings=settings,
            refused=found_at(NO_CREDENTIALS, expected),
        )
        for settings, target, expected in (
            (_MCP, "/mcp", "/mcp"),
            (_MCP, "/mcp/", "/mcp"),
            (_MCP, "/mcp/a/b", "/mcp"),
            (_NESTED, "/mcp/v1", "/mcp"),
            (_NESTED, "/mcp/v2", "/mcp/v2"),
            (_NESTED, "/mcp/v2/a", "/mcp/v2"),
            (_NESTED, "/mcp/v22", "/mcp"),
            (_NESTED, "/other/mcp", "/other"),
            (_WHOLE, "/", ""),
            (_WHOLE, "/a/b", ""),
        )
    ),
    *(
        Case(
            name=f"the challenge names no metadata for {target}, which no resource covers",
            target=target,
            settings=_NESTED,
            refused=NO_CREDENTIALS,
        )
        for target in ("/", "/mcpx", "/x/mcp", "/MCP")
    ),
    Case(
        name="the challenge names metadata by the public path, mount prefix and all",
        target="/m/mcp/a",
        mount="/m",
        settings={"public_url": SITE, "protected_resource": {"path": "/m/mcp"}},
        refused=found_at(NO_CREDENTIALS, "/m/mcp"),
    ),
    *(
        Case(
            name=f"the challenge names metadata where {what}",
            target="/mcp",
            settings=_MCP,
            **words,
            refused=found_at(refusal, "/mcp"),
        )
        for what, refusal, words in (
            ("the token is forged", INVALID_TOKEN, {"headers": bearer(FORGED)}),
            ("the token has expired", EXPIRED_TOKEN, {"headers": bearer(EXPIRED)}),
            (
                "a scope is missing",
                lacks_scope("notes:read"),
                {"headers": bearer(), "rules": [Rule("/mcp", scopes="notes:read")]},
            ),
            (
                "a rule answers 401",
                DENIED_401,
                {"headers": bearer(), "rules": [Rule("/mcp", roles="admin", status=401)]},
            ),
        )
    ),
    Case(
        name="the challenge has realm first and metadata last",
        target="/mcp",
        settings={**_MCP, "realm": "notes"},
        realm='"notes"',
        refused=found_at(NO_CREDENTIALS, "/mcp"),
    ),
    Case(
        name="a malformed request is not sent for another token",
        target="/mcp",
        headers=bearer("Bearer a b"),
        settings=_MCP,
        refused=BAD_REQUEST,
    ),
    Case(
        name="who may not is not sent for another token",
        target="/mcp",
        headers=bearer(),
        rules=[Rule("/mcp", roles="admin")],
        settings=_MCP,
        refused=DENIED,
    ),
]

# --- limits -------------------------------------------------------------------------------------


class Counts:
    """A store whose counts stand still: *used* of any quota, 1.5 seconds before a window ends."""

    def __init__(self, used: int) -> None:
        self.used = Used(0, used, 1.5)

    def hit(self, key: str, quota: int, window: int, now: float) -> tuple[bool, Used]:
        return self.used.current < quota, self.used

    def look(self, key: str, window: int, now: float) -> Used:
        return self.used


class Shared(Counts):
    """The same for a store that is asked and waited for."""

    when_down = "allow"

    async def ahit(self, *asked: Any) -> tuple[bool, Used]:
        return self.hit(*asked)

    async def alook(self, *asked: Any) -> Used:
        return self.look(*asked)


class Down(Shared):
    """One that cannot be asked."""

    def __init__(self, when_down: str) -> None:
        super().__init__(0)
        self.when_down = when_down

    def hit(self, *asked: Any) -> Any:
        raise ConnectionError("a password may stand here")

    look = hit


TOO_MANY = Refusal(429, "too_many_requests", "too_many_requests", "Too many requests.")
API_RATE = {"limit": "10/second", "burst": 20}
BY_SUB = {"limit": "100/minute", "by": "claim:sub"}
TOLD = {"RateLimit-Policy": '"address";q=20;w=2', "RateLimit": '"address";r=13;t=2'}
TOLD_TOO_MANY = {
    "RateLimit-Policy": '"address";q=20;w=2',
    "RateLimit": '"address";r=0;t=2',
    "Retry-After": "2",
}
UNTOLD = {"RateLimit-Policy": None, "RateLimit": None, "Retry-After": None}

LIMITS = [
    *(
        Case(
            name=f"a request within its rule's rate passes and is told of it, counted in {where}",
            rules=[Rule("/x", rate=API_RATE)],
            settings={"rate_store": store(7)},
            headers=bearer(),
            response=TOLD | {"Retry-After": None},
            sub="alice",
        )
        for where, store in (("memory", Counts), ("a shared store", Shared))
    ),
    *(
        Case(
            name=f"a request beyond its rule's rate is 429, counted in {where}",
            rules=[Rule("/x", rate=API_RATE)],
            settings={"rate_store": store(20), "realm": "api"},
            headers=bearer(),
            refused=TOO_MANY,
            response=TOLD_TOO_MANY | {"WWW-Authenticate": None, "Cache-Control": "no-store"},
            reason="too_many_requests",
        )
        for where, store in (("memory", Counts), ("a shared store", Shared))
    ),
    *(
        Case(
            name=f"beyond the rate by address credentials are not looked at: {what}",
            rules=[Rule("/x", rate="20/minute")],
            settings={"rate_store": Counts(20)},
            headers=headers,
            refused=TOO_MANY,
            reason="too_many_requests",
        )
        for what, headers in (
            ("none", {}),
            ("forged", bearer(FORGED)),
            ("malformed", {"Authorization": "Bearer a b"}),
        )
    ),
    Case(
        name="a public rule has a rate, too",
        target="/public/a",
        rules=[Rule("/public/**", access="public", rate=API_RATE)],
        settings={"rate_store": Counts(20)},
        refused=TOO_MANY,
        response=TOLD_TOO_MANY,
    ),
    Case(
        name="a public rule within its rate tells of it",
        target="/public/a",
        rules=[Rule("/public/**", access="public", rate=API_RATE)],
        settings={"rate_store": Counts(7)},
        response=TOLD,
        sub=None,
    ),
    Case(
        name="a handshake is counted like a request",
        rules=[Rule("/x", rate=API_RATE)],
        settings={"rate_store": Counts(20)},
        websocket=True,
        headers=bearer(),
        refused=TOO_MANY,
        reason="too_many_requests",
    ),
    Case(
        name="an ambiguous path is refused before anything is counted",
        target="/x/../y",
        rules=[Rule("/**", rate=API_RATE)],
        settings={"rate_store": Counts(20)},
        refused=BAD_TARGET,
    ),
    Case(
        name="a refusal of a listed origin lets its page read the limits",
        rules=[Rule("/x", rate=API_RATE)],
        settings={"rate_store": Counts(20), "origins": [PAGE]},
        headers={**bearer(), "Origin": PAGE},
        refused=TOO_MANY,
        response={
            **TOLD_TOO_MANY,
            "Access-Control-Allow-Origin": PAGE,
            "Access-Control-Expose-Headers": (
                "WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy"
            ),
        },
    ),
    Case(
        name="a browser is told of too many requests, and not sent to log in",
        rules=[Rule("/x", rate=API_RATE, login="/login"), Rule("/login", access="public")],
        settings={"rate_store": Counts(20)},
        headers={"Sec-Fetch-Mode": "navigate"},
        refused=TOO_MANY,
        response={"Location": None, "Retry-After": "2"},
    ),
    Case(
        name="a rate by claim is counted once the token is good",
        rules=[Rule("/x", rate=BY_SUB)],
        settings={"rate_store": Counts(100)},
        headers=bearer(),
        refused=TOO_MANY,
        response={"RateLimit-Policy": '"claim";q=100;w=60', "RateLimit": '"claim";r=0;t=2'},
        reason="too_many_requests",
    ),
    Case(
        name="a bad token is 401 where the rate is by claim",
        rules=[Rule("/x", rate=BY_SUB)],
        settings={"rate_store": Counts(100)},
        headers=bearer(FORGED),
        refused=INVALID_TOKEN,
        response=UNTOLD,
    ),
    Case(
        name="a token that lacks a role is 403 where the rate is by claim",
        rules=[Rule("/x", rate=BY_SUB, roles="admin")],
        settings={"rate_store": Counts(100)},
        headers=bearer(),
        refused=DENIED,
        response=UNTOLD,
    ),
    Case(
        name="who has no such claim is counted by address",
        rules=[Rule("/x", access="optional", rate=BY_SUB)],
        settings={"rate_store": Counts(100)},
        refused=TOO_MANY,
        reason="too_many_requests",
    ),
    *(
        Case(
            name=f"after too many failures a token is 429 unread: {what}",
            settings={"rate_store": store(10), "failed_rate": "10/minute"},
            headers=headers,
            refused=TOO_MANY,
            response={**UNTOLD, "Retry-After": "2", "WWW-Authenticate": None},
            reason="too_many_failures",
        )
        for store, what, headers in (
            (Counts, "forged", bearer(FORGED)),
            (Shared, "forged, counted in a shared store", bearer(FORGED)),
            (Counts, "no token at all", {"Authorization": "Bearer x"}),
            (Counts, "new and good", bearer()),
        )
    ),
    Case(
        name="after too many failures a request without credentials is what it was",
        settings={"rate_store": Counts(10), "failed_rate": "10/minute"},
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="before too many failures a bad token is 401",
        settings={"rate_store": Shared(9), "failed_rate": "10/minute"},
        headers=bearer(FORGED),
        refused=INVALID_TOKEN,
        response=UNTOLD,
    ),
    Case(
        name="before too many failures a good token passes",
        settings={"rate_store": Shared(9), "failed_rate": "10/minute"},
        headers=bearer(),
        response=UNTOLD,
        sub="alice",
    ),
    Case(
        name="a store that is down lets through uncounted",
        rules=[Rule("/x", rate=[API_RATE, BY_SUB])],
        settings={"rate_store": Down("allow"), "failed_rate": "10/minute"},
        headers=bearer(),
        response=UNTOLD,
        sub="alice",
    ),
    Case(
        name="a store that is down lets no bad token through",
        rules=[Rule("/x", rate=[API_RATE, BY_SUB])],
        settings={"rate_store": Down("allow"), "failed_rate": "10/minute"},
        headers=bearer(FORGED),
        refused=INVALID_TOKEN,
    ),
    Case(
        name="a store that is down refuses with 503 where that was written",
        rules=[Rule("/x", rate=API_RATE)],
        settings={"rate_store": Down("refuse")},
        headers=bearer(),
        refused=UNAVAILABLE,
        response={"Retry-After": "1"},
        reason="rates_unavailable",
    ),
]


# --- report-only --------------------------------------------------------------------------------

SOON = datetime.now(UTC).date() + timedelta(days=30)
_SINCE = SOON - timedelta(days=60)
_REPORTING: dict[str, Any] = {"report_until": SOON, "forward": {"X-User-Id": "sub"}}
_ENFORCED_HERE = Rule("/admin/**", roles="admin", report_until=False)


def _down(fetch: Fetch) -> Fetched:
    raise errors.FetchError("down")


def _reported(what: str, **words: Any) -> Case:
    """The app sees nobody, and nothing that would name somebody."""
    settings = {**_REPORTING, **words.pop("settings", {})}
    headers = [("X-User-Id", "root"), ("x_user_id", "root"), *words.pop("headers", {}).items()]
    seen = {"X-User-Id": None, **words.pop("headers_seen", {})}
    return Case(
        name=f"report-only: {what}",
        settings=settings,
        headers=headers,
        headers_seen=seen,
        sub=None,
        variables={},
        **words,
    )


REPORT_ONLY = [
    _reported("nothing was sent"),
    _reported(
        "an expired token stays in sight", headers=bearer(EXPIRED), headers_seen=bearer(EXPIRED)
    ),
    _reported("a forged token", headers=bearer(FORGED), settings={"variables": "json"}),
    _reported("a malformed header", headers=bearer("Bearer a b")),
    _reported(
        "strip_credentials takes a bad token out too",
        headers=bearer(EXPIRED),
        headers_seen={"Authorization": None},
        settings={"strip_credentials": True},
    ),
    _reported(
        "several credentials are all taken out",
        target=f"/x?a=1&access_token={TOKEN}&access_token=b",
        headers=bearer(),
        headers_seen={"Authorization": None},
        rules=[Rule("/x", credentials=["bearer", FromQuery()])],
        settings={"strip_credentials": True},
        query="a=1",
    ),
    _reported(
        "a requirement that is not met",
        headers=bearer(),
        rules=[Rule("/**", roles="admin")],
    ),
    _reported(
        "a method that no rule covers",
        method="PUT",
        headers=bearer(),
        rules=[Rule("/x", methods="GET", roles="admin")],
    ),
    _reported(
        "a cookie from another site",
        method="POST",
        headers={"Cookie": f"auth={TOKEN}", "Origin": EVIL},
        rules=[Rule("/x", credentials=FromCookie("auth"))],
    ),
    _reported("plain http", scheme="http", headers=bearer(), settings={"require_https": "refuse"}),
    _reported(
        "an issuer that is down",
        headers=bearer(),
        settings={"issuers": [idp.trusted(keys=RemoteKeys("https://idp.test/keys"))]},
        fetch=_down,
    ),
    _reported(
        "a login elsewhere",
        headers={"Accept": "text/html"},
        settings={"login": "/login"},
        rules=[Rule("/login", access="public")],
    ),
    _reported(
        "a bad token where none is needed",
        headers=bearer(EXPIRED),
        rules=[Rule("/x", access="optional")],
    ),
    _reported(
        "a rule's own date", rules=[Rule("/x", report_until=SOON)], settings={"report_until": None}
    ),
    _reported(
        "a WebSocket from another site",
        websocket=True,
        headers={"Origin": EVIL, "Cookie": f"auth={TOKEN}"},
        rules=[Rule("/x", credentials=FromCookie("auth"))],
    ),
    *(
        _reported(f"a path with {what}", target=target, path=path)
        for what, target, path in (
            ("a semicolon", "/a;b", "/a;b"),
            ("an encoded escape", "/a%252fb", "/a%2fb"),
            ("a backslash", "/a%5Cb", "/a\\b"),
        )
    ),
    _reported(
        "an odd path takes no token from the query along",
        target=f"/a;b?access_token={TOKEN}&a=1",
        rules=[Rule("/q", credentials=FromQuery())],
        query="a=1",
    ),
    Case(
        name="report-only: a good token is as ever",
        headers=[*bearer().items(), ("X-User-Id", "root")],
        settings=_REPORTING,
        sub="alice",
        headers_seen={"X-User-Id": "alice"},
    ),
    Case(
        name="report-only: over since the date",
        settings={**_REPORTING, "report_until": _SINCE},
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="report-only: a rule may be enforced already",
        target="/admin/x",
        headers=bearer(),
        rules=[_ENFORCED_HERE],
        settings=_REPORTING,
        refused=DENIED,
    ),
    Case(
        name="report-only: an odd path may lead to what a rule enforces",
        target="/x/..%2fadmin/x",
        rules=[_ENFORCED_HERE],
        settings=_REPORTING,
        refused=BAD_TARGET,
    ),
    Case(
        name="report-only: an odd path is refused where only a rule reports",
        target="/x/;a",
        rules=[Rule("/x/**", report_until=SOON)],
        refused=BAD_TARGET,
    ),
    Case(
        name="report-only: an uncovered method is refused while a rule is enforced",
        target="/r",
        method="PUT",
        headers=bearer(),
        rules=[Rule("/r", methods="GET", roles="admin"), _ENFORCED_HERE],
        settings=_REPORTING,
        refused=NOT_COVERED,
    ),
    Case(
        name="report-only: other rules than the one that reports are enforced",
        rules=[Rule("/new/**", report_until=SOON)],
        refused=NO_CREDENTIALS,
    ),
    Case(
        name="report-only: the guard's own documents stay its own",
        target=f"{_WELL_KNOWN}/mcp",
        scheme="http",
        settings={**_MCP, **_REPORTING, "require_https": "refuse"},
        refused=USE_HTTPS,
    ),
]

GROUPS: dict[str, list[Case]] = {
    "paths": PATHS,
    "opaque_tail": OPAQUE_TAIL,
    "matching": MATCHING,
    "methods": METHODS,
    "credentials": CREDENTIALS,
    "requirements": REQUIREMENTS,
    "cross-site": CROSS_SITE_CASES,
    "preflight": PREFLIGHTS,
    "login": LOGIN,
    "optional": OPTIONAL,
    "forward": FORWARD,
    "variables": VARIABLES,
    "stripping": STRIPPING,
    "answers": ANSWERS,
    "introspection": INTROSPECTION,
    "metadata": METADATA,
    "limits": LIMITS,
    "report-only": REPORT_ONLY,
}
CASES: dict[str, Case] = {case.name: case for cases in GROUPS.values() for case in cases}
