"""Nothing in clear: names as keyed hashes, values encrypted, both with a key of the user's."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import Problem

MIN_KEY = 32  # bytes
_NONCE = 12  # bytes (NIST SP 800-38D section 8.2)


class Sealing:
    """Hides names and values, for those who have not *key*: text or bytes, 32 bytes or more.

    ``problems`` says what is wrong with the key.
    """

    problems: tuple[Problem, ...] = ()

    def __init__(self, key: str | bytes) -> None:
        given = key.encode() if isinstance(key, str) else key
        if not isinstance(given, bytes) or len(given) < MIN_KEY:
            what = f"is text of {MIN_KEY} bytes or more; make one: jwtguard keygen HS256"
            self.problems = (("key", what),)
            given = b""
        self._for_names = derived(given, b"jwtguard store: names")
        self._for_values = derived(given, b"jwtguard store: values")

    def name(self, name: str) -> str:
        """What stands for *name*."""
        digest = hmac.digest(self._for_names, name.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def seal(self, sealed_name: str, value: bytes) -> bytes:
        """*value*, encrypted for this name alone."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher(sealed_name).encrypt(nonce, value, None)

    def opened(self, sealed_name: str, sealed: bytes) -> bytes | None:
        """The value again; None where it was not sealed with this key and for this name."""
        try:
            return self._cipher(sealed_name).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, sealed_name: str) -> AESGCM:
        # A key for each name, so that the nonces of all values together need not be few.
        return AESGCM(hmac.digest(self._for_values, sealed_name.encode(), hashlib.sha256))


def derived(key: bytes, purpose: bytes) -> bytes:
    """A key of 32 bytes for one purpose alone (HKDF, RFC 5869)."""
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(key)
