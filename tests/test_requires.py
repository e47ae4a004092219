"""The ``requires`` decorators: a view says what it wants, and is refused as by a rule."""

import asyncio
import functools
import json
import subprocess
import sys
from pathlib import Path

import flask
import pytest
import quart
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View
from werkzeug.test import Client

import jwtguard.django
import jwtguard.flask
import jwtguard.quart
from jwtguard import Guard, Requirement, Rule, asgi, errors, wsgi
from jwtguard.errors import ConfigurationError
from jwtguard.flask import current_claims, current_token
from jwtguard.flask import requires as flask_requires
from jwtguard.requires import mark, refuse_open_routes, said_by
from jwtguard.testing import FakeIssuer, verified

from . import django_project  # noqa: F401 - it sets Django up

ROOT = Path(__file__).parent.parent
IDP = FakeIssuer(algorithm="ES256")

# The words of a requirement, for a view at /users/<user>/.
WANTED = {
    "nothing": {},
    "scopes": {"scopes": "notes:read notes:write"},
    "any_scope": {"any_scope": ["notes:read", "notes:write"]},
    "roles": {"roles": "admin"},
    "any_role": {"any_role": ["admin", "editor"]},
    "require": {"require": {"tier": {"gte": 2}}},
    "path": {"require": {"sub": {"path": "user"}}},
    "either": {"require": [{"sub": {"path": "user"}}, {"tier": 3}]},
    "check": {"check": lambda token, request: request.path == f"/users/{token.subject}/"},
}
TOKENS = {
    "none": None,
    "alice": {"sub": "alice"},
    "reader": {"sub": "bob", "scopes": "notes:read", "tier": 2},
    "writer": {"sub": "bob", "scopes": "notes:read notes:write", "roles": ["editor"]},
    "admin": {"sub": "carol", "roles": ["admin"], "tier": 3},
}
PASSES = {
    "nothing": {"alice", "reader", "writer", "admin"},
    "scopes": {"writer"},
    "any_scope": {"reader", "writer"},
    "roles": {"admin"},
    "any_role": {"writer", "admin"},
    "require": {"reader", "admin"},
    "path": {"alice"},
    "either": {"alice", "admin"},
    "check": {"alice"},
}


def open_guard(**words):
    """No token is needed by a rule, so that everything is up to the decorators."""
    return Guard([IDP.trusted()], [Rule("/**", access="optional")], **words)


# --- each framework: an app with one view, and a way to ask it -----------------------------------


def flask_view(words, view):
    app = flask.Flask(__name__)
    app.add_url_rule("/users/<user>/", view_func=jwtguard.flask.requires(**words)(view))
    return app


def in_flask(words):
    def users(user):
        return "the view"

    return flask_view(words, users)


def in_flask_async(words):
    async def users(user):
        return "the view"

    return flask_view(words, users)


def in_quart(words):
    async def users(user):
        return "the view"

    app = quart.Quart(__name__)
    app.add_url_rule("/users/<user>/", view_func=jwtguard.quart.requires(**words)(users))
    return app


def in_django(words):
    @jwtguard.django.requires(**words)
    def view(request, user):
        return HttpResponse("the view")

    def app(environ, start_response):
        response = view(WSGIRequest(environ), user="alice")
        start_response(f"{response.status_code} x", list(response.items()))
        return [response.content]

    return app


def class_view(users):
    def app(environ, start_response):
        response = users.as_view()(WSGIRequest(environ), user="alice")
        start_response(f"{response.status_code} x", list(response.items()))
        return [response.content]

    return app


def in_django_class(words):
    @jwtguard.django.requires(**words)
    class Users(View):
        def get(self, request, user):
            return HttpResponse("the view")

    return class_view(Users)


def in_django_method(words):
    @method_decorator(jwtguard.django.requires(**words), name="dispatch")
    class Users(View):
        def get(self, request, user):
            return HttpResponse("the view")

    return class_view(Users)


def async_view(view):
    async def app(scope, receive, send):
        response = await view(ASGIRequest(scope, None), user="alice")
        headers = [(k.lower().encode(), v.encode()) for k, v in response.items()]
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        await send({"type": "http.response.body", "body": response.content})

    return app


def in_django_async_class(words):
    @jwtguard.django.requires(**words)
    class Users(View):
        async def get(self, request, user):
            return HttpResponse("the view")

    return async_view(Users.as_view())


def in_django_async(words):
    @jwtguard.django.requires(**words)
    async def view(request, user):
        return HttpResponse("the view")

    return async_view(view)


