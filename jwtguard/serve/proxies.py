"""Whom to believe what a client asked for, and from where it did."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address, ip_address

from .settings import Settings

PROOF = "x-jwtguard-proxy-secret"
"""The header that holds the shared secret."""


class Proxies:
    """The proxies that may ask.

    Anybody who may ask says what the request was, so that whoever is believed by mistake chooses
    which path is judged.
    """

    def __init__(self, settings: Settings) -> None:
        self._networks = tuple(settings.networks)
        self._trusts_socket = settings.trusts_socket and settings.uds is not None
        self._by_address = bool(self._networks) or self._trusts_socket
        self._secret = settings.secret
        # Peers are few; those that are refused must not fill the memory.
        self._knows = lru_cache(maxsize=256)(self._is_listed)

    def distrust(self, peer: str | None, secrets: Sequence[str]) -> str | None:
        """Why the one at address *peer* (None: at the other end of the Unix socket), who sent
        *secrets*, is not believed; None: it is.
        """
        if self._by_address and not self._knows(peer):
            return f"{peer or 'the Unix socket'} is not in trusted_proxies"
        if self._secret is not None:
            if len(secrets) != 1:
                return f"{peer} sent {len(secrets) or 'no'} X-Jwtguard-Proxy-Secret"
            if not compare_digest(secrets[0].encode("latin-1"), self._secret):
                return f"{peer} sent another X-Jwtguard-Proxy-Secret"
        elif not self._by_address:
            return "neither trusted_proxies nor shared_secret is set"
        return None

    def _is_listed(self, peer: str | None) -> bool:
        if peer is None:
            return self._trusts_socket
        address = _address(peer)
        return address is not None and any(address in network for network in self._networks)

    def client(self, forwarded_for: Sequence[str]) -> str | None:
        """The address of the client: the last of ``X-Forwarded-For`` that is no proxy of ours.

        Each proxy appends whom it was asked by, so that whatever stands in front of the first
        address that is not ours was written by a client. None where it is not known.
        """
        found = None
        for text in reversed(",".join(forwarded_for).split(",")):
            address = _address(_without_port(text.strip(" \t")))
            if address is None:
                return None
            found = str(address)
            if not any(address in network for network in self._networks):
                break
        return found


_with_port = re.compile(r"\[([^\]]*)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+").fullmatch


def _without_port(text: str) -> str:
    match = _with_port(text)
    return text if match is None else match[1] or match[2]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # An IPv4 client of a socket that listens on IPv6 too (RFC 4291 section 2.5.5.2).
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
