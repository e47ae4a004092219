"""`jwtguard.flask.JWTGuard`: what Flask does, and what of it comes after the guard."""

import contextlib
import functools
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import flask
import pytest
from flask.views import MethodView
from flask_cors import CORS
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwtguard import FromCookie, FromQuery, Guard, RemoteKeys, Rule, wsgi
from jwtguard.core import Fetched
from jwtguard.errors import ConfigurationError
from jwtguard.flask import JWTGuard, current_claims, current_token, public, requires
from jwtguard.testing import FakeIssuer

IDP = FakeIssuer(algorithm="ES256")
OTHER = FakeIssuer("https://other.test/", algorithm="ES256")
ALICE = {"Authorization": IDP.bearer("alice", scopes="a", tier=2)}
BOB = {"Authorization": IDP.bearer("bob")}


def guard_for(*rules, **words):
    return Guard([IDP.trusted()], rules, **words)


def made(*rules, views=None, jwt=None, **words):
    """A guarded app with some views, which write down that they were called."""
    app = flask.Flask(__name__, static_folder=None)
    app.testing = True
    app.called = []
    for path, view in (views or {"/": None}).items():
        app.add_url_rule(path, path, view or called(app, path))
    (jwt or JWTGuard()).init_app(app, guard_for(*rules, **words))
    return app


def called(app, name):
    """A view that writes down that it was called, and says for whom."""

    def view(**arguments):
        app.called.append(name)
        return str(current_token.subject if current_token else None)

    return view


def ask(app, path="/", method="GET", headers=None, **words):
    return app.test_client(use_cookies=False).open(path, method=method, headers=headers, **words)


def status(*arguments, **words):
    with ask(*arguments, **words) as response:
        return response.status_code


# --- report-only ----------------------------------------------------------------------------------


def test_where_rules_only_report_views_see_nobody_and_requires_refuses():
    soon = datetime.now(UTC).date() + timedelta(days=30)

    @requires(scopes="a")
    def wanting():
        raise AssertionError

    app = made(views={"/": None, "/wanting": wanting}, report_until=soon)
    forged = {"Authorization": f"{ALICE['Authorization']}x"}
    assert ask(app, headers=forged).text == "None"
    assert ask(app, headers=ALICE).text == "alice"
    assert status(app, "/wanting", headers=forged) == 401
    assert status(app, "/wanting", headers=BOB) == 403


# --- whose guard ----------------------------------------------------------------------------------

MAPPING = {
    "issuer": [
        {
            "issuer": IDP.issuer,
            "audience": IDP.audience,
            "algorithms": ["ES256"],
            "public_key": IDP.public_pem(),
        }
    ]
}
READY = guard_for()


def config_file(folder):
    key = json.dumps(IDP.public_pem())
    path = folder / "jwtguard.toml"
    path.write_text(
        f'[[issuer]]\nissuer = "{IDP.issuer}"\naudience = "{IDP.audience}"\n'
        f'algorithms = ["ES256"]\npublic_key = {key}\n'
    )
    return path


TARGETS = {
    "a Guard": lambda folder: READY,
    "a mapping": lambda folder: MAPPING,
    "a file": config_file,
    "the name of a file": lambda folder: str(config_file(folder)),
    "module:guard": lambda folder: f"{__name__}:READY",
}


def told_by_argument(app, target):
    JWTGuard().init_app(app, target)


def told_at_once(app, target):
    JWTGuard(app, target)


def told_by_config(app, target):
    app.config["JWTGUARD"] = target
    JWTGuard(app)


@pytest.mark.parametrize("tell", [told_by_argument, told_at_once, told_by_config])
@pytest.mark.parametrize("target", TARGETS)
def test_the_guard_is_an_object_or_what_names_one(target, tell, tmp_path):
    app = flask.Flask(__name__)

    tell(app, TARGETS[target](tmp_path))

    assert (status(app), status(app, headers=ALICE)) == (401, 404)


def test_the_environment_names_the_guard_where_nobody_else_does(tmp_path, monkeypatch):
    monkeypatch.setenv("JWTGUARD_CONFIG", str(config_file(tmp_path)))
    app = flask.Flask(__name__)
    JWTGuard(app)
    assert (status(app), status(app, headers=ALICE)) == (401, 404)

    monkeypatch.setenv("JWTGUARD_CONFIG", "nowhere.toml")
    configured, told = flask.Flask(__name__), flask.Flask(__name__)
    configured.config["JWTGUARD"] = MAPPING
    JWTGuard(configured)
    told.config["JWTGUARD"] = "nowhere.toml"
    JWTGuard(told, READY)
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        JWTGuard(flask.Flask(__name__))


