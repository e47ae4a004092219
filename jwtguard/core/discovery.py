"""Addresses that are fetched, and the document that names them (OpenID Connect Discovery 1.0)."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from .claims import Claims
from .errors import FetchError, Problem
from .jose import json_object
from .model import Fetched
from .refused import escaped

MAX_ADDRESS = 2048  # characters; it stands in every log line about its keys

TENANT = "{tenant}"
"""What stands for a tenant's name in the issuer and addresses of a template."""


def discovery_address(issuer: str) -> str:
    """Where an issuer's discovery document is (OpenID Connect Discovery 1.0 section 4)."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def discovered(url: str, answer: Fetched, issuer: str | None, name: str, insecure: bool) -> str:
    """The address that a discovery document gives under *name*.

    Raises FetchError.
    """
    document = document_of(url, answer)
    said = document.get("issuer")
    if said != issuer:
        slash = isinstance(said, str) and said.rstrip("/") == str(issuer).rstrip("/")
        raise FetchError(
            f"{url} is the document of another issuer: it says {escaped(said)}, configured is "
            f"{issuer}{'; they differ by a trailing slash' if slash else ''}"
        )
    address = document.get(name)
    if not isinstance(address, str) or any(address_problems(name, address, insecure)):
        raise FetchError(f"{url} names no usable {name}")
    if len(address) > MAX_ADDRESS:
        raise FetchError(f"{url} names a {name} of over {MAX_ADDRESS} characters")
    return address


def document_of(url: str, answer: Fetched) -> Claims:
    """The JSON object that an address answered with. Raises FetchError."""
    if answer.status != 200:
        raise FetchError(f"{url} answered {answer.status}")
    try:
        return json_object(answer.body)
    except ValueError:
        raise FetchError(f"{url} answered no JSON object") from None


def address_problems(where: str, url: object, insecure_http: bool) -> Iterable[Problem]:
    """What is wrong with an address that is to be fetched."""
    if not isinstance(url, str):
        yield where, f"is an https address; found {url!r}"
        return
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        usable = None
        parts = urlsplit("")
    if "@" in parts.netloc:
        yield where, "holds a user name or password, which would stand in logs; remove it"
    elif not usable or not url.isascii() or not url.isprintable() or " " in url or parts.fragment:
        yield where, f"is an https address; found {url!r}"
    elif parts.scheme == "http" and not insecure_http:
        yield (
            where,
            f"{url!r} is not https; insecure_http allows http to private addresses (in a file it "
            "stands in [issuer.remote], [issuer.introspection] or [login])",
        )
    elif parts.scheme not in ("https", "http"):
        yield where, f"is an https address; found {url!r}"
