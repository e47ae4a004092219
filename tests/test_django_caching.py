"""Caches of Django's around what judges by the token, and inside of it."""

import pytest

from .django_project import ASK, BACKEND, GUARD, ask, site

# REST framework and django-ninja read the settings when they are imported.
# isort: split
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.cache import cache_page
from ninja import NinjaAPI
from ninja.decorators import decorate_view
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from jwtguard import Guard, Rule
from jwtguard.django import requires
from jwtguard.django.ninja import TokenAuth, install
from jwtguard.django.rest import Requires, TokenAuthentication
from jwtguard.testing import FakeIssuer

IDP = FakeIssuer(algorithm="ES256")
READER, ALICE = IDP.token("reader", scopes="read"), IDP.token("alice")

both = pytest.mark.parametrize("send", ASK.values(), ids=ASK)


def guarded(credential="bearer", **words):
    return Guard([IDP.trusted()], [Rule("/**", access="optional", credentials=credential)], **words)


def bearer(send, raw):
    return send("/x", f"Bearer {raw}")


def cookie(send, raw):
    return send("/x", headers={"Cookie": f"t={raw}", "Sec-Fetch-Site": "same-origin"})


def header(send, raw):
    return send("/x", headers={"X-Token": raw})


def query(send, raw):
    return send(f"/x?token={raw}")


BRINGING = {
    "bearer": (guarded(), bearer),
    "bearer, taken out": (guarded(strip_credentials=True), bearer),
    "cookie": (guarded([{"cookie": "t"}]), cookie),
    "header": (guarded([{"header": "X-Token"}]), header),
    "query": (guarded([{"query": "token"}]), query),
}

calls = []


@requires(scopes="read")
def function(request):
    return HttpResponse(request.jwt.subject)


class Page(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (Requires(scopes="read"),)

    def get(self, request):
        return Response(request.auth.subject)


class Anybody(Page):
    permission_classes = (IsAuthenticated,)


api = NinjaAPI(urls_namespace="caching")
install(api)


@api.get("/x", auth=TokenAuth(scopes="read"))
@decorate_view(cache_page(60))
def operation(request):
    return request.auth.subject


KINDS = {
    "function": path("x", cache_page(60)(function)),
    "rest": path("x", cache_page(60)(Page.as_view())),
    "ninja": path("", api.urls),
}
SITE_WIDE = [
    GUARD,
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()
    calls.clear()


@both
@pytest.mark.parametrize("middleware", [[GUARD], SITE_WIDE], ids=["cache_page", "site-wide"])
@pytest.mark.parametrize("view", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("guard", "bring"), BRINGING.values(), ids=BRINGING)
def test_a_cached_page_is_no_way_around_a_requirement(guard, bring, view, middleware, send):
    with site(guard, [view], MIDDLEWARE=middleware):
        assert bring(send, READER).status_code == 200
        assert bring(send, ALICE).status_code == 403
        assert send("/x").status_code == 401


def test_a_cached_page_is_no_way_around_authentication():
    with site(guarded(), [path("x", cache_page(60)(Anybody.as_view()))], MIDDLEWARE=[]):
        assert bearer(ask, ALICE).status_code == 200
        assert ask("/x").status_code == 401


@both
@pytest.mark.parametrize(("guard", "bring"), BRINGING.values(), ids=BRINGING)
def test_a_cached_page_of_one_user_is_no_others(guard, bring, send):
    @cache_page(60)
    @login_required
    def view(request):
        return HttpResponse(request.user.username)

    with site(guard, [path("x", view)], AUTHENTICATION_BACKENDS=[BACKEND]):
        assert bring(send, READER).content == b"reader"
        assert bring(send, ALICE).content == b"alice"
        assert send("/x").status_code == 302


@both
def test_a_cache_inside_of_a_requirement_keeps_pages(send):
    @requires(scopes="read")
    @cache_page(60)
    def view(request):
        calls.append(request.jwt.subject)
        return HttpResponse("page")

    with site(guarded(strip_credentials=True), [path("x", view)]):
        for raw, status in ((READER, 200), (READER, 200), (ALICE, 403)):
            assert bearer(send, raw).status_code == status
        assert calls == ["reader"]
