"""Requests of every kind, each with what may become of it."""

import itertools
import random
import time
from collections import deque
from dataclasses import dataclass, field, replace

from jwtguard.core.jose import base64url_encode
from jwtguard.signing import PrivateKey, private_key, sign

from .guarded import AUDIENCE, PEOPLE_ISS
from .provider import PARTNERS, Provider

HOT = 64  # tokens that are sent again and again
NO_TOKEN = ""

# Of a hundred requests, how many.
MIX = {
    "new": 40,
    "seen": 26,
    "no role": 2,
    "role": 3,
    "public": 3,
    "none": 1,
    "expired": 4,
    "not yet": 1,
    "bad signature": 5,
    "alg none": 2,
    "garbage": 3,
    "wrong issuer": 2,
    "wrong audience": 2,
    "unknown key": 1,
    "attacker's key": 2,
    "revoked": 2,
    "withdrawn key": 1,
}
REVOKING = "until revoked"
VALID = frozenset({"new", "seen", "role", REVOKING})
ONCE = frozenset(MIX) - {"seen", "revoked", "withdrawn key", "none", "public"}  # a token each


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    kind: str
    path: str
    raw: str
    user: str = "-"  # whom the app must be shown, if anybody
    issuer: str = "people"
    kid: str = ""
    claims: dict[str, object] = field(default_factory=dict)


class Tokens:
    """Makes them, signed with the provider's keys."""

    def __init__(self, provider: Provider, seed: int) -> None:
        self.random = random.Random(seed)
        self.made = 0  # distinct ones that were handed out
        self.revoked: deque[Asked] = deque(maxlen=256)
        self.withdrawn: deque[Asked] = deque(maxlen=256)
        self._provider = provider
        self._number = itertools.count(1)
        self._unknown = private_key("ES256")
        self._kinds = random.Random(seed + 1).choices(list(MIX), list(MIX.values()), k=10_007)
        self._turn = 0
        self.sign_with("")

    def sign_with(self, kid: str) -> None:
        """From now on, with this key; tokens of the last one are as good as their key."""
        self.kid = kid
        self.hot = [self.valid("seen") for _ in range(HOT)] if kid else []
        # Else they would be refused for their key.
        self.revoked = deque(map(self.again, self.revoked), self.revoked.maxlen)

    def next(self) -> Asked:
        """The next request."""
        kind = self._kinds[self._turn % len(self._kinds)]
        self._turn += 1
        if kind == "seen" or (kind == "revoked" and not self.revoked):
            return self.random.choice(self.hot)
        if kind == "revoked":
            return self.random.choice(self.revoked)
        if kind == "withdrawn key":
            if not self.withdrawn:
                return self.random.choice(self.hot)
            return self.random.choice(self.withdrawn)
        self.made += kind in ONCE
        if kind in VALID:
            return self.valid(kind, roles=["admin"] if kind == "role" else [])
        return self._bad(kind)

    def valid(self, kind: str, **claims: object) -> Asked:
        """A good token that was never sent."""
        user, issuer = self._someone()
        path = "/admin/x" if kind in ("role", "no role") else f"/things/{next(self._number) % 997}"
        return self._signed(kind, path, user, issuer, claims)

    def again(self, asked: Asked) -> Asked:
        """The same claims, signed with the key of the moment."""
        if asked.kid == self.kid:
            return asked
        raw = sign(asked.claims, self._provider.keys[self.kid], "ES256", {"kid": self.kid})
        return replace(asked, raw=raw, kid=self.kid)

    def _someone(self) -> tuple[str, str]:
        # A name says whose it is, so that the app's answer shows a mix-up.
        issuer = "partners" if self.random.random() < 0.3 else "people"
        return f"{issuer}-{next(self._number)}", issuer

    def _signed(
        self,
        kind: str,
        path: str,
        user: str,
        issuer: str,
        claims: dict[str, object],
        key: PrivateKey | None = None,
        header: dict[str, str] | None = None,
    ) -> Asked:
        now = int(time.time())
        iss = PEOPLE_ISS if issuer == "people" else self._provider.url + PARTNERS
        said = {"iss": iss, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 3600} | claims
        head = {"kid": self.kid} | (header or {})
        raw = sign(said, key or self._provider.keys[self.kid], "ES256", head)
        return Asked(kind, path, raw, user, issuer, head["kid"], said)

    def _bad(self, kind: str) -> Asked:
        path = "/things/bad"
        if kind == "no role":
            return self.valid(kind)
        if kind == "public":
            return Asked(kind, "/public/page", NO_TOKEN)
        if kind == "none":
            return Asked(kind, path, NO_TOKEN)
        if kind == "garbage":
            return Asked(kind, path, self._garbage())
        user, issuer = self._someone()
        now = int(time.time())
        claims: dict[str, object] = {}
        key, header = None, {}
        match kind:
            case "expired":
                claims = {"exp": now - self.random.randint(30, 9000)}
            case "not yet":
                claims = {"nbf": now + 600}
            case "wrong issuer":
                claims = {"iss": f"https://{self.random.random()}.test/"}
            case "wrong audience":
                claims = {"aud": "https://other.test"}
            case "unknown key":
                key, header = self._unknown, {"kid": user}
            case "attacker's key":
                # By its own name, and by that of a good key.
                key = self._provider.attacker
                header = {"kid": self.random.choice(["attacker", self.kid])}
            case "alg none":
                header = {"alg": self.random.choice(["none", "None"])}
        asked = self._signed(kind, path, user, issuer, claims, key, header)
        if kind == "bad signature":
            forged = base64url_encode(self.random.randbytes(64)).decode()
            asked = replace(asked, raw=f"{asked.raw.rpartition('.')[0]}.{forged}")
        return asked

    def _garbage(self) -> str:
        pick = self.random.random()
        noise = base64url_encode(self.random.randbytes(self.random.randint(1, 400))).decode()
        if pick < 0.3:
            return noise
        if pick < 0.6:
            return f"{noise}.{noise}.{noise}"
        if pick < 0.9:
            good = self.valid("new").raw
            cut = self.random.randrange(len(good))
            return good[:cut] or "x"
        return "A" * self.random.randint(16_000, 20_000)
