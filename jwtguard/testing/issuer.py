"""An issuer of a test's own."""

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jwtguard.core.claims import Claims
from jwtguard.core.discovery import TENANT, discovery_address
from jwtguard.core.guard import Guard
from jwtguard.core.issuer import Issuer
from jwtguard.core.keyloader import JWKSet
from jwtguard.core.keys import KeySet
from jwtguard.core.model import Clock, Fetch, Fetched
from jwtguard.core.wording import as_list
from jwtguard.signing import PrivateKey, private_key, public_jwk, sign

from . import provider
from .shape import Shape, put
from .signin import SignIns
from .standing_in import (
    Following,
    chosen,
    clock_of,
    cookie_of,
    origin_of,
    stand_in,
    stood_in,
)


class FakeIssuer:
    """An issuer of your own::

        idp = FakeIssuer(audience="https://api.example.com")
        guard = Guard(issuers=[idp.trusted()])
        headers = {"Authorization": idp.bearer("alice", scopes="reports:read")}

    Or one in the place of another, for a guard as it is (:meth:`standing_in`).

    - ``issuer``, ``audience``: the ``iss`` and ``aud`` of its tokens; None leaves the claim out.
    - ``algorithm``: any ``alg`` that jwtguard knows; its key is made at the start and replaced
      by :meth:`rotate`. Making an RSA key takes a good part of a second, ES256 none.
    - ``name``: how rules call it; the issuer text where not given.
    - ``clock``: seconds since the epoch; give it the guard's where that one has its own.
    """

    def __init__(
        self,
        issuer: str | None = "https://issuer.test/",
        *,
        audience: str | Sequence[str] | None = "https://api.test",
        algorithm: str = "RS256",
        name: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.algorithm = algorithm
        self.name = name
        self.clock = clock
        self.down = False
        self._shape = Shape()
        self._origin: str | None = None
        self._cookie = "auth_token"
        self._served_at: str | None = None
        self._keys: list[tuple[str, PrivateKey]] = []
        self._opaque: dict[str, Claims] = {}
        self._revoked: set[str] = set()
        self.sign_ins = SignIns()
        self.rotate()

    def __repr__(self) -> str:
        return f"<FakeIssuer {self.issuer!r} {self.algorithm}>"

    # --- keys ---

    def rotate(self, *, keep: int = 1) -> str:
        """Sign with a fresh key from now on, and publish *keep* older ones beside it.

        Returns the new key's id. Tokens of a key that is no longer published are refused from
        the next request on, also those that were accepted before.
        """
        kid = f"test-{secrets.token_hex(4)}"
        self._keys = [(kid, private_key(self.algorithm)), *self._keys[:keep]]
        self._key_set = JWKSet(self.jwks()).current()
        if not self.down:
            self._last_seen = self._key_set
        return kid

    def jwks(self) -> dict[str, Any]:
        """The JWK Set that this issuer would publish."""
        return {
            "keys": [
                public_jwk(key, kid=kid, alg=self.algorithm, use="sig") for kid, key in self._keys
            ]
        }

    def key_set(self, *, last_seen: bool = False) -> KeySet:
        """The keys of the moment; *last_seen*: those that were published when it went down."""
        return self._last_seen if last_seen else self._key_set

    def public_pem(self) -> str:
        """The public key of the moment in PEM, to write into a ``public_key_file``."""
        key = self._keys[0][1]
        if isinstance(key, bytes):
            raise TypeError(f"{self.algorithm} has a secret, and no public key")
        return (
            key.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode("ascii")
        )

    # --- in front of a guard ---

    def trusted(self, **changes: Any) -> Issuer:
        """The `Issuer` to configure a guard with; it follows :meth:`rotate`.

        *changes* are words of `Issuer`, such as ``leeway=0`` or ``required_claims=[]``. The keys
        are at hand, as those in a file are: they know no outage.
        """
        words: dict[str, Any] = {
            "name": self.name,
            "audience": self.audience,
            "algorithms": [self.algorithm],
            "keys": Following(self),
        }
        return Issuer(self.issuer, **(words | changes))

    @classmethod
    @contextmanager
    def standing_in(
        cls,
        guard: Guard,
        name: str | None = None,
        *,
        tenant: str | None = None,
        clock: Clock | None = None,
    ) -> Iterator["FakeIssuer"]:
        """Be the issuer *name* of *guard* for the block; the guard's only issuer needs no name::

            with FakeIssuer.standing_in(guard, "people") as idp:
                client.get("/reports", headers={"Authorization": idp.bearer("alice")})

        Keys, and the introspection endpoint where there is one, are swapped; everything else
        stays: rules, ``iss``, audience, algorithms, ``typ``, ``require``. Tokens of *idp* are as
        the configuration wants them. Nobody is asked over the network. Within the block no token
        of the real issuer is accepted, after it none of *idp*, whatever was seen before.

        *tenant* is who sends the tokens of an issuer template, its first listed tenant where not
        given. *clock* is the guard's time for the block.

        Raises `errors.ConfigurationError` for a name that no issuer has, ValueError for a tenant
        that is missing or has no place.
        """
        original = chosen(guard, name)
        idp = cls(
            _iss(original, tenant),
            audience=None if original.audience is None else min(original.audience),
            algorithm=_quickest(original.algorithms),
            name=original.name,
            clock=clock or clock_of(guard),
        )
        idp._shape = Shape.of(original)
        idp._origin = origin_of(guard)
        idp._cookie = cookie_of(guard) or idp._cookie
        with stood_in(guard, original, stand_in(original, idp), clock):
            yield idp

    # --- tokens ---

    def token(
        self,
        sub: str | None = "alice",
        *,
        scopes: str | Iterable[str] | None = None,
        roles: str | Iterable[str] | None = None,
        expires: float = 3600,
        header: Mapping[str, Any] | None = None,
        key: PrivateKey | None = None,
        opaque: bool | None = None,
        **claims: Any,
    ) -> str:
        """A token, valid for *expires* seconds; where that is negative, long expired.

        *claims* are added, and a claim given as None is left out; *header* adds to the JOSE
        header; *key* signs instead of the issuer's own. An *opaque* token is no JWT: only the
        introspection endpoint knows what it means.
        """
        now = int(self.clock())
        given: Claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now,
            "exp": now + expires,
            "scope": scopes if scopes is None or isinstance(scopes, str) else " ".join(scopes),
        }
        full = self._shape.complete({k: v for k, v in given.items() if v is not None}, now)
        if roles is not None:
            put(full, self._shape.roles, as_list(roles))
        full = {k: v for k, v in (full | {"sub": sub} | claims).items() if v is not None}
        if self._shape.opaque if opaque is None else opaque:
            raw = secrets.token_urlsafe(24)
            self._opaque[raw] = full
            return raw
        kid, own_key = self._keys[0]
        said = {"kid": kid} if self._shape.typ is None else {"kid": kid, "typ": self._shape.typ}
        return sign(
            full, own_key if key is None else key, self.algorithm, {**said, **(header or {})}
        )

    def bearer(self, sub: str | None = "alice", **words: Any) -> str:
        """The value of an ``Authorization`` header with a :meth:`token`."""
        return f"Bearer {self.token(sub, **words)}"

    def cookie(
        self,
        sub: str | None = "alice",
        *,
        cookie: str | None = None,
        origin: str | None = None,
        **words: Any,
    ) -> dict[str, str]:
        """The headers that a browser sends with a :meth:`token` in a cookie: also ``Origin``.

        A browser sends cookies along with other sites' requests too, so a guard wants to see
        where an unsafe method or a WebSocket handshake comes from.

        - *cookie*: its name; where not given, the guard's own (:meth:`standing_in`), or
          ``auth_token``.
        - *origin*: the page's; where not given, the guard's ``public_url`` or the first of its
          ``origins`` (:meth:`standing_in`); without any, ``Sec-Fetch-Site: same-origin`` is sent.
        """
        page = origin or self._origin
        return {
            "Cookie": f"{cookie or self._cookie}={self.token(sub, **words)}",
            **({"Sec-Fetch-Site": "same-origin"} if page is None else {"Origin": page}),
        }

    def revoke(self, raw: str) -> None:
        """From now on the introspection endpoint says that this token is not active."""
        self._revoked.add(raw)

    # --- a provider ---

    @property
    def address(self) -> str:
        """Where its documents are: the server's while it is served, else the issuer's own."""
        own = self.issuer if self.issuer and "://" in self.issuer else "https://issuer.test"
        return self._served_at or own.rstrip("/")

    @property
    def discovery_url(self) -> str:
        """The address of the discovery document (OpenID Connect Discovery 1.0 section 4)."""
        return discovery_address(self.address)

    @property
    def jwks_uri(self) -> str:
        """The address of the JWK Set (RFC 7517 section 5)."""
        return f"{self.address}/jwks"

    @property
    def introspection_endpoint(self) -> str:
        """The address that tokens are asked about at (RFC 7662); every client may ask."""
        return f"{self.address}/introspect"

    def go_down(self) -> None:
        """Answer nobody any more. Who knows keys keeps them; new ones cannot be had."""
        self.down = True

    def come_back(self) -> None:
        """Answer again."""
        self.down = False
        self._last_seen = self._key_set

    def fetch(self, fetch: Fetch) -> Fetched:
        """What the provider answers, without a server: ``GuardMiddleware(app, guard, fetch=…)``.

        Discovery, keys and introspection at the addresses above; anything else is a 404. Raises
        `errors.FetchError` while it is down.
        """
        return provider.answered(self, fetch)

    async def afetch(self, fetch: Fetch) -> Fetched:
        """The same for the ASGI door."""
        return provider.answered(self, fetch)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Be a provider on a free port of 127.0.0.1 for the block; the address is what it gives.

        It is plain http, so who asks needs ``insecure_http=True``. Give it as ``issuer``, too,
        where discovery starts from there: ``idp.issuer = address``.
        """
        with provider.served(self) as address:
            self._served_at = address
            try:
                yield address
            finally:
                self._served_at = None

    def sign_in(self, address: str, sub: str = "alice", **claims: Any) -> str:
        """Somebody signs in, for a guard whose `jwtguard.Login` asks this provider::

            left = client.get("/auth/login?next=/reports")
            client.get(idp.sign_in(left.headers["Location"], "alice", roles=["editor"]))

        *address* is where the guard sent the browser; what comes back is where the provider sends
        it. *claims* are those of the id_token, as in :meth:`token`. Raises ValueError for another
        address.
        """
        return self.sign_ins.begin(str(self.issuer), address, sub, claims)

    def introspected(self, raw: str) -> Claims:
        """What the introspection endpoint says of a token (RFC 7662 section 2.2)."""
        claims = None if raw in self._revoked else self._known(raw)
        if claims is None:
            return {"active": False}
        exp = claims.get("exp")
        if isinstance(exp, (int, float)) and self.clock() >= exp:
            return {"active": False}
        return {"active": True, **claims}

    def _known(self, raw: str) -> Claims | None:
        return self._opaque.get(raw) or provider.own_claims(self, raw)


def _iss(issuer: Issuer, tenant: str | None) -> str | None:
    if issuer.issuer is None or TENANT not in issuer.issuer:
        if tenant is not None:
            raise ValueError(f"{issuer.name!r} is no template and has no tenants")
        return issuer.issuer
    listed = issuer.tenancy.listed
    if tenant is None and not listed:
        raise ValueError(f"{issuer.name!r} asks a function for its tenants: say tenant=…")
    return issuer.tenancy.spelling(tenant if tenant is not None else listed[0])


def _quickest(algorithms: Sequence[str]) -> str:
    """One that the issuer lists; RSA keys take long to make."""
    quick = [name for name in algorithms if name[:2] not in ("RS", "PS")]
    return (quick or [*algorithms, "ES256"])[0]
