"""Django REST framework: who sent a request, what a view wants, what a refusal says."""

import json

import pytest

from .django_project import ASK, BACKEND, GUARD, ask, site

# REST framework reads the settings when it is imported.
# isort: split
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import AllowAny, BasePermission, IsAdminUser, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

import jwtguard.wsgi
from jwtguard import Discovery, Guard, Issuer, Requirement, Rule
from jwtguard.cli.routing import words_of
from jwtguard.core.verifier import Verifier
from jwtguard.django import public, requires
from jwtguard.django.rest import NotChecked, Requires, TokenAuthentication, TokenRefused
from jwtguard.errors import ConfigurationError
from jwtguard.routes import routes_of
from jwtguard.testing import FakeIssuer, verified

IDP = FakeIssuer(algorithm="ES256")
ALICE = IDP.bearer("alice")
READER = IDP.bearer("alice", scopes="read")
EXPIRED = IDP.bearer("alice", expires=-60)
HERE = "tests.test_django_rest."

both = pytest.mark.parametrize("send", ASK.values(), ids=ASK)

# With the middleware in front of everything, and with none.
WITH = {
    "middleware": [GUARD],
    "no middleware": [],
}
each_way = pytest.mark.parametrize("middleware", WITH.values(), ids=WITH)


def guarded(*rules, **words):
    return Guard([IDP.trusted()], rules, **words)


OPTIONAL = guarded(Rule("/**", access="optional"))


def page(*permissions, authentication=(TokenAuthentication,)):
    class Page(APIView):
        authentication_classes = authentication
        permission_classes = permissions
        renderer_classes = (JSONRenderer,)

        def get(self, request, **kwargs):
            token = request.auth
            return Response(
                {
                    "user": str(request.user),
                    "sub": token and token.subject,
                    "same": request._request.jwt is token,
                }
            )

    return Page.as_view()


def told(answer):
    body = json.loads(answer.content)
    return answer.status_code, body.get("code"), answer.headers.get("WWW-Authenticate")


# --- who sent it --------------------------------------------------------------------------------


@both
@each_way
def test_a_view_knows_the_token_and_its_user(send, middleware):
    with site(OPTIONAL, [path("x", page(IsAuthenticated))], MIDDLEWARE=middleware):
        assert send("/x", ALICE).json() == {"user": "alice", "sub": "alice", "same": True}


@both
@each_way
def test_without_credentials_the_permissions_decide(send, middleware):
    patterns = [path("x", page(AllowAny)), path("y", page(IsAuthenticated))]
    with site(
        guarded(Rule("/**", access="optional"), realm="api"), patterns, MIDDLEWARE=middleware
    ):
        assert send("/x").json() == {"user": "AnonymousUser", "sub": None, "same": True}
        refused = send("/y")

    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')


BAD = {
    "expired": (
        EXPIRED,
        401,
        "expired",
        'Bearer error="invalid_token", error_description="The token has expired."',
    ),
    "malformed": (
        "Bearer a.b.c",
        401,
        "invalid_token",
        'Bearer error="invalid_token", error_description="The token is not valid."',
    ),
    "two tokens": (
        "Bearer a b",
        400,
        "bad_request",
        'Bearer error="invalid_request", error_description="The request is malformed."',
    ),
}


@both
@each_way
@pytest.mark.parametrize(("credentials", "status", "code", "challenge"), BAD.values(), ids=BAD)
def test_a_bad_token_is_refused_as_by_the_guard(
    send, middleware, credentials, status, code, challenge
):
    with site(OPTIONAL, [path("x", page(AllowAny))], MIDDLEWARE=middleware):
        assert told(send("/x", credentials)) == (status, code, challenge)


@pytest.mark.parametrize("first", [SessionAuthentication, TokenAuthentication])
def test_a_refusal_is_the_same_whoever_stands_first(first):
    classes = [first, TokenAuthentication]
    with site(OPTIONAL, [path("x", page(AllowAny, authentication=classes))], MIDDLEWARE=[]):
        assert told(ask("/x", EXPIRED)) == BAD["expired"][1:]


def test_a_handler_of_your_own_finds_what_it_knows_of_other_exceptions():
    caught = []

    class Page(APIView):
        authentication_classes = (TokenAuthentication,)

        def handle_exception(self, exc):
            caught.append(exc)
            return super().handle_exception(exc)

    with site(OPTIONAL, [path("x", Page.as_view())], MIDDLEWARE=[]):
        ask("/x", EXPIRED)

    (refused,) = caught
    assert isinstance(refused, TokenRefused)
    assert refused.get_codes() == "expired"
    assert refused.get_full_details() == {"message": refused.detail, "code": "expired"}
    assert EXPIRED[7:] not in f"{refused!r} {refused}"


