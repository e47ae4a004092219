"""For django-ninja: ``NinjaAPI(auth=TokenAuth())``, ``@api.get(…, auth=TokenAuth(scopes="a"))``."""

from typing import Any, Unpack

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError
from ninja.security.base import AuthBase

from jwtguard.core.errors import MissingCredentials
from jwtguard.core.model import Deny
from jwtguard.core.requirement import Requirement, RequirementWords
from jwtguard.core.token import VerifiedToken
from jwtguard.requires import requirement_from

from .decorators import refuse
from .requests import Refused, asked, atoken_of, guard_of, response_to, token_of
from .users import UserRefused, backend_is_used, bind

__all__ = ["AsyncTokenAuth", "TokenAuth", "TokenRefused", "install"]


class TokenRefused(HttpError):
    """A refusal of the guard; `install` answers with exactly what it says."""

    def __init__(self, deny: Deny) -> None:
        error = deny.error or MissingCredentials()
        super().__init__(error.status, error.description)
        self.deny = deny


class TokenAuth(AuthBase):
    """``request.auth`` is the `VerifiedToken`, which meets a `Requirement`: one, or its words.

    Behind `GuardMiddleware` it takes the token that was verified there; without, it judges. None
    where the request carries none, so that the next of several may look. Path parameters are those
    of the operation. Raises TokenRefused.
    """

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_bearerFormat = "JWT"  # noqa: N815 - OpenAPI's word

    def __init__(
        self, requirement: Requirement | None = None, /, **words: Unpack[RequirementWords]
    ) -> None:
        self.wanted = requirement_from(requirement, words)
        super().__init__()

    def __call__(self, request: HttpRequest) -> Any:
        """The token, or None."""
        try:
            return self._meets(request, token_of(request))
        except Refused as refused:
            raise TokenRefused(refused.deny) from None

    def _meets(self, request: HttpRequest, token: VerifiedToken | None) -> VerifiedToken | None:
        if token is None:
            return None
        match: Any = request.resolver_match
        deny = refuse(self.wanted, request, match.kwargs, match.route)
        if deny is not None:
            raise TokenRefused(deny)
        if backend_is_used():
            bind(request)
        return token


class AsyncTokenAuth(TokenAuth):
    """The same for async operations, without a thread."""

    async def __call__(self, request: HttpRequest) -> Any:
        """The token, or None."""
        try:
            return self._meets(request, await atoken_of(request))
        except Refused as refused:
            raise TokenRefused(refused.deny) from None


def install(api: NinjaAPI) -> None:
    """Refusals of *api* are the guard's: status, challenge, body."""

    def refused(_: HttpRequest, error: Any) -> HttpResponse:
        return response_to(error.deny)

    def user_refused(request: HttpRequest, error: Any) -> HttpResponse:
        return response_to(error.deny(request))

    def nobody(request: HttpRequest, _: Any) -> HttpResponse:
        guard = guard_of(request)
        return response_to(guard.refusal(MissingCredentials(), asked(request), "ninja"))

    api.add_exception_handler(TokenRefused, refused)
    api.add_exception_handler(UserRefused, user_refused)
    api.add_exception_handler(AuthenticationError, nobody)
