"""`jwtguard.quart.JWTGuard`: requests and WebSockets of Quart come after the guard."""

import asyncio
import functools
import json
import time

import pytest
import quart
import werkzeug
from quart.testing import WebsocketResponseError
from quart.views import MethodView

from jwtguard import FromCookie, FromQuery, FromSubprotocol, Guard, RemoteKeys, Rule, asgi
from jwtguard.core import Fetched
from jwtguard.errors import ConfigurationError
from jwtguard.quart import JWTGuard, current_claims, current_token, public, requires
from jwtguard.testing import FakeIssuer

from .doors import Answer, Ask
from .quart_door import send_through, served

IDP = FakeIssuer(algorithm="ES256")
OTHER = FakeIssuer("https://other.test/", algorithm="ES256")
ALICE = {"Authorization": IDP.bearer("alice", scopes="a", tier=2)}
BOB = {"Authorization": IDP.bearer("bob")}
READY = Guard([IDP.trusted()])


def guard_for(*rules, **words):
    return Guard([IDP.trusted()], rules, **words)


def made(*rules, views=("/",), jwt=None, fetch=None, **words):
    """A guarded app; each of *views* is a page and a WebSocket, which say who asks."""
    app = quart.Quart(__name__, static_folder=None)
    app.testing = True
    app.called = []
    for path in views:
        add(app, path)
    (jwt or JWTGuard()).init_app(app, guard_for(*rules, **words), fetch=fetch)
    return app


def add(app, path, decorator=lambda view: view, name=None):
    async def view(**arguments):
        app.called.append(path)
        return str(current_token.subject if current_token else None)

    async def websocket_view(**arguments):
        app.called.append(path)
        await quart.websocket.send(str(current_token.subject if current_token else None))

    name = name or path
    app.add_url_rule(path, name, decorator(view))
    app.add_websocket(path, f"{name} ws", decorator(websocket_view))


def ask(app, path="/", method="GET", headers=None, **words):
    async def exchange():
        response = await app.test_client(use_cookies=False).open(
            path, method=method, headers=headers, **words
        )
        return response, await response.get_data(as_text=True)

    response, response.text = asyncio.run(exchange())
    return response


def status(*arguments, **words):
    return ask(*arguments, **words).status_code


def connect(app, path="/", headers=None, subprotocols=()):
    """The first message of a WebSocket, or the status of the refusal."""

    async def exchange():
        client = app.test_client(use_cookies=False)
        async with client.websocket(
            path, headers=headers, subprotocols=list(subprotocols)
        ) as websocket:
            return await websocket.receive()

    try:
        return asyncio.run(exchange())
    except WebsocketResponseError as refused:
        return refused.response.status_code


def both(app, path="/", headers=None):
    """What a request and a handshake get: the text, or the status of the refusal."""
    answer = ask(app, path, headers=headers)
    page = answer.text if answer.status_code == 200 else answer.status_code
    found = connect(app, path, headers)
    assert page == found
    return found


# --- whose guard ----------------------------------------------------------------------------------


def test_the_guard_is_given_or_configured(monkeypatch):
    app = quart.Quart(__name__)
    app.config["JWTGUARD"] = READY
    JWTGuard().init_app(app)
    assert (status(app), status(app, headers=ALICE)) == (401, 404)

    monkeypatch.delenv("JWTGUARD_CONFIG", raising=False)
    with pytest.raises(ConfigurationError, match="there is no guard"):
        JWTGuard(quart.Quart(__name__))
    with pytest.raises(ConfigurationError, match="takes a Quart app"):
        JWTGuard(object(), READY)
    with pytest.raises(ConfigurationError, match="without an app"):
        JWTGuard(guard=READY)
    with pytest.raises(ConfigurationError, match="once per app"):
        JWTGuard(app, READY)
    with pytest.raises(ConfigurationError, match="expiry_grace"):
        JWTGuard(quart.Quart(__name__), READY, expiry_grace=-1)