def test_a_path_that_is_ambiguous_is_refused_without_a_challenge():
    with site(OPTIONAL, [path("a//b", page(AllowAny))], MIDDLEWARE=[]):
        assert told(ask("/a//b", ALICE)) == (400, "bad_request", None)


def test_what_could_not_be_checked_is_503_and_no_failed_authentication():
    issuer = Issuer(
        IDP.issuer,
        audience=IDP.audience,
        algorithms=["ES256"],
        keys=Discovery("https://127.0.0.1:1", timeout=1),
    )
    with site(Guard([issuer]), [path("x", page(AllowAny))], MIDDLEWARE=[]):
        answer = ask("/x", IDP.bearer("alice", iss=IDP.issuer))

    assert told(answer) == (503, "unavailable", None)
    assert int(answer.headers["Retry-After"]) > 0
    assert not issubclass(NotChecked, AuthenticationFailed)
    assert issubclass(TokenRefused, AuthenticationFailed)


def test_without_the_middleware_the_rule_says_who_may_speak_and_what_is_read():
    other = FakeIssuer("https://other.test/", algorithm="ES256")
    rules = [
        Rule("/p", access="public"),
        Rule("/x", issuers="people", credentials={"header": "X-Token"}),
        Rule("/r", roles="admin"),
        Rule("/m", methods="POST", roles="admin"),
    ]
    guard = Guard([IDP.trusted(name="people"), other.trusted(name="other")], rules)
    patterns = [path(name, page(AllowAny)) for name in "pxrm"]
    with site(guard, patterns, MIDDLEWARE=[]):
        assert ask("/p", ALICE).json()["sub"] == "alice"  # a public rule hides no token here
        assert told(ask("/p", EXPIRED))[0] == 401
        assert ask("/x", headers={"X-Token": IDP.token("alice")}).json()["sub"] == "alice"
        assert told(ask("/x", headers={"X-Token": other.token("alice")}))[0] == 401
        assert told(ask("/r", ALICE))[0] == 403
        assert ask("/r").json()["sub"] is None
        assert told(ask("/m", ALICE)) == (403, "method_not_covered", None)


def test_a_browser_gets_the_refusal_where_the_guard_would_show_a_login_page():
    guard = guarded(
        Rule("/login", access="public"), Rule("/**", login="/login"), public_url="https://api.test"
    )
    browser = {"Accept": "text/html, */*;q=0.1", "Sec-Fetch-Mode": "navigate"}
    with site(guard, [path("x", page(AllowAny))], MIDDLEWARE=[]):
        answer = ask("/x", EXPIRED, headers=browser)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"expired" in answer.content


@pytest.mark.parametrize("error_body", [None, lambda error, request: {"oops": error.code}])
def test_a_body_of_the_guard_s_is_rest_framework_s(error_body):
    with site(guarded(error_body=error_body), [path("x", page(AllowAny))], MIDDLEWARE=[]):
        body = json.loads(ask("/x", EXPIRED).content)
        head = ask("/x", EXPIRED, "HEAD")

    assert body.get("oops") == (error_body and "expired")
    assert body.keys() == ({"oops"} if error_body else {"error", "message", "code", "ref"})
    assert head.status_code == 401


@each_way
def test_a_token_is_verified_once(middleware, monkeypatch):
    calls = []
    verify = Verifier.verify
    monkeypatch.setattr(Verifier, "verify", lambda *given: calls.append(1) or verify(*given))
    guard = guarded(Rule("/**", access="optional"), cache_size=0)
    view = page(Requires(), authentication=[TokenAuthentication, TokenAuthentication])
    with site(guard, [path("x", view)], MIDDLEWARE=middleware):
        assert ask("/x", ALICE).status_code == 200

    assert len(calls) == 1


def test_behind_the_wsgi_door_the_token_is_known_too():
    with site(guarded(), [path("x", page(IsAuthenticated))], MIDDLEWARE=[]):
        from django.core.handlers.wsgi import WSGIHandler
        from werkzeug.test import Client

        client = Client(jwtguard.wsgi.GuardMiddleware(WSGIHandler(), guarded()))
        answer = client.get("/x", headers={"Authorization": ALICE})

    assert answer.json == {"user": "alice", "sub": "alice", "same": True}


def test_without_the_middleware_forwarded_headers_are_the_guard_s_from_then_on():
    class Page(APIView):
        authentication_classes = (TokenAuthentication,)

        def get(self, request):
            return Response({"id": request.headers.get("X-User-Id")})

    guard = guarded(Rule("/**", access="optional"), forward={"X-User-Id": "sub"})
    with site(guard, [path("x", Page.as_view())], MIDDLEWARE=[]):
        assert ask("/x", ALICE, headers={"X-User-Id": "root"}).json() == {"id": "alice"}
        assert ask("/x", headers={"X-User-Id": "root"}).json() == {"id": None}


