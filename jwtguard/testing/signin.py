"""Signing in at a fake issuer, and sessions without it."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from jwtguard.core.claims import Claims
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.guard import Guard
from jwtguard.core.model import Request
from jwtguard.core.wording import as_list
from jwtguard.login.site import Site

if TYPE_CHECKING:
    from .issuer import FakeIssuer

MAX_CODES = 1024  # that nobody has come for


class SignIns:
    """The codes of a fake issuer that nobody has come for, and whom they stand for."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[Mapping[str, str], str, Claims]] = {}
        self._people: dict[str, Claims] = {}

    def begin(self, idp: "FakeIssuer", address: str, sub: str, claims: Claims) -> str:
        """The address that the browser is sent back to."""
        asked = dict(parse_qsl(urlsplit(address).query))
        missing = {"client_id", "redirect_uri", "code_challenge", "state"} - asked.keys()
        if missing:
            raise ValueError(f"that is no address of a sign-in: {sorted(missing)[0]} is missing")
        while len(self._codes) >= MAX_CODES:
            self._codes.pop(next(iter(self._codes)), None)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked, sub, claims
        answer = {"code": code, "state": asked["state"], "iss": str(idp.issuer)}
        mark = "&" if "?" in asked["redirect_uri"] else "?"
        return f"{asked['redirect_uri']}{mark}{urlencode(answer)}"

    def tokens(self, idp: "FakeIssuer", body: bytes) -> tuple[int, Claims]:
        """What the token endpoint says (RFC 6749 section 5); every client may ask."""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        asked, sub, claims = self._codes.pop(form.get("code", ""), ({}, "", {}))
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked.get("code_challenge") != challenge
            or asked.get("redirect_uri") != form.get("redirect_uri")
            or form.get("grant_type") != "authorization_code"
        ):
            return 400, {"error": "invalid_grant"}
        said = {"aud": asked["client_id"], "nonce": asked.get("nonce"), **claims}
        return 200, {
            "access_token": secrets.token_urlsafe(16),
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": idp.token(sub, **said),
        }


def session(
    guard: Guard,
    sub: str = "alice",
    *,
    roles: str | list[str] | tuple[str, ...] = ("user",),
    **claims: Any,
) -> dict[str, str]:
    """The headers of a browser in which *sub* has signed in at the guard's `jwtguard.Login`.

    ``Cookie``, and ``Origin`` as a page of the site sends it. *claims* are those that the session
    keeps. Raises `errors.ConfigurationError` where the guard has no login.
    """
    site = guard.site
    if not isinstance(site, Site):
        raise ConfigurationError("the guard has no login=Login(…), so nobody can sign in")
    begun = {**claims, **site.sessions.begun(sub, "test", None), "roles": as_list(roles)}
    begun = site.sessions.prolonged(begun)
    pairs = site.sessions.cookies(begun, Request("GET", "/"))
    cookie = "; ".join(value.partition(";")[0] for _, value in pairs)
    return {"Cookie": cookie, "Origin": site.origin}
