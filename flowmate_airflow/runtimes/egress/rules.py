"""Which hosts a step's component may reach."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

WEB_PORTS = (80, 443)
"""The ports of a host that is listed without one."""
MAX_SHOWN = 10
"""Hosts that a refusal or a line of the log lists."""

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})?(\.[a-z0-9_]([a-z0-9_-]{0,62})?)*")
_MAX_NAME = 253
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Host:
    """A host that may be reached.

    :param name: as :func:`host_name` returns it
    :param port: None: those of :data:`WEB_PORTS`
    :param below: whether it is the names below that one that are meant, and not the name itself
    """

    name: str
    port: int | None = None
    below: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that may be reached."""
        return WEB_PORTS if self.port is None else (self.port,)

    def is_met_by(self, name: str, port: int) -> bool:
        """Whether a host, as :func:`host_name` returns it, is one of those that are meant."""
        return port in self.ports and (name.endswith(f".{self.name}") if self.below else name == self.name)

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{'*.' if self.below else ''}{name}" + ("" if self.port is None else f":{self.port}")


@dataclass(frozen=True, slots=True)
class Egress:
    """What a step's component may reach.

    :param connector: the connector's name, whose manifest says so
    :param hosts: these and no others; none: nothing
    :param private: whether their addresses may be those of a private network
    """

    connector: str
    hosts: tuple[Host, ...]
    private: bool = False

    def allows(self, name: str, port: int) -> bool:
        """Whether a host may be reached."""
        return any(host.is_met_by(name, port) for host in self.hosts)

    def allows_literally(self, name: str) -> bool:
        """Whether a host is listed by its own name, not by one above it."""
        return any(host.name == name and not host.below for host in self.hosts)

    def refusal(self, name: str, port: int) -> str:
        """Return the sentence for a host that is not listed."""
        return (
            f"the connector asked for {Host(name, port)}, which is not among the hosts of {self.connector}'s manifest "
            f"({self.listed()})"
        )

    def listed(self) -> str:
        """Return the hosts in words; of very many the first ones."""
        more = len(self.hosts) - MAX_SHOWN
        listed = ", ".join(str(host) for host in self.hosts[:MAX_SHOWN])
        return f"{listed} and {more} more" if more > 0 else listed or "none"


def host_name(text: str) -> str:
    """Return the one form of a host's name: small letters, no dot at its end, an address in its shortest form.

    :param text: a name, or an address, of IPv6 in brackets
    :raises ValueError: it is neither. A name with other letters than ASCII's has to be written as in the DNS (xn--…)
    """
    if text.startswith("[") and text.endswith("]"):
        address = ip_address(text[1:-1])
        if address.version != 6 or "%" in text:
            raise ValueError(f"{text[:100]!r} is no address of IPv6")
        return str(address)
    name = text.lower().removesuffix(".")
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise ValueError(f"{text[:100]!r} is no name of a host")
    return name


def host_and_port(text: str, default: int | None = None) -> tuple[str, int]:
    """Take apart `host:port`.

    :param default: the port where there is none
    :raises ValueError: it is no such text, or has no port and there is no default
    """
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@/?#\s]+)(?::([0-9]{1,5}))?", text, re.ASCII)
    if found is None:
        raise ValueError(f"{text[:100]!r} is no host with a port")
    name, port = host_name(found[1]), found[2]
    if port is None and default is None:
        raise ValueError(f"{text[:100]!r} has no port")
    number = int(port) if port is not None else default
    assert number is not None
    if not 1 <= number <= _MAX_PORT:
        raise ValueError(f"{number} is no port")
    return name, number


def hosts_of(patterns: Iterable[str]) -> tuple[Host, ...]:
    """Return the hosts that patterns name: `api.example.com`, `*.example.com`, each perhaps with a port.

    :raises ValueError: one is no such pattern
    """
    return tuple(dict.fromkeys(_host(pattern) for pattern in patterns))


def _host(pattern: str) -> Host:
    below = pattern.startswith("*.")
    text = pattern[2:] if below else pattern
    has_port = re.search(r":[0-9]+$", text) is not None and not text.endswith("]")
    name, port = host_and_port(text, WEB_PORTS[0])
    if below and is_address(name):
        raise ValueError(f"{pattern[:100]!r}: there is nothing below an address")
    return Host(name, port if has_port else None, below)


def is_address(name: str) -> bool:
    """Whether a host is given by its address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