def test_one_object_serves_several_apps_each_with_its_own_guard():
    jwt = JWTGuard()
    one, two = made(jwt=jwt), quart.Quart("two")
    jwt.init_app(two, Guard([OTHER.trusted()]))

    assert (status(one, headers=ALICE), status(two, headers=ALICE)) == (200, 401)


def test_keys_are_fetched_as_the_app_was_told():
    asked = []

    async def fetch(wanted):
        asked.append(wanted.url)
        await asyncio.sleep(0)
        return Fetched(200, {}, json.dumps(IDP.jwks()).encode())

    remote = RemoteKeys("https://idp.test/jwks.json")
    app = quart.Quart(__name__)
    JWTGuard(app, Guard([IDP.trusted(keys=remote)]), fetch=fetch)

    assert status(app, headers=ALICE) == 404
    assert asked == ["https://idp.test/jwks.json"]


# --- everything that Quart routes -----------------------------------------------------------------


def everything():
    app = quart.Quart(__name__, static_folder=".", static_url_path="/static")
    app.called = []
    JWTGuard(app, READY)
    add(app, "/late")
    add(app, "/slash/")
    app.add_url_rule("/post", "post", lambda: "", methods=["POST"])
    app.add_url_rule("/sync", "sync", lambda: "sync")
    blueprint = quart.Blueprint("b", __name__, static_folder=".", static_url_path="/files")
    blueprint.before_request(lambda: app.called.append("before b"))
    blueprint.before_websocket(lambda: app.called.append("before b"))
    add(blueprint_calls(app, blueprint), "/view", name="view")
    app.register_blueprint(blueprint, url_prefix="/b")
    app.register_error_handler(404, lambda error: ("my 404", 404))

    class Item(MethodView):
        async def get(self):
            app.called.append("item")
            return ""

    app.add_url_rule("/item", view_func=Item.as_view("item"))
    return app


def blueprint_calls(app, blueprint):
    blueprint.called = app.called
    return blueprint


ROUTED = {
    ("GET", "/late"): 200,
    ("HEAD", "/late"): 200,
    ("GET", "/slash/"): 200,
    ("GET", "/slash"): 308,
    ("GET", "/post"): 405,
    ("POST", "/post"): 200,
    ("GET", "/sync"): 200,
    ("GET", "/nowhere"): 404,
    ("OPTIONS", "/nowhere"): 404,
    ("GET", "/static/test_quart.py"): 200,
    ("GET", "/b/files/test_quart.py"): 200,
    ("GET", "/b/view"): 200,
    ("GET", "/item"): 200,
}


@pytest.mark.parametrize(("method", "path"), ROUTED)
def test_whatever_quart_would_answer_is_judged_first(method, path):
    app = everything()

    assert status(app, path, method) == 401
    assert app.called == []
    assert status(app, path, method, BOB) == ROUTED[method, path]


@pytest.mark.parametrize("path", ["/late", "/slash/", "/slash", "/b/view", "/nowhere", "/post"])
def test_every_handshake_is_judged_first(path):
    app = everything()

    assert connect(app, path) == 401
    assert app.called == []
    if path in ("/late", "/slash/", "/b/view"):
        assert connect(app, path, BOB) == "bob"


def test_a_path_beside_its_mount_is_judged_as_what_quart_routes():
    """Quart takes a prefix that is none for no path at all."""
    app = made(Rule(["/", "/public/**"], access="public"))
    app.add_url_rule("/<path:path>", "any", lambda path: f"any {path!r}")

    def get(target, **headers):
        answer = Answer(0)
        scope = served(Ask(target, mount="/m", raw=False, headers=list(headers.items())))
        asyncio.run(send_through(app, scope, answer))
        return answer.status

    assert (get("/m/"), get("/m/public/a"), get("/m/secret")) == (200, 200, 401)
    assert (get("/m"), get("/public/a"), get("/mpublic/a")) == (401, 401, 400)
    assert get("/m", **BOB) == 200


