"""Keys: what they are, which algorithms each may serve, and where they come from.

A source holds one immutable :class:`KeySet` and swaps it whole; whoever verified a token with a
key can ask later whether that key still stands (:meth:`KeySource.current`). Nothing here touches
a file or the network: a source that must ask for its keys does so in its :meth:`~KeySource.lookup`
flow.
"""

import json
import logging
import re
from base64 import b64decode
from binascii import Error as Base64Error
from binascii import unhexlify
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from .algorithms import ALGORITHMS, names_for, same_algorithm
from .errors import Problem
from .jose import MAX_KID, base64url_decode
from .model import Flow

log = logging.getLogger("jwtguard.keys")

MAX_CANDIDATES = 8
"""How many keys are tried for a token that names none (RFC 7515 section 4.1.4 leaves it open)."""

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


@runtime_checkable
class KeySource(Protocol):
    """Where an issuer's keys come from.

    ``problems`` are the configuration problems found when it was made. An implementor need not
    copy, lock or cache: `current` returns an immutable set, the same object for as long as
    nothing changed.
    """

    @property
    def problems(self) -> Sequence[Problem]: ...

    def current(self) -> KeySet:
        """The keys known now. Never waits, never raises."""
        ...


@runtime_checkable
class RemoteKeySource(KeySource, Protocol):
    """A key source that can ask somebody for keys it does not have."""

    def lookup(self, algorithm: str, kid: str | None) -> Flow[None]:
        """Do what it takes to know this key; afterwards `current` has it, if it exists.

        Asked only for a token that passed every cheap check and has no key in `current`. Raises
        `errors.FetchError` or `errors.KeysUnavailable` where the keys could not be had.
        """
        ...


class LocalKeys:
    """A :class:`KeySource` whose keys are at hand."""

    def __init__(self, keys: KeySet, problems: Iterable[Problem] = ()) -> None:
        self._keys = keys
        self.problems: Sequence[Problem] = tuple(problems)

    def current(self) -> KeySet:
        """The keys known now."""
        return self._keys

    def __repr__(self) -> str:
        return f"<{type(self).__name__} keys={len(self.current())}>"


# --- secrets ------------------------------------------------------------------------------------

ENCODINGS = ("utf8", "hex", "base64", "base64url")


class Secret(LocalKeys):
    """An HMAC secret (RFC 7518 section 3.2) for HS256, HS384 or HS512.

    ``encoding`` says how *value* is written: "utf8" (as it stands), "hex", "base64" or
    "base64url". A secret must have at least as many bytes as the hash (32, 48, 64);
    ``insecure_short_keys=True`` lifts that. Problems are reported by `Guard`.
    """

    def __init__(
        self,
        value: str | bytes,
        encoding: str = "utf8",
        *,
        kid: str | None = None,
        insecure_short_keys: bool = False,
    ) -> None:
        self.insecure = insecure_short_keys
        keys, problems = secret_key(value, encoding, kid, insecure_short_keys)
        super().__init__(keys, problems)


def secret_key(
    value: str | bytes, encoding: str, kid: str | None, insecure_short_keys: bool
) -> Loaded:
    """The key in *value*, or why there is none."""
    if problems := _kid_problems(kid):
        return KeySet(), problems
    if not isinstance(value, str | bytes):
        return KeySet(), [("value", f"a secret is text or bytes, not {type(value).__name__}")]
    try:
        material = _decode_secret(value, encoding)
    except ValueError as error:
        return KeySet(), [("value", str(error))]
    if not material:
        return KeySet(), [("value", "the secret is empty")]
    if complaint := _not_a_secret(material):
        return KeySet(), [("value", complaint)]
    least = 1 if insecure_short_keys else 0
    served = frozenset(
        name for name in names_for("oct") if len(material) >= (least or ALGORITHMS[name].hash_bytes)
    )
    if not served:
        return KeySet(), [
            (
                "value",
                f"the secret has {len(material)} bytes; HS256 needs at least 32, HS384 48, HS512 "
                "64 (RFC 7518 section 3.2). `jwtguard keygen HS256` makes a good one; "
                "insecure_short_keys = true lifts the check",
            )
        ]
    return KeySet([Key(material, "oct", served, kid)]), []


