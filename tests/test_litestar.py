"""Litestar: the guard in front of its routing, ``requires`` as one of its guards, OpenAPI."""

import asyncio
import json

import pytest
from litestar import Controller, Litestar, Request, Router, WebSocket, asgi, get, websocket
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.openapi import OpenAPIConfig
from litestar.testing import TestClient

import jwtguard.asgi
from jwtguard import Discovery, Guard, Issuer, Rule, VerifiedToken
from jwtguard.core import Fetched
from jwtguard.errors import ConfigurationError, FetchError
from jwtguard.litestar import (
    Refused,
    install,
    openapi_components,
    openapi_security,
    requires,
)
from jwtguard.testing import FakeIssuer

from .doors import Ask, scope_of, waiting

try:
    from litestar.params import FromPath
except ImportError:  # in an earlier Litestar the name of the parameter says it
    FromPath = {str: str, int: int}

IDP = FakeIssuer(algorithm="ES256", name="people")
PAGE = "https://app.example.com"


def bearer(**words):
    return {"Authorization": IDP.bearer(**words)}


def make_app(*handlers, rules=(), fetch=None, guard=None, **words):
    app = Litestar([*handlers], logging_config=None, **words)
    install(app, guard or Guard([IDP.trusted()], rules), fetch=fetch)
    return app


def client_of(*handlers, **words):
    return TestClient(make_app(*handlers, **words), raise_server_exceptions=False)


@get("/me")
async def me(request: Request[VerifiedToken, VerifiedToken, State]) -> str:
    assert request.user is request.auth
    return request.auth.subject if request.auth else "nobody"


def test_user_and_auth_are_the_token():
    client = client_of(me, rules=[Rule("/**", access="optional")])

    assert client.get("/me").text == "nobody"
    assert client.get("/me", headers=bearer()).text == "alice"


def test_requires_runs_on_the_loop_and_in_no_thread():
    def on_loop(token, request):
        return asyncio.get_running_loop().is_running()

    @get("/checked", guards=[requires(check=on_loop)])
    async def checked() -> str:
        return "reached"

    assert client_of(checked).get("/checked", headers=bearer()).status_code == 200


