"""Which protocol an app speaks, so that a door can say at once that it is the wrong one."""

import inspect
from typing import Literal

from .core.errors import ConfigurationError
from .core.guard import Guard


def protocol_of(app: object) -> Literal["wsgi", "asgi"] | None:
    """The protocol of *app*, or None where it cannot be told."""
    call = app if inspect.isroutine(app) else getattr(app, "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(call):
        return "asgi"
    try:
        parameters = inspect.signature(call).parameters.values() if call else ()
    except (ValueError, TypeError):
        return None
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    wanted = [p for p in parameters if p.default is p.empty and p.kind not in optional]
    return {2: "wsgi", 3: "asgi"}.get(len(wanted))  # type: ignore[return-value]


def expect(app: object, guard: object, protocol: Literal["wsgi", "asgi"]) -> None:
    """Raises ConfigurationError where *app* speaks the other protocol, or *guard* is none."""
    if not isinstance(guard, Guard):
        raise ConfigurationError(
            f"GuardMiddleware(app, guard) takes a Guard; found {type(guard).__name__}. "
            "jwtguard.from_toml(path) makes one of a file"
        )
    found = protocol_of(app)
    if found is not None and found != protocol:
        raise wrong_door(found)


def wrong_door(found: str) -> ConfigurationError:
    """What to import instead."""
    return ConfigurationError(
        f"this speaks {found.upper()}: use `from jwtguard.{found} import GuardMiddleware`"
    )
