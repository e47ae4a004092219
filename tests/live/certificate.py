"""A certificate for the names that tests use, and the authority that stands behind it."""

import ssl
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

AUTHORITY = "jwtguard tests"
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Certificate:
    """PEM files: the certificate, its private key, and the authority's certificate."""

    chain: Path
    key: Path
    authority: Path
    pin: str
    """The SHA-256 of the public key, in base64, as Chromium takes it."""

    def context(self) -> ssl.SSLContext:
        """For a client that trusts the authority, and no other."""
        return ssl.create_default_context(cafile=str(self.authority))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(
    subject: str, issuer: str, key: EllipticCurvePublicKey, *, authority: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certify(directory: Path, names: Sequence[str]) -> Certificate:
    """A certificate for *names*, ``localhost`` and ``127.0.0.1``, for a day."""
    above, own = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    authority = _begun(AUTHORITY, AUTHORITY, above.public_key(), authority=True)
    authority = authority.add_extension(_SIGNS_CERTIFICATES, critical=True)
    places = [*map(x509.DNSName, (*names, "localhost")), x509.IPAddress(IPv4Address("127.0.0.1"))]
    leaf = (
        _begun(names[0], AUTHORITY, own.public_key(), authority=False)
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False
        )
    )
    files = {name: directory / f"{name}.pem" for name in ("chain", "key", "authority")}
    files["chain"].write_bytes(leaf.sign(above, SHA256()).public_bytes(Encoding.PEM))
    files["authority"].write_bytes(authority.sign(above, SHA256()).public_bytes(Encoding.PEM))
    files["key"].write_bytes(_pem(own))
    public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(**files, pin=b64encode(sha256(public).digest()).decode())
