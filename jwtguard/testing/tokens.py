"""A verified token that nobody verified, for code that takes one."""

from jwtguard.core.issuer import Issuer
from jwtguard.core.keyloader import LocalKeys
from jwtguard.core.keys import KeySet
from jwtguard.core.token import Verified, VerifiedToken, token_for_request

_NO_KEYS = LocalKeys(KeySet())


def verified(issuer: str = "test", /, **claims: object) -> VerifiedToken:
    """A VerifiedToken that nobody verified, to hand to code under test.

    Such as a view called by hand, or FastAPI's ``dependency_overrides``. No guard takes it for a
    token: there is nothing in it that could be sent.

    *issuer* is the configured name; scopes and roles are read from *claims* as a guard would.
    """
    return token_for_request(
        Verified(
            raw="",
            issued_by=Issuer(name=issuer, audience=None, algorithms=(), keys=None),
            tenant=None,
            header={"alg": "none"},
            claims=dict(claims),
            period=(float("-inf"), float("inf")),
            key=None,
            keys=_NO_KEYS.current(),
            source=_NO_KEYS,
        )
    )
