"""What a client is told in place of the app's answer: a refusal, a redirect, a preflight."""

import secrets
from urllib.parse import quote

from . import challenge, refused
from .browser import is_navigation
from .errors import AuthError, HttpsRequired, InvalidRequest, InvalidToken, MissingCredentials
from .extractor import FromQuery, read_one
from .model import Deny, Pairs, Request
from .paths import SAFE_IN_PATH, return_address
from .policy import BoundRule
from .setup import Setup


class Answers:
    """Answers for a guard, with what it was told about them."""

    def __init__(self, setup: Setup) -> None:
        self.response_headers: Pairs = setup.response_headers
        self._origins = setup.origins
        self._public_origin = setup.public_origin
        self._realm = setup.given.realm
        self._error_body = setup.given.error_body
        self._resources = setup.resources

    def to_preflight(self, request: Request) -> Deny | None:
        """The answer to a CORS preflight of a listed origin; None: it is judged."""
        origin = self._listed_origin(request)
        if origin is None:
            return None
        extra = (*challenge.cors_headers(origin), ("Vary", "Origin"))
        return challenge.preflight_answer(request, self._with_response_headers(extra))

    def to_metadata(self, request: Request, method: str) -> Deny:
        """A resource's metadata, or what may be asked of it; a handshake may not."""
        answer = self._resources.answer(request.path, "" if request.websocket else method)
        return self.completed(Deny(None, answer.status, answer.headers, answer.body))

    def completed(self, deny: Deny) -> Deny:
        """With the response headers that are added to every answer."""
        deny.headers = self._with_response_headers(deny.headers)
        return deny

    def refusal(
        self,
        error: AuthError,
        request: Request,
        bound: BoundRule | None,
        said_by: str | None,
        raw: str | None,
    ) -> Deny:
        """The answer to a refused request, and its log line; *said_by* names the rule there."""
        ref = secrets.token_hex(4)
        refused.report(error, request, ref, said_by, raw)
        origin = self._listed_origin(request)
        extra: Pairs = (*error.headers, *(challenge.cors_headers(origin) if origin else ()))
        redirect = None if bound is None else self._redirect(error, request, bound)
        if redirect is not None:
            status, location = redirect
            deny = challenge.redirect(error, status, location, request, ref, extra)
        else:
            metadata = self._resources.address_for(request.mount + request.path)
            bearer = challenge.challenge(error, self._realm, metadata)
            deny = challenge.refusal(error, request, ref, bearer, extra, self._error_body)
        deny.rule = said_by
        return self.completed(deny) if self.response_headers else deny

    def _redirect(
        self, error: AuthError, request: Request, bound: BoundRule
    ) -> tuple[int, str] | None:
        """Status and address where a redirect says more than a refusal."""
        method = request.method.upper()
        if isinstance(error, HttpsRequired):
            if bound.https != "redirect" or method not in ("GET", "HEAD") or request.websocket:
                return None
            if _carries_credentials(request, bound):
                return None  # they went over the wire in clear: better noticed than repeated
            return 308, f"{self._public_origin}{self._own_address(request, bound)}"
        if (
            bound.login is None
            or not isinstance(error, (MissingCredentials, InvalidToken))
            or not is_navigation(request, method)
        ):
            return None
        target = self._own_address(request, bound)
        login = bound.login
        if login.startswith("/"):
            login = _mounted(request.mount, login)
        else:
            target = f"{self._public_origin}{target}"
        mark = "&" if "?" in login else "?"
        return 302, f"{login}{mark}next={quote(target, safe='')}"

    @staticmethod
    def _own_address(request: Request, bound: BoundRule) -> str:
        """Where the request went, relative to the site, without a token in its query."""
        query = request.query
        for place in bound.explicit:
            if isinstance(place, FromQuery):
                query = place.without(query)
        path = quote(request.mount + request.path, safe=SAFE_IN_PATH, errors="replace")
        return return_address(f"{path}?{query}" if query else path)

    def _listed_origin(self, request: Request) -> str | None:
        origin = request.header("origin")
        return origin if origin in self._origins else None

    def _with_response_headers(self, headers: Pairs) -> Pairs:
        given = {name.lower() for name, _ in headers}
        return (*headers, *(h for h in self.response_headers if h[0].lower() not in given))


def _mounted(mount: str, login: str) -> str:
    """The login path as browsers see it; a mount prefix that leads elsewhere is left out."""
    path, mark, query = login.partition("?")
    address = return_address(quote(mount + path, safe=SAFE_IN_PATH, errors="replace"))
    return (path if address == "/" else address) + mark + query


def _carries_credentials(request: Request, bound: BoundRule) -> bool:
    if request.headers.get_all("authorization"):
        return True
    try:
        return read_one(bound.places, request) is not None
    except InvalidRequest:
        return True
