"""A small authorization server on loopback, as clients of the Model Context Protocol want one.

Metadata (RFC 8414), dynamic registration (RFC 7591), authorization code with PKCE (RFC 7636) that
asks nobody, tokens (RFC 9068) for the resource that was asked for (RFC 8707), and a JWK Set.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from jwtguard.testing import FakeIssuer


class AuthorizationServer:
    """``app`` is the server's; ``consents`` is what the person says yes to, one set of scopes for
    each authorization, the last one for all that follow."""

    def __init__(self, url: str, consents: list[set[str]]) -> None:
        self.url = url
        self.consents = consents
        self.idp = FakeIssuer(url, audience=None)
        self.clients: dict[str, list[str]] = {}
        self.codes: dict[str, Mapping[str, str]] = {}
        self.resources: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/.well-known/oauth-authorization-server", self.metadata),
                Route("/register", self.register, methods=["POST"]),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/jwks", self.jwks),
            ]
        )

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "registration_endpoint": f"{self.url}/register",
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "token_endpoint_auth_methods_supported": ["none"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def register(self, request: Request) -> Response:
        asked = await request.json()
        client = secrets.token_urlsafe(8)
        self.clients[client] = asked["redirect_uris"]
        known = asked | {"client_id": client, "token_endpoint_auth_method": "none"}
        return JSONResponse(known, 201)

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["redirect_uri"] in self.clients[asked["client_id"]]
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        wanted = set(asked.get("scope", "").split())
        consent = self.consents.pop(0) if len(self.consents) > 1 else self.consents[0]
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked | {"scope": " ".join(sorted(wanted & consent))}
        self.resources.append(asked["resource"])
        answer = {"code": code, "state": asked["state"], "iss": self.url}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 302)

    async def token(self, request: Request) -> Response:
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        asked = self.codes.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        for name in ("client_id", "redirect_uri", "resource"):
            assert form[name] == asked[name], name
        return JSONResponse(
            {
                "access_token": self.issue(asked["resource"], asked["scope"]),
                "token_type": "Bearer",
                "expires_in": 600,
                "scope": asked["scope"],
            },
            headers={"Cache-Control": "no-store"},
        )

    def issue(self, resource: str, scope: str, **claims: Any) -> str:
        """An access token for *resource*."""
        words = {"aud": resource, "scopes": scope, "header": {"typ": "at+jwt"}, "expires": 600}
        return self.idp.token("alice", **(words | claims))

    async def jwks(self, request: Request) -> Response:
        return JSONResponse(self.idp.jwks())
