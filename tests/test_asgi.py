"""What only the ASGI door has to get right; the contract table has the rest."""

import asyncio
import inspect
import subprocess
import sys
import tracemalloc

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from jwtguard import Guard, Rule, errors, wsgi
from jwtguard.asgi import GuardMiddleware
from jwtguard.testing import FakeIssuer

from .contract import ALICE, PUBLIC, TOKEN, bearer, idp
from .doors import Ask, scope_of

MIB = 1 << 20
CHUNK = 1 << 16
FEED = Rule("/feed", access="optional")
SUBPROTOCOL = Rule("/**", credentials={"subprotocol": "bearer"})


def make_guard(*rules, **settings):
    return Guard(settings.pop("issuers", [idp.trusted()]), rules, **settings)


def make_scope(target="/x", *, headers=(), websocket=False, mount="", **more):
    pairs = tuple(headers.items()) if isinstance(headers, dict) else headers
    return scope_of(Ask(target, headers=pairs, websocket=websocket, mount=mount)) | more


def run(app, scope, received=()):
    """The messages that *app* sent; *received* come first from its server."""
    queue = list(received)
    sent = []

    async def receive():
        return queue.pop(0) if queue else {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def guarded(guard, scope, app=None):
    """Status (None where nothing was answered) and the scope that the app was given."""
    seen = []

    async def record(scope, receive, send):
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent = run(GuardMiddleware(app or record, guard), scope)
    return sent[0]["status"] if sent else None, seen[0] if seen else None


def header(scope, name):
    return [value for key, value in scope["headers"] if key == name]


# --- paths --------------------------------------------------------------------------------------


UNDECODED = "/public/\N{REPLACEMENT CHARACTER}"
SMUGGLED = "/public/" + chr(0xDC80)


@pytest.mark.parametrize("path", ["", "public/a", "*", UNDECODED, SMUGGLED], ids=ascii)
def test_a_path_that_no_app_should_route_is_refused(path):
    scope = make_scope(path=path)
    del scope["raw_path"]

    assert guarded(make_guard(PUBLIC), scope)[0] == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/m/public/a", 200),
        ("/m/admin", 401),
        ("/m", 401),
        ("/m/", 401),
        ("/public/a", 200),
        ("/admin", 401),
        ("/mx/public/a", 400),
        ("/x/m/public/a", 400),
        ("/public/m/a", 400),
        ("/public/am/a", 200),
    ],
)
def test_root_path_comes_off_at_a_segment_boundary(path, status):
    scope = make_scope(path, root_path="/m")

    assert guarded(make_guard(PUBLIC), scope)[0] == status


@pytest.mark.parametrize("raw_path", [None, b"/m/public/a", b"/public/a"])
def test_servers_differ_in_whether_raw_path_holds_the_root_path(raw_path):
    scope = make_scope("/m/public/a", root_path="/m", raw_path=raw_path)

    assert guarded(make_guard(PUBLIC), scope)[0] == 200


def test_an_app_mounted_by_starlette_is_judged_by_its_own_routes():
    async def page(request):
        return PlainTextResponse(request.scope["path"])

    inner = GuardMiddleware(Starlette(routes=[Route("/public/a", page)]), make_guard(PUBLIC))
    outer = Starlette(routes=[Mount("/m", app=inner)])

    assert run(outer, make_scope("/m/public/a"))[0]["status"] == 200
    assert run(outer, make_scope("/m/admin"))[0]["status"] == 401


# --- headers ------------------------------------------------------------------------------------


def test_cookie_entries_are_joined():
    """RFC 9113 section 8.2.3: HTTP/2 may split the field."""
    guard = make_guard(Rule("/**", credentials={"cookie": "auth_token"}))

    def ask(*cookies):
        return guarded(guard, make_scope(headers=[("Cookie", cookie) for cookie in cookies]))[0]

    assert ask("a=1", f"auth_token={TOKEN}", "b=2") == 200
    assert ask(f"auth_token={TOKEN}", f"auth_token={TOKEN}") == 400


