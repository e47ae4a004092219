"""Whose request it is, by address: the peer's, or what proxies that are trusted say of it.

``X-Forwarded-For`` is a list that grows to the right: each proxy appends whom it was called by.
What a client wrote itself therefore stands on the left, and only what a trusted proxy appended
counts: the rightmost entry that is not itself a trusted proxy's. ``Forwarded`` (RFC 7239), and
``X-Real-IP`` and its kin, are not read: two headers would be two answers.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from .errors import Problem
from .wording import as_list

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNIX = "unix"
"""The word for peers without an address: those that come through a Unix socket."""

_SITE = 64  # bits: what one subscriber of IPv6 usually has to choose from (RFC 6177, RFC 4862)

# Some gateways append the port as well: 192.0.2.1:49152, [2001:db8::1]:49152.
_v4_with_port = re.compile(r"([0-9.]+):[0-9]{1,5}").fullmatch
_bracketed = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?").fullmatch


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """An IP address in its usual text form, or None.

    IPv4 within IPv6 (``::ffff:192.0.2.1``) is the IPv4 address that it stands for.
    """
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def parse_forwarded(entry: str) -> Address | None:
    """An entry of ``X-Forwarded-For``, or None: an address, with or without a port."""
    match = _v4_with_port(entry) or _bracketed(entry)
    text = entry if match is None else match[1]
    # A zone (fe80::1%eth0) means something on one machine only.
    return None if "%" in text else parse_address(text)


@lru_cache(maxsize=1024)
def client_key(address: Address | None) -> str:
    """What stands for a client where requests are counted: the address, of IPv6 its /64.

    "unknown" where there is none, so that all those are counted as one.
    """
    if address is None:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), _SITE), strict=False))
    return str(address)


class Proxies:
    """The proxies whose word counts: networks such as ``10.0.0.0/8``, addresses, "unix"."""

    def __init__(self, trusted: str | Iterable[str] = ()) -> None:
        self.problems: list[Problem] = []
        self.trusts_unix = False
        self._networks: list[Network] = []
        for index, text in enumerate(as_list(trusted)):
            if text == UNIX:
                self.trusts_unix = True
            else:
                self._add(f"trusted_proxies[{index}]", text)

    def _add(self, where: str, text: object) -> None:
        try:
            if not isinstance(text, str):
                raise ValueError
            network = ip_network(text, strict=False)
        except ValueError:
            what = f"is a network such as '10.0.0.0/8', an address or 'unix'; found {text!r}"
            self.problems.append((where, what))
            return
        if network.prefixlen == 0:
            what = f"{text!r} is everybody, who could then choose any address; name your proxies'"
            self.problems.append((where, what))
        elif str(network.network_address) != text.partition("/")[0].lower():
            what = f"{text!r} is not how this network is written; write '{network}'"
            self.problems.append((where, what))
        else:
            self._networks.append(network)

    def trust(self, peer: str | None) -> bool:
        """Whether what *peer* says counts; None or "" is a Unix socket."""
        if not peer:
            return self.trusts_unix
        address = parse_address(peer.partition("%")[0])
        return address is not None and self._lists(address)

    def _lists(self, address: Address) -> bool:
        return any(
            address.version == network.version and address in network for network in self._networks
        )

    def client(self, peer: str | None, forwarded: Sequence[str]) -> Address | None:
        """The client's address; None where it has none that is known.

        *peer* is who is connected (None or "": through a Unix socket), *forwarded* the values of
        all ``X-Forwarded-For`` fields, in order. They count only where the peer is trusted, and
        what cannot be read counts as if the trusted proxy had said nothing.
        """
        found = parse_address(peer.partition("%")[0]) if peer else None
        if not forwarded or not (self.trusts_unix if not peer else found and self._lists(found)):
            return found
        leftmost = found
        for entry in reversed(",".join(forwarded).split(",")):
            address = parse_forwarded(entry.strip(" \t"))
            if address is None:
                return found
            if not self._lists(address):
                return address
            leftmost = address
        return leftmost
