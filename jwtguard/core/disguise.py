"""Public key material that somebody pasted where an HMAC secret belongs.

Whoever has the public key could then sign tokens (RFC 8725 section 2.1; PyJWT CVE-2022-29217 and
CVE-2026-48526, fast-jwt CVE-2026-34950), so it is recognised in every wrapping people use.
"""

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from binascii import unhexlify
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization


def not_a_secret(material: bytes) -> str | None:
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