def test_stripping_a_cookie_leaves_one_field_with_the_others():
    guard = make_guard(Rule("/**", credentials={"cookie": "auth_token"}), strip_credentials=True)
    headers = [("Cookie", "a=1"), ("Cookie", f"auth_token={TOKEN}"), ("Cookie", "b=2")]

    _, seen = guarded(guard, make_scope(headers=headers))

    assert header(seen, b"cookie") == [b"a=1; b=2"]


def test_what_stays_of_a_stripped_cookie_field_keeps_its_bytes():
    guard = make_guard(Rule("/**", credentials={"cookie": "t"}), strip_credentials=True)
    scope = make_scope()
    cookies = b"a=caf\xe9; t=" + TOKEN.encode() + b"; b=caf\xc3\xa9"
    scope["headers"] = [*scope["headers"], (b"cookie", cookies)]

    _, seen = guarded(guard, scope)

    assert header(seen, b"cookie") == [b"a=caf\xe9; b=caf\xc3\xa9"]


def test_forwarded_values_are_utf8_bytes():
    _, seen = guarded(
        make_guard(forward={"X-User-Id": "sub"}), make_scope(headers=bearer(idp.bearer("Zoë")))
    )

    assert header(seen, b"x-user-id") == ["Zoë".encode()]


def test_ten_thousand_invented_header_names_are_forgotten():
    """What is kept of header names is bounded, and a copy is found after it was cleared."""
    guard = make_guard(PUBLIC, forward={"X-User-Id": "sub"})
    headers = [(f"x-{number}", "1") for number in range(10_000)]

    _, seen = guarded(guard, make_scope("/public/a", headers=[*headers, ("x_user_id", "root")]))

    assert len(seen["headers"]) == 10_000


# --- what is published --------------------------------------------------------------------------


def test_the_scope_holds_token_and_claims():
    status, seen = guarded(make_guard(), make_scope(headers=bearer()))

    assert status == 200
    assert seen["jwtguard.token"].identity == (idp.issuer, "alice")
    assert seen["jwtguard.claims"] == seen["jwtguard.token"].claims


def test_the_servers_scope_stays_as_it_was():
    guard = make_guard(
        Rule("/**", credentials=["bearer", {"query": "access_token"}]),
        forward={"X-User-Id": "sub"},
        variables="json",
        strip_credentials=True,
    )
    scope = make_scope(f"/x?access_token={TOKEN}", headers={"X-User-Id": "root"})
    before = {**scope, "headers": list(scope["headers"])}

    status, seen = guarded(guard, scope)

    assert status == 200
    assert scope == before
    assert seen is not scope
    assert seen["query_string"] == b""


@pytest.mark.parametrize(
    ("target", "headers"),
    [("/public/a", {}), ("/public/a", bearer()), ("/feed", {})],
    ids=["public", "public with a token", "optional without one"],
)
def test_nobody_is_published_where_nobody_was_authenticated(target, headers):
    scope = make_scope(target, headers=headers, jwt_claim_sub="root", jwt_x="1")

    _, seen = guarded(make_guard(PUBLIC, FEED), scope)

    assert seen["jwtguard.token"] is None
    assert seen["jwtguard.claims"] == {}
    assert not [key for key in seen if key.startswith("jwt_")]


def test_a_guard_inside_a_guard_publishes_its_own_token_only():
    other = FakeIssuer("https://other.test/")
    rule = Rule("/**", credentials={"header": "X-Inner"})
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    inner = GuardMiddleware(app, Guard([other.trusted()], [rule]))
    scope = make_scope(headers={**bearer(), "X-Inner": other.token("bob")})
    guarded(make_guard(variables="json"), scope, inner)

    assert seen[0]["jwtguard.token"].subject == "bob"
    assert seen[0]["jwtguard.claims"]["sub"] == "bob"
    assert not [key for key in seen[0] if key.startswith("jwt_")]


