"""Starlette: who the request is from, Starlette's own ``@requires``, and ours."""

import asyncio
import functools

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires as starlette_requires
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from jwtguard import Guard, Issuer, JWKSet, Rule, asgi
from jwtguard.errors import ConfigurationError
from jwtguard.starlette import GuardMiddleware, install, requires
from jwtguard.testing import FakeIssuer

from .doors import Ask, scope_of

IDP = FakeIssuer(algorithm="ES256", name="people")
OPTIONAL = [Rule("/**", access="optional")]


def bearer(**words):
    return {"Authorization": IDP.bearer(**words)}


def client_of(*routes, rules=OPTIONAL):
    app = Starlette(routes=routes)
    install(app, Guard([IDP.trusted()], rules))
    return TestClient(app, raise_server_exceptions=False)


# --- request.user and request.auth ---------------------------------------------------------------


async def who(request):
    user = request.user
    return JSONResponse(
        [user.is_authenticated, user.display_name, user.identity, sorted(request.auth.scopes)]
    )


WHO = {
    "nobody": ({}, [False, "", "", []]),
    "somebody": (bearer(), [True, "alice", "people:alice", ["authenticated"]]),
    "a name": (bearer(name="Alice"), [True, "Alice", "people:alice", ["authenticated"]]),
    "a name that is none": (bearer(name=[1]), [True, "alice", "people:alice", ["authenticated"]]),
    "no subject": (bearer(sub=None), [True, "", "people", ["authenticated"]]),
    "scopes": (bearer(scopes="a b"), [True, "alice", "people:alice", ["a", "authenticated", "b"]]),
}


@pytest.mark.parametrize(("headers", "told"), WHO.values(), ids=WHO)
def test_user_and_auth_are_of_the_token(headers, told):
    assert client_of(Route("/", who)).get("/", headers=headers).json() == told


def test_subjects_of_different_tenants_are_different_people():
    issuer = Issuer(
        "https://{tenant}.test",
        name="people",
        audience=IDP.audience,
        algorithms=["ES256"],
        keys=JWKSet(IDP.jwks()),
        tenants=["a", "b"],
    )
    app = Starlette(routes=[Route("/", who)])
    install(app, Guard([issuer]))
    client = TestClient(app)

    for tenant in "ab":
        headers = bearer(iss=f"https://{tenant}.test")
        assert client.get("/", headers=headers).json()[2] == f"people:{tenant}:alice"


def test_what_is_printed_of_a_user_holds_no_token():
    async def printed(request):
        assert not hasattr(request.auth, "roles")
        return PlainTextResponse(repr(request.user))

    text = client_of(Route("/", printed)).get("/", headers=bearer()).text

    assert text == "<TokenUser issuer='people'>"


def test_nobody_has_a_scope_that_somebody_changed():
    async def grab(request):
        request.auth.scopes.append("admin")
        return await who(request)

    client = client_of(Route("/", grab))
    client.get("/")

    assert client.get("/").json()[3] == ["admin"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda app, guard: GuardMiddleware(app, guard),
        lambda app, guard: app.add_middleware(GuardMiddleware, guard=guard) or app,
        lambda app, guard: Starlette(
            routes=app.routes, middleware=[Middleware(GuardMiddleware, guard=guard)]
        ),
        lambda app, guard: Starlette(
            routes=[Mount("/", app, middleware=[Middleware(GuardMiddleware, guard=guard)])]
        ),
    ],
    ids=["around", "add_middleware", "middleware=", "around a mount"],
)
def test_the_middleware_works_wherever_middleware_stands(wrap):
    app = wrap(Starlette(routes=[Route("/", who)]), Guard([IDP.trusted()]))

    with TestClient(app) as client:
        assert client.get("/").status_code == 401
        assert client.get("/", headers=bearer()).json()[2] == "people:alice"


