"""The signature algorithms (RFC 7518 section 3, RFC 8037, RFC 8812, RFC 9864).

PyJWT's algorithm objects do the arithmetic over `cryptography`; which name goes with which kind
of key is decided here, because one key must serve one kind of algorithm (RFC 8725 section 3.1).
"""

from collections.abc import Callable
from typing import Any, Final

from jwt.algorithms import Algorithm as Scheme
from jwt.algorithms import (
    ECAlgorithm,
    HMACAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
)

Verify = Callable[[bytes, Any, bytes], bool]
"""(signing input, key, signature) -> whether the signature is good."""


class Algorithm:
    """A name in ``alg`` and the one kind of key it goes with.

    ``kind`` is "oct", "RSA", or a curve ("P-256", "Ed25519", …); ``hash_bytes`` the length of the
    hash, which is the least length of an HMAC secret (RFC 7518 section 3.2).
    """

    __slots__ = ("hash_bytes", "kind", "name", "scheme", "verify")

    def __init__(self, name: str, kind: str, scheme: Scheme, hash_bytes: int = 0) -> None:
        self.name = name
        self.kind = kind
        self.scheme = scheme
        self.verify: Verify = scheme.verify
        self.hash_bytes = hash_bytes

    @property
    def symmetric(self) -> bool:
        """Whether whoever can verify can sign, too (HMAC)."""
        return self.kind == "oct"


def _family() -> dict[str, Algorithm]:
    hs, rsa, pss = HMACAlgorithm, RSAAlgorithm, RSAPSSAlgorithm
    ec, okp = ECAlgorithm, OKPAlgorithm()
    found = [
        Algorithm("HS256", "oct", hs(hs.SHA256), 32),
        Algorithm("HS384", "oct", hs(hs.SHA384), 48),
        Algorithm("HS512", "oct", hs(hs.SHA512), 64),
        Algorithm("RS256", "RSA", rsa(rsa.SHA256)),
        Algorithm("RS384", "RSA", rsa(rsa.SHA384)),
        Algorithm("RS512", "RSA", rsa(rsa.SHA512)),
        Algorithm("PS256", "RSA", pss(pss.SHA256)),
        Algorithm("PS384", "RSA", pss(pss.SHA384)),
        Algorithm("PS512", "RSA", pss(pss.SHA512)),
        Algorithm("ES256", "P-256", ec(ec.SHA256)),
        Algorithm("ES384", "P-384", ec(ec.SHA384)),
        Algorithm("ES512", "P-521", ec(ec.SHA512)),
        Algorithm("ES256K", "secp256k1", ec(ec.SHA256)),
        # RFC 9864 section 2: the new names say the curve; the old one leaves it to the key.
        Algorithm("EdDSA", "Ed25519/Ed448", okp),
        Algorithm("Ed25519", "Ed25519", okp),
        Algorithm("Ed448", "Ed448", okp),
    ]
    return {algorithm.name: algorithm for algorithm in found}


ALGORITHMS: Final = _family()


def names_for(kind: str) -> frozenset[str]:
    """Every ``alg`` that a key of this kind can serve."""
    return frozenset(a.name for a in ALGORITHMS.values() if kind in a.kind.split("/"))


def same_algorithm(name: str) -> frozenset[str]:
    """The names under which a JWK's ``alg`` member may be meant: RFC 9864 renamed EdDSA."""
    if name == "EdDSA":
        return frozenset({"EdDSA", "Ed25519", "Ed448"})
    return frozenset({"EdDSA", name}) if name in ("Ed25519", "Ed448") else frozenset({name})
