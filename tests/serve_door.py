"""The door that stands in another process: `jwtguard.serve`, asked by a proxy about each request.

The proxy is the smallest that does its duty: it takes the client's copies of identity headers
away, hands the app what the answer says, and everything else as it was sent.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from jwtguard import Guard, drive
from jwtguard.core import Allow
from jwtguard.serve.app import ForwardAuth, Policy
from jwtguard.serve.proxies import Askers
from jwtguard.serve.settings import Settings

from .contract import CASES, UNASKED, Case
from .doors import (
    APP_BODY,
    APP_HEADERS,
    Answer,
    Ask,
    FetchSync,
    Pairs,
    Seen,
    _gathered,
    _words,
    waiting,
)

PROXY = "192.0.2.7"


def ask_server(
    app: ForwardAuth,
    target: str,
    headers: Pairs = (),
    *,
    method: str = "GET",
    peer: str | None = PROXY,
    body: bytes = b"",
) -> Answer:
    """One request to the server itself."""
    answer = Answer(0)
    raw, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": "/not/looked/at",
        "raw_path": raw.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in headers],
        "scheme": "http",
        "client": None if peer is None else (peer, 40000),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(n.decode(), v.decode("latin-1")) for n, v in message["headers"]]
        else:
            answer.body += message["body"]

    asyncio.run(app(scope, receive, send))
    return answer


def server_of(guard: Guard) -> ForwardAuth:
    """It serves *guard* as the policy "p", and believes PROXY."""
    return ForwardAuth({"p": guard}, Askers(Settings(trusted_proxies=PROXY)))


def question(ask: Ask) -> list[tuple[str, str]]:
    """What a proxy says of a client's request."""
    said = {
        "X-Forwarded-Method": ask.method,
        "X-Forwarded-Uri": ask.target,
        "X-Forwarded-Proto": ask.scheme,
        "X-Forwarded-For": "127.0.0.1",
        **({"Sec-WebSocket-Version": "13"} if ask.websocket else {}),
    }
    own = {name.lower() for name in said}
    return [*(pair for pair in ask.headers if pair[0].lower() not in own), *said.items()]


class Watched(Policy):
    """A policy whose last decision can be seen: a token does not go over the wire."""

    last: Any = None

    async def decide(self, asked: Any) -> Any:
        self.last = await super().decide(asked)
        return self.last


def serve_door(guard: Guard, ask: Ask, fetch: FetchSync | None = None) -> Answer:
    """Through ``/auth/{policy}``."""
    if fetch is not None:
        guard.exchange(on_loops=(waiting(fetch), drive.run))
    app = server_of(guard)
    watched = app._policies["p"] = Watched("p", guard)
    answer = ask_server(app, "/auth/p", question(ask))
    if answer.status != 200:
        return answer
    allow: Allow = watched.last
    identity = {name.lower() for name in watched.forwarded}
    headers = {n: v for n, v in _gathered(ask.headers).items() if n not in identity}
    headers |= _gathered([pair for pair in answer.headers if pair[0] in identity])
    for name, values in headers.items():
        headers[name] = [value.encode("latin-1").decode("utf-8", "replace") for value in values]
    path = unquote(ask.target.partition("?")[0])
    token = allow.token
    seen = Seen(path, ask.query, headers, token, token.claims if token else {}, {}, _words(headers))
    handed_on = [pair for pair in answer.headers if pair[0] in ("ratelimit", "ratelimit-policy")]
    return Answer(200, [*APP_HEADERS, *handed_on], APP_BODY, seen)


def _is_the_proxys(case: Case) -> bool:
    """What no answer of 200 can bring about: see docs/forward-auth.md."""
    if case.mount or not case.raw or (case.answered or 300) < 300:
        return True
    return case.reaches_app and bool(
        case.variables is not UNASKED
        or case.settings.get("response_headers")
        or case.settings.get("strip_credentials")
        or any(place.always_removed for rule in case.rules for place in rule.places)
    )


OF_THE_PROXY = {name for name, case in CASES.items() if _is_the_proxys(case)}
