"""Every exception jwtguard raises.

::

    JWTGuardError
    ├─ ConfigurationError (ValueError)   start-up only; .problems
    ├─ FetchError                        raised by transports, thrown into flows
    └─ AuthError                         .status .error .code .description .reason
       ├─ MissingCredentials 401
       ├─ InvalidRequest 400
       ├─ InvalidToken 401
       │  ├─ MalformedToken · UnknownIssuer · AlgorithmNotAllowed · KeyNotFound
       │  ├─ BadSignature · TokenInactive · TokenRevoked
       │  └─ ClaimError (.claim): MissingClaim · ClaimMismatch · TokenExpired
       │                          TokenNotYetValid · TokenTooOld
       ├─ AccessDenied 403 · InsufficientScope 403 · CrossSiteRequest 403
       ├─ TooManyRequests 429
       └─ Unavailable 503: KeysUnavailable · IntrospectionUnavailable

What a client may read is in the class (``status``, ``error``, ``code``, ``description``: RFC 6750
section 3.1). What only the log may read is in the instance (``reason`` and the facts ``found``,
``want``, ``hint``). No instance ever holds a token.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

Problem = tuple[str, str]
"""Where in the configuration, and what to do about it."""


class JWTGuardError(Exception):
    """Everything jwtguard raises on purpose."""


class ConfigurationError(JWTGuardError, ValueError):
    """The configuration cannot be used. Raised at start-up only, with every problem at once."""

    problems: tuple[Problem, ...]

    def __init__(self, problems: str | Iterable[Problem]) -> None:
        self.problems = (("", problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"{where}: {what}" if where else what for where, what in self.problems]
        if len(lines) == 1:
            return lines[0]
        return "\n".join([f"{len(lines)} problems", *(f"  {line}" for line in lines)])


class FetchError(JWTGuardError):
    """An HTTP exchange that a flow asked for could not be completed."""


class AuthError(JWTGuardError):
    """A refused request: status (HTTP), error and code (for clients), reason (for the log)."""

    status: int = 401
    error: str = "invalid_token"
    code: str = "invalid_token"
    description: str = "The token is not valid."
    reason: str = "invalid_token"
    challenge: ClassVar[str] = "error"
    """What ``WWW-Authenticate`` says: "error" (with error code), "bare" (scheme only), "none"."""
    headers: Sequence[tuple[str, str]] = ()
    """What the answer carries besides."""
    issuer: str | None = None
    """The name of the issuer that judged, once it is known."""
    subject: str | None = None

    def __init__(
        self,
        reason: str | None = None,
        *,
        found: object = None,
        want: object = None,
        hint: str | None = None,
    ) -> None:
        if reason is not None:
            self.reason = reason
        self.found = found
        self.want = want
        self.hint = hint
        super().__init__(self.reason)

    def __str__(self) -> str:
        return f"{self.reason}: {self.hint}" if self.hint else self.reason


class MissingCredentials(AuthError):
    """401: nothing was sent. The challenge carries no error code (RFC 6750 section 3.1)."""

    error = "unauthorized"
    code = "no_credentials"
    description = "No credentials were sent."
    reason = "no_credentials"
    challenge = "bare"


class InvalidRequest(AuthError):
    """400: two tokens, a malformed header, an ambiguous path."""

    status = 400
    error = "invalid_request"
    code = "bad_request"
    description = "The request is malformed."
    reason = "bad_request"


class AmbiguousTarget(InvalidRequest):
    """400: a path or method that two programs would read differently; not about credentials."""

    reason = "ambiguous_path"
    challenge = "none"


class SignInFailed(AuthError):
    """400: a sign-in came to nothing; 503 where the provider could not be asked.

    ``code`` says where it broke off; ``again`` is where a person may start anew.
    """

    status = 400
    challenge = "none"

    def __init__(
        self,
        code: str,
        description: str,
        *,
        again: str,
        status: int = 400,
        found: object = None,
        want: object = None,
        hint: str | None = None,
    ) -> None:
        self.error = self.code = code
        self.description = description
        self.again = again
        self.status = status
        super().__init__(code, found=found, want=want, hint=hint)


class InvalidToken(AuthError):
    """401 ``invalid_token``: the base of all that can be wrong with a token."""


class MalformedToken(InvalidToken):
    """Not a JWS in compact serialization that carries JSON objects (RFC 7515, RFC 8725 3.14)."""

    reason = "malformed_token"


class UnknownIssuer(InvalidToken):
    """``iss`` is none of the issuers that may speak here (RFC 8725 section 3.8)."""

    reason = "unknown_issuer"


class AlgorithmNotAllowed(InvalidToken):
    """``alg`` is not in the issuer's list (RFC 8725 section 3.1)."""

    reason = "algorithm_not_allowed"