def test_the_plain_asgi_middleware_works_too_without_a_user():
    async def token(request):
        assert "user" not in request.scope
        return PlainTextResponse(request.scope["jwtguard.token"].subject)

    app = Starlette(routes=[Route("/", token)])
    app.add_middleware(asgi.GuardMiddleware, guard=Guard([IDP.trusted()]))

    assert TestClient(app).get("/", headers=bearer()).text == "alice"


def test_what_stood_in_front_of_the_guard_says_nothing_of_the_user():
    class Backend:
        async def authenticate(self, conn):
            from starlette.authentication import AuthCredentials, SimpleUser

            return AuthCredentials(["authenticated", "admin"]), SimpleUser("root")

    app = Starlette(routes=[Route("/", who)])
    install(app, Guard([IDP.trusted()], OPTIONAL))
    app.add_middleware(AuthenticationMiddleware, backend=Backend())

    assert TestClient(app).get("/").json() == [False, "", "", []]


STARLETTES_OWN = {
    "authenticated": ("authenticated", bearer(), 200),
    "nobody": ("authenticated", {}, 403),
    "the scope": ("notes:read", bearer(scopes="notes:read"), 200),
    "another scope": ("notes:read", bearer(scopes="notes:write"), 403),
    "nobody and a scope": ("notes:read", {}, 403),
}


@pytest.mark.parametrize("as_", ["async", "sync", "websocket"])
@pytest.mark.parametrize(
    ("scope", "headers", "status"), STARLETTES_OWN.values(), ids=STARLETTES_OWN
)
def test_starlettes_own_requires_works(scope, headers, status, as_):
    @starlette_requires(scope)
    async def page(request):
        return PlainTextResponse("page")

    @starlette_requires(scope)
    def threaded(request):
        return PlainTextResponse("page")

    @starlette_requires(scope)
    async def chat(websocket):
        await websocket.accept()
        await websocket.close()

    routes = {"async": Route("/", page), "sync": Route("/", threaded)}
    client = client_of(routes.get(as_) or WebSocketRoute("/", chat))
    if as_ != "websocket":
        assert client.get("/", headers=headers).status_code == status
    elif status == 200:
        client.websocket_connect("/", headers=headers).__enter__()
    else:
        with pytest.raises(WebSocketDisconnect):
            client.websocket_connect("/", headers=headers).__enter__()


# --- requires ------------------------------------------------------------------------------------

WANTED = requires(scopes="notes:read", require={"sub": {"path": "user"}})


@WANTED
async def function(request):
    return PlainTextResponse("reached")


@WANTED
def threaded(request):
    return PlainTextResponse("reached")


@WANTED
async def other_name(connection: HTTPConnection):
    return PlainTextResponse("reached")


@WANTED
async def more_arguments(prefix, request):
    return PlainTextResponse(prefix)


