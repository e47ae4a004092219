"""FastAPI: `install`, `Protected` with and without it, and every way round them."""

import asyncio
import contextlib
import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Security,
    WebSocket,
)
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from jwtguard import Discovery, Guard, Issuer, Requirement, Rule, VerifiedToken, asgi, testing
from jwtguard.core import Fetched
from jwtguard.errors import ConfigurationError, FetchError
from jwtguard.fastapi import Protected, Refused, docs_paths, install
from jwtguard.starlette import GuardMiddleware, requires
from jwtguard.testing import FakeIssuer

from .contract import CASES
from .doors import Answer, Ask, scope_of, waiting
from .fastapi_door import through

IDP = FakeIssuer(algorithm="ES256", name="people")
JOBS = FakeIssuer("https://jobs.test/", algorithm="ES256", name="jobs")
PAGE = "https://app.example.com"


def make_guard(rules=(), **words):
    return Guard([IDP.trusted(), JOBS.trusted()], rules, **words)


def bearer(sub="alice", idp=IDP, **words):
    return {"Authorization": idp.bearer(sub, **words)}


def client_of(app, **words):
    return TestClient(app, raise_server_exceptions=False, **words)


with_and_without = pytest.mark.parametrize("installed", [True, False], ids=["install", "alone"])


def needs_token(app, path, protected, **words):
    """A route that answers with the name of the token's issuer."""

    async def endpoint(token: Annotated[VerifiedToken, Depends(protected)]):
        return token.issuer

    app.add_api_route(path, endpoint, **words)


# --- every kind of endpoint ----------------------------------------------------------------------

SCOPED = ["notes:read"]


def plain(app, protected):
    @app.get("/notes")
    async def notes(token: Annotated[VerifiedToken, Security(protected, scopes=SCOPED)]):
        return token.subject


def threaded(app, protected):
    @app.get("/notes")
    def notes(token: Annotated[VerifiedToken, Security(protected, scopes=SCOPED)]):
        return token.subject


def by_default(app, protected):
    @app.get("/notes")
    async def notes(token: VerifiedToken = Security(protected, scopes=SCOPED)):  # noqa: B008
        return token.subject


def of_an_instance(app, protected):
    class Notes:
        async def __call__(
            self, token: Annotated[VerifiedToken, Security(protected, scopes=SCOPED)]
        ):
            return token.subject

    app.get("/notes")(Notes())


def of_a_router(app, protected):
    router = APIRouter(dependencies=[Security(protected, scopes=SCOPED)])

    @router.get("/notes")
    async def notes(token: Annotated[VerifiedToken, Depends(protected)]):
        return token.subject

    app.include_router(router)


def of_the_app(app, protected):
    app.router.dependencies.append(Security(protected, scopes=SCOPED))

    @app.get("/notes")
    async def notes(request: Request):
        return request.scope["jwtguard.token"].subject


def nested(app, protected):
    async def somebody(token: Annotated[VerifiedToken, Depends(protected)]):
        return token.subject

    @app.get("/notes")
    async def notes(name: Annotated[str, Security(somebody, scopes=SCOPED)]):
        return name


def of_words(app, protected):
    @app.get("/notes")
    async def notes(
        token: Annotated[VerifiedToken, Depends(Protected(protected.guard, scopes=SCOPED))],
    ):
        return token.subject


def of_a_requirement(app, protected):
    wanted = Protected(protected.guard, Requirement(scopes=SCOPED))

    @app.get("/notes")
    async def notes(token: Annotated[VerifiedToken, Depends(wanted)]):
        return token.subject


def optional(app, protected):
    @app.get("/notes")
    async def notes(
        token: Annotated[VerifiedToken | None, Security(protected.optional, scopes=SCOPED)],
        _: Annotated[VerifiedToken, Depends(protected)],
    ):
        return token.subject


ENDPOINTS = [
    plain,
    threaded,
    by_default,
    of_an_instance,
    of_a_router,
    of_the_app,
    nested,
    of_words,
    of_a_requirement,
    optional,
]
LACKING = (
    'Bearer error="insufficient_scope", '
    'error_description="The token lacks a required scope.", scope="notes:read"'
)


