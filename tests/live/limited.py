"""Apps whose guard counts in Redis, for servers in several processes."""

import os
from typing import Any

from jwtguard import Guard, Issuer, Rule, Secret, asgi, wsgi
from jwtguard.ratelimits import RedisRateStore

guard = Guard(
    [
        Issuer(
            name="live",
            audience=None,
            algorithms=["HS256"],
            keys=Secret.from_env("JWTGUARD_TEST_SECRET"),
        )
    ],
    [
        Rule("/open", access="public", rate="20/hour"),
        Rule("/mine", rate={"limit": "5/hour", "by": "claim:sub"}),
    ],
    failed_rate="3/hour",
    trusted_proxies=["127.0.0.1"],
    rate_store=RedisRateStore(os.environ["REDIS_URL"]),
)


def _hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


async def _ahello(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


wsgi_app = wsgi.GuardMiddleware(_hello, guard)
asgi_app = asgi.GuardMiddleware(_ahello, guard)
