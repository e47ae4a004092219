"""The app behind the guard, told to no protocol: a visit in, a page out.

It trusts what the guard hands over, the token and the forwarded headers, and checks nothing.
"""

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from jwtguard import VerifiedToken

from .table import Row, shown_in_browser

HERE = Path(__file__).parent
STATIC = {path.name: path.read_bytes() for path in (HERE / "static").glob("*.css")}


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
    """Every page of the demo.

    *rows* are the requests to click through, with fresh tokens at each call; *more* are pages of
    others that are served here too, by their paths.
    """

    def __init__(
        self, rows: Callable[[], Sequence[Row]], more: Mapping[str, Callable[[Visit], Page]]
    ) -> None:
        self._rows = rows
        self._more = more
        self._pages: dict[str, Callable[[Visit], Page]] = {
            "/": self.index,
            "/health": lambda _: as_json({"status": "ok"}),
            "/api/public": self.api,
            "/api/protected": self.api,
            "/api/admin": self.api,
            **more,
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
        if path in self._more or page == self.app:
            allowed.append("POST")
        if visit.method not in allowed or visit.method == "OPTIONS":
            status = 204 if visit.method == "OPTIONS" else 405
            return Page(status, b"", (("Allow", ", ".join(allowed)),))
        return page(visit)

    def index(self, visit: Visit) -> Page:
        """Every request of the table, to click through."""
        # "<" would end the script element early, whatever the text around it says.
        data = json.dumps(shown_in_browser(self._rows())).replace("<", "\\u003c")
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
        """For browsers: a page for whoever signed in, and a form that changes something."""
        claims = {} if visit.token is None else visit.token.claims
        return as_html(
            "app.html",
            user=html.escape(visit.header("x-auth-user-id")),
            said="Thank you, the note arrived." if visit.method == "POST" else "",
            claims=html.escape(json.dumps(claims, indent=2, ensure_ascii=False)),
        )

    @staticmethod
    def static(visit: Visit) -> Page:
        """A file by its name; there is no path to walk."""
        body = STATIC.get(visit.path.removeprefix("/static/"))
        if body is None:
            return as_json({"code": "not_found"}, 404)
        return _page(200, body, "text/css; charset=utf-8")
