"""Sessions: tokens of jwtguard's own, in a cookie, made at a login and renewed while in use."""

import logging
import secrets
from collections.abc import Sequence

from jwtguard.core.candidates import Candidates, Directory
from jwtguard.core.claims import Claims
from jwtguard.core.errors import AuthError
from jwtguard.core.extractor import MAX_PARTS, FromSession
from jwtguard.core.issuer import Issuer
from jwtguard.core.jose import sign
from jwtguard.core.model import Clock, Pairs, Request
from jwtguard.core.signin import SESSION
from jwtguard.core.token import Verified
from jwtguard.core.verifier import Verifier

from .cookies import MAX_SESSION, MAX_VALUE, Cookies
from .sealing import Keys, key_id

log = logging.getLogger("jwtguard.login")

TYPE = "jwtguard-session+jwt"
"""The JOSE header's ``typ``: no other token is a session, and a session is nothing else
(RFC 8725 section 3.11)."""
OURS = ("iss", "aud", "sub", "idp", "sid", "jti", "auth_time", "iat", "exp", "roles", "refresh")
"""Claims of every session, which those kept of the provider's never replace."""

JUDGING = ("nbf", "cnf")
"""Claims by which any token is judged: from somebody else, they would end a session at once."""


class TooLarge(Exception):
    """The session does not fit into cookies; the text is for the log."""


class Sessions:
    """The sessions of one site; ``idle`` and ``lifetime`` in seconds."""

    def __init__(
        self,
        origin: str,
        keys: Keys,
        cookies: Cookies,
        *,
        idle: float,
        lifetime: float,
        clock: Clock,
    ) -> None:
        self.place = FromSession(f"{cookies.prefix}session")
        self.issuer = Issuer(
            f"{origin}/#{SESSION}",
            name=SESSION,
            audience=origin,
            algorithms=["HS256"],
            keys=list(keys.verifying),
            typ=TYPE,
            required_claims=("exp", "iat", "sub", "sid", "jti", "auth_time"),
            roles="roles",
        )
        self._candidates = Candidates(Directory([self.issuer]), [self.issuer])
        self._verifier = Verifier(0, clock)
        self._origin = origin
        self._key = keys.signing_keys[0]
        self._cookies = cookies
        self._idle = idle
        self._lifetime = lifetime
        self._clock = clock

    def begun(self, sub: str, idp: str, sid: object) -> Claims:
        """The claims that every session has; *idp* is the provider's ``iss``."""
        return {
            "iss": self.issuer.issuer,
            "aud": self._origin,
            "sub": sub,
            "idp": idp,
            # The provider's name for its session, by which it may end ours (back-channel logout).
            "sid": sid if isinstance(sid, str) and sid else secrets.token_urlsafe(16),
            "jti": secrets.token_urlsafe(16),
            "auth_time": round(self._clock(), 3),
        }

    def prolonged(self, claims: Claims) -> Claims:
        """The same session, used just now."""
        now = self._clock()
        ends = min(now + self._idle, claims["auth_time"] + self._lifetime)
        return {**claims, "iat": round(now, 3), "exp": round(ends, 3)}

    def read(self, request: Request) -> Claims | None:
        """The claims of the session that a request carries; None where there is no good one."""
        try:
            raw = self.place.read(request)
            verified = None if raw is None else self._verifier.verify(raw, self._candidates)
        except AuthError:
            return None
        return verified.claims if isinstance(verified, Verified) else None

    def is_due(self, known: Verified) -> bool:
        """Whether half of the idle time has passed, and there is more to be had."""
        claims, now = known.claims, self._clock()
        return bool(
            now - claims["iat"] > self._idle / 2
            and claims["exp"] < claims["auth_time"] + self._lifetime
        )

    def cookies(self, claims: Claims, request: Request) -> Pairs:
        """The headers that hand a session to the browser. Raises TooLarge."""
        token = sign(claims, self._key, "HS256", {"typ": TYPE, "kid": key_id(self._key)})
        parts = [token[at : at + MAX_VALUE] for at in range(0, len(token), MAX_VALUE)]
        if len(token) > MAX_SESSION:
            sizes = {name: len(repr(value)) for name, value in claims.items()}
            large = ", ".join(sorted(sizes, key=lambda name: -sizes[name])[:3])
            raise TooLarge(
                f"the session has {len(token)} characters, and cookies take {MAX_SESSION}"
                f"; the largest claims are {large}: keep fewer (claims=), or fewer roles"
            )
        left = claims["exp"] - self._clock()
        kept = [self.place.part(number) for number in range(len(parts))]
        set_ = [self._cookies.set(name, part, left) for name, part in zip(kept, parts, strict=True)]
        return [*set_, *self._cleared(request, kept)]

    def cleared(self, request: Request) -> Pairs:
        """The headers that take a session away."""
        return self._cleared(request, ())

    def _cleared(self, request: Request, kept: Sequence[str]) -> Pairs:
        names = [*map(self.place.part, range(MAX_PARTS))]
        sent = self._cookies.sent(request)
        return [self._cookies.clear(name) for name in names if name in sent and name not in kept]
