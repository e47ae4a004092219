"""The cookies that a login sets (RFC 6265, and its revision's name prefixes)."""

import math
from collections.abc import Iterable

from jwtguard.core.extractor import FromCookie
from jwtguard.core.model import Request

MAX_VALUE = 3800  # characters; browsers keep 4,096 bytes with name and attributes


class Cookies:
    """Names and attributes; over plain http, which is for development, without ``Secure``.

    ``__Host-`` keeps a cookie from being set by another host of the domain or over plain http.
    ``SameSite=Lax``: it comes along when the provider sends the browser back.
    """

    def __init__(self, *, secure: bool) -> None:
        self.prefix = "__Host-jwtguard-" if secure else "jwtguard-"
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def set(self, name: str, value: str, seconds: float) -> tuple[str, str]:
        """A header that sets one for some *seconds*."""
        age = math.ceil(seconds)  # no second less than what it holds is good for
        return "Set-Cookie", f"{name}={value}; Max-Age={age}{self._attributes}"

    def clear(self, name: str) -> tuple[str, str]:
        """A header that takes one away."""
        return self.set(name, "", 0)

    def sent(self, request: Request, what: str) -> Iterable[str]:
        """The names of the cookies in *request* that begin with *what*, behind the prefix."""
        start = self.prefix + what
        names = {name for name, _ in FromCookie.pairs(request) if name.startswith(start)}
        return sorted(names)
