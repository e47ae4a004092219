"""How we prove to an authorization server which client we are (RFC 6749 section 2.3, RFC 7523)."""

import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .errors import Problem
from .jose import sign
from .wording import one_of

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 60  # seconds


class ClientAuthentication:
    """A client's name and what it proves it with.

    ``method`` is one of the names of the IANA registry: client_secret_basic, client_secret_post,
    private_key_jwt. ``private_key`` is PEM text; its type decides ``alg`` (RS256, ES256, ES384,
    ES512, or EdDSA for Ed25519 and Ed448). ``problems`` says what is wrong.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str | None,
        private_key: str | bytes | None,
        method: str,
    ) -> None:
        self.client_id = client_id
        self.method = method
        self._secret = client_secret
        self._key: tuple[Any, str] | None = None
        self.problems = tuple(self._find_problems(private_key))

    def __repr__(self) -> str:
        return f"<ClientAuthentication {self.client_id!r} {self.method}>"

    def _find_problems(self, private_key: object) -> Iterable[Problem]:
        if not isinstance(self.client_id, str) or not self.client_id:
            yield "client_id", f"is text, the name of this service; found {self.client_id!r}"
        elif not _is_unicode(self.client_id):
            yield "client_id", "is not text that UTF-8 can write"
        if self.method not in METHODS:
            yield "method", one_of(self.method, METHODS)
            return
        if self.method == "private_key_jwt":
            if self._secret is not None:
                yield "client_secret", "is not used by private_key_jwt; remove it"
            if private_key is None:
                yield "private_key", "is missing: private_key_jwt signs with it; give PEM text"
            else:
                yield from self._load(private_key)
            return
        if private_key is not None:
            yield "private_key", f"is not used by {self.method}; method is to be 'private_key_jwt'"
        if not isinstance(self._secret, str) or not self._secret:
            found = "is missing" if self._secret is None else "is empty"
            if self._secret is not None and not isinstance(self._secret, str):
                found = f"is a {type(self._secret).__name__}"
            yield (
                "client_secret",
                f"{found}: it is the text that {self.method} sends, best from the environment "
                "(in a file: { env = … })",
            )
        elif not _is_unicode(self._secret):
            yield "client_secret", "is not text that UTF-8 can write"

    def _load(self, pem: object) -> Iterable[Problem]:
        if not isinstance(pem, str | bytes):
            yield "private_key", f"is PEM text; found {type(pem).__name__}"
            return
        try:
            key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # No word of the foreign exception: it may quote what it read.
            what = "is not a private key in PEM without a passphrase"
            if "-----BEGIN" not in str(pem):
                what += "; for a file of it, read the file (in a file: { file = … })"
            yield "private_key", what
            return
        algorithm = _algorithm_of(key)
        if algorithm is None:
            yield (
                "private_key",
                "is RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519 or Ed448",
            )
        else:
            self._key = key, algorithm

    def prove(
        self, form: Mapping[str, str], audience: str, now: float
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The header fields and the form to send to the server that *audience* names."""
        if self.method == "client_secret_basic":
            # RFC 6749 section 2.3.1: both are form-encoded first.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self._secret or '')}"
            return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}, {**form}
        if self.method == "client_secret_post":
            known = {"client_id": self.client_id, "client_secret": self._secret or ""}
            return {}, {**form, **known}
        proof = {"client_assertion_type": ASSERTION, "client_assertion": self._sign(audience, now)}
        return {}, {**form, "client_id": self.client_id, **proof}

    def _sign(self, audience: str, now: float) -> str:
        """RFC 7523 section 3, for this server and this minute only."""
        assert self._key is not None, "a client with problems is not used"
        key, algorithm = self._key
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": int(now),
            "exp": int(now) + ASSERTION_LIFETIME,
        }
        return sign(claims, key, algorithm)


def _is_unicode(text: str) -> bool:
    """An environment variable that was not UTF-8 holds lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _algorithm_of(key: object) -> str | None:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256" if key.key_size >= 2048 else None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curves = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
        return curves.get(key.curve.name)
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else None
