"""Views of a Django project."""

from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]

from jwtguard import Requirement
from jwtguard.django import requires


@requires(scopes="reports:read", roles="staff")
def reports(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"")


@requires(Requirement(any_scope=["a", "b"]))
async def user(request: HttpRequest, user_id: str) -> HttpResponse:
    return HttpResponse(user_id.encode())
