"""Keys: what they are, and which algorithms each may serve.

A key is read from a PEM text (RFC 7468) or a JWK (RFC 7517) with everything that makes it unfit
found here: too short, private, for another use, of a kind that its ``alg`` does not go with.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from .algorithms import ALGORITHMS, names_for, same_algorithm
from .disguise import not_a_secret
from .errors import Problem
from .jose import MAX_KID, base64url_decode

MAX_CANDIDATES = 8
"""How many keys are tried for a token that names none (RFC 7515 section 4.1.4 leaves it open)."""

MAX_KEYS = 10_000
MAX_RSA_EXPONENT = 2**64
MIN_RSA_BITS = 2048  # RFC 7518 section 3.3


class Key:
    """One key, and the ``alg`` names it may verify."""

    __slots__ = ("_identity", "algorithms", "kid", "kind", "material")

    def __init__(
        self, material: Any, kind: str, algorithms: frozenset[str], kid: str | None = None
    ) -> None:
        self.material = material
        self.kind = kind
        self.algorithms = algorithms
        self.kid = kid
        public = material if isinstance(material, bytes) else _spki(material)
        self._identity = (kid, kind, algorithms, public)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"<Key kid={self.kid!r} kind={self.kind}>"


def _spki(key: Any) -> bytes:
    der: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


class KeySet:
    """An immutable set of keys. ``disabled`` are the key ids that no key may be found under."""

    __slots__ = ("_candidates", "_kids", "disabled", "keys")

    def __init__(self, keys: Iterable[Key] = (), disabled: Iterable[str] = ()) -> None:
        self.keys = tuple(keys)
        self.disabled = frozenset(disabled)
        self._kids = {key.kid for key in self.keys if key.kid is not None} | self.disabled
        groups: dict[tuple[str, str | object], list[Key]] = {}
        for key in self.keys:
            for algorithm in key.algorithms:
                name = _NO_KID if key.kid is None else key.kid
                groups.setdefault((algorithm, name), []).append(key)
                groups.setdefault((algorithm, _ANY_KID), []).append(key)
        self._candidates = {at: tuple(group[:MAX_CANDIDATES]) for at, group in groups.items()}

    def find(self, algorithm: str, kid: str | None) -> tuple[Key, ...]:
        """The keys to try, at most 8: those with this kid, else those without any.

        A token that names no key gets every fitting one. A known kid never leads to another key,
        even where its own does not fit the algorithm.
        """
        name: str | object
        name = _ANY_KID if kid is None else kid if kid in self._kids else _NO_KID
        return self._candidates.get((algorithm, name), ())

    def __contains__(self, key: object) -> bool:
        return key in self.keys

    def __len__(self) -> int:
        return len(self.keys)


_ANY_KID = object()
_NO_KID = object()

Loaded = tuple[KeySet, list[Problem]]
"""The keys in what a user wrote, or what is wrong with it."""


def kid_problems(kid: object) -> list[Problem]:
    """What is wrong with a key id that a user gave."""
    if kid is None or (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        return []
    return [("kid", f"a key id is text of 1 to {MAX_KID} characters")]


# --- public keys --------------------------------------------------------------------------------

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def _public_key_kind(key: object) -> str | None:
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, key.curve.name)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448"
    return None


def _weakness(key: object) -> str | None:
    """What makes an RSA key unfit (RFC 7518 section 3.3, RFC 8725 section 3.5).

    `cryptography` itself loads none with an even exponent or one below 3.
    """
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return f"RSA key has {key.key_size} bits; at least {MIN_RSA_BITS} are needed"
    if isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e >= MAX_RSA_EXPONENT:
        return "RSA key has an exponent of over 64 bits, which makes every check slow"
    return None


def public_key(text: str | bytes, kid: str | None, insecure_short_keys: bool) -> Loaded:
    """The key in a PEM *text*, or why there is none."""
    if problems := kid_problems(kid):
        return KeySet(), problems
    if not isinstance(text, (str, bytes)):
        return KeySet(), [("pem", f"is text or bytes, not {type(text).__name__}")]
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if b"PRIVATE KEY-----" in data:
        return KeySet(), [
            (
                "pem",
                "is a private key; a service that only verifies should not hold it. Write the "
                "public half with `openssl pkey -in private.pem -pubout`",
            )
        ]
    try:
        if b"BEGIN CERTIFICATE-----" in data:
            material: Any = x509.load_pem_x509_certificate(data).public_key()
        else:
            material = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return KeySet(), [("pem", "is not a public key in PEM (-----BEGIN PUBLIC KEY-----)")]
    kind = _public_key_kind(material)
    served = names_for(kind) if kind else frozenset[str]()
    if kind is None or not served:
        return KeySet(), [
            ("pem", f"is a key that no JWT algorithm uses ({kind or 'unknown type'})")
        ]
    weakness = _weakness(material)
    if weakness and not insecure_short_keys:
        return KeySet(), [("pem", weakness)]
    return KeySet([Key(material, kind, served, kid)]), []


# --- JWK Sets (RFC 7517) ------------------------------------------------------------------------

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


def parse_jwk_set(
    mapping: object, *, symmetric: bool, insecure_short_keys: bool = False
) -> tuple[KeySet, list[str]]:
    """The usable keys of a JWK Set, and a note on each key that was left out.

    ``symmetric`` is False for a fetched set: a secret that anybody can fetch is none. Raises
    ValueError where *mapping* is no JWK Set.
    """
    if not isinstance(mapping, Mapping):
        raise ValueError("a JWK Set is an object with the member 'keys' (RFC 7517 section 5)")
    entries = [mapping] if "kty" in mapping else mapping.get("keys")
    if not isinstance(entries, list):
        raise ValueError("a JWK Set has a list under 'keys' (RFC 7517 section 5)")
    if len(entries) > MAX_KEYS:  # reading them takes time that nobody else gets meanwhile
        raise ValueError(f"a JWK Set of {len(entries)} keys; at most {MAX_KEYS} are read")
    keys: list[Key] = []
    notes: list[str] = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        kid = entry.get("kid") if isinstance(entry, Mapping) else None
        if isinstance(kid, str):
            seen[kid] = seen.get(kid, 0) + 1
        try:
            keys.append(_jwk(entry, symmetric, insecure_short_keys))
        except ValueError as error:
            notes.append(f"keys[{index}] (kid {str(kid)[:80]!r}): {error}")
    secrets = [key for key in keys if key.kind == "oct"]
    if secrets and any(isinstance(e, Mapping) and e.get("kty") != "oct" for e in entries):
        raise ValueError(
            "holds a secret (kty 'oct') beside public keys: a set that is published must hold no "
            "secret. Give them apart, as a list of key sources"
        )
    doubled = {kid for kid, times in seen.items() if times > 1}
    notes += [f"kid {kid[:80]!r} stands more than once, none of them is used" for kid in doubled]
    return KeySet((k for k in keys if k.kid not in doubled), doubled), notes


def _jwk(entry: object, symmetric: bool, insecure_short_keys: bool) -> Key:
    if not isinstance(entry, Mapping):
        raise ValueError("is not an object")
    kty, kid, algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if kid_problems(kid):
        raise ValueError("kid is not a short string")
    if not isinstance(kty, str):
        raise ValueError("has no kty (RFC 7517 section 4.1)")
    # RFC 7517 sections 4.2 and 4.3: a key for something else does not verify signatures.
    if entry.get("use", "sig") != "sig":
        raise ValueError(f"is for use {str(entry['use'])[:20]!r}, not 'sig'")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("key_ops does not list 'verify'")
    if kty == "oct" and not symmetric:
        raise ValueError("is a symmetric key in a set that anybody can fetch")
    if kty != "oct" and _PRIVATE_MEMBERS & entry.keys():
        raise ValueError("is a private key")
    try:
        for member in ("k", "n", "e", "x", "y"):
            base64url_decode(entry.get(member, "").encode())  # PyJWT would pass over stray bytes
        material = _JWK_TYPES[kty](dict(entry))
    except (
        AttributeError,
        PyJWTError,
        ValueError,
        TypeError,
        KeyError,
        UnsupportedAlgorithm,
        OverflowError,
    ):
        raise ValueError(f"is not a valid JWK of type {str(kty)[:20]!r}") from None
    kind = "oct" if isinstance(material, bytes) else _public_key_kind(material)
    served = names_for(kind) if kind else frozenset[str]()
    if algorithm is not None:
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise ValueError(f"alg {str(algorithm)[:20]!r} is not a signature algorithm")
        served = served & same_algorithm(algorithm) if algorithm in served else frozenset()
    if isinstance(material, bytes):
        complaint = not_a_secret(material)
        if complaint or not material:
            raise ValueError(complaint or "is empty")
        if not insecure_short_keys:
            served = frozenset(
                name for name in served if len(material) >= ALGORITHMS[name].hash_bytes
            )
    elif not insecure_short_keys and (weakness := _weakness(material)):
        raise ValueError(weakness)
    if kind is None or not served:
        raise ValueError(f"its type and size do not fit alg {str(algorithm)[:20]!r}")
    return Key(material, kind, served, kid)


_JWK_TYPES: dict[str, Any] = {
    "oct": HMACAlgorithm.from_jwk,
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
