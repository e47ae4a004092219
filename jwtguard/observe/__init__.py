"""Observers: who is told of decisions, and of exchanges with identity providers.

``Guard(…, observer=PrometheusObserver())``, or one of your own, derived from `Observer`.
`jwtguard.observe.prometheus` and `jwtguard.observe.otel` need the extras of the same names.
"""

from importlib import import_module

from jwtguard.core.errors import ConfigurationError
from jwtguard.core.observing import Decided, Exchange, Observer
from jwtguard.core.wording import one_of

__all__ = ["Decided", "Exchange", "Observer", "by_name"]

_NAMED = {
    "prometheus": ("PrometheusObserver", "prometheus-client", "[prometheus]"),
    "otel": ("OpenTelemetryObserver", "opentelemetry-api", "[otel]"),
}


def by_name(name: str) -> Observer:
    """The observer that a configuration file calls "prometheus" or "otel".

    Raises `errors.ConfigurationError`, also where its library is not installed.
    """
    if name not in _NAMED:
        raise ConfigurationError(one_of(name, tuple(_NAMED)))
    kind, library, extra = _NAMED[name]
    try:
        module = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"{name!r} needs {library}: pip install 'jwtguard-middleware{extra}' "
            f"(there is no {missing.name})"
        ) from None
    observer: Observer = getattr(module, kind)()
    return observer
