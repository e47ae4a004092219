"""``jwtguard routes``: what it makes of each framework's routes, and which rule it finds."""

import json
import sys
from types import ModuleType, SimpleNamespace
from wsgiref.simple_server import demo_app

import django.urls
import flask
import flask.views
import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.urls import include, path, re_path
from django.views import View
from fastapi import APIRouter, Depends, FastAPI, Security
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.shared_data import SharedDataMiddleware

import jwtguard.flask
from jwtguard import Guard, Requirement, Rule, asgi, wsgi
from jwtguard.cli import main
from jwtguard.cli.routing import _deciding
from jwtguard.django import GuardMiddleware
from jwtguard.django import requires as django_requires
from jwtguard.fastapi import Protected, install
from jwtguard.flask import requires
from jwtguard.requires import mark
from jwtguard.routes import routes_of
from jwtguard.routes.patterns import as_pattern
from jwtguard.routes.route import Mount as Place
from jwtguard.testing import FakeIssuer

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"])

IDP = FakeIssuer(algorithm="ES256")


def view(*_, **__):
    """Some view."""


async def aview(_):
    """Some view."""


def guard(*rules):
    return Guard([IDP.trusted()], rules)


RULES = (
    Rule(["/health", "/static/**", "/users/me"], access="public"),
    Rule("/feed", access="optional"),
    Rule("/reports/**", methods=["GET"], scopes="reports:read"),
    Rule("/admin/**", roles="admin"),
)
GUARD = guard(*RULES)


# --- paths --------------------------------------------------------------------------------------


def flask_app(*texts):
    app = flask.Flask(__name__, static_folder=None)
    for text in texts:
        app.add_url_rule(text, text.replace(".", ""), view)
    return app


def starlette_app(*texts):
    return Starlette(routes=[Route(text, view) for text in texts])


PATHS = [
    (flask_app, "/", "/"),
    (flask_app, "/users/<int:id>", "/users/{id}"),
    (flask_app, "/users/<id>/", "/users/{id}"),
    (flask_app, "/users/<string(length=2):id>/posts", "/users/{id}/posts"),
    (flask_app, "/users/<name>.json", "/users/*"),
    (flask_app, "/<a>-<b>/c", "/*/c"),
    (flask_app, "/v<n>/x", "/*/x"),
    (flask_app, "/files/<path:name>", "/files/{name}/**"),
    (flask_app, "/files/v<path:name>", "/files/*/**"),
    (flask_app, "/files/<path:name>/edit", "/files/{name}/**"),
    (flask_app, "/a$", "/**"),
    (starlette_app, "/", "/"),
    (starlette_app, "/users/{id}", "/users/{id}"),
    (starlette_app, "/users/{id:int}/", "/users/{id}"),
    (starlette_app, "/users/{id}:start", "/users/*"),
    (starlette_app, "/files/{p:path}", "/files/**"),
    (starlette_app, "/files{p:path}", "/*/**"),
    (starlette_app, "/files/{p:path}/edit", "/files/**"),
]


@pytest.mark.parametrize(
    ("app", "text", "pattern"), PATHS, ids=lambda one: getattr(one, "__name__", one)
)
def test_a_path_of_a_framework_becomes_a_pattern(app, text, pattern):
    [route] = routes_of(app(text))
    assert route.text == text
    assert route.pattern.text == pattern


