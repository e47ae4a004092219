"""The example does what its README says, seen by the official SDK's client and by bare requests."""

import asyncio
import contextlib

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.testclient import TestClient

SITE = "https://books.example.com"
DOCUMENT = f"{SITE}/.well-known/oauth-protected-resource/mcp"
READER = "books:read"
BORROWER = "books:read books:borrow"


@pytest.fixture
def client(app):
    with TestClient(app, base_url=SITE) as client:
        yield client


@contextlib.asynccontextmanager
async def running(app):
    """The app between start-up and shutdown, as a server runs it."""
    told, said = asyncio.Queue(), asyncio.Queue()
    serving = asyncio.create_task(app({"type": "lifespan", "state": {}}, told.get, said.put))
    for step in ("startup", "shutdown"):
        await told.put({"type": f"lifespan.{step}"})
        assert (await said.get())["type"] == f"lifespan.{step}.complete"
        if step == "startup":
            yield
    await serving


def using(app, *calls):
    """What an MCP client gets for its calls, each (Authorization, tool, arguments)."""

    async def run():
        async with running(app):
            return [await call(*one) for one in calls]

    async def call(authorization, tool, arguments):
        transport = httpx2.ASGITransport(app)
        headers = {"Authorization": authorization}
        async with (
            httpx2.AsyncClient(transport=transport, headers=headers) as http,
            Client(streamable_http_client(f"{SITE}/mcp", http_client=http)) as client,
        ):
            result = await client.call_tool(tool, arguments)
            return not result.is_error, [part.text for part in result.content]

    return asyncio.run(run())


def test_whoever_may_read_finds_books(app, idp):
    assert using(app, (idp.bearer("alice", scopes=READER), "find", {"words": "the"})) == [
        (True, ["The Time Machine", "The War of the Worlds"])
    ]


def test_borrowing_is_a_scope_of_its_own(app, idp):
    book = {"book": "Moby-Dick"}

    refused, lent, gone = using(
        app,
        (idp.bearer("alice", scopes=READER), "borrow", book),
        (idp.bearer("bob", scopes=BORROWER), "borrow", book),
        (idp.bearer("carol", scopes=BORROWER), "borrow", book),
    )

    failed = "Error executing tool borrow: "
    assert refused == (False, [f"{failed}Borrowing takes the scope books:borrow."])
    assert lent == (True, ["Moby-Dick is yours for four weeks."])
    assert gone == (False, [f"{failed}There is no such book on the shelf."])


def test_a_reader_sees_what_this_reader_borrowed(app, idp):
    alice, bob = (idp.bearer(name, scopes=BORROWER) for name in ("alice", "bob"))

    _, hers, his = using(
        app,
        (alice, "borrow", {"book": "Middlemarch"}),
        (alice, "borrowed", {}),
        (bob, "borrowed", {}),
    )

    assert (hers, his) == ((True, ["Middlemarch"]), (True, []))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_without_a_token_a_client_is_told_where_to_get_one(client, method):
    answer = client.request(method, "/mcp")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{DOCUMENT}"'
    assert client.get(DOCUMENT).json() == {
        "resource": f"{SITE}/mcp",
        "authorization_servers": ["https://login.example.com/"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["books:read", "books:borrow"],
        "resource_name": "Shelf",
    }


def test_a_token_without_the_scope_is_told_which_one(client, idp):
    answer = client.post("/mcp", json={}, headers={"Authorization": idp.bearer("alice")})

    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert 'scope="books:read"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("audience", [SITE, f"{SITE}/mcp/", "https://other.example.com/mcp"])
def test_a_token_for_another_service_is_refused(client, idp, audience):
    token = idp.bearer("alice", scopes=READER, aud=audience)

    assert client.post("/mcp", json={}, headers={"Authorization": token}).status_code == 401


@pytest.mark.parametrize("path", ["/", "/mcp/", "/mcp/x", "/other"])
def test_nothing_else_is_open(client, path):
    assert client.get(path).status_code == 401
