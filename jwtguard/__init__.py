"""JWT authentication in front of any WSGI or ASGI app.

guard = Guard(issuers=[Issuer(…)], rules=[Rule("/health", access="public")])
app = jwtguard.wsgi.GuardMiddleware(app, guard)      # or jwtguard.asgi
"""

from . import asgi, errors, presets, wsgi
from .config import from_mapping, from_toml
from .core.extractor import Bearer, FromCookie, FromHeader, FromQuery, FromSubprotocol
from .core.introspection import Introspection
from .core.issuer import Issuer
from .core.policy import Rule
from .core.requirement import Requirement
from .core.token import VerifiedToken
from .guard import Guard
from .keyfiles import Discovery, JWKSet, PublicKey, RemoteKeys, Secret
from .login import Login
from .revocations import Revocations

__version__ = "0.1.0"

__all__ = [
    "Bearer",
    "Discovery",
    "FromCookie",
    "FromHeader",
    "FromQuery",
    "FromSubprotocol",
    "Guard",
    "Introspection",
    "Issuer",
    "JWKSet",
    "Login",
    "PublicKey",
    "RemoteKeys",
    "Requirement",
    "Revocations",
    "Rule",
    "Secret",
    "VerifiedToken",
    "asgi",
    "errors",
    "from_mapping",
    "from_toml",
    "presets",
    "wsgi",
]
