"""The two apps under soak: each says who is asking, behind the same guard."""

import logging
import os

from jwtguard import Discovery, Guard, Issuer, RemoteKeys, Rule
from jwtguard.asgi import GuardMiddleware as OnLoops
from jwtguard.revocations import RedisRevocations
from jwtguard.wsgi import GuardMiddleware as InThreads

from .provider import FRESH, JWKS, MAX_BYTES, PARTNERS, PEOPLE, TIMEOUT

AUDIENCE = "https://api.test"
PEOPLE_ISS = "https://people.test/"
CACHE = 512  # tokens; few, so that a run of minutes is long enough to see memory settle
STALE = 3  # seconds that the partners' keys outlive their provider
COOLDOWN = 0.25  # seconds
MAX_AGE = {"wsgi": 6, "asgi": 60}  # seconds that Redis may be silent: one notices, one does not


def make_guard(max_age: float) -> Guard:
    provider = os.environ["SOAK_PROVIDER"]
    words = {
        "insecure_http": True,
        "cooldown": COOLDOWN,
        "min_fresh": FRESH,
        "max_fresh": FRESH,
        "timeout": TIMEOUT,
        "max_bytes": MAX_BYTES,
    }
    people = RemoteKeys(
        provider + PEOPLE + JWKS,
        cache_file=os.environ["SOAK_KEYS"],
        **words,
    )
    return Guard(
        [
            Issuer(PEOPLE_ISS, name="people", audience=AUDIENCE, algorithms=["ES256"], keys=people),
            Issuer(
                provider + PARTNERS,
                name="partners",
                audience=AUDIENCE,
                algorithms=["ES256"],
                keys=Discovery(max_stale=STALE, **words),
            ),
        ],
        [Rule("/public/**", access="public"), Rule("/admin/**", roles="admin")],
        forward={"X-User-Id": "sub"},
        revocations=RedisRevocations(
            os.environ["SOAK_REDIS"], max_age=max_age, when_stale="refuse"
        ),
        cache_size=CACHE,
    )


def _wsgi(environ, start_response):
    body = environ.get("HTTP_X_USER_ID", "-").encode("latin-1")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def _asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = dict(scope["headers"]).get(b"x-user-id", b"-")
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


logging.basicConfig(level=logging.INFO, format="%(process)d %(levelname)s %(name)s %(message)s")
logging.getLogger("httpx2").setLevel(logging.WARNING)


def wsgi_app() -> InThreads:
    """For gunicorn, which refuses everything while Redis is away."""
    return InThreads(_wsgi, make_guard(MAX_AGE["wsgi"]))


def asgi_app() -> OnLoops:
    """For uvicorn, which goes on with what it knows."""
    return OnLoops(_asgi, make_guard(MAX_AGE["asgi"]))
