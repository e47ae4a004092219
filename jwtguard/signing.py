"""Making keys and tokens: for development, the commands and tests. A guard never signs."""

import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from .core.algorithms import ALGORITHMS
from .core.jose import sign

__all__ = ["PrivateKey", "private_key", "public_jwk", "sign"]

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