# --- users --------------------------------------------------------------------------------------


def nobody(token):
    return None


@each_way
@pytest.mark.parametrize("backends", [[], [BACKEND]])
def test_a_user_who_may_not_come_in_is_refused(middleware, backends):
    changed = {"JWTGUARD_USER": HERE + "nobody", "AUTHENTICATION_BACKENDS": backends}
    with site(guarded(), [path("x", page(AllowAny))], MIDDLEWARE=middleware, **changed):
        assert told(ask("/x", ALICE)) == (403, "forbidden", None)


def test_staff_is_nobody_by_a_claim():
    with site(guarded(), [path("x", page(IsAdminUser))]):
        assert ask("/x", IDP.bearer("root", is_staff=True, is_superuser=True)).status_code == 403


# --- what a view says ---------------------------------------------------------------------------


@both
def test_allow_any_says_nothing_of_tokens(send):
    with site(guarded(), [path("x", page(AllowAny))]):
        assert send("/x").status_code == 401


class Things(ViewSet):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (AllowAny,)

    def list(self, request):
        return Response("things")


@public
class OpenThings(Things):
    pass


@api_view(["GET"])
def function(request):
    return Response("function")


@api_view(["GET"])
@requires(scopes="read")
def reader(request):
    return Response("function")


@both
def test_views_that_say_that_they_are_public_are_open_and_no_others(send):
    router = SimpleRouter()
    router.register("things", Things, "things")
    router.register("open", OpenThings, "open")
    open_page = public(page(AllowAny))
    patterns = [
        *router.urls,
        path("function", function),
        path("x", open_page),
        path("f", public(api_view(["GET"])(lambda request: Response("function")))),
    ]
    with site(guarded(), patterns):
        statuses = {
            where: send(where).status_code
            for where in ("/things/", "/open/", "/function", "/x", "/f")
        }
        with_a_bad_token = send("/x", EXPIRED).status_code

    assert statuses == {"/things/": 401, "/open/": 200, "/function": 401, "/x": 200, "/f": 200}
    assert with_a_bad_token == 200


@both
def test_requires_stands_below_api_view_or_above_it(send):
    above = requires(scopes="read")(function)
    with site(guarded(), [path("x", reader), path("y", above)]):
        for where in ("/x", "/y"):
            assert told(send(where, ALICE))[:2] == (403, "insufficient_scope")
            assert send(where, READER).status_code == 200


# --- permissions --------------------------------------------------------------------------------


class Never(BasePermission):
    message = "never"

    def has_permission(self, request, view):
        return False


class Silent(BasePermission):
    def has_permission(self, request, view):
        return False


READ, WRITE = Requires(scopes="read"), Requires(Requirement(scopes="write"))
LACKS = 'error="insufficient_scope", error_description="The token lacks a required scope."'
SCOPE = f'Bearer {LACKS}, scope="{{}}"'
WANTS_READ, WANTS_WRITE = SCOPE.format("read"), SCOPE.format("write")

PERMISSIONS = {
    "one": (READ, 200, None),
    "another": (WRITE, 403, WANTS_WRITE),
    "both": (READ & WRITE, 403, WANTS_WRITE),
    "both, the other way": (WRITE & READ, 403, WANTS_WRITE),
    "either": (READ | WRITE, 200, None),
    "either, the other way": (WRITE | READ, 200, None),
    "neither": (WRITE | Requires(scopes="admin"), 403, WANTS_WRITE),
    "not": (~WRITE, 200, None),
    "not this": (~READ, 403, None),
    "not not": (~~READ, 200, None),
    "with one of the framework's": (IsAuthenticated & READ, 200, None),
    "or one of the framework's": (IsAdminUser | READ, 200, None),
    "and one that says no": (Silent & WRITE, 403, None),
    "or one that says no": (Silent | WRITE, 403, WANTS_WRITE),
    "and then one that says no": (READ & Silent, 403, None),
    "one that says no, or": (WRITE | Silent, 403, WANTS_WRITE),
    "three": (READ & IsAuthenticated & WRITE, 403, WANTS_WRITE),
    "three, or": (Silent | WRITE | Silent, 403, WANTS_WRITE),
}


@both
@each_way
@pytest.mark.parametrize(
    ("permission", "status", "challenge"), PERMISSIONS.values(), ids=PERMISSIONS
)
def test_a_requirement_is_a_permission(send, middleware, permission, status, challenge):
    with site(OPTIONAL, [path("x", page(permission))], MIDDLEWARE=middleware):
        answer = send("/x", READER)

    assert (answer.status_code, answer.headers.get("WWW-Authenticate")) == (status, challenge)


