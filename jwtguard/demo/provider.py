"""Where people of the demo sign in: at a provider that was given, or at the development issuer."""

import html
import json
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from jwtguard import Login
from jwtguard.core.model import Fetch, Fetched
from jwtguard.testing import FakeIssuer

from .guarded import SIGN_IN_RATE
from .pages import Page, Visit, as_html, as_json, redirect

AUTHORIZE = "/provider"
CLIENT = "jwtguard-demo"

USERS: Mapping[str, Mapping[str, Any]] = {
    "alice": {"name": "Alice", "email": "alice@demo.test", "roles": ["user"]},
    "root": {"name": "Root", "email": "root@demo.test", "roles": ["user", "admin"]},
}


class Registered:
    """A real OpenID provider, at which this service is registered; its pages are its own."""

    pages: Mapping[str, Callable[[Visit], Page]] = MappingProxyType({})
    fetch = afetch = None

    def __init__(self, address: str, client_id: str, client_secret: str) -> None:
        self.address = address
        self.login = Login(
            address,
            client_id=client_id,
            client_secret=client_secret,
            rate=SIGN_IN_RATE,
            algorithms=["RS256", "PS256", "ES256", "EdDSA"],
            insecure_http=address.startswith("http:"),  # which goes to private addresses only
        )


class Development:
    """The development issuer as a provider of its own, whose page is one of the site at *origin*.

    It lets anybody be anybody, and sends them back to that site alone.
    """

    def __init__(self, issuer: FakeIssuer, origin: str) -> None:
        self._issuer = issuer
        self._origin = origin
        self.pages = {AUTHORIZE: self.authorize}
        self.login = Login(
            "demo",
            client_id=CLIENT,
            client_secret=secrets.token_urlsafe(32),
            rate=SIGN_IN_RATE,
            insecure_http=True,  # the page is at a loopback address
        )

    def fetch(self, wanted: Fetch) -> Fetched:
        """What the issuer answers; its document names the page here."""
        answer = self._issuer.fetch(wanted)
        if wanted.url != self._issuer.discovery_url:
            return answer
        document = json.loads(answer.body) | {"authorization_endpoint": self._origin + AUTHORIZE}
        return Fetched(answer.status, answer.headers, json.dumps(document).encode())

    async def afetch(self, wanted: Fetch) -> Fetched:
        """The same for the ASGI door."""
        return self.fetch(wanted)

    def authorize(self, visit: Visit) -> Page:
        """The page where somebody says who they are (OpenID Connect Core 1.0 section 3.1.2)."""
        asked = parse_qs(visit.query)
        # RFC 9700 section 4.1.3: addresses are compared as they stand, or codes go astray.
        known = {"client_id": [CLIENT], "redirect_uri": [f"{self._origin}/auth/callback"]}
        if any(asked.get(name) != value for name, value in known.items()):
            return as_json({"code": "unknown_client"}, 400)
        if visit.method != "POST":
            buttons = "".join(
                f'<button name="user" value="{name}">{html.escape(user["name"])} '
                f"<small>{', '.join(user['roles'])}</small></button>\n"
                for name, user in USERS.items()
            )
            action = html.escape(f"{AUTHORIZE}?{visit.query}")
            return as_html("authorize.html", action=action, buttons=buttons)
        if visit.header("sec-fetch-site") not in ("", "same-origin", "none"):
            return as_json({"code": "cross_site"}, 403)  # nobody is signed in by another site
        user = visit.field("user")
        if user not in USERS:
            return as_json({"code": "unknown_user"}, 400)
        try:
            back = self._issuer.sign_in(f"{AUTHORIZE}?{visit.query}", user, **USERS[user])
        except ValueError:
            return as_json({"code": "bad_request"}, 400)
        return redirect(back, ("Cache-Control", "no-store"))
