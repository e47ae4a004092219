"""Revocations in Redis or Valkey: every process keeps a mirror that a stream feeds.

Three keys. ``…revoked`` is a sorted set of what was revoked (`lines`), by when it may be forgotten;
``…revoked:state`` a hash with the floors, a number for each piece of news, and an ``epoch``, by
which a mirror knows that this is what it has read; ``…revoked:news`` a stream of the last news,
numbered without gaps. Each has a mark of its own and names that of the one before.

A mirror reads the set, then the stream from the number that it saw before. Where the epoch is
another, or the news do not go on from what it has read, it reads the set again, and writes what it
knows itself and what is not there any more, such as after a restart without persistence, or where a
replica took over that had not heard the last of them.
"""

import json
import math
import secrets
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from jwtguard.core.claims import MAX_TIME
from jwtguard.core.errors import FetchError, Unavailable
from jwtguard.core.model import Ask, Flow
from jwtguard.core.revocation import MAX_ENTRIES, MAX_SKEW, Entry, RevokeWords, entry_of
from jwtguard.stores.server import Server

from .following import Following, log
from .lines import entry_in, line_of

if TYPE_CHECKING:
    from jwtguard.core.model import Clock

WAIT = 1.0  # seconds that the server is asked to wait for news
NEWS = 10_000  # pieces of news that the stream keeps
BATCH = 500  # entries that are written or read at a time

PUBLISH = f"""
local set, state, news = KEYS[1], KEYS[2], KEYS[3]
local now, most, given = tonumber(ARGV[1]), tonumber(ARGV[2]), cjson.decode(ARGV[3])
if redis.call('HSETNX', state, 'epoch', ARGV[4]) == 1 then redis.call('DEL', news) end
local function tell(word, text)
  local number = redis.call('HINCRBY', state, 'number', 1)
  local before = redis.call('HGET', state, 'mark') or ''
  local mark = ARGV[4] .. '-' .. number
  redis.call('HSET', state, 'mark', mark)
  redis.call('XADD', news, 'MAXLEN', {NEWS}, number .. '-0', word, text,
    'mark', mark, 'before', before)
end
local function raise(issuer, floor)
  local field = 'floor:' .. issuer
  local known = redis.call('HGET', state, field)
  if not known or tonumber(known) < floor then
    redis.call('HSET', state, field, string.format('%.3f', floor))
    tell('floor', cjson.encode({{issuer, floor}}))
  end
end
for _, one in ipairs(given.floors) do raise(one[1], one[2]) end
for _, one in ipairs(given.entries) do
  if redis.call('ZADD', set, 'NX', one[1], one[2]) == 1 then tell('entry', one[2]) end
end
redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
local excess = redis.call('ZCARD', set) - most
if excess > 0 then
  local gone = redis.call('ZPOPMIN', set, excess)
  for index = 1, #gone, 2 do
    local entry = cjson.decode(gone[index])
    raise(entry.issuer or '', entry.before or entry.kid and {MAX_TIME} or entry.at + {MAX_SKEW})
  end
end
"""


