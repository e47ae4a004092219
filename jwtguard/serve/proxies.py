"""Whose word to take for what a client asked for."""

from collections.abc import Sequence
from hmac import compare_digest

from jwtguard.core.addresses import UNIX, Proxies

from .settings import Settings

PROOF = "x-jwtguard-proxy-secret"
"""The header that holds the shared secret."""


class Askers:
    """The proxies that may ask.

    Whoever may ask says what the request was, so that one who is believed by mistake chooses
    which path is judged.
    """

    def __init__(self, settings: Settings) -> None:
        self._proxies = Proxies(settings.trusted) if settings.trusted else None
        self._secret = settings.secret
        # Who got as far as to say where the client is was believed: like whoever has the socket.
        self._chain = Proxies((*settings.trusted, UNIX))

    def distrust(self, peer: str | None, secrets: Sequence[str]) -> str | None:
        """Why the one at address *peer* (None: at the other end of the Unix socket), who sent
        *secrets*, is not believed; None: it is.
        """
        if self._proxies is not None and not self._proxies.trust(peer):
            return f"{peer or 'the Unix socket'} is not in trusted_proxies"
        if self._secret is not None:
            if len(secrets) != 1:
                return f"{peer} sent {len(secrets) or 'no'} X-Jwtguard-Proxy-Secret"
            if not compare_digest(secrets[0].encode("latin-1"), self._secret):
                return f"{peer} sent another X-Jwtguard-Proxy-Secret"
        elif self._proxies is None:
            return "neither trusted_proxies nor shared_secret is set"
        return None

    def client(self, forwarded_for: Sequence[str]) -> str | None:
        """The client's address, of all ``X-Forwarded-For`` fields; None where it is not known."""
        address = self._chain.client(None, forwarded_for)
        return None if address is None else str(address)
