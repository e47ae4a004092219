"""Where keys come from.

A source holds one immutable :class:`KeySet` and swaps it whole; whoever verified a token with a
key can ask later whether that key still stands (:meth:`KeySource.current`). Nothing here touches
a file or the network: a source that must ask for its keys does so in its
:meth:`~RemoteKeySource.lookup` flow.
"""

import logging
from base64 import b64decode
from binascii import Error as Base64Error
from binascii import unhexlify
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from .algorithms import ALGORITHMS, names_for
from .disguise import not_a_secret
from .errors import FetchError, Problem, Unavailable
from .jose import base64url_decode
from .keys import Key, KeySet, Loaded, kid_problems, parse_jwk_set, public_key
from .model import Flow

log = logging.getLogger("jwtguard.keys")


@runtime_checkable
class KeySource(Protocol):
    """Where an issuer's keys come from.

    ``problems`` are the configuration problems found when it was made. An implementor need not
    copy, lock or cache: `current` returns an immutable set, the same object for as long as
    nothing changed.
    """

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with its configuration."""
        ...

    def current(self) -> KeySet:
        """The keys known now. Never waits, never raises."""
        ...


@runtime_checkable
class RemoteKeySource(KeySource, Protocol):
    """A key source that can ask somebody for keys it does not have."""

    def lookup(self, algorithm: str, kid: str | None) -> Flow[None]:
        """Do what it takes to know this key; afterwards `current` has it, if it exists.

        Asked only for a token that passed every cheap check and has no key in `current`. Raises
        `errors.FetchError` or `errors.KeysUnavailable` where the keys could not be had.
        """
        ...


@runtime_checkable
class RefreshingKeySource(RemoteKeySource, Protocol):
    """A remote key source whose keys grow old."""

    def due(self) -> bool:
        """Whether `refresh` should be begun now, so that no request has to wait later."""
        ...

    def refresh(self) -> Flow[None]:
        """Ask for the keys again, or for the first time. Raises nothing for an outage.

        From the call on, before the flow is begun, `due` is False.
        """
        ...


class LocalKeys:
    """A :class:`KeySource` whose keys are at hand."""

    def __init__(self, keys: KeySet, problems: Iterable[Problem] = ()) -> None:
        self._keys = keys
        self.problems: Sequence[Problem] = tuple(problems)

    def current(self) -> KeySet:
        """The keys known now."""
        return self._keys

    def __repr__(self) -> str:
        return f"<{type(self).__name__} keys={len(self.current())}>"


class Secret(LocalKeys):
    """An HMAC secret (RFC 7518 section 3.2) for HS256, HS384 or HS512.

    ``encoding`` says how *value* is written: "utf8" (as it stands), "hex", "base64" or
    "base64url". A secret must have at least as many bytes as the hash (32, 48, 64);
    ``insecure_short_keys=True`` lifts that. Problems are reported by `Guard`.
    """

    def __init__(
        self,
        value: str | bytes,
        encoding: str = "utf8",
        kid: str | None = None,
        insecure_short_keys: bool = False,
    ) -> None:
        self.insecure = insecure_short_keys
        keys, problems = secret_key(value, encoding, kid, insecure_short_keys)
        super().__init__(keys, problems)


class PublicKey(LocalKeys):
    """A public key (RSA, EC, Ed25519 or Ed448), in PEM: a key or an X.509 certificate."""

    @classmethod
    def from_pem(
        cls, text: str | bytes, kid: str | None = None, *, insecure_short_keys: bool = False
    ) -> "PublicKey":
        """The key in *text*. Problems are reported by `Guard`."""
        return cls(*public_key(text, kid, insecure_short_keys), insecure=insecure_short_keys)

    def __init__(
        self, keys: KeySet, problems: Iterable[Problem] = (), *, insecure: bool = False
    ) -> None:
        self.insecure = insecure
        super().__init__(keys, problems)


class JWKSet(LocalKeys):
    """A JWK Set (RFC 7517 section 5) given as a mapping; a single JWK is a set of one.

    A key that cannot be used is skipped and logged, a key id that stands twice is disabled; a
    set without any usable key is a problem, reported by `Guard`.
    """

    def __init__(self, mapping: Mapping[str, Any], *, insecure_short_keys: bool = False) -> None:
        self.insecure = insecure_short_keys
        keys, problems = local_key_set(mapping, insecure_short_keys)
        super().__init__(keys, problems)


class SeveralSources:
    """A list of sources as one, so that old and new keys stand side by side (rotation)."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self.sources = tuple(sources)
        self.problems: Sequence[Problem] = [
            (f"[{index}].{where}", what)
            for index, source in enumerate(self.sources)
            for where, what in source.problems
        ]
        self._merged: tuple[list[KeySet], KeySet] = ([], KeySet())

    def current(self) -> KeySet:
        """The keys of all sources; the same object while none of them changed."""
        sets = [source.current() for source in self.sources]
        known, merged = self._merged
        if len(known) != len(sets) or any(a is not b for a, b in zip(known, sets, strict=True)):
            merged = KeySet(
                (key for one in sets for key in one.keys),
                (kid for one in sets for kid in one.disabled),
            )
            self._merged = sets, merged
        return merged