class RedisRevocations(Following):
    """What was revoked, shared by all processes that name the same Redis or Valkey.

    Each has all of it in memory, so that a request costs no question; a revocation reaches every
    process as fast as the server passes it on.

    - ``url``: such as ``redis://127.0.0.1:6379/0``, or ``rediss://…`` (TLS).
    - ``max_age``: seconds without a word of the server, 5 or more, after which ``when_stale``
      counts: "refuse" every token (503), or "allow" what is not known to be revoked. There is no
      default for either, as nobody else can choose between the two.
    - ``prefix``: what the keys begin with; who shares it shares revocations.
    - ``max_entries``: how much is remembered, there and here. ``clock``: seconds since the epoch.

    Problems are reported by `Guard`.
    """

    def __init__(
        self,
        url: str,
        *,
        max_age: float | None = None,
        when_stale: str | None = None,
        prefix: str = "jwtguard:",
        max_entries: int = MAX_ENTRIES,
        clock: "Clock" = time.time,
    ) -> None:
        super().__init__(
            max_age=max_age, when_stale=when_stale, max_entries=max_entries, clock=clock
        )
        self._server = Server(url)
        self._listening = Server(url, answer=WAIT + 0.5)
        self.problems = (*self._server.problems, *self.problems, *self._unsaid())
        self._keys = [prefix + name for name in ("revoked", "revoked:state", "revoked:news")]
        self._epoch: str | None = None  # of what was read; None: it must be read
        self._number, self._mark = 0, b""  # of the last piece of news that was read
        self._is_told = True  # whether the server knows what `revoke` was told

    def _unsaid(self) -> Iterable[tuple[str, str]]:
        if self.max_age is None:
            yield (
                "max_age",
                "is missing: for how many seconds may the server be silent before when_stale "
                "counts? Such as 60; a revocation may go unnoticed for so long",
            )
        if self.when_stale is None:
            yield (
                "when_stale",
                "is missing: where the server is silent for max_age seconds, 'refuse' answers 503 "
                "to every token, 'allow' goes on with what is known, so that what is revoked "
                "meanwhile is let in",
            )

    @property
    def source(self) -> str:
        """What is followed."""
        return f"redis at {self._server.place}"

    # --- writing ---

    def revoke(self, kind: str, value: str, **words: Unpack[RevokeWords]) -> Entry:
        """End tokens, in every process.

        As `Revocations.revoke`. Raises ValueError; Unavailable where the server could not be told:
        then this process refuses them, and tells it when it is back.
        """
        entry = self._revoked(kind, value, **words)
        try:
            self._server.ask(lambda client: self._publish(client, [entry]))
        except FetchError as error:
            raise self._not_told(error) from None
        return entry

    async def arevoke(self, kind: str, value: str, **words: Unpack[RevokeWords]) -> Entry:
        """`revoke`, on an event loop."""
        entry = self._revoked(kind, value, **words)
        try:
            await self._server.aask(lambda client: self._publish(client, [entry]))
        except FetchError as error:
            raise self._not_told(error) from None
        return entry

    def revoke_flow(self, kind: str, value: str, **words: Unpack[RevokeWords]) -> Flow[Entry]:
        """`revoke` in a flow."""
        told: Entry = yield Ask(
            partial(self.revoke, kind, value, **words),
            partial(self.arevoke, kind, value, **words),
        )
        return told

    def _revoked(self, kind: str, value: str, **words: Unpack[RevokeWords]) -> Entry:
        entry = entry_of(kind, value, now=self._clock(), **words)
        entry = entry_in(line_of(entry))  # as others will read it
        self.add([entry])
        return entry

    def _not_told(self, error: FetchError) -> Unavailable:
        self._is_told = False
        return Unavailable("revocation_not_stored", hint=str(error))

    def _publish(
        self, client: Any, entries: Iterable[Entry], floors: Iterable[tuple[str, float]] = ()
    ) -> None:
        given = {
            "entries": [[entry.rank, line_of(entry)] for entry in entries],
            "floors": list(floors),
        }
        now = self._clock()
        client.eval(
            PUBLISH, 3, *self._keys, now, self._max, json.dumps(given), secrets.token_hex(8)
        )

    # --- the mirror ---

    def step(self) -> float:
        """Wait a second at most for news; read everything where that is not enough."""
        if self._epoch is None or not self._is_told or not self._listening.ask(self._read_news):
            self._epoch, self._is_told = None, True
            self._epoch = self._listening.ask(self._read_all)
        self.heard()
        return 0.0

    def _read_all(self, client: Any) -> str:
        """Take what is there and write what is not; returns the epoch."""
        held, state, _ = self._keys
        self._publish(client, ())  # so that there is an epoch
        said = {name.decode(): value.decode() for name, value in client.hgetall(state).items()}
        for name, value in said.items():
            if name.startswith("floor:"):
                self.raise_floor(name.removeprefix("floor:") or None, _floor(float(value)))
        there: set[bytes] = set()
        cursor = None
        while cursor != 0:
            cursor, found = client.zscan(held, cursor or 0, count=BATCH)
            lines = [line for line, _ in found]
            there.update(lines)
            self.add(entry for entry in map(_understood, lines) if entry is not None)
        floors = self.floors
        untold = [entry for entry in self._alive(floors) if line_of(entry).encode() not in there]
        known = [(issuer or "", min(floor, MAX_TIME)) for issuer, floor in floors.items()]
        self._publish(client, (), known)
        for start in range(0, len(untold), BATCH):
            self._publish(client, untold[start : start + BATCH])
        self._number, self._mark = int(said.get("number", 0)), said.get("mark", "").encode()
        epoch: str = said["epoch"]
        return epoch

    def _alive(self, floors: Mapping[str | None, float]) -> Iterable[Entry]:
        """What is held and says more than the floors do."""
        now = self._clock()
        for entry in self.entries:
            floor = max(floors.get(of, -math.inf) for of in (entry.issuer, None))
            if now < entry.until and floor < entry.floor:
                yield entry

    def _read_news(self, client: Any) -> bool:
        """False where some of it is gone, or where this is not what was read."""
        _, state, news = self._keys
        epoch, there, mark = client.hmget(state, "epoch", "number", "mark")
        there = int(there or 0)
        if epoch is None or epoch.decode() != self._epoch or there < self._number:
            return False
        if there == self._number and (mark or b"") != self._mark:
            return False
        answer = client.xread({news: f"{self._number}-0"}, BATCH, round(WAIT * 1000))
        for _, items in answer or ():
            for identity, fields in items:
                number = int(identity.partition(b"-")[0])
                if fields.get(b"before") != self._mark:
                    return False
                if b"entry" in fields:
                    entry = _understood(fields[b"entry"])
                    self.add([entry] if entry else [])
                else:
                    issuer, floor = json.loads(fields[b"floor"])
                    self.raise_floor(issuer or None, _floor(floor))
                self._number, self._mark = number, fields[b"mark"]
        return bool(answer) or self._number >= there


def _floor(said: float) -> float:
    return math.inf if said >= MAX_TIME else said


def _understood(line: bytes) -> Entry | None:
    try:
        return entry_in(line)
    except ValueError as error:  # of a later version, or not ours
        log.error("a revocation in redis was not understood: %s", error)
        return None
