"""Verify a token: cheap checks first, then a key, then the signature.

Somebody with garbage must never cost us a key fetch or a signature check, so the order is: size,
shape, types, issuer, algorithm, times, audience, and only then key and signature. The claims are
read from the very bytes that the signature covers.
"""

import math
from collections.abc import Sequence
from typing import cast

from .algorithms import ALGORITHMS
from .cache import TokenCache
from .candidates import Candidates
from .claims import Claims, check_types
from .errors import (
    AlgorithmNotAllowed,
    AuthError,
    BadSignature,
    ClaimMismatch,
    FetchError,
    InvalidToken,
    KeyNotFound,
    KeysUnavailable,
    UnknownIssuer,
)
from .issuer import Issuer
from .jose import Header, claims_of, parse, remember_header
from .keyloader import AnyKeys, LocalKeys, RemoteKeySource, as_source
from .keys import Key, KeySet
from .model import Clock, Flow
from .observing import Watch
from .refused import fingerprint
from .revocation import Revocations
from .shared import Answer, SharedAnswers
from .token import Verified, copied
from .wording import as_list

_NO_KEYS = LocalKeys(KeySet())
_JWT_DOTS = (2, 4)  # in the compact serializations (RFC 7515 section 7.1, RFC 7516 section 7.1)