def test_what_an_app_does_to_its_claims_stays_with_its_request():
    guard = make_guard()
    headers = bearer(idp.bearer(roles=["user"]))

    _, first = guarded(guard, make_scope(headers=headers))
    first["jwtguard.claims"]["roles"].append("admin")
    _, second = guarded(guard, make_scope(headers=headers))

    assert second["jwtguard.claims"]["roles"] == ["user"]


# --- WebSocket ----------------------------------------------------------------------------------

CONNECT = {"type": "websocket.connect"}


async def accepting(scope, receive, send):
    assert (await receive()) == CONNECT
    await send({"type": "websocket.accept"})


def test_a_refused_handshake_gets_the_refusal_where_the_server_can_send_it():
    scope = make_scope(websocket=True)

    sent = run(GuardMiddleware(accepting, make_guard()), scope, [CONNECT])

    start, body = sent
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 401
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    assert body["type"] == "websocket.http.response.body"
    assert b"no_credentials" in body["body"]


@pytest.mark.parametrize("extensions", [None, {}, {"tls": {}}])
def test_a_refused_handshake_is_closed_before_accept_elsewhere(extensions):
    scope = make_scope(websocket=True, extensions=extensions)

    sent = run(GuardMiddleware(accepting, make_guard()), scope, [CONNECT])

    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


def test_a_server_that_says_nothing_of_extensions_gets_a_close():
    scope = make_scope(websocket=True)
    del scope["extensions"]

    sent = run(GuardMiddleware(accepting, make_guard()), scope, [CONNECT])

    assert sent[0]["type"] == "websocket.close"


def test_a_client_that_left_is_told_nothing():
    gone = {"type": "websocket.disconnect", "code": 1001}

    sent = run(GuardMiddleware(accepting, make_guard()), make_scope(websocket=True), [gone])

    assert sent == []


def test_an_accept_without_a_choice_is_completed_with_the_marker():
    scope = make_scope(websocket=True, headers={"Sec-WebSocket-Protocol": f"bearer, {TOKEN}, chat"})

    sent = run(GuardMiddleware(accepting, make_guard(SUBPROTOCOL)), scope, [CONNECT])

    assert sent == [{"type": "websocket.accept", "subprotocol": "bearer"}]


def test_an_accept_with_a_choice_is_left_alone():
    async def choosing(scope, receive, send):
        assert scope["subprotocols"] == ["chat"]
        assert header(scope, b"sec-websocket-protocol") == [b"chat"]
        await send({"type": "websocket.accept", "subprotocol": "chat"})

    scope = make_scope(websocket=True, headers={"Sec-WebSocket-Protocol": f"bearer, {TOKEN}, chat"})

    sent = run(GuardMiddleware(choosing, make_guard(SUBPROTOCOL)), scope, [CONNECT])

    assert sent == [{"type": "websocket.accept", "subprotocol": "chat"}]


def test_an_accept_without_credentials_in_the_offer_is_left_alone():
    guard = make_guard(Rule("/**", credentials=["bearer", {"subprotocol": "bearer"}]))
    scope = make_scope(websocket=True, headers={**bearer(), "Sec-WebSocket-Protocol": "chat"})

    sent = run(GuardMiddleware(accepting, guard), scope, [CONNECT])

    assert sent == [{"type": "websocket.accept"}]


def test_subprotocols_are_read_where_the_server_gives_no_header():
    scope = make_scope(websocket=True, subprotocols=["bearer", TOKEN, "chat"])
    assert not header(scope, b"sec-websocket-protocol")

    sent = run(GuardMiddleware(accepting, make_guard(SUBPROTOCOL)), scope, [CONNECT])

    assert sent == [{"type": "websocket.accept", "subprotocol": "bearer"}]


