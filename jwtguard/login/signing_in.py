"""The authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636, RFC 9700 section 2.1).

Between leaving for the provider and coming back, everything about one sign-in is in one sealed
cookie of this browser: state, nonce, code verifier, and the page that was asked for. The callback
takes it away, whatever comes of it. That a code is good once is the provider's to see to (RFC 6749
section 4.1.2); without the cookie nobody can present it a second time here.
"""

import hmac
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256, sha384, sha512, shake_256
from urllib.parse import parse_qsl, quote, urlencode

from jwt.utils import base64url_encode

from jwtguard.core.candidates import Candidates, Directory
from jwtguard.core.claims import Claims, roles_of
from jwtguard.core.errors import (
    AuthError,
    ClaimMismatch,
    FetchError,
    InvalidToken,
    MissingClaim,
    SignInFailed,
    Unavailable,
)
from jwtguard.core.extractor import FromCookie
from jwtguard.core.issuer import Issuer
from jwtguard.core.model import Clock, Deny, Flow, Pairs, Request
from jwtguard.core.paths import SAFE_IN_PATH, return_address
from jwtguard.core.refused import escaped
from jwtguard.core.token import Verified
from jwtguard.core.verifier import Verifier

from .cookies import MAX_FIELD, Cookies
from .pages import to
from .provider import Provider, Refused
from .refreshing import Refreshing
from .sealing import Keys
from .sessions import OURS, Sessions, TooLarge

log = logging.getLogger("jwtguard.login")

MAX_SIGN_INS = 3  # that one browser has begun and not finished, as in several tabs
MAX_AGE = 600  # seconds from leaving to coming back
# Characters of the address to come back to: three of them and a session leave the Cookie field
# some room in the 8 KiB that servers take.
MAX_RETURN = 512
MAX_QUERY = 8192  # characters
MAX_FIELDS = 32  # of a query

# A state: when it began, and 192 bits that nobody guesses (RFC 6749 section 10.10).
_is_state = re.compile(r"[0-9a-f]{8,10}-[A-Za-z0-9_-]{32}").fullmatch


@dataclass(frozen=True)
class Words:
    """What a sign-in asks for, and what is kept of the answer."""

    scopes: Sequence[str]
    claims: Sequence[str]
    default_roles: Sequence[str]
    userinfo: bool
    paths: Sequence[str]
    after_login: str

    @property
    def login_path(self) -> str:
        """Where a sign-in begins."""
        return self.paths[0]

    @property
    def callback_path(self) -> str:
        """Where the provider sends browsers back to."""
        return self.paths[1]


