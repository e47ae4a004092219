"""What the ``requires`` decorators of all frameworks share.

The guard in front of the app has judged the request by its rules; a decorator says what one view
wants besides, in the same words, and refuses as the guard would.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from .core.errors import AuthError, ConfigurationError, MissingCredentials
from .core.model import Deny, Request
from .core.requirement import REQUIREMENT_WORDS, Requirement
from .core.token import VerifiedToken
from .core.wording import did_you_mean
from .guard import Guard

View = TypeVar("View", bound=Callable[..., Any])

Said = Requirement | Literal["public"]
"""What a view says of itself."""

Published = Mapping[str, Any]
"""Where a door leaves what it knows: a WSGI environ, or an ASGI scope."""

Asked = Request | Callable[[], Request]
"""A request, or what makes it where somebody looks at it."""


def requirement_from(requirement: object, words: Mapping[str, Any]) -> Requirement:
    """The one object a decorator was given, or one made of its words.

    Raises errors.ConfigurationError with every problem, when the view is defined.
    """
    if callable(requirement):
        raise ConfigurationError("write @requires(…) with parentheses, also where nothing is in it")
    if requirement is None:
        if unknown := [word for word in words if word not in REQUIREMENT_WORDS]:
            raise ConfigurationError(
                [
                    (
                        f"requires.{word}",
                        f"is no word of a requirement{did_you_mean(word, REQUIREMENT_WORDS)}",
                    )
                    for word in unknown
                ]
            )
        requirement = Requirement(**words)
    elif not isinstance(requirement, Requirement) or words:
        raise ConfigurationError("requires takes one Requirement, or its words: roles=, scopes=, …")
    if requirement.problems:
        raise ConfigurationError([(f"requires.{at}", what) for at, what in requirement.problems])
    return requirement


def published_token(published: Published) -> VerifiedToken | None:
    """The token of this request; None where the guard authenticated nobody.

    Raises errors.ConfigurationError where no guard saw the request: nothing is known of it then,
    which must never pass for "nobody".
    """
    if "jwtguard.token" not in published or "jwtguard.guard" not in published:
        raise ConfigurationError(
            "no guard saw this request; use your framework's extension or middleware "
            "(JWTGuard, install), or put jwtguard.wsgi.GuardMiddleware or "
            "jwtguard.asgi.GuardMiddleware in front of the app (a door of your own publishes "
            "jwtguard.token and jwtguard.guard)"
        )
    token: VerifiedToken | None = published["jwtguard.token"]
    return token


def judge(
    requirement: Requirement,
    published: Published,
    request: Asked,
    arguments: Mapping[str, object],
    view: object,
) -> Deny | None:
    """The refusal to send instead of calling the view, or None.

    *request* may be what makes it, and *view* as text is the view's name: most requests are not
    refused and need neither. *arguments* are the view's, which ``{"path": name}`` compares with.
    """
    token = published_token(published)
    try:
        if token is None:
            raise MissingCredentials
        authorize(requirement, token, request, arguments)
    except AuthError as error:
        raw = None
        if token is not None:
            error.issuer, error.subject, raw = token.issuer, token.subject, token.raw
        guard: Guard = published["jwtguard.guard"]
        return guard.refusal(error, _read(request), f"requires:{view}", raw)
    return None


def authorize(
    requirement: Requirement,
    token: VerifiedToken,
    request: Asked,
    arguments: Mapping[str, object],
) -> None:
    """`Requirement.authorize`; only a check looks at the request, so only for one it is made."""
    seen = _UNREAD if requirement.check is None else _read(request)
    requirement.authorize(token, seen, arguments)


_UNREAD = Request("GET", "/")


def _read(request: Asked) -> Request:
    return request if isinstance(request, Request) else request()


# --- what views say of themselves ---------------------------------------------------------------

_SAID = "__jwtguard__"  # travels through every decorator that uses functools.wraps
_wrapped: WeakKeyDictionary[Callable[..., Any], str] = WeakKeyDictionary()


def said_by(view: object) -> Said | None:
    """What a view says of itself, by ``requires`` or ``public``; None where it says nothing."""
    said: Said | None = getattr(view, _SAID, None)
    return said


def mark(view: View, said: Said, inner: Callable[..., Any] | None = None) -> View:
    """Write down what *view* says of itself; *inner* is what it wraps.

    Raises errors.ConfigurationError where it says both.
    """
    name = getattr(view, "__qualname__", repr(view))
    before = said_by(inner if inner is not None else view)
    if before is not None and (before == "public") != (said == "public"):
        raise ConfigurationError(f"{name} is marked public and has requirements; it is one of them")
    setattr(view, _SAID, said)
    if inner is not None:
        with suppress(TypeError):  # some callables cannot be remembered weakly
            _wrapped[inner] = name
    return view


def unmark(view: Callable[..., Any]) -> None:
    """Take back what *view* says of itself."""
    vars(view).pop(_SAID, None)


def refuse_open_routes(views: Iterable[Callable[..., Any]]) -> None:
    """Raises errors.ConfigurationError where a route leads past the decorator of its view.

    *views* are what the routes of an app lead to. A decorator above the route decorates what
    nobody calls: the route has registered the function below it.
    """
    open_ones = dict.fromkeys(name for view in views if (name := _passed_by(view)) is not None)
    if open_ones:
        above = "@requires(…) stands above the route, where it guards nothing; put it below"
        raise ConfigurationError([(name, above) for name in open_ones])


def _passed_by(view: Callable[..., Any]) -> str | None:
    """The name of the view where a decorator wraps *view*, or what it calls, for nobody."""
    inside = [] if said_by(view) is not None else _insides(view)
    for one in (view, *inside):
        with suppress(TypeError):  # no weak reference to it can be made, so none was
            if (name := _wrapped.get(one)) is not None:
                return name
    return None


def _insides(view: object) -> list[Any]:
    """What *view* wraps, and what that wraps, to the function itself."""
    found: list[Any] = []
    while (view := getattr(view, "__wrapped__", None)) is not None and view not in found:
        found.append(view)
    return found
