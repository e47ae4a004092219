"""``jwtguard verify``, ``inspect`` and ``token``."""

import json
import secrets
import sys
import time
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from jwtguard.core.algorithms import ALGORITHMS, same_algorithm
from jwtguard.core.claims import MAX_TIME, Claims
from jwtguard.core.errors import AuthError
from jwtguard.core.issuer import Issuer
from jwtguard.core.jose import base64url_decode, json_object, parse
from jwtguard.core.keys import Key, public_key
from jwtguard.guard import Guard
from jwtguard.signing import PrivateKey, sign

from .checking import find
from .keys import public_pem
from .output import WrongUse, complain, facts
from .sources import need_transport


def read_token(word: str) -> str:
    """The token in an argument, or on stdin where that is ``-``."""
    if word != "-":
        return word
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        return "\ufffd"  # no token holds one


# --- verify -------------------------------------------------------------------------------------


def verify(given: Namespace) -> int:
    """The claims on stdout and 0, or the reason on stderr and 1."""
    guard = find(given.target)
    try:
        verified = guard.verify(read_token(given.token))
    except AuthError as error:
        need_transport(error)
        complain(f"refused: {facts(error)}")
        return 1
    print(json.dumps(verified.claims, indent=2, sort_keys=True))
    return 0


# --- inspect ------------------------------------------------------------------------------------


def inspect(given: Namespace) -> int:
    """Header and claims as JSON on stdout and 0, or 1 where it is no JWT."""
    raw = read_token(given.token)
    try:
        header, claims = unverified(raw)
    except ValueError as error:
        complain(f"this is no JWT: {error}")
        return 1
    complain("unverified: anybody can write such a token")
    try:
        parse(raw)
    except AuthError as error:
        complain(f"a guard would refuse it: {facts(error)}")
    times = {name: when(claims[name]) for name in ("exp", "nbf", "iat") if _is_time(claims, name)}
    print(
        json.dumps(
            {"verified": False, "header": header, "claims": claims, "times": times}, indent=2
        )
    )
    return 0


def unverified(raw: str) -> tuple[Claims, Claims]:
    """Header and claims. Raises ValueError; its text quotes nothing of the token."""
    parts = raw.split(".")
    if len(parts) == 5:
        raise ValueError("five parts are an encrypted token (JWE)")
    if len(parts) != 3:
        raise ValueError(f"it has {len(parts)} parts where a signed token has three")
    found = []
    for name, part in zip(("header", "payload"), parts, strict=False):
        try:
            found.append(json_object(base64url_decode(part.encode("ascii"))))
        except ValueError:
            raise ValueError(f"its {name} is no JSON object in base64url") from None
    return found[0], found[1]


def _is_time(claims: Claims, name: str) -> bool:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value <= MAX_TIME