def ask_wsgi(app, guard, headers):
    answer = Client(wsgi.GuardMiddleware(app, guard)).get("/users/alice/", headers=headers)
    return answer.status_code, dict(answer.headers), answer.data


def ask_flask(app, guard, headers):
    if not app.extensions:
        jwtguard.flask.JWTGuard(app, guard)
    answer = app.test_client().get("/users/alice/", headers=headers)
    return answer.status_code, dict(answer.headers), answer.data


def ask_quart(app, guard, headers):
    async def ask():
        answer = await app.test_client().get("/users/alice/", headers=headers)
        headers_back = {k.title(): v for k, v in answer.headers}
        return answer.status_code, headers_back, await answer.data

    if not app.extensions:
        jwtguard.quart.JWTGuard(app, guard)
    return asyncio.run(ask())


def ask_asgi(app, guard, headers):
    async def ask():
        scope = {"type": "http", "method": "GET", "path": "/users/alice/", "query_string": b""}
        scope |= {"http_version": "1.1", "scheme": "https"}
        scope["headers"] = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        server = ApplicationCommunicator(asgi.GuardMiddleware(app, guard), scope)
        await server.send_input({"type": "http.request", "body": b""})
        start = await server.receive_output()
        body = await server.receive_output()
        headers_back = {k.decode().title(): v.decode() for k, v in start["headers"]}
        return start["status"], headers_back, body["body"]

    return asyncio.run(ask())


FRAMEWORKS = {
    "flask": (in_flask, ask_wsgi),
    "flask, async view": (in_flask_async, ask_wsgi),
    "flask, extension": (in_flask, ask_flask),
    "flask, extension, async view": (in_flask_async, ask_flask),
    "quart": (lambda words: in_quart(words).asgi_app, ask_asgi),
    "quart, extension": (in_quart, ask_quart),
    "django": (in_django, ask_wsgi),
    "django, class view": (in_django_class, ask_wsgi),
    "django, method_decorator": (in_django_method, ask_wsgi),
    "django, async class view": (in_django_async_class, ask_asgi),
    "django, async view": (in_django_async, ask_asgi),
}
every_framework = pytest.mark.parametrize(
    ("make", "ask"), FRAMEWORKS.values(), ids=FRAMEWORKS.keys()
)


def headers_for(token):
    return {} if TOKENS[token] is None else {"Authorization": IDP.bearer(**TOKENS[token])}


def plain(answer):
    """An answer without what differs from one request to the next."""
    status, headers, body = answer
    if headers["Content-Type"] == "application/json":
        body = {**json.loads(body), "ref": "…"}
    names = ("Www-Authenticate", "WWW-Authenticate", "Content-Type", "Cache-Control", "Vary")
    return status, {name.title(): headers[name] for name in names if name in headers}, body


@every_framework
@pytest.mark.parametrize("wanted", WANTED)
def test_a_view_is_called_for_tokens_that_meet_its_requirement_only(make, ask, wanted):
    app = make(WANTED[wanted])

    answers = {token: ask(app, open_guard(), headers_for(token)) for token in TOKENS}

    assert {t for t, (status, _, _) in answers.items() if status == 200} == PASSES[wanted]
    assert {body for status, _, body in answers.values() if status == 200} == {b"the view"}
    assert answers["none"][0] == 401


@every_framework
@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("none", {}),
        ("alice", {"roles": "admin"}),
        ("reader", {"scopes": "notes:read notes:write"}),
        ("reader", {"require": {"tier": 9}}),
        ("reader", {"check": lambda token, request: 1 / 0}),
    ],
    ids=["no token", "role", "scope", "claim", "check that raises"],
)
def test_a_refusal_is_the_one_that_a_rule_would_give(make, ask, token, words):
    strict = Guard([IDP.trusted()], [Rule("/**", **words)])

    of_the_decorator = ask(make(words), open_guard(), headers_for(token))
    of_the_rule = ask(make({}), strict, headers_for(token))

    assert of_the_decorator[0] in (401, 403)
    assert plain(of_the_decorator) == plain(of_the_rule)


@every_framework
@pytest.mark.parametrize(
    "words",
    [{"realm": "api"}, {"error_body": lambda error, request: {"no": error.code}}],
    ids=["realm", "error_body"],
)
def test_a_refusal_knows_what_the_guard_was_told(make, ask, words):
    strict = Guard([IDP.trusted()], [Rule("/**", scopes="a")], **words)

    of_the_decorator = ask(make({"scopes": "a"}), open_guard(**words), headers_for("alice"))
    of_the_rule = ask(make({}), strict, headers_for("alice"))

    without_ref = [{**json.loads(a[2]), "ref": ""} for a in (of_the_decorator, of_the_rule)]
    assert plain(of_the_decorator)[:2] == plain(of_the_rule)[:2]
    assert without_ref[0] == without_ref[1]


