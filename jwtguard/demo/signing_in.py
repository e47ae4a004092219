"""What browsers do at the demo's sign-in, and what must come of it: more rows of the table."""

import html
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from .provider import AUTHORIZE
from .table import FORM, NAVIGATION, Answer, Row, exchange, outcome

OWN = ("Sec-Fetch-Site", "same-origin")
FOREIGN = ("Sec-Fetch-Site", "cross-site")


def sign_ins() -> list[Row]:
    """The rows, where the development issuer is the provider."""

    def steps(what: str, target: str, expected: str, way: Callable[[int], str]) -> Row:
        return Row(what, "GET", target, expected, browser=False, steps=way)

    return [
        Row("sign in", "GET", "/auth/login", f"302 {AUTHORIZE}", browser=False),
        Row("its page", "GET", AUTHORIZE, "400 unknown_client", browser=False),
        steps("there and back", "/app/?a=1", "200 alice", _there_and_back),
        steps("evil next", "/auth/login?next=//a", "302 /", _evil_next),
        steps("other site", AUTHORIZE, "403 cross_site", _posted_by_another_site),
        steps("replayed", "/auth/callback", "400 login_state", _replayed),
        steps("other browser", "/auth/callback", "400 login_state", _stolen),
        steps("sign out", "/auth/logout", "302 /", _sign_out),
        steps("kept cookie", "/app/", "401 invalid_token", _kept),
    ]


class Browser:
    """Keeps cookies, and sends them back."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def send(self, method: str, target: str, *headers: tuple[str, str], body: str = "") -> Answer:
        """One request, and what it answered; nothing is followed."""
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        both = (*headers, ("Cookie", kept)) if kept else headers
        answer = exchange(self.port, Row("", method, target, "", both, body))
        for field in answer.headers.get_all("Set-Cookie", []):
            name, _, value = field.partition(";")[0].partition("=")
            if "Max-Age=0" in field:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def visit(self, target: str) -> Answer:
        """As somebody does who follows a link."""
        return self.send("GET", target, NAVIGATION, OWN)

    def page_of_provider(self, target: str) -> str:
        """The address of the form that *target* leads to."""
        left = self.visit(target)
        if _is_ours(left, "/auth/login"):
            left = self.visit(_location(left))
        page = self.visit(_location(left))
        found = re.search(r'<form [^>]*action="([^"]*)"', page.body.decode())
        if found is None:
            raise ValueError(f"no form: {outcome(page)}")
        return html.unescape(found[1])

    def callback(self, target: str) -> str:
        """Where the provider sends alice back to, who wanted to see *target*."""
        form = self.page_of_provider(target)
        return _location(self.send("POST", form, FORM, OWN, body="user=alice"))

    def sign_in(self, target: str = "/app/") -> Answer:
        """The whole way; what the callback answered."""
        answer = self.visit(self.callback(target))
        if len(answer.headers.get_all("Set-Cookie", [])) != 2 or len(self.cookies) != 1:
            raise ValueError("the callback ends one cookie and sets another")
        return answer


def _location(answer: Answer) -> str:
    """Where a redirect leads, within this site."""
    parts = urlsplit(answer.headers["Location"])
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _is_ours(answer: Answer, path: str) -> bool:
    return _location(answer).partition("?")[0] == path


def _there_and_back(port: int) -> str:
    browser = Browser(port)
    back = _location(browser.sign_in("/app/?a=1"))
    if back != "/app/?a=1":
        return f"came back to {back}"
    return outcome(browser.visit(back))


def _evil_next(port: int) -> str:
    return outcome(Browser(port).sign_in("/auth/login?next=//a"))


def _posted_by_another_site(port: int) -> str:
    browser = Browser(port)
    form = browser.page_of_provider("/app/")
    return outcome(browser.send("POST", form, FORM, FOREIGN, body="user=root"))


def _replayed(port: int) -> str:
    browser = Browser(port)
    back = browser.callback("/app/")
    browser.visit(back)
    return outcome(browser.send("GET", back))


def _stolen(port: int) -> str:
    back = Browser(port).callback("/app/")
    return outcome(Browser(port).send("GET", back))


def _sign_out(port: int) -> str:
    browser = Browser(port)
    browser.sign_in()
    answer = browser.visit("/auth/logout")
    return f"still has {sorted(browser.cookies)}" if browser.cookies else outcome(answer)


def _kept(port: int) -> str:
    browser = Browser(port)
    browser.sign_in()
    kept = dict(browser.cookies)
    browser.visit("/auth/logout")
    browser.cookies = kept
    return outcome(browser.send("GET", "/app/"))