@pytest.mark.parametrize("variable", [None, ""])
def test_no_guard_is_an_error_at_start(variable, monkeypatch):
    monkeypatch.delenv("JWTGUARD_CONFIG", raising=False)
    if variable is not None:
        monkeypatch.setenv("JWTGUARD_CONFIG", variable)

    with pytest.raises(ConfigurationError, match=r'init_app\(app, guard\).*config\["JWTGUARD"\]'):
        JWTGuard().init_app(flask.Flask(__name__))


@pytest.mark.parametrize("target", ["", 7, "nowhere.toml", {"issuer": []}])
def test_what_names_no_guard_is_an_error_at_start(target):
    app = flask.Flask(__name__)
    app.config["JWTGUARD"] = target

    with pytest.raises(ConfigurationError):
        JWTGuard(app)
    assert not app.before_request_funcs


def test_a_guard_comes_once_per_app():
    app = made()
    for jwt in (JWTGuard(), JWTGuard()):
        with pytest.raises(ConfigurationError, match="once per app"):
            jwt.init_app(app, READY)


def test_a_guard_needs_a_flask_app():
    with pytest.raises(ConfigurationError, match=r"takes a Flask app; found function"):
        JWTGuard(lambda environ, start_response: [], READY)
    with pytest.raises(ConfigurationError, match="without an app"):
        JWTGuard(guard=READY)


def test_a_guard_that_comes_after_requests_is_refused_by_flask():
    app = flask.Flask(__name__)
    status(app)
    with pytest.raises(AssertionError, match="before_request"):
        JWTGuard(app, READY)


def test_one_object_serves_several_apps_each_with_its_own_guard():
    jwt = JWTGuard()
    one, two = made(jwt=jwt), flask.Flask("two")
    jwt.init_app(two, Guard([OTHER.trusted()]))
    theirs = {"Authorization": OTHER.bearer("eve")}

    assert (status(one, headers=ALICE), status(one, headers=theirs)) == (200, 401)
    assert (status(two, headers=ALICE), status(two, headers=theirs)) == (401, 404)


# --- everything that Flask routes -----------------------------------------------------------------


def everything():
    """An app that uses what Flask has, registered before and after the guard."""
    app = flask.Flask(__name__, static_folder=".", static_url_path="/static")
    app.called = []
    app.add_url_rule("/early", "early", called(app, "early"))
    JWTGuard(app, guard_for(Rule("/open/**", access="public")))
    app.add_url_rule("/late", "late", called(app, "late"))
    app.add_url_rule("/slash/", "slash", called(app, "slash"))
    app.add_url_rule("/post", "post", called(app, "post"), methods=["POST"])
    app.add_url_rule("/own", "own", called(app, "own"), methods=["GET", "OPTIONS"])
    app.add_url_rule("/old", "old", redirect_to="/late")
    app.add_url_rule("/open/view", "open", called(app, "open"))
    app.add_url_rule("/fail", "fail", lambda: 1 / 0)
    app.add_url_rule("/abort", "abort", lambda: flask.abort(403))
    app.add_url_rule("/wsgi", "wsgi", lambda: flask.Flask("inner"))
    app.add_url_rule("/ws", "ws", called(app, "ws"), websocket=True)
    blueprint = flask.Blueprint("b", __name__, static_folder=".", static_url_path="/files")
    blueprint.add_url_rule("/view", "view", called(app, "b"))
    blueprint.before_request(lambda: app.called.append("before b"))
    app.register_blueprint(blueprint, url_prefix="/b")
    app.register_error_handler(404, lambda error: ("my 404", 404))
    app.register_error_handler(ZeroDivisionError, lambda error: ("my 500", 500))

    class Item(MethodView):
        def get(self):
            app.called.append("item")
            return ""

        delete = get

    app.add_url_rule("/item", view_func=Item.as_view("item"))
    return app


WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket"}

