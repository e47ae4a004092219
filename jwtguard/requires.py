"""What the ``requires`` decorators of all frameworks share.

The guard in front of the app has judged the request by its rules; a decorator says what one view
wants besides, in the same words, and refuses as the guard would.
"""

from collections.abc import Mapping
from typing import Any

from .core.errors import AuthError, ConfigurationError, MissingCredentials
from .core.model import Deny, Request
from .core.requirement import Requirement
from .core.token import VerifiedToken
from .guard import Guard

Published = Mapping[str, Any]
"""Where a door leaves what it knows: a WSGI environ, or an ASGI scope."""


def requirement_from(requirement: object, words: Mapping[str, Any]) -> Requirement:
    """The one object a decorator was given, or one made of its words.

    Raises errors.ConfigurationError with every problem, when the view is defined.
    """
    if callable(requirement):
        raise ConfigurationError("write @requires(…) with parentheses, also where nothing is in it")
    if requirement is None:
        try:
            requirement = Requirement(**words)
        except TypeError as error:
            raise ConfigurationError([("requires", str(error))]) from None
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
    if not {"jwtguard.token", "jwtguard.guard"} <= published.keys():
        raise ConfigurationError(
            "no guard saw this request; put jwtguard.wsgi.GuardMiddleware or "
            "jwtguard.asgi.GuardMiddleware in front of the app (a door of your own publishes "
            "jwtguard.token and jwtguard.guard)"
        )
    token: VerifiedToken | None = published["jwtguard.token"]
    return token


def judge(
    requirement: Requirement,
    published: Published,
    request: Request,
    arguments: Mapping[str, object],
    view: str,
) -> Deny | None:
    """The refusal to send instead of calling the view, or None.

    *arguments* are the view's, which ``{"path": name}`` compares with; *view* is its name, for
    the log.
    """
    token = published_token(published)
    try:
        if token is None:
            raise MissingCredentials
        requirement.authorize(token, request, arguments)
    except AuthError as error:
        raw = None
        if token is not None:
            error.issuer, error.subject, raw = token.issuer, token.subject, token.raw
        guard: Guard = published["jwtguard.guard"]
        return guard.refusal(error, request, f"requires:{view}", raw)
    return None
