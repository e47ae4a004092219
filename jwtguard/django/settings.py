"""The guard of a project: the setting ``JWTGUARD``, else the environment's ``JWTGUARD_CONFIG``."""

from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from jwtguard import config
from jwtguard.core.errors import ConfigurationError
from jwtguard.guard import Guard

UNSET = (
    "no guard: set JWTGUARD in the settings to a file (BASE_DIR / 'jwtguard.toml'), a mapping, "
    "'module:guard' or a Guard, or JWTGUARD_CONFIG in the environment"
)


class GuardImproperlyConfigured(ConfigurationError, ImproperlyConfigured):
    """A ConfigurationError in Django's words."""


@cache
def current_guard() -> Guard:
    """The Guard of this process, read once; `setting_changed` (`override_settings`) reads again.

    Raises errors.ConfigurationError with every problem, also where nothing is set: there is no
    such thing as no guard.
    """
    target: Any = getattr(settings, "JWTGUARD", None)
    try:
        return config.from_environment() if target is None else config.load(target)
    except ConfigurationError as error:
        problems = error.problems
        if target is None and [where for where, _ in problems] == [config.VARIABLE]:
            problems = (("JWTGUARD", UNSET),)
        raise GuardImproperlyConfigured(problems) from None


def _forget(*, setting: str, **_: object) -> None:
    if setting == "JWTGUARD":
        current_guard.cache_clear()


setting_changed.connect(_forget)
