"""Signing in at a fake issuer, and sessions without it."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from jwtguard.core.claims import Claims
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.guard import Guard
from jwtguard.core.model import Request
from jwtguard.core.wording import as_list
from jwtguard.login.site import Site

MAX_CODES = 1024  # that nobody has come for


class SignIns:
    """The codes of a provider that nobody has come for, and whom they stand for."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[Mapping[str, str], str, Claims]] = {}

    def begin(self, iss: str, address: str, sub: str, claims: Claims) -> str:
        """The address that the browser is sent back to; *iss* is the provider's.

        Raises ValueError where *address* is none that a sign-in begins with.
        """
        asked = dict(parse_qsl(urlsplit(address).query))
        missing = {"client_id", "redirect_uri", "code_challenge", "state"} - asked.keys()
        if missing:
            raise ValueError(f"that is no address of a sign-in: {sorted(missing)[0]} is missing")
        while len(self._codes) >= MAX_CODES:
            self._codes.pop(next(iter(self._codes)), None)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked, sub, claims
        answer = {"code": code, "state": asked["state"], "iss": iss}
        mark = "&" if "?" in asked["redirect_uri"] else "?"
        return f"{asked['redirect_uri']}{mark}{urlencode(answer)}"

    def tokens(self, id_token: Callable[..., str], body: bytes) -> tuple[int, Claims]:
        """What the token endpoint says (RFC 6749 section 5); every client may ask.

        *id_token* makes one of ``sub`` and claims, leaving out those that are None.
        """
        fields = parse_qs(body.decode("utf-8", "replace"))
        form = {name: values[0] for name, values in fields.items()}
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
            "id_token": id_token(sub, **said),
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