class SeveralRemoteSources(SeveralSources):
    """The same where some of the sources must ask."""

    def lookup(self, algorithm: str, kid: str | None) -> Flow[None]:
        """Ask one source after the other until one has a key for this token."""
        failed: Exception | None = None
        for source in self.sources:
            if isinstance(source, RemoteKeySource):
                try:
                    yield from source.lookup(algorithm, kid)
                except (FetchError, Unavailable) as error:
                    failed = failed or error  # the next one may have the key
                if source.current().find(algorithm, kid):
                    return
        if failed is not None:
            raise failed

    def due(self) -> bool:
        """Whether one of the sources is due."""
        return any(source.due() for source in self._refreshing())

    def refresh(self) -> Flow[None]:
        """Refresh those that are due, or all where none has keys."""
        sources = list(self._refreshing())
        chosen = [source for source in sources if source.due()]
        if not chosen and not self.current().keys:
            chosen = sources
        return _one_by_one([source.refresh() for source in chosen])

    def _refreshing(self) -> Iterable[RefreshingKeySource]:
        return (source for source in self.sources if isinstance(source, RefreshingKeySource))


def _one_by_one(flows: Iterable[Flow[None]]) -> Flow[None]:
    for flow in flows:
        yield from flow


AnyKeys = KeySource | Sequence[KeySource]


def as_source(keys: AnyKeys) -> KeySource:
    """One source or a list of them, as one source."""
    for key in keys if isinstance(keys, (list, tuple)) else [keys]:
        if not isinstance(key, KeySource):
            what = (
                "is a Secret, PublicKey, JWKSet, RemoteKeys or Discovery, or a list of them; "
                f"found {type(key).__name__}"
            )
            return LocalKeys(KeySet(), [("", what)])
    if not isinstance(keys, Sequence):
        return keys
    if len(keys) == 1:
        return keys[0]
    remote = any(isinstance(source, RemoteKeySource) for source in keys)
    return SeveralRemoteSources(keys) if remote else SeveralSources(keys)


ENCODINGS = ("utf8", "hex", "base64", "base64url")


def secret_key(
    value: str | bytes, encoding: str, kid: str | None, insecure_short_keys: bool
) -> Loaded:
    """The key in *value*, or why there is none."""
    if problems := kid_problems(kid):
        return KeySet(), problems
    if not isinstance(value, str | bytes):
        return KeySet(), [("value", f"a secret is text or bytes, not {type(value).__name__}")]
    try:
        material = _decode_secret(value, encoding)
    except ValueError as error:
        return KeySet(), [("value", str(error))]
    if not material:
        return KeySet(), [("value", "the secret is empty")]
    if complaint := not_a_secret(material):
        return KeySet(), [("value", complaint)]
    if not isinstance(insecure_short_keys, bool):
        return KeySet(), [("insecure_short_keys", "is true or false")]
    least = 1 if insecure_short_keys else 0
    served = frozenset(
        name for name in names_for("oct") if len(material) >= (least or ALGORITHMS[name].hash_bytes)
    )
    if not served:
        return KeySet(), [
            (
                "value",
                f"the secret has {len(material)} bytes; HS256 needs at least 32, HS384 48, HS512 "
                "64 (RFC 7518 section 3.2). `jwtguard keygen HS256` makes a good one; "
                "insecure_short_keys = true lifts the check",
            )
        ]
    return KeySet([Key(material, "oct", served, kid)]), []


def _decode_secret(value: str | bytes, encoding: str) -> bytes:
    if encoding == "utf8":
        try:
            return value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError:
            raise ValueError("is not text that UTF-8 can write; give bytes") from None
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    text = text.strip()
    try:
        if encoding == "hex":
            return unhexlify(text)
        if encoding == "base64":
            return b64decode(text.encode(), validate=True)
        if encoding == "base64url":
            return base64url_decode(text.rstrip("=").encode())
    except (ValueError, Base64Error):
        wanted = {
            "hex": "an even number of hexadecimal digits",
            "base64": "base64 with padding (RFC 4648 section 4)",
            "base64url": "base64url (RFC 4648 section 5)",
        }
        raise ValueError(
            f"is not {wanted[encoding]}; if it is meant as it stands, use encoding = 'utf8'"
        ) from None
    raise ValueError(f"the encoding is unknown; use one of {', '.join(ENCODINGS)}")


def local_key_set(mapping: Mapping[str, Any], insecure_short_keys: bool = False) -> Loaded:
    """The usable keys of a set that the user wrote down, or why there are none."""
    try:
        keys, skipped = parse_jwk_set(
            mapping, symmetric=True, insecure_short_keys=insecure_short_keys
        )
    except ValueError as error:
        return KeySet(), [("jwks", str(error))]
    for note in skipped:
        log.warning("skipped a key of a JWK Set: %s", note)
    if not keys.keys:
        why = "; ".join(skipped) or "it is empty"
        return keys, [("jwks", f"the JWK Set has no usable key: {why}")]
    return keys, []
