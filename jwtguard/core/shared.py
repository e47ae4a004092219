"""What processes tell each other through a store: answers of introspection, and what was used."""

import hashlib
import json
from contextlib import suppress
from typing import NamedTuple

from .claims import Claims
from .errors import FetchError, Unavailable
from .introspection import Introspection
from .jose import json_object
from .model import Ask, Flow
from .store import Store


class Answer(NamedTuple):
    """What introspection said of a good token, when it was asked, and whether to remember it."""

    claims: Claims
    asked_at: float
    is_kept: bool


class SharedAnswers:
    """Answers of introspection, so that one process asks for all.

    They are remembered no longer than without it: what counts is when the server was asked. A
    store that does not answer costs the question to the server, and nothing else.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def recall(self, introspection: Introspection, raw: str, now: float) -> Flow[Answer | None]:
        """What another process was told of this token, if that still counts."""
        introspection.check(raw)
        name = _name(introspection, raw)
        try:
            found = yield Ask(self._store.get, self._store.aget, (name,))
            if found is None:
                return None
            kept = json_object(found)
            asked_at, claims = kept["asked_at"], kept["claims"]
            if type(claims) is dict and now < asked_at + introspection.ttl:
                return Answer(claims, min(asked_at, now), is_kept=True)
        except (FetchError, ValueError, KeyError, TypeError):  # no answer, or none of ours
            pass
        return None

    def tell(
        self, introspection: Introspection, raw: str, answer: Answer, ttl: float
    ) -> Flow[None]:
        """Let others know for *ttl* seconds."""
        kept = {"asked_at": answer.asked_at, "claims": answer.claims}
        arguments = _name(introspection, raw), json.dumps(kept).encode(), ttl
        with suppress(FetchError):  # the next process asks for itself
            yield Ask(self._store.put, self._store.aput, arguments)


def _name(introspection: Introspection, raw: str) -> str:
    """The same for who asks the same server as the same client about the same token."""
    return _digest("introspection", *introspection.identity, raw)


def _digest(purpose: str, *words: str | None) -> str:
    return f"{purpose}:{hashlib.sha256(json.dumps(words).encode()).hexdigest()}"


def is_first_use(store: Store, jti: str, *, of: str, ttl: float) -> Flow[bool]:
    """Whether this *jti* comes for the first time, in any process that shares *store*.

    For what may be used once: a DPoP proof (RFC 9449 section 11.1), a client's assertion
    (RFC 7523 section 3), a logout token. *of* says whose identifier it is, such as the thumbprint
    of the proof's key and its address, as it is unique for them only; *ttl*: seconds for which it
    would be accepted otherwise, the leeway included.

    Run it with `jwtguard.drive`. Raises errors.Unavailable (503) where the store does not answer:
    what cannot be checked is not let in.
    """
    try:
        first: bool = yield Ask(store.add, store.aadd, (_digest("used", of, jti), b"", ttl))
    except FetchError as error:
        raise Unavailable("store_unavailable", hint=str(error)) from None
    return first
