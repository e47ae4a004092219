"""Refusals as HTTP: challenge, body, redirect (RFC 6750 section 3, RFC 9110 section 11.6.1).

A client learns the class of the refusal and nothing about the token; the `ref` in the body is in
the log line that knows the rest.
"""

import html
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from .errors import (
    AccessDenied,
    AuthError,
    InsufficientScope,
    SignInFailed,
    TooManyRequests,
    Unavailable,
)
from .grammar import accepts, quoted
from .model import Deny, Pairs, Request

log = logging.getLogger("jwtguard")

ErrorBody = Callable[[AuthError, Request], Mapping[str, Any] | None]

_TYPES = ("application/json", "application/problem+json", "text/html")

# A cached refusal would be shown to somebody else, or after the login.
_ALWAYS = (
    ("Cache-Control", "no-store"),
    ("Vary", "Accept, Authorization, Cookie, Origin"),
    ("X-Content-Type-Options", "nosniff"),
)


def challenge(error: AuthError, realm: str | None, metadata: str | None = None) -> str | None:
    """The value of ``WWW-Authenticate``, or None where there is none (RFC 6750 section 3).

    *metadata* is the address of the protected resource's (RFC 9728 section 5.1), for clients that
    another token would help.
    """
    kind = error.challenge
    if isinstance(error, AccessDenied) and error.status == 401:
        kind = "bare"
    if kind == "none":
        return None
    parameters = [] if realm is None else [("realm", realm)]
    if kind == "error":
        parameters += [("error", error.error), ("error_description", error.description)]
        if isinstance(error, InsufficientScope):
            parameters.append(("scope", " ".join(error.scope)))
    if metadata is not None and error.status in (401, 403):
        parameters.append(("resource_metadata", metadata))
    return ("Bearer " + ", ".join(f"{k}={quoted(v)}" for k, v in parameters)).rstrip()


def refusal(
    error: AuthError,
    request: Request,
    ref: str,
    bearer: str | None,
    extra: Pairs = (),
    error_body: ErrorBody | None = None,
) -> Deny:
    """The response that tells a client of *error*; *bearer* is the `challenge`."""
    headers: list[tuple[str, str]] = []
    if bearer is not None:
        headers.append(("WWW-Authenticate", bearer))
    if isinstance(error, Unavailable | TooManyRequests):
        headers.append(("Retry-After", str(error.retry_after)))
    content_type, body = _body(error, request, ref, error_body)
    return _deny(error, error.status, [*headers, *extra], request, ref, content_type, body)


def redirect(
    error: AuthError, status: int, location: str, request: Request, ref: str, extra: Pairs = ()
) -> Deny:
    """A redirect instead of a refusal."""
    return _deny(error, status, [("Location", location), *extra], request, ref, "text/plain", b"")


def preflight_answer(request: Request, extra: Pairs) -> Deny:
    """204 to a CORS preflight of a listed origin (Fetch standard section 3.2.3)."""
    method = ", ".join(request.headers.get_all("access-control-request-method"))
    wanted = ", ".join(request.headers.get_all("access-control-request-headers"))
    headers = [*extra, ("Access-Control-Allow-Methods", method)]
    if wanted:
        headers.append(("Access-Control-Allow-Headers", wanted))
    headers.append(("Cache-Control", "no-store"))
    return Deny(None, 204, tuple(headers), b"")


def cors_headers(origin: str) -> Pairs:
    """What lets a page of a listed origin read the refusal."""
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        (
            "Access-Control-Expose-Headers",
            "WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy",
        ),
    )


def _deny(
    error: AuthError,
    status: int,
    headers: list[tuple[str, str]],
    request: Request,
    ref: str,
    content_type: str,
    body: bytes,
) -> Deny:
    full = (
        *headers,
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        *_ALWAYS,
    )
    # RFC 9110 section 9.3.2: HEAD has the header of GET and no content.
    return Deny(error, status, full, b"" if request.method.upper() == "HEAD" else body, ref)


def _body(
    error: AuthError, request: Request, ref: str, error_body: ErrorBody | None
) -> tuple[str, bytes]:
    content: Mapping[str, Any] = {
        "error": error.error,
        "message": error.description,
        "code": error.code,
        "ref": ref,
    }
    if error_body is not None:
        try:
            changed = error_body(error, request)
            if changed is not None:
                return "application/json", json.dumps(dict(changed)).encode()
        except Exception:
            log.exception("error_body raised; the usual body is sent")
    accept = ",".join(request.headers.get_all("accept"))
    content_type = accepts(accept, _TYPES)
    if content_type == "text/html":
        return "text/html; charset=utf-8", _page(error, ref).encode()
    if content_type == "application/problem+json":  # RFC 9457
        content = {"type": "about:blank", "title": error.description, "status": error.status} | {
            **content
        }
    return content_type, json.dumps(content).encode()


def _page(error: AuthError, ref: str) -> str:
    text = html.escape(error.description)
    again = ""
    if isinstance(error, SignInFailed):
        again = f'<p><a href="{html.escape(error.again)}">Sign in again</a></p>\n'
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{error.status} {text}</title>\n"
        "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;"
        "padding:0 1rem;color:#222;background:#fff}code{color:#555}"
        "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}code{color:#aaa}"
        "a{color:#9cf}}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{text}</h1>\n{again}<p>Status {error.status}. If you report this, name the "
        f"reference <code>{html.escape(ref)}</code>.</p>\n</main>\n</body>\n</html>\n"
    )
