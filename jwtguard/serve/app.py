"""The ASGI app that proxies ask: may this request pass?

- ``/verify/{policy}`` says 200, 401 or 403 and nothing else, because nginx ``auth_request`` makes
  a 500 of everything else;
- ``/refusal/{policy}`` is the answer in full to a request that was refused there;
- ``/auth/{policy}`` is both in one, for proxies that hand on whatever is not 2xx;
- ``/pages/{policy}`` serves what the guard serves itself, such as its metadata;
- ``/healthz``, ``/readyz`` and ``/metrics`` are about this server.

A verdict is a guard's own: it is asked about the client's request (`original`) as any door asks.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from jwtguard import drive
from jwtguard.asgi import Message, Receive, Scope, Send
from jwtguard.core.errors import JWTGuardError, Unavailable
from jwtguard.core.model import Allow, Decision, Deny, Pairs
from jwtguard.core.refused import escaped
from jwtguard.guard import Guard

from . import metrics
from .original import Original, Unjudged
from .proxies import PROOF, Askers

log = logging.getLogger("jwtguard.serve")

_question = re.compile(r"/(verify|refusal|auth|pages)/([^/]+)(/.*)?", re.DOTALL).fullmatch


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: Pairs = ()
    body: bytes = b""


def _plain(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return Answer(status, (kind, ("Cache-Control", "no-store"), *headers), f"{text}\n".encode())


class ForwardAuth:
    """Answers the questions of *askers* by the guard that each names: *policies*, by name."""

    def __init__(self, policies: Mapping[str, Guard], askers: Askers) -> None:
        self._policies = {name: Policy(name, guard) for name, guard in policies.items()}
        self._askers = askers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        if scope["type"] != "http":
            raise JWTGuardError(f"ASGI scope of type {scope['type']!r} is no question of a proxy")
        answer = await self._answer(scope, receive)
        return await _respond(answer, scope["method"] == "HEAD", send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Ready at once: a provider that is down must not keep a server from starting."""
        warming: list[asyncio.Task[None]] = []
        while True:
            message: Message = await receive()
            if message["type"] == "lifespan.startup":
                guards = {policy.guard for policy in self._policies.values()}
                warming = [asyncio.create_task(guard.awarm()) for guard in guards]
            for task in warming if message["type"] == "lifespan.shutdown" else ():
                task.cancel()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        raw: str = scope["raw_path"].decode("latin-1")
        match = _question(raw)
        if match is None:
            return _about_the_server(scope["method"], raw)
        endpoint, name, tail = match.groups()
        fields: dict[str, list[str]] = {}
        for key, value in scope["headers"]:
            fields.setdefault(key.decode("latin-1"), []).append(value.decode("latin-1"))
        peer = scope["client"][0] if scope.get("client") else None
        try:
            why = self._askers.distrust(peer, fields.pop(PROOF, ()))
            if why is not None:
                raise Unjudged(403, why)
            policy = self._policies.get(name)
            if policy is None:
                known = ", ".join(self._policies)
                raise Unjudged(404, f"there is no policy {escaped(name)}; there are {known}")
            asked = Original(scope, receive, fields, tail, self._askers)
        except Unjudged as error:
            log.warning("/%s/%s: not judged: %s", endpoint, escaped(name), error)
            if endpoint == "verify" or error.status == 403:
                return _plain(403, "Forbidden")
            return _plain(error.status, "Not found" if error.status == 404 else "Bad request")
        return await ENDPOINTS[endpoint](policy, asked)