@pytest.mark.parametrize("mounted", [False, True], ids=["app", "mounted app"])
@with_and_without
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_gets_the_token_or_is_not_reached(endpoint, installed, mounted):
    guard = make_guard()
    app = FastAPI()
    inner = FastAPI() if mounted else app
    endpoint(inner, Protected(guard))
    if mounted:
        app.mount("/inner", inner)
    if installed:
        install(app, guard)
    path = "/inner/notes" if mounted else "/notes"

    with client_of(app) as client:
        nobody = client.get(path)
        reader = client.get(path, headers=bearer(scopes="notes:read"))
        other = client.get(path, headers=bearer(scopes="other"))
        broken = client.get(path, headers={"Authorization": "Bearer x"})

    assert (reader.status_code, reader.json()) == (200, "alice")
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert nobody.json()["code"] == "no_credentials"
    assert (other.status_code, other.headers["WWW-Authenticate"]) == (403, LACKING)
    assert other.json()["code"] == "insufficient_scope"
    assert other.headers["Cache-Control"] == "no-store"
    assert broken.status_code == 401


REFUSED = {
    name: case
    for name, case in CASES.items()
    # Starlette routes nothing else.
    if case.refused
    and not case.websocket
    and re.fullmatch("/.*", scope_of(case.ask)["path"])
    # Where the rule wants no token, the dependency wants one, and says so first.
    and name != "who has no such claim is counted by address"
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_without_the_middleware_a_request_is_refused_just_as_with_it(case):
    guard = case.guard()
    answers = []
    for door in ("alone", "install"):
        app = FastAPI(openapi_url=None)
        needs_token(app, "/{path:path}", Protected(guard))
        app.routes[-1].methods = {case.method}
        if door == "install":
            install(app, guard)
        answers.append(through(app, case.ask, Answer(0)))
    alone, behind = answers

    assert (alone.status, alone.header("WWW-Authenticate")) == (
        behind.status,
        behind.header("WWW-Authenticate"),
    )
    assert sorted(name.lower() for name, _ in alone.headers) == sorted(
        name.lower() for name, _ in behind.headers
    )
    assert len(alone.body) == len(behind.body)


@with_and_without
def test_a_public_rule_does_not_open_what_is_protected(installed):
    guard = make_guard([Rule("/**", access="public")])
    app = FastAPI()
    plain(app, Protected(guard))
    if installed:
        install(app, guard)
    client = client_of(app)

    token = bearer(scopes="notes:read")
    for _ in range(2):
        assert client.get("/notes").status_code == 401
        assert client.get("/notes", headers=token).json() == "alice"


@with_and_without
@pytest.mark.parametrize("prefix", ["/api", ""])
def test_the_first_rule_that_matches_says_which_credentials_and_issuers_count(installed, prefix):
    """Also in an app that is mounted, or has a ``root_path``: rules are the outermost app's."""
    guard = make_guard(
        [
            Rule("/inner/jobs", issuers="jobs"),
            Rule("/inner/page", credentials={"cookie": "session"}),
            Rule("/inner/admin", any_role="admin"),
        ]
    )
    protected = Protected(guard)
    app, inner = FastAPI(), FastAPI()
    for path in ("/jobs", "/page", "/admin", "/else"):
        needs_token(inner, path, protected)
    app.mount("/inner", inner)
    if installed:
        install(app, guard)
    client = client_of(app, root_path=prefix)

    def ask(path, headers):
        answer = client.get(f"{prefix}/inner{path}", headers=headers)
        return answer.json() if answer.status_code == 200 else answer.status_code

    jobs, people, admin = bearer(idp=JOBS), bearer(), bearer(roles="admin")
    cookie = IDP.cookie(cookie="session")
    for _ in range(2):  # what is remembered of a token opens nothing else
        assert ask("/jobs", jobs) == "jobs"
        assert ask("/jobs", people) == 401
        assert ask("/page", cookie) == "people"
        assert ask("/page", people) == 401
        assert ask("/admin", admin) == "people"
        assert ask("/admin", people) == 403
        assert ask("/else", people) == "people"
        assert ask("/else", cookie) == 401
        assert ask("/jobs", {"Authorization": "Bearer x"}) == 401


class CountingGuard(Guard):
    judged = 0

    def judge(self, request, **words):
        self.judged += 1
        return super().judge(request, **words)

    def recall(self, *_):
        return None  # so that everything comes to `judge`


@with_and_without
def test_one_request_is_judged_once_whatever_depends_on_it(installed):
    guard = CountingGuard([IDP.trusted()])
    one, two = Protected(guard), Protected(guard, any_scope="notes:read notes:write")
    app = FastAPI(dependencies=[Depends(one)])
    plain(app, two)
    if installed:
        install(app, guard)

    assert client_of(app).get("/notes", headers=bearer(scopes="notes:read")).status_code == 200
    assert guard.judged == 1


@with_and_without
@pytest.mark.parametrize("access", ["public", "protected"])
def test_a_request_is_counted_once_wherever_its_token_is_looked_at(installed, access):
    guard = make_guard(rules=[Rule("/notes", access=access, rate="3/day")])
    app = FastAPI()
    needs_token(app, "/notes", Protected(guard))
    if installed:
        install(app, guard)
    client = client_of(app)
    statuses = [client.get("/notes", headers=bearer()).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


@with_and_without
def test_what_an_endpoint_wants_is_enforced_where_rules_only_report(installed):
    soon = datetime.now(UTC).date() + timedelta(days=30)
    guard = make_guard(report_until=soon)
    app = FastAPI()
    protected = Protected(guard)
    needs_token(app, "/notes", protected)

    @app.get("/maybe")
    async def maybe(token: Annotated[VerifiedToken | None, Depends(protected.optional)]):
        return token and token.subject

    if installed:
        install(app, guard)
    client = client_of(app)
    expired = bearer(expires=-60)
    refused = client.get("/notes", headers=expired)
    assert (refused.status_code, refused.json()["code"]) == (401, "expired")
    assert client.get("/notes").json()["code"] == "no_credentials"
    assert client.get("/notes", headers=bearer()).json() == "people"
    assert client.get("/maybe", headers=expired).json() is None
    assert client.get("/maybe", headers=bearer()).json() == "alice"


def test_the_token_of_another_guard_is_nothing_to_a_dependency():
    outer, inner = Guard([IDP.trusted()]), Guard([JOBS.trusted()])
    app = FastAPI()

    @app.get("/notes")
    async def notes(request: Request, token: Annotated[VerifiedToken, Depends(Protected(inner))]):
        return [request.user.token.issuer, request.scope["jwtguard.token"].issuer]

    install(app, outer)

    assert client_of(app).get("/notes", headers=bearer()).status_code == 401


@with_and_without
def test_a_preflight_that_passes_the_guard_is_nobody_to_a_dependency(installed):
    guard = make_guard(preflight="pass")
    app = FastAPI()
    needs_token(app, "/x", Protected(guard), methods=["OPTIONS"])
    if installed:
        install(app, guard)

    answer = client_of(app).options(
        "/x", headers={"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    )

    assert answer.status_code == 401


# --- optional ------------------------------------------------------------------------------------

OPTIONAL = {
    "nobody": ({}, None),
    "another scheme": ({"Authorization": "Basic x"}, None),
    "a good token": (bearer(scopes="notes:read"), "alice"),
    "a token that lacks the scope": (bearer(), 403),
    "a broken token": ({"Authorization": "Bearer x.y.z"}, 401),
    "an expired token": (bearer(expires=-60), 401),
    "a good cookie": (IDP.cookie(scopes="notes:read"), "alice"),
    "an expired cookie": (IDP.cookie(expires=-60), None),
}


@pytest.mark.parametrize("access", ["protected", "optional", "public"])
@pytest.mark.parametrize(("headers", "found"), OPTIONAL.values(), ids=OPTIONAL)
def test_optional_is_a_token_or_nobody_and_never_a_bad_token(headers, found, access):
    guard = make_guard(
        [Rule("/**", access=access, credentials=["bearer", {"cookie": "auth_token"}])]
    )
    app = FastAPI()
    wanted = Security(Protected(guard).optional, scopes=["notes:read"])

    @app.get("/")
    async def index(token: Annotated[VerifiedToken | None, wanted]):
        return token and token.subject

    answer = client_of(app).get("/", headers=headers)

    if isinstance(found, int):
        assert answer.status_code == found
    else:
        assert (answer.status_code, answer.json()) == (200, found)


def test_optional_is_one_dependency_so_that_it_can_be_overridden():
    protected = Protected(make_guard())

    assert protected.optional is protected.optional


# --- paths, checks, what endpoints do ------------------------------------------------------------


@with_and_without
def test_claims_are_compared_with_the_path_parameters_of_the_route(installed):
    guard = make_guard()
    owner = Protected(guard, require=[{"sub": {"path": "user"}}, {"roles": "admin"}])
    app = FastAPI()
    router = APIRouter(prefix="/users/{user}")
    needs_token(router, "/notes", owner)
    app.include_router(router)
    if installed:
        install(app, guard)
    client = client_of(app)

    assert client.get("/users/alice/notes", headers=bearer("alice")).status_code == 200
    assert client.get("/users/alice/notes", headers=bearer("bob")).status_code == 403
    admin = bearer("bob", roles="admin")
    assert client.get("/users/alice/notes", headers=admin).status_code == 200


@with_and_without
def test_a_check_sees_the_path_that_rules_see(installed):
    guard = make_guard()
    wanted = Protected(guard, check=lambda token, request: request.path == "/inner/x")
    app, inner = FastAPI(), FastAPI()
    needs_token(inner, "/x", wanted)
    app.mount("/inner", inner)
    if installed:
        install(app, guard)

    assert client_of(app).get("/inner/x", headers=bearer()).status_code == 200


def test_a_guard_in_a_mounted_app_judges_that_apps_paths_and_so_do_dependencies():
    guard = make_guard(
        [Rule("/page", access="public", issuers=None), Rule("/jobs", issuers="jobs")]
    )
    app, inner = FastAPI(), FastAPI()
    for path in ("/page", "/jobs"):
        needs_token(inner, path, Protected(guard))
    install(inner, guard)
    app.mount("/inner", inner)
    client = client_of(app)

    assert client.get("/inner/page").status_code == 401
    assert client.get("/inner/page", headers=bearer()).json() == "people"
    assert client.get("/inner/jobs", headers=bearer()).status_code == 401


def test_background_tasks_get_the_token():
    guard = make_guard()
    app, seen = FastAPI(), []

    @app.post("/mail")
    async def mail(
        token: Annotated[VerifiedToken, Depends(Protected(guard))], later: BackgroundTasks
    ):
        later.add_task(lambda: seen.append(token.subject))

    assert client_of(app).post("/mail", headers=bearer()).status_code == 200
    assert seen == ["alice"]


def test_a_test_says_who_is_there_by_an_override():
    protected = Protected(make_guard())
    app = FastAPI()
    plain(app, protected)
    app.dependency_overrides[protected] = lambda: testing.verified(sub="carol")

    assert client_of(app).get("/notes").json() == "carol"


def test_scopes_that_are_none_are_a_configuration_error():
    app = FastAPI()

    @app.get("/")
    async def index(_: Annotated[VerifiedToken, Security(Protected(make_guard()), scopes=["a b"])]):
        return "open"

    with pytest.raises(ConfigurationError, match="'a b' is not a scope"):
        TestClient(app).get("/", headers=bearer(scopes="a b"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Protected("guard"), r"takes a Guard; found str"),
        (lambda: Protected(make_guard(), rolls="admin"), "rolls"),
        (lambda: Protected(make_guard(), Requirement(scopes="a"), roles="b"), "takes one"),
        (lambda: Protected(make_guard(), roles=""), "requires.roles"),
    ],
)
def test_a_dependency_that_makes_no_sense_is_found_when_it_is_made(make, said):
    with pytest.raises(ConfigurationError, match=said):
        make()


# --- WebSockets ----------------------------------------------------------------------------------


def chat(guard, installed):
    app = FastAPI()
    wanted = Security(Protected(guard), scopes=["chat"])

    @app.websocket("/chat")
    async def talk(websocket: WebSocket, token: Annotated[VerifiedToken, wanted]):
        await websocket.accept()
        await websocket.send_text(token.subject)
        await websocket.close()

    if installed:
        install(app, guard)
    return app


@with_and_without
def test_a_websocket_gets_the_token(installed):
    app = chat(make_guard(), installed)

    with client_of(app).websocket_connect("/chat", headers=bearer(scopes="chat")) as socket:
        assert socket.receive_text() == "alice"


@with_and_without
@pytest.mark.parametrize("place", [{"query": "access_token"}, {"subprotocol": "bearer"}])
def test_a_token_that_has_to_go_out_of_sight_needs_the_guard_in_front(installed, place):
    app = chat(make_guard([Rule("/**", credentials=place)]), installed)
    token = IDP.token("alice", scopes="chat")
    query = f"?access_token={token}" if "query" in place else ""
    offered = ["bearer", token] if "subprotocol" in place else None

    def connect():
        with client_of(app).websocket_connect(f"/chat{query}", subprotocols=offered) as socket:
            return socket.receive_text()

    if installed:
        assert connect() == "alice"
    else:
        with pytest.raises(ConfigurationError, match=r"install\(app, guard\)"):
            connect()


@with_and_without
@pytest.mark.parametrize(("headers", "status"), [({}, 401), (bearer(), 403)])
def test_a_handshake_is_refused_with_the_guards_response(installed, headers, status):
    app = chat(make_guard(), installed)

    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client_of(app).websocket_connect("/chat", headers=headers),
    ):
        pass

    assert caught.value.status_code == status
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")
    assert caught.value.json()["ref"]


@with_and_without
@pytest.mark.parametrize("headers", [{}, bearer()])
def test_where_a_server_can_send_no_response_a_handshake_is_closed_before_it_is_accepted(
    installed, headers
):
    app, sent = chat(make_guard(), installed), []
    scope = scope_of(Ask("/chat", websocket=True, headers=tuple(headers.items())))
    scope |= {"asgi": {"version": "3.0"}, "extensions": {}}

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))

    assert [(one["type"], one["code"]) for one in sent] == [("websocket.close", 1008)]


