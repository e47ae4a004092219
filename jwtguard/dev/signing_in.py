"""Where browsers sign in while a `jwtguard.Login` is developed: whoever they like to be.

The provider's side of the authorization code flow with PKCE. Codes go to the app alone, and each is
good once.
"""

import html
import json
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from jwtguard.core.claims import Claims
from jwtguard.core.issuer import Issuer
from jwtguard.login import Login
from jwtguard.testing.signin import SignIns

from .forms import Form, as_json, choices, page, wish_of
from .issuer import DevIssuer, Unclear, Wish, json_claims, put, signed

PAGE = "/sign-in"
TOKENS = "/sign-in/token"
DISCOVERY = "/.well-known/openid-configuration"
OWN = "/login"
"""The path of a provider of ours, where the configuration names none that we can stand in for."""
LIFETIME = 300  # seconds of an id_token, which is looked at once

SAMPLES: Claims = {
    "name": "Alice Example",
    "given_name": "Alice",
    "family_name": "Example",
    "preferred_username": "alice",
    "email": "alice@example.com",
    "email_verified": True,
}


class Provider:
    """The provider of the guard's login.

    ``issuer`` is its ``iss``, ``origin`` the app's address; it is found in ``places``, prefixes.
    """

    def __init__(
        self, dev: DevIssuer, address: str, login: Login, origin: str, known: Issuer | None
    ) -> None:
        self.origin = origin
        self.issuer = login.issuer if known is None else str(known.issuer)
        self._dev = dev
        self._address = address
        self._client = login.client.client_id
        self._callback = login.paths[1]
        self._kept = login.claims
        self._algorithm = [*login.algorithms, *(known.algorithms if known else ())][0]
        # The first place where the login looks for them; an issuer may have none.
        self._roles = "roles" if known is None else next(iter(known.roles), None)
        number = None if known is None else dev.issuers.index(known)
        self.places = {OWN} if number is None else {f"/{number}", *([""] if number == 0 else [])}
        self._sign_ins = SignIns()

    @classmethod
    def of(cls, dev: DevIssuer, address: str) -> "Provider | None":
        """The one for the login of the configuration; None where that has none."""
        setup = dev.guard._setup
        login, origin = setup.given.login, setup.public_origin
        if not isinstance(login, Login) or origin is None:
            return None
        known = [one for one in dev.issuers if login.issuer in (one.name, one.issuer)]
        return cls(dev, address, login, origin, known[0] if known else None)

    @property
    def document(self) -> Claims:
        """OpenID Connect Discovery 1.0 section 3."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self._address}{PAGE}",
            "token_endpoint": f"{self._address}{TOKENS}",
            "jwks_uri": f"{self._address}/jwks.json",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._algorithm],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def page(self, request: Form) -> Response:
        """Who do you want to be? Then back to the app (OpenID Connect Core 1.0 section 3.1.2)."""
        if request.args.get("client_id") != self._client or not self._is_ours(
            request.args.get("redirect_uri", "")
        ):
            return Response("This sign-in does not come from the app, or for another one.\n", 400)
        wish = wish_of(request)
        if request.method != "POST":
            return self._form(request, wish)
        try:
            claims = self._claims(wish)
            # As it will be signed: what makes no token is said now.
            signed(self._dev.keys, {**claims, "iss": self.issuer}, self._algorithm)
        except Unclear as error:
            return self._form(request, wish, str(error), 400)
        try:
            back = self._sign_ins.begin(self.issuer, _address(request), claims.pop("sub"), claims)
        except ValueError as error:
            return Response(f"{error}\n", 400)
        return redirect(back, 303)

    def tokens(self, request: Form) -> Response:
        """What the code is worth (RFC 6749 section 4.1.3); the client's secret is not looked at."""
        status, said = self._sign_ins.tokens(self._id_token, request.get_data())
        return as_json(said, status)

    def _id_token(self, sub: str, /, **claims: Any) -> str:
        now = int(time.time())
        said = {"iss": self.issuer, "sub": sub, "iat": now, "exp": now + LIFETIME, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return signed(self._dev.keys, said, self._algorithm)

    def _is_ours(self, address: str) -> bool:
        """Whether it is the app's callback, which may be mounted below a prefix."""
        parts = urlsplit(address)
        return address.startswith(f"{self.origin}/") and (
            parts.path.endswith(self._callback) and not parts.query and not parts.fragment
        )

    def _claims(self, wish: Wish) -> Claims:
        claims: Claims = {"sub": wish.sub}
        if wish.roles and self._roles is not None:
            put(claims, self._roles, list(wish.roles))
        claims |= json_claims(wish.claims)
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise Unclear("sub: whom to be, such as alice")
        return claims

    def _form(self, request: Form, wish: Wish, problem: str = "", status: int = 200) -> Response:
        claims = wish.claims
        if request.method != "POST":
            kept = {name: SAMPLES.get(name, "dev") for name in self._kept}
            claims = json.dumps(kept, indent=2)
        response = page(
            "sign-in.html",
            app=html.escape(self.origin),
            action=html.escape(_address(request)),
            problem=f'<p class="bad" role="alert">{html.escape(problem)}</p>' if problem else "",
            sub=html.escape(wish.sub),
            roles=""
            if self._roles is None
            else "<fieldset><legend>Roles</legend>\n"
            + choices("role", self._dev.offered("roles", "any_role"), wish.roles)
            + "</fieldset>",
            claims=html.escape(claims),
        )
        response.status_code = status
        return response


def _address(request: Form) -> str:
    """The address of the page, with each parameter once: the one that was looked at."""
    return f"{PAGE}?{urlencode(request.args.to_dict())}"