def test_a_request_class_that_changes_the_method_is_an_error():
    class Overriding(quart.Request):
        def __init__(self, method, *arguments, **words):
            headers = arguments[3]
            super().__init__(headers.get("X-Method", method), *arguments, **words)

    app = made()
    app.request_class = Overriding
    app.testing = False

    assert status(app, headers=BOB) == 200
    assert status(app, headers=BOB | {"X-Method": "DELETE"}) == 500


# --- first ----------------------------------------------------------------------------------------


def test_the_guard_comes_before_functions_that_were_registered_before_it():
    app = quart.Quart(__name__)
    order = []

    def before():
        order.append("before")

    app.before_request(before)
    app.before_websocket(before)
    JWTGuard(app, READY)

    assert (status(app), connect(app), order) == (401, 401, [])
    assert (status(app, headers=BOB), order) == (404, ["before"])


@pytest.mark.parametrize("change", ["clear", "before it"])
def test_a_view_that_ran_without_the_guard_gives_nothing_away(change):
    app = made(views=())
    app.testing = False
    app.add_url_rule("/", "view", lambda: "not judged")

    async def first():
        return "not judged"

    functions = app.before_request_funcs
    if change == "clear":
        functions.clear()
    else:
        functions[None].insert(0, first)

    answer = ask(app)
    assert answer.status_code == 500
    assert "judged" not in answer.text


def test_an_error_before_it_was_the_guards_turn_is_told_to_nobody_unknown():
    app = made()

    @app.url_value_preprocessor
    def find_tenant(endpoint, values):
        quart.abort(404)

    assert (status(app), status(app, headers=BOB)) == (401, 404)


PREFLIGHT = {"Origin": "https://app.test", "Access-Control-Request-Method": "GET"}


