"""For Django REST framework: who sent a request, and what a view wants of the token.

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["jwtguard.django.rest.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

class Reports(APIView):
    permission_classes = [Requires(scopes="reports:read") | IsAdminUser]
"""

import json
from typing import TYPE_CHECKING, Any, Unpack

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.permissions import (
    AND,
    OR,
    BasePermission,
    BasePermissionMetaclass,
    OperandHolder,
)
from rest_framework.request import Request

from jwtguard.core.errors import AuthError, MissingCredentials, Unavailable
from jwtguard.core.model import Deny
from jwtguard.core.requirement import Requirement, RequirementWords
from jwtguard.core.token import VerifiedToken
from jwtguard.requires import authorize, published_token, requirement_from

from .requests import Refused, asked, guard_of, keep_private, published, token_of
from .users import UserRefused, user_for

if TYPE_CHECKING:  # importing it reads the settings, which may name what is defined here
    from rest_framework.views import APIView

__all__ = ["NotChecked", "Requires", "TokenAuthentication", "TokenRefused"]


class NotChecked(APIException):
    """A refusal of the guard in REST framework's words: this one says that we could not check."""

    def __init__(self, deny: Deny) -> None:
        self.deny = deny
        self.detail = _told(deny)

    def get_codes(self) -> str:
        """The ``code`` of the body."""
        return self.deny.error.code if self.deny.error else "error"

    def get_full_details(self) -> dict[str, Any]:
        """The body and its ``code``."""
        return {"message": self.detail, "code": self.get_codes()}

    # REST framework sets both on what an authenticator raises, by the one that stands first.

    @property
    def status_code(self) -> int:
        """The guard's; where it would send a browser to a login page, that of the refusal."""
        deny = self.deny
        return deny.error.status if deny.error and 300 <= deny.status < 400 else deny.status

    @status_code.setter
    def status_code(self, _: int) -> None:
        pass

    @property
    def auth_header(self) -> str | None:
        """The guard's challenge."""
        challenge = _header(self.deny, "WWW-Authenticate")
        return "Bearer" if challenge is None and self.status_code == 401 else challenge

    @auth_header.setter
    def auth_header(self, _: str) -> None:
        pass

    @property
    def wait(self) -> int | None:
        """Seconds after which to try again."""
        after = _header(self.deny, "Retry-After")
        return None if after is None else int(after)


class TokenRefused(NotChecked, AuthenticationFailed):
    """The guard's refusal of a token: its status, its challenge, its body."""


def _header(deny: Deny, name: str) -> str | None:
    return next((value for key, value in deny.headers if key == name), None)


def _told(deny: Deny) -> dict[str, Any]:
    """The body as an object, for REST framework's renderers."""
    if deny.body and _header(deny, "Content-Type") == "application/json":
        told: dict[str, Any] = json.loads(deny.body)
        return told
    error = deny.error or MissingCredentials()
    return {
        "error": error.error,
        "message": error.description,
        "code": error.code,
        "ref": deny.ref,
    }


_REFUSED = "_jwtguard_refused"


def _exception(deny: Deny, request: Request) -> NotChecked:
    setattr(request._request, _REFUSED, True)
    return (NotChecked if isinstance(deny.error, Unavailable) else TokenRefused)(deny)


class TokenAuthentication(BaseAuthentication):
    """``request.auth`` is the `VerifiedToken`, ``request.user`` its user (see `JWTGUARD_USER`).

    Behind `GuardMiddleware` it takes the token that was verified there. Without, it judges by the
    rule of the path, whatever access that gives: no credentials are nobody, and the permissions
    of the view decide. Raises TokenRefused for what is no good; NotChecked (503) where it
    could not be checked.
    """

    def authenticate(self, request: Request) -> tuple[Any, VerifiedToken] | None:
        """The user and the token, or None."""
        try:
            token = token_of(request._request)
            return None if token is None else (user_for(request._request), token)
        except Refused as refused:
            raise _exception(refused.deny, request) from None
        except UserRefused as refused:
            raise _exception(refused.deny(request._request), request) from None

    def authenticate_header(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: Request
    ) -> str:
        """The challenge where nothing was sent, for a view that wants somebody."""
        if hasattr(request._request, _REFUSED):  # the exception has its own, and its log line
            return "Bearer"
        deny = guard_of(request._request).refusal(MissingCredentials(), asked(request), "rest")
        return _header(deny, "WWW-Authenticate") or "Bearer"


# --- permissions --------------------------------------------------------------------------------


class _Telling:
    """Two permissions, of which one at least has refused."""

    op1: Any
    op2: Any

    @property
    def message(self) -> Any:
        """What the first says that has more to say than "no"."""
        for one in (self.op1, self.op2):
            if (message := getattr(one, "message", None)) is not None:
                return message
        return None


class _And(_Telling, AND):
    pass


class _Or(_Telling, OR):
    pass


class _Operators:
    """``&`` and ``|`` that keep what a refusal has to say; ``~`` refuses tokens that fit."""

    def __and__(self, other: Any) -> Any:
        return _Both(_And, self, other)

    def __or__(self, other: Any) -> Any:
        return _Both(_Or, self, other)

    def __rand__(self, other: Any) -> Any:
        return _Both(_And, other, self)

    def __ror__(self, other: Any) -> Any:
        return _Both(_Or, other, self)


class _Both(_Operators, OperandHolder):
    pass


class _Class(_Operators, BasePermissionMetaclass):
    pass


class _Required(BasePermission, metaclass=_Class):
    wanted: Requirement
    _refused: tuple[AuthError, VerifiedToken | None, Request, str] | None = None

    def has_permission(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: Request, view: "APIView"
    ) -> bool:
        """Whether the token meets the requirement; view arguments are the path parameters."""
        token = request.auth
        if not isinstance(token, VerifiedToken):
            token = published_token(published(request._request))
        try:
            if token is None:
                raise MissingCredentials
            authorize(self.wanted, token, lambda: asked(request), view.kwargs)
        except AuthError as error:
            self._refused = error, token, request, type(view).__qualname__
            return False
        keep_private(request)
        return True

    def has_object_permission(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: Request, view: "APIView", obj: object
    ) -> bool:
        """The same: it is the token that is asked about."""
        return self.has_permission(request, view)

    @property
    def message(self) -> str | None:
        """REST framework asks for it where it refuses: then the guard says how."""
        if self._refused is None:
            return None
        error, token, request, view = self._refused
        raw = None
        if token is not None:
            error.issuer, error.subject, raw = token.issuer, token.subject, token.raw
        guard = guard_of(request._request)
        deny = guard.refusal(error, asked(request), f"requires:{view}", raw)
        raise _exception(deny, request)


def Requires(requirement: Requirement | None = None, /, **words: Unpack[RequirementWords]) -> Any:  # noqa: N802
    """A permission class: the token meets a `Requirement`, one object or its words.

    It goes together with others by ``|``, ``&`` and ``~``. Its refusal is the guard's, with the
    challenge ``insufficient_scope`` where scopes are missing.

    Raises `errors.ConfigurationError` for words that make no sense.
    """
    return _Class("Requires", (_Required,), {"wanted": requirement_from(requirement, words)})