# --- refusals: one shape -------------------------------------------------------------------------


def with_own_handler(guard, installed, on):
    app = FastAPI()
    plain(app, Protected(guard))

    @app.exception_handler(on)
    async def own(request, error):
        headers = dict(error.headers or {})
        return JSONResponse({"mine": error.detail}, error.status_code, headers)

    if installed:
        install(app, guard)
    return client_of(app)


def test_behind_install_all_refusals_look_the_same():
    client = with_own_handler(make_guard(), True, HTTPException)
    nobody = client.get("/notes").json()
    lacking = client.get("/notes", headers=bearer()).json()

    assert nobody.keys() == lacking.keys() == {"error", "message", "code", "ref"}


def test_without_install_an_apps_own_handler_writes_its_own_body():
    client = with_own_handler(make_guard(), False, HTTPException)
    lacking = client.get("/notes", headers=bearer())

    assert lacking.json() == {"mine": "The token lacks a required scope."}
    assert lacking.headers["WWW-Authenticate"] == LACKING
    assert lacking.headers["Content-Type"] == "application/json"


def test_a_handler_for_the_status_sees_refusals():
    client = with_own_handler(make_guard(), True, 403)

    assert "mine" in client.get("/notes", headers=bearer()).json()


def test_a_dependency_may_be_caught():
    guard = make_guard()
    app = FastAPI()

    @app.exception_handler(Refused)
    async def own(request, error):
        return JSONResponse({"ref": error.deny.ref}, error.status_code)

    plain(app, Protected(guard))

    assert client_of(app).get("/notes").json().keys() == {"ref"}