DJANGO_PATHS = [
    (path("", view), "/"),
    (path("users/<int:id>/", view), "/users/{id}"),
    (path("users/<id>", view), "/users/{id}"),
    (path("users/<slug:a>-<slug:b>/", view), "/users/*"),
    (path("files/<path:p>", view), "/files/{p}/**"),
    (path("api/", include([path("users/<uuid:id>", view)])), "/api/users/{id}"),
    (re_path(r"^users/$", view), "/users"),
    (re_path(r"^users/?$", view), "/users"),
    (re_path(r"^users/(?P<id>\d+)/$", view), "/users/{id}"),
    (re_path(r"^users/(?P<id>[^/.]+)/edit/$", view), "/users/{id}/edit"),
    (re_path(r"^users/([-\w]+)/$", view), "/users/*"),
    (re_path(r"^users/(?P<id>[^/.]+)\.(?P<format>[a-z0-9]+)/?$", view), "/users/*"),
    (path("api/", include([re_path(r"^users/$", view)])), "/api/users"),
    (re_path("^api/", include([path("users/", view)])), "/api/users"),
    # As far as it can be read; what stands before a quantifier may not be there.
    (re_path(r"^users/new", view), "/users/**"),
    (re_path(r"^users/x?$", view), "/users/**"),
    (re_path(r"^users/?x$", view), "/**"),
    (re_path(r"^users/(\d+)?$", view), "/users/**"),
    (re_path(r"^users/(.*)$", view), "/users/**"),
    (re_path(r"^users/(?P<id>[^.]+)/$", view), "/users/**"),
    (re_path(r"^users|groups$", view), "/**"),
    (re_path(r"(?i)^users/$", view), "/**"),
    (re_path(r"users", view), "/**"),
    (re_path("api", include([path("users/", view)])), "/**"),
]


@pytest.fixture
def project():
    """Django's app for some URL patterns."""

    def make(*patterns):
        module = ModuleType("urls_of_a_test")
        module.urlpatterns = list(patterns)
        sys.modules[module.__name__] = module
        django.urls.clear_url_caches()
        return WSGIHandler()

    with override_settings(ROOT_URLCONF="urls_of_a_test"):
        yield make
    sys.modules.pop("urls_of_a_test", None)
    django.urls.clear_url_caches()


@pytest.mark.parametrize(("entry", "pattern"), DJANGO_PATHS)
def test_a_path_of_django_becomes_a_pattern_that_matches_no_less(project, entry, pattern):
    [route] = routes_of(project(entry))
    assert route.pattern.text == pattern
    is_whole = not pattern.endswith("**") or "{p}" in pattern
    assert bool(route.note) is not is_whole


# --- which rule ---------------------------------------------------------------------------------

WORDS = ["a", "b", "c"]
segments = st.lists(st.sampled_from([*WORDS, "*", "{x}"]), max_size=3).map(tuple)
tails = st.sampled_from([(), ("**",)])
texts = st.tuples(segments, tails).map(lambda both: as_pattern(both[0] + both[1]).text)
rules = st.lists(
    st.builds(
        lambda path, methods, roles: Rule(path, methods=methods, roles=roles),
        texts,
        st.sampled_from([None, ["GET"], ["POST", "PUT"]]),
        st.sampled_from([(), "admin"]),
    ),
    max_size=5,
)


