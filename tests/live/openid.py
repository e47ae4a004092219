"""npm's oidc-provider, a certified OpenID provider, in a process of its own on loopback."""

import contextlib
import json
import os
import random
import select
import shutil
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx2
import pytest
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from jwtguard.signing import private_key, public_jwk

from .certificate import Certificate
from .servers import START

HERE = Path(__file__).with_name("provider")
INSTALL = "in tests/live/provider: npm install --no-package-lock --no-audit --no-fund"

API = "https://api.example.com/"
RESOURCES: dict[str, dict[str, Any]] = {
    API + "RS256": {"alg": "RS256"},
    API + "ES256": {"alg": "ES256"},
    API + "Ed25519": {"alg": "Ed25519"},
    API + "short": {"alg": "ES256", "ttl": 2},
    API + "kept": {"alg": "ES256", "kept": True},
    API + "opaque": {},
    API + "opaque-short": {"ttl": 2},
}
"""What the provider issues tokens for, and how: see provider.mjs."""

_FAMILIES = {"RS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}


def private_jwk(algorithm: str, kid: str) -> dict[str, Any]:
    """A fresh private key as the provider wants it."""
    jwk = _FAMILIES[algorithm[:2]].to_jwk(private_key(algorithm), as_dict=True)
    jwk.pop("key_ops", None)  # the provider would publish it, and "sign" is not for a public key
    return jwk | {"kid": kid, "alg": algorithm}


CLIENT_KEYS = {f"jwt-{name}": private_key(name) for name in ("RS256", "ES256", "EdDSA")}
"""With what the clients of private_key_jwt authenticate themselves."""

NAMES = ("worker", "stranger", "basic", "post")
SECRETS = {name: f"{name} s%cret: with+odd&characters=" for name in NAMES}
"""Of the clients that have one; RFC 6749 section 2.3.1 says how to send such characters."""


def _clients() -> list[dict[str, Any]]:
    common = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    own: dict[str, dict[str, Any]] = {
        name: {
            "client_secret": secret,
            "token_endpoint_auth_method": f"client_secret_{'post' if name == 'post' else 'basic'}",
        }
        for name, secret in SECRETS.items()
    }
    for name, key in CLIENT_KEYS.items():
        own[name] = {
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": name.removeprefix("jwt-"),
            "jwks": {"keys": [public_jwk(key)]},
        }
    return [common | {"client_id": name} | members for name, members in own.items()]


def _missing() -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    if not (HERE / "node_modules" / "oidc-provider").is_dir():
        return f"oidc-provider is not installed ({INSTALL})"
    return None


def _free_port() -> int:
    """One that stays free while the provider is down: below those that the system gives away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def provider(
    directory: Path, *keys: dict[str, Any], certificate: Certificate | None = None, **settings: Any
) -> Iterator["OpenID"]:
    """Run a provider with these keys until the block ends, on https where it has a *certificate*.

    The *settings* are provider.mjs's. Skips with the reason where a program is missing, or fails
    where it must not be.
    """
    if (why := _missing()) is not None:
        if os.environ.get("JWTGUARD_LIVE") == "required":
            pytest.fail(f"{why}, and JWTGUARD_LIVE=required")
        pytest.skip(why)
    running = OpenID(directory / "provider.log", list(keys), certificate, settings)
    try:
        yield running
    finally:
        running.close()


class OpenID:
    """The provider. Its port and issuer stay the same when it is stopped and started again."""

    def __init__(
        self,
        log: Path,
        keys: list[dict[str, Any]],
        certificate: Certificate | None,
        settings: dict[str, Any],
    ) -> None:
        self.keys = keys
        self._clients = _clients()
        self._certificate = certificate
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.port = _free_port()
        self._http = httpx2.Client(trust_env=False, verify=False, timeout=10)
        self.start()

    @property
    def issuer(self) -> str:
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self.port}"

    @property
    def jwks_uri(self) -> str:
        return f"{self.issuer}/jwks"

    def start(self) -> None:
        environment, tls = dict(os.environ), None
        if self._certificate is not None:
            environment["NODE_EXTRA_CA_CERTS"] = str(self._certificate.authority)
            chain, key = self._certificate.chain.read_text(), self._certificate.key.read_text()
            tls = {"cert": chain, "key": key}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["node", "provider.mjs"],
                cwd=HERE,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._tell(
            port=self.port,
            keys=self.keys,
            clients=self._clients,
            inspectors=["basic", "post", *CLIENT_KEYS],
            resources=RESOURCES,
            tls=tls,
            **self._settings,
        )

    def stop(self) -> None:
        """End it as an outage would: at once, with connections open."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def close(self) -> None:
        self.stop()
        self._http.close()

    def tell(self, **settings: Any) -> None:
        """Change settings of the running provider: see provider.mjs."""
        self.keys = settings.get("keys", self.keys)
        self._tell(**settings)

    def register(self, client_id: str, **metadata: Any) -> None:
        """Add a client, or change one (OpenID Connect Dynamic Client Registration 1.0)."""
        others = [client for client in self._clients if client["client_id"] != client_id]
        self._clients = [*others, {"client_id": client_id} | metadata]
        self._tell(clients=self._clients)

    def hits(self, path: str = "/jwks") -> int:
        """How often *path* was asked for, since the provider was started."""
        return self._tell().get(path, 0)

    def _tell(self, **settings: Any) -> dict[str, int]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], START)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            pytest.fail(f"the provider ended, or says nothing: {self._log.read_text()}")
        hits: dict[str, int] = json.loads(line)
        return hits

    # --- what the client "worker" does ---

    def token(self, resource: str) -> str:
        """An access token for API + *resource*, by the client credentials grant."""
        words = {"grant_type": "client_credentials", "scope": "read", "resource": API + resource}
        token: str = self._post("/token", **words).json()["access_token"]
        return token

    def revoke(self, token: str) -> None:
        self._post("/token/revocation", token=token)

    def document(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(self.issuer + path).json()
        return answer

    def _post(self, path: str, **form: str) -> httpx2.Response:
        pair = f"worker:{quote_plus(SECRETS['worker'])}"
        headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        answer = self._http.post(self.issuer + path, data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer
