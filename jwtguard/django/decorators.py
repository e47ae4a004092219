"""What a Django view says of itself: what it wants besides the rules, or that it is open."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import Any, Unpack, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator

from jwtguard.core.errors import ConfigurationError
from jwtguard.core.model import Deny
from jwtguard.core.requirement import Requirement, RequirementWords
from jwtguard.requires import View, judge, mark, requirement_from, unmark

from .requests import asked, keep_private, published, response_to
from .routes import OPENED_BY


def requires(
    requirement: Requirement | None = None, /, **words: Unpack[RequirementWords]
) -> Callable[[View], View]:
    """A view, sync or async, wants a valid token that meets a `Requirement`.

    Give it one object, or its words. It stands on a function or on a class; view arguments are the
    path parameters: ``@requires(require={"sub": {"path": "user_id"}})``.

    Raises `errors.ConfigurationError` for words that make no sense, when the view is defined, and
    where no guard saw the request.
    """
    wanted = requirement_from(requirement, words)

    def decorate(view: View) -> View:
        name = getattr(view, "__qualname__", repr(view))
        if isinstance(view, type):
            _disown(view)
            of_class = partial(_guarded, wanted=wanted, name=name)
            return cast(View, method_decorator(of_class, name="dispatch")(view))
        return _guarded(view, wanted, name)

    return decorate


def _guarded(view: View, wanted: Requirement, name: str) -> View:
    """The function, judged first; *name* is for the log."""

    def refusal(request: HttpRequest, arguments: Mapping[str, object]) -> HttpResponse | None:
        deny = refuse(wanted, request, arguments, name)
        return None if deny is None else response_to(deny)

    @wraps(view)
    def required(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return refusal(request, kwargs) or view(request, *args, **kwargs)

    @wraps(view)
    async def required_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return refusal(request, kwargs) or await cast(
            Awaitable[Any], view(request, *args, **kwargs)
        )

    chosen = required_async if _is_async(view) else required
    return mark(cast(View, chosen), wanted, view)


def _disown(view: Any) -> None:
    """What a class that *view* derives from says of itself, by `public`, is not its own word."""
    inherited = view.dispatch
    if getattr(inherited, OPENED_BY, view) is not view:

        def dispatch(self: Any, *args: Any, **kwargs: Any) -> Any:
            return inherited(self, *args, **kwargs)

        # What Django's own decorators wrote there counts on, such as csrf_exempt.
        vars(dispatch).update(vars(inherited))
        unmark(dispatch)
        for name in ("__wrapped__", OPENED_BY):
            vars(dispatch).pop(name, None)
        view.dispatch = dispatch


def _is_async(view: Callable[..., Any]) -> bool:
    """Whether *view* returns something to await."""
    if iscoroutinefunction(view):
        return True
    # What method_decorator hands over: the dispatch of a class view, bound.
    of = getattr(getattr(view, "func", None), "__self__", None)
    return bool(getattr(of, "view_is_async", False))


def refuse(
    wanted: Requirement, request: HttpRequest, arguments: Mapping[str, object], view: str
) -> Deny | None:
    """The refusal of a request that does not meet what *view* wants, or None."""
    if not hasattr(request, "META"):
        raise ConfigurationError(
            f"@requires stands on {view}, which is a method; put it on the class, or write "
            "@method_decorator(requires(…))"
        )
    keep_private(request)
    return judge(wanted, published(request), lambda: asked(request), arguments, view)


def public(view: View) -> View:
    """A view, a function or a class, is open where no rule of yours says otherwise.

    It decides where the closing rule would: a rule that matches the path decides alone. No token
    is read there, so ``request.jwt`` is None. Classes that derive from it are not open.

    Raises `errors.ConfigurationError` where the view has requirements too.
    """
    if not isinstance(view, type):
        mark(view, "public")
        vars(view).pop(OPENED_BY, None)
        return view
    inner = cast(Any, view).dispatch

    @wraps(inner)
    def dispatch(self: Any, *args: Any, **kwargs: Any) -> Any:
        return inner(self, *args, **kwargs)

    mark(dispatch, "public")
    setattr(dispatch, OPENED_BY, view)
    cast(Any, view).dispatch = dispatch
    return cast(View, view)
