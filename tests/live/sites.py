"""An app that people sign in to (`signing_in`), its provider, and a client without a screen."""

import contextlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx2
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jwtguard.signing import public_jwk

from .browser import APP
from .certificate import Certificate
from .openid import OpenID
from .servers import Server, free_port, serve

SESSION = "__Host-jwtguard-session"
DOORS = {"wsgi": "gunicorn", "asgi": "uvicorn-h11"}
PEOPLE = {
    "ada": {
        "email": "ada@example.com",
        "email_verified": True,
        "name": "Ada Lovelace",
        "roles": ["admin"],
    },
    "bob": {"email": "bob@example.com", "email_verified": True, "name": "Bob"},
}
SECRET = secrets.token_urlsafe(48)
CONFIGURATION = "/.well-known/openid-configuration"
OPEN = ["/", "/elsewhere", "/authlib/**"]
"""What the app shows to everybody."""


@dataclass
class Site:
    """A running app. *public* is where browsers find it, *client_id* what its provider calls it."""

    public: str
    client_id: str
    openid: OpenID
    server: Server
    certificate: Certificate | None

    def url(self, path: str, host: str | None = None) -> str:
        """Of a page of the app, or of the same app under another name."""
        return urljoin(self.public, path).replace(APP, host or APP)

    def visitor(self) -> "Visitor":
        return Visitor(self)


_OPTIONS = {
    # Browsers keep connections, and open some ahead of use: each keeps a thread of gunicorn's, and
    # all of them would be waited for at the end.
    "wsgi": ("--threads", "32", "--graceful-timeout", "1"),
    "asgi": ("--factory", "--timeout-graceful-shutdown", "1"),
}
_FILES = {"wsgi": ("--certfile", "--keyfile"), "asgi": ("--ssl-certfile", "--ssl-keyfile")}


def _served(door: str, certificate: Certificate | None) -> list[str]:
    options = [*_OPTIONS[door]]
    if certificate is not None:
        for word, file in zip(_FILES[door], (certificate.chain, certificate.key), strict=True):
            options += [word, str(file)]
    return options


@contextlib.contextmanager
def site(
    door: str,
    openid: OpenID,
    directory: Path,
    certificate: Certificate | None = None,
    *,
    options: Sequence[str] = (),
    metadata: dict[str, Any] | None = None,
    words: dict[str, Any] | None = None,
    login: dict[str, Any] | None = None,
    secret: str | None = SECRET,
) -> Iterator[Site]:
    """Run an app that *openid* signs people in to, until the block ends.

    *options* are the server's, *metadata* the client's at the provider, *words* the guard's and
    *login* its Login's, of which *secret* is one.
    """
    port = free_port()
    scheme, host = ("https", APP) if certificate else ("http", "127.0.0.1")
    public, client_id = f"{scheme}://{host}:{port}", f"app-{port}"
    client = {
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": [f"{public}/auth/callback"],
        "post_logout_redirect_uris": [f"{public}/"],
        "backchannel_logout_uri": f"{scheme}://127.0.0.1:{port}/auth/backchannel-logout",
        "backchannel_logout_session_required": True,
    }
    signs = "jwks" in (metadata or {})
    own = {} if signs else {"client_secret": f"{SECRET} s%cret: with+odd&characters="}
    given = client | own | (metadata or {})
    openid.register(client_id, **{word: it for word, it in given.items() if it is not None})
    beside = {"client_id": f"authlib-{port}", "client_secret": secrets.token_urlsafe(32)}
    openid.register(**beside, redirect_uris=[f"{public}/authlib/callback"])
    guard = {
        "public_url": public,
        "issuer": {
            "issuer": openid.issuer,
            "name": "people",
            "audience": "https://api.example.com/",
            "algorithms": "ES256",
            "discovery": True,
            "remote": {"insecure_http": certificate is None},
        },
        "login": {
            "issuer": "people",
            "client_id": client_id,
            **({} if secret is None else {"secret": secret}),
            "insecure_http": certificate is None,
            **own,
            **(login or {}),
        },
        "rule": [{"path": OPEN, "access": "public"}],
        **(words or {}),
    }
    settings = {
        "guard": guard,
        "authority": str(certificate.authority) if certificate else None,
        "authlib": beside | {"server_metadata_url": f"{openid.issuer}{CONFIGURATION}"},
    }
    app = "wsgi_app()" if door == "wsgi" else "asgi_app"
    with serve(
        DOORS[door],
        f"tests.live.signing_in:{app}",
        directory,
        port=port,
        options=[*_served(door, certificate), *options],
        JWTGUARD_TEST_SITE=json.dumps(settings),
    ) as server:
        yield Site(public, client_id, openid, server, certificate)