@WANTED
class Endpoint(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("reached")


class Inherited(Endpoint):
    async def get(self, request):
        return PlainTextResponse("reached")


class ByMethod(HTTPEndpoint):
    @WANTED
    async def get(self, request):
        return PlainTextResponse("reached")


class ByThreadedMethod(HTTPEndpoint):
    @WANTED
    def get(self, request):
        return PlainTextResponse("reached")


ENDPOINTS = {
    "function": function,
    "threaded": threaded,
    "other name": other_name,
    "partial": functools.partial(more_arguments, "reached"),
    "decorated partial": WANTED(functools.partial(more_arguments.__wrapped__, "reached")),
    "class": Endpoint,
    "inherited class": Inherited,
    "method": ByMethod,
    "threaded method": ByThreadedMethod,
}


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_endpoint_is_reached_by_a_token_that_meets_the_requirement(endpoint):
    client = client_of(Mount("/m", routes=[Route("/{user}", endpoint)]))
    nobody = client.get("/m/alice")
    lacking = client.get("/m/alice", headers=bearer())
    other = client.get("/m/bob", headers=bearer(scopes="notes:read"))
    reached = client.get("/m/alice", headers=bearer(scopes="notes:read"))

    assert [nobody.status_code, nobody.json()["code"]] == [401, "no_credentials"]
    assert [lacking.status_code, lacking.json()["code"]] == [403, "insufficient_scope"]
    assert 'scope="notes:read"' in lacking.headers["WWW-Authenticate"]
    assert other.status_code == 403
    assert reached.text == "reached"


@WANTED
async def socket(websocket):
    await websocket.accept()
    await websocket.send_text("reached")
    await websocket.close()


@WANTED
class Socket(WebSocketEndpoint):
    encoding = "text"

    async def on_connect(self, websocket):
        await socket(websocket)


@pytest.mark.parametrize("endpoint", [socket, Socket], ids=["function", "class"])
def test_a_websocket_is_refused_before_it_is_accepted(endpoint):
    client = client_of(WebSocketRoute("/{user}", endpoint))

    with client.websocket_connect("/alice", headers=bearer(scopes="notes:read")) as session:
        assert session.receive_text() == "reached"
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/alice", headers=bearer()),
    ):
        pass
    assert (caught.value.status_code, caught.value.json()["error"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("endpoint", [socket, Socket], ids=["function", "class"])
def test_where_a_server_can_send_no_response_a_handshake_is_closed(endpoint):
    app, sent = Starlette(routes=[WebSocketRoute("/{user}", endpoint)]), []
    install(app, Guard([IDP.trusted()], OPTIONAL))

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope_of(Ask("/alice", websocket=True)) | {"extensions": {}}, receive, send))

    assert [(one["type"], one["code"]) for one in sent] == [("websocket.close", 1008)]


def test_a_check_sees_the_path_that_rules_see():
    @requires(check=lambda token, request: request.path == "/m/x")
    async def page(request):
        return PlainTextResponse("page")

    assert client_of(Mount("/m", routes=[Route("/x", page)])).get("/m/x", headers=bearer()).text


def test_where_no_guard_saw_the_request_nobody_passes():
    with pytest.raises(ConfigurationError, match="no guard saw this request"):
        TestClient(Starlette(routes=[Route("/{user}", function)])).get("/alice", headers=bearer())


def test_an_endpoint_that_gets_no_request_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="gets no request to judge"):
        requires()(lambda: "open")()


async def answers():
    yield b"x"


def more_answers():
    yield b"x"


@pytest.mark.parametrize(
    ("view", "said"),
    [(answers, "yields"), (more_answers, "yields"), (dict, "is no HTTPEndpoint")],
)
def test_what_cannot_be_refused_is_found_when_it_is_defined(view, said):
    with pytest.raises(ConfigurationError, match=said):
        requires()(view)


# --- start-up ------------------------------------------------------------------------------------


def leak():
    """An endpoint whose decorator decorates what nobody calls."""

    async def page(request):
        return PlainTextResponse("open")

    requires(scopes="x")(page)
    return page


@pytest.mark.parametrize(
    "routes",
    [
        lambda: [Route("/", leak())],
        lambda: [WebSocketRoute("/", leak())],
        lambda: [Mount("/m", routes=[Route("/", leak())])],
        lambda: [Mount("/m", Starlette(routes=[Route("/", leak())]))],
        lambda: [Mount("/m", Router([Route("/", leak())]))],
        lambda: [Host("api.test", Router([Route("/", leak())]))],
        lambda: [
            Mount(
                "/m",
                GuardMiddleware(Starlette(routes=[Route("/", leak())]), Guard([IDP.trusted()])),
            )
        ],
    ],
    ids=["route", "websocket", "mount", "mounted app", "router", "host", "mounted middleware"],
)
def test_a_decorator_above_its_route_is_found_wherever_the_route_is(routes):
    app = Starlette(routes=routes())
    install(app, Guard([IDP.trusted()]))

    with pytest.raises(ConfigurationError, match="above the route"), TestClient(app):
        pass


def test_routes_that_lead_in_circles_are_looked_at_once():
    app = Starlette(routes=[Route("/", who)])
    app.mount("/again", app)
    install(app, Guard([IDP.trusted()]))

    with TestClient(app) as client:
        assert client.get("/", headers=bearer()).status_code == 200
