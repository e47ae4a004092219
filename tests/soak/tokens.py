"""Requests of every kind, each with what may become of it."""

import itertools
import random
import time
from collections import deque
from dataclasses import dataclass

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
VALID = frozenset({"new", "seen", "role"})
ONCE = frozenset(MIX) - {"seen", "revoked", "withdrawn key", "none", "public"}  # a token each


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    kind: str
    path: str
    raw: str
    user: str = "-"  # whom the app must be shown, if anybody
    issuer: str = "people"
    sid: str = ""
    kid: str = ""


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
        return Asked(kind, path, *self._signed(user, issuer, **claims))

    def _someone(self) -> tuple[str, str]:
        # A name says whose it is, so that the app's answer shows a mix-up.
        issuer = "partners" if self.random.random() < 0.3 else "people"
        return f"{issuer}-{next(self._number)}", issuer

    def _signed(
        self,
        user: str,
        issuer: str,
        key: PrivateKey | None = None,
        header: dict[str, str] | None = None,
        **claims: object,
    ) -> tuple[str, str, str, str, str]:
        now = int(time.time())
        iss = PEOPLE_ISS if issuer == "people" else self._provider.url + PARTNERS
        said = {"iss": iss, "aud": AUDIENCE, "sub": user, "sid": f"s-{user}", "iat": now}
        head = {"kid": self.kid, **(header or {})}
        raw = sign(
            said | {"exp": now + 3600} | claims,
            key or self._provider.keys[self.kid],
            "ES256",
            head,
        )
        return raw, user, issuer, f"s-{user}", head["kid"]

    def _bad(self, kind: str) -> Asked:
        path = "/things/bad"
        if kind == "no role":
            return self.valid(kind)
        if kind == "public":
            return Asked(kind, "/public/page", NO_TOKEN)
        if kind == "none":
            return Asked(kind, path, NO_TOKEN)
        user, issuer = self._someone()
        now = int(time.time())
        signed = self._signed
        match kind:
            case "expired":
                found = signed(user, issuer, exp=now - self.random.randint(30, 9000))
            case "not yet":
                found = signed(user, issuer, nbf=now + 600)
            case "wrong issuer":
                found = signed(user, issuer, iss=f"https://{self.random.random()}.test/")
            case "wrong audience":
                found = signed(user, issuer, aud="https://other.test")
            case "unknown key":
                found = signed(user, issuer, self._unknown, {"kid": user})
            case "attacker's key":
                # By its own name, and by that of a good key.
                kid = self.random.choice(["attacker", self.kid])
                found = signed(user, issuer, self._provider.attacker, {"kid": kid})
            case "alg none":
                found = signed(user, issuer, None, {"alg": self.random.choice(["none", "None"])})
            case "bad signature":
                raw, *rest = signed(user, issuer)
                head, claims, _ = raw.split(".")
                forged = base64url_encode(self.random.randbytes(64)).decode()
                found = (f"{head}.{claims}.{forged}", *rest)
            case _:
                return Asked(kind, path, self._garbage())
        return Asked(kind, path, *found)

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