@every_framework
def test_a_refusal_is_logged_with_the_name_of_the_view(make, ask, caplog):
    caplog.set_level("INFO", "jwtguard.refused")

    ask(make({"roles": "admin"}), open_guard(), headers_for("alice"))

    (record,) = caplog.records
    assert record.reason == "role_missing"
    assert record.path == "/users/alice/"
    assert record.rule.startswith("requires:")
    assert record.token.startswith("#")


# --- what must not pass unnoticed ---------------------------------------------------------------

BOTH = pytest.mark.parametrize(
    "requires",
    [jwtguard.flask.requires, jwtguard.quart.requires, jwtguard.django.requires],
    ids=["flask", "quart", "django"],
)


@BOTH
@pytest.mark.parametrize(
    ("arguments", "words", "what"),
    [
        ((), {"role": "admin"}, "role"),
        ((), {"scopes": 1}, "requires.scopes"),
        ((), {"require": {"a": {"gtt": 1}}}, "did you mean 'gt'"),
        ((Requirement(scopes=[1]),), {}, "requires.scopes"),
        ((Requirement(),), {"roles": "admin"}, "one Requirement, or its words"),
        (("admin",), {}, "one Requirement, or its words"),
        ((lambda request: None,), {}, "parentheses"),
    ],
)
def test_words_that_make_no_sense_are_refused_when_the_view_is_defined(
    requires, arguments, words, what
):
    with pytest.raises(errors.ConfigurationError, match=what):
        requires(*arguments, **words)


@BOTH
def test_one_requirement_may_be_made_once_and_used_in_many_places(requires):
    admins = Requirement(roles="admin")

    def view():
        """What it does."""

    decorated = requires(admins)(view)

    assert decorated.__name__ == "view"
    assert decorated.__doc__ == "What it does."


def test_a_flask_view_without_a_guard_in_front_is_an_error_not_an_open_door():
    app = in_flask({})
    app.testing = True

    with pytest.raises(errors.ConfigurationError, match="no guard saw this request"):
        app.test_client().get("/users/alice/", headers=headers_for("alice"))


def test_a_django_view_without_a_guard_in_front_is_an_error_not_an_open_door():
    @jwtguard.django.requires()
    def view(request):
        return HttpResponse()

    with pytest.raises(errors.ConfigurationError, match="no guard saw this request"):
        view(RequestFactory().get("/", headers={"jwtguard.token": "x", "jwtguard-token": "x"}))


def test_an_async_django_view_without_a_guard_in_front_is_an_error_not_an_open_door():
    @jwtguard.django.requires()
    async def view(request):
        return HttpResponse()

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}

    with pytest.raises(errors.ConfigurationError, match="no guard saw this request"):
        asyncio.run(view(ASGIRequest(scope, None)))


# --- who sent the request, in Flask -------------------------------------------------------------


def ask_flask(view, **headers):
    app = flask.Flask(__name__)
    app.testing = True
    app.add_url_rule("/", view_func=view)
    app.wsgi_app = wsgi.GuardMiddleware(app.wsgi_app, open_guard())
    return app.test_client().get("/", headers=headers).json


def test_a_flask_view_knows_who_sent_the_request():
    def view():
        return {
            "subject": current_token.subject,
            "scopes": sorted(current_token.scopes),
            "email": current_claims["email"],
            "claims": dict(current_claims) == current_token.claims,
        }

    said = ask_flask(view, Authorization=IDP.bearer("alice", scopes="b a", email="a@test"))

    assert said == {"subject": "alice", "scopes": ["a", "b"], "email": "a@test", "claims": True}


def test_a_flask_view_knows_that_nobody_did():
    def view():
        return {"token": bool(current_token), "claims": dict(current_claims)}

    assert ask_flask(view) == {"token": False, "claims": {}}


@pytest.mark.parametrize("name", ["current_token", "current_claims"])
def test_without_a_guard_a_flask_view_is_not_told_that_nobody_did(name):
    app = flask.Flask(__name__)

    with app.test_request_context("/"), pytest.raises(errors.ConfigurationError):
        bool(getattr(jwtguard.flask, name))


def test_after_request_functions_see_refusals():
    app = in_flask({"roles": "admin"})

    @app.after_request
    def mark(response):
        response.headers["X-Seen"] = str(response.status_code)
        return response

    answer = ask_wsgi(app, open_guard(), headers_for("alice"))

    assert answer[1]["X-Seen"] == "403"


