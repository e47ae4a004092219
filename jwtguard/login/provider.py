"""The OpenID provider: its endpoints (OpenID Connect Discovery 1.0), and what we ask of them."""

import logging
import math
from collections.abc import Mapping
from urllib.parse import urlencode

from jwtguard.core.claims import Claims
from jwtguard.core.client_auth import ClientAuthentication
from jwtguard.core.discovery import MAX_ADDRESS, address_problems, document_of
from jwtguard.core.errors import FetchError
from jwtguard.core.model import Clock, Fetch, Fetched, Flow
from jwtguard.core.refused import escaped

log = logging.getLogger("jwtguard.login")

FRESH = 3600  # seconds that the provider's metadata is used without asking again
COOLDOWN = 30  # seconds between two attempts where there is metadata, however old
MAX_ANSWER = 262_144  # bytes


class Refused(Exception):
    """The provider answered, and not as was hoped; the text is for the log.

    ``code`` is its own word for it (RFC 6749 section 5.2).
    """

    def __init__(self, what: str, code: object = None) -> None:
        super().__init__(what)
        self.code = code


class Provider:
    """One provider, as one client of it sees it.

    All flows raise `errors.FetchError` where it cannot be asked, and `Refused`.
    """

    def __init__(
        self,
        issuer: str,
        document: str,
        client: ClientAuthentication,
        *,
        timeout: float,
        insecure_http: bool,
        clock: Clock,
    ) -> None:
        self.issuer = issuer
        self.client = client
        self.insecure_http = insecure_http
        self._document = document
        self._timeout = timeout
        self._clock = clock
        self._metadata: Claims = {}
        self._ask_at = -math.inf
        self._attempt = 0

    def metadata(self) -> Flow[Claims]:
        """What the provider says of itself; for an hour, and on if it cannot be asked."""
        if self._clock() < self._ask_at:
            return self._metadata
        attempt = self._attempt
        try:
            answer = yield self._fetch(self._document, flight=(self, attempt))
            found = self._checked(document_of(self._document, answer))
        except FetchError as error:
            if not self._metadata:
                raise
            log.error("%s; what it said before is used", error)
            self._ask_at = self._clock() + COOLDOWN
        else:
            self._metadata, self._ask_at = found, self._clock() + FRESH
        self._attempt = attempt + 1
        return self._metadata

    def _checked(self, document: Claims) -> Claims:
        """Of the document, what we use. Raises FetchError."""
        if document.get("issuer") != self.issuer:
            raise FetchError(
                f"{self._document} is the document of another issuer: it says "
                f"{escaped(document.get('issuer'))}, configured is {self.issuer}"
            )
        challenges = document.get("code_challenge_methods_supported", ["S256"])
        if not isinstance(challenges, list) or "S256" not in challenges:
            # RFC 9700 section 2.1.1: without it a stolen code would be worth something.
            raise FetchError(f"{self._document} offers no PKCE with S256")
        for name in ("authorization_endpoint", "token_endpoint"):
            if name not in document:
                raise FetchError(f"{self._document} names no {name}")
        for name in _ASKED.intersection(document):
            address = document[name]
            problems = any(address_problems(name, address, self.insecure_http))
            if problems or len(address) > MAX_ADDRESS:
                raise FetchError(f"{self._document} names no usable {name}")
        return document

    # --- endpoints ---

    def pushed(self, form: Mapping[str, str]) -> Flow[str | None]:
        """The ``request_uri`` for a pushed authorization request (RFC 9126).

        None where the provider does not take any.
        """
        endpoint = (yield from self.metadata()).get("pushed_authorization_request_endpoint")
        if endpoint is None:
            return None
        answer = yield from self._post(endpoint, form)
        uri = self._said(answer, 201).get("request_uri")
        if not isinstance(uri, str) or not uri or len(uri) > MAX_ADDRESS:
            raise Refused("the answer to a pushed request names no request_uri")
        return uri

    def tokens(self, form: Mapping[str, str]) -> Flow[Claims]:
        """What the token endpoint gives for a grant (RFC 6749 section 5.1)."""
        endpoint = (yield from self.metadata())["token_endpoint"]
        answer = yield from self._post(endpoint, form)
        return self._said(answer, 200)

    def userinfo(self, access_token: object) -> Flow[Claims]:
        """What the provider says of a person (OpenID Connect Core 1.0 section 5.3)."""
        endpoint = (yield from self.metadata()).get("userinfo_endpoint")
        if endpoint is None:
            raise Refused("the provider has no userinfo endpoint")
        if not isinstance(access_token, str) or not _is_printable(access_token):
            raise Refused("the token endpoint gave no access token")
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        answer = yield self._fetch(endpoint, headers=headers)
        return self._said(answer, 200)

    def revoke(self, refresh_token: str) -> Flow[None]:
        """The token is of no use any more (RFC 7009), where the provider can do that."""
        endpoint = (yield from self.metadata()).get("revocation_endpoint")
        if endpoint is not None:
            form = {"token": refresh_token, "token_type_hint": "refresh_token"}
            yield from self._post(endpoint, form)

    def _post(self, endpoint: str, form: Mapping[str, str]) -> Flow[Fetched]:
        # The audience of a client's assertion is the issuer (RFC 7523bis).
        headers, full = self.client.prove(form, self.issuer, self._clock())
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers["Accept"] = "application/json"
        answer: Fetched = yield self._fetch(
            endpoint, method="POST", headers=headers, body=urlencode(full).encode()
        )
        return answer

    def _fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = {"Accept": "application/json"},
        body: bytes | None = None,
        flight: tuple[object, int] | None = None,
    ) -> Fetch:
        return Fetch(
            url,
            method,
            headers,
            body,
            timeout=self._timeout,
            max_bytes=MAX_ANSWER,
            insecure_http=self.insecure_http,
            flight=flight,
        )

    @staticmethod
    def _said(answer: Fetched, status: int) -> Claims:
        """The JSON object of an answer; its error, where it is one (RFC 6749 section 5.2)."""
        if answer.status == status:
            return document_of("the provider", Fetched(200, answer.headers, answer.body))
        if answer.status >= 500 or answer.status == 429:
            raise FetchError(f"the provider answered {answer.status}")
        try:
            error = document_of("", Fetched(200, {}, answer.body)).get("error")
        except FetchError:
            error = None
        raise Refused(f"the provider answered {answer.status}: {escaped(error)}", error)


# Those that are asked, or that browsers are sent to; what else a document names is nothing to us.
_ASKED = frozenset(
    {
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "end_session_endpoint",
        "pushed_authorization_request_endpoint",
        "revocation_endpoint",
    }
)


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text) and " " not in text