@given(rules=rules, route=texts, data=st.data())
def test_no_rule_decides_a_path_of_a_route_that_is_not_named(rules, route, data):
    pattern = as_pattern(tuple(route.strip("/").split("/")) if route != "/" else ())
    try:
        policy = guard(*rules).policy
    except ValueError:
        return  # a rule that can never match, say: no such guard
    filled = [data.draw(st.sampled_from(WORDS)) if one.is_wild else one for one in pattern.segments]
    if pattern.is_tree:
        filled[-1:] = data.draw(st.lists(st.sampled_from(WORDS), max_size=3))
    method = data.draw(st.sampled_from(["GET", "POST", "DELETE"]))
    named = _deciding(policy, Place().route((method,), route, pattern.segments), method)
    bound, _ = policy.choose("/" + "/".join(filled), method)
    assert bound in [one.bound for one in named]


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def listed(monkeypatch, capsys):
    """The command's exit code, and what it says of an app, as JSON."""

    def run(app, *rules):
        module = SimpleNamespace(app=app, guard=guard(*(rules or RULES)), make=lambda: app)
        monkeypatch.setitem(sys.modules, "some_app", module)
        code = main(["routes", "some_app:guard", "--app", "some_app:app", "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def behind(app, door=wsgi.GuardMiddleware):
    """The app with a guard in front."""
    return door(app, GUARD)


def short(report):
    """Method and route -> section, rules, what the view says."""
    return {
        (" ".join(row["methods"] or ["any"]), row["route"]): (
            row["access"],
            *row["rules"],
            *row["said"],
        )
        for row in report["routes"]
    }


def test_a_flask_app(listed):
    app = flask.Flask(__name__)
    app.add_url_rule("/health", "health", view)
    app.add_url_rule("/feed", "feed", lambda: "")
    app.add_url_rule("/users/<int:id>", "number", view)
    app.add_url_rule("/users/<name>", "name", view)
    app.add_url_rule("/reports/<path:p>", "reports", view, methods=["GET", "POST"])

    class Thing(flask.views.MethodView):
        def get(self): ...

        @requires(roles="editor", require={"tier": 2})
        def put(self): ...

    app.add_url_rule("/thing", view_func=Thing.as_view("thing"))

    @app.get("/mine")
    @requires(scopes="a b", check=lambda token, request: True)
    def mine(): ...

    opened = mark(lambda: "", "public")
    app.add_url_rule("/open", "open", opened)
    app.add_url_rule("/admin/open", "admin", opened)
    code, report = listed(behind(app))
    assert short(report) == {
        ("GET", "/health"): ("public", "0:/health"),
        ("GET", "/static/<path:filename>"): ("public", "0:/static/**"),
        ("GET", "/open"): ("public", "closing:/**", "@public"),
        ("GET", "/users/<name>"): ("partly", "0:/users/me", "closing:/**"),
        ("GET", "/feed"): ("optional", "1:/feed"),
        ("GET", "/users/<int:id>"): ("protected", "closing:/**"),
        ("GET", "/reports/<path:p>"): ("protected", "2:/reports/**"),
        ("GET", "/thing"): ("protected", "closing:/**"),
        ("PUT", "/thing"): (
            "protected",
            "closing:/**",
            'requires roles editor; require {"tier": 2}',
        ),
        ("GET", "/mine"): (
            "protected",
            "closing:/**",
            "requires scopes a, b; check test_a_flask_app.<locals>.<lambda>",
        ),
        ("GET", "/admin/open"): ("protected", "3:/admin/**", "@public"),
        ("POST", "/reports/<path:p>"): ("refused", "closing:/**"),
    }
    assert code == 0
    assert report["guarded"] is True


def test_a_starlette_app_with_others_in_it(listed):
    class Thing(HTTPEndpoint):
        async def get(self, request): ...

        async def delete(self, request): ...

    inner, router = FastAPI(openapi_url=None), APIRouter(prefix="/v1")

    @router.get("/items/{id}", dependencies=[Security(Protected(GUARD, roles="x"), scopes=["y"])])
    def items(): ...

    inner.include_router(router, prefix="/api")
    app = Starlette(
        routes=[
            Route("/health", view),
            Route("/thing", Thing),
            WebSocketRoute("/socket", aview),
            Mount("/static", StaticFiles(directory=".")),
            Mount("/inner", inner),
            Mount("/admin", routes=[Route("/{x}", view, methods=["POST"])]),
            Host("b.example.com", Starlette(routes=[Route("/feed", view)])),
        ]
    )
    app.add_middleware(asgi.GuardMiddleware, guard=GUARD)
    code, report = listed(app)
    assert short(report) == {
        ("GET", "/health"): ("public", "0:/health"),
        ("any", "/static/**"): ("public", "0:/static/**"),
        ("GET", "b.example.com/feed"): ("optional", "1:/feed"),
        ("DELETE GET", "/thing"): ("protected", "closing:/**"),
        ("websocket", "/socket"): ("protected", "closing:/**"),
        ("GET", "/inner/api/v1/items/{id}"): (
            "protected",
            "closing:/**",
            "requires roles x",
            "requires scopes y",
        ),
        ("POST", "/admin/{x}"): ("protected", "3:/admin/**"),
    }
    assert (code, report["guarded"]) == (0, True)


def test_a_django_project(listed, project):
    class Thing(View):
        def get(self, request): ...

        @django_requires(roles="editor")
        def post(self, request): ...

    class ViewSet:
        http_method_names = ("get", "delete", "options")
        permission_classes = ()

        def list(self): ...

        def destroy(self): ...

    def viewset(request): ...

    viewset.cls, viewset.actions = ViewSet, {"get": "list", "delete": "destroy"}

    def ninja():
        """The closure of a view, which django-ninja keeps its operations in."""
        holds = SimpleNamespace(
            operations=[SimpleNamespace(methods=["PUT"], view_func=view, auth_callbacks=[])]
        )
        return lambda request: holds

    app = project(
        path("health", view),
        path("users/<int:id>/", django_requires(scopes="users")(lambda request, **_: None)),
        path("thing/", Thing.as_view()),
        path("rest/", include([re_path("^things/$", viewset)])),
        path("ninja/", ninja()),
        re_path("^(x|y)$", view),
        path("reports/", view),
    )
    code, report = listed(behind(app), Rule("/health", access="public"), RULES[2])
    assert short(report) == {
        ("any", "/health"): ("public", "0:/health"),
        ("any", "/users/<int:id>/"): ("protected", "closing:/**", "requires scopes users"),
        ("GET", "/thing/"): ("protected", "closing:/**"),
        ("POST", "/thing/"): ("protected", "closing:/**", "requires roles editor"),
        ("GET DELETE", "/rest/^things/$"): ("protected", "closing:/**"),
        ("PUT", "/ninja/"): ("protected", "closing:/**"),
        ("GET", "/^(x|y)$"): ("partly", "0:/health", "1:/reports/**", "closing:/**"),
        ("other methods", "/^(x|y)$"): ("partly", "0:/health", "closing:/**", "closing:/**"),
        ("GET", "/reports/"): ("protected", "1:/reports/**"),
        ("other methods", "/reports/"): ("refused", "closing:/**"),
    }
    assert code == 0


class OfTheProject(GuardMiddleware):
    """What a project may make of it."""


@pytest.mark.parametrize(
    "name", ["jwtguard.django.GuardMiddleware", f"{__name__}.{OfTheProject.__name__}"]
)
def test_djangos_own_middleware_is_a_guard(listed, project, name):
    app = project(path("health", view))
    with override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware", name]):
        _, report = listed(app)
    assert report["guarded"] is True


def test_a_litestar_app(listed):
    litestar = pytest.importorskip("litestar")
    types = pytest.importorskip("litestar.types")
    litestar_door = pytest.importorskip("jwtguard.litestar")

    @litestar.get("/u/{id:int}/{rest:path}")
    async def of() -> str: ...

    @litestar.asgi("/files", is_mount=True, copy_scope=True)
    async def files(scope: types.Scope, receive: types.Receive, send: types.Send) -> None: ...

    app = litestar.Litestar([of, files], openapi_config=None, logging_config=None)
    code, report = listed(behind(app, asgi.GuardMiddleware))
    assert short(report) == {
        ("any", "/files/**"): ("protected", "closing:/**"),
        ("GET", "/u/{id:int}/{rest:path}"): ("protected", "closing:/**"),
    }
    assert (code, report["guarded"]) == (0, True)
    doors = litestar.middleware.DefineMiddleware(asgi.GuardMiddleware, guard=GUARD)
    _, report = listed(
        litestar.Litestar([of], openapi_config=None, logging_config=None, middleware=[doors])
    )
    assert report["guarded"] is True
    app = litestar.Litestar([of], openapi_config=None, logging_config=None)
    litestar_door.install(app, GUARD)
    _, report = listed(app)
    assert report["guarded"] is True


def test_a_quart_app(listed):
    quart = pytest.importorskip("quart")
    app = quart.Quart(__name__, static_folder=None)
    app.add_url_rule("/users/<int:id>", "users", aview)
    app.websocket("/socket")(aview)
    app.asgi_app = asgi.GuardMiddleware(app.asgi_app, GUARD)
    code, report = listed(app)
    assert short(report) == {
        ("GET", "/users/<int:id>"): ("protected", "closing:/**"),
        ("websocket", "/socket"): ("protected", "closing:/**"),
    }
    assert (code, report["guarded"]) == (0, True)


def test_the_adapters_are_guards_and_what_they_offer_is_shown(listed):
    app = flask.Flask(__name__, static_folder=None)
    jwtguard.flask.JWTGuard(app, GUARD)
    app.add_url_rule("/open", "open", jwtguard.flask.public(lambda: ""))
    _, report = listed(app)
    assert report["guarded"] is True
    assert short(report) == {("GET", "/open"): ("public", "closing:/**", "@public")}

    api = FastAPI(openapi_url=None)
    reader = Security(Protected(GUARD, roles="x"), scopes=["items"])
    api.get("/items", dependencies=[reader])(view)
    api.get("/health", dependencies=[reader])(view)
    install(api, GUARD)
    code, report = listed(api)
    assert (code, report["guarded"]) == (0, True)
    assert short(report) == {
        ("GET", "/items"): (
            "protected",
            "closing:/**",
            "requires roles x",
            "requires scopes items",
        ),
        ("GET", "/health"): ("protected", "0:/health", "requires roles x", "requires scopes items"),
    }


def test_what_stands_before_a_blueprint_counts_for_its_views(listed):
    blueprint = flask.Blueprint("shop", __name__)

    @blueprint.before_request
    def refuse(): ...

    mark(refuse, Requirement(roles="customer"))
    blueprint.add_url_rule("/cart", "cart", lambda: "")
    app = flask.Flask(__name__, static_folder=None)
    app.register_blueprint(blueprint)
    _, report = listed(app)
    assert short(report) == {
        ("GET", "/cart"): ("protected", "closing:/**", "requires roles customer")
    }


# --- what is wrong ------------------------------------------------------------------------------


def test_a_decorator_above_its_route_is_a_problem(listed):
    app = flask.Flask(__name__, static_folder=None)

    @requires(roles="admin")
    @app.get("/wrong")
    def wrong(): ...

    code, report = listed(behind(app))
    assert code == 1
    [problem] = report["problems"]
    assert problem["where"] == "/wrong"
    assert "above the route" in problem["what"]


def bare_fastapi(path):
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get(path)(view)
    return app


def bare_litestar(path):
    litestar = pytest.importorskip("litestar")

    @litestar.get(path)
    async def of() -> str: ...

    return litestar.Litestar([of], openapi_config=None, logging_config=None)


def bare_quart(path):
    app = pytest.importorskip("quart").Quart(__name__, static_folder=None)
    app.add_url_rule(path, "view", aview)
    return app


# An app without a guard -> how one comes in front.
BARE = [
    (flask_app, "JWTGuard(app, guard) of jwtguard.flask;"),
    (bare_quart, "JWTGuard(app, guard) of jwtguard.quart;"),
    (starlette_app, "install(app, guard) of jwtguard.starlette;"),
    (bare_fastapi, "install(app, guard) of jwtguard.fastapi;"),
    (bare_litestar, "install(app, guard) of jwtguard.litestar;"),
    (
        lambda path: SharedDataMiddleware(flask_app(path), {}),
        "GuardMiddleware(app, guard) of jwtguard.wsgi or jwtguard.asgi;",
    ),
]


@pytest.mark.parametrize(("app", "door"), BARE, ids=lambda one: getattr(one, "__name__", None))
def test_an_app_without_a_guard_is_open_and_told_how_to_put_one_in_front(listed, capsys, app, door):
    code, report = listed(app("/health"))
    assert (code, report["guarded"]) == (1, False)
    assert short(report) == {("GET", "/health"): ("unguarded", "0:/health")}
    [problem] = report["problems"]
    assert problem["where"] == "some_app:app"
    assert door in problem["what"]
    assert "--app wsgi:app" in problem["what"]
    assert main(["routes", "some_app:guard", "--app", "some_app:app"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "some_app:app: 1 route, 1 open to everybody",
        "note: no guard stands in front of some_app:app",
        "behind no guard: open, unless the app itself refuses",
        "  GET  /health  not used: 0:/health (public)",
    ]
    assert "(a token)" not in " ".join(lines)


def test_a_django_project_without_the_middleware_is_open(listed, project):
    app = project(path("health", view))
    code, report = listed(app)
    assert (code, report["routes"][0]["access"]) == (1, "unguarded")
    assert "GuardMiddleware of jwtguard.django in MIDDLEWARE;" in report["problems"][0]["what"]


def test_a_route_that_asks_for_a_token_itself_is_not_open(listed, capsys):
    app = bare_fastapi("/health")
    app.get("/items", dependencies=[Depends(Protected(GUARD, roles="x"))])(view)
    code, report = listed(app)
    assert code == 1
    assert short(report) == {
        ("GET", "/health"): ("unguarded", "0:/health"),
        ("GET", "/items"): ("protected", "closing:/**", "requires roles x"),
    }
    app.router.routes.pop(0)
    code, report = listed(app)
    assert (code, report["guarded"], report["problems"]) == (0, False, [])
    assert main(["routes", "some_app:guard", "--app", "some_app:app"]) == 0
    assert "note: no guard stands in front of some_app:app" in capsys.readouterr().out


def test_an_app_that_is_mounted_beside_the_guard_is_a_problem(listed):
    app = flask_app("/feed")
    app.wsgi_app = DispatcherMiddleware(
        wsgi.GuardMiddleware(app.wsgi_app, GUARD), {"/other": demo_app, "/more": flask_app("/x")}
    )
    code, report = listed(app)
    assert code == 1
    assert {row["route"]: row["access"] for row in report["routes"]} == {
        "/feed": "optional",
        "/other/**": "unguarded",
        "/more/x": "unguarded",
    }
    assert {problem["where"] for problem in report["problems"]} == {"/other/**", "/more/x"}


def test_rules_are_for_the_paths_below_the_outermost_guard(listed):
    inner = asgi.GuardMiddleware(starlette_app("/feed"), GUARD)
    _, report = listed(Starlette(routes=[Mount("/mount", inner)]))
    assert [(row["route"], row["pattern"]) for row in report["routes"]] == [
        ("/mount/feed", "/feed")
    ]
    outer = Starlette(routes=[Mount("/mount", inner)])
    outer.add_middleware(asgi.GuardMiddleware, guard=GUARD)
    _, report = listed(outer)
    assert [(row["route"], row["pattern"]) for row in report["routes"]] == [
        ("/mount/feed", "/mount/feed")
    ]


def test_an_app_inside_itself_is_listed_once(listed):
    app = Starlette(routes=[Route("/feed", view)])
    app.routes.append(Mount("/again", app))
    _, report = listed(app)
    assert [row["route"] for row in report["routes"]] == ["/feed"]


def test_an_attribute_that_no_guard_looks_at_opens_nothing(listed):
    app = flask.Flask(__name__, static_folder=None)
    app.add_url_rule("/health", "health", requires()(lambda: ""))
    _, report = listed(behind(app))
    [row] = report["routes"]
    assert row["access"] == "protected"
    assert "nobody meets this" in row["notes"][0]


WRONG = [
    ("nomodule:app", "No module named 'nomodule'"),
    ("some_app:nothing", "nothing"),
    ("some_app", "module:app"),
    ("some_app:guard", "is a Guard, whose routes are not known"),
]


@pytest.mark.parametrize(("app", "said"), WRONG)
def test_an_app_that_cannot_be_read_is_wrong_use(listed, capsys, app, said):
    listed(flask_app("/feed"))
    assert main(["routes", "some_app:guard", "--app", app]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_function_that_makes_the_app_is_called(listed, capsys):
    listed(behind(flask_app("/feed")))
    assert main(["routes", "some_app:guard", "--app", "some_app:make()"]) == 0
    assert "/feed" in capsys.readouterr().out


def test_what_is_open_stands_first_and_lines_fit(listed, capsys):
    parameters = "".join(f"/<p{number}>" for number in range(9))
    listed(behind(flask_app("/mine", f"/reports{parameters}", "/users/<name>", "/health")))
    assert main(["routes", "some_app:guard", "--app", "some_app:app"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "some_app:app: 4 routes, 2 open to everybody"
    assert lines[1:4] == [
        "open to everybody",
        "  GET  /health  0:/health (public)",
        "may be open to everybody, depending on the path",
    ]
    assert all(len(line) <= 80 for line in lines)


def test_a_dependency_without_words_wants_a_valid_token_and_the_scopes_of_security(listed):
    app = FastAPI(openapi_url=None)
    app.get("/plain", dependencies=[Depends(Protected(GUARD))])(view)
    app.get("/scoped", dependencies=[Security(Protected(GUARD), scopes=["a"])])(view)
    app.add_middleware(asgi.GuardMiddleware, guard=GUARD)
    _, report = listed(app)
    said = {route["route"]: route["said"] for route in report["routes"]}
    assert said["/plain"] == ["requires a valid token"]
    assert "requires scopes a" in said["/scoped"]
