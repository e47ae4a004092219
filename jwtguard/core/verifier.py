"""Verify a token: cheap checks first, then a key, then the signature.

Somebody with garbage must never cost us a key fetch or a signature check, so the order is: size,
shape, issuer, algorithm, types, times, audience, and only then key and signature. The claims are
read from the very bytes that the signature covers.
"""

from collections.abc import Sequence

from .algorithms import ALGORITHMS
from .cache import TokenCache
from .claims import (
    check_audience,
    check_bearer,
    check_required,
    check_times,
    check_types,
    roles_of,
    scopes_of,
    valid_period,
)
from .errors import (
    AlgorithmNotAllowed,
    AuthError,
    BadSignature,
    ConfigurationError,
    FetchError,
    KeyNotFound,
    KeysUnavailable,
    MalformedToken,
)
from .issuer import Candidates, Issuer
from .jose import Jws, parse, payload_claims, remember_header
from .keyloader import AnyKeys, Key, as_source
from .model import Claims, Clock, Flow, Verified, copied


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
            known is not None
            and known.valid_from <= self._clock() < known.valid_until
            and known.issued_by in candidates.issuers
            and self._key_stands(known)
        ):
            return known
        return None

    @staticmethod
    def _key_stands(known: Verified) -> bool:
        keys = known.issued_by.source.current()
        if keys is not known.keys:
            if known.key not in keys:
                return False
            known.keys = keys
        return True

    def verify_flow(self, raw: str, candidates: Candidates) -> Flow[Verified]:
        """Verify a token. Raises errors.InvalidToken, or Unavailable where it cannot be checked."""
        if not isinstance(raw, str):
            raise MalformedToken(hint=f"a token is text, not {type(raw).__name__}")
        known = self.recall(raw, candidates)
        if known is not None:
            return known
        jws = parse(raw)
        claims = payload_claims(jws)
        check_types(claims)
        issuer, tenant = candidates.choose(claims)
        try:
            return (yield from self._judge_flow(raw, jws, claims, issuer, tenant))
        except AuthError as error:
            error.issuer, error.subject = issuer.name, claims.get("sub")
            raise

    def _judge_flow(
        self, raw: str, jws: Jws, claims: Claims, issuer: Issuer, tenant: str | None
    ) -> Flow[Verified]:
        issuer.check_header(jws)
        check_times(claims, self._clock(), issuer.leeway, issuer.max_age)
        if issuer.audience is not None:
            check_audience(claims, issuer.audience)
        check_required(claims, issuer.required_claims, issuer.max_age)
        check_bearer(claims)

        keys = issuer.source.current()
        found = keys.find(jws.algorithm, jws.kid)
        if not found:
            try:
                keys = yield from issuer.source.lookup(jws.algorithm, jws.kid)
            except FetchError as error:
                raise KeysUnavailable(hint=str(error)) from error
            found = keys.find(jws.algorithm, jws.kid)
        key = check_signature(jws, found)
        remember_header(jws)

        valid_from, valid_until = valid_period(claims, issuer.leeway, issuer.max_age)
        verified = Verified(
            raw=raw,
            issued_by=issuer,
            header=jws.header,
            claims=claims,
            scopes=scopes_of(claims),
            roles=roles_of(claims, issuer.roles),
            tenant=tenant,
            valid_from=valid_from,
            valid_until=valid_until,
            key=key,
            keys=keys,
        )
        self._cache.put(verified)
        return verified


def check_signature(jws: Jws, keys: Sequence[Key]) -> Key:
    """The key that verifies the signature. Raises KeyNotFound, BadSignature."""
    if not keys:
        raise KeyNotFound(found=jws.kid, want=f"a key for {jws.algorithm}")
    verify = ALGORITHMS[jws.algorithm].verify
    for key in keys:
        if verify(jws.signing_input, key.material, jws.signature):
            return key
    raise BadSignature(found=jws.kid, want=f"{jws.algorithm}, {len(keys)} keys tried")


def verify_jws(token: str, keys: AnyKeys, algorithms: Sequence[str]) -> tuple[Claims, bytes]:
    """Verify a compact JWS (RFC 7515) below the claims: the JOSE header and the payload's bytes.

    *keys* is a `JWKSet`, `Secret`, `PublicKey` or a list of them, *algorithms* the ``alg`` values
    accepted. Raises errors.InvalidToken, and errors.ConfigurationError for unusable keys.
    """
    source = as_source(keys)
    if source.problems:
        raise ConfigurationError(source.problems)
    jws = parse(token)
    if jws.algorithm not in algorithms or jws.algorithm not in ALGORITHMS:
        raise AlgorithmNotAllowed(found=jws.algorithm, want=" or ".join(algorithms))
    check_signature(jws, source.current().find(jws.algorithm, jws.kid))
    return copied(jws.header), jws.payload