class SigningIn:
    """Leaving for the provider, and coming back."""

    def __init__(
        self,
        words: Words,
        origin: str,
        provider: Provider,
        person: Issuer,
        keys: Keys,
        cookies: Cookies,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._words = words
        self._origin = origin
        self._provider = provider
        self._person = person
        self._candidates = Candidates(Directory([person]), [person])
        self._verifier = Verifier(0, clock)  # an id_token is looked at once
        self._keys = keys
        self._cookies = cookies
        self._sessions = sessions
        self._clock = clock
        self.refreshing: Refreshing | None = None

    def own(self, request: Request, address: str) -> str:
        """One of our addresses as browsers see it, with the mount prefix."""
        mount = quote(request.mount, safe=SAFE_IN_PATH, errors="replace")
        mounted = return_address(mount + address)
        return address if mounted == "/" else mounted

    # --- leaving ---

    def begin(self, request: Request) -> Flow[Deny]:
        """Send the browser to the provider."""
        words, now = self._words, self._clock()
        state = f"{int(now):08x}-{secrets.token_urlsafe(24)}"
        nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        back = self._origin + self.own(request, words.callback_path)
        asked = {
            "response_type": "code",
            "client_id": self._provider.client.client_id,
            "redirect_uri": back,
            "scope": " ".join(words.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": base64url_encode(sha256(verifier.encode()).digest()).decode(),
            "code_challenge_method": "S256",
        }
        wanted = self._wanted(request)
        try:
            endpoint = (yield from self._provider.metadata())["authorization_endpoint"]
            pushed = yield from self._provider.pushed(asked)
        except FetchError as error:
            raise _toward(wanted, self._unavailable(request, error)) from None
        except Refused as error:
            raise _toward(wanted, self._failed(request, "oauth2_error", error)) from None
        if pushed is not None:
            asked = {"client_id": asked["client_id"], "request_uri": pushed}
        sealed = self._keys.seal(
            f"sign-in {state}",
            {"n": nonce, "v": verifier, "u": back, "r": wanted, "t": int(now)},
        )
        mark = "&" if "?" in endpoint else "?"
        name = self._cookie_of(state)
        return to(
            f"{endpoint}{mark}{urlencode(asked, quote_via=quote)}",
            [*self._too_many(request, sealed), self._cookies.set(name, sealed, MAX_AGE)],
        )

    def _wanted(self, request: Request) -> str:
        """The page to come back to, within this site; one that is not there is the first page."""
        first = self.own(request, self._words.after_login)
        pairs = _pairs(request.query) or ()
        given = [value for name, value in pairs if name == "next"]
        if len(given) != 1:
            return first
        address = return_address(given[0])
        path = address.partition("?")[0]
        if address == "/" or len(address) > MAX_RETURN:
            return first
        # Signing in anew, or out again, is not what anybody was about to do.
        ours = [self.own(request, one) for one in self._words.paths]
        return first if path.rstrip("/") in ours else address

    def _cookie_of(self, state: str) -> str:
        return f"{self._cookies.prefix}login-{state[:17]}"

    def _too_many(self, request: Request, sealed: str) -> Pairs:
        """Take away the oldest sign-ins that nobody finished: the field must not grow."""
        begun = self._cookies.begun(request)
        sizes = {name: len(name) + len(value) for name, value in FromCookie.pairs(request)}
        size = sum(sizes.values()) + len(sealed)
        gone: list[str] = []
        for name in begun:  # the oldest first
            if len(begun) - len(gone) < MAX_SIGN_INS and size <= MAX_FIELD:
                break
            gone.append(name)
            size -= sizes[name]
        return [self._cookies.clear(name) for name in gone]

    # --- coming back ---

    def finish(self, request: Request) -> Flow[Deny]:
        """Take what the provider sent the browser back with, and make a session of it."""
        fields = _fields(request.query)
        if fields is None:
            raise self._failed(request, "invalid_request", "the query cannot be read")
        state = fields.get("state", "")
        name = self._cookie_of(state)
        begun = self._begun(request, state, name)
        if begun is None:
            # What was asked for nowhere is told by what it says; there is nothing to go on with.
            self._check_answer(request, fields)
            raise self._failed(
                request,
                "login_state",
                "no cookie of this browser fits the state: another browser began it, it was "
                "finished already, or it took too long",
            )
        gone = self._cookies.clear(name)
        try:
            claims = yield from self._session(request, fields, begun)
            added = self._sessions.cookies(claims, request)
        except SignInFailed as error:
            error.headers = (gone,)
            raise _toward(begun["r"], error) from None
        except TooLarge as error:
            raise self._failed(request, "session_too_large", error, (gone,), 503) from None
        return to(begun["r"], [gone, *added])

    def _begun(self, request: Request, state: str, name: str) -> Claims | None:
        """What the cookie of this sign-in holds; None where there is none."""
        if not _is_state(state):
            return None
        values = [value for found, value in FromCookie.pairs(request) if found == name]
        if len(values) != 1:
            return None
        # The state is what the seal is for: the cookie of another one does not open.
        begun = self._keys.unseal(f"sign-in {state}", values[0])
        # The clock of the process that began it may be ahead of this one's.
        if begun is None or self._clock() - begun["t"] >= MAX_AGE:
            return None
        return begun

    def _session(self, request: Request, fields: Mapping[str, str], begun: Claims) -> Flow[Claims]:
        """The claims of the session. Raises SignInFailed."""
        provider, words = self._provider, self._words
        try:
            metadata = yield from provider.metadata()
            self._check_issuer(request, fields, metadata)
            self._check_answer(request, fields)
            grant = {
                "grant_type": "authorization_code",
                "code": fields["code"],
                "redirect_uri": begun["u"],
                "code_verifier": begun["v"],
            }
            tokens = yield from provider.tokens(grant)
            person = yield from self._identity(tokens, begun["n"])
        except FetchError as error:
            raise self._unavailable(request, error) from None
        except Unavailable as error:  # the keys of the id_token
            raise self._unavailable(request, error) from None
        except (Refused, InvalidToken) as error:
            raise self._failed(request, "token_exchange_failed", error) from None
        if words.userinfo:
            person = {**(yield from self._userinfo(request, tokens, person)), **person}
        session = self._sessions.begun(person["sub"], provider.issuer, person.get("sid"))
        session |= self._kept(person)
        if self.refreshing is not None:
            try:
                session["refresh"] = yield from self.refreshing.keep(session, tokens)
            except FetchError as error:
                log.error("a refresh token is not kept, as the store cannot be asked: %s", error)
        return self._sessions.prolonged(session)

    def _kept(self, person: Claims) -> Claims:
        """What a session says of a person."""
        words = self._words
        roles = roles_of(person, self._person.roles) or frozenset(words.default_roles)
        kept = {name: person[name] for name in words.claims if name in person}
        return {**kept, "roles": sorted(roles)}

    def refreshed(self, session: Claims, tokens: Claims) -> Flow[Claims]:
        """A session with what the provider says now (OpenID Connect Core 1.0 section 12.2).

        Raises what `_identity` raises.
        """
        if "id_token" not in tokens:
            return session
        person = yield from self._identity(tokens, None)
        if person["sub"] != session["sub"]:
            raise Refused("the new id_token is about somebody else")
        said = self._kept(person)
        if self._words.userinfo:  # what only userinfo knows stays as it was
            said = {**session, **said}
        ours = {name: value for name, value in session.items() if name in OURS}
        return {**said, **ours, "roles": said["roles"]}

    def _check_answer(self, request: Request, fields: Mapping[str, str]) -> None:
        """There is a code and no error (RFC 6749 section 4.1.2)."""
        if "error" in fields:
            raise self._failed(request, "oauth2_error", escaped(fields["error"]))
        if not fields.get("code"):
            raise self._failed(request, "missing_code", "neither code nor error came")

    def _check_issuer(self, request: Request, fields: Mapping[str, str], metadata: Claims) -> None:
        """The answer is of the provider we asked (RFC 9207): no other one is mixed in."""
        said = fields.get("iss")
        wanted = metadata.get("authorization_response_iss_parameter_supported") is True
        if said != self._provider.issuer and (wanted or said is not None):
            raise self._failed(
                request, "login_state", f"iss is {escaped(said)}, not {self._provider.issuer}"
            )

    def _identity(self, tokens: Claims, nonce: str | None) -> Flow[Claims]:
        """The claims of a good id_token (OpenID Connect Core 1.0 section 3.1.3.7)."""
        raw = tokens.get("id_token")
        if not isinstance(raw, str):
            raise Refused("the token endpoint gave no id_token")
        verified = self._verifier.verify(raw, self._candidates)
        if not isinstance(verified, Verified):
            verified = yield from verified
        claims = verified.claims
        if not claims["sub"]:
            raise MissingClaim("sub", hint="an empty one is nobody")
        if nonce is not None and not _same(claims.get("nonce"), nonce):
            raise ClaimMismatch("nonce", hint="the id_token belongs to another sign-in")
        client = self._provider.client.client_id
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else client) != client:
            raise ClaimMismatch("azp", found=claims.get("azp"), want=client)
        if "at_hash" in claims:
            algorithm = verified.header["alg"]
            if algorithm == "EdDSA" and verified.key is not None:
                algorithm = verified.key.kind  # the name leaves the curve to the key (RFC 8037)
            _check_hash(algorithm, claims["at_hash"], tokens.get("access_token"))
        return claims

    def _userinfo(self, request: Request, tokens: Claims, person: Claims) -> Flow[Claims]:
        try:
            said = yield from self._provider.userinfo(tokens.get("access_token"))
            if said.get("sub") != person["sub"]:  # section 5.3.2: token substitution
                raise Refused("userinfo is about somebody else")
        except FetchError as error:
            raise self._failed(request, "userinfo_failed", error, status=503) from None
        except Refused as error:
            raise self._failed(request, "userinfo_failed", error) from None
        return said

    # --- what came to nothing ---

    def _failed(
        self,
        request: Request,
        code: str,
        why: object,
        headers: Pairs = (),
        status: int = 400,
    ) -> SignInFailed:
        again = self.own(request, self._words.login_path)
        error = SignInFailed(code, SAID[code], again=again, status=status, hint=str(why))
        if isinstance(why, AuthError):
            error.found, error.want = why.found, why.want
        error.headers = headers
        return error

    def _unavailable(self, request: Request, error: Exception) -> SignInFailed:
        return self._failed(request, "token_exchange_failed", error, status=503)


def _toward(page: str, error: SignInFailed) -> SignInFailed:
    """Whoever begins again comes to the page that was asked for."""
    error.again += f"?next={quote(page, safe='')}"
    return error


# What a person reads, who can do nothing about the cause; nothing of the provider's or the
# query's is in it.
SAID = {
    "invalid_request": "The sign-in could not be understood.",
    "login_state": "This sign-in was begun elsewhere, is over already, or took too long.",
    "oauth2_error": "The sign-in was refused or cancelled.",
    "missing_code": "The sign-in came back without an answer.",
    "token_exchange_failed": "The sign-in could not be completed.",
    "userinfo_failed": "Your details could not be read.",
    "session_too_large": "There is too much about you to remember.",
}


def _pairs(query: str) -> list[tuple[str, str]] | None:
    if len(query) > MAX_QUERY or not query.isascii():  # RFC 3986 section 2
        return None
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        return None


def _fields(query: str) -> dict[str, str] | None:
    """The parameters, each of which stands once (RFC 6749 section 3.1)."""
    pairs = _pairs(query)
    fields = dict(pairs or ())
    return None if pairs is None or len(fields) < len(pairs) else fields


def _same(found: object, want: str) -> bool:
    return isinstance(found, str) and hmac.compare_digest(found.encode(), want.encode())


_HASHES: Mapping[str, Callable[[bytes], bytes]] = {
    "256": lambda data: sha256(data).digest(),
    "384": lambda data: sha384(data).digest(),
    "512": lambda data: sha512(data).digest(),
    "Ed25519": lambda data: sha512(data).digest(),
    "Ed448": lambda data: shake_256(data).digest(114),
}


def _check_hash(algorithm: str, found: object, access_token: object) -> None:
    """``at_hash`` fits (section 3.1.3.6); an algorithm we know no hash of fails."""
    digest = _HASHES.get(algorithm) or _HASHES.get(algorithm[2:5])
    if digest is None or not isinstance(access_token, str) or not access_token.isascii():
        raise MissingClaim("at_hash", hint="there is nothing to compare it with")
    whole = digest(access_token.encode())
    if not _same(found, base64url_encode(whole[: len(whole) // 2]).decode()):
        raise ClaimMismatch("at_hash", hint="the access token is not this id_token's")
