"""Who may see what in the demo: the part that a real app would write."""

from jwtguard import Guard, Rule
from jwtguard.testing import FakeIssuer

AUDIENCE = "https://demo.test/api"
COOKIE = "auth_token"


def make_issuer() -> FakeIssuer:
    """The development issuer, with a key that is made now and lives as long as the process."""
    return FakeIssuer("https://demo.test/", audience=AUDIENCE, algorithm="ES256", name="demo")


def make_guard(issuer: FakeIssuer) -> Guard:
    """One guard for both doors. What no rule names, such as /api/protected, needs a token."""
    return Guard(
        issuers=[issuer.trusted()],
        rules=[
            Rule(
                ["/", "/health", "/api/public", "/login", "/logout", "/auth/login", "/static/**"],
                access="public",
            ),
            Rule("/api/admin", any_role="admin"),
            Rule("/app/**", credentials=["bearer", {"cookie": COOKIE}], login="/login"),
        ],
        forward={
            "X-Auth-User-ID": "sub",
            "X-Auth-User-Email": "email",
            "X-Auth-User-Roles": "roles",
        },
        response_headers=True,
    )