def when(seconds: float, now: float | None = None) -> str:
    """A time since the epoch for people: in UTC, and how far from now."""
    now = time.time() if now is None else now
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    distance = abs(seconds - now)
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    unit, length = next((u for u in units if distance >= 2 * u[1]), units[-1])
    number = int(distance // length)
    text = f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{moment} ({f'in {text}' if seconds > now else f'{text} ago'})"


# --- token --------------------------------------------------------------------------------------


def token(given: Namespace) -> int:
    """Mint a token; it alone goes to stdout."""
    guard = find(given.target)
    issuer = _issuer(guard, given.issuer)
    claims = _claims(issuer, given)
    algorithm, kid, key = _own_secret(issuer) if given.key is None else _pair(issuer, given.key)
    kid = kid if given.kid is None else given.kid
    if kid is None and issuer.fetches:
        complain(
            f"note: the token names no key, as the keys of issuer {issuer.name} are fetched; "
            "--kid says which it is"
        )
    header = {"kid": kid, "typ": issuer.typ}
    minted = sign(
        claims, key, algorithm, {name: text for name, text in header.items() if text is not None}
    )
    try:
        guard.verify(minted, issuers=[issuer.name])
    except AuthError as error:
        complain(f"note: the guard will refuse this token: {facts(error)}")
    print(minted)
    return 0


def _issuer(guard: Guard, name: str | None) -> Issuer:
    names = ", ".join(issuer.name for issuer in guard.issuers)
    chosen = [issuer for issuer in guard.issuers if name in (None, issuer.name)]
    if not chosen:
        raise WrongUse(f"--issuer: no issuer has that name; there are {names}")
    if len(chosen) > 1:
        raise WrongUse(f"there are several issuers; choose with --issuer: {names}")
    return chosen[0]


def _claims(issuer: Issuer, given: Namespace) -> Claims:
    now = int(time.time())
    audience = sorted(issuer.audience or ())
    claims: Claims = {
        "iss": next(iter(issuer.spellings), None),
        "sub": given.sub,
        "aud": audience[0] if len(audience) == 1 else audience or None,
        "iat": now,
        "exp": now + given.expires,
    }
    if "jti" in issuer.required_claims:
        claims["jti"] = secrets.token_hex(8)
    if "nbf" in issuer.required_claims:
        claims["nbf"] = now
    for text in given.claim:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise WrongUse("--claim takes a name and a JSON value, as in --claim roles='[\"a\"]'")
        claims[name] = _value(name, value)
    return {name: value for name, value in claims.items() if value is not None}


def _value(name: str, text: str) -> Any:
    """JSON; a word that does not even begin like JSON is text, to spare people the quotes."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        if text.lstrip()[:1] in ("{", "[", '"'):
            raise WrongUse(f"--claim {name}: the value begins like JSON but is none") from None
        return text


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_Signer = tuple[str, str | None, PrivateKey]
"""Algorithm, key id and key."""


def _own_secret(issuer: Issuer) -> _Signer:
    for name in issuer.algorithms:
        for key in issuer.source.current().keys:
            if ALGORITHMS[name].symmetric and name in key.algorithms:
                return name, key.kid, key.material
    raise WrongUse(
        f"issuer {issuer.name} has public keys only, which cannot sign; give the private one with "
        "--key private.pem (`jwtguard keygen` makes a pair)"
    )


def _pair(issuer: Issuer, path: str) -> _Signer:
    """The private key in a file, and how it, or the issuer, calls its public half."""
    private, jwk = _private(path)
    keys, problems = public_key(public_pem(private), None, True)
    if problems:
        raise WrongUse(f"--key {path} {problems[0][1]}")
    mine = keys.keys[0]
    served = mine.algorithms
    if jwk.get("alg") in served:
        served &= same_algorithm(jwk["alg"])
    fitting = [name for name in issuer.algorithms if name in served]
    if not fitting:
        raise WrongUse(
            f"--key {path} serves {', '.join(sorted(served))}; issuer {issuer.name} "
            f"signs with {', '.join(issuer.algorithms)}"
        )
    return fitting[0], jwk.get("kid") or _kid(issuer, mine), private


def _private(path: str) -> tuple[Any, Claims]:
    """The private key in a file, and the JWK where it is one."""
    try:
        data = Path(path).read_bytes()
        if data.lstrip()[:1] == b"{":
            return _of_jwk(json_object(data))
        return load_pem_private_key(data, None), {}
    except OSError as error:
        raise WrongUse(f"--key {path}: {error.strerror or error}") from None
    except TypeError:
        raise WrongUse(f"--key {path} is encrypted; decrypt it first") from None
    except (ValueError, UnsupportedAlgorithm):
        raise WrongUse(f"--key {path} is not a private key, in PEM or as a JWK") from None


def _of_jwk(jwk: Claims) -> tuple[Any, Claims]:
    """Raises ValueError."""
    try:
        private = _JWK_TYPES[jwk["kty"]](jwk)
    except (PyJWTError, AttributeError, KeyError, OverflowError, TypeError):
        raise ValueError("not a JWK") from None
    if not hasattr(private, "private_bytes"):
        raise ValueError("a public key")
    return private, {name: jwk[name] for name in ("alg", "kid") if isinstance(jwk.get(name), str)}


_JWK_TYPES: dict[str, Any] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


def _kid(issuer: Issuer, mine: Key) -> str | None:
    for source in issuer.sources:
        for known in source.current().keys:
            if not isinstance(known.material, bytes) and public_pem(known.material) == public_pem(
                mine.material
            ):
                return known.kid
    return None
