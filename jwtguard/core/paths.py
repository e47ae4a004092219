"""Paths: which ones have only one reading, and which rule a path belongs to.

Two programs that read one path differently are how rules are bypassed (threats: Envoy
CVE-2021-29492, Spring CVE-2022-22978, Starlette's "$" before a newline). So a path with a second
reading is refused before any rule is asked, and nothing is ever resolved or merged here: the path
that is judged is letter for letter the one the app routes.
"""

import re
from collections.abc import Sequence
from typing import Generic, TypeVar
from urllib.parse import quote, unquote, unquote_to_bytes

from .errors import AmbiguousTarget

T = TypeVar("T")

# --- what a path may look like ------------------------------------------------------------------

# Nothing here can mean anything else: no dot, no escape, nothing outside these letters. The
# common path is recognised by this and looked at no further.
_plain = re.compile(r"/[A-Za-z0-9_~/-]*").fullmatch

_DOT_SEGMENT = r"/\.{1,2}(?:/|\Z)"
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
# U+FFFD stands where a server could not decode UTF-8, surrogates where it smuggled the bytes.
_UNDECODABLE = "[\ufffd\ud800-\udfff]"
_ESCAPE = r"%[0-9A-Fa-f]{2}"

_never = re.compile(rf"{_DOT_SEGMENT}|\\|{_CONTROL}|{_UNDECODABLE}|{_ESCAPE}").search
_second_reading = re.compile(r"//|[;#?]").search
_raw_never = re.compile("%2[Ee]|%5[Cc]|\\\\|[\x00-\x20\x7f\ud800-\udfff]").search
_raw_slash = re.compile(r"%2[Ff]").search


def is_unambiguous(path: str) -> bool:
    """Whether the decoded *path* has one reading, wherever it leads."""
    if _plain(path):
        return "//" not in path
    return path.startswith("/") and not _never(path) and not _second_reading(path)


def check_target(path: str, raw_path: str | None, opaque: "Sequence[OpaqueTail]") -> None:
    """Refuse a target with a second reading. Raises AmbiguousTarget (400).

    *path* is the decoded path, *raw_path* the target as on the wire where the server gives one,
    *opaque* the subtrees in whose tail more is let through.
    """
    clean = is_unambiguous(path)
    if raw_path is not None and raw_path != path:
        raw = raw_path.partition("?")[0]
        if raw != path:
            if not raw.startswith("/") or _raw_never(raw):
                raise AmbiguousTarget("ambiguous_target", found=raw)
            clean = clean and not _raw_slash(raw) and "#" not in raw
        if clean:
            return
        if not any(tail.covers(path, raw) for tail in opaque):
            raise AmbiguousTarget("ambiguous_path", found=raw)
    elif not clean and not any(tail.covers(path, None) for tail in opaque):
        raise AmbiguousTarget("ambiguous_path", found=path)


class OpaqueTail:
    """The tail of a pattern like ``/files/**`` whose rule says ``opaque_tail``.

    Behind the prefix, encoded slashes, ``;``, ``?``, ``#`` and empty segments pass; the prefix
    itself must be as plain as everywhere, so that nobody gets in or out under another name.
    """

    def __init__(self, pattern: "Pattern") -> None:
        self._prefix = pattern.segments[:-1]

    def covers(self, path: str, raw: str | None) -> bool:
        """Whether all that is odd about *path* stands in this tail, and may stand there."""
        if not path.startswith("/") or _never(path):
            return False
        segments = path[1:].split("/", len(self._prefix))
        if len(segments) <= len(self._prefix):
            return False
        prefix = segments[:-1]
        if not all(p.matches(s) for p, s in zip(self._prefix, prefix, strict=True)):
            return False
        head = "/" + "".join(f"{segment}/" for segment in prefix)
        if not is_unambiguous(head):
            return False
        return raw is None or _is_plain_up_to(raw, path, head)


