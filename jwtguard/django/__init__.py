"""For Django projects.

# settings.py
JWTGUARD = BASE_DIR / "jwtguard.toml"
INSTALLED_APPS = ["jwtguard.django", …]                     # the system checks
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware",
              "jwtguard.django.GuardMiddleware", …]
AUTHENTICATION_BACKENDS = ["jwtguard.django.TokenBackend"]  # request.user is the token's

# views.py
@requires(scopes="reports:read")
def reports(request): ...
"""

from .decorators import public, requires
from .middleware import GuardMiddleware
from .settings import current_guard
from .users import TokenBackend, TokenUser, UserRefused, get_or_create_user

__all__ = [
    "GuardMiddleware",
    "TokenBackend",
    "TokenUser",
    "UserRefused",
    "current_guard",
    "get_or_create_user",
    "public",
    "requires",
]
