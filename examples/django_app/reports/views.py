"""The rules say who gets here at all; ``requires`` says what one view wants besides."""

from django.http import HttpRequest, JsonResponse

from jwtguard.django import requires


def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def list_reports(request: HttpRequest, tenant: str | None = None) -> JsonResponse:
    return JsonResponse({"for": request.headers["X-User-Id"], "tenant": tenant, "reports": [1, 2]})


@requires(scopes="reports:read")
async def read_report(request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse({"for": request.headers["X-User-Id"], "report": number})


@requires(require=[{"sub": {"path": "user"}}, {"roles": "admin"}])
def reports_of(request: HttpRequest, user: str) -> JsonResponse:
    return JsonResponse({"for": request.headers["X-User-Id"], "of": user})


def queue(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"for": request.headers["X-User-Id"], "waiting": 0})
