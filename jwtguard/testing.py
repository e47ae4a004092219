"""For tests of apps behind jwtguard: an issuer in the process, and tokens of any shape.

Tokens made here are real ones: the guard verifies them like any other and is never switched off.
"""

import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from .core.algorithms import ALGORITHMS
from .core.claims import Claims
from .core.issuer import Issuer
from .core.keyloader import JWKSet, KeySet, LocalKeys
from .core.model import Clock, Verified, VerifiedToken, token_for_request
from .core.wording import as_list

__all__ = ["FakeIssuer", "verified"]

PrivateKey = (
    bytes
    | rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
"""What signs: the secret itself for HS*."""

_CURVES = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}


def private_key(algorithm: str) -> PrivateKey:
    """A fresh signing key for *algorithm*: bytes for HS*, else a `cryptography` private key."""
    kind = ALGORITHMS[algorithm].kind
    if kind == "oct":
        return secrets.token_bytes(ALGORITHMS[algorithm].hash_bytes)
    if kind == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    return (ed448.Ed448PrivateKey if kind == "Ed448" else ed25519.Ed25519PrivateKey).generate()


def public_jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """The public half of a private key (or an HMAC secret itself) as a JWK (RFC 7517)."""
    if isinstance(key, bytes):
        return HMACAlgorithm.to_jwk(key, as_dict=True) | members
    if isinstance(key, rsa.RSAPrivateKey):
        return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | members
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | members
    return OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) | members


def sign(
    claims: Mapping[str, Any],
    key: PrivateKey,
    algorithm: str,
    header: Mapping[str, Any] | None = None,
) -> str:
    """A compact JWS (RFC 7515 section 3.1) over *claims*.

    *header* adds to the JOSE header or replaces what is in it, also ``alg``: the signature is
    always made by *algorithm*, so that a test can send a token that lies about itself.
    """
    parts = {"alg": algorithm, "typ": "JWT", **(header or {})}, claims
    signing_input = b".".join(
        base64url_encode(json.dumps(part, separators=(",", ":")).encode()) for part in parts
    )
    signature: bytes = ALGORITHMS[algorithm].scheme.sign(signing_input, key)
    return b".".join([signing_input, base64url_encode(signature)]).decode()


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


def verified(issuer: str = "test", /, **claims: Any) -> VerifiedToken:
    """A VerifiedToken that nobody verified, to hand to code under test.

    *issuer* is the configured name; scopes and roles are read from *claims* as a guard would.
    """
    return token_for_request(
        Verified(
            raw="",
            issued_by=Issuer(name=issuer, audience=None, algorithms=(), keys=LocalKeys(KeySet())),
            tenant=None,
            header={"alg": "none"},
            claims=dict(claims),
            period=(float("-inf"), float("inf")),
            key=None,
            keys=KeySet(),
        )
    )
