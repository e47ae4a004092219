"""Who may see what in the demo, and where people sign in: the part that a real app would write."""

from jwtguard import Guard, Login, Rule
from jwtguard.testing import FakeIssuer

AUDIENCE = "https://demo.test/api"

# Of one address; what is beyond it is answered with 429.
API_RATE = {"limit": "10/second", "burst": 20}
ADMIN_RATE = {"limit": "10/second", "burst": 10}
SIGN_IN_RATE = {"limit": "5/second", "burst": 10}


def make_issuer() -> FakeIssuer:
    """The development issuer, with a key that is made now and lives as long as the process."""
    return FakeIssuer("https://demo.test/", audience=AUDIENCE, algorithm="ES256", name="demo")


def make_guard(issuer: FakeIssuer, origin: str, login: Login, *also_open: str) -> Guard:
    """The guard of the site at *origin*. What no rule names needs a token or a session."""
    return Guard(
        issuers=[issuer.trusted()],
        rules=[
            Rule(["/", "/health", "/api/public", "/static/**", *also_open], access="public"),
            Rule("/api/protected", rate=API_RATE),
            Rule("/api/admin", any_role="admin", rate=ADMIN_RATE),
            Rule("/app/**", credentials=["bearer", "session"]),
        ],
        public_url=origin,
        login=login,
        forward={
            "X-Auth-User-ID": "sub",
            "X-Auth-User-Email": "email",
            "X-Auth-User-Roles": "roles",
        },
        response_headers=True,
        trusted_proxies="127.0.0.1",
    )
