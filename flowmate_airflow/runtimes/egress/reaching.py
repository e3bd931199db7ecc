"""Connecting to a host that a component may reach, at an address that was checked."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from flowmate_airflow.net.addresses import is_public
from flowmate_airflow.runtimes.egress.rules import Egress
from flowmate_airflow.runtimes.egress.tunnel import CHUNK

CONNECT_SECONDS = 10.0
"""For all of a name's addresses together, once they are known."""
RESOLVE_SECONDS = 10.0
MAX_ADDRESSES = 4

_NEVER = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),  # the metadata of most clouds, with credentials
    IPv4Network("100.100.100.200/32"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("::/128"),
    IPv6Network("64:ff9b::/96"),  # any of IPv4's in other clothes
    IPv6Network("fd00:ec2::/32"),  # the metadata of one
    IPv6Network("fe80::/10"),
    IPv6Network("ff00::/8"),
)
"""What no name may lead to, not even one in a private network."""


class Unreachable(Exception):
    """A host is not connected to.

    :param text: why, as a sentence
    :param status: of HTTP
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


async def connect(egress: Egress, name: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a host if it may be reached. The address that was checked is the one that is connected to.

    :param name: as :func:`~flowmate_airflow.runtimes.egress.rules.host_name` returns it
    :raises Unreachable: it may not be reached, or does not answer
    """
    if not egress.allows(name, port):
        raise Unreachable(egress.refusal(name, port), 403)
    found = await _addresses(name, port)
    usable = [each for each in found if _may_be(egress, name, str(each[1][0]))]
    if not usable:
        raise Unreachable(_not_public(egress, name), 403)
    try:
        return await asyncio.wait_for(_first(name, usable[:MAX_ADDRESSES]), CONNECT_SECONDS)
    except asyncio.TimeoutError:
        raise Unreachable(f"{name} could not be connected to in {CONNECT_SECONDS:g} seconds", 504) from None


Address = tuple[socket.AddressFamily, Any]


async def _addresses(name: str, port: int) -> list[Address]:
    asked = asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.wait_for(asked, RESOLVE_SECONDS)
    except asyncio.TimeoutError:
        raise Unreachable(f"the address of {name} was not found in {RESOLVE_SECONDS:g} seconds", 504) from None
    except (OSError, UnicodeError):
        raise Unreachable(f"the worker finds no address of {name}", 502) from None
    return [(info[0], info[4]) for info in found]


async def _first(name: str, addresses: list[Address]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, address in addresses:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return await asyncio.open_connection(sock=connection, limit=CHUNK)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
    raise Unreachable(f"{name} could not be connected to: {failure.strerror if failure else 'no address'}", 502)


def _may_be(egress: Egress, name: str, address: str) -> bool:
    if is_public(address):
        return True
    if not egress.private:
        return False
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    never = any(parsed.version == network.version and parsed in network for network in _NEVER)
    return not never or egress.allows_literally(str(parsed))


def _not_public(egress: Egress, name: str) -> str:
    if egress.private:
        return f"{name} leads to an address that no host may have"
    return (
        f"{name} has no address on the public internet; where it shall be in a private network, the method in "
        f"{egress.connector}'s manifest says `private: true`"
    )
