"""``jwtguard keygen``: a key for any algorithm."""

import os
import sys
from argparse import Namespace
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.utils import base64url_encode

from jwtguard.signing import private_key

from .output import WrongUse, complain


def public_pem(key: Any) -> bytes:
    """The public half of a key (or a public key itself) as PEM (SubjectPublicKeyInfo)."""
    public = key.public_key() if hasattr(key, "public_key") else key
    pem: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def keygen(given: Namespace) -> int:
    """Write a key to stdout, or to PREFIX.key and PREFIX.pub."""
    key = private_key(given.algorithm)
    if isinstance(key, bytes):
        files = {".key": base64url_encode(key) + b"\n"}
    else:
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files = {".key": private, ".pub": public_pem(key)}
    if given.out is None:
        sys.stdout.write(b"".join(files.values()).decode())
        return 0
    made: list[str] = []
    for ending, data in files.items():
        path = given.out + ending
        try:
            _create(path, data, 0o600 if ending == ".key" else 0o644)
        except OSError as error:
            for other in made:
                os.unlink(other)  # half a pair is of no use
            why = "is there already" if isinstance(error, FileExistsError) else error.strerror
            raise WrongUse(f"{path}: {why}; nothing was written") from None
        made.append(path)
    complain(f"wrote {' and '.join(made)}; in the configuration:")
    print(_in_file(given.out, key), file=sys.stderr)  # a line to copy is never wrapped
    return 0


def _create(path: str, data: bytes, mode: int) -> None:
    """A new file, never one that is there: O_EXCL follows no link either (open(2))."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _in_file(prefix: str, key: object) -> str:
    if isinstance(key, bytes):
        return f'secret = {{ file = "{prefix}.key", encoding = "base64url" }}'
    return f'public_key_file = "{prefix}.pub"'
