"""A client of the Model Context Protocol finds its way: the official SDK's client and server, with
a guard in front of the server and an authorization server that neither was told about."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
import uvicorn

from jwtguard import Guard, Issuer, RemoteKeys, Rule
from jwtguard.asgi import GuardMiddleware

if os.environ.get("JWTGUARD_LIVE") != "required":
    pytest.importorskip("mcp", reason="the MCP SDK (mcp) is not installed")

from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from .authorization_server import AuthorizationServer

CALLBACK = "http://127.0.0.1:1/callback"  # nobody listens: the test reads it off the redirect
METADATA = "/.well-known/oauth-protected-resource/mcp"


class Recorded:
    """An ASGI app, and what was asked of it: (method, path, status)."""

    def __init__(self, app):
        self.app = app
        self.seen = []

    async def __call__(self, scope, receive, send):
        async def note(message):
            if message["type"] == "http.response.start":
                self.seen.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        await self.app(scope, receive, note if scope["type"] == "http" else send)

    def statuses(self, path):
        return [status for _, seen, status in self.seen if seen == path]


@contextlib.contextmanager
def listening():
    """A socket on a free port of this machine, and its address."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock, f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def served(app, sock):
    """Run *app* on *sock* until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    assert server.started
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def notes_server():
    """An MCP server that knows nothing of tokens but what the guard tells it."""
    server = MCPServer("notes")

    @server.tool()
    def add(a: int, b: int) -> int:
        """The sum."""
        return a + b

    @server.tool()
    def who(context: Context) -> str:
        """The caller."""
        return context.request_context.request.scope["jwtguard.claims"]["sub"]

    return server.streamable_http_app()


class World:
    """The two servers, and the address of the MCP endpoint."""

    def __init__(self, login, notes, url):
        self.login, self.notes, self.url = login, notes, url
        self.site = url.removesuffix("/mcp")

    def post(self, **headers):
        return httpx2.post(self.url, json={}, headers=headers, timeout=20)


@pytest.fixture
def world(request):
    """Parametrized with what the person consents to."""
    with listening() as (login_socket, login_url), listening() as (notes_socket, notes_url):
        login = AuthorizationServer(login_url, list(getattr(request, "param", [{"notes:read"}])))
        guard = Guard(
            [
                Issuer(
                    login_url,
                    name="login",
                    audience=f"{notes_url}/mcp",
                    algorithms=["RS256"],
                    typ="at+jwt",
                    keys=RemoteKeys(f"{login_url}/jwks", insecure_http=True),
                )
            ],
            [Rule("/mcp/**", scopes="notes:read")],
            public_url=notes_url,
            protected_resource={"path": "/mcp", "scopes_supported": ["notes:read"]},
        )
        notes = Recorded(GuardMiddleware(notes_server(), guard))
        login.app = Recorded(login.app)
        with served(login.app, login_socket), served(notes, notes_socket):
            yield World(login, notes, f"{notes_url}/mcp")


class Storage:
    """Tokens and registration, in memory."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Browser:
    """Goes where the client sends the person, and brings back what the redirect says."""

    async def go(self, address):
        async with httpx2.AsyncClient() as http:
            reply = await http.get(address)
        assert reply.status_code == 302
        self.came_back = dict(parse_qsl(urlsplit(reply.headers["location"]).query))

    async def back(self):
        return AuthorizationCodeResult(**self.came_back)


async def use_tools(url, storage):
    """List the tools and call both."""
    browser = Browser()
    metadata = OAuthClientMetadata(
        redirect_uris=[CALLBACK], client_name="test", grant_types=["authorization_code"]
    )
    auth = OAuthClientProvider(url, metadata, storage, browser.go, browser.back)
    async with (
        httpx2.AsyncClient(auth=auth, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        tools = await client.list_tools()
        total = await client.call_tool("add", {"a": 2, "b": 3})
        caller = await client.call_tool("who", {})
        return (
            {tool.name for tool in tools.tools},
            total.content[0].text,
            caller.content[0].text,
        )


def test_the_first_answer_says_where_to_go(world):
    first = world.post()

    assert first.status_code == 401
    address = f"{world.site}{METADATA}"
    assert first.headers["www-authenticate"] == f'Bearer resource_metadata="{address}"'
    assert httpx2.get(address).json() == {
        "resource": world.url,
        "authorization_servers": [world.login.url],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["notes:read"],
    }


def test_the_sdks_client_finds_its_way_and_calls_a_tool(world):
    storage = Storage()

    assert asyncio.run(use_tools(world.url, storage)) == ({"add", "who"}, "5", "alice")

    assert world.notes.seen[:2] == [("POST", "/mcp", 401), ("GET", METADATA, 200)]
    assert world.notes.statuses("/mcp").count(401) == 1
    assert [path for _, path, _ in world.login.app.seen if path != "/jwks"] == [
        "/.well-known/oauth-authorization-server",
        "/register",
        "/authorize",
        "/token",
    ]
    assert world.login.resources == [world.url]
    assert storage.tokens.scope == "notes:read"


@pytest.mark.parametrize("world", [[set(), {"notes:read"}]], indirect=True)
def test_the_sdks_client_asks_for_the_scope_that_it_lacks(world):
    assert asyncio.run(use_tools(world.url, Storage())) == ({"add", "who"}, "5", "alice")

    assert world.notes.statuses("/mcp")[:2] == [401, 403]
    assert len(world.login.resources) == 2


def test_a_token_without_the_scope_is_told_which_and_where(world):
    token = world.login.issue(world.url, "notes:write")

    refused = world.post(Authorization=f"Bearer {token}")

    assert refused.status_code == 403
    challenge = refused.headers["www-authenticate"]
    assert challenge.startswith('Bearer error="insufficient_scope"')
    assert challenge.endswith(f'scope="notes:read", resource_metadata="{world.site}{METADATA}"')


def test_a_token_for_another_resource_is_refused(world):
    for audience in (world.site, f"{world.url}/", "https://other.example/mcp", None):
        token = world.login.issue(audience, "notes:read")

        refused = world.post(Authorization=f"Bearer {token}")

        assert refused.status_code == 401
        challenge = refused.headers["www-authenticate"]
        assert 'error="invalid_token"' in challenge
        assert challenge.endswith(f'resource_metadata="{world.site}{METADATA}"')
    good = world.login.issue(world.url, "notes:read")
    assert world.post(Authorization=f"Bearer {good}").status_code not in (401, 403)