def test_error_body_is_the_body_of_dependencies_too():
    guard = make_guard(error_body=lambda error, request: {"detail": error.description})
    app = FastAPI()
    plain(app, Protected(guard))
    install(app, guard)
    client = client_of(app)

    assert client.get("/notes").json() == {"detail": "No credentials were sent."}
    assert client.get("/notes", headers=bearer()).json() == {
        "detail": "The token lacks a required scope."
    }


def test_a_refusal_to_head_has_no_body():
    guard = make_guard()
    app = FastAPI()
    needs_token(app, "/x", Protected(guard), methods=["HEAD"])

    answer = client_of(app).head("/x")

    assert (answer.status_code, answer.content) == (401, b"")


# --- install: where the guard stands -------------------------------------------------------------


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        answer = await call_next(request)
        answer.headers["X-User"] = request.user.display_name
        return answer


def cors(app):
    app.add_middleware(
        CORSMiddleware, allow_origins=[PAGE], allow_methods=["*"], allow_headers=["*"]
    )


@pytest.mark.parametrize("order", ["before", "after"])
def test_cors_stands_outside_of_the_guard_whenever_it_was_added(order):
    guard = make_guard()
    app = FastAPI()
    plain(app, Protected(guard))
    app.add_middleware(Stamp)
    if order == "before":
        cors(app)
    install(app, guard)
    if order == "after":
        cors(app)
    client = client_of(app)
    preflight = client.options(
        "/notes", headers={"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    )
    refused = client.get("/notes", headers={"Origin": PAGE})
    lacking = client.get("/notes", headers={"Origin": PAGE, **bearer()})

    assert (preflight.status_code, refused.status_code, lacking.status_code) == (200, 401, 403)
    for answer in (preflight, refused, lacking):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "X-User" not in refused.headers
    assert lacking.headers["X-User"] == "alice"


def test_start_up_says_what_stands_in_front_of_the_guard(caplog):
    caplog.set_level(logging.INFO, logger="jwtguard")
    app = FastAPI()
    install(app, make_guard())
    cors(app)

    with client_of(app):
        pass

    assert "in front of the guard: CORSMiddleware" in caplog.messages


def test_every_other_path_of_an_app_is_guarded():
    app = FastAPI()
    app.mount("/static", lambda scope, receive, send: pytest.fail("reached"))
    install(app, make_guard())
    client = client_of(app)

    for path in ("/docs", "/openapi.json", "/static/x", "/nothing", "/docs/"):
        for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE"):
            assert client.request(method, path).status_code == 401


def started():
    app = FastAPI()
    client_of(app).get("/")
    return app


def guarded():
    app = FastAPI()
    app.add_middleware(GuardMiddleware, guard=make_guard())
    return app


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (started, "has started"),
        (guarded, "has a guard"),
        (lambda: "app", "takes a Starlette or FastAPI app; found str"),
        (lambda: GuardMiddleware(FastAPI(), make_guard()), "found GuardMiddleware"),
    ],
)
def test_install_refuses_what_it_cannot_guard(make, said):
    app = make()

    with pytest.raises(ConfigurationError, match=said):
        install(app, make_guard())


