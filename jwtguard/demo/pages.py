"""The app behind the guard, told to no protocol: a visit in, a page out.

It trusts what the guard hands over, the token and the forwarded headers, and checks nothing.
"""

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, quote

from jwtguard import VerifiedToken
from jwtguard.core.paths import return_address
from jwtguard.testing import FakeIssuer

from .guarded import COOKIE
from .table import requests, shown_in_browser

HERE = Path(__file__).parent
STATIC = {path.name: path.read_bytes() for path in (HERE / "static").glob("*.css")}

USERS: Mapping[str, Mapping[str, Any]] = {
    "alice": {"email": "alice@demo.test", "roles": ["user"]},
    "root": {"email": "root@demo.test", "roles": ["user", "admin"]},
}


@dataclass(frozen=True)
class Visit:
    """A request as the guard let it through; *header* gives "" for one that was not sent."""

    method: str
    path: str
    query: str
    header: Callable[[str], str]
    body: bytes
    token: VerifiedToken | None
    protocol: str

    def parameter(self, name: str) -> str:
        """A value from the query, or ""."""
        return parse_qs(self.query).get(name, [""])[0]

    def field(self, name: str) -> str:
        """A value from the form in the body, or ""."""
        return parse_qs(self.body.decode("utf-8", "replace")).get(name, [""])[0]


@dataclass(frozen=True)
class Page:
    """What to answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


def as_json(members: Mapping[str, object], status: int = 200) -> Page:
    """A page of JSON."""
    return _page(status, json.dumps(members).encode(), "application/json")


def as_html(template: str, **values: str) -> Page:
    """The file *template* with *values*, which are HTML already."""
    text = Template((HERE / template).read_text("utf-8")).substitute(values)
    return _page(200, text.encode(), "text/html; charset=utf-8", ("Cache-Control", "no-store"))


def redirect(location: str, *headers: tuple[str, str]) -> Page:
    """A page that sends the browser on."""
    return _page(303, b"", "text/plain", ("Location", location), *headers)


def _page(status: int, body: bytes, content_type: str, *more: tuple[str, str]) -> Page:
    length = ("Content-Length", str(len(body)))
    return Page(status, body, (("Content-Type", content_type), length, *more))


class Pages:
    """Every page of the demo; *issuer* makes the tokens that the pages hand out."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self.issuer = issuer
        self._pages: dict[str, Callable[[Visit], Page]] = {
            "/": self.index,
            "/health": lambda _: as_json({"status": "ok"}),
            "/api/public": self.api,
            "/api/protected": self.api,
            "/api/admin": self.api,
            "/login": self.login,
            "/auth/login": self.login,
            "/logout": self.logout,
        }

    def answer(self, visit: Visit) -> Page:
        """The page for a visit."""
        path = visit.path.rstrip("/") or "/"
        if path == "/app" or path.startswith("/app/"):
            page: Callable[[Visit], Page] = self.app
        elif path.startswith("/static/"):
            page = self.static
        elif path in self._pages:
            page = self._pages[path]
        else:
            return as_json({"code": "not_found"}, 404)
        allowed = ["GET", "HEAD", "OPTIONS"]
        if page in (self.login, self.logout, self.app):
            allowed.append("POST")
        if visit.method not in allowed or visit.method == "OPTIONS":
            status = 204 if visit.method == "OPTIONS" else 405
            return Page(status, b"", (("Allow", ", ".join(allowed)),))
        return page(visit)

    def index(self, visit: Visit) -> Page:
        """Every request of the table, to click through."""
        rows = shown_in_browser(requests(self.issuer, visit.protocol))
        # "<" would end the script element early, whatever the text around it says.
        data = json.dumps(rows).replace("<", "\\u003c")
        return as_html("index.html", protocol=html.escape(visit.protocol), rows=data)

    @staticmethod
    def api(visit: Visit) -> Page:
        """Whom the app believes to talk to: only the forwarded headers, which the guard sets."""
        return as_json(
            {
                "user": visit.header("x-auth-user-id") or "nobody",
                "email": visit.header("x-auth-user-email") or None,
                "roles": json.loads(visit.header("x-auth-user-roles") or "[]"),
                "claims": {} if visit.token is None else visit.token.claims,
            }
        )

    @staticmethod
    def app(visit: Visit) -> Page:
        """For browsers: a page for whoever logged in, and a form that changes something."""
        user = html.escape(visit.header("x-auth-user-id"))
        said = "Thank you, the note arrived." if visit.method == "POST" else ""
        return as_html("app.html", user=user, said=said)

    def login(self, visit: Visit) -> Page:
        """Anybody may become anybody here: this is a development issuer."""
        back = return_address(visit.parameter("next"))
        if visit.method != "POST":
            buttons = "".join(
                f'<button name="user" value="{name}">Go on as {name} '
                f"<small>{', '.join(words['roles'])}</small></button>\n"
                for name, words in USERS.items()
            )
            action = f"/login?next={quote(back, safe='')}"
            return as_html("login.html", action=action, back=html.escape(back), buttons=buttons)
        user = visit.field("user")
        if user not in USERS:
            return as_json({"code": "unknown_user"}, 400)
        if visit.header("sec-fetch-site") not in ("", "same-origin", "none"):
            return as_json({"code": "cross_site"}, 403)  # nobody is logged in by another site
        token = self.issuer.token(user, **USERS[user])
        # Lax: the cookie comes along when somebody follows a link to here, not with a POST from
        # elsewhere. A real site, which has https, adds Secure and the name prefix __Host-.
        cookie = f"{COOKIE}={token}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"
        return redirect(back, ("Set-Cookie", cookie), ("Cache-Control", "no-store"))

    @staticmethod
    def logout(visit: Visit) -> Page:
        """Forget the cookie; only a POST does, so that no link or image logs anybody out."""
        if visit.method != "POST":
            return redirect("/app/")
        return redirect("/", ("Set-Cookie", f"{COOKIE}=; Path=/; Max-Age=0"))

    @staticmethod
    def static(visit: Visit) -> Page:
        """A file by its name; there is no path to walk."""
        body = STATIC.get(visit.path.removeprefix("/static/"))
        if body is None:
            return as_json({"code": "not_found"}, 404)
        return _page(200, body, "text/css; charset=utf-8")