# What Flask answers, with a token. Without one everything is a 401, and nobody was called.
ROUTED = {
    ("GET", "/early"): 200,
    ("HEAD", "/early"): 200,
    ("GET", "/late"): 200,
    ("GET", "/slash/"): 200,
    ("GET", "/slash"): 308,
    ("GET", "/post"): 405,
    ("POST", "/post"): 200,
    ("POUET", "/post"): 405,
    ("OPTIONS", "/own"): 200,
    ("OPTIONS", "/nowhere"): 404,
    ("GET", "/old"): 308,
    ("GET", "/nowhere"): 404,
    ("GET", "/fail"): 500,
    ("GET", "/abort"): 403,
    ("GET", "/wsgi"): 404,
    ("GET", "/static/test_flask.py"): 200,
    ("GET", "/static/none"): 404,
    ("GET", "/b/files/test_flask.py"): 200,
    ("GET", "/b/view"): 200,
    ("GET", "/b/nowhere"): 404,
    ("GET", "/item"): 200,
    ("DELETE", "/item"): 200,
    ("PATCH", "/item"): 405,
}


@pytest.mark.parametrize(("method", "path"), ROUTED)
def test_whatever_flask_would_answer_is_judged_first(method, path):
    app = everything()

    for headers in ({}, {"Authorization": "Bearer a.b.c"}, {"X-HTTP-Method-Override": "OPTIONS"}):
        assert status(app, path, method, headers) == 401
    assert app.called == []


@pytest.mark.parametrize(("method", "path"), ROUTED)
def test_what_flask_answers_is_its_own_for_who_is_known(method, path):
    assert status(everything(), path, method, BOB) == ROUTED[method, path]


def test_a_websocket_of_flask_is_judged_like_a_request():
    app = everything()
    assert status(app, "/ws", headers=WEBSOCKET) == 401
    assert app.called == []
    assert status(app, "/ws", headers=WEBSOCKET | BOB) == 200


@pytest.mark.parametrize("path", ["//early", "/early/../late", "/%65arly%2f", "/early;x", "/a%0a"])
def test_a_target_with_two_readings_never_comes_to_a_view(path):
    app = everything()
    environ = {"RAW_URI": path, "REQUEST_URI": path, "PATH_INFO": unquote(path)}

    assert status(app, headers=BOB, environ_overrides=environ) == 400
    assert app.called == []


def test_what_a_dispatcher_mounts_elsewhere_is_not_behind_the_guard_and_is_named_so_in_the_docs():
    """The guard is inside Flask: what stands in front of Flask is not its own."""
    app = made(views={"/x": None})
    beside = flask.Flask("beside")
    beside.add_url_rule("/", "open", lambda: "open")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/beside": beside})

    assert status(app, "/beside/") == 200
    assert status(app, "/x") == 401


# --- first ----------------------------------------------------------------------------------------


def test_the_guard_comes_before_functions_that_were_registered_before_it():
    app = flask.Flask(__name__)
    order = []
    app.before_request(lambda: order.append("before"))
    JWTGuard(app, READY)
    app.before_request(lambda: order.append(str(current_token.subject)))

    assert status(app) == 401
    assert order == []
    assert status(app, headers=BOB) == 404
    assert order == ["before", "bob"]


@pytest.mark.parametrize("change", ["clear", "before it", "other list"])
def test_a_view_that_ran_without_the_guard_gives_nothing_away(change):
    app = made(views={"/": lambda: "not judged"})

    def first():
        return "not judged"

    functions = app.before_request_funcs
    if change == "clear":
        functions.clear()
    elif change == "other list":
        functions[None] = []
    else:
        functions[None].insert(0, first)

    app.testing = False
    answer = ask(app)
    assert answer.status_code == 500
    assert "judged" not in answer.text
    app.testing = True
    with pytest.raises(ConfigurationError, match="no longer the first"):
        ask(app)


def test_a_function_that_stands_before_the_guard_and_answers_nothing_does_no_harm():
    app = made()
    app.before_request_funcs[None].insert(0, lambda: None)

    assert (status(app), status(app, headers=BOB)) == (401, 200)


def raising_preprocessor(app):
    @app.url_value_preprocessor
    def find_tenant(endpoint, values):
        flask.abort(404)


def raising_signal(app):
    def started(sender, **words):
        flask.abort(404)

    app.started = started  # receivers are held weakly
    flask.request_started.connect(started, app)


