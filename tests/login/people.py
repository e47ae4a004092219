"""A provider that answers by the book, and a browser: what every test of a login needs."""

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from copy import copy
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from jwtguard import Guard, Issuer, JWKSet, Login, Rule, drive
from jwtguard.core import Allow, Deny, Fetched, Request
from jwtguard.errors import FetchError
from jwtguard.testing import Clock, FakeIssuer

ISS = "https://login.example.com/"
ORIGIN = "https://app.example.com"
SECRET = "a secret of the service, long enough"
CLIENT = {"client_id": "app", "client_secret": "the client's own"}
JSON = {"Accept": "application/json"}
ACCESS_TOKEN = "an-access-token-of-the-provider"
UNTOLD = set()
"""What no log may hold: `conftest` looks after each test."""
IDP = FakeIssuer(ISS, audience="app", algorithm="RS256")  # a new key for each would take long
RULES = [Rule("/open", access="public"), Rule("/maybe", access="optional")]


class Provider:
    """The provider's side, as a ``fetch``. ``says`` changes its documents, ``down`` what fails."""

    def __init__(self, clock=None, **claims):
        self.clock = clock or Clock(1_800_000_000)
        self.idp = copy(IDP)
        self.idp.clock = self.clock
        self.claims = {"email": "alice@example.com", "roles": ["editor"], "sid": "s1", **claims}
        self.says = {}
        self.down = set()
        self.tokens = {}  # what the token endpoint says besides, or instead
        self.person = {"sub": "alice", "name": "Alice"}
        self.asked = []
        self.codes = {}
        self.status = {}
        self.raw = {}  # by name: the body of an answer, whatever it is

    def document(self):
        endpoints = {
            f"{name}_endpoint": f"{ISS}{name}" for name in ("authorization", "token", "userinfo")
        }
        endpoints["end_session_endpoint"] = f"{ISS}end?x=1"
        challenges = {"code_challenge_methods_supported": ["S256", "plain"]}
        full = {"issuer": ISS, "jwks_uri": f"{ISS}jwks", **endpoints, **challenges, **self.says}
        return {name: value for name, value in full.items() if value is not None}

    def code(self, asked, sub="alice", **claims):
        """Somebody signs in; the code is good once, as RFC 6749 section 4.1.2 wants."""
        code = f"the-code-{len(self.codes)}"
        UNTOLD.add(code)
        self.codes[code] = (asked, {"sub": sub, "nonce": asked.get("nonce"), **claims})
        return code

    def __call__(self, fetch):
        self.asked.append(fetch)
        _remember(fetch)
        name = fetch.url.removeprefix(ISS)
        if name in self.down:
            raise FetchError(f"{fetch.url} is down")
        if name in self.raw:
            return Fetched(self.status.get(name, 200), {}, self.raw[name])
        if name in self.status:
            return Fetched(self.status[name], {}, b'{"error": "<b>no</b>"}')
        if name == ".well-known/openid-configuration":
            return _json(self.document())
        if name == "jwks":
            return _json(self.idp.jwks())
        if name == "userinfo":
            return _json(self.person)
        form = dict(parse_qsl((fetch.body or b"").decode()))
        if name == "par":
            return _json({"request_uri": "urn:pushed", "expires_in": 60}, 201)
        if name == "token":
            return self._token(form)
        raise AssertionError(f"nobody should ask {fetch.url}")

    def _token(self, form):
        asked, claims = self.codes.pop(form.get("code"), (None, None))
        if asked is None:
            return _json({"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked["code_challenge"] != challenge or form["redirect_uri"] != asked["redirect_uri"]:
            return _json({"error": "invalid_grant"}, 400)
        words = {**self.claims, **claims}
        raw = self.idp.token(words.pop("sub"), **words)
        UNTOLD.add(raw)
        bearer = {"access_token": ACCESS_TOKEN, "token_type": "Bearer"}
        return _json({"id_token": raw, **bearer, **self.tokens})


def _remember(fetch):
    """What is secret of what was sent to a provider."""
    form = dict(parse_qsl((fetch.body or b"").decode()))
    UNTOLD.update(form[n] for n in ("code_verifier", "client_assertion") if n in form)
    UNTOLD.update(v for n, v in fetch.headers.items() if n == "Authorization")


def _json(value, status=200):
    return Fetched(status, {"content-type": "application/json"}, json.dumps(value).encode())


@dataclass
class Seen:
    """What a browser saw."""

    status: int
    headers: list
    body: bytes = b""
    token: object = None
    decision: object = None

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    @property
    def location(self):
        return self.header("location")

    @property
    def asked(self):
        """The parameters of the address it was sent to."""
        return dict(parse_qsl(urlsplit(self.location).query))

    @property
    def cookies(self):
        return [v for n, v in self.headers if n.lower() == "set-cookie"]

    def json(self):
        return json.loads(self.body)


@dataclass
class Browser:
    """Keeps cookies, and says what browsers say of a navigation."""

    guard: Guard
    fetch: object
    cookies: dict = field(default_factory=dict)
    jar: list = field(default_factory=list)  # every Set-Cookie it got

    def send(self, method, target, *, body=b"", headers=None, **words):
        path, _, query = target.partition("?")
        said = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none", "Accept": "text/html"}
        said |= {"Host": "app.example.com", **(headers or {})}
        if self.cookies:
            said["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.cookies.items())
        pairs = [(n, v) for n, v in said.items() if v is not None]
        request = WithBody(method, path, raw_path=path, query=query, headers=pairs, **words)
        request.body = body
        decision = drive.run(self.guard.decide_flow(request), self.fetch)
        if isinstance(decision, Allow):
            seen = Seen(200, list(decision.added), token=decision.token, decision=decision)
        else:
            assert isinstance(decision, Deny)
            seen = Seen(decision.status, list(decision.headers), decision.body, None, decision)
        self.keep(seen.cookies)
        return seen

    def get(self, target, **words):
        return self.send("GET", target, **words)

    def keep(self, cookies):
        self.jar += cookies
        for one in cookies:
            name, value = one.partition(";")[0].split("=", 1)
            UNTOLD.update({value} - {""})
            if re.search(r"Max-Age=0\b", one):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


class WithBody(Request):
    """A request as a door hands it over, with its body."""

    __slots__ = ("body",)

    def read_body(self, max_bytes):
        return self.body[: max_bytes + 1]


def site(provider, rules=RULES, issuers=None, login=None, **words):
    """A guard whose people sign in at *provider*."""
    if issuers is None:
        issuers = [
            Issuer(
                ISS,
                name="people",
                audience="https://api.example.com",
                algorithms=["RS256"],
                keys=JWKSet(provider.idp.jwks()),
            )
        ]
    words = {"public_url": ORIGIN, "clock": provider.clock, **words}
    own = {**CLIENT, "secret": SECRET, **(login or {})}
    own.setdefault("issuer", "people" if issuers else ISS)
    return Guard(issuers, rules, login=Login(own.pop("issuer"), **own), **words)


def browser(provider, **words):
    """A browser at a new site of *provider*."""
    return Browser(site(provider, **words), provider)


def sign_in(browser, provider, target="/page?x=1", **claims):
    """The whole way; what the callback answered."""
    sent = browser.get(target)
    assert sent.status == 302, sent
    left = browser.get(sent.location)
    assert left.status == 302, left.body
    return browser.get(back(left, provider, **claims))


def back(left, provider, **claims):
    """The address that the provider sends a browser back to."""
    asked = left.asked
    return callback(left, code=provider.code(asked, **claims))


def callback(left, **answer):
    """The same with another *answer*; the state is that of *left* unless it is given."""
    asked = left.asked
    path = urlsplit(asked["redirect_uri"]).path
    fields = {"state": asked["state"], **answer}
    return f"{path}?" + urlencode({n: v for n, v in fields.items() if v is not None})