class Policy:
    """A guard under its name."""

    def __init__(self, name: str, guard: Guard) -> None:
        self.name = name
        self.guard = guard
        rules = (*guard.policy.rules, guard.policy.closing)
        self.forwarded = {header.lower() for bound in rules for header in bound.forward}

    async def decide(self, asked: Original) -> Decision:
        """The guard's decision."""
        guard = self.guard
        if not asked.websocket:
            fields = asked.headers.get_all("authorization")
            if len(fields) == 1:
                allow = guard.recall(asked.method, asked.path, asked.raw_path, fields[0])
                if allow is not None:
                    return allow
        decision = guard.judge(asked)
        if isinstance(decision, (Allow, Deny)):
            return decision
        return await drive.arun(decision, *guard.on_loops)

    def passing(self, allow: Allow) -> Answer:
        """200 with what the app is to get, and what its response is to get.

        Each cookie has a name of its own too: nginx and Caddy know one value of a name.
        """
        claims = [
            (name, value)
            for name, value in allow.set
            if name.lower() in self.forwarded and self._is_faithful(name, value)
        ]
        added = [pair for pair in allow.added if pair[0] != "Cache-Control"]
        cookies = [value for name, value in added if name == "Set-Cookie"]
        numbered = [(f"X-Set-Cookie-{number}", value) for number, value in enumerate(cookies, 1)]
        return Answer(200, (*claims, *added, *numbered, ("Cache-Control", "no-store")))

    def _is_faithful(self, name: str, value: str) -> bool:
        """Whether a value gets over the wire as it is: white space around it would be lost
        (RFC 9110 section 5.5), and another subject be told.
        """
        if value.strip(" \t") == value:
            return True
        log.warning("%s: %s is not sent: there is white space around the claim", self.name, name)
        return False


# --- endpoints ----------------------------------------------------------------------------------


async def verify(policy: Policy, asked: Original) -> Answer:
    """200, 401 or 403. What the guard serves itself is not asked for here: it may count."""
    if asked.path in policy.guard.policy.serves:
        return _plain(403, "Forbidden")
    decision = await policy.decide(asked)
    if isinstance(decision, Allow):
        return policy.passing(decision)
    # Without a challenge: nginx would send it beside that of the refusal.
    return (
        _plain(401, "Unauthorized") if decision.status in (401, 302) else _plain(403, "Forbidden")
    )


async def refusal(policy: Policy, asked: Original) -> Answer:
    """What the client is told in the app's place; never that it may pass."""
    decision = await policy.decide(asked)
    if isinstance(decision, Allow):
        error = Unavailable("allowed_meanwhile", retry_after=1)
        decision = policy.guard.refusal(error, asked, "serve:/refusal")
    return _told(decision)


async def auth(policy: Policy, asked: Original) -> Answer:
    """200 with claims, or the answer in full."""
    decision = await policy.decide(asked)
    if isinstance(decision, Allow):
        return policy.passing(decision)
    if decision.status < 300:
        # To the proxy it would mean that the app may be asked.
        log.warning(
            "%s: %s %s is answered by the guard itself, which cannot be said with a status below "
            "300; have the proxy send it to /pages/%s (or /refusal/%s for CORS preflights)",
            *(policy.name, escaped(asked.method), escaped(asked.path), policy.name, policy.name),
        )
        return _plain(403, "Forbidden")
    return _told(decision)


async def pages(policy: Policy, asked: Original) -> Answer:
    """What the guard serves itself, and nothing else."""
    if asked.path in policy.guard.policy.serves:
        decision = await policy.decide(asked)
        if isinstance(decision, Deny):
            return _told(decision)
    return _plain(404, "Not found")


ENDPOINTS: Mapping[str, Callable[[Policy, Original], Awaitable[Answer]]] = {
    "verify": verify,
    "refusal": refusal,
    "auth": auth,
    "pages": pages,
}


def _told(deny: Deny) -> Answer:
    return Answer(deny.status, deny.headers, deny.body)


def _about_the_server(method: str, raw: str) -> Answer:
    if raw not in ("/healthz", "/readyz", "/metrics"):
        return _plain(404, "Not found")
    if method not in ("GET", "HEAD"):
        return _plain(405, "Method not allowed", ("Allow", "GET, HEAD"))
    # To be asked is to be ready: files are read before the first connection is taken, and keys
    # are the provider's.
    return _metrics() if raw == "/metrics" else _plain(200, "ok")


def _metrics() -> Answer:
    found = metrics.exposition()
    if found is None:
        return _plain(404, "Not found")
    text, kind = found
    return Answer(200, (("Content-Type", kind), ("Cache-Control", "no-store")), text)


async def _respond(answer: Answer, is_head: bool, send: Send) -> None:
    """Send it. The length is that of this exchange: the client's HEAD may be a proxy's GET."""
    length = str(len(answer.body))
    headers = []
    for name, value in answer.headers:
        if name.lower() == "content-length":
            length = value if is_head else length
        else:
            headers.append((name.lower().encode(), value.encode("utf-8", "surrogateescape")))
    if answer.status not in (204, 304):
        headers.append((b"content-length", length.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body})