@each_way
@pytest.mark.parametrize("permission", [READ, READ & WRITE, READ | WRITE])
def test_nobody_meets_no_requirement(middleware, permission):
    with site(OPTIONAL, [path("x", page(permission))], MIDDLEWARE=middleware):
        assert told(ask("/x")) == (401, "no_credentials", "Bearer")


def test_a_message_of_the_other_is_told():
    with site(OPTIONAL, [path("x", page(READ & Never))]):
        assert json.loads(ask("/x", READER).content) == {"detail": "never"}


def test_a_refusal_is_logged_once_with_the_name_of_the_view(caplog):
    with site(OPTIONAL, [path("x", page(READ)), path("y", page(WRITE | READ))]):
        refused = ask("/x", ALICE)
        ask("/y", READER)

    (record,) = [r for r in caplog.records if r.name == "jwtguard.refused"]
    assert record.reason == "insufficient_scope"
    assert record.rule.startswith("requires:")
    assert record.rule.endswith("Page")
    assert record.ref == json.loads(refused.content)["ref"]


def test_view_arguments_are_path_parameters():
    own = Requires(require={"sub": {"path": "user"}})
    with site(OPTIONAL, [path("users/<user>", page(own))]):
        assert ask("/users/alice", ALICE).status_code == 200
        assert told(ask("/users/bob", ALICE)) == (403, "forbidden", None)


def test_a_requirement_is_asked_for_an_object_too():
    request = type("", (), {"auth": verified(sub="a", scope="read"), "META": {}})
    for permission, met in ((READ, True), (WRITE, False), (~READ, False), (READ | WRITE, True)):
        with site(OPTIONAL, []):
            drf = APIRequestFactory().get("/x")
            force_authenticate(drf, token=request.auth)
            view = APIView()
            view.kwargs = {}
            assert (
                permission().has_object_permission(APIView().initialize_request(drf), view, None)
                is met
            )


def test_words_that_make_no_sense_are_refused():
    with pytest.raises(ConfigurationError, match=r"requires\.scopes"):
        Requires(scopes=1)


def test_where_no_guard_saw_the_request_a_requirement_is_an_error():
    with (
        site(OPTIONAL, [path("x", page(READ, authentication=[]))], MIDDLEWARE=[]),
        pytest.raises(ConfigurationError, match="no guard saw this request"),
    ):
        ask("/x", READER)


def test_tests_may_force_a_token():
    request = APIRequestFactory().get("/x")
    force_authenticate(request, user=None, token=verified(sub="alice", scope="read"))
    view = type(
        "V", (APIView,), {"permission_classes": [READ], "get": lambda s, r: Response(r.auth["sub"])}
    )
    with override_settings(JWTGUARD=OPTIONAL):
        assert view.as_view()(request).data == "alice"
        assert view.as_view()(APIRequestFactory().get("/x")).status_code == 401


# --- OpenAPI ------------------------------------------------------------------------------------


def test_the_schema_has_the_lock():
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.openapi import AutoSchema

    class Page(APIView):
        authentication_classes = (TokenAuthentication,)
        schema = AutoSchema()

        def get(self, request) -> dict[str, str]:
            """A page."""

    schema = SchemaGenerator(patterns=[path("x", Page.as_view())]).get_schema(
        request=None, public=True
    )

    assert schema["components"]["securitySchemes"] == {
        "jwtguard": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert {"jwtguard": []} in schema["paths"]["/x"]["get"]["security"]
    assert PermissionDenied is not None


# --- what the list of routes says ----------------------------------------------------------------


class Strict(IsAuthenticated):
    """A project's own."""


SAID = {
    "known by a token": ([IsAuthenticated], [TokenAuthentication], ["requires a valid token"]),
    "a permission that derives from it": (
        [Strict],
        [TokenAuthentication],
        ["requires a valid token"],
    ),
    "open": ([AllowAny], [TokenAuthentication], []),
    "known by something else": ([IsAuthenticated], [SessionAuthentication], []),
    "in words": (
        [Requires(scopes="read")],
        [TokenAuthentication],
        ["requires scopes read"],
    ),
}


@pytest.mark.parametrize(("permissions", "authentication", "said"), SAID.values(), ids=SAID)
def test_the_list_of_routes_knows_views_that_let_in_whoever_is_known(
    permissions, authentication, said
):
    view = page(*permissions, authentication=authentication)
    with site(None, [path("x", view)], MIDDLEWARE=[]):
        [route] = routes_of(WSGIHandler())

    assert [words_of(one) for one in route.said] == said
    assert route.guarded is False