class Verifier:
    """Verifies tokens for a Guard and remembers the good ones."""

    __slots__ = ("_cache", "_clock", "_watch", "revocations", "shared")

    def __init__(
        self,
        cache_size: int,
        clock: Clock,
        revocations: Revocations | None = None,
        shared: SharedAnswers | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._cache = TokenCache(cache_size)
        self._clock = clock
        self.revocations = revocations
        self.shared = shared
        self._watch = watch

    def recall(self, raw: str, candidates: Candidates) -> Verified | None:
        """What is known of a token seen before, if it is still good for these candidates.

        Time and key are looked at again, and what was revoked since; None means: verify it.
        """
        known = self._cache.get(raw)
        if (
            known is None
            or not known.valid_from <= (now := self._clock()) < known.valid_until
            or known.issued_by not in candidates.issuers
            # What named nobody is asked about where one issuer alone may be meant.
            or (known.key is None and known.issued_by is not candidates.introspecting)
        ):
            return None
        keys = known.source.current()
        if keys is not known.keys:
            if known.key not in keys:
                return None
            known.keys = keys
        revocations = self.revocations
        if revocations is not None and (
            known.checked is not revocations.version or now >= revocations.look_again
        ):
            try:
                revocations.check(known, now)
            except Exception:  # `verify` raises it again, where it is told to the client
                return None
        return known

    def check_revoked(self, verified: Verified) -> None:
        """Raises TokenRevoked; Unavailable where nobody can say now."""
        if self.revocations is not None:
            self.revocations.check(verified, self._clock())

    def verify(
        self, raw: str, candidates: Candidates, *, may_ask: bool = True
    ) -> Verified | Flow[Verified]:
        """Verify a token at once, or return the flow that asks for its key, or about it, first.

        Raises errors.InvalidToken, and in the flow Unavailable where there was no answer.
        """
        if candidates.introspecting is not None and raw.count(".") not in _JWT_DOTS:
            return self._introspect(raw, candidates, candidates.introspecting, None)
        header, payload, signature, signing_input = parse(raw)
        claims = claims_of(payload)
        times = check_types(claims)
        issuer, tenant = candidates.choose(claims)
        try:
            period = issuer.check(header, claims, times, self._clock())
            if issuer.only_asked:
                return self._introspect(raw, candidates, issuer, None)
            source = issuer.source_of(tenant)
            keys = source.current()
            found = keys.find(header.algorithm, header.kid)
            if not found and may_ask and issuer.fetches:
                # Known by `fetches`; to ask the source itself costs more than the rest of this.
                remote = cast(RemoteKeySource, source)
                return self._ask_then_verify(raw, candidates, issuer, header, remote)
            key = check_signature(header, signing_input, signature, found)
        except AuthError as error:
            error.issuer, error.subject = issuer.name, claims.get("sub")
            raise
        if not header.known:
            remember_header(header)
        verified = Verified(raw, issuer, tenant, header.values, claims, period, key, keys, source)
        self.check_revoked(verified)
        if issuer.asks_always:
            return self._introspect(raw, candidates, issuer, verified)
        self._cache.put(verified)
        return verified

    def _ask_then_verify(
        self,
        raw: str,
        candidates: Candidates,
        issuer: Issuer,
        header: Header,
        source: RemoteKeySource,
    ) -> Flow[Verified]:
        lookup = source.lookup(header.algorithm, header.kid)
        if self._watch is not None:
            lookup = self._watch.exchanges(lookup, issuer.name, "keys")
        try:
            yield from lookup
        except FetchError as error:
            unavailable = KeysUnavailable(hint=str(error))
            unavailable.issuer = issuer.name
            raise unavailable from None
        except AuthError as error:
            error.issuer = issuer.name
            raise
        # Time has passed: everything is looked at again, with the key there or not.
        verified = self.verify(raw, candidates, may_ask=False)
        return verified if isinstance(verified, Verified) else (yield from verified)

    def _introspect(
        self, raw: str, candidates: Candidates, issuer: Issuer, signed: Verified | None
    ) -> Flow[Verified]:
        """Ask the issuer; *signed* is what a good JWT says itself."""
        introspection = issuer.introspection
        assert introspection is not None
        asked_at = self._clock()
        if self.revocations is not None:
            self.revocations.look(asked_at)  # where nothing can be said, nobody is asked
        try:
            answer = None
            if self.shared is not None:
                answer = yield from self.shared.recall(introspection, raw, asked_at)
            is_news = answer is None
            if answer is None:
                was_good = self._cache.get(raw) is not None
                asking = introspection.ask(raw, was_good=was_good)
                if self._watch is not None:
                    asking = self._watch.exchanges(asking, issuer.name, "introspection")
                claims, is_kept = yield from asking
                answer = Answer(claims, asked_at, is_kept)
            try:
                now = self._clock()
                if signed is None:
                    verified = _from_answer(raw, candidates, issuer, answer.claims, now)
                else:
                    verified = _confirmed(signed, candidates, answer.claims, now)
                self.check_revoked(verified)
            except InvalidToken as error:
                introspection.refuse(raw, error)
                raise
        except AuthError as error:
            error.issuer = issuer.name
            raise
        # The leeway is for tokens, not for how long an answer is remembered.
        exp = verified.claims.get("exp", math.inf)
        until = answer.asked_at + introspection.ttl
        verified.valid_until = min(verified.valid_until, until, exp)
        if answer.is_kept:
            self._cache.put(verified)
            if self.shared is not None and is_news and verified.valid_until > now:
                ttl = verified.valid_until - now
                yield from self.shared.tell(introspection, raw, answer, ttl)
        return verified


def _from_answer(
    raw: str, candidates: Candidates, issuer: Issuer, claims: Claims, now: float
) -> Verified:
    """An introspection answer, judged as the claims of a JWT are (RFC 7662 section 4)."""
    times = check_types(claims)
    try:
        if issuer.issuer is not None:  # section 2.2: the answer need not say it
            claims.setdefault("iss", issuer.issuer)
        found, tenant = candidates.choose(claims)
        if found is not issuer:
            raise UnknownIssuer(found=claims.get("iss"), want=issuer.issuer)
        period = issuer.check_claims(claims, times, now)
    except InvalidToken as error:
        error.subject = claims.get("sub")
        raise
    return Verified(raw, issuer, tenant, {}, claims, period, None, _NO_KEYS.current(), _NO_KEYS)


def _confirmed(signed: Verified, candidates: Candidates, answer: Claims, now: float) -> Verified:
    """A signed token with what introspection adds, which must not contradict it."""
    claims = {**signed.claims, **answer}
    times = check_types(claims)
    try:
        for name in ("iss", "sub"):
            stated = signed.claims.get(name)
            if stated is not None and claims[name] != stated:
                hint = "introspection says something else than the token"
                found = fingerprint(claims[name]) if name == "sub" else claims[name]
                raise ClaimMismatch(name, found=found, want=stated, hint=hint)
        if candidates.choose(claims)[0] is not signed.issued_by:  # where the token named nobody
            raise UnknownIssuer(found=claims["iss"], want=signed.issued_by.issuer)
        start, end = signed.issued_by.check_claims(claims, times, now)
    except InvalidToken as error:
        error.subject = signed.claims.get("sub")
        raise
    if "exp" in signed.claims:  # what is signed does not get longer
        claims["exp"] = min(claims["exp"], signed.claims["exp"])
    period = max(start, signed.valid_from), min(end, signed.valid_until)
    confirmed = Verified(
        signed.raw,
        signed.issued_by,
        signed.tenant,
        signed.header,
        claims,
        period,
        signed.key,
        signed.keys,
        signed.source,
    )
    confirmed.signed = signed
    return confirmed


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
