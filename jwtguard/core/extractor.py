"""Where a request carries its credentials (RFC 6750 section 2), and taking them out again.

Explicit places (header, query, WebSocket subprotocol) are filled by whoever wrote the request;
a cookie is ambient: the browser sends it whoever asked. One request carries one token. A place
that carries something malformed is a refusal, never a reason to look elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import unquote

from .errors import InvalidRequest, Problem
from .grammar import (
    bearer_credentials,
    is_joined_credentials,
    is_token,
    is_token68,
    names_bearer,
)
from .model import Request
from .wording import as_list, did_you_mean


class Edits:
    """What the app sees instead: a header value (None: no such header), another query."""

    __slots__ = ("headers", "query", "subprotocol")

    def __init__(self) -> None:
        self.headers: dict[str, str | None] = {}
        self.query: str | None = None
        self.subprotocol: str | None = None


def as_text(value: str) -> str:
    """A header value as a server hands it over (latin-1), as the text it is meant to be (UTF-8).

    What is no UTF-8 comes out as surrogates, so that a door can write the same bytes again.
    """
    if value.isascii():
        return value
    return value.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


class Place(Protocol):
    """A place for credentials.

    ``ambient`` says that browsers fill it by themselves; ``always_removed`` that the app never
    sees it; ``problems`` what is wrong with its configuration.
    """

    ambient: bool
    always_removed: bool
    problems: Sequence[Problem]

    def read(self, request: Request) -> str | None:
        """The credentials, or None where there are none. Raises InvalidRequest."""
        ...

    def remove(self, request: Request, edits: Edits) -> None:
        """Note in *edits* what the app sees when the credentials are taken out."""
        ...


def _one_token68(values: Sequence[str], where: str) -> str | None:
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("several_credentials", found=f"{len(values)} in {where}")
    value = values[0]
    if value and not is_token68(value):
        raise InvalidRequest("malformed_credentials", hint=f"{where} holds no token68")
    return value or None


def _name_problems(form: str, name: object) -> Sequence[Problem]:
    if isinstance(name, str) and is_token(name):
        return ()
    return [(form, f"{name!r} is not the name of a {form} (letters, digits, '-', '_', …)")]


def check_authorization(request: Request) -> None:
    """There is one ``Authorization`` field at most (RFC 9110 section 11.6.2), wherever the token
    stands: with two, programs differ in which one they read. Raises InvalidRequest.
    """
    values = request.headers.get_all("authorization")
    if len(values) > 1:
        raise InvalidRequest("several_credentials", found=f"{len(values)} Authorization fields")
    if values and is_joined_credentials(values[0]):
        raise InvalidRequest("several_credentials", hint="Authorization fields were joined")


class Bearer:
    """``Authorization: Bearer <token>`` (RFC 6750 section 2.1)."""

    ambient = False
    always_removed = False
    problems: Sequence[Problem] = ()

    def read(self, request: Request) -> str | None:
        """The token. Another scheme, or the scheme alone, is no credentials."""
        check_authorization(request)
        values = request.headers.get_all("authorization")
        if not values:
            return None
        value = values[0]
        match = bearer_credentials(value)
        if match is not None:
            return match[1]
        if not names_bearer(value) or not value[6:].strip(" "):
            return None
        raise InvalidRequest("malformed_credentials", hint="Bearer is not followed by one token68")

    @staticmethod
    def glance(request: Request) -> str | None:
        """What follows ``Bearer`` in a lone field, unchecked: good for nothing but finding it
        among the tokens that were verified before, without reading all of it.
        """
        values = request.headers.get_all("authorization")
        if len(values) == 1:
            value = values[0]
            if value.startswith("Bearer ") and value.rfind(" ") == 6:
                return value[7:] or None
        return None

    def remove(self, request: Request, edits: Edits) -> None:
        """Take the field out, unless it holds another scheme."""
        if any(names_bearer(value) for value in request.headers.get_all("authorization")):
            edits.headers["authorization"] = None

    def __repr__(self) -> str:
        return "Bearer()"


class FromHeader:
    """A request header of its own, ``prefix`` (without regard to case) in front of the token."""

    ambient = False
    always_removed = False

    def __init__(self, name: str, prefix: str = "") -> None:
        self.name = str(name).lower()
        self.prefix = str(prefix).lower()
        self.problems: Sequence[Problem] = _name_problems("header", name)
        if not self.problems and "_" in self.name:
            what = f"write {self.name.replace('_', '-')}: servers drop or confuse names with '_'"
            self.problems = [("header", what)]
        if not isinstance(prefix, str):
            self.problems = [*self.problems, ("prefix", f"is text; found {prefix!r}")]

    def read(self, request: Request) -> str | None:
        """The token; a value without the prefix is no credentials."""
        values = request.headers.get_all(self.name)
        if self.prefix and len(values) == 1:
            if not values[0].lower().startswith(self.prefix):
                return None
            values = [values[0][len(self.prefix) :].lstrip(" ")]
        return _one_token68(values, self.name)

    def remove(self, request: Request, edits: Edits) -> None:
        """Take the field out."""
        edits.headers[self.name] = None

    def __repr__(self) -> str:
        return f"FromHeader({self.name!r})"


class FromCookie:
    """A cookie, by its exact name; ambient, so cross-site requests are refused."""

    ambient = True
    always_removed = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: Sequence[Problem] = _name_problems("cookie", name)

    def read(self, request: Request) -> str | None:
        """The cookie's value as it stands: no unquoting, no decoding (RFC 6265 section 4.1.1)."""
        values = [value for name, value in self.pairs(request) if name == self.name]
        return _one_token68(values, f"cookie {self.name}")

    @staticmethod
    def pairs(request: Request) -> list[tuple[str, str]]:
        """The cookies of a request, as they stand."""
        pairs = []
        # RFC 9113 section 8.2.3: HTTP/2 may split the field; the parts are joined with "; ".
        for piece in "; ".join(request.headers.get_all("cookie")).split(";"):
            name, equals, value = piece.partition("=")
            if equals:  # a piece without one is the value of a cookie without a name
                pairs.append((name.strip(" \t"), value.strip(" \t")))
        return pairs

    def remove(self, request: Request, edits: Edits) -> None:
        """Take this cookie out and leave the others as they are."""
        field = edits.headers.get("cookie", "; ".join(request.headers.get_all("cookie")))
        kept = [
            piece.strip(" \t")
            for piece in (field or "").split(";")
            if piece.partition("=")[0].strip(" \t") != self.name
        ]
        edits.headers["cookie"] = "; ".join(piece for piece in kept if piece) or None

    def __repr__(self) -> str:
        return f"FromCookie({self.name!r})"