class KeyNotFound(InvalidToken):
    """No key of the issuer fits ``kid`` and ``alg``."""

    reason = "key_not_found"


class BadSignature(InvalidToken):
    """No fitting key verifies the signature."""

    reason = "bad_signature"


class TokenInactive(InvalidToken):
    """Introspection says ``active`` is not true (RFC 7662 section 2.2)."""

    reason = "token_inactive"


class TokenRevoked(InvalidToken):
    """The token was revoked after it had been issued."""

    reason = "token_revoked"


class ClaimError(InvalidToken):
    """A claim is missing or not as it must be; ``claim`` names it."""

    reason = "claim_invalid"

    def __init__(
        self,
        claim: str,
        reason: str | None = None,
        *,
        found: object = None,
        want: object = None,
        hint: str | None = None,
    ) -> None:
        self.claim = claim
        super().__init__(reason, found=found, want=want, hint=hint)


class MissingClaim(ClaimError):
    """A required claim is absent."""

    reason = "claim_missing"


class ClaimMismatch(ClaimError):
    """A claim has another type or value than it must have."""

    reason = "claim_mismatch"


class TokenExpired(ClaimError):
    """``exp`` has passed (RFC 7519 section 4.1.4)."""

    code = "expired"
    description = "The token has expired."
    reason = "expired"


class TokenNotYetValid(ClaimError):
    """``nbf`` is not reached, or ``iat`` lies in the future (RFC 7519 sections 4.1.5, 4.1.6)."""

    reason = "not_yet_valid"


class TokenTooOld(ClaimError):
    """``iat`` is longer ago than the issuer's ``max_age``."""

    reason = "too_old"


class AccessDenied(AuthError):
    """403 (or the rule's ``status``): the token is good, but not for this."""

    status = 403
    error = "forbidden"
    code = "forbidden"
    description = "Access denied."
    reason = "access_denied"
    challenge = "none"


class MethodNotCovered(AccessDenied):
    """403: rules for this path name other methods, and none of the user's covers this one."""

    code = "method_not_covered"
    reason = "method_not_covered"


class HttpsRequired(AccessDenied):
    """403: the request came over plain http."""

    code = "https_required"
    description = "Use https."
    reason = "https_required"


class CrossSiteRequest(AuthError):
    """403: a cookie came with a request that another site may have sent."""

    status = 403
    error = "forbidden"
    challenge = "none"
    code = "cross_site"
    description = "The request came from another site."
    reason = "cross_site"


class InsufficientScope(AuthError):
    """403 ``insufficient_scope`` (RFC 6750 section 3.1); ``scope`` is the rule's list."""

    status = 403
    error = "insufficient_scope"
    code = "insufficient_scope"
    description = "The token lacks a required scope."
    reason = "insufficient_scope"

    def __init__(self, scope: Sequence[str] = (), *, found: object = None) -> None:
        self.scope = tuple(scope)
        super().__init__(found=found, want=" ".join(scope))


class TooManyRequests(AuthError):
    """429; ``retry_after`` in whole seconds."""

    status = 429
    error = "too_many_requests"
    code = "too_many_requests"
    description = "Too many requests."
    reason = "too_many_requests"
    challenge = "none"

    def __init__(self, retry_after: int, reason: str | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(reason)


class Unavailable(AuthError):
    """503: we could not check, so we neither accept nor blame; ``retry_after`` in seconds."""

    status = 503
    error = "temporarily_unavailable"
    code = "unavailable"
    description = "The token could not be checked now."
    reason = "unavailable"
    challenge = "none"

    def __init__(
        self, reason: str | None = None, *, retry_after: int = 5, hint: str | None = None
    ) -> None:
        self.retry_after = retry_after
        super().__init__(reason, hint=hint)


class KeysUnavailable(Unavailable):
    """The issuer's keys could not be had."""

    reason = "keys_unavailable"


class IntrospectionUnavailable(Unavailable):
    """The introspection endpoint gave no usable answer."""

    reason = "introspection_unavailable"
