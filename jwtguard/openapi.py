"""How a guard's credentials are told in an OpenAPI document."""

import re
from collections.abc import Iterable

from .core.extractor import Bearer, FromCookie, FromHeader, FromQuery, Place
from .core.policy import BoundRule
from .core.remote import Discovery
from .guard import Guard

Scheme = dict[str, str]
"""A Security Scheme Object (OpenAPI 3.1 section 4.8.27)."""

BEARER: Scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

_OUTSIDE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")  # names of components: OpenAPI 3.1 section 4.8.7


def security_schemes(guard: Guard) -> dict[str, Scheme]:
    """Every way to bring a token that a rule of *guard* reads, by a name for the document.

    An issuer whose keys are found by discovery is told with its address, so that a documentation
    page can offer to log in there. WebSocket subprotocols cannot be told in OpenAPI.
    """
    schemes: dict[str, Scheme] = {}
    for bound in _deciding(guard):
        if bound.access != "public":
            schemes.update(_of_places(bound.places))
    if "bearer" in schemes:
        for issuer in guard.issuers:
            for source in issuer.sources:
                if isinstance(source, Discovery) and "{" not in source.url:
                    name = _OUTSIDE_NAMES.sub("-", f"openid-{issuer.name}").strip("-")
                    schemes[name] = {"type": "openIdConnect", "openIdConnectUrl": source.url}
    return schemes


def _deciding(guard: Guard) -> Iterable[BoundRule]:
    """The rules that decide anything: none does behind one for everything."""
    for bound in guard.policy.rules:
        yield bound
        rule = bound.rule
        if rule.methods is None and any(pattern.text == "/**" for pattern in rule.patterns):
            return
    yield guard.policy.closing


def _of_places(places: Iterable[Place]) -> Iterable[tuple[str, Scheme]]:
    for place in places:
        if isinstance(place, Bearer):
            yield "bearer", BEARER
            continue
        for kind, at in ((FromCookie, "cookie"), (FromHeader, "header"), (FromQuery, "query")):
            if isinstance(place, kind):
                name = _OUTSIDE_NAMES.sub("-", f"{at}-{place.name}")
                yield name, {"type": "apiKey", "in": at, "name": place.name}
