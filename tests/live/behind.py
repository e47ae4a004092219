"""The app behind a proxy: it says what it was asked, and whether it should have been.

It reads targets as generously as any framework may, so that whatever leads to ``/admin`` for one of
them is PROTECTED here. The guard of the same policy stands in it, and must agree with the verdict
that the proxy was given: both see the same target.
"""

import json
import os
import posixpath
import re
from urllib.parse import unquote

from jwtguard import asgi, from_toml
from jwtguard.core.model import Deny

from .servers import PROTECTED

guard = from_toml(os.environ["JWTGUARD_TEST_POLICY"])


def readings(raw):
    """What some framework may make of a target."""
    path = re.sub(r"^\w+://[^/]*", "", raw)
    for _ in range(4):
        for cut in (path, path.partition("#")[0], path.partition("?")[0]):
            cut = re.sub(r"[\x00-\x1f\x7f-\x9f]", "", cut).replace("\\", "/")
            cut = re.sub(r";[^/]*", "", cut)
            yield posixpath.normpath(f"/{cut.lstrip('/')}")
        path = unquote(path)


def leads_to_admin(raw):
    return any(path == "/admin" or path.startswith("/admin/") for path in readings(raw))


async def read(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    decision = asgi.decide(scope, guard)
    raw = scope["raw_path"].decode("latin-1")
    text = PROTECTED.decode() if leads_to_admin(raw) else "open"
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    told = {
        "app": text,
        "disagrees": decision.error.reason if isinstance(decision, Deny) else None,
        "method": scope["method"],
        "target": raw + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else ""),
        "headers": [[n.decode("latin-1"), v.decode("utf-8")] for n, v in scope["headers"]],
        "body": (await read(receive)).decode(),
    }
    body = json.dumps(told).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"x-app", b"reached")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
