"""For tests of apps behind jwtguard: an issuer in the process, and tokens of any shape.

Tokens made here are real ones: the guard verifies them like any other and is never switched off.
"""

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from .core.algorithms import ALGORITHMS
from .core.claims import roles_of, scopes_of
from .core.issuer import DEFAULT_ROLES, Issuer
from .core.keyloader import JWKSet, KeySet
from .core.model import Claims, Flow, Verified, VerifiedToken, token_for_request

__all__ = ["FakeIssuer", "verified"]

_CURVES = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}


def private_key(algorithm: str) -> Any:
    """A fresh signing key for *algorithm*: bytes for HS*, else a `cryptography` private key."""
    kind = ALGORITHMS[algorithm].kind
    if kind == "oct":
        return secrets.token_bytes(ALGORITHMS[algorithm].hash_bytes)
    if kind == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    return (ed448.Ed448PrivateKey if kind == "Ed448" else ed25519.Ed25519PrivateKey).generate()


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a private key (or an HMAC secret itself) as a JWK (RFC 7517)."""
    if isinstance(key, bytes):
        return HMACAlgorithm.to_jwk(key, as_dict=True) | members
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return RSAAlgorithm.to_jwk(public, as_dict=True) | members
    if isinstance(public, ec.EllipticCurvePublicKey):
        return ECAlgorithm.to_jwk(public, as_dict=True) | members
    return OKPAlgorithm.to_jwk(public, as_dict=True) | members


def sign(claims: Claims, key: Any, algorithm: str, headers: Claims | None = None) -> str:
    """A compact JWS over *claims*, by PyJWT."""
    # RFC 9864 renamed EdDSA; PyJWT knows the old name only, which makes the same signature.
    name = "EdDSA" if algorithm in ("Ed25519", "Ed448") else algorithm
    headers = {"alg": algorithm, **(headers or {})}
    return jwt.encode(claims, key, algorithm=name, headers=headers)


class FakeIssuer:
    """An issuer of your own::

        idp = FakeIssuer(audience="https://api.example.com")
        guard = Guard(issuers=[idp.trusted()])
        headers = {"Authorization": idp.bearer("alice", scopes="reports:read")}

    Its key is made at the start and replaced by :meth:`rotate`.
    """

    def __init__(
        self,
        issuer: str = "https://issuer.test/",
        *,
        audience: str | None = "https://api.test",
        algorithm: str = "RS256",
        name: str | None = None,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.algorithm = algorithm
        self.name = name
        self._keys: list[tuple[str, Any]] = []
        self.rotate()

    def rotate(self, *, keep: int = 1) -> str:
        """Sign with a fresh key from now on, and publish *keep* older ones beside it."""
        kid = f"test-{time.monotonic_ns():x}"
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

    def trusted(self, **changes: Any) -> Issuer:
        """The `Issuer` to configure a guard with; it follows :meth:`rotate`."""
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
        roles: Sequence[str] | None = None,
        expires: float = 3600,
        header: Claims | None = None,
        key: Any = None,
        **claims: Any,
    ) -> str:
        """A token, valid for *expires* seconds.

        *claims* are added, and a claim given as None is left out; *header* adds to the JOSE
        header; *key* signs instead of the issuer's own.
        """
        now = int(time.time())
        kid, own_key = self._keys[0]
        full: Claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": sub,
            "iat": now,
            "exp": now + expires,
            "scope": scopes if scopes is None or isinstance(scopes, str) else " ".join(scopes),
            "roles": roles,
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


class _Following:
    """A key source that always has the fake issuer's keys of the moment."""

    local = True
    problems = ()

    def __init__(self, issuer: FakeIssuer) -> None:
        self._issuer = issuer

    def current(self) -> KeySet:
        return self._issuer._source.current()

    def lookup(self, algorithm: str, kid: str | None) -> Flow[KeySet]:
        return self.current()
        yield  # what makes this a flow


def verified(issuer: str = "test", **claims: Any) -> VerifiedToken:
    """A VerifiedToken that nobody verified, to hand to code under test."""
    return token_for_request(
        Verified(
            raw="",
            issued_by=Issuer(name=issuer, audience=None, algorithms=(), keys=JWKSet({"keys": []})),
            header={"alg": "none"},
            claims=dict(claims),
            scopes=scopes_of(claims),
            roles=roles_of(claims, DEFAULT_ROLES),
        )
    )