def _kid_problems(kid: object) -> list[Problem]:
    if kid is None or (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        return []
    return [("kid", f"a key id is text of 1 to {MAX_KID} characters")]


def _decode_secret(value: str | bytes, encoding: str) -> bytes:
    if encoding == "utf8":
        try:
            return value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError:
            raise ValueError("is not text that UTF-8 can write; give bytes") from None
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    text = text.strip()
    try:
        if encoding == "hex":
            return unhexlify(text)
        if encoding == "base64":
            return _from_base64(text.encode())
        if encoding == "base64url":
            return base64url_decode(text.rstrip("=").encode())
    except (ValueError, Base64Error):
        wanted = {
            "hex": "an even number of hexadecimal digits",
            "base64": "base64 with padding (RFC 4648 section 4)",
            "base64url": "base64url (RFC 4648 section 5)",
        }
        raise ValueError(
            f"is not {wanted[encoding]}; if it is meant as it stands, use encoding = 'utf8'"
        ) from None
    raise ValueError(f"encoding {encoding!r} is unknown; use one of {', '.join(ENCODINGS)}")


def _not_a_secret(material: bytes) -> str | None:
    """Why *material* is no HMAC secret: it is a key that others may know (RFC 8725 section 2.1)."""
    for reading in _readings(material, depth=2):
        what = _key_format(reading)
        if what is not None:
            return (
                f"is {what}, not an HMAC secret: whoever has the public key could sign tokens "
                "with it. Use PublicKey or JWKSet (public_key, public_key_file, jwks_file in a "
                "file) and its algorithm"
            )
    return None


def _readings(material: bytes, depth: int) -> Iterable[bytes]:
    """What *material* may be once it is decoded: people paste keys in any wrapping."""
    yield material
    text = b"".join(material.split()).replace(b"\0", b"")
    if text != material:
        yield text
    if not depth:
        return
    standard = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    padded = standard + b"=" * (-len(standard) % 4)
    for decode, coded in ((_from_base64, padded), (unhexlify, text)):
        try:
            decoded = decode(coded)
        except (ValueError, Base64Error):
            continue
        yield from _readings(decoded, depth - 1)


def _from_base64(text: bytes) -> bytes:
    return b64decode(text, validate=True)


# The names of SSH key types (RFC 4253 section 6.6), in clear, in base64 behind their length, and
# on the wire.
_is_ssh = re.compile(
    rb"(?:ssh-(?:rsa|dss|ed25519|ed448)|ecdsa-sha2-nistp[0-9]+|sk-(?:ssh|ecdsa)-)[^ ]* *AAAA"
    rb"|\A(?:AAAAB3NzaC1|AAAAC3NzaC1|AAAACXNzaC1|AAAAE2VjZHNh|AAAAGnNr|AAAAInNr)"
    rb"|\A\x00\x00\x00.(?:ssh-|ecdsa-sha2-|sk-)",
    re.DOTALL,
).search


def _key_format(material: bytes) -> str | None:
    if b"-----BEGIN" in material or b"----BEGINSSH2" in material or b"---- BEGIN" in material:
        return "a PEM file"
    if _is_ssh(material) or material.startswith((b"ssh-", b"ecdsa-sha2-", b"\0\0\0\x07ssh-")):
        return "an SSH key"
    if _loads_as_der(material):
        return "a key or certificate in DER"
    try:
        value = json.loads(material)
        if isinstance(value, str):
            value = json.loads(value)
    except (ValueError, RecursionError):
        return None
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, dict) and ({"kty", "keys"} & entry.keys()):
            return "a JWK or JWK Set"
    return None


def _loads_as_der(material: bytes) -> bool:
    if material[:1] != b"\x30":  # every such structure is an ASN.1 SEQUENCE
        return False
    for load in (
        serialization.load_der_public_key,
        lambda data: serialization.load_der_private_key(data, password=None),
        x509.load_der_x509_certificate,
    ):
        try:
            load(material)
        except (ValueError, UnsupportedAlgorithm):
            continue
        except TypeError:  # an encrypted private key wants a password
            return True
        return True
    return False


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
    """What makes an RSA key unfit (RFC 7518 section 3.3, RFC 8725 section 3.5)."""
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    if key.key_size < MIN_RSA_BITS:
        return f"RSA key has {key.key_size} bits; at least {MIN_RSA_BITS} are needed"
    exponent = key.public_numbers().e
    if exponent < 3 or exponent % 2 == 0:
        return f"RSA exponent is {exponent}"
    return None


