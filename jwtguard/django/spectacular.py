"""For drf-spectacular: the security scheme of `rest.TokenAuthentication`."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """``Authorization: Bearer`` with a JWT (OpenAPI 3.1 section 4.8.27)."""

    target_class = "jwtguard.django.rest.TokenAuthentication"
    match_subclasses = True
    name = "jwtguard"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
