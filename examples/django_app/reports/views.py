"""The rules say who gets here at all; ``requires`` says what one view wants besides."""

from django.http import HttpRequest, JsonResponse
from django.views import View

from jwtguard.django import public, requires


def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@public
def welcome(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reports": "/reports/"})


def list_reports(request: HttpRequest, tenant: str | None = None) -> JsonResponse:
    return JsonResponse({"for": request.user.username, "tenant": tenant, "reports": [1, 2]})


@requires(scopes="reports:read")
async def read_report(request: HttpRequest, number: int) -> JsonResponse:
    user = await request.auser()
    return JsonResponse({"for": user.username, "report": number})


@requires(require=[{"sub": {"path": "user"}}, {"roles": "admin"}])
class ReportsOf(View):
    def get(self, request: HttpRequest, user: str) -> JsonResponse:
        return JsonResponse({"for": request.user.username, "of": user})


def queue(request: HttpRequest) -> JsonResponse:
    roles = sorted(request.jwt.roles)
    return JsonResponse({"for": request.user.username, "as": roles, "waiting": 0})
