"""The Django app: it brings the system checks, and nothing else."""

from django.apps import AppConfig


class JWTGuardConfig(AppConfig):
    """``INSTALLED_APPS = ["jwtguard.django", …]``."""

    name = "jwtguard.django"
    label = "jwtguard_middleware"  # "jwtguard" is another package's
    verbose_name = "jwtguard"

    def ready(self) -> None:
        """Register the checks."""
        from .checks import register_all  # users' middleware classes are importable only now

        register_all()