MAX_PARTS = 2  # of a session: with more, servers refuse the Cookie field (8 KiB is usual)


class FromSession(FromCookie):
    """The cookie of a `jwtguard.Login`'s session, which long ones take a second one for."""

    def __init__(self, name: str = "session") -> None:
        super().__init__(name)

    def part(self, number: int) -> str:
        """The name of a part."""
        return f"{self.name}-{number}" if number else self.name

    def read(self, request: Request) -> str | None:
        """The session token, put together."""
        cookies = self.pairs(request)
        token = ""
        for name in map(self.part, range(MAX_PARTS)):
            values = [value for found, value in cookies if found == name]
            part = _one_token68(values, f"cookie {name}")
            if part is None:
                break
            token += part
        return token or None

    def remove(self, request: Request, edits: Edits) -> None:
        """Take all parts out."""
        for name in map(self.part, range(MAX_PARTS)):
            FromCookie(name).remove(request, edits)


class FromQuery:
    """A query parameter (RFC 6750 section 2.3 advises against it).

    Addresses end up in logs and histories, so the parameter never reaches the app.
    """

    ambient = False
    always_removed = True

    def __init__(self, name: str = "access_token") -> None:
        self.name = name
        self.problems: Sequence[Problem] = _name_problems("query", name)

    def read(self, request: Request) -> str | None:
        """The parameter's value, percent-decoded."""
        values = [
            unquote(piece.partition("=")[2], errors="replace")
            for piece in request.query.split("&")
            if self._is_mine(piece)
        ]
        return _one_token68(values, f"query parameter {self.name}")

    def _is_mine(self, piece: str) -> bool:
        return unquote(piece.partition("=")[0], errors="replace") == self.name

    def without(self, query: str) -> str:
        """The query less this parameter."""
        return "&".join(piece for piece in query.split("&") if not self._is_mine(piece))

    def remove(self, request: Request, edits: Edits) -> None:
        """Take the parameter out of the query handed on."""
        query = request.query if edits.query is None else edits.query
        if any(self._is_mine(piece) for piece in query.split("&")):
            edits.query = self.without(query)

    def __repr__(self) -> str:
        return f"FromQuery({self.name!r})"