def test_a_handshake_needs_no_method_in_its_scope():
    scope = make_scope("/r/a", websocket=True)
    assert "method" not in scope

    sent = run(
        GuardMiddleware(accepting, make_guard(Rule("/r/**", methods="GET", access="public"))),
        scope,
        [CONNECT],
    )

    assert sent[0]["type"] == "websocket.accept"


# --- the protocol -------------------------------------------------------------------------------


def test_lifespan_passes_as_it_is():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await send(await receive())

    scope = {"type": "lifespan", "state": {}}
    startup = {"type": "lifespan.startup"}

    assert run(GuardMiddleware(app, make_guard()), scope, [startup]) == [startup]
    assert seen[0] is scope


@pytest.mark.parametrize("kind", ["webtransport", "HTTP", ""])
def test_an_unknown_scope_type_is_an_exception(kind):
    async def app(scope, receive, send):
        raise AssertionError("never called")

    with pytest.raises(errors.JWTGuardError, match="scope"):
        run(GuardMiddleware(app, make_guard()), {"type": kind})


def test_an_exception_of_the_app_is_the_servers_business():
    async def app(scope, receive, send):
        raise LookupError("in the app")

    with pytest.raises(LookupError, match="in the app"):
        run(GuardMiddleware(app, make_guard()), make_scope(headers=bearer()))


@pytest.mark.parametrize("headers", [bearer(), {}], ids=["token", "nobody"])
def test_receive_and_send_are_handed_on_as_they_are_where_no_stream_need_end(headers):
    given, seen = [], []

    async def app(scope, receive, send):
        seen.extend([receive, send])

    async def receive():
        return {}

    async def send(message):
        pass

    given.extend([receive, send])
    guard = make_guard(Rule("/x", access="optional"))
    asyncio.run(GuardMiddleware(app, guard, expiry_grace=None)(make_scope(headers=headers), *given))

    assert seen == given


def test_response_headers_are_completed_in_start_messages_only():
    async def app(scope, receive, send):
        headers = [(b"x-frame-options", b"SAMEORIGIN")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.trailers", "headers": []})

    guard = make_guard(response_headers={"X-Frame-Options": "DENY", "X-Own": "1"})
    start, *rest = run(GuardMiddleware(app, guard), make_scope(headers=bearer()))

    assert start["headers"] == [(b"x-frame-options", b"SAMEORIGIN"), (b"x-own", b"1")]
    assert rest == [
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.trailers", "headers": []},
    ]


def test_a_start_message_without_headers_is_completed():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204})

    guard = make_guard(response_headers={"X-Own": "1"})
    (start,) = run(GuardMiddleware(app, guard), make_scope(headers=bearer()))

    assert list(start["headers"]) == [(b"x-own", b"1")]


def test_a_gigabyte_goes_either_way_in_flat_memory():
    received = 0
    left = 1024 * MIB

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            message = await receive()
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
            if not message["more_body"]:
                break
        await send({"type": "http.response.body", "body": b""})

    async def receive():
        nonlocal left
        left -= CHUNK
        return {"type": "http.request", "body": bytes(CHUNK), "more_body": left > 0}

    async def send(message):
        nonlocal received
        received += len(message.get("body", b""))

    guard = make_guard(response_headers=True)
    tracemalloc.start()
    try:
        asyncio.run(GuardMiddleware(app, guard)(make_scope(headers=bearer()), receive, send))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert received == 1024 * MIB
    assert peak < 2 * MIB


def test_a_refused_body_is_not_read():
    async def receive():
        raise AssertionError("never called")

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(GuardMiddleware(FastAPI(), make_guard())(make_scope(), receive, send))

    assert sent[0]["status"] == 401


# --- the wrong door -----------------------------------------------------------------------------


def _wsgi_app(environ, start_response):
    raise AssertionError("never called")


def test_a_wsgi_app_is_told_the_right_import():
    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.wsgi import"):
        GuardMiddleware(_wsgi_app, make_guard())


