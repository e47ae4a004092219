"""Refresh tokens (RFC 6749 section 6): while a session is used, the provider is asked again.

They lie sealed in the store that all processes share. A provider that rotates them (RFC 9700
section 4.14.2) takes each once and ends everything where one comes twice, so one process at a time
may ask for a session, and what it was given is in the store before anybody asks again.
"""

import logging
from collections.abc import Callable

from jwtguard.core.claims import Claims
from jwtguard.core.errors import FetchError, InvalidToken, TokenRevoked, Unavailable
from jwtguard.core.model import Ask, Flow
from jwtguard.core.store import Store

from .provider import Provider, Refused
from .sealing import Keys

log = logging.getLogger("jwtguard.login")

TURN = 15.0  # seconds that one process has at most, and after which the next one may try
ENDED = ""  # what is kept instead of a token that the provider takes no more


class Refreshing:
    """The refresh tokens of the sessions of one site; ``lifetime`` and ``idle``
    of a session, in seconds.

    ``read`` gives the claims of a session as an answer of the token endpoint changes them.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        provider: Provider,
        read: Callable[[Claims, Claims], Flow[Claims]],
        lifetime: float,
        idle: float,
    ) -> None:
        self._store = store
        self._keys = keys
        self._provider = provider
        self._read = read
        self._lifetime = lifetime
        self._turn = min(TURN, idle / 4)  # two renewals are half of it apart

    def keep(self, session: Claims, tokens: Claims) -> Flow[bool]:
        """Keep the refresh token that the provider gave; whether there is one now."""
        token = tokens.get("refresh_token")
        if not isinstance(token, str) or not token:
            return False
        yield from self._put(session, token)
        return True

    def renew(self, session: Claims) -> Flow[Claims | None]:
        """The session as the provider sees it now; None where it is to stay as it is for now.

        Raises errors.TokenRevoked where the provider has ended it.
        """
        try:
            turn = f"{_name(session)} turn", b"1", self._turn
            is_ours = yield Ask(self._store.add, self._store.aadd, turn)
            token = yield from self._kept(session)
            if token == ENDED:
                raise TokenRevoked("session_ended", hint="the provider said so before")
            if not is_ours or token is None:
                return None
            grant = {"grant_type": "refresh_token", "refresh_token": token}
            tokens = yield from self._provider.tokens(grant)
            yield from self.keep(session, tokens)
            return (yield from self._read(session, tokens))
        except TokenRevoked:
            raise
        except Refused as error:
            if error.code == "invalid_grant":
                yield from self._end(session)
                raise TokenRevoked("session_ended", hint=str(error)) from None
            log.error("a session is not renewed: %s", error)
        except (FetchError, InvalidToken, Unavailable) as error:
            log.error("a session is not renewed: %s", error)
        return None

    def forget(self, session: Claims) -> Flow[None]:
        """The refresh token is of no use any more, here and, if it can be told, at the provider."""
        try:
            token = yield from self._kept(session)
            if token:
                yield Ask(self._store.remove, self._store.aremove, (_name(session),))
                yield from self._provider.revoke(token)
        except (FetchError, Refused) as error:
            log.warning("the refresh token of a session was not revoked: %s", error)

    def _end(self, session: Claims) -> Flow[None]:
        """Tell the requests to come, of every process: the turn is over before they are."""
        try:
            yield from self._put(session, ENDED)
        except FetchError as error:
            log.error("that a session has ended is not kept: %s", error)

    def _put(self, session: Claims, token: str) -> Flow[None]:
        sealed = self._keys.seal(_name(session), {"t": token}).encode()
        arguments = (_name(session), sealed, self._lifetime)
        yield Ask(self._store.put, self._store.aput, arguments)

    def _kept(self, session: Claims) -> Flow[str | None]:
        sealed: bytes | None = yield Ask(self._store.get, self._store.aget, (_name(session),))
        kept = sealed and self._keys.unseal(_name(session), sealed.decode("ascii", "replace"))
        return kept["t"] if kept else None


def _name(session: Claims) -> str:
    return f"login refresh {session['jti']}"
