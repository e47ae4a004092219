# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What a type checker has to find: each of these lines is an error, or the test fails."""

from jwtguard import Guard, Issuer, Requirement, Rule, Secret, VerifiedToken, wsgi

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


async def asks(raw: str) -> None:
    token: VerifiedToken = guard.averify(raw)  # type: ignore[assignment]
    print(guard.verify(raw).sub)  # type: ignore[attr-defined]
    token.subject = "somebody"  # type: ignore[misc]
