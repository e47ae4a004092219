"""Signing out: here, and at the provider; or told to by it (OpenID Connect RP-Initiated Logout 1.0,
Back-Channel Logout 1.0).
"""

import logging
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlencode

from jwtguard.core.browser import check_same_site
from jwtguard.core.candidates import Candidates, Directory
from jwtguard.core.claims import Claims
from jwtguard.core.errors import (
    AuthError,
    ClaimMismatch,
    FetchError,
    InvalidRequest,
    InvalidToken,
    MissingClaim,
    Unavailable,
)
from jwtguard.core.issuer import Issuer
from jwtguard.core.model import Ask, Clock, Deny, Flow, Request
from jwtguard.core.refused import escaped
from jwtguard.core.revocation import Revocations
from jwtguard.core.signin import SESSION
from jwtguard.core.token import Verified
from jwtguard.core.verifier import Verifier

from .cookies import Cookies
from .pages import plain, sign_out, to
from .provider import Provider
from .refreshing import Refreshing
from .sessions import Sessions

log = logging.getLogger("jwtguard.login")

EVENT = "http://schemas.openid.net/event/backchannel-logout"
MAX_BODY = 65_536  # bytes, of which a token of 16 KiB is the only thing we look at


class SigningOut:
    """Ending sessions; ``lifetime`` in seconds is how long one lasts at most."""

    def __init__(
        self,
        origin: str,
        provider: Provider,
        person: Issuer,
        cookies: Cookies,
        sessions: Sessions,
        revocations: Revocations,
        refreshing: Refreshing | None,
        lifetime: float,
        clock: Clock,
    ) -> None:
        self._origin = origin
        self._provider = provider
        self._candidates = Candidates(Directory([person]), [person])
        self._verifier = Verifier(0, clock)
        self._cookies = cookies
        self._sessions = sessions
        self.revocations = revocations
        self._refreshing = refreshing
        self._lifetime = lifetime
        self._clock = clock

    # --- by the person ---

    def leave(self, request: Request, method: str, action: str, back: str) -> Flow[Deny]:
        """End the session of this browser, if it was its user who asked.

        Another site may lead a browser to an address; what it cannot do is to claim that it was
        the user, or a page of ours (Fetch Metadata). Where that is in doubt, the page asks.
        """
        if method == "POST":
            check_same_site(request, method, (self._origin,))
        elif not _is_meant(request):
            return sign_out(action, back)
        session = self._sessions.read(request)
        if session is not None:
            yield from self._end(session)
            if self._refreshing is not None and session.get("refresh"):
                yield from self._refreshing.forget(session)
        gone = self._sessions.cleared(request)
        begun = [self._cookies.clear(name) for name in self._cookies.begun(request)]
        location = yield from self._elsewhere(back)
        return to(location, [*gone, *begun], 303 if method == "POST" else 302)

    def _end(self, session: Claims) -> Flow[None]:
        """A copy of the cookie is worth nothing any more."""
        until = self._until()
        try:
            yield from self.revocations.revoke_flow(
                "jti", session["jti"], issuer=SESSION, until=until
            )
        except Unavailable as error:  # it is ended here, and the browser is to lose it anyway
            log.error("a session that was signed out is not ended everywhere yet: %s", error)

    def _elsewhere(self, back: str) -> Flow[str]:
        """Where the provider ends its own session, and sends the browser back from."""
        try:
            endpoint = (yield from self._provider.metadata()).get("end_session_endpoint")
        except FetchError as error:
            log.warning("signed out here only: %s", error)
            return back
        if endpoint is None:
            return back
        asked = {
            "client_id": self._provider.client.client_id,
            "post_logout_redirect_uri": self._origin + back,
        }
        mark = "&" if "?" in endpoint else "?"
        return f"{endpoint}{mark}{urlencode(asked, quote_via=quote)}"

    # --- by the provider ---

    def told(self, request: Request) -> Flow[Deny]:
        """End what a logout token names (Back-Channel Logout 1.0 sections 2.5 to 2.8)."""
        try:
            body: bytes = yield Ask(request.read_body, request.read_body, (MAX_BODY,))
            claims = yield from self._logout(body)
        except FetchError as error:  # the body did not come
            raise InvalidRequest(hint=str(error)) from None
        except (InvalidRequest, InvalidToken) as error:
            log.warning("back-channel logout refused: %s", _described(error))
            return plain(400, b'{"error": "invalid_request"}', "application/json")
        # With a sid, only the sessions of that one; new ones of it are begun afterwards.
        kind = "sub" if claims.get("sid") is None else "sid"
        yield from self.revocations.revoke_flow(
            kind, claims[kind], issuer=SESSION, before=self._clock(), until=self._until()
        )
        return plain(200, b"", "text/plain; charset=utf-8")

    def _until(self) -> float:
        """When no session of now is any good: a second more, as their times are rounded."""
        return self._clock() + self._lifetime + self._sessions.issuer.leeway + 1

    def _logout(self, body: bytes) -> Flow[Claims]:
        if len(body) > MAX_BODY:
            raise InvalidRequest(hint=f"a body of more than {MAX_BODY} bytes")
        try:
            fields = parse_qs(body.decode("ascii"), max_num_fields=32)
        except ValueError:
            raise InvalidRequest(hint="the body is no form") from None
        tokens = fields.get("logout_token", [])
        if len(tokens) != 1:
            raise InvalidRequest(hint=f"{len(tokens)} logout tokens")
        verified = self._verifier.verify(tokens[0], self._candidates)
        if not isinstance(verified, Verified):
            verified = yield from verified
        claims = verified.claims
        events = claims.get("events")
        if not isinstance(events, Mapping) or not isinstance(events.get(EVENT), Mapping):
            raise MissingClaim("events", want=EVENT)
        if "nonce" in claims:  # section 2.4: or an id_token would do
            raise ClaimMismatch("nonce", hint="an id_token is no logout token")
        for name in ("jti", "sub", "sid"):
            value = claims.get(name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ClaimMismatch(name, found=value, want="text")
        if claims.get("sub") is None and claims.get("sid") is None:
            raise MissingClaim("sid", hint="neither sub nor sid says whose sessions end")
        return claims


def _is_meant(request: Request) -> bool:
    """Whether a person follows the address, typed or on a page of ours (Fetch Metadata).

    An image in somebody's comment is on a page of ours too, and what is only prefetched was not
    followed yet.
    """
    said = {
        name: ", ".join(request.headers.get_all(name))
        for name in ("sec-fetch-site", "sec-fetch-dest", *_AHEAD)
    }
    return (
        said["sec-fetch-site"] in ("same-origin", "none")
        and said["sec-fetch-dest"] in ("", "document", "empty")
        and not any("prefetch" in said[name] for name in _AHEAD)
    )


# Browsers say it in the first two; scripts that fetch what the pointer is over in the third.
_AHEAD = ("sec-purpose", "purpose", "x-sec-purpose")


def _described(error: AuthError) -> str:
    said = {"found": error.found, "want": error.want, "hint": error.hint}
    facts = (f'{k}="{escaped(v)}"' for k, v in said.items() if v is not None)
    return " ".join([error.reason, *facts])