def test_the_automatic_answer_to_options_passes_and_calls_no_view():
    app = made(forward={"X-User": "sub"})
    seen = []

    @app.before_request
    async def look():
        seen.append((bool(current_token), quart.request.headers.get("X-User")))

    assert status(app, "/", "OPTIONS", {"X-User": "root"}) == 200
    assert (app.called, seen) == ([], [(False, None)])
    answering = made(preflight="answer", origins=["https://app.test"])
    answer = ask(answering, "/", "OPTIONS", PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.test"


def test_after_request_functions_see_refusals_and_response_headers_are_added():
    app = made(response_headers={"X-One": "guard"})
    seen = []

    @app.after_request
    async def look(response):
        seen.append(response.status_code)
        return response

    assert ask(app).headers.getlist("X-One") == ["guard"]
    assert ask(app, headers=BOB).headers.getlist("X-One") == ["guard"]
    assert seen == [401, 200]


# --- what the app sees ----------------------------------------------------------------------------


def seeing(look, *rules, **words):
    seen = []

    async def view():
        seen.append(look(quart.request))
        return ""

    async def websocket_view():
        seen.append(look(quart.websocket))
        await quart.websocket.send("")

    app = quart.Quart(__name__)
    app.testing = True
    app.secret_key = "any"
    app.add_url_rule("/", "/", view)
    app.add_url_rule("/slash/", "slash", view)
    app.add_websocket("/", "ws", websocket_view)
    JWTGuard(app, guard_for(*rules, **words))

    async def curious(sender, **_):
        request = quart.request
        for name in ("args", "cookies", "url", "full_path", "authorization"):
            getattr(request, name)

    app.curious = curious
    quart.request_started.connect(curious, app)
    return app, seen


def everything_of(connection):
    scope = {name: value for name, value in connection.scope.items() if "jwt" not in name}
    return repr(
        (
            scope,
            list(connection.headers),
            connection.url,
            connection.query_string,
            connection.args,
            connection.cookies,
            connection.authorization,
        )
    )


@pytest.mark.parametrize("kind", ["request", "websocket"])
@pytest.mark.parametrize("place", ["header", "cookie", "query"])
def test_a_token_that_was_taken_out_is_not_seen_by_anybody(place, kind):
    credentials = {"header": "bearer", "cookie": FromCookie("t"), "query": FromQuery()}[place]
    app, seen = seeing(
        everything_of, Rule("/**", credentials=[credentials]), strip_credentials=True
    )
    token = IDP.token("alice")
    headers = {
        "header": {"Authorization": f"Bearer {token}"},
        "cookie": {"Cookie": f"a=1; t={token}", "Origin": "http://localhost"},
        "query": {},
    }[place]
    path = f"/?a=1&access_token={token}" if place == "query" else "/?a=1"

    found = status(app, path, headers=headers) if kind == "request" else connect(app, path, headers)
    assert found in (200, "")
    (said,) = seen
    assert token not in said
    assert "a=1" in said


def test_a_redirect_does_not_hold_the_token():
    app, _ = seeing(everything_of, Rule("/**", credentials=[FromQuery()]))
    moved = ask(app, f"/slash?a=1&access_token={IDP.token('alice')}")
    assert moved.headers["Location"] == "http://localhost/slash/?a=1"


def test_forwarded_headers_are_the_guards_alone_in_the_request_and_in_its_scope():
    app, seen = seeing(
        lambda connection: (
            connection.headers.getlist("X-User"),
            connection.headers.getlist("X_User"),
            [
                value
                for name, value in connection.scope["headers"]
                if name.lower() in (b"x-user", b"x_user")
            ],
            connection.headers["Remote-Addr"] != "",
        ),
        Rule("/**", access="optional"),
        forward={"X-User": "name"},
    )
    forged = {"X-User": "root", "X_User": "root"}
    jose = {"Authorization": IDP.bearer("jose", name="José")}

    for send in (ask, connect):
        send(app, headers=forged)
        send(app, headers=forged | jose)

    utf8 = "José".encode()
    assert seen == [([], [], [], True), ([utf8.decode("latin-1")], [], [utf8], True)] * 2


def test_a_form_is_still_there():
    app = made(views=(), forward={"X-User": "sub"})

    @app.post("/")
    async def form():
        return dict(await quart.request.form)

    assert json.loads(ask(app, "/", "POST", BOB, form={"a": "1"}).text) == {"a": "1"}


@pytest.mark.parametrize("accept", [{}, {"subprotocol": "chat"}])
def test_a_subprotocol_that_carries_the_token_is_answered_by_its_marker(accept):
    app = made(Rule("/ws", credentials=[FromSubprotocol("bearer")]))
    offered = []

    @app.websocket("/ws")
    async def ws():
        offered.extend(quart.websocket.requested_subprotocols)
        await quart.websocket.accept(**accept)

    words = f"bearer, {IDP.token('alice')}, chat"
    scope = served(
        Ask(
            "/ws",
            websocket=True,
            headers=[("Sec-WebSocket-Protocol", words), ("Origin", "https://x.test")],
        )
    )
    answer = Answer(0)
    asyncio.run(send_through(app, scope, answer))

    assert offered == ["chat"]
    assert (answer.status, answer.subprotocol) == (200, accept.get("subprotocol", "bearer"))


# --- a handshake is refused before it is accepted -------------------------------------------------


@pytest.mark.parametrize(
    ("extensions", "status"), [({}, 1008), (None, 1008), ({"websocket.http.response": {}}, 401)]
)
@pytest.mark.parametrize("who", ["the guard", "a decorator", "a blueprint"])
def test_a_handshake_is_refused_as_the_server_can_tell(who, extensions, status):
    jwt = JWTGuard()
    if who == "the guard":
        app = made()
    else:
        app = made(Rule("/**", access="public"), views=(), jwt=jwt)
        blueprint = quart.Blueprint("b", __name__)
        blueprint.called = app.called
        add(blueprint, "/", requires() if who == "a decorator" else (lambda view: view), "view")
        if who == "a blueprint":
            jwt.protect(blueprint)
        app.register_blueprint(blueprint)
    scope = served(Ask("/", websocket=True)) | {"extensions": extensions}
    answer = Answer(0)

    asyncio.run(send_through(app, scope, answer))

    assert answer.status == status
    assert app.called == []


def test_a_websocket_ends_with_its_token():
    clock = [time.time()]
    issuer = FakeIssuer(algorithm="ES256", clock=lambda: clock[0])
    app = quart.Quart(__name__)
    ended = []
    guard = Guard([issuer.trusted(leeway=0)], clock=lambda: clock[0])
    JWTGuard(app, guard)

    @app.websocket("/")
    async def forever():
        await quart.websocket.accept()
        clock[0] += 3600
        try:
            await quart.websocket.receive()
        finally:
            ended.append(True)

    headers = [("Authorization", issuer.bearer("alice", expires=1))]
    sent = asyncio.run(conversation(app, headers))

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], ended) == (1008, [True])


