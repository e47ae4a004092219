"""Who may see what: the guard that the setting JWTGUARD names.

`jwtguard check config.guard:guard` reads it without starting anything.
"""

import os
from pathlib import Path

from jwtguard import Guard, Issuer, PublicKey, Rule

# RSA in production: the identity provider signs, and this service holds its public key only.
KEY_FILE = os.environ.get("ISSUER_KEY_FILE") or Path(__file__).parent.parent / "issuer.pub"

guard = Guard(
    issuers=[
        Issuer(
            "https://login.example.com/",
            name="people",
            audience="https://reports.example.com",
            algorithms=["RS256"],
            keys=PublicKey.from_file(KEY_FILE),
        )
    ],
    rules=[
        Rule("/health", access="public"),
        Rule("/staff/**", any_role=["staff", "admin"]),
        Rule("/tenants/{tenant}/**", require={"tenant_id": {"path": "tenant"}}),
        # What nobody named needs a valid token.
    ],
    realm="reports.example.com",
)
