"""What only this service can read or write: keys derived from its secrets, and sealing.

Each use has a key of its own (HKDF, RFC 5869), so that what was made for one means nothing to
another. The first secret seals and signs; all of them open and verify, so that secrets rotate.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from secrets import token_bytes
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from jwt.utils import base64url_encode

from jwtguard.core.claims import Claims
from jwtguard.core.errors import Problem
from jwtguard.core.jose import base64url_decode, json_object
from jwtguard.core.keyloader import LocalKeys, Secret
from jwtguard.core.sealing import derived
from jwtguard.core.wording import as_list

MIN_SECRET = 32  # bytes
MAX_SECRETS = 8
_NONCE = 12  # bytes (NIST SP 800-38D section 8.2.1)


class Keys:
    """The keys of a login."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._seals = [AESGCM(derived(one, b"jwtguard seal")) for one in secrets]
        self.signing_keys = [derived(one, b"jwtguard session signature") for one in secrets]

    @property
    def verifying(self) -> list[Secret]:
        """The keys of session tokens, newest first."""
        return [Secret(key, kid=key_id(key)) for key in self.signing_keys]

    def seal(self, purpose: str, content: Mapping[str, Any]) -> str:
        """Text that only `unseal` for the same *purpose* can read (AES-256-GCM)."""
        nonce = token_bytes(_NONCE)
        plain = json.dumps(content, separators=(",", ":")).encode()
        sealed = self._seals[0].encrypt(nonce, plain, purpose.encode())
        return base64url_encode(nonce + sealed).decode()

    def unseal(self, purpose: str, text: str) -> Claims | None:
        """What was sealed; None where it was not, by us and for this."""
        try:
            data = base64url_decode(text.encode("ascii"))
        except ValueError:
            return None
        for seal in self._seals:
            try:
                plain = seal.decrypt(data[:_NONCE], data[_NONCE:], purpose.encode())
            except (InvalidTag, ValueError):
                continue
            return json_object(plain)
        return None


def key_id(key: bytes) -> str:
    """A name for a key that tells nothing of it."""
    return base64url_encode(sha256(b"kid" + key).digest()[:6]).decode()


def secrets_of(given: object) -> tuple[list[bytes], list[Problem]]:
    """The secrets that somebody configured, and the problems with them."""
    found: list[bytes] = []
    problems: list[Problem] = []
    for index, one in enumerate([given] if isinstance(given, bytes) else as_list(given)):
        where = "secret" if not isinstance(given, list | tuple) else f"secret[{index}]"
        if isinstance(one, LocalKeys):
            material: list[Any] = [key.material for key in one.current().keys if key.kind == "oct"]
            problems += [(where, what) for _, what in one.problems]
            if not material and not one.problems:
                problems.append((where, "is a Secret; public keys seal nothing"))
        else:
            material = [one]
        for secret in material:
            try:
                secret = secret.encode() if isinstance(secret, str) else secret
            except UnicodeEncodeError:
                problems.append((where, "is not text that UTF-8 can write"))
                continue
            if not isinstance(secret, bytes):
                problems.append((where, f"is text or bytes; found {type(secret).__name__}"))
            elif len(secret) < MIN_SECRET:
                problems.append(
                    (
                        where,
                        f"has {len(secret)} bytes; {MIN_SECRET} are needed at least. "
                        "`jwtguard keygen HS256` makes a good one",
                    )
                )
            else:
                found.append(secret)
    if len(found) > MAX_SECRETS:
        problems.append(("secret", f"are {len(found)}; {MAX_SECRETS} are understood at most"))
    if given is not None and not found and not problems:
        problems.append(("secret", "is empty"))
    return found, problems