async def conversation(app, headers):
    """What the app sends over a WebSocket, to a server that follows a close by a disconnect."""
    sent, closed = [], asyncio.Event()
    connected = [{"type": "websocket.connect"}]

    async def receive():
        if connected:
            return connected.pop()
        await closed.wait()
        return {"type": "websocket.disconnect", "code": 1008}

    async def send(message):
        sent.append(message)
        if message["type"] == "websocket.close":
            closed.set()

    scope = served(Ask("/", websocket=True, headers=headers))
    await asyncio.wait_for(app(scope, receive, send), 10)
    return sent


@pytest.mark.parametrize("words", [{}, {"expiry_grace": None}])
def test_a_websocket_that_is_over_is_watched_by_nobody(words):
    app = quart.Quart(__name__)
    JWTGuard(app, READY, **words)

    @app.websocket("/")
    async def brief():
        await quart.websocket.accept()

    async def talk():
        sent = await conversation(app, list(ALICE.items()))
        await asyncio.sleep(0)
        return sent, asyncio.all_tasks() - {asyncio.current_task()}

    sent, left = asyncio.run(talk())
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], left) == (1000, set())


# --- server-sent events ---------------------------------------------------------------------------


class Stream:
    """An app with a stream of events, and a client that listens to the end of it.

    The clock of the guard is past the token's end once the second event is asked for.
    """

    def __init__(self, mimetype="text/event-stream", view=None, expires=1, **words):
        self.now = time.time()
        self.sent = []
        self.ended = []
        self.words = words
        self.mimetype = mimetype
        self.issuer = FakeIssuer(algorithm="ES256", clock=lambda: self.now)
        self.guard = Guard([self.issuer.trusted(leeway=0)], clock=lambda: self.now)
        self.headers = [("Authorization", self.issuer.bearer("alice", expires=expires))]
        self.app = quart.Quart(__name__)
        self.app.add_url_rule("/", "stream", view or self.view)

    async def view(self):
        response = quart.Response(quart.stream_with_context(self.events)(), mimetype=self.mimetype)
        response.timeout = None
        return response

    async def events(self):
        yield f"data: {current_token.subject}\n\n"
        self.now += 3600
        try:
            await asyncio.sleep(0.3)
            yield "data: late\n\n"
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        finally:
            self.ended.append("closed")

    async def listen(self):
        left = asyncio.Event()

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            self.sent.append(message)

        await asyncio.wait_for(self.app(served(Ask("/", headers=self.headers)), receive, send), 10)
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    def heard(self):
        """The text of an answer that came to its end, and was then watched by nobody."""
        if "jwtguard" not in self.app.extensions:
            JWTGuard(self.app, self.guard, **self.words)
        assert asyncio.run(self.listen()) == set()
        start, *bodies = self.sent
        assert (start["type"], start["status"]) == ("http.response.start", 200)
        assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]
        return b"".join(message["body"] for message in bodies).decode()


def test_server_sent_events_end_with_their_token():
    stream = Stream()

    assert stream.heard() == "data: alice\n\n"
    assert stream.ended == ["cancelled", "closed"]


def test_events_go_on_for_as_long_as_they_are_given():
    alice, late = "data: alice\n\n", "data: late\n\n"

    assert Stream(expiry_grace=0.05).heard() == alice
    assert Stream(expiry_grace=5).heard() == alice + late
    assert Stream(expiry_grace=None).heard() == alice + late
    assert Stream(expires=7200).heard() == alice + late