def test_install_takes_a_guard():
    with pytest.raises(ConfigurationError, match="takes a Guard; found dict"):
        install(FastAPI(), {})


def test_docs_paths_are_those_that_the_app_has():
    assert docs_paths(FastAPI()) == [
        "/openapi.json",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
    ]
    assert docs_paths(FastAPI(docs_url=None, redoc_url="/read")) == ["/openapi.json", "/read"]
    assert docs_paths(FastAPI(openapi_url=None)) == []


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_docs_paths_open_the_documentation_and_nothing_else(prefix):
    app = FastAPI()
    install(app, make_guard([Rule(docs_paths(app), access="public")]))
    client = client_of(app, root_path=prefix)

    assert [client.get(prefix + path).status_code for path in docs_paths(app)] == [200] * 4
    assert client.get(f"{prefix}/else").status_code == 401


@pytest.mark.filterwarnings("ignore:The `root_path` parameter")  # deprecated, and still in use
@pytest.mark.parametrize("path", ["/api/jobs", "/jobs"])
@with_and_without
def test_an_app_with_a_prefix_of_its_own_is_judged_as_it_routes(installed, path):
    guard = make_guard([Rule("/jobs", issuers="jobs")])
    app = FastAPI(root_path="/api")
    needs_token(app, "/jobs", Protected(guard))
    if installed:
        install(app, guard)
    client = client_of(app)

    assert client.get(path, headers=bearer()).status_code == 401
    assert client.get(path, headers=bearer(idp=JOBS)).json() == "jobs"
    assert client.get("/x/api/jobs", headers=bearer(idp=JOBS)).status_code in (400, 404)


