"""Django's requests as the guard reads them, and what a decision makes of them."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from jwtguard import asgi, drive, wsgi
from jwtguard.core.model import Allow, Decision, Deny, Flow, Pairs, Request
from jwtguard.core.token import VerifiedToken
from jwtguard.guard import Guard
from jwtguard.requires import published_token
from jwtguard.transport import for_loops, for_threads

from .settings import current_guard


def asked(request: Any) -> Request:
    """*request*, Django's or REST framework's, for the guard.

    Its path and its method are those that Django routes. The rest is as the server handed it over,
    before Django read it: `asgi.ScopeRequest` sees what META joins or drops.
    """
    scope = _scope_of(request)
    meta = request.META
    seen: Request
    if scope is None:
        seen = wsgi.EnvironRequest(meta)
    else:
        seen = asgi.ScopeRequest(scope, _receive(request))
        # Django's AsyncClient makes a scope with text where ASGI wants bytes.
        seen.query = meta["QUERY_STRING"].encode().decode("latin-1")
    # META holds text where PEP 3333 wants bytes as latin-1.
    seen.path = request.path_info or "/"
    seen.mount = meta.get("SCRIPT_NAME", "")
    if request.method != seen.method.upper():  # a middleware above chose another one
        seen.method = request.method
    return seen


def _receive(request: Any) -> asgi.Receive:
    """The body, which Django has received before anybody sees the request."""

    async def receive() -> asgi.Message:
        return {"type": "http.request", "body": request.body}

    return receive


def _scope_of(request: Any) -> dict[str, Any] | None:
    """What an ASGI server handed over; None under WSGI, whatever a project calls its scope."""
    scope = getattr(request, "scope", None)
    return scope if isinstance(scope, dict) else None


def recall(
    request: HttpRequest, guard: Guard, is_public: Callable[[], bool] | None = None
) -> Allow | None:
    """What `Guard.judge` would say where the target and the token were both seen before."""
    meta = request.META
    scope = _scope_of(request)
    if scope is None:
        raw_path = meta.get("RAW_URI") or meta.get("REQUEST_URI")
        if raw_path != meta.get("REQUEST_URI", raw_path):
            return None  # two targets
    else:
        raw = scope.get("raw_path")
        raw_path = None if raw is None else raw.decode("latin-1")
    field = meta.get("HTTP_AUTHORIZATION")  # joined with commas where there are two
    return guard.recall(request.method or "", request.path_info or "/", raw_path, field, is_public)


def published(request: HttpRequest) -> Mapping[str, Any]:
    """Where a door in front, or `publish`, left what it knows of *request*."""
    scope = _scope_of(request)
    meta: Mapping[str, Any] = request.META
    return meta if scope is None else scope


def publish(request: Any, allow: Allow, guard: Guard) -> None:
    """Make views see what *allow* says: in META and all that Django makes of it, in the scope."""
    wsgi.publish(request.META, allow, guard)
    scope = _scope_of(request)
    if scope is not None:
        request.scope = asgi.published(scope, allow, guard)
        if allow.query is not None:  # META has it as text there
            request.META["QUERY_STRING"] = allow.query.encode("latin-1").decode()
    request.jwt = allow.token
    # A middleware above may have looked already, and Django remembers what it saw.
    kept = vars(request)
    for name in ("headers", "COOKIES", "GET"):
        kept.pop(name, None)


def response_to(deny: Deny) -> HttpResponse:
    """Exactly what *deny* says, as Django's response."""
    response = HttpResponse(deny.body, status=deny.status)
    del response["Content-Type"]
    _add(response, deny.headers)
    return response


def complete(response: HttpResponseBase, missing: Pairs, added: Pairs) -> HttpResponseBase:
    """*response* with the *missing* headers that the view did not set, and *added* ones."""
    for name, value in missing:
        if name not in response:
            response[name] = value
    _add(response, added)
    return response


def _add(response: HttpResponseBase, headers: Pairs) -> None:
    for name, value in headers:
        if name == "Set-Cookie":  # Django keeps these apart, so that there may be several
            response.cookies.load(value)
        else:
            response[name] = value


# --- where a view asks for itself, with the middleware in front or without ----------------------


class Refused(Exception):
    """The request is refused as *deny* says."""

    def __init__(self, deny: Deny) -> None:
        super().__init__(str(deny.error))
        self.deny = deny


def token_of(request: Any) -> VerifiedToken | None:
    """The token of *request*, None where it carries none.

    A guard in front has published it; where none saw the request, it is judged now, by the first
    rule that matches but for its access. Raises Refused where what it carries is no good.
    """
    if not _is_known(request):
        guard = current_guard()
        decision = _judge(request, guard)
        if not isinstance(decision, (Allow, Deny)):
            decision = drive.run(decision, *for_threads(guard, None, None))
        _publish_or_refuse(request, decision, guard)
    return _known_token(request)


async def atoken_of(request: Any) -> VerifiedToken | None:
    """The same on an event loop."""
    if not _is_known(request):
        guard = current_guard()
        decision = _judge(request, guard)
        if not isinstance(decision, (Allow, Deny)):
            decision = await drive.arun(decision, *for_loops(guard, None, None))
        _publish_or_refuse(request, decision, guard)
    return _known_token(request)


def _judge(request: Any, guard: Guard) -> Decision | Flow[Decision]:
    # A token that met the rule before passes, whether it had to be there or not.
    return recall(request, guard) or guard.judge(asked(request), access="optional")


def guard_of(request: HttpRequest) -> Guard:
    """The guard that judged *request*, or would."""
    guard: Guard | None = published(request).get("jwtguard.guard")
    return guard or current_guard()


def _is_known(request: HttpRequest) -> bool:
    known = published(request)
    return "jwtguard.token" in known and "jwtguard.guard" in known


def _publish_or_refuse(request: HttpRequest, decision: Decision, guard: Guard) -> None:
    if isinstance(decision, Deny):
        raise Refused(decision)
    publish(request, decision, guard)


def _known_token(request: Any) -> VerifiedToken | None:
    token = request.jwt = published_token(published(request))
    if token is not None:
        keep_private(request)
    return token


def keep_private(request: Any) -> None:
    """What is answered now was judged by the token: no cache further out may keep it.

    It would answer the next one before the view could refuse, and the headers it tells clients
    apart by are gone where the guard took them out. A cache inside of the judgement is asked after
    this, and keeps what it likes. The attribute is what ``UpdateCacheMiddleware`` and
    ``cache_page`` go by.
    """
    getattr(request, "_request", request)._cache_update_cache = False
