"""The middleware people write by hand on PyJWT: what jwtguard is measured against.

It does less: a path with a second reading goes through, so does a forged copy of the forwarded
header in another spelling, and there is no challenge and no log line. The key is PEM text, as in
PyJWT's own examples; who loads the key once is measured as well.
"""

from typing import Any

import jwt

from .traffic import AUDIENCE, ISSUER, NEEDED_SCOPE, Signer


class Refused(Exception):
    """No valid token, or not the scope."""


class Checker:
    """What people write once and call from a middleware, a decorator or a dependency."""

    def __init__(self, signer: Signer) -> None:
        self.key = signer.written_key
        self.algorithm = signer.algorithm

    def bearer(self, authorization: str | None) -> dict[str, Any]:
        """The claims of the token in this header. Raises Refused."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused
        return self.token(token)

    def token(self, token: str) -> dict[str, Any]:
        """The claims of this token. Raises Refused."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.key,
                algorithms=[self.algorithm],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp"]},
            )
        except jwt.InvalidTokenError:
            raise Refused from None
        if NEEDED_SCOPE not in claims.get("scope", "").split():
            raise Refused
        return claims


PUBLIC = ("/health", "/login")


class _PyJWT:
    def __init__(self, app: Any, key: Any, algorithm: str) -> None:
        self.app = app
        self.key = key
        self.algorithms = [algorithm]

    def claims(self, authorization: str) -> dict[str, Any] | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        try:
            return jwt.decode(
                token,
                self.key,
                algorithms=self.algorithms,
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp"]},
            )
        except jwt.InvalidTokenError:
            return None


def _allowed(path: str, claims: dict[str, Any]) -> bool:
    if path.startswith("/admin/"):
        return "admin" in claims.get("roles", ())
    if path.startswith("/reports/"):
        return NEEDED_SCOPE in claims.get("scope", "").split()
    return True


class WSGIPeer(_PyJWT):
    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "/")
        if path in PUBLIC or path.startswith("/static/"):
            return self.app(environ, start_response)
        claims = self.claims(environ.get("HTTP_AUTHORIZATION", ""))
        if claims is None:
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"unauthorized"]
        if not _allowed(path, claims):
            start_response("403 Forbidden", [])
            return [b"forbidden"]
        environ["jwt.claims"] = claims
        environ["HTTP_X_USER_ID"] = claims["sub"]
        return self.app(environ, start_response)


class ASGIPeer(_PyJWT):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if scope["type"] != "http" or path in PUBLIC or path.startswith("/static/"):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        claims = self.claims(headers.get(b"authorization", b"").decode("latin-1"))
        if claims is None or not _allowed(path, claims):
            status = 401 if claims is None else 403
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"refused"})
            return
        kept = [(name, value) for name, value in scope["headers"] if name != b"x-user-id"]
        kept.append((b"x-user-id", claims["sub"].encode()))
        await self.app({**scope, "headers": kept, "jwt.claims": claims}, receive, send)
