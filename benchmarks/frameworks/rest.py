"""Django REST framework beside djangorestframework-simplejwt, without a database."""

from typing import Any

from django.http import HttpResponse

from benchmarks.frameworks import Beyond, Form
from benchmarks.frameworks.django import GUARD, PEER, Handler, caller, configure, request
from benchmarks.traffic import NEEDED_SCOPE, Signer

SIMPLEJWT = {PEER: Beyond("simplejwt", "empty")}
FORMS = [
    Form("TokenAuthentication", Beyond("authentication", "empty"), SIMPLEJWT),
    Form(
        "TokenAuthentication, guarded",
        Beyond("guard authentication", "guard empty"),
        SIMPLEJWT,
    ),
    Form("Requires, guarded", Beyond("guard Requires", "guard authentication"), SIMPLEJWT),
]

__all__ = ["FORMS", "apps", "caller", "request"]


def apps(signer: Signer) -> dict[str, Handler]:
    configure(signer)
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.permissions import BasePermission
    from rest_framework.views import APIView
    from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication

    from jwtguard.django.rest import Requires, TokenAuthentication

    class Empty(BaseAuthentication):
        def authenticate(self, request: Any) -> Any:
            return "nobody", None

    class Open(BasePermission):
        pass

    class Scope(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            return NEEDED_SCOPE in request.auth["scope"].split()

    def app(authentication: Any, permission: Any, *middleware: str) -> Handler:
        class View(APIView):
            authentication_classes = (authentication,)
            permission_classes = (permission,)

            def get(self, request: Any, number: str) -> HttpResponse:
                return HttpResponse(b"{}")

        return Handler(View.as_view(), *middleware)

    return {
        "empty": app(Empty, Open),
        "authentication": app(TokenAuthentication, Open),
        "guard empty": app(Empty, Open, GUARD),
        "guard authentication": app(TokenAuthentication, Open, GUARD),
        "guard Requires": app(TokenAuthentication, Requires(scopes=NEEDED_SCOPE), GUARD),
        "simplejwt": app(JWTStatelessUserAuthentication, Scope),
    }