def _is_plain_up_to(raw: str, path: str, head: str) -> bool:
    """Whether the first encoded slash of *raw* comes after *head*, the start of *path*.

    *raw* may begin with the mount prefix, which *path* lacks: the difference in length is it.
    """
    decoded = unquote_to_bytes(raw)
    judged = path.encode()
    if not decoded.endswith(judged):
        return False
    odd = re.search(r"%2[Ff]|#", raw)
    if odd is None:
        return True
    mount = len(decoded) - len(judged)
    return len(unquote_to_bytes(raw[: odd.start()])) >= mount + len(head.encode())


# --- patterns -----------------------------------------------------------------------------------


class Segment(str):
    """One segment of a pattern: a literal, ``*`` or ``{name}`` for any one, ``**`` for the rest."""

    __slots__ = ()

    @property
    def is_tail(self) -> bool:
        """Whether it stands for any number of segments."""
        return self == "**"

    @property
    def name(self) -> str | None:
        """The name of a path parameter, or None."""
        return self[1:-1] if self[:1] == "{" and self[-1] == "}" else None

    @property
    def is_wild(self) -> bool:
        """Whether it stands for any one segment."""
        return self == "*" or self.name is not None

    def matches(self, segment: str) -> bool:
        """Whether one decoded segment of a path fits."""
        return (self.is_wild and segment != "") or self == segment


_foreign = [
    (re.compile(r"<[^>]*>"), "Flask's and Django's <name>", "{name}"),
    (re.compile(r"/:[A-Za-z_]"), "Express' :name", "{name}"),
    (re.compile(r"\{[^}]*:[^}]*\}"), "Starlette's {name:path}", "{name}, or ** at the end"),
    (re.compile(r"\\|\(\?|\^|\$$|\.\*|\[[^/]*\]"), "a regular expression", "*, {name} or **"),
]
_is_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch


