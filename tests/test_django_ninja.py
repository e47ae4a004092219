"""django-ninja: what an operation knows of the token, and what a refusal says."""

import itertools
import json

import pytest

from .django_project import ASK, BACKEND, GUARD, ask, site

# django-ninja reads the settings when it is imported.
# isort: split
from django.urls import path
from ninja import NinjaAPI

from jwtguard import Guard, Rule
from jwtguard.django import requires
from jwtguard.django.ninja import AsyncTokenAuth, TokenAuth, TokenRefused, install
from jwtguard.errors import ConfigurationError
from jwtguard.testing import FakeIssuer

IDP = FakeIssuer(algorithm="ES256")
ALICE = IDP.bearer("alice")
READER = IDP.bearer("bob", scopes="read")
EXPIRED = IDP.bearer("alice", expires=-60)
OPTIONAL = Guard([IDP.trusted()], [Rule("/**", access="optional")], realm="api")
LACKS = (
    'Bearer realm="api", error="insufficient_scope", '
    'error_description="The token lacks a required scope.", scope="read"'
)

both = pytest.mark.parametrize("send", ASK.values(), ids=ASK)
each_way = pytest.mark.parametrize("middleware", [[GUARD], []], ids=["middleware", "none"])


names = map(str, itertools.count())  # older versions want one for each api


def nobody(token):
    return None


def api(auth, **words):
    made = NinjaAPI(urls_namespace=next(names), **words)
    install(made)

    if auth is TokenAuth:

        @made.get("/x", auth=auth())
        def anybody(request):
            return {"sub": request.auth.subject, "same": request.jwt is request.auth}

        @made.get("/read", auth=auth(scopes="read"))
        def reader(request):
            return "read"

        @made.get("/users/{user}", auth=auth(require={"sub": {"path": "user"}}))
        def own(request, user: str):
            return str(getattr(request, "user", None))
    else:

        @made.get("/x", auth=auth())
        async def anybody(request):
            return {"sub": request.auth.subject, "same": request.jwt is request.auth}

        @made.get("/read", auth=auth(scopes="read"))
        async def reader(request):
            return "read"

        @made.get("/users/{user}", auth=auth(require={"sub": {"path": "user"}}))
        async def own(request, user: str):
            return str(await request.auser())

    return made


every_auth = pytest.mark.parametrize("auth", [TokenAuth, AsyncTokenAuth])


def told(answer):
    code = json.loads(answer.content)["code"]
    return answer.status_code, code, answer.headers.get("WWW-Authenticate")


@both
@each_way
@every_auth
def test_an_operation_knows_the_token(send, middleware, auth):
    with site(OPTIONAL, [path("api/", api(auth).urls)], MIDDLEWARE=middleware):
        assert send("/api/x", ALICE).json() == {"sub": "alice", "same": True}
        assert send("/api/read", READER).json() == "read"


@both
@each_way
@every_auth
def test_a_refusal_is_the_guard_s(send, middleware, auth):
    with site(OPTIONAL, [path("api/", api(auth).urls)], MIDDLEWARE=middleware):
        assert told(send("/api/x")) == (401, "no_credentials", 'Bearer realm="api"')
        assert told(send("/api/x", EXPIRED))[:2] == (401, "expired")
        assert told(send("/api/x", "Bearer a b"))[:2] == (400, "bad_request")
        assert told(send("/api/read", ALICE)) == (403, "insufficient_scope", LACKS)


@both
@every_auth
def test_path_parameters_and_users_are_those_of_the_request(send, auth):
    patterns = [path("api/", api(auth).urls)]
    for middleware in ([GUARD], []):
        with site(OPTIONAL, patterns, MIDDLEWARE=middleware, AUTHENTICATION_BACKENDS=[BACKEND]):
            assert send("/api/users/alice", ALICE).json() == "alice"
            assert told(send("/api/users/bob", ALICE)) == (403, "forbidden", None)


@both
@every_auth
def test_a_user_who_may_not_come_in_is_refused(send, auth):
    changed = {"AUTHENTICATION_BACKENDS": [BACKEND], "JWTGUARD_USER": f"{__name__}.nobody"}
    with site(OPTIONAL, [path("api/", api(auth).urls)], **changed):
        assert told(send("/api/users/alice", ALICE)) == (403, "forbidden", None)


def test_the_next_of_several_looks_where_nothing_was_sent():
    made = NinjaAPI(urls_namespace=next(names), auth=[TokenAuth(), lambda request: "somebody"])

    @made.get("/x")
    def anybody(request):
        return str(request.auth)

    with site(OPTIONAL, [path("api/", made.urls)]):
        assert ask("/api/x").json() == "somebody"
        assert ask("/api/x", ALICE).json().startswith("<VerifiedToken")


def test_without_install_the_status_is_right_at_least():
    made = NinjaAPI(urls_namespace=next(names), auth=TokenAuth(scopes="read"))
    made.get("/x")(lambda request: "x")
    with site(OPTIONAL, [path("api/", made.urls)]):
        assert [ask("/api/x", who).status_code for who in (None, ALICE, READER)] == [401, 403, 200]
    assert issubclass(TokenRefused, Exception)


def test_an_operation_that_is_registered_below_requires_is_found():
    made = NinjaAPI(urls_namespace=next(names))

    @requires(scopes="read")
    @made.get("/x")
    def open_to_all(request):
        return "x"

    with (
        site(OPTIONAL, [path("api/", made.urls)]),
        pytest.raises(ConfigurationError, match="put it below"),
    ):
        ask("/api/x", ALICE)


def test_the_schema_has_the_lock():
    schema = api(TokenAuth).get_openapi_schema(path_prefix="/api/")

    assert schema["components"]["securitySchemes"] == {
        "TokenAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert schema["paths"]["/api/x"]["get"]["security"] == [{"TokenAuth": []}]