class PublicKey(LocalKeys):
    """A public key (RSA, EC, Ed25519 or Ed448), in PEM: a key or an X.509 certificate."""

    @classmethod
    def from_pem(
        cls, text: str | bytes, kid: str | None = None, *, insecure_short_keys: bool = False
    ) -> "PublicKey":
        """The key in *text*. Problems are reported by `Guard`."""
        return cls(*public_key(text, kid, insecure_short_keys), insecure=insecure_short_keys)

    def __init__(
        self, keys: KeySet, problems: Iterable[Problem] = (), *, insecure: bool = False
    ) -> None:
        self.insecure = insecure
        super().__init__(keys, problems)


def public_key(text: str | bytes, kid: str | None, insecure_short_keys: bool) -> Loaded:
    """The key in a PEM *text*, or why there is none."""
    if problems := _kid_problems(kid):
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


class JWKSet(LocalKeys):
    """A JWK Set (RFC 7517 section 5) given as a mapping; a single JWK is a set of one.

    A key that cannot be used is skipped and logged, a key id that stands twice is disabled; a
    set without any usable key is a problem, reported by `Guard`.
    """

    def __init__(self, mapping: Mapping[str, Any], *, insecure_short_keys: bool = False) -> None:
        self.insecure = insecure_short_keys
        keys, problems = local_key_set(mapping, insecure_short_keys)
        super().__init__(keys, problems)


def local_key_set(mapping: Mapping[str, Any], insecure_short_keys: bool = False) -> Loaded:
    """The usable keys of a set that the user wrote down, or why there are none."""
    try:
        keys, skipped = parse_jwk_set(
            mapping, symmetric=True, insecure_short_keys=insecure_short_keys
        )
    except ValueError as error:
        return KeySet(), [("jwks", str(error))]
    for note in skipped:
        log.warning("skipped a key of a JWK Set: %s", note)
    if not keys.keys:
        why = "; ".join(skipped) or "it is empty"
        return keys, [("jwks", f"the JWK Set has no usable key: {why}")]
    return keys, []


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
    doubled = [kid for kid, times in seen.items() if times > 1]
    notes += [f"kid {kid[:80]!r} stands more than once, none of them is used" for kid in doubled]
    return KeySet((k for k in keys if k.kid not in doubled), doubled), notes


def _jwk(entry: object, symmetric: bool, insecure_short_keys: bool) -> Key:
    if not isinstance(entry, Mapping):
        raise ValueError("is not an object")
    kty, kid, algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if _kid_problems(kid):
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
        complaint = _not_a_secret(material)
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


class SeveralSources:
    """A list of sources as one, so that old and new keys stand side by side (rotation)."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self.sources = tuple(sources)
        self.problems: Sequence[Problem] = [
            (f"[{index}].{where}", what)
            for index, source in enumerate(self.sources)
            for where, what in source.problems
        ]
        self._merged: tuple[list[KeySet], KeySet] = ([], KeySet())

    def current(self) -> KeySet:
        """The keys of all sources; the same object while none of them changed."""
        sets = [source.current() for source in self.sources]
        known, merged = self._merged
        if len(known) != len(sets) or any(a is not b for a, b in zip(known, sets, strict=True)):
            merged = KeySet(
                (key for one in sets for key in one.keys),
                (kid for one in sets for kid in one.disabled),
            )
            self._merged = sets, merged
        return merged


class SeveralRemoteSources(SeveralSources):
    """The same where some of the sources must ask."""

    def lookup(self, algorithm: str, kid: str | None) -> Flow[None]:
        """Ask one source after the other until one has a key for this token."""
        for source in self.sources:
            if isinstance(source, RemoteKeySource):
                yield from source.lookup(algorithm, kid)
                if source.current().find(algorithm, kid):
                    return


AnyKeys = KeySource | Sequence[KeySource]


def as_source(keys: AnyKeys) -> KeySource:
    """One source or a list of them, as one source."""
    for key in keys if isinstance(keys, (list, tuple)) else [keys]:
        if not isinstance(key, KeySource):
            what = (
                f"is a Secret, PublicKey or JWKSet, or a list of them; found {type(key).__name__}"
            )
            return LocalKeys(KeySet(), [("", what)])
    if not isinstance(keys, Sequence):
        return keys
    if len(keys) == 1:
        return keys[0]
    remote = any(isinstance(source, RemoteKeySource) for source in keys)
    return SeveralRemoteSources(keys) if remote else SeveralSources(keys)