def test_everything_is_guarded_before_it_is_routed():
    @asgi("/files", is_mount=True, copy_scope=True)
    async def files(scope: dict, receive: object, send: object) -> None:
        pytest.fail("reached")

    @get("/open", opt={"exclude_from_auth": True})
    async def opened() -> str:
        return "reached"

    client = client_of(files, opened, me)

    for path in ("/me", "/open", "/files", "/files/x", "/schema", "/nothing", "/me/"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            assert client.request(method, path).status_code == 401


# --- mounts: Litestar compares beginnings --------------------------------------------------------


@asgi("/files", is_mount=True, copy_scope=True)
async def files(scope: dict, receive: object, send: object) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@get("/filesystem")
async def filesystem() -> str:
    return "its own"


MOUNTED = {
    "/files": (200, "/"),
    "/files/a/b": (200, "/a/b/"),
    "/filesystem": (200, "its own"),
    "/filesystem/": (200, "its own"),
    "/filesX": (400, None),
    "/filesX/secret": (400, None),
    "/filesystem/x": (400, None),
}


@pytest.mark.parametrize(("path", "answer"), MOUNTED.items(), ids=MOUNTED)
def test_what_is_mounted_is_reached_below_its_path_alone(path, answer):
    """`/filesX` would come to what is mounted at `/files`, past the rules for it."""
    rules = [Rule("/files/**", any_role="staff")]
    client = client_of(files, filesystem, rules=rules)

    found = client.get(path, headers=bearer(roles="staff"))

    assert found.status_code == answer[0]
    assert answer[1] is None or found.text == answer[1]


@pytest.mark.parametrize(
    ("path", "headers", "extensions", "status"),
    [
        ("/files/x", bearer(), {"websocket.http.response": {}}, 200),
        ("/filesX", bearer(), {"websocket.http.response": {}}, 400),
        ("/filesX", {}, {"websocket.http.response": {}}, 401),
        ("/filesX", bearer(), {}, 1008),
    ],
)
def test_a_websocket_comes_to_a_mount_below_its_path_alone(path, headers, extensions, status):
    scope = scope_of(Ask(path, websocket=True, headers=tuple(headers.items())))
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(make_app(files)(scope | {"extensions": extensions}, receive, send))

    first = {"code": 200, "status": 200} | sent[0]
    assert first["code" if first["type"] == "websocket.close" else "status"] == status


def test_routes_that_are_added_later_count():
    app = make_app(files)
    client = TestClient(app)
    assert client.get("/filesystem", headers=bearer()).status_code == 400

    app.register(filesystem)

    assert client.get("/filesystem", headers=bearer()).text == "its own"


# --- requires ------------------------------------------------------------------------------------

WANTED = requires(scopes="notes:read", require={"sub": {"path": "user"}})


def handler(**words):
    @get("/users/{user:str}", **words)
    async def notes(user: FromPath[str]) -> str:
        return "reached"

    return notes


class Notes(Controller):
    path = "/users"
    guards = [WANTED]  # noqa: RUF012

    @get("/{user:str}", sync_to_thread=True)
    def notes(self, user: FromPath[str]) -> str:
        return "reached"


APPS = {
    "handler": lambda **words: make_app(handler(guards=[WANTED]), **words),
    "controller": lambda **words: make_app(Notes, **words),
    "router": lambda **words: make_app(
        Router("/", route_handlers=[handler()], guards=[WANTED]), **words
    ),
    "app": lambda **words: make_app(handler(), guards=[WANTED], **words),
}


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_a_handler_is_reached_by_a_token_that_meets_the_requirement(make):
    client = TestClient(make(rules=[Rule("/**", access="optional")]))
    nobody = client.get("/users/alice")
    lacking = client.get("/users/alice", headers=bearer())
    other = client.get("/users/bob", headers=bearer(scopes="notes:read"))
    reached = client.get("/users/alice", headers=bearer(scopes="notes:read"))

    assert [nobody.status_code, nobody.json()["code"]] == [401, "no_credentials"]
    assert [lacking.status_code, lacking.json()["code"]] == [403, "insufficient_scope"]
    assert 'scope="notes:read"' in lacking.headers["WWW-Authenticate"]
    assert lacking.headers["Content-Length"] == str(len(lacking.content))
    assert other.status_code == 403
    assert reached.text == "reached"


def test_path_parameters_are_compared_as_the_handler_gets_them():
    @get("/users/{user:int}", guards=[requires(require={"id": {"path": "user"}})])
    async def notes(user: FromPath[int]) -> str:
        return "reached"

    client = client_of(notes)

    assert client.get("/users/007", headers=bearer(id=7)).text == "reached"
    assert client.get("/users/7", headers=bearer(id="007")).status_code == 403


def test_a_check_sees_the_path_that_rules_see():
    @asgi(
        "/files",
        is_mount=True,
        copy_scope=True,
        guards=[requires(check=lambda token, request: request.path == "/files/a")],
    )
    async def checked(scope: dict, receive: object, send: object) -> None:
        await files.fn(scope, receive, send)

    client = client_of(checked)

    assert client.get("/files/a", headers=bearer()).status_code == 200
    assert client.get("/files/b", headers=bearer()).status_code == 403


def test_a_websocket_is_closed_before_it_is_accepted():
    @websocket("/chat/{user:str}", guards=[WANTED])
    async def chat(
        socket: WebSocket[VerifiedToken, VerifiedToken, State], user: FromPath[str]
    ) -> None:
        await socket.accept()
        await socket.send_text(socket.auth.subject)
        await socket.close()

    client = client_of(chat)

    with client.websocket_connect("/chat/alice", headers=bearer(scopes="notes:read")) as session:
        assert session.receive_text() == "alice"
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/chat/alice", headers=bearer()),
    ):
        pass
    assert caught.value.code == 1008


def test_an_apps_own_handler_may_answer_a_refusal():
    from litestar import Response

    def own(request: Request, error: Refused) -> Response:
        return Response(
            {"mine": error.detail}, status_code=error.status_code, headers=error.headers
        )

    app = make_app(handler(guards=[WANTED]), exception_handlers={Refused: own})
    refused = TestClient(app).get("/users/alice", headers=bearer())

    assert refused.json() == {"mine": "The token lacks a required scope."}
    assert refused.headers["WWW-Authenticate"]


