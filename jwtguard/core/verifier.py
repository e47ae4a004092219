"""Verify a token: cheap checks first, then a key, then the signature.

Somebody with garbage must never cost us a key fetch or a signature check, so the order is: size,
shape, types, issuer, algorithm, times, audience, and only then key and signature. The claims are
read from the very bytes that the signature covers.
"""

from collections.abc import Sequence

from .algorithms import ALGORITHMS
from .cache import TokenCache
from .claims import Claims, check_types
from .errors import (
    AlgorithmNotAllowed,
    AuthError,
    BadSignature,
    FetchError,
    KeyNotFound,
    KeysUnavailable,
)
from .issuer import Candidates
from .jose import Header, claims_of, parse, remember_header
from .keyloader import AnyKeys, RemoteKeySource, as_source
from .keys import Key
from .model import Clock, Flow
from .token import Verified, copied
from .wording import as_list


class Verifier:
    """Verifies tokens for a Guard and remembers the good ones."""

    __slots__ = ("_cache", "_clock")

    def __init__(self, cache_size: int, clock: Clock) -> None:
        self._cache = TokenCache(cache_size)
        self._clock = clock

    def recall(self, raw: str, candidates: Candidates) -> Verified | None:
        """What is known of a token seen before, if it is still good for these candidates.

        Time and key are looked at again; None means: verify it.
        """
        known = self._cache.get(raw)
        if (
            known is None
            or not known.valid_from <= self._clock() < known.valid_until
            or known.issued_by not in candidates.issuers
        ):
            return None
        keys = known.issued_by.source.current()
        if keys is not known.keys:
            if known.key not in keys:
                return None
            known.keys = keys
        return known

    def verify(
        self, raw: str, candidates: Candidates, *, may_ask: bool = True
    ) -> Verified | Flow[Verified]:
        """Verify a token at once, or return the flow that asks for its key first.

        Raises errors.InvalidToken, and in the flow Unavailable where the key could not be had.
        """
        header, payload, signature, signing_input = parse(raw)
        claims = claims_of(payload)
        times = check_types(claims)
        issuer, tenant = candidates.choose(claims)
        try:
            period = issuer.check(header, claims, times, self._clock())
            keys = issuer.source.current()
            found = keys.find(header.algorithm, header.kid)
            if not found and may_ask and issuer.remote is not None:
                return self._ask_then_verify(raw, candidates, header, issuer.remote)
            key = check_signature(header, signing_input, signature, found)
        except AuthError as error:
            error.issuer, error.subject = issuer.name, claims.get("sub")
            raise
        if not header.known:
            remember_header(header)
        verified = Verified(raw, issuer, tenant, header.values, claims, period, key, keys)
        self._cache.put(verified)
        return verified

    def _ask_then_verify(
        self, raw: str, candidates: Candidates, header: Header, source: RemoteKeySource
    ) -> Flow[Verified]:
        try:
            yield from source.lookup(header.algorithm, header.kid)
        except FetchError as error:
            raise KeysUnavailable(hint=str(error)) from error
        # Time has passed: everything is looked at again, with the key there or not.
        verified = self.verify(raw, candidates, may_ask=False)
        assert isinstance(verified, Verified)
        return verified


def check_signature(
    header: Header, signing_input: bytes, signature: bytes, keys: Sequence[Key]
) -> Key:
    """The key that verifies the signature. Raises KeyNotFound, BadSignature."""
    if not keys:
        raise KeyNotFound(found=header.kid, want=f"a key for {header.algorithm}")
    verify = ALGORITHMS[header.algorithm].verify
    for key in keys:
        if verify(signing_input, key.material, signature):
            return key
    raise BadSignature(found=header.kid, want=f"{header.algorithm}, keys tried: {len(keys)}")


def verify_jws(token: str, keys: AnyKeys, algorithms: str | Sequence[str]) -> tuple[Claims, bytes]:
    """Verify a compact JWS (RFC 7515) below the claims: the JOSE header and the payload's bytes.

    *keys* is a `JWKSet`, `Secret`, `PublicKey` or a list of them, *algorithms* the ``alg`` values
    accepted. Raises errors.InvalidToken, also where a key cannot be used.
    """
    header, payload, signature, signing_input = parse(token)
    source = as_source(keys)
    if source.problems:
        raise KeyNotFound("key_unusable", hint=source.problems[0][1])
    allowed = as_list(algorithms)
    if header.algorithm not in allowed or header.algorithm not in ALGORITHMS:
        raise AlgorithmNotAllowed(found=header.algorithm, want=" or ".join(allowed))
    found = source.current().find(header.algorithm, header.kid)
    check_signature(header, signing_input, signature, found)
    return copied(header.values), payload
