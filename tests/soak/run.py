"""One run: traffic, faults, and a record of everything that came back."""

import asyncio
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from jwtguard.errors import Unavailable
from jwtguard.revocations import RedisRevocations
from tests.live.redis_server import RedisServer

from .provider import ALL_FAULTS, DOWN, OTHER_KEYS, Provider
from .servers import Server
from .tokens import REVOKING, VALID, Asked, Tokens
from .traffic import Connection, Reply

CONNECTIONS = 8  # to each server
SETTLE = 4.0  # seconds after the provider published other keys, until nobody has them any more
SOON = 1.0  # seconds in which a revocation counts
BACK = 3.0  # seconds after Redis came back in which one counts that it was not told before
WARM = 30.0  # seconds at most before it begins, until a server answers so many in a row with 200
WARM_REQUESTS = 64
BOUND = 60.0  # seconds beyond its time after which a run is ended

RELOADS = (0.06, 0.13, 0.22)  # of the time, so that most is left to watch the memory of workers
REDIS_KILLED = (0.30, 0.55, 0.80)
REDIS_HANGS = (0.42, 0.68)


@dataclass
class Sample:
    """Memory of a worker: seconds since the start, new tokens by then, MiB."""

    at: float
    made: int
    mib: float


@dataclass
class Record:
    """What happened."""

    seconds: float = 0.0
    tokens: int = 0
    requests: int = 0
    replies: dict[str, Counter[int]] = field(default_factory=dict)  # by kind
    wrong: list[str] = field(default_factory=list)  # what must never happen
    unavailable: Counter[str] = field(default_factory=Counter)  # 503 for good tokens, by cause
    unanswered: Counter[str] = field(default_factory=Counter)  # by server
    waits: dict[str, list[float]] = field(default_factory=dict)  # by server, seen tokens; seconds
    effective: list[float] = field(default_factory=list)  # seconds until a revocation counted
    effective_later: list[float] = field(default_factory=list)  # after Redis came back
    cpu: dict[str, float] = field(default_factory=dict)  # seconds, by server
    answered: Counter[str] = field(default_factory=Counter)  # by server
    memory: dict[str, dict[int, list[Sample]]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    followed: int = 0
    reloads: int = 0
    redis_outages: int = 0
    left_over: list[int] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)  # of 503, as the logs say
    slow: list[str] = field(default_factory=list)  # seen tokens that took a second or more
    tracebacks: int = 0
    tokens_in_logs: int = 0
    lines: int = 0


