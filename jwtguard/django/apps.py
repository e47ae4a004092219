"""The Django app: it brings the system checks, and has no tables."""

from django.apps import AppConfig, apps


class JWTGuardConfig(AppConfig):
    """``INSTALLED_APPS = ["jwtguard.django", …]``."""

    name = "jwtguard.django"
    label = "jwtguard_middleware"  # "jwtguard" is another package's
    verbose_name = "jwtguard"

    def ready(self) -> None:
        """Register the checks, and the security scheme for drf-spectacular."""
        from .checks import register_all  # users' middleware classes are importable only now

        register_all()
        if apps.is_installed("drf_spectacular"):
            from . import spectacular  # noqa: F401
