"""For tests of apps behind jwtguard: an issuer of your own, and tokens of any shape.

Tokens made here are real ones: the guard verifies them like any other and is never switched off,
so a test that passes says something about the app as it will run.
"""

from jwtguard.signing import PrivateKey, private_key, public_jwk, sign

from .clock import Clock
from .issuer import FakeIssuer
from .signin import session
from .tokens import verified
from .wire import Answer, asgi_request, wsgi_request

__all__ = [
    "Answer",
    "Clock",
    "FakeIssuer",
    "PrivateKey",
    "asgi_request",
    "private_key",
    "public_jwk",
    "session",
    "sign",
    "verified",
    "wsgi_request",
]