@pytest.mark.parametrize("early", [raising_preprocessor, raising_signal])
def test_an_error_before_it_was_the_guards_turn_is_told_to_nobody_unknown(early):
    app = made()
    early(app)
    app.register_error_handler(404, lambda error: ("no such tenant", 404))

    refused = ask(app)
    assert (refused.status_code, refused.json["code"]) == (401, "no_credentials")
    assert ask(app, headers=BOB).text == "no such tenant"
    assert app.called == []


def test_a_request_class_that_changes_the_method_is_an_error():
    class Overriding(flask.Request):
        @property
        def method(self):
            return self.headers.get("X-HTTP-Method-Override", self.environ["REQUEST_METHOD"])

        @method.setter
        def method(self, value):
            pass

    app = made(Rule("/", methods=["GET"], access="public"), views={"/": None})
    app.request_class = Overriding

    assert status(app) == 200
    with pytest.raises(ConfigurationError, match="Overriding changes the method"):
        ask(app, headers={"X-HTTP-Method-Override": "DELETE"})


# --- OPTIONS --------------------------------------------------------------------------------------

PREFLIGHT = {"Origin": "https://app.test", "Access-Control-Request-Method": "GET"}


@pytest.mark.parametrize("headers", [{}, PREFLIGHT, {"Authorization": "Bearer x"}])
@pytest.mark.parametrize(
    "rules",
    [(), (Rule("/", scopes="b"),), (Rule("/", methods=["GET"], scopes="b"),)],
    ids=["no rule", "a rule", "another method's rule"],
)
def test_the_automatic_answer_to_options_passes_and_calls_no_view(rules, headers):
    seen = {}
    app = made(*rules, forward={"X-User": "sub"})

    @app.before_request
    def look():
        seen.update(token=bool(current_token), user=flask.request.headers.get("X-User"))

    answer = ask(app, "/", "OPTIONS", headers | {"X-User": "root"})

    assert answer.status_code == 200
    assert answer.allow
    assert app.called == []
    assert seen == {"token": False, "user": None}


def test_a_guard_that_answers_preflights_answers_them():
    app = made(preflight="answer", origins=["https://app.test"])

    answered = ask(app, "/", "OPTIONS", PREFLIGHT)
    assert answered.status_code == 204
    assert answered.headers["Access-Control-Allow-Origin"] == "https://app.test"
    assert "Content-Type" not in answered.headers
    assert status(app, "/", "OPTIONS", PREFLIGHT | {"Origin": "https://evil.test"}) == 401
    assert status(app, "/", "OPTIONS") == 200


def test_options_that_a_view_answers_is_judged():
    app = made()
    app.add_url_rule("/own", "own", called(app, "own"), methods=["OPTIONS"])

    assert status(app, "/own", "OPTIONS", PREFLIGHT) == 401
    assert app.called == []


# --- refusals are responses -----------------------------------------------------------------------


