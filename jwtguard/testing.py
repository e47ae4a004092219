"""For tests of apps behind jwtguard: an issuer in the process, and tokens of any shape.

Tokens made here are real ones: the guard verifies them like any other and is never switched off.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .core.claims import Claims
from .core.issuer import Issuer
from .core.keyloader import JWKSet, LocalKeys
from .core.keys import KeySet
from .core.model import Clock
from .core.token import Verified, VerifiedToken, token_for_request
from .core.wording import as_list
from .signing import PrivateKey, private_key, public_jwk, sign

__all__ = ["FakeIssuer", "verified"]


class FakeIssuer:
    """An issuer of your own::

        idp = FakeIssuer(audience="https://api.example.com")
        guard = Guard(issuers=[idp.trusted()])
        headers = {"Authorization": idp.bearer("alice", scopes="reports:read")}

    - ``issuer``, ``audience``: the ``iss`` and ``aud`` of its tokens; None leaves the claim out.
    - ``algorithm``: any ``alg`` that jwtguard knows; its key is made at the start and replaced
      by :meth:`rotate`. Making an RSA key takes a good part of a second, ES256 none.
    - ``name``: how rules call it; the issuer text where not given.
    - ``clock``: seconds since the epoch; give it the guard's where that one has its own.
    """

    def __init__(
        self,
        issuer: str | None = "https://issuer.test/",
        *,
        audience: str | Sequence[str] | None = "https://api.test",
        algorithm: str = "RS256",
        name: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.algorithm = algorithm
        self.name = name
        self.clock = clock
        self._keys: list[tuple[str, PrivateKey]] = []
        self.rotate()

    def __repr__(self) -> str:
        return f"<FakeIssuer {self.issuer!r} {self.algorithm}>"

    def rotate(self, *, keep: int = 1) -> str:
        """Sign with a fresh key from now on, and publish *keep* older ones beside it.

        Returns the new key's id. Tokens of a key that is no longer published are refused from
        the next request on, also those that were accepted before.
        """
        kid = f"test-{secrets.token_hex(4)}"
        self._keys = [(kid, private_key(self.algorithm)), *self._keys[:keep]]
        self._source = JWKSet(self.jwks())
        return kid

    def jwks(self) -> dict[str, Any]:
        """The JWK Set that this issuer would publish."""
        return {
            "keys": [
                public_jwk(key, kid=kid, alg=self.algorithm, use="sig") for kid, key in self._keys
            ]
        }

    def public_pem(self) -> str:
        """The public key of the moment in PEM, to write into a ``public_key_file``."""
        key = self._keys[0][1]
        if isinstance(key, bytes):
            raise TypeError(f"{self.algorithm} has a secret, and no public key")
        return (
            key.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode("ascii")
        )

    def trusted(self, **changes: Any) -> Issuer:
        """The `Issuer` to configure a guard with; it follows :meth:`rotate`.

        *changes* are words of `Issuer`, such as ``leeway=0`` or ``required_claims=[]``.
        """
        words: dict[str, Any] = {
            "name": self.name,
            "audience": self.audience,
            "algorithms": [self.algorithm],
            "keys": _Following(self),
        }
        return Issuer(self.issuer, **(words | changes))

    def token(
        self,
        sub: str | None = "alice",
        *,
        scopes: str | Iterable[str] | None = None,
        roles: str | Iterable[str] | None = None,
        expires: float = 3600,
        header: Mapping[str, Any] | None = None,
        key: PrivateKey | None = None,
        **claims: Any,
    ) -> str:
        """A token, valid for *expires* seconds; where that is negative, long expired.

        *claims* are added, and a claim given as None is left out; *header* adds to the JOSE
        header; *key* signs instead of the issuer's own.
        """
        now = int(self.clock())
        kid, own_key = self._keys[0]
        full: Claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": sub,
            "iat": now,
            "exp": now + expires,
            "scope": scopes if scopes is None or isinstance(scopes, str) else " ".join(scopes),
            "roles": roles if roles is None else as_list(roles),
        } | claims
        present = {name: value for name, value in full.items() if value is not None}
        return sign(
            present,
            own_key if key is None else key,
            self.algorithm,
            {"kid": kid, **(header or {})},
        )

    def bearer(self, sub: str | None = "alice", **words: Any) -> str:
        """The value of an ``Authorization`` header with a :meth:`token`."""
        return f"Bearer {self.token(sub, **words)}"

    def cookie(self, sub: str | None = "alice", *, cookie: str = "auth_token", **words: Any) -> str:
        """The value of a ``Cookie`` header with a :meth:`token` under the name *cookie*.

        A browser sends cookies along with other sites' requests too, so the guard takes one with
        an unsafe method, or a WebSocket handshake, only from the same site: send ``Origin`` with
        it, one of the guard's ``origins`` or the one that ``Host`` names.
        """
        return f"{cookie}={self.token(sub, **words)}"


class _Following:
    """A key source that always has the fake issuer's keys of the moment."""

    problems = ()

    def __init__(self, issuer: FakeIssuer) -> None:
        self._issuer = issuer

    def current(self) -> KeySet:
        return self._issuer._source.current()


_NO_KEYS = LocalKeys(KeySet())


def verified(issuer: str = "test", /, **claims: Any) -> VerifiedToken:
    """A VerifiedToken that nobody verified, to hand to code under test.

    *issuer* is the configured name; scopes and roles are read from *claims* as a guard would.
    """
    return token_for_request(
        Verified(
            raw="",
            issued_by=Issuer(name=issuer, audience=None, algorithms=(), keys=None),
            tenant=None,
            header={"alg": "none"},
            claims=dict(claims),
            period=(float("-inf"), float("inf")),
            key=None,
            keys=_NO_KEYS.current(),
            source=_NO_KEYS,
        )
    )