class FromSubprotocol:
    """A WebSocket handshake's ``Sec-WebSocket-Protocol: bearer, <token>, …``.

    For browsers, whose WebSocket API sets no other header. The app sees neither word, and an
    accept without a choice is completed with the marker (RFC 6455 section 4.1 lets a client fail
    a handshake that chooses none).
    """

    ambient = False
    always_removed = True

    def __init__(self, name: str = "bearer") -> None:
        self.name = name
        self.problems: Sequence[Problem] = _name_problems("subprotocol", name)

    def read(self, request: Request) -> str | None:
        """The word after the marker."""
        words = self._words(request)
        tokens = [
            after for word, after in zip(words, [*words, ""][1:], strict=True) if word == self.name
        ]
        return _one_token68(tokens, "Sec-WebSocket-Protocol")

    @staticmethod
    def _words(request: Request, edits: Edits | None = None) -> list[str]:
        if not request.websocket:
            return []
        field = ",".join(request.headers.get_all("sec-websocket-protocol"))
        if edits is not None:  # another place may have taken its own words out
            field = edits.headers.get("sec-websocket-protocol", field) or ""
        return [word for word in (piece.strip(" \t") for piece in field.split(",")) if word]

    def remove(self, request: Request, edits: Edits) -> None:
        """Take the marker and the token out, and note the marker for the accept."""
        words = self._words(request, edits)
        if self.name in words:
            before = ["", *words]
            rest = [
                word
                for word, last in zip(words, before, strict=False)
                if self.name not in (word, last)
            ]
            edits.headers["sec-websocket-protocol"] = ", ".join(rest) or None
            edits.subprotocol = self.name

    def __repr__(self) -> str:
        return f"FromSubprotocol({self.name!r})"


def read_one(places: Sequence[Place], request: Request) -> str | None:
    """The one token in these places. Raises InvalidRequest where several carry something."""
    found: str | None = None
    for place in places:
        raw = place.read(request)
        if raw is not None:
            if found is not None:
                raise InvalidRequest("several_credentials", hint="two places carry a token")
            found = raw
    return found


# --- configuration ------------------------------------------------------------------------------

_FORMS: Mapping[str, type] = {
    "cookie": FromCookie,
    "header": FromHeader,
    "query": FromQuery,
    "subprotocol": FromSubprotocol,
}


def as_places(value: object) -> tuple[list[Place], list[Problem]]:
    """Credential places from objects or the file's forms, and the problems with them."""
    places: list[Place] = []
    problems: list[Problem] = []
    entries = [value] if isinstance(value, Mapping) else as_list(value)
    for index, entry in enumerate(entries):
        where = f"credentials[{index}]"
        try:
            place = _as_place(entry)
        except (ValueError, TypeError) as error:
            problems.append((where, str(error)))
            continue
        places.append(place)
        problems += [(f"{where}.{key}", what) for key, what in place.problems]
    if not entries:
        problems.append(("credentials", "is empty; leave it out for Authorization: Bearer"))
    return places, problems


def _as_place(entry: object) -> Place:
    if isinstance(entry, Bearer | FromCookie | FromHeader | FromQuery | FromSubprotocol):
        return entry
    if entry == "bearer":
        return Bearer()
    if entry == "session":
        return FromSession()
    if isinstance(entry, Mapping):
        for form, place in _FORMS.items():
            if form in entry:
                rest = {key: value for key, value in entry.items() if key != form}
                unknown = rest.keys() - ({"prefix"} if form == "header" else set())
                if unknown:
                    raise ValueError(f"unknown key {sorted(map(str, unknown))[0]!r}")
                if not all(isinstance(v, str) for v in entry.values()):
                    raise ValueError("takes text")
                made: Place = place(entry[form], **rest)
                return made
    hint = did_you_mean(entry, ["bearer", "session"]) if isinstance(entry, str) else ""
    raise ValueError(
        f'{entry!r} is none of "bearer", "session", {{cookie = "name"}}, '
        f'{{header = "name", prefix = "…"}}, {{query = "name"}}, {{subprotocol = "name"}}{hint}'
    )
