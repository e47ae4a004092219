"""Tokens of any shape, and guards to show them to."""

import base64
import hashlib
import hmac
import json

from jwtguard import Guard, Issuer, Rule, Secret
from jwtguard.core import Request

SECRET = b"0123456789abcdef0123456789abcdef"
OTHER_SECRET = b"fedcba9876543210fedcba9876543210"
NOW = 1_800_000_000
ISSUER = "https://issuer.test/"
AUDIENCE = "https://api.test"
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 3600}
HEADER = {"alg": "HS256"}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def as_bytes(part):
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def forge(claims=CLAIMS, header=HEADER, key=SECRET):
    """A token with a correct HS256 MAC over whatever the header and the payload are."""
    signing_input = f"{b64(as_bytes(header))}.{b64(as_bytes(claims))}"
    return f"{signing_input}.{b64(hmac.digest(key, signing_input.encode(), hashlib.sha256))}"


def token(header=HEADER, key=SECRET, **claims):
    """A good token but for *claims*; a claim given as ... is left out."""
    full = CLAIMS | claims
    return forge({k: v for k, v in full.items() if v is not ...}, header, key)


def make_issuer(**words):
    words = {
        "audience": AUDIENCE,
        "algorithms": ["HS256"],
        "keys": Secret(SECRET),
        "name": "people",
    } | words
    return Issuer(words.pop("issuer", ISSUER), **words)


def make_guard(rules=(), *, clock=lambda: NOW, **words):
    """A guard whose clock stands still; Issuer's words go to its one issuer."""
    own = {
        "issuer",
        "name",
        "audience",
        "algorithms",
        "keys",
        "typ",
        "required_claims",
        "leeway",
        "max_age",
        "roles",
        "tenants",
        "any_iss",
    }
    issuers = words.pop("issuers", None)
    issuer = {k: words.pop(k) for k in list(words) if k in own}
    return Guard(issuers or [make_issuer(**issuer)], rules, clock=clock, **words)


def request(path="/x", *, bearer=None, method="GET", **words):
    headers = list(words.pop("headers", ()))
    if bearer is not None:
        headers.append(("Authorization", f"Bearer {bearer}"))
    return Request(method, path, headers=headers, **words)


def status(guard, *args, **words):
    return guard.decide(request(*args, **words)).status


def refused(guard, *args, **words):
    """(status, reason) of a refusal, (200, None) where the request is allowed."""
    decision = guard.decide(request(*args, **words))
    error = getattr(decision, "error", None)
    return decision.status, error and error.reason


def rule_for(**words):
    return [Rule("/x", **words)]


def warming(guard):
    """What `Guard.warm` fetches, one source after the other."""
    for flow in guard.warm_flows():
        yield from flow
