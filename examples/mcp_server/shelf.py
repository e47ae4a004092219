"""Shelf: an MCP server for the books of a small library.

Who may come in stands in jwtguard.toml; what single tools want besides, in the tools.
"""

from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from jwtguard import Guard, VerifiedToken, from_toml
from jwtguard.asgi import App, GuardMiddleware

HERE = Path(__file__).parent


def caller(context: Context) -> VerifiedToken:
    """Whose token came with the call: the guard has let nobody through without one."""
    token: VerifiedToken = context.request_context.request.scope["jwtguard.token"]
    return token


def create_server() -> MCPServer:
    """The library. Of tokens it knows only what the guard tells it."""
    server = MCPServer("shelf", instructions="Finds books of the library, and lends them.")
    books = ["Middlemarch", "Moby-Dick", "The Time Machine", "The War of the Worlds"]
    lent: dict[str, str] = {}  # the book -> the reader

    @server.tool()
    def find(words: str) -> list[str]:
        """The books whose titles have these words."""
        wanted = words.lower().split()
        return [book for book in books if all(word in book.lower() for word in wanted)]

    # All tools have one path, and rules see paths: a tool that wants more than every call needs
    # looks at the token itself.
    @server.tool()
    def borrow(book: str, context: Context) -> str:
        """Borrow a book of this title, for whoever is asking."""
        token = caller(context)
        if "books:borrow" not in token.scopes:
            raise ToolError("Borrowing takes the scope books:borrow.")
        if book not in books or book in lent:
            raise ToolError("There is no such book on the shelf.")
        lent[book] = token.subject or ""
        return f"{book} is yours for four weeks."

    @server.tool()
    def borrowed(context: Context) -> list[str]:
        """The books that whoever is asking has at home."""
        return [book for book, reader in lent.items() if reader == caller(context).subject]

    return server


def create_app(guard: Guard | None = None) -> App:
    """The server over HTTP, guarded as jwtguard.toml says unless a test brings a guard."""
    # Without sessions every request is judged by its own token. The SDK's auth= stays unused.
    shelf = create_server().streamable_http_app(
        stateless_http=True, json_response=True, host="books.example.com"
    )
    return GuardMiddleware(shelf, guard or from_toml(HERE / "jwtguard.toml"))