def test_other_answers_are_sent_to_their_end():
    assert Stream("text/plain").heard() == "data: alice\n\ndata: late\n\n"


def test_a_stream_that_goes_on_when_it_is_cancelled_is_not_heard():
    async def events():
        yield "data: alice\n\n"
        stream.now += 3600
        while True:
            try:
                await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                stream.ended.append("cancelled")
            yield "data: late\n\n"

    stream = Stream()
    stream.events = events

    assert stream.heard() == "data: alice\n\n"
    assert stream.ended == ["cancelled"]


def test_a_timeout_of_the_apps_own_is_its_own():
    async def events():
        yield "data: alice\n\n"
        raise TimeoutError

    stream = Stream()
    stream.events = events
    JWTGuard(stream.app, stream.guard)

    assert asyncio.run(stream.listen()) == set()
    assert [message.get("more_body") for message in stream.sent] == [None, True]


def test_events_of_whoever_sends_no_token_are_watched_by_nobody():
    stream = Stream()
    stream.guard = Guard(
        [stream.issuer.trusted()], [Rule("/", access="optional")], clock=lambda: stream.now
    )
    stream.headers = []
    stream.events = lambda: iter_async("data: nobody\n\n")

    assert stream.heard() == "data: nobody\n\n"


async def iter_async(*events):
    for event in events:
        yield event


def test_an_answer_of_werkzeugs_is_sent_as_it_is():
    async def view():
        return werkzeug.Response(["data: x\n\n"], mimetype="text/event-stream")

    assert Stream(view=view).heard() == "data: x\n\n"


# --- a guard in front as well ---------------------------------------------------------------------


def test_the_same_guard_in_front_has_judged_already():
    guard = guard_for(strip_credentials=True)
    app = quart.Quart(__name__)
    app.testing = True
    app.called = []
    add(app, "/")
    JWTGuard(app, guard)
    app.asgi_app = asgi.GuardMiddleware(app.asgi_app, guard)

    assert (ask(app, headers=BOB).text, status(app)) == ("bob", 401)
    assert (shaken(app, BOB), shaken(app, {})) == (200, 401)
    assert app.called == ["/", "/"]


def shaken(app, headers):
    """What a server that begins with ``websocket.connect`` is told."""
    answer = Answer(0)
    scope = served(Ask("/", websocket=True, headers=list(headers.items())))
    asyncio.run(send_through(app, scope, answer))
    return answer.status


def test_another_guard_in_front_says_nothing_about_this_one():
    app = made(Rule("/", roles="admin"))
    front = Guard([OTHER.trusted(), IDP.trusted()], [Rule("/**", access="optional")])
    app.asgi_app = asgi.GuardMiddleware(app.asgi_app, front)

    theirs = {"Authorization": OTHER.bearer("eve", roles="admin")}
    admin = {"Authorization": IDP.bearer(roles="admin")}
    for send in (
        lambda headers: status(app, headers=headers),
        lambda headers: shaken(app, headers),
    ):
        assert [send(headers) for headers in ({}, theirs, BOB, admin)] == [401, 401, 403, 200]


def test_what_changes_between_two_doors_of_one_guard_is_judged_again():
    guard = guard_for(Rule("/open/**", access="public"))
    app = quart.Quart(__name__)
    app.called = []
    add(app, "/")
    JWTGuard(app, guard)
    inner = app.asgi_app

    async def mounted(scope, receive, send):
        await inner({**scope, "root_path": "/open"}, receive, send)

    app.asgi_app = asgi.GuardMiddleware(mounted, guard)

    assert (status(app, "/open/"), status(app, "/open/", headers=BOB)) == (401, 200)


# --- public, requires, protect --------------------------------------------------------------------