# --- start-up ------------------------------------------------------------------------------------


def discovered(fetch=None):
    """A guard whose keys are fetched, an app with it, and the addresses that were asked."""
    asked = []

    def answer(wanted):
        asked.append(wanted.url)
        if fetch is not None:
            return fetch(wanted)
        if "well-known" in wanted.url:
            body = {"issuer": IDP.issuer, "jwks_uri": "https://issuer.test/keys"}
        else:
            body = IDP.jwks()
        return Fetched(200, {}, json.dumps(body).encode())

    issuer = Issuer(IDP.issuer, audience=IDP.audience, algorithms=["ES256"], keys=Discovery())
    return Guard([issuer]), waiting(answer), asked


def test_keys_are_fetched_before_the_first_request():
    guard, fetch, asked = discovered()
    events = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        events.append(len(asked))
        yield {"ready": True}
        events.append("down")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def index(request: Request):
        return request.state.ready

    install(app, guard, fetch=fetch)

    with TestClient(app) as client:
        assert len(asked) == 2
        assert client.get("/", headers=bearer()).json() is True
    assert len(asked) == 2
    assert events == [2, "down"]


def test_an_outage_does_not_stop_the_start():
    def down(_):
        raise FetchError("down")

    guard, fetch, asked = discovered(down)
    app = FastAPI()
    install(app, guard, fetch=fetch)

    with TestClient(app) as client:
        assert asked
        assert client.get("/", headers=bearer()).status_code == 503


