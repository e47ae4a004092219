"""A login at one site: its paths, and who answers there."""

import logging
from collections.abc import Sequence

from jwtguard.core.claims import Claims
from jwtguard.core.errors import FetchError, InvalidRequest
from jwtguard.core.model import Deny, Flow, Pairs, Request
from jwtguard.core.rates import Rate
from jwtguard.core.token import Verified

from .pages import plain
from .provider import Provider
from .sessions import Sessions, TooLarge
from .signing_in import SigningIn
from .signing_out import SigningOut

log = logging.getLogger("jwtguard.login")


class Site:
    """`core.signin.Site`."""

    def __init__(
        self,
        origin: str,
        paths: Sequence[str],
        after_logout: str,
        provider: Provider,
        sessions: Sessions,
        signing_in: SigningIn,
        signing_out: SigningOut,
        switches: Sequence[str],
        rate: Rate | None,
    ) -> None:
        self.origin = origin
        self.paths = tuple(paths)
        self.login_path, self._callback, self._logout, self.backchannel_path = paths
        self.issuer = sessions.issuer
        self.idp = provider.issuer
        self.place = sessions.place
        self.revocations = signing_out.revocations
        self.is_due = sessions.is_due
        self.switches = switches
        self.rate = rate
        self._after_logout = after_logout
        self._provider = provider
        self.sessions = sessions
        self._in = signing_in
        self._refreshing = signing_in.refreshing
        self._out = signing_out

    def answer(self, request: Request, method: str) -> Flow[Deny]:
        """What a browser or the provider is told at one of the paths. Raises AuthError."""
        path = request.path.rstrip("/")
        allowed = _METHODS[self.paths.index(path)]
        if request.websocket:
            raise InvalidRequest(hint=f"{path} is no WebSocket")
        if method not in allowed:
            return plain(405, b"", "text/plain; charset=utf-8", (("Allow", ", ".join(allowed)),))
        if path == self.login_path:
            return (yield from self._in.begin(request))
        if path == self._callback:
            return (yield from self._in.finish(request))
        if path == self.backchannel_path:
            return (yield from self._out.told(request))
        action, back = (self._in.own(request, one) for one in (self._logout, self._after_logout))
        return (yield from self._out.leave(request, method, action, back))

    def renew(self, known: Verified, request: Request) -> Flow[Pairs]:
        """The headers that make a session new. Raises errors.InvalidToken where it has ended."""
        claims: Claims | None = known.claims
        if self._refreshing is not None and known.claims.get("refresh"):
            claims = yield from self._refreshing.renew(known.claims)
        if claims is None:
            return ()
        claims = self.sessions.prolonged(claims)
        # Nobody else may get this answer, whatever the app says of it (RFC 9111 section 5.2.2.5).
        try:
            cookies = self.sessions.cookies(claims, request)
        except TooLarge as error:  # the one that is there goes on to its end
            log.error("a session is not renewed: %s", error)
            return ()
        return [*cookies, ("Cache-Control", "no-store")]

    def warm(self) -> Flow[None]:
        """Find out about the provider ahead of the first sign-in. An outage is logged."""
        try:
            yield from self._provider.metadata()
        except FetchError as error:
            log.error("nobody can sign in for now: %s", error)


# Of the paths in their order: login, callback, logout, back-channel logout.
_METHODS = (("GET",), ("GET",), ("GET", "POST"), ("POST",))
