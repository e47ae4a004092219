"""Whose request it is: peers, trusted proxies and X-Forwarded-For."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtguard.core.addresses import Proxies, client_key, parse_address, parse_forwarded

# trusted, peer, X-Forwarded-For fields, the client
CLIENTS = [
    ([], "203.0.113.7", [], "203.0.113.7"),
    ([], "203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
    (["10.0.0.0/8"], "10.0.0.1", [], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    (["10.0.0.0/8"], "203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
    (["10.0.0.0/8"], "10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1,10.0.0.9\t, 10.0.0.2"], "198.51.100.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    # What a client wrote on the left is not even read.
    (["10.0.0.0/8"], "10.0.0.1", ["';--, 198.51.100.1"], "198.51.100.1"),
    # What cannot be read where it counts: the peer's.
    (["10.0.0.0/8"], "10.0.0.1", [""], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["unknown"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1, _hidden"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1, x, 10.0.0.2"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.01"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.256"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["0xC6336401"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1\n"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["１９８.51.100.1"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["[198.51.100.1"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["2001:db8::1]:443"], "10.0.0.1"),
    # Gateways that append the port as well.
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.1:49152"], "198.51.100.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["[2001:db8::1]:49152"], "2001:db8::1"),
    (["10.0.0.0/8"], "10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
    (["10.0.0.0/8"], "10.0.0.1", ["2001:DB8::1"], "2001:db8::1"),
    # IPv4 within IPv6 is IPv4, on both sides.
    (["10.0.0.0/8"], "::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
    (["2001:db8::/32"], "2001:db8::2", ["198.51.100.1"], "198.51.100.1"),
    (["127.0.0.1", "::1"], "::1", ["198.51.100.1"], "198.51.100.1"),
    (["127.0.0.1", "::1"], "127.0.0.2", ["198.51.100.1"], "127.0.0.2"),
    (["fe80::/10"], "fe80::1%eth0", ["198.51.100.1"], "198.51.100.1"),
    # Unix sockets have no address.
    ([], None, ["198.51.100.1"], None),
    (["10.0.0.0/8"], "", ["198.51.100.1"], None),
    (["unix"], "", ["198.51.100.1"], "198.51.100.1"),
    (["unix", "10.0.0.0/8"], None, ["198.51.100.1, 10.0.0.1"], "198.51.100.1"),
    (["unix"], None, [], None),
    (["unix"], None, ["x"], None),
    (["unix"], "10.0.0.1", ["198.51.100.1"], "10.0.0.1"),
    (["unix"], "testclient", ["198.51.100.1"], None),
]


@pytest.mark.parametrize(("trusted", "peer", "forwarded", "client"), CLIENTS)
def test_the_client_is_the_rightmost_that_no_trusted_proxy_is(trusted, peer, forwarded, client):
    proxies = Proxies(trusted)

    found = proxies.client(peer, forwarded)

    assert proxies.problems == []
    assert (None if found is None else str(found)) == client


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [("10.1.2.3", True), ("11.0.0.1", False), ("x", False), ("", True), (None, True)],
)
def test_a_proxy_is_trusted_by_its_address_or_its_socket(peer, is_trusted):
    assert Proxies(["10.0.0.0/8", "unix"]).trust(peer) is is_trusted


def test_one_proxy_need_not_be_a_list():
    assert Proxies("10.0.0.1").trust("10.0.0.1")


@pytest.mark.parametrize(
    ("network", "what"),
    [
        ("10.0.0.1/8", "write '10.0.0.0/8'"),
        ("0.0.0.0/0", "is everybody"),
        ("::/0", "is everybody"),
        ("localhost", "is a network such as"),
        ("", "is a network such as"),
        (10, "is a network such as"),
        ("10.0.0.0/33", "is a network such as"),
        ("2001:0db8::/32", "write '2001:db8::/32'"),
    ],
)
def test_what_is_no_network_is_a_problem(network, what):
    proxies = Proxies(["10.0.0.0/8", network])

    ((where, found),) = proxies.problems
    assert where == "trusted_proxies[1]"
    assert what in found


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_clients_of_ipv6_are_counted_by_their_subnet(address, key):
    assert client_key(parse_address(address)) == key


def test_who_has_no_address_is_counted_with_all_who_have_none():
    assert client_key(None) == "unknown"


# --- whatever is sent ---------------------------------------------------------------------------

addresses = st.ip_addresses().map(str)
entries = addresses | st.text("0123456789abcdef.:[]% ,x\t_", max_size=30) | st.text(max_size=10)
TRUSTED = Proxies(["10.0.0.0/8", "fd00::/8"])
INSIDE = st.integers(1, 2**24 - 2).map(lambda n: str(ip_address(int(ip_address("10.0.0.0")) + n)))


@given(st.lists(st.lists(entries, max_size=4).map(",".join), max_size=3))
def test_no_header_makes_another_peer_of_one_that_is_not_trusted(forwarded):
    assert str(TRUSTED.client("203.0.113.7", forwarded)) == "203.0.113.7"


@given(st.lists(entries, max_size=4), addresses, st.lists(INSIDE, max_size=3))
def test_what_a_client_writes_in_front_changes_nothing(written, appended, hops):
    """The outermost trusted proxy appends who called it, the others whom they were called by."""
    client = parse_address(appended)
    if any(client in ip_network(n) for n in ("10.0.0.0/8", "fd00::/8") if client.version == 4) or (
        client.version == 6 and client in ip_network("fd00::/8")
    ):
        return
    forwarded = [", ".join([*written, appended, *hops])]

    assert TRUSTED.client("10.0.0.1", forwarded) == client


@given(entries)
def test_an_entry_is_an_address_or_nothing(entry):
    found = parse_forwarded(entry)

    if found is not None:
        assert parse_address(str(found)) == found
        assert "%" not in entry
        assert entry.isascii()


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_address_is_read_with_and_without_a_port(address, port):
    bare = parse_forwarded(str(address))
    with_port = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"

    assert bare == parse_forwarded(with_port) == parse_address(str(address))
    assert bare is not None
