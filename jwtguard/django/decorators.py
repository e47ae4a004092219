"""What a Django view wants besides the rules."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]

from jwtguard.asgi import ScopeRequest
from jwtguard.core.requirement import Requirement
from jwtguard.requires import View, judge, mark, requirement_from
from jwtguard.wsgi import EnvironRequest


def requires(requirement: Requirement | None = None, /, **words: Any) -> Callable[[View], View]:
    """A function view, sync or async, wants a valid token that meets a `Requirement`.

    Give it one object, or its words. View arguments are the path parameters:
    ``@requires(require={"sub": {"path": "user_id"}})``. For a class view, wrap it:
    ``@method_decorator(requires(…), name="dispatch")``.

    Raises `errors.ConfigurationError` for words that make no sense, when the view is defined, and
    where no guard saw the request.
    """
    wanted = requirement_from(requirement, words)

    def decorate(view: View) -> View:
        name = getattr(view, "__qualname__", repr(view))

        def refusal(request: HttpRequest, arguments: Mapping[str, object]) -> HttpResponse | None:
            scope = getattr(request, "scope", None)
            published = request.META if scope is None else scope
            asked = EnvironRequest(published) if scope is None else ScopeRequest(scope)
            asked.path = request.path_info  # Django keeps text where PEP 3333 wants latin-1
            deny = judge(wanted, published, asked, arguments, name)
            if deny is None:
                return None
            return HttpResponse(deny.body, status=deny.status, headers=dict(deny.headers))

        @wraps(view)
        def required(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return refusal(request, kwargs) or view(request, *args, **kwargs)

        @wraps(view)
        async def required_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return refusal(request, kwargs) or await view(request, *args, **kwargs)

        chosen = required_async if iscoroutinefunction(view) else required
        return mark(cast(View, chosen), wanted, view)

    return decorate
