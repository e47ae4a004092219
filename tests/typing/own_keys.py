# pyright: strict
"""Key sources of one's own."""

import json
from collections.abc import Sequence

from jwtguard import Guard, Issuer, RemoteKeys, errors
from jwtguard.core import Fetch, Flow
from jwtguard.core.errors import Problem
from jwtguard.core.keyloader import KeySource, RemoteKeySource
from jwtguard.core.keys import KeySet, parse_jwk_set


class Known:
    """The smallest one."""

    problems: Sequence[Problem] = ()

    def __init__(self) -> None:
        self.keys = KeySet()

    def current(self) -> KeySet:
        return self.keys


class AskedFor(Known):
    """One that asks when it lacks a key."""

    def lookup(self, algorithm: str, kid: str | None) -> Flow[None]:
        answer = yield Fetch("https://keys.example/jwks")
        if answer.status != 200:
            raise errors.KeysUnavailable(retry_after=5)
        self.keys, _ = parse_jwk_set(json.loads(answer.body), symmetric=False)


source: KeySource = Known()
remote: RemoteKeySource = AskedFor()
fetched: RemoteKeySource = RemoteKeys("https://keys.example/jwks")

guard = Guard(
    [Issuer("https://a.example", audience=None, algorithms=["ES256"], keys=[source, remote])]
)