def test_after_request_functions_and_flask_cors_see_refusals():
    app = made(Rule("/admin", roles="admin"), views={"/admin": None})
    CORS(app, origins=["https://app.test"])
    seen = []

    @app.after_request
    def look(response):
        seen.append(response.status_code)
        return response

    answer = ask(app, "/admin", headers=BOB | {"Origin": "https://app.test"})

    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.test"
    assert (answer.status_code, seen) == (403, [403])
    assert ask(app, "/admin", "OPTIONS", PREFLIGHT).headers["Access-Control-Allow-Origin"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/problem+json"])
def test_a_refusal_is_the_one_that_the_middleware_sends(method, accept):
    guard = guard_for(Rule("/login", access="public"), realm="r", login="/login")
    inside, outside = flask.Flask(__name__), flask.Flask(__name__)
    JWTGuard(inside, guard)
    outside.wsgi_app = wsgi.GuardMiddleware(outside.wsgi_app, guard)

    def told(app):
        answer = ask(app, "/x", method, {"Accept": accept})
        body = answer.data if answer.status_code != 401 else len(answer.data)
        return answer.status_code, sorted(answer.headers.items()), body

    assert told(inside) == told(outside)


def test_response_headers_are_added_where_nobody_set_them():
    app = made(response_headers={"X-One": "guard", "X-Two": "guard"})

    @app.after_request
    def late(response):
        response.headers["X-Two"] = "app"
        return response

    allowed = ask(app, headers=BOB)
    assert (allowed.headers["X-One"], allowed.headers["X-Two"]) == ("guard", "app")
    assert ask(app, "/nowhere", headers=BOB).headers["X-One"] == "guard"
    assert ask(app).headers.get_all("X-One") == ["guard"]


# --- what the app sees ----------------------------------------------------------------------------


def seeing(look, *rules, **words):
    """What *look* returns in a view of an app whose session reads cookies early."""
    seen = []

    def view():
        seen.append(look(flask.request))
        return ""

    app = made(*rules, views={"/": view}, **words)
    app.view_functions["/"].methods = ["GET", "POST"]
    app.secret_key = "any"
    app.add_url_rule("/slash/", "slash", view)

    @app.url_value_preprocessor
    def curious(endpoint, values):  # reads everything before it is judged
        request = flask.request
        for name in (
            "args",
            "values",
            "cookies",
            "url",
            "full_path",
            "authorization",
            "user_agent",
        ):
            getattr(request, name)

    return app, seen


def test_a_cookie_that_was_taken_out_is_not_seen_by_anybody():
    app, seen = seeing(
        lambda request: (dict(request.cookies), request.headers.get("Cookie")),
        Rule("/", credentials=[FromCookie("t")]),
        strip_credentials=True,
    )
    token = IDP.token("alice")

    assert status(app, headers={"Cookie": f"a=1; t={token}; b=2"}) == 200
    ((cookies, field),) = seen
    assert cookies == {"a": "1", "b": "2"}
    assert token not in field


def test_a_query_parameter_that_was_taken_out_is_not_seen_by_anybody():
    app, seen = seeing(
        lambda request: json.dumps(
            [
                request.url,
                request.full_path,
                request.query_string.decode(),
                request.args.to_dict(),
                request.values.to_dict(),
                {k: v for k, v in request.environ.items() if isinstance(v, str)},
            ]
        ),
        Rule("/**", credentials=[FromQuery()]),
    )
    token = IDP.token("alice")

    assert status(app, f"/?a=1&access_token={token}&b=2") == 200
    assert token not in seen[0]
    assert '{"a": "1", "b": "2"}' in seen[0]
    moved = ask(app, f"/slash?a=1&access_token={token}")
    assert moved.headers["Location"] == "http://localhost/slash/?a=1"


def test_who_is_told_by_werkzeug_is_who_the_guard_says():
    app, seen = seeing(
        lambda request: (request.remote_user, request.authorization, request.headers.get("X-User")),
        forward={"X-User": "sub"},
        strip_credentials=True,
    )
    forged = {"X-User": "root", "X_User": "root"}

    status(app, headers=ALICE | forged, environ_overrides={"REMOTE_USER": "root"})
    assert seen == [("alice", None, "alice")]


def test_a_form_that_was_read_early_is_still_there():
    seen = []

    def view():
        seen.append((flask.request.form.to_dict(), flask.request.values.to_dict()))
        return ""

    app = flask.Flask(__name__)
    app.testing = True
    app.add_url_rule("/", "view", view, methods=["POST"])
    app.url_value_preprocessor(lambda endpoint, values: flask.request.form)
    JWTGuard(app, guard_for(forward={"X-User": "sub"}))

    assert status(app, "/", "POST", BOB, data={"a": "1"}) == 200
    assert seen == [({"a": "1"}, {"a": "1"})]


def test_a_streamed_answer_still_knows_who_asked():
    def view():
        @flask.stream_with_context
        def lines():
            yield "for "
            yield current_token.subject

        return lines()

    assert ask(made(views={"/": view}), headers=BOB).text == "for bob"


# --- a guard in front as well ---------------------------------------------------------------------


def behind(app, guard, between=None):
    inner = app.wsgi_app if between is None else between(app.wsgi_app)
    app.wsgi_app = wsgi.GuardMiddleware(inner, guard)
    return app


def test_the_same_guard_in_front_has_judged_already():
    guard = guard_for(strip_credentials=True, response_headers={"X-One": "guard"})
    app = flask.Flask(__name__)
    app.testing = True
    app.add_url_rule("/", "view", lambda: current_token.subject)
    JWTGuard(app, guard)
    behind(app, guard)

    answer = ask(app, headers=BOB)
    assert answer.text == "bob"
    assert answer.headers.get_all("X-One") == ["guard"]
    assert status(app) == 401


def test_another_guard_in_front_says_nothing_about_this_one():
    app = made(
        Rule("/", roles="admin"), variables="plain", views={"/": lambda: current_token.issuer}
    )
    front = Guard([OTHER.trusted(), IDP.trusted()], [Rule("/**", access="optional")])
    behind(app, front)

    assert status(app) == 401
    assert status(app, headers={"Authorization": OTHER.bearer("eve", roles="admin")}) == 401
    assert status(app, headers=BOB) == 403
    assert ask(app, headers={"Authorization": IDP.bearer(roles="admin")}).text == IDP.issuer


def overriding(app):
    def override(environ, start_response):
        environ["REQUEST_METHOD"] = environ.get("HTTP_X_METHOD", environ["REQUEST_METHOD"])
        return app(environ, start_response)

    return override


def mounting(app):
    return DispatcherMiddleware(flask.Flask("front"), {"/open": app})


@pytest.mark.parametrize(
    ("between", "path", "headers"),
    [(overriding, "/", {"X-Method": "DELETE"}), (mounting, "/open/", {})],
    ids=["another method", "another mount"],
)
def test_what_changes_between_two_doors_of_one_guard_is_judged_again(between, path, headers):
    guard = guard_for(
        Rule("/", methods=["GET"], access="public"), Rule("/open/**", access="public")
    )
    if between is mounting:
        guard = guard_for(Rule("/open/**", access="public"))
    app = flask.Flask(__name__)
    app.testing = True
    app.add_url_rule("/", "view", lambda: "open", methods=["GET", "DELETE"])
    JWTGuard(app, guard)
    behind(app, guard, between)

    assert status(app, path, headers=headers) == 401
    assert status(app, path, headers=headers | BOB) == 200


# --- public ---------------------------------------------------------------------------------------


def marked(app, view=public):
    return view(called(app, "view"))


def test_a_public_view_is_open_where_no_rule_speaks():
    app = made(Rule("/ruled"), Rule("/optional", access="optional"))
    for path in ("/free", "/ruled", "/optional"):
        app.add_url_rule(path, path, public(called(app, path)), methods=["GET", "POST"])
    app.add_url_rule("/free", "put", called(app, "put"), methods=["PUT"])
    expired = {"Authorization": IDP.bearer(expires=-60)}

    assert (status(app, "/free"), status(app, "/free", "POST")) == (200, 200)
    assert (status(app, "/free", "PUT"), status(app, "/free", "DELETE")) == (401, 401)
    assert (status(app, "/free/"), status(app, "/Free")) == (401, 401)
    assert (status(app, "/ruled"), status(app, "/optional")) == (401, 200)
    assert status(app, "/optional", headers=expired) == 401
    assert status(app, "/free", headers=expired) == 200
    assert ask(app, "/free", headers=ALICE).text == "None"  # credentials are not looked at
    assert ask(app, "/optional", headers=ALICE).text == "alice"


def test_a_public_view_is_not_open_behind_the_middleware_which_knows_no_views():
    app = flask.Flask(__name__)
    app.add_url_rule("/", "view", public(lambda: "open"))
    behind(app, READY)

    assert status(app) == 401


def test_a_method_that_the_rules_leave_out_is_not_opened_by_public():
    app = made(Rule("/r", methods=["GET"], scopes="a"))
    app.add_url_rule("/r", "r", public(called(app, "r")), methods=["GET", "POST"])

    assert ask(app, "/r", "POST").json["code"] == "method_not_covered"


def test_public_holds_for_async_views_wrapped_views_and_classes():
    async def asynchronous():
        return "async"

    @functools.wraps(public(lambda: None))
    def wrapped():
        return "wrapped"

    class Open(MethodView):
        decorators = [public]  # noqa: RUF012

        def get(self):
            return "class"

    class Closed(MethodView):
        @public  # on a method it says nothing about the view
        def get(self):
            return "closed"

    app = made()
    app.add_url_rule("/async", "async", public(asynchronous))
    app.add_url_rule("/wrapped", "wrapped", wrapped)
    app.add_url_rule("/class", view_func=Open.as_view("class"))
    app.add_url_rule("/closed", view_func=Closed.as_view("closed"))

    texts = [ask(app, path).text for path in ("/async", "/wrapped", "/class")]
    assert texts == ["async", "wrapped", "class"]
    assert status(app, "/closed") == 401


@pytest.mark.parametrize("decorator", [public, requires()])
def test_a_class_says_it_inside(decorator):
    with pytest.raises(ConfigurationError, match=r"decorators = \[public\]"):
        decorator(type("Views", (MethodView,), {}))


# --- requires -------------------------------------------------------------------------------------


def test_views_say_what_they_want_functions_coroutines_and_classes():
    @requires(scopes="a")
    def plain(user):
        return "plain"

    @requires(require={"sub": {"path": "user"}})
    async def asynchronous(user):
        return "async"

    class Whole(MethodView):
        decorators = [requires(scopes="a")]  # noqa: RUF012

        def get(self, user):
            return "whole"

    class Part(MethodView):
        def get(self, user):
            return "anybody"

        @requires(scopes="a")
        async def post(self, user):
            return "part"

    app = made()
    app.add_url_rule("/plain/<user>", "plain", plain)
    app.add_url_rule("/async/<user>", "async", asynchronous)
    app.add_url_rule("/whole/<user>", view_func=Whole.as_view("whole"))
    app.add_url_rule("/part/<user>", view_func=Part.as_view("part"))

    def answers(headers):
        return [
            status(app, path, method, headers)
            for method, path in (
                ("GET", "/plain/alice"),
                ("GET", "/async/alice"),
                ("GET", "/whole/alice"),
                ("GET", "/part/alice"),
                ("POST", "/part/alice"),
            )
        ]

    assert answers(ALICE) == [200] * 5
    assert answers(BOB) == [403, 403, 403, 200, 403]
    assert answers({}) == [401] * 5


def test_a_view_that_wants_something_is_closed_on_public_paths_too():
    app = made(Rule("/**", access="public"), views={"/": requires()(lambda: "")})

    assert (status(app), status(app, headers=ALICE)) == (401, 401)


@pytest.mark.parametrize("testing", [True, False])
def test_a_decorator_above_the_route_stops_every_request(testing):
    app = made()
    app.testing = testing
    app.add_url_rule("/below", "below", requires()(called(app, "below")))

    @requires(scopes="a")
    @app.get("/above")
    def above():
        app.called.append("above")
        return ""

    for path in ("/above", "/below", "/nowhere"):
        for _ in range(2):
            if testing:
                with pytest.raises(ConfigurationError, match="put it below"):
                    ask(app, path, headers=ALICE)
            else:
                assert status(app, path, headers=ALICE) == 500
    assert app.called == []


# --- protected blueprints -------------------------------------------------------------------------


def protected(*, public_view=False, **words):
    jwt = JWTGuard()
    outer, inner = flask.Blueprint("outer", __name__), flask.Blueprint("inner", __name__)
    app = made(Rule("/open/**", access="public"), jwt=jwt)
    outer.before_request(lambda: app.called.append("before"))
    jwt.protect(outer, **(words or {"scopes": "a"}))
    outer.add_url_rule("/view", "view", called(app, "outer"), methods=["GET", "POST"])
    view = called(app, "inner")
    inner.add_url_rule("/view", "view", public(view) if public_view else view)
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/b")
    app.register_blueprint(outer, url_prefix="/open/b", name="again")
    return app


@pytest.mark.parametrize("path", ["/b/view", "/b/inner/view", "/open/b/view", "/open/b/inner/view"])
def test_every_view_of_a_protected_blueprint_wants_the_requirement(path):
    app = protected()

    assert status(app, path, headers=BOB) == (401 if path.startswith("/open") else 403)
    assert status(app, path) == 401
    assert app.called == []
    if not path.startswith("/open"):
        assert status(app, path, headers=ALICE) == 200
        assert app.called[0] == "before"


def test_what_is_not_in_the_blueprint_is_not_its_own():
    app = protected()
    assert status(app, "/", headers=BOB) == 200
    assert status(app, "/b/nowhere", headers=BOB) == 404
    assert status(app, "/b/view", "OPTIONS") == 200


def test_arguments_of_the_views_can_be_compared_with():
    jwt = JWTGuard()
    blueprint = flask.Blueprint("users", __name__)
    jwt.protect(blueprint, require={"sub": {"path": "user"}})
    blueprint.add_url_rule("/<user>", "user", lambda user: user)
    app = made(jwt=jwt)
    app.register_blueprint(blueprint, url_prefix="/users")

    assert (
        status(app, "/users/alice", headers=ALICE),
        status(app, "/users/bob", headers=ALICE),
    ) == (
        200,
        403,
    )


def test_a_public_view_in_a_protected_blueprint_is_an_error():
    with pytest.raises(ConfigurationError, match="protected; it is one of them") as refused:
        ask(protected(public_view=True))
    assert [where for where, _ in refused.value.problems] == [
        "outer.inner.view",
        "again.inner.view",
    ]


def test_protection_comes_before_registration():
    jwt = JWTGuard()
    app = made(jwt=jwt)
    blueprint = flask.Blueprint("b", __name__)
    app.register_blueprint(blueprint)

    with pytest.raises(AssertionError, match="before_request"):
        jwt.protect(blueprint, scopes="a")
    with pytest.raises(ConfigurationError, match=r"requires\.scopes"):
        jwt.protect(flask.Blueprint("c", __name__), scopes=1)


def test_a_protected_blueprint_in_an_app_without_a_guard_is_closed():
    app = flask.Flask(__name__)
    app.testing = True
    blueprint = flask.Blueprint("b", __name__)
    JWTGuard().protect(blueprint)
    blueprint.add_url_rule("/", "view", lambda: "open")
    app.register_blueprint(blueprint)

    with pytest.raises(ConfigurationError, match="no guard saw this request"):
        ask(app, headers=ALICE)


# --- outside a request, and in tests --------------------------------------------------------------


def test_nobody_is_known_where_no_request_was_judged():
    app = made()

    for context in (contextlib.nullcontext(), app.app_context()):
        with context, pytest.raises(RuntimeError, match="outside of request context"):
            current_token.subject  # noqa: B018
    with app.test_request_context("/", headers=ALICE):
        for proxy in (current_token, current_claims):
            with pytest.raises(ConfigurationError, match="no guard saw"):
                bool(proxy)
        assert app.preprocess_request() is None
        assert (current_token.subject, current_claims["tier"]) == ("alice", 2)


def test_requests_in_one_app_context_are_judged_each_for_itself():
    app = made()
    with app.app_context():
        assert [status(app, headers=h) for h in (BOB, None, BOB, None)] == [200, 401, 200, 401]


# --- keys that must be fetched --------------------------------------------------------------------


def test_keys_are_fetched_as_the_app_was_told():
    asked = []

    def fetch(wanted):
        asked.append(wanted.url)
        return Fetched(200, {}, json.dumps(IDP.jwks()).encode())

    remote = RemoteKeys("https://idp.test/jwks.json")
    app = flask.Flask(__name__)
    JWTGuard(app, Guard([IDP.trusted(keys=remote)]), fetch=fetch)

    assert status(app, headers=ALICE) == 404
    assert asked == ["https://idp.test/jwks.json"]


# --- flask jwtguard … -----------------------------------------------------------------------------


def command(app, *words):
    result = app.test_cli_runner().invoke(args=["jwtguard", *words])
    return result.exit_code, result.output


def test_the_commands_ask_the_guard_of_the_app():
    app = made(Rule("/admin", roles="admin"))
    token = IDP.token("alice")

    code, said = command(app, "check")
    assert (code, "no problems" in said) == (0, True)
    code, said = command(app, "explain", "GET", "/admin", "--token", token)
    assert (code, "deny" in said, "/admin" in said) == (1, True, True)
    code, said = command(app, "verify", token)
    assert (code, json.loads(said)["sub"]) == (0, "alice")
    assert command(app, "keys", "--json")[0] == 0
    assert "METHOD" in command(app, "explain", "--help")[1]
    code, said = command(app, "explain")
    assert code == 2
    assert "explain" in command(app)[1]


def test_check_finds_what_is_wrong_with_the_routes():
    app = made()
    requires()(app.view_functions["/"])

    code, said = command(app, "check")

    assert code == 1
    assert "put it below" in " ".join(said.split())


def test_the_routes_of_an_app_are_listed_by_its_own_command():
    app = flask.Flask("listed")
    JWTGuard(app, Guard([FakeIssuer().trusted()], [Rule("/open", access="public")]))
    app.add_url_rule("/open", view_func=lambda: "")
    app.add_url_rule("/closed", "closed", view_func=lambda: "")
    result = app.test_cli_runner().invoke(args=["jwtguard", "routes"])
    assert result.exit_code == 0, result.output
    assert result.output.index("/open") < result.output.index("/closed")
