# pyright: strict
"""A guard with every word, its tokens, and what it raises."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, assert_type

from jwtguard import (
    Bearer,
    Discovery,
    FromCookie,
    FromHeader,
    FromQuery,
    FromSubprotocol,
    Guard,
    Introspection,
    Issuer,
    JWKSet,
    PublicKey,
    RemoteKeys,
    Requirement,
    Rule,
    Secret,
    VerifiedToken,
    errors,
    from_mapping,
    from_toml,
    presets,
)
from jwtguard.core import Request
from jwtguard.observe import Decided, Exchange, Observer


class Noting(Observer):
    def decided(self, decided: Decided) -> None:
        assert_type(decided.reason, str | None)
        assert_type(decided.token, VerifiedToken | None)

    def exchanged(self, exchange: Exchange) -> None:
        assert_type(exchange.seconds, float)


def is_owner(token: VerifiedToken, request: Request) -> bool:
    return request.path == f"/users/{token.subject}"


def problem(error: errors.AuthError, request: Request) -> Mapping[str, Any] | None:
    return {"path": request.path} if error.status == 403 else None


def is_ours(tenant: str) -> bool:
    return tenant in ("a", "b")


def now() -> float:
    return 0.0


issuers = [
    Issuer(
        "https://login.example.com/",
        name="people",
        audience="https://api.example.com",
        algorithms=["RS256", "ES256"],
        keys=RemoteKeys(
            "https://login.example.com/jwks", cooldown=30, max_stale=3600.0, insecure_http=False
        ),
        typ="at+jwt",
        required_claims=["exp", "iat"],
        leeway=5,
        max_age=3600,
        require={"token_use": "access", "level": {"gte": 2}},
        roles="roles",
    ),
    Issuer(
        "https://a.example/{tenant}",
        audience=["x", "y"],
        algorithms="ES256",
        keys=Discovery(),
        tenants=["a", "b"],
    ),
    Issuer(
        "https://b.example/{tenant}",
        audience=None,
        algorithms=("ES256",),
        keys=Discovery(),
        tenants=is_ours,
    ),
    Issuer(
        "https://c.example",
        audience=None,
        algorithms=(),
        keys=None,
        introspection=Introspection(client_id="api", client_secret="s", when="always", ttl=30),
    ),
    Issuer(name="jobs", audience=None, algorithms=["HS256"], keys=Secret("x" * 32)),
    Issuer(
        "https://d.example",
        audience=None,
        algorithms=["RS256"],
        keys=[PublicKey.from_pem("…"), PublicKey.from_file("k.pem"), JWKSet({"keys": []})],
    ),
    Issuer("https://e.example", audience=None, algorithms="HS256", keys=Secret.from_env("KEY")),
    presets.issuer("auth0", domain="acme.eu.auth0.com", audience="https://api.example.com"),
]

rules = [
    Rule(["/health", *presets.BROWSER_FILES], access="public"),
    Rule("/feed", access="optional"),
    Rule("/jobs/**", issuers="jobs", methods=["POST"]),
    Rule("/admin/**", any_role=["admin", "superuser"], status=401),
    Rule("/reports/**", scopes="reports:read", any_scope=("a", "b"), roles="staff"),
    Rule("/tenants/{tenant}/**", require={"tenant_id": {"path": "tenant"}}),
    Rule("/users/{id}", require=[{"sub": {"path": "id"}}, {"role": "admin"}], check=is_owner),
    Rule(
        "/app/**",
        credentials=["bearer", {"cookie": "auth_token"}],
        login="/login",
        forward={"X-User": "sub"},
        https="redirect",
    ),
    Rule("/ws", credentials=[Bearer(), FromSubprotocol("bearer"), FromCookie("__Host-t")]),
    Rule("/old", credentials=[FromHeader("X-Token"), FromQuery("access_token")], login=False),
    Rule("/files/**", opaque_tail=True),
]


def make() -> Guard:
    return Guard(
        issuers,
        rules,
        forward={"X-User-Id": "sub"},
        variables="json",
        realm="api",
        origins=["https://app.example.com"],
        public_url="https://api.example.com",
        preflight="answer",
        login="/login",
        remote_user="{issuer}:{sub}",
        strip_credentials=True,
        response_headers=True,
        require_https="refuse",
        error_body=problem,
        protected_resource=True,
        report_until=date(2027, 1, 31),
        cache_size=10_000,
        observer=[Noting()],
        clock=now,
    )


def read() -> Guard:
    try:
        guard = from_toml("jwtguard.toml")
    except errors.ConfigurationError as error:
        for place, what in error.problems:
            print(place, what)
        raise
    assert_type(guard, Guard)
    return from_mapping({"issuer": []}, base=".")


wanted = Requirement(
    scopes=["a"], any_scope="b c", roles="r", any_role=["x"], require={"a": 1}, check=is_owner
)


def use(guard: Guard, raw: str) -> str:
    try:
        token = guard.verify(raw, wanted, issuers=["people"])
    except errors.InsufficientScope as error:
        return error.description
    except errors.ClaimError as error:
        return error.claim
    except errors.Unavailable as error:
        return str(error.retry_after)
    except errors.AuthError as error:
        return f"{error.status} {error.reason}"
    assert_type(token, VerifiedToken)
    assert_type(token.issuer, str)
    assert_type(token.subject, str | None)
    assert_type(token.identity, tuple[str, str | None])
    assert_type(token.scopes, frozenset[str])
    assert_type(token.roles, frozenset[str])
    assert_type(token.tenant, str | None)
    assert_type(token.expires_at, datetime | None)
    assert_type(token.raw, str)
    assert_type(token.claims, dict[str, Any])
    email: str = token.get("email", "")
    return json.dumps(token.claims) + token["sub"] + email if "sub" in token else ""


async def ause(guard: Guard, raw: str) -> VerifiedToken:
    await guard.awarm()
    guard.warm()
    return await guard.averify(raw, Requirement(scopes="a"))
