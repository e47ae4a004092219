import asyncio

from jwtguard import Guard, Rule, asgi, wsgi
from jwtguard.testing import FakeIssuer

idp = FakeIssuer()


def make_guard():
    return Guard([idp.trusted()], [Rule("/health", access="public")], forward={"X-User-Id": "sub"})


def wsgi_app(environ, start_response):
    start_response("200 OK", [])
    return [environ.get("HTTP_X_USER_ID", "nobody").encode()]


async def asgi_app(scope, receive, send):
    user = dict(scope["headers"]).get(b"x-user-id", b"nobody")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": user})


def ask_wsgi(path, **headers):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.url_scheme": "http"}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    seen = []
    app = wsgi.GuardMiddleware(wsgi_app, make_guard())
    body = b"".join(app(environ, lambda status, headers: seen.append(status)))
    return int(seen[0][:3]), body


def ask_asgi(path, **headers):
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(asgi.GuardMiddleware(asgi_app, make_guard())(scope, None, send))
    return sent[0]["status"], sent[1]["body"]


def test_both_doors_allow_and_refuse_alike():
    for ask in (ask_wsgi, ask_asgi):
        assert ask("/health", x_user_id="forged") == (200, b"nobody")
        assert ask("/api", authorization=idp.bearer("alice"), x_user_id="forged") == (200, b"alice")
        assert ask("/api")[0] == 401
        assert ask("//api")[0] == 400
