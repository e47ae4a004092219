"""Views of REST framework and of ninja; the first brings no types."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja import NinjaAPI
from rest_framework.permissions import IsAdminUser
from rest_framework.views import APIView

from jwtguard import Requirement, VerifiedToken
from jwtguard.django import get_or_create_user, public
from jwtguard.django.ninja import AsyncTokenAuth, TokenAuth, install
from jwtguard.django.rest import NotChecked, Requires, TokenAuthentication, TokenRefused
from jwtguard.testing.django import AsyncClient, Client, TokenLogins, logins


class Reports(APIView):  # type: ignore[misc,unused-ignore]
    authentication_classes = (TokenAuthentication,)
    permission_classes = (
        Requires(scopes="reports:read") | IsAdminUser,
        ~Requires(Requirement(roles="guest")) & Requires(any_scope=["a", "b"]),
    )

    def get(self, request: Any) -> list[int]:
        return []


def statuses(error: TokenRefused | NotChecked) -> int:
    return int(error.status_code)


api = NinjaAPI(auth=TokenAuth())
install(api)


@api.get("/me")
def me(request: HttpRequest) -> dict[str, str]:
    return {}


@api.get("/reports", auth=AsyncTokenAuth(scopes="reports:read"))
async def reports(request: HttpRequest) -> list[int]:
    return []


@public
def welcome(request: HttpRequest) -> list[int]:
    return []


len(welcome(HttpRequest()))  # a decorated view keeps its type


def row(token: VerifiedToken) -> User | None:
    user: User | None = get_or_create_user(token, username="{sub}")
    return user


class Case(TokenLogins):
    client: Client
    async_client: AsyncClient

    def test_sync(self, user: User) -> None:
        self.client.force_login("alice", scopes=["a"], email="a@example.com")
        self.client.force_login(user, issuer="people", cookie=True)
        self.client.logout()

    async def test_async(self) -> None:
        with logins():
            await self.async_client.aforce_login("alice", roles="admin", expires=60)
            await self.async_client.alogout()
