"""Protected-resource metadata (RFC 9728): where a client without a token gets one.

A challenge names the address of a small public document, the document names the authorization
servers. Everything in it is configuration, so it is built once, at start-up.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .errors import Problem
from .extractor import FromQuery
from .grammar import is_quotable
from .issuer import Issuer
from .model import Deny, Pairs
from .paths import Pattern
from .policy import Rule
from .wording import as_list, did_you_mean

WELL_KNOWN = "/.well-known/oauth-protected-resource"

# Public data, and a page's script may be the client. Clients send headers of their own along (the
# Model Context Protocol's has its version there), so that browsers ask first.
_ANY_ORIGIN = ("Access-Control-Allow-Origin", "*")
_ALLOW = ("Allow", "GET, HEAD, OPTIONS")
_FOUND: Pairs = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "public, max-age=3600"),
    ("X-Content-Type-Options", "nosniff"),
    _ANY_ORIGIN,
)
_OPTIONS: Pairs = (
    _ALLOW,
    _ANY_ORIGIN,
    ("Access-Control-Allow-Methods", "GET, HEAD"),
    ("Access-Control-Allow-Headers", "*"),
    ("Access-Control-Max-Age", "3600"),
)


class Resources:
    """A guard's protected resources, of what it was *given*: True, a mapping, or a list of them.

    Without an *origin*, which is said elsewhere, there are none.
    """

    def __init__(
        self, given: Any, origin: str | None, issuers: Sequence[Issuer], rules: Sequence[Rule]
    ) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        found: dict[str, Resource] = {}
        for place, table in _tables(given):
            if not isinstance(table, Mapping):
                what = f"is True, a mapping or a list of mappings; found {type(table).__name__}"
                self.problems.append((place, what))
                continue
            resource = Resource(table, origin or "", issuers, rules)
            if not resource.problems and resource.path in found:
                resource.problems.append(("path", f"{resource.path or '/'!r} is described twice"))
            found[resource.path] = resource
            self.problems += [(f"{place}.{key}", what) for key, what in resource.problems]
            self.warnings += [(f"{place}.{key}", what) for key, what in resource.warnings]
        usable = () if origin is None else found.values()
        self._longest_first = sorted(usable, key=lambda one: len(one.path), reverse=True)

    @property
    def paths(self) -> list[str]:
        """Where the documents are."""
        return [resource.local for resource in self._longest_first]

    def address_for(self, path: str) -> str | None:
        """The address of the metadata that is about *path*, the longest prefix by segments."""
        for resource in self._longest_first:
            if path == resource.path or path.startswith(f"{resource.path}/"):
                return resource.address
        return None

    def answer(self, path: str, method: str) -> Deny:
        """The answer at one of `paths` (with a slash at the end, or without)."""
        if method == "OPTIONS":
            return Deny(None, 204, _OPTIONS)
        if method not in ("GET", "HEAD"):
            return Deny(None, 405, (_ALLOW, ("Content-Length", "0")))
        local = path.removesuffix("/")
        document = next(one.document for one in self._longest_first if one.local == local)
        headers = (*_FOUND, ("Content-Length", str(len(document))))
        return Deny(None, 200, headers, b"" if method == "HEAD" else document)


def is_wanted(given: object) -> bool:
    """Whether there is metadata at all."""
    return not (given is None or given is False or given in ([], ()))


def _tables(given: Any) -> Iterable[tuple[str, Any]]:
    if not is_wanted(given):
        return
    if isinstance(given, list | tuple):
        for index, one in enumerate(given):
            yield f"protected_resource[{index}]", {} if one is True else one
    else:
        yield "protected_resource", {} if given is True else given


# --- one resource -------------------------------------------------------------------------------

# RFC 3986 section 2.3: other characters have two spellings, and clients compare addresses as text.
_is_path = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+").fullmatch
# RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_is_scope = re.compile(r"[!#-\[\]-~]+").fullmatch

BEARER_METHODS = ("header", "query")
_LISTS = ("scopes_supported", "authorization_servers", "bearer_methods_supported")
_ADDRESSES = ("resource_documentation", "resource_policy_uri", "resource_tos_uri")
KEYS = ("path", *_LISTS, "resource_name", *_ADDRESSES)


class Resource:
    """A protected resource: ``path`` below the origin ("" for all of it), and its ``document``.

    ``address`` is the document's, ``local`` the path of that.
    """

    def __init__(
        self,
        table: Mapping[Any, Any],
        origin: str,
        issuers: Sequence[Issuer],
        rules: Sequence[Rule],
    ) -> None:
        fields = {key: _words(key, value) for key, value in table.items()}
        self.problems: list[Problem] = [
            (str(key), what) for key, value in fields.items() for what in _complaints(key, value)
        ]
        self.warnings: list[Problem] = []
        path = fields.pop("path", "/")
        self.path = path.rstrip("/") if isinstance(path, str) else ""
        self.local = WELL_KNOWN + self.path
        self.address = origin + self.local
        servers = fields.pop("authorization_servers", None)
        if servers is None:
            servers = self._default_servers(issuers)
        else:
            self._compare(servers, issuers)
        if not self.problems:
            methods = ["header"]  # which the closing rule reads
            if any(_reads_query(rule) and _concerns(rule, self.path) for rule in rules):
                methods.append("query")
            document = {
                "resource": origin + self.path,
                "authorization_servers": servers,
                "bearer_methods_supported": methods,
                **fields,
            }
            self.document = json.dumps(document).encode()

    def _default_servers(self, issuers: Sequence[Issuer]) -> list[str]:
        """Every issuer that can be asked for a token."""
        servers = [iss for iss in _spellings(issuers) if is_server(iss)]
        in_doubt = not issuers or any(issuer.problems for issuer in issuers)
        if not servers and not in_doubt:
            self.problems.append(
                (
                    "authorization_servers",
                    "is missing: no issuer's iss is a whole https address; name the authorization "
                    "servers where clients get their tokens",
                )
            )
        return servers

    def _compare(self, servers: list[Any], issuers: Sequence[Issuer]) -> None:
        if any(one.problems or one.issuer is None or one.tenancy.are_asked_for for one in issuers):
            return  # tokens of others may be taken, or it cannot be told
        known = _spellings(issuers)
        for server in servers:
            if server not in known:
                what = "is no issuer's iss, letter for letter, so its tokens are refused; there are"
                warning = f"{server!r} {what} {', '.join(known)}"
                self.warnings.append(("authorization_servers", warning))


def _spellings(issuers: Iterable[Issuer]) -> list[str]:
    return [iss for issuer in issuers if not issuer.problems for iss in issuer.spellings]


def _words(key: object, value: object) -> Any:
    """A list where there may be several; scopes in a string are split, as everywhere."""
    if key == "scopes_supported" and isinstance(value, str):
        return value.split()
    return as_list(value) if key in _LISTS else value


def _complaints(key: object, value: Any) -> Iterable[str]:
    """What is wrong with a field."""
    if key == "path":
        if value != "/" and not (isinstance(value, str) and _is_path(value)):
            yield (
                "is '/' or a path such as '/mcp': letters, digits and -._~ between slashes, none "
                f"at the end; found {value!r}"
            )
    elif key == "resource_name":
        if not isinstance(value, str) or not value or not value.isprintable():
            yield f"is text; found {value!r}"
    elif key in _ADDRESSES:
        if not is_address(value):
            yield f"is an https address; found {value!r}"
    elif key in _LISTS:
        if not value:  # RFC 9728 section 3.2: what has no elements is left out
            yield "is empty; leave it out"
        for word in value:
            yield from _word_complaints(key, word)
    elif key == "resource":
        yield "is public_url and path, put together; set those"
    else:
        hint = did_you_mean(key, KEYS) or f"; known are {', '.join(KEYS)}"
        yield f"is not a key of protected_resource{hint}"


def _word_complaints(key: object, word: object) -> Iterable[str]:
    if key == "scopes_supported":
        if not isinstance(word, str) or not _is_scope(word):
            yield f"{word!r} is not a scope (RFC 6749 section 3.3)"
    elif key == "bearer_methods_supported":
        if word not in BEARER_METHODS:
            yield f"is a list of 'header' and 'query'; found {word!r}"
    elif not is_server(word):
        yield f"are issuers' https addresses, without a query; found {word!r}"


def is_address(text: object) -> bool:
    """Whether *text* is an absolute https URL, or http to this machine (for tests)."""
    if not isinstance(text, str) or not is_quotable(text) or set(text) & set(' "<>\\^`{|}#'):
        return False
    try:
        parts = urlsplit(text)
        usable = parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        return False
    is_loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(usable) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback))


def is_server(text: object) -> bool:
    """Whether *text* can be an authorization server's issuer identifier (RFC 8414 section 2)."""
    return is_address(text) and "?" not in str(text)


def _reads_query(rule: Rule) -> bool:
    """Whether a token may stand where RFC 6750 section 2.3 has it."""
    return any(
        isinstance(place, FromQuery) and place.name == "access_token" for place in rule.places
    )


def _concerns(rule: Rule, path: str) -> bool:
    """Whether a pattern of *rule* matches anything below *path*."""
    return any(_meets(pattern, path) for pattern in rule.patterns)


def _meets(pattern: Pattern, path: str) -> bool:
    wanted = path.split("/")[1:]
    for mine, theirs in zip(pattern.segments, wanted, strict=False):
        if mine.is_tail:
            return True
        if not mine.matches(theirs):
            return False
    return len(pattern.segments) >= len(wanted)