class Pattern:
    """A path pattern: ``/exact``, ``/one/*/segment``, ``/item/{id}``, ``/tree/**``."""

    __slots__ = ("names", "segments", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError with what to write instead."""
        if not isinstance(text, str):
            raise ValueError(f"a path is text, not {type(text).__name__}")
        self.text = text
        for pattern, whose, ours in _foreign:
            if pattern.search(text):
                raise ValueError(f"{text!r} looks like {whose}; write {ours}")
        if not text.startswith("/"):
            raise ValueError(f"{text!r} must start with '/'")
        if re.search(_ESCAPE, text):
            raise ValueError(f"{text!r}: write the decoded character instead of a % escape")
        if not is_unambiguous(text):
            raise ValueError(f"{text!r} can match no request: {_oddity(text)} is refused before")
        self.segments = [Segment(s) for s in text.strip("/").split("/")] if text != "/" else []
        self._check_segments()
        self.names = [s.name for s in self.segments if s.name is not None]
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"{text!r} has the same name twice")

    def _check_segments(self) -> None:
        for index, segment in enumerate(self.segments):
            if segment.is_tail:
                if index != len(self.segments) - 1:
                    raise ValueError(f"{self.text!r}: '**' stands only at the end")
            elif segment.name is not None and not _is_name(segment.name):
                raise ValueError(f"{self.text!r}: {segment} is not a name in braces")
            elif segment.name is None and segment != "*" and set(segment) & set("*{}"):
                raise ValueError(f"{self.text!r}: '*' and '{{name}}' stand for a whole segment")

    @property
    def is_tree(self) -> bool:
        """Whether it covers everything below its prefix."""
        return bool(self.segments) and self.segments[-1].is_tail

    def parameters(self, path: str) -> dict[str, str]:
        """The named segments of a path that this pattern matches."""
        parts = path[1:].split("/")
        return {
            segment.name: part
            for segment, part in zip(self.segments, parts, strict=False)
            if segment.name is not None
        }

    def may_enter(self, other: "Pattern") -> bool:
        """Whether this pattern stands inside the tree that *other* (``/x/**``) covers, its root
        included: ``/x//`` has the name of ``/x`` for one reader and a name below it for another.
        """
        prefix = other.segments[:-1]
        return len(self.segments) >= len(prefix) and all(
            mine == theirs or mine.is_wild or theirs.is_wild
            for mine, theirs in zip(self.segments, prefix, strict=False)
        )

    def __repr__(self) -> str:
        return f"<Pattern {self.text}>"


def _oddity(text: str) -> str:
    match = _never(text) or _second_reading(text)
    return repr(match.group()) if match else "its form"


# --- which rule ---------------------------------------------------------------------------------


class _Node(Generic[T]):
    __slots__ = ("ends", "literals", "tails", "wild")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.wild: _Node[T] | None = None
        self.ends: list[T] = []  # patterns that end here
        self.tails: list[T] = []  # patterns that go on with ** from here


class Router(Generic[T]):
    """Finds everything whose pattern matches a path; the time depends on the path alone.

    A tree by segments. Where a level holds both the literal and a wildcard both ways are walked,
    so the work can double with each such level (`branching` counts them); it never depends on
    how many patterns there are.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: Pattern, item: T) -> None:
        """*item* is found for the paths of *pattern*."""
        node = self._root
        for segment in pattern.segments:
            if segment.is_tail:
                node.tails.append(item)
                return
            if segment.is_wild:
                if node.wild is None:
                    node.wild = _Node()
                node = node.wild
            else:
                node = node.literals.setdefault(segment, _Node())
        node.ends.append(item)

    def find(self, path: str) -> list[T]:
        """Everything that matches an unambiguous *path*, in no particular order.

        One slash at the end makes no difference.
        """
        node = self._root
        found = node.tails.copy()
        if path == "/":
            return found + node.ends
        nodes = [node]
        for segment in (path[1:-1] if path[-1] == "/" else path[1:]).split("/"):
            below = []
            for node in nodes:
                child = node.literals.get(segment)
                if child is not None:
                    below.append(child)
                    found += child.tails
                child = node.wild
                if child is not None and segment:
                    below.append(child)
                    found += child.tails
            if not below:
                return found
            nodes = below
        for node in nodes:
            found += node.ends
        return found

    def covering(self, pattern: Pattern) -> list[T]:
        """Everything whose pattern matches all the paths of *pattern*."""
        nodes, found = [self._root], list(self._root.tails)
        for segment in pattern.segments:
            if segment.is_tail:
                return found
            below = []
            for node in nodes:
                children = [node.wild]
                if not segment.is_wild:
                    children.append(node.literals.get(segment))
                below += [child for child in children if child is not None]
            for child in below:
                found += child.tails
            nodes = below
        return found + [item for node in nodes for item in node.ends]

    def branching(self) -> int:
        """How many levels of the tree hold both a literal and a wildcard."""
        levels, nodes = 0, [self._root]
        while nodes:
            levels += any(node.wild is not None and node.literals for node in nodes)
            nodes = [
                child
                for node in nodes
                for child in (*node.literals.values(), node.wild)
                if child is not None
            ]
        return levels


# --- addresses sent to browsers -----------------------------------------------------------------

_unsafe_return = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ud800-\udfff]|[^\\S ]").search
MAX_RETURN = 2000  # characters; proxies drop answers with longer headers
SAFE_IN_PATH = "/:@!$&'()*+,=~-._"


def return_address(target: str) -> str:
    """A relative address that leads back into this site, or "/".

    Accepts what starts with one slash and holds no second one behind it, no backslash, control
    character, white space or dot-dot, neither as it stands nor percent-decoded, and writes it
    anew (RFC 9700 section 4.11; oauth2-proxy GHSA-j7px, mod_auth_openidc CVE-2021-32786).
    """
    path, mark, query = target.partition("?")
    if " " in target or len(target) > MAX_RETURN:
        return "/"
    decoded = path
    for _ in range(3):  # what a careless reader may decode again
        if (
            not decoded.startswith("/")
            or "//" in decoded
            or _unsafe_return(decoded)
            or not {".", ".."}.isdisjoint(decoded.split("/"))
        ):
            return "/"
        once = unquote(decoded, errors="replace")
        if once == decoded:
            break
        decoded = once
    else:
        return "/"
    if _unsafe_return(query):
        return "/"
    return (
        quote(unquote(path), safe=SAFE_IN_PATH) + mark + quote(query, safe="/?:@!$&'()*+,;=~%-._")
    )