def test_a_flask_app_is_told_the_right_import():
    from flask import Flask

    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.wsgi import"):
        GuardMiddleware(Flask("app"), make_guard())


def test_a_guarded_wsgi_app_is_told_the_right_import():
    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.wsgi import"):
        GuardMiddleware(wsgi.GuardMiddleware(_wsgi_app, make_guard()), make_guard())


# FastAPI 0.165 advises against the parameter; people have it.
_deprecated = pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")


@_deprecated
def test_fastapi_with_a_root_path_of_its_own_is_not_wrapped_from_outside():
    with pytest.raises(errors.ConfigurationError, match="add_middleware"):
        GuardMiddleware(FastAPI(root_path="/m"), make_guard())


def test_fastapi_without_a_root_path_is_wrapped():
    app = FastAPI()

    @app.get("/public/a")
    def page():
        return "public"

    guard = make_guard(PUBLIC)

    assert run(GuardMiddleware(app, guard), make_scope("/public/a"))[0]["status"] == 200
    assert run(GuardMiddleware(app, guard), make_scope("/public/b"))[0]["status"] == 404
    assert run(GuardMiddleware(app, guard), make_scope("/admin"))[0]["status"] == 401


@_deprecated
@pytest.mark.parametrize("prefix", ["", "/m"], ids=["as it is", "behind its root_path"])
def test_fastapi_with_a_root_path_takes_the_guard_as_middleware(prefix):
    app = FastAPI(root_path="/m")
    app.add_middleware(GuardMiddleware, guard=make_guard(PUBLIC))

    @app.get("/public/a")
    def public():
        return "public"

    @app.get("/admin")
    def admin():
        return "admin"

    assert run(app, make_scope(f"{prefix}/public/a"))[0]["status"] == 200
    assert run(app, make_scope(f"{prefix}/admin"))[0]["status"] == 401
    assert run(app, make_scope(f"{prefix}/admin", headers=bearer(ALICE)))[0]["status"] == 200


def test_a_server_that_calls_it_as_wsgi_is_told_the_right_import():
    async def app(scope, receive, send):
        raise AssertionError("never called")

    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.wsgi import"):
        GuardMiddleware(app, make_guard())({"REQUEST_METHOD": "GET"}, lambda *args: None)


def test_servers_see_an_asgi_app():
    async def app(scope, receive, send):
        raise AssertionError("never called")

    guarded_app = GuardMiddleware(app, make_guard())

    assert inspect.iscoroutinefunction(guarded_app.__call__)


@_deprecated
@pytest.mark.parametrize("between", ["middleware", "mount", "both"])
def test_an_app_with_a_root_path_of_its_own_is_found_behind_others(between):
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.middleware.cors import CORSMiddleware
    from starlette.routing import Mount

    app = FastAPI(root_path="/api")
    if between != "middleware":
        app = Starlette(routes=[Mount("/", app=app)])
    if between != "mount":
        app = CORSMiddleware(app, allow_origins=["*"])

    with pytest.raises(errors.ConfigurationError, match="add_middleware"):
        GuardMiddleware(app, make_guard())


def test_a_django_project_that_forces_a_script_name_is_refused():
    """ASGIRequest takes FORCE_SCRIPT_NAME off the path that the guard has judged."""
    code = (
        "from django.conf import settings; settings.configure(FORCE_SCRIPT_NAME='/app')\n"
        "from django.core.asgi import get_asgi_application\n"
        "from jwtguard import Guard, asgi, errors\n"
        "from jwtguard.testing import FakeIssuer\n"
        "guard = Guard([FakeIssuer(algorithm='ES256').trusted()])\n"
        "try: asgi.GuardMiddleware(get_asgi_application(), guard)\n"
        "except errors.ConfigurationError as error: print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "FORCE_SCRIPT_NAME = '/app'" in done.stdout
