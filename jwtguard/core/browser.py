"""What browsers say about a request: who asked for it, and whether it is a navigation."""

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from .errors import CrossSiteRequest
from .grammar import is_token
from .model import Request

# RFC 9110 section 9.2.1
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_PORTS = {"http": 80, "https": 443}


def parse_origin(text: object) -> str | None:
    """An origin (RFC 6454 section 6.2) as browsers write it, or None."""
    if not isinstance(text, str) or not text.isascii() or text != text.strip():
        return None
    parts = _split(text)
    if parts is None or parts.scheme not in _PORTS or "*" in text:
        return None
    canonical = origin_of(parts)
    return canonical if canonical == text.lower() else None


def origin_of(parts: SplitResult) -> str:
    """The origin of an address, without a default port."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    return parts if parts.hostname and parts.username is None and port != 0 else None


def check_same_site(request: Request, method: str, origins: Collection[str]) -> None:
    """A request with a cookie was not made by another site. Raises CrossSiteRequest.

    Safe methods pass, WebSocket handshakes never count as safe: the same-origin policy does not
    keep a page from reading what it gets through one.
    """
    if method in SAFE_METHODS and not request.websocket:
        return
    sent = request.headers.get_all("origin")
    if len(sent) > 1:
        raise CrossSiteRequest(found=f"{len(sent)} Origin fields")
    origin = sent[0] if sent else None
    if origin is not None and origin in origins:
        return
    sites = request.headers.get_all("sec-fetch-site")
    if sites and not request.websocket:  # browsers always send Origin with a handshake
        if all(site in ("same-origin", "none") for site in sites):
            return
    elif origin is not None and _is_host(origin, request):
        return
    hint = f"Sec-Fetch-Site: {', '.join(sites)}" if sites else None
    raise CrossSiteRequest(found=origin, want="an Origin listed in origins", hint=hint)


def _is_host(origin: str, request: Request) -> bool:
    canonical = parse_origin(origin)
    host = request.header("host")
    if canonical is None or host is None:
        return False
    scheme = canonical.partition("://")[0]
    parts = _split(f"{scheme}://{host}")
    return parts is not None and parts[2:] == ("", "", "") and origin_of(parts) == canonical


def is_navigation(request: Request, method: str) -> bool:
    """Whether a person waits for a page, so that a redirect to a login helps."""
    if method not in ("GET", "HEAD") or request.websocket:
        return False
    modes = request.headers.get_all("sec-fetch-mode")
    if modes:
        return list(modes) == ["navigate"]
    if request.headers.get_all("x-requested-with") or request.headers.get_all("hx-request"):
        return False
    return "text/html" in ",".join(request.headers.get_all("accept")).lower()


def is_preflight(request: Request, method: str) -> bool:
    """A CORS preflight (Fetch standard section 3.2.2): OPTIONS with both of its headers."""
    if method != "OPTIONS" or not request.headers.get_all("origin"):
        return False
    asked = request.headers.get_all("access-control-request-method")
    names = ",".join(request.headers.get_all("access-control-request-headers")).split(",")
    return (
        len(asked) == 1
        and is_token(asked[0]) is not None
        and all(is_token(name.strip(" \t")) for name in names if name.strip(" \t"))
    )