def own_key() -> tuple[dict[str, Any], dict[str, Any]]:
    """What `site` takes for a client that signs: its metadata, and the words of its Login."""
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    metadata = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [public_jwk(key)]},
    }
    return metadata, {"private_key": pem}


# --- a client without a screen ------------------------------------------------------------------


class _Here(httpx2.HTTPTransport):
    """Every name is this machine's."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        here = httpx2.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,  # with the Host that was meant
            stream=request.stream,
            extensions=request.extensions | {"sni_hostname": host},
        )
        return super().handle_request(here)


NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}


class Visitor:
    """Keeps cookies and reads forms, and stops at every redirect."""

    def __init__(self, site: Site) -> None:
        self.site = site
        trusted = site.certificate.context() if site.certificate else True
        transport = _Here(verify=trusted, trust_env=False)
        self.http = httpx2.Client(transport=transport, timeout=20, headers=NAVIGATION)

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str, **words: Any) -> httpx2.Response:
        return self.http.get(self.site.url(path), **words)

    def post(self, path: str, **words: Any) -> httpx2.Response:
        return self.http.post(self.site.url(path), **words)

    def claims(self) -> dict[str, Any] | None:
        """What the app knows of this visitor; None where it does not let him in."""
        answer = self.get("/claims", headers={"Sec-Fetch-Mode": "cors", "Accept": "*/*"})
        return answer.json() if answer.status_code == 200 else None

    def cookies(self) -> dict[str, str]:
        """Of the site, by name."""
        host = urlsplit(self.site.public).hostname
        jar = self.http.cookies.jar
        return {cookie.name: cookie.value or "" for cookie in jar if cookie.domain == host}

    def take(self, cookies: Mapping[str, str]) -> None:
        """Have these cookies of the site, and no other."""
        self.http.cookies.clear()
        for name, value in cookies.items():
            self.http.cookies.set(name, value, domain=urlsplit(self.site.public).hostname or "")

    def sign_in(self, path: str = "/inside", name: str = "ada") -> httpx2.Response:
        """Ask for *path*, sign in where that is asked for, and come back."""
        return self.arrive(self.at_callback(path, name))

    def at_callback(self, path: str = "/inside", name: str = "ada") -> str:
        """Ask for *path* and sign in: the address that the provider then sends to."""
        answer = self.get(path)
        while not self._is_callback(answer):
            if answer.is_redirect:
                answer = self.http.get(target(answer))
            else:
                answer = self._fill(answer, name)
        return target(answer)

    def refuse(self, path: str = "/inside") -> str:
        """The same, where the person cancels."""
        answer = self.get(path)
        while not self._is_callback(answer):
            if answer.is_redirect:
                answer = self.http.get(target(answer))
            else:
                (cancel,) = re.findall(r'<a href="([^"]+)">\[ Cancel \]', answer.text)
                answer = self.http.get(urljoin(str(answer.url), unescape(cancel)))
        return target(answer)

    def arrive(self, callback: str) -> httpx2.Response:
        """Follow the redirects of the app from *callback* on; the page where they end."""
        answer = self.http.get(callback)
        for _ in range(5):
            if not answer.is_redirect or not target(answer).startswith(self.site.public):
                break
            answer = self.http.get(target(answer))
        return answer

    def _is_callback(self, answer: httpx2.Response) -> bool:
        return answer.is_redirect and target(answer).startswith(self.site.url("/auth/callback"))

    def _fill(self, answer: httpx2.Response, name: str) -> httpx2.Response:
        form = {"login": name, "password": "any"}
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text)
        action = re.findall(r'<form[^>]* action="([^"]+)"', answer.text)
        assert len(action) == 1, f"{answer.status_code} {answer.url}: {answer.text}"
        form |= {key: unescape(value) for key, value in hidden}
        return self.http.post(urljoin(str(answer.url), unescape(action[0])), data=form)


def target(answer: httpx2.Response) -> str:
    """Where an answer sends to."""
    assert answer.is_redirect, f"{answer.status_code} {answer.request.url}: {answer.text}"
    return urljoin(str(answer.request.url), answer.headers["location"])


def changed(address: str, **fields: str | None) -> str:
    """An address with other parameters; None takes one away."""
    parts = urlsplit(address)
    kept = dict(parse_qsl(parts.query, keep_blank_values=True)) | fields
    return parts._replace(
        query=urlencode({k: v for k, v in kept.items() if v is not None})
    ).geturl()


def of(address: str, name: str) -> str:
    """A parameter of an address."""
    return dict(parse_qsl(urlsplit(address).query))[name]


def session_set(answer: httpx2.Response) -> list[str]:
    """The values that an answer gives to the session's cookie."""
    lines = answer.headers.get_list("set-cookie")
    found = [re.match(rf"{SESSION}\w*=([^;]*)", line) for line in lines]
    return [match[1] for match in found if match and match[1]]