def test_where_no_guard_saw_the_request_nobody_passes():
    app = Litestar([handler(guards=[WANTED])], logging_config=None)

    answer = TestClient(app, raise_server_exceptions=False).get("/users/alice", headers=bearer())

    assert answer.status_code == 500


def test_requires_is_no_decorator():
    with pytest.raises(ConfigurationError, match="guards="):
        requires(scopes="x")(me)


def test_words_that_make_no_sense_are_found_when_it_is_called():
    with pytest.raises(ConfigurationError, match="rolls"):
        requires(rolls="admin")


# --- install -------------------------------------------------------------------------------------


def test_cors_stands_outside_of_the_guard():
    client = client_of(me, cors_config=CORSConfig(allow_origins=[PAGE]))
    preflight = client.options(
        "/me", headers={"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    )
    refused = client.get("/me", headers={"Origin": PAGE})

    assert (preflight.status_code, refused.status_code) == (204, 401)
    assert refused.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize("words", [{}, {"cors_config": CORSConfig()}], ids=["alone", "cors"])
def test_an_app_has_one_guard(words):
    app = make_app(me, **words)

    with pytest.raises(ConfigurationError, match="has a guard"):
        install(app, Guard([IDP.trusted()]))


@pytest.mark.parametrize(
    ("app", "guard", "said"),
    [
        ("app", None, "takes a Litestar app; found str"),
        (Litestar(logging_config=None), "guard", "takes a Guard; found str"),
    ],
)
def test_install_refuses_what_it_cannot_guard(app, guard, said):
    with pytest.raises(ConfigurationError, match=said):
        install(app, guard)


def test_the_plain_asgi_middleware_works_around_an_app():
    app = jwtguard.asgi.GuardMiddleware(
        Litestar([me, files], logging_config=None), Guard([IDP.trusted()])
    )

    assert TestClient(app).get("/files/a", headers=bearer()).status_code == 200
    assert TestClient(app).get("/files/a").status_code == 401


@pytest.mark.parametrize("is_down", [False, True])
def test_keys_are_fetched_at_start_up_and_an_outage_stops_nothing(is_down):
    asked = []

    def answer(wanted):
        asked.append(wanted.url)
        if is_down:
            raise FetchError("down")
        if "well-known" in wanted.url:
            body = {"issuer": IDP.issuer, "jwks_uri": "https://issuer.test/keys"}
        else:
            body = IDP.jwks()
        return Fetched(200, {}, json.dumps(body).encode())

    issuer = Issuer(IDP.issuer, audience=IDP.audience, algorithms=["ES256"], keys=Discovery())

    with client_of(me, guard=Guard([issuer]), fetch=waiting(answer)) as client:
        assert len(asked) == (1 if is_down else 2)
        assert client.get("/me", headers=bearer()).status_code == (503 if is_down else 200)


# --- OpenAPI -------------------------------------------------------------------------------------


def test_openapi_names_every_way_to_bring_a_token():
    provider = Issuer(
        "https://login.example.com/", audience="a", algorithms=["RS256"], keys=Discovery()
    )
    guard = Guard([provider], [Rule("/app/**", credentials=["bearer", {"cookie": "auth_token"}])])

    @get("/notes", security=openapi_security(guard, "notes:read"))
    async def notes() -> str:
        return ""

    config = OpenAPIConfig(
        "x", "1", components=openapi_components(guard), security=openapi_security(guard)
    )
    app = make_app(me, notes, guard=guard, openapi_config=config)
    document = app.openapi_schema.to_schema()
    names = ["bearer", "cookie-auth_token", "openid-https-login.example.com"]

    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "cookie-auth_token": {"type": "apiKey", "in": "cookie", "name": "auth_token"},
        "openid-https-login.example.com": {
            "type": "openIdConnect",
            "openIdConnectUrl": "https://login.example.com/.well-known/openid-configuration",
        },
    }
    assert document["security"] == [{name: []} for name in names]
    # Litestar adds the handler's to the app's.
    assert {name: ["notes:read"] for name in names}.items() <= {
        name: scopes
        for one in document["paths"]["/notes"]["get"]["security"]
        for name, scopes in one.items()
        if scopes
    }.items()