@pytest.mark.parametrize("framework", ["flask", "django"])
def test_a_door_imports_its_own_framework_only(framework):
    other = {"flask": "django", "django": "flask"}[framework]
    script = f"import sys, jwtguard.{framework}; assert '{framework}' in sys.modules; "
    script += f"assert '{other}' not in sys.modules"

    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("published", [{}, {"jwtguard.token": None}])
def test_a_door_that_publishes_less_is_told_what_is_missing(published):
    from jwtguard import Requirement
    from jwtguard.core import Request
    from jwtguard.requires import judge

    with pytest.raises(errors.ConfigurationError, match=r"jwtguard\.token and jwtguard\.guard"):
        judge(Requirement(), published, Request("GET", "/x"), {}, "view")


@pytest.mark.parametrize(
    ("words", "looks"),
    [({"scopes": "read"}, False), ({"scopes": "write"}, True), ({"check": lambda *_: True}, True)],
)
def test_a_request_is_made_only_for_a_check_and_a_refusal(words, looks):
    from jwtguard.core import Request
    from jwtguard.requires import judge

    guard = open_guard()
    made = []

    def make():
        made.append(Request("GET", "/x"))
        return made[-1]

    token = verified(sub="alice", scope="read")
    published = {"jwtguard.token": token, "jwtguard.guard": guard}
    judge(Requirement(**words), published, make, {}, "view")

    assert bool(made) == looks


# --- what views say of themselves ---------------------------------------------------------------


def unmarked():
    return None


def wrapped_by(decorator):
    """A fresh function, and what *decorator* makes of it."""

    def view():
        return None

    return view, decorator(view)


def test_a_view_says_what_it_wants_through_other_decorators():
    _, guarded = wrapped_by(flask_requires(scopes="a"))

    @functools.wraps(guarded)
    def outer():
        return guarded()

    assert said_by(outer).scopes == ("a",)
    assert said_by(unmarked) is None
    refuse_open_routes([outer, guarded, unmarked, functools.partial(unmarked), print])


@pytest.mark.parametrize("seen_as", ["itself", "inside another decorator"])
def test_a_route_that_leads_past_the_decorator_of_its_view_is_refused(seen_as):
    view, _ = wrapped_by(flask_requires(scopes="a"))
    registered = view
    if seen_as != "itself":

        @functools.wraps(view)
        def registered():
            return view()

    with pytest.raises(ConfigurationError, match="put it below") as refused:
        refuse_open_routes([unmarked, registered, registered])
    assert [name for name, _ in refused.value.problems] == [
        "wrapped_by.<locals>.view",
    ]


def test_a_route_between_two_decorators_is_refused():
    _, inner = wrapped_by(flask_requires(scopes="a"))
    flask_requires(scopes="b")(inner)
    with pytest.raises(ConfigurationError, match="put it below"):
        refuse_open_routes([inner])


def test_a_view_is_public_or_has_requirements_and_not_both():
    def view():
        return None

    mark(view, "public")
    assert said_by(view) == "public"
    with pytest.raises(ConfigurationError, match="it is one of them"):
        flask_requires(scopes="a")(view)
    _, guarded = wrapped_by(flask_requires(scopes="a"))
    with pytest.raises(ConfigurationError, match="it is one of them"):
        mark(guarded, "public")


def test_what_cannot_be_remembered_weakly_is_wrapped_all_the_same():
    class Callable:
        __slots__ = ()

        def __call__(self):
            return None

    assert said_by(mark(plain_wrapper(), Requirement(), Callable())) is not None


def plain_wrapper():
    def wrapper():
        return None

    return wrapper


def test_a_wrong_word_of_a_decorator_teaches():
    with pytest.raises(ConfigurationError) as refused:
        flask_requires(scope="a", rolls="b")
    assert dict(refused.value.problems) == {
        "requires.scope": "is no word of a requirement; did you mean 'scopes'?",
        "requires.rolls": "is no word of a requirement; did you mean 'roles'?",
    }


def test_the_log_names_the_class_of_a_django_view(caplog):
    @jwtguard.django.requires(scopes="a")
    class Profile(View):
        def get(self, request):
            return HttpResponse("")

    guard = Guard([IDP.trusted()])
    request = RequestFactory().get("/x")
    request.META["jwtguard.guard"], request.META["jwtguard.token"] = guard, None
    assert Profile.as_view()(request).status_code == 401
    assert "Profile" in caplog.text
