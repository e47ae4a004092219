# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What a type checker has to find: each of these lines is an error, or the test fails."""

from jwtguard import Guard, Issuer, Requirement, Rule, Secret, VerifiedToken, wsgi
from jwtguard import django as in_django
from jwtguard import fastapi as in_fastapi
from jwtguard import flask as in_flask
from jwtguard import litestar as in_litestar
from jwtguard import quart as in_quart
from jwtguard import starlette as in_starlette

key = Secret("x" * 32)
guard = Guard([Issuer(audience=None, algorithms="HS256", keys=key)])

Issuer("https://a.example", algorithms="HS256", keys=key)  # type: ignore[call-arg]
Issuer("https://a.example", audience=None, algorithms="HS256")  # type: ignore[call-arg]
Issuer("https://a.example", audience=None, algorithms="HS256", keys="s")  # type: ignore[arg-type]
Rule("/a", access="open")  # type: ignore[arg-type]
Guard([key])  # type: ignore[list-item]
Guard([], preflight="allow")  # type: ignore[arg-type]
Requirement(scopes=1)  # type: ignore[arg-type]
wsgi.GuardMiddleware(guard)  # type: ignore[call-arg,arg-type]

in_django.requires(scope="a")  # type: ignore[call-arg]
in_flask.requires(scope="a")  # type: ignore[call-arg]
in_litestar.requires(scope="a")  # type: ignore[call-arg]
in_quart.requires(scope="a")  # type: ignore[call-arg]
in_starlette.requires(scope="a")  # type: ignore[call-arg]
in_fastapi.Protected(guard, scopes=1)  # type: ignore[arg-type]
in_fastapi.Protected("jwtguard.toml")  # type: ignore[arg-type]


async def asks(raw: str) -> None:
    token: VerifiedToken = guard.averify(raw)  # type: ignore[assignment]
    print(guard.verify(raw).sub)  # type: ignore[attr-defined]
    token.subject = "somebody"  # type: ignore[misc]
