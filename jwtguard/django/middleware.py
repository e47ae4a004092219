"""The Django door: ``MIDDLEWARE = [SecurityMiddleware, "jwtguard.django.GuardMiddleware", …]``."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from jwtguard import drive
from jwtguard.core.errors import ConfigurationError
from jwtguard.core.model import Allow, Decision, Deny, Flow
from jwtguard.guard import Guard
from jwtguard.transport import for_loops, for_threads

from .requests import asked, complete, publish, recall, response_to
from .routes import is_open, leads_to_open_view, led_to_open_view, opens_any, urlconf_of
from .settings import current_guard
from .users import UserRefused, backend_is_used, bind

if TYPE_CHECKING:
    from jwtguard.transport import Client

_JUDGED = "_jwtguard_judged"


class GuardMiddleware:
    """Judges every request before any middleware or view below it sees it.

    The guard is the one of the setting ``JWTGUARD`` (see `current_guard`). Views find the
    `VerifiedToken` in ``request.jwt`` (None where nobody was authenticated), and, where
    `TokenBackend` stands in AUTHENTICATION_BACKENDS, its user in ``request.user``.

    *client* and *fetch* are those of `jwtguard.wsgi.GuardMiddleware` (*fetch* is async under
    ASGI), for a ``sync_and_async_middleware`` of your own in MIDDLEWARE.

    Raises errors.ConfigurationError at start-up, with every problem.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self,
        get_response: Callable[[HttpRequest], Any],
        *,
        client: "Client | None" = None,
        fetch: Any = None,
    ) -> None:
        self.get_response = get_response
        self._on_loop = iscoroutinefunction(get_response)
        self._make_exchanges = partial(self._exchanges_for, client=client, fetch=fetch)
        self._guard = current_guard()
        self._exchanges = self._make_exchanges(self._guard)
        if self._on_loop:
            markcoroutinefunction(self)
            # A plain function would be called in a thread.
            vars(self)["process_view"] = self._process_view_on_loop

    def _exchanges_for(self, guard: Guard, client: Any, fetch: Any) -> tuple[Any, Any]:
        return (for_loops if self._on_loop else for_threads)(guard, client, fetch)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Judge one request."""
        if self._on_loop:
            return self._on_loop_call(request)
        decision = self._decide(request)
        if not isinstance(decision, (Allow, Deny)):
            decision = drive.run(decision, *self._exchanges)
        if isinstance(decision, Deny):
            return response_to(decision)
        self._admit(request, decision)
        return complete(self.get_response(request), self._guard.response_headers, decision.added)

    async def _on_loop_call(self, request: HttpRequest) -> HttpResponseBase:
        decision = self._decide(request)
        if not isinstance(decision, (Allow, Deny)):
            decision = await drive.arun(decision, *self._exchanges)
        if isinstance(decision, Deny):
            return response_to(decision)
        self._admit(request, decision)
        return complete(
            await self.get_response(request), self._guard.response_headers, decision.added
        )

    def _decide(self, request: HttpRequest) -> Decision | Flow[Decision]:
        guard = current_guard()
        if guard is not self._guard:  # override_settings
            self._exchanges = self._make_exchanges(guard)
            self._guard = guard
        urlconf, path = urlconf_of(request), request.path_info
        if not opens_any(urlconf):
            return recall(request, guard) or guard.judge(asked(request))
        was_public = partial(led_to_open_view, urlconf, path)
        is_public = partial(leads_to_open_view, urlconf, path)
        return recall(request, guard, was_public) or guard.judge(
            asked(request), is_public=is_public
        )

    def _admit(self, request: HttpRequest, allow: Allow) -> None:
        guard = self._guard
        publish(request, allow, guard)
        opened = allow.token is None and guard.is_closing(allow)  # by the view's own word
        setattr(request, _JUDGED, (request.path_info, request.method, opened))
        if backend_is_used():
            bind(request)

    def process_view(self, request: Any, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """What is called now is what was judged; and its user is the token's.

        Raises errors.ConfigurationError where a middleware below changed what Django routes.
        """
        path, method, opened = getattr(request, _JUDGED, (None, None, False))
        if (request.path_info, request.method) != (path, method):
            raise ConfigurationError(
                f"a middleware below jwtguard.django.GuardMiddleware made {request.method} "
                f"{request.path_info!r} of {method} {path!r}, which was judged; put it above"
            )
        if opened and not is_open(view):
            raise ConfigurationError(
                f"{path!r} led to a view that is public, and leads to another one since a "
                "middleware below jwtguard.django.GuardMiddleware chose the URLconf; put it above"
            )
        if request.jwt is not None and backend_is_used():
            bind(request)  # again: a middleware in between may have bound the session's

    async def _process_view_on_loop(
        self, request: Any, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> None:
        type(self).process_view(self, request, view, args, kwargs)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A user who may not come in is refused as by a rule."""
        if not isinstance(error, UserRefused):
            return None
        return response_to(error.deny(request))
