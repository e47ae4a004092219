"""The cookies that a login sets (RFC 6265, and its revision's name prefixes)."""

import math
import re

from jwtguard.core.extractor import FromCookie
from jwtguard.core.model import Request

MAX_VALUE = 3800  # characters; browsers keep 4,096 bytes with name and attributes
# Of the Cookie field servers take 8,190 bytes and more. A session and one sign-in fit into it, with
# some room for the app's own; other sign-ins are given up before it would overflow.
MAX_SESSION = 5700  # characters
MAX_FIELD = 7700

MAX_AGE = 34_560_000  # seconds; browsers keep none longer (RFC 6265bis section 5.5)


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

    def sent(self, request: Request) -> frozenset[str]:
        """The names of the cookies in *request*."""
        return frozenset(name for name, _ in FromCookie.pairs(request))

    def begun(self, request: Request) -> list[str]:
        """The names of those of sign-ins that nobody finished, the oldest first."""
        start = len(self.prefix)
        sent = (name for name in self.sent(request) if name.startswith(self.prefix))
        return sorted(name for name in sent if _is_sign_in(name[start:]))


# Behind the prefix: the beginning of a state. Other names are nobody's, and written nowhere.
_is_sign_in = re.compile(r"login-[A-Za-z0-9_-]{17}").fullmatch