class Run:
    """*tokens* distinct tokens in *seconds*."""

    def __init__(self, tokens: int, seconds: float, seed: int, directory: Path) -> None:
        self._wanted = tokens
        self._seconds = seconds
        self._directory = directory
        self.record = Record()
        self._provider = Provider()
        self._provider.publish("key-0")
        self._provider.publish("key-1")
        self._tokens = Tokens(self._provider, seed)
        self._tokens.sign_with("key-0")
        self._keys_change_until = 0.0
        self._redis_lost = False
        self._redis_back = 0.0  # when it answered again
        self._begun = 0.0
        # When a revoked token must be refused, by its user; infinite: nobody was told yet.
        self._refused_from: dict[str, float] = {}

    def go(self) -> Record:
        """Everything that was begun has ended when this returns."""
        redis = RedisServer(self._directory)
        environment = {
            "SOAK_PROVIDER": self._provider.url,
            "SOAK_REDIS": redis.url,
            "SOAK_KEYS": str(self._directory / "keys.json"),
        }
        servers: list[Server] = []
        try:
            for name in ("gunicorn", "uvicorn"):
                servers.append(Server(name, self._directory, **environment))
            for server in servers:
                server.wait()
            asyncio.run(self._bounded(servers, redis))
        finally:
            for server in servers:
                self.record.left_over += server.end()
            redis.kill()
            self._provider.stop()
        self.record.asked = self._provider.asked
        self.record.followed = self._provider.followed
        for server in servers:
            self._read_log(server.log)
        return self.record

    async def _bounded(self, servers: list[Server], redis: RedisServer) -> None:
        async with asyncio.timeout(self._seconds + BOUND):
            await self._all(servers, redis)

    async def _all(self, servers: list[Server], redis: RedisServer) -> None:
        revocations = RedisRevocations(redis.url, max_age=60, when_stale="allow")
        await asyncio.to_thread(revocations.warm)
        await asyncio.gather(*(self._warmed(server) for server in servers))
        self._begun = time.monotonic()
        beside = [
            asyncio.create_task(one)
            for one in (
                self._weather(),
                self._reloading(servers),
                self._redis(redis),
                self._revoking(servers, revocations),
                self._weighing(servers),
            )
        ]
        clients = [self._client(server) for server in servers for _ in range(CONNECTIONS)]
        await asyncio.gather(*clients)
        self.record.seconds = time.monotonic() - self._begun
        self.record.tokens = self._tokens.made
        for task in beside:
            task.cancel()
        for ended in await asyncio.gather(*beside, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        for server in servers:
            if not server.is_running:
                self.record.wrong.append(f"{server.name} ended")

    async def _warmed(self, server: Server) -> None:
        """Until every worker has keys and knows what was revoked."""
        good, until = 0, time.monotonic() + WARM
        while good < WARM_REQUESTS and time.monotonic() < until:
            asked = self._tokens.hot[good % len(self._tokens.hot)]
            reply = await Connection(server.port).ask(asked, close=True)
            good = good + 1 if reply.status == 200 else 0

    # --- traffic ---

    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    async def _client(self, server: Server) -> None:
        connection = Connection(server.port)
        while (elapsed := self._elapsed()) < self._seconds:
            if self._tokens.made > self._wanted * elapsed / self._seconds + 1:
                await asyncio.sleep(0.005)  # ahead of its time
                continue
            asked = self._tokens.next()
            sent = time.monotonic()
            self._judge(server.name, asked, sent, await connection.ask(asked))
        await connection.close()

    def _judge(self, server: str, asked: Asked, sent: float, reply: Reply) -> None:
        record, status = self.record, reply.status
        record.requests += 1
        record.answered[server] += 1
        record.replies.setdefault(asked.kind, Counter())[status] += 1
        if status == 0:
            record.unanswered[server] += 1
            return
        what = None
        refused_from = self._refused_from.get(asked.user)
        if status >= 500 and status != 503:
            what = "5xx"
        elif asked.kind == "public":
            if (status, reply.body) != (200, b"-"):
                what = "a public page"
        elif asked.kind in VALID and refused_from is None:
            if status == 200 and reply.body.decode() != asked.user:
                what = f"somebody else's ({reply.body!r} for {asked.user})"
            elif status == 503:
                redis = "Redis is lost" if self._redis_lost else "Redis answers"
                fault = self._provider.fault or "healthy"
                record.unavailable[f"{server}, {asked.issuer}, {redis}, provider {fault}"] += 1
            elif (
                status != 200
                and sent > self._keys_change_until
                and asked.kid == self._tokens.kid  # else it is withdrawn
            ):
                what = "a good token was refused"
            if asked.kind == "seen":
                record.waits.setdefault(server, []).append(reply.seconds)
                if reply.seconds >= 1:
                    at = f"{self._elapsed():.1f} s, {self._provider.fault}"
                    record.slow.append(f"{server}, {asked.issuer}: {reply.seconds:.1f} s at {at}")
        elif refused_from is not None:
            if status < 300 and sent > refused_from:
                what = f"revoked {sent - refused_from:.2f} s longer than it may take"
        elif status < 300:
            what = "2xx without a valid token"
        if what is not None:
            at = f"{self._elapsed():.1f} s, {self._provider.fault}"
            record.wrong.append(f"{what}: {server} {asked.kind} {status} at {at}")

    # --- what happens meanwhile ---

    async def _until(self, share: float) -> None:
        await asyncio.sleep(max(0.0, share * self._seconds - self._elapsed()))

    async def _weather(self) -> None:
        """Every fault in turn, with keys rotated in between."""
        period = min(14.0, max(6.0, self._seconds / len(ALL_FAULTS) / 2))
        faults = list(ALL_FAULTS)
        self._tokens.random.shuffle(faults)
        number = 0
        while True:
            for fault in faults:
                # The next key is published before it signs, and the last one is withdrawn.
                number += 1
                signing, gone = f"key-{number}", f"key-{number - 1}"
                old = self._tokens.hot
                self._tokens.sign_with(signing)
                self._keys_change_until = max(self._keys_change_until, time.monotonic() + 0.5)
                self._provider.publish(f"key-{number + 1}", without=gone)
                await asyncio.sleep(period * 0.7)
                self._tokens.withdrawn.extend(replace(one, kind="withdrawn key") for one in old)
                self._provider.become(fault)
                if fault == OTHER_KEYS:
                    self._keys_change_until = time.monotonic() + period * 0.3 + SETTLE
                await asyncio.sleep(period * 0.3)
                self._provider.become(None)

    async def _reloading(self, servers: list[Server]) -> None:
        for share in RELOADS:
            await self._until(share)
            if share == RELOADS[1]:  # new workers while the provider is down
                while self._provider.fault != DOWN and self._elapsed() < RELOADS[2] * self._seconds:
                    await asyncio.sleep(0.05)
            for server in servers:
                server.reload()
            self.record.reloads += 1

    async def _redis(self, redis: RedisServer) -> None:
        events = sorted(
            [(share, "killed") for share in REDIS_KILLED]
            + [(share, "hangs") for share in REDIS_HANGS]
        )
        length = min(10.0, self._seconds * 0.06)
        for share, what in sorted(events):
            await self._until(share)
            self._redis_lost = True
            (redis.kill if what == "killed" else redis.hang)()
            await asyncio.sleep(length)
            await asyncio.to_thread(redis.start if what == "killed" else redis.resume)
            self._redis_lost, self._redis_back = False, time.monotonic()
            self.record.redis_outages += 1

    async def _revoking(self, servers: list[Server], revocations: RedisRevocations) -> None:
        kinds = ("sid", "sub", "jti")
        turn = 0
        await asyncio.sleep(1)
        while True:
            turn += 1
            names = {"sid": f"s-{turn}", "jti": f"t-{turn}", "iat": int(time.time()) - 2}
            asked = self._tokens.valid(REVOKING, **names)
            await self._ended(servers, revocations, asked, kinds[turn % 3])
            await asyncio.sleep(min(2.0, self._seconds / 40))

    async def _ended(
        self, servers: list[Server], revocations: RedisRevocations, asked: Asked, kind: str
    ) -> None:
        """Revoke a token, and see for how long it still works anywhere."""
        for server in servers:  # where it is seen, and on new connections, so anywhere
            for _ in range(4):
                await self._once(server, asked)
        begun = time.monotonic()
        # Mirrors look for a server that they lost every half second.
        was_lost = self._redis_lost or begun < self._redis_back + BACK
        self._refused_from[asked.user] = float("inf")
        try:
            await revocations.arevoke(kind, str(asked.claims[kind]), issuer=asked.issuer)
            told = True
        except Unavailable:
            told = False
        told_at = time.monotonic()
        while not told and self._redis_lost:
            await asyncio.sleep(0.05)
        if not told:
            told_at = max(told_at, self._redis_back)
        is_soon = told and not was_lost and not self._redis_lost
        until = told_at + (SOON if is_soon else BACK)
        self._refused_from[asked.user] = until
        last = begun
        while time.monotonic() < until + 0.5:
            asked = self._tokens.again(asked)
            for server in servers:
                sent = time.monotonic()
                if (await self._once(server, asked)).status < 300:
                    last = sent
            await asyncio.sleep(0.01)
        took = max(0.0, last - told_at)
        (self.record.effective if is_soon else self.record.effective_later).append(took)
        self._tokens.revoked.append(replace(asked, kind="revoked"))

    async def _once(self, server: Server, asked: Asked) -> Reply:
        sent = time.monotonic()
        reply = await Connection(server.port).ask(asked, close=True)
        self._judge(server.name, asked, sent, reply)
        return reply

    async def _weighing(self, servers: list[Server]) -> None:
        while True:
            for server in servers:
                self.record.cpu[server.name] = server.cpu()
                for process, mib in server.memory().items():
                    samples = self.record.memory.setdefault(server.name, {}).setdefault(process, [])
                    samples.append(Sample(self._elapsed(), self._tokens.made, mib))
            await asyncio.sleep(max(0.2, self._seconds / 300))

    def _read_log(self, log: Path) -> None:
        token = re.compile(r"eyJ[\w-]{20,}")
        reason = re.compile(r"jwtguard\.refused (503 \w+)")
        with log.open(errors="replace") as lines:
            for line in lines:
                self.record.lines += 1
                self.record.tracebacks += "Traceback" in line or "internal_error" in line
                self.record.tokens_in_logs += token.search(line) is not None
                if found := reason.search(line):
                    self.record.reasons[f"{log.stem} {found[1]}"] += 1


def soak(tokens: int, seconds: float, seed: int, logs: Path | None) -> Record:
    """Run it, in a directory of its own, or in *logs*, where the logs stay."""
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        return Run(tokens, seconds, seed, logs.absolute()).go()
    with tempfile.TemporaryDirectory(prefix="jwtguard-soak-") as directory:
        return Run(tokens, seconds, seed, Path(directory)).go()
