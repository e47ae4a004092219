"""The one page of a login that is no error: do you want to sign out?"""

import html

from jwtguard.core.model import Deny, Pairs

# What a login answers is for this browser and this moment, and leads nowhere else.
ALWAYS: Pairs = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;"
    "color:#222;background:#fff}button{font:inherit;padding:.5rem 1.25rem;cursor:pointer}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}a{color:#9cf}}"
)


def to(location: str, added: Pairs, status: int = 302) -> Deny:
    """A redirect; after a POST by 303, so that the next one is GET (RFC 9700 section 4.12)."""
    headers = (("Location", location), *added, ("Content-Length", "0"), *ALWAYS)
    return Deny(None, status, headers, b"")


def sign_out(action: str, back: str) -> Deny:
    """Asks, where another site may have sent the browser here; works without scripts."""
    body = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Sign out?</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        "<h1>Sign out?</h1>\n"
        f'<form method="post" action="{html.escape(action)}">'
        '<button type="submit">Sign out</button></form>\n'
        f'<p><a href="{html.escape(back)}">No, stay signed in</a></p>\n'
        "</main>\n</body>\n</html>\n"
    ).encode()
    return plain(200, body, "text/html; charset=utf-8", _FRAMED_BY_NOBODY)


# A page of another site around this one could make people click (RFC 9700 section 4.16). Of a form
# on a page with "no-referrer" browsers say "Origin: null" (Fetch section 3.1): nobody's.
_FRAMED_BY_NOBODY: Pairs = (
    ("Referrer-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("X-Frame-Options", "DENY"),
)


def plain(status: int, body: bytes, content_type: str, added: Pairs = ()) -> Deny:
    """An answer with a body."""
    named = {name for name, _ in added}
    headers = (
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        *added,
        *((name, value) for name, value in ALWAYS if name not in named),
    )
    return Deny(None, status, headers, body)