def test_a_dependency_without_the_middleware_fetches_keys_too():
    guard, fetch, asked = discovered()
    app = FastAPI()

    @app.get("/")
    async def index(token: Annotated[VerifiedToken, Depends(Protected(guard, fetch=fetch))]):
        return token.subject

    assert client_of(app).get("/", headers=bearer()).json() == "alice"
    assert len(asked) == 2


def misplaced(add):
    """A route that *add* registers, with the decorator above it."""

    async def leak(request: Request):
        return "open"

    requires(scopes="x")(add(leak))


def in_the_app(app):
    misplaced(app.get("/leak"))


def in_a_router(app):
    router = APIRouter()
    misplaced(router.get("/leak"))
    outer = APIRouter()
    outer.include_router(router, prefix="/r")
    app.include_router(outer)


def in_a_mounted_app(app):
    inner = FastAPI()
    misplaced(inner.get("/leak"))
    app.mount("/inner", inner)


def in_an_app_mounted_in_a_router(app):
    inner, router = FastAPI(), APIRouter()
    misplaced(inner.get("/leak"))
    router.mount("/inner", inner)
    app.include_router(router)


def on_a_websocket(app):
    misplaced(app.websocket("/leak"))


MISPLACED = [
    in_the_app,
    in_a_router,
    in_a_mounted_app,
    in_an_app_mounted_in_a_router,
    on_a_websocket,
]


@pytest.mark.parametrize("behind", [False, True], ids=["alone", "behind other middleware"])
@pytest.mark.parametrize("register", MISPLACED)
def test_a_decorator_above_its_route_is_found_at_start_up(register, behind):
    app = FastAPI()
    register(app)
    if behind:
        app.add_middleware(Stamp)
    install(app, make_guard())

    with pytest.raises(ConfigurationError, match=r"leak: .* above the route"), TestClient(app):
        pass


