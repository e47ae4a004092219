"""The keys of a run: one of each kind, so that every algorithm an issuer may list has one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.utils import base64url_encode

from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.signing import PrivateKey, private_key, public_jwk

Keys = Mapping[str, PrivateKey]
"""By kind, as in `Algorithm.kind`."""

JWKS_FILE = "keys.json"
HMAC_FILE = "hmac.key"


def make_keys() -> Keys:
    """Fresh ones. The secret is long enough for every HS*."""
    makers = {one.kind: name for name, one in ALGORITHMS.items() if "/" not in one.kind}
    return {kind: private_key(name) for kind, name in makers.items()}


def kind_for(algorithm: str) -> str:
    """The kind of key that signs; EdDSA leaves the curve to the key."""
    return ALGORITHMS[algorithm].kind.partition("/")[0]


def key_id(kind: str) -> str:
    """The ``kid`` of the key of a kind."""
    return f"dev-{kind}"


def jwks(keys: Keys) -> dict[str, Any]:
    """The public keys: with ``alg`` in none of them, each serves all algorithms of its kind."""
    return {
        "keys": [
            public_jwk(key, kid=key_id(kind))
            for kind, key in keys.items()
            if not isinstance(key, bytes)
        ]
    }


def file_name(kind: str) -> str | None:
    """The file of a private key; None for the secret, which the configuration names itself."""
    return None if kind == "oct" else f"{kind}.key"


def write_keys(keys: Keys, directory: Path) -> None:
    """What the configuration names, and the private halves for `jwtguard token`."""
    write(directory / JWKS_FILE, json.dumps(jwks(keys)).encode())
    for kind, key in keys.items():
        if isinstance(key, bytes):
            write(directory / HMAC_FILE, base64url_encode(key))
        else:
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write(directory / f"{kind}.key", pem)


def write(path: Path, data: bytes) -> None:
    """A new file that nobody else reads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
