"""Which IP addresses belong to the public internet.

The lists are the registries of special-purpose addresses that IANA keeps (RFC 6890), not Python's own, which differ
from version to version.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a carrier; some clouds' metadata, too
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public; within Azure it is the machine's own host
        "169.254.0.0/16",  # link-local, with most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # examples
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # measurements
        "198.51.100.0/24",  # examples
        "203.0.113.0/24",  # examples
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
"""All that is routed. What is outside of it: loopback, local, link-local, multicast, and IPv4 in other clothes."""
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, such as Teredo, which holds an IPv4 address
        "2001:db8::/32",  # examples
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",  # examples
    )
)


def is_public(address: str) -> bool:
    """Whether a text is an IP address of the public internet.

    An IPv6 address that holds an IPv4 one (mapped, 6to4, Teredo, NAT64) is not, whatever it holds.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _NOT_PUBLIC_4)
    return parsed in _PUBLIC_6 and not any(parsed in network for network in _NOT_PUBLIC_6)