def test_a_server_is_told_why_the_app_does_not_start():
    app, sent = FastAPI(), []
    in_the_app(app)
    install(app, make_guard())

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    with pytest.raises(ConfigurationError):
        asyncio.run(app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send))

    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "above the route" in sent[0]["message"]


@pytest.mark.parametrize("register", MISPLACED)
def test_where_a_server_knows_no_lifespan_it_is_found_at_every_request(register):
    app = FastAPI()
    register(app)
    install(app, make_guard())

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="above the route"):
            TestClient(app).get("/leak", headers=bearer())


def test_a_decorator_below_its_route_is_right():
    app = FastAPI()

    @app.get("/notes")
    @requires(scopes="notes:read")
    async def notes(request: Request):
        return request.user.identity

    @app.get("/threaded")
    @requires(scopes="notes:read")
    def threaded(connection: HTTPConnection):
        return "ok"

    install(app, make_guard())

    with client_of(app) as client:
        assert client.get("/notes", headers=bearer()).status_code == 403
        reader = bearer(scopes="notes:read")
        assert client.get("/notes", headers=reader).json() == "people:alice"
        assert client.get("/threaded", headers=bearer()).status_code == 403
        assert client.get("/threaded", headers=reader).json() == "ok"


# --- OpenAPI -------------------------------------------------------------------------------------


def test_openapi_names_every_way_to_bring_a_token_and_the_scopes():
    provider = Issuer(
        "https://login.example.com/",
        name="people",
        audience="a",
        algorithms=["RS256"],
        keys=Discovery(),
    )
    guard = Guard(
        [provider, JOBS.trusted()],
        [
            Rule("/health", access="public", credentials={"header": "X-Never"}),
            Rule("/app/**", credentials=["bearer", {"cookie": "auth_token"}]),
            Rule("/old/**", credentials=[{"header": "X-Token"}, {"query": "t"}]),
            Rule("/ws/**", credentials={"subprotocol": "bearer"}),
        ],
    )
    app = FastAPI()
    plain(app, Protected(guard))

    @app.get("/maybe")
    async def maybe(token: Annotated[VerifiedToken | None, Depends(Protected(guard).optional)]):
        return None

    document = app.openapi()
    operation = document["paths"]["/notes"]["get"]

    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "cookie-auth_token": {"type": "apiKey", "in": "cookie", "name": "auth_token"},
        "header-x-token": {"type": "apiKey", "in": "header", "name": "x-token"},
        "query-t": {"type": "apiKey", "in": "query", "name": "t"},
        "openid-people": {
            "type": "openIdConnect",
            "openIdConnectUrl": "https://login.example.com/.well-known/openid-configuration",
        },
    }
    names = document["components"]["securitySchemes"]
    assert operation["security"] == [{name: ["notes:read"]} for name in names]
    assert "parameters" not in operation
    assert document["paths"]["/maybe"]["get"]["security"] == [{name: []} for name in names]


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ([], ["bearer"]),
        ([Rule("/**", credentials={"cookie": "c"})], ["cookie-c"]),
        ([Rule("/**", methods="GET", credentials={"cookie": "c"})], ["cookie-c", "bearer"]),
        ([Rule("/**", credentials={"subprotocol": "bearer"})], ["bearer"]),
    ],
)
def test_openapi_names_what_the_rules_read(rules, names):
    app = FastAPI()
    plain(app, Protected(make_guard(rules)))

    assert list(app.openapi()["components"]["securitySchemes"]) == names


def test_an_app_with_a_prefix_of_its_own_is_found_in_an_included_router():
    inner = FastAPI()
    inner.root_path = "/open/x"  # as FastAPI(root_path=…), which warns
    router = APIRouter()
    router.mount("/open", inner)
    app = FastAPI()
    app.include_router(router)
    with pytest.raises(ConfigurationError, match="root_path"):
        asgi.GuardMiddleware(app, Guard([FakeIssuer().trusted()]))