def test_a_public_view_is_open_where_no_rule_speaks():
    app = made(Rule("/ruled"))
    for path in ("/free", "/ruled"):
        add(app, path, public)
    expired = {"Authorization": IDP.bearer(expires=-60)}

    assert both(app, "/free") == both(app, "/free", expired) == both(app, "/free", ALICE) == "None"
    assert both(app, "/ruled") == 401


def test_views_say_what_they_want():
    app = made(Rule("/open/**", access="public"))
    add(app, "/scope", requires(scopes="a"))
    add(app, "/user/<user>", requires(require={"sub": {"path": "user"}}))
    add(app, "/open/view", requires())

    @app.get("/sync")
    @requires(scopes="a")
    def sync():
        return "sync"

    class Items(MethodView):
        decorators = [requires(scopes="a")]  # noqa: RUF012

        async def get(self):
            return "items"

    app.add_url_rule("/items", view_func=Items.as_view("items"))

    for path, known in (("/scope", "alice"), ("/user/alice", "alice"), ("/open/view", 401)):
        assert both(app, path, ALICE) == known
        assert both(app, path, BOB) == (401 if known == 401 else 403)
        assert both(app, path) == 401
    for path in ("/sync", "/items"):
        assert (status(app, path, headers=ALICE), status(app, path, headers=BOB)) == (200, 403)


def test_a_decorator_above_the_route_stops_every_request():
    app = made()
    app.testing = False

    @requires(scopes="a")
    @app.websocket("/above")
    async def above():
        await quart.websocket.send("open")

    assert both(app, "/above", ALICE) == both(app, "/", ALICE) == 500


def test_every_view_of_a_protected_blueprint_wants_the_requirement():
    jwt = JWTGuard()
    app = made(Rule("/open/**", access="public"), jwt=jwt)
    outer, inner = quart.Blueprint("outer", __name__), quart.Blueprint("inner", __name__)
    outer.called = inner.called = app.called
    jwt.protect(outer, scopes="a")
    add(outer, "/view", name="view")
    add(inner, "/view", name="view")
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/b")
    app.register_blueprint(outer, url_prefix="/open/b", name="again")

    for path in ("/b/view", "/b/inner/view"):
        assert [both(app, path, headers) for headers in ({}, BOB, ALICE)] == [401, 403, "alice"]
        assert both(app, f"/open{path}", ALICE) == 401
    assert status(app, "/b/view", "OPTIONS") == 200
    assert both(app, "/", BOB) == "bob"


def test_a_public_view_in_a_protected_blueprint_is_an_error():
    jwt = JWTGuard()
    app = made(jwt=jwt)
    app.testing = False
    blueprint = quart.Blueprint("b", __name__)
    jwt.protect(blueprint)
    blueprint.called = app.called
    add(blueprint, "/view", public, "view")
    app.register_blueprint(blueprint)

    assert both(app, "/view", ALICE) == both(app, "/", ALICE) == 500


# --- outside a request ----------------------------------------------------------------------------


def test_nobody_is_known_where_no_request_was_judged():
    app = made()

    async def look():
        with pytest.raises(RuntimeError, match="request context"):
            current_token.subject  # noqa: B018
        async with app.test_request_context("/", headers=ALICE):
            for proxy in (current_token, current_claims):
                with pytest.raises(ConfigurationError, match="no guard saw"):
                    bool(proxy)
            assert await app.preprocess_request() is None
            assert (current_token.subject, current_claims["tier"]) == ("alice", 2)

    asyncio.run(look())


def test_marks_travel_with_wrapped_views():
    app = made()
    plain = public(lambda: "open")

    @functools.wraps(plain)
    async def outer():
        return plain()

    app.add_url_rule("/free", "free", outer)
    assert ask(app, "/free").text == "open"


def test_the_commands_ask_the_guard_of_the_app():
    result = made().test_cli_runner().invoke(args=["jwtguard", "explain", "GET", "/"])
    assert (result.exit_code, "deny" in result.output) == (1, True)


def test_a_guard_may_stand_in_front_of_a_quart_app():
    asgi.GuardMiddleware(quart.Quart(__name__), Guard([FakeIssuer().trusted()]))
