"""`{name}` in a manifest's addresses, parameters and bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
WRITTEN = re.compile(r"(?P<scheme>https?://)(?P<host>[^/?#\\]*)(?P<rest>.*)", re.DOTALL)
"""An address that says which host it is."""
BEGUN = re.compile(rf"{NAME.pattern}(?P<rest>([/?#].*)?)", re.DOTALL)
"""An address that begins with a value, which says it."""
_PORT = re.compile(r":[^:\]]*\Z")
_ANYTHING = re.compile(rf"{NAME.pattern}|^\*")
_DOMAIN = re.compile(r"[\w-]*(\.[\w-]+)+\.[^\W\d_][\w-]*")
"""What ends a host's name in a domain: two labels, of which the last is no number, as in an address."""


def names_in(value: Any) -> Iterator[str]:
    """Yield the names in a text, or in the texts of JSON."""
    for _, text in texts_in(value):
        yield from (match[1] for match in NAME.finditer(text))


def names_in_host(template: str) -> list[str]:
    """Return the names that say, in an address, which host it is."""
    begun = BEGUN.fullmatch(template)
    if begun:
        return [begun[1]]
    written = WRITTEN.fullmatch(template)
    return list(names_in(written["host"])) if written else []


def is_chosen_host(template: str) -> bool:
    """Whether values say, in an address, whose host it is: behind them stands no domain of the manifest's author."""
    written = WRITTEN.fullmatch(template)
    return BEGUN.fullmatch(template) is not None or (written is not None and ends_open(written["host"]))


def ends_open(host: str) -> bool:
    """Whether what follows the last value of a host, or a wildcard, is less than a domain, as `.example.com` is one.

    That a public suffix of two labels, `.co.uk`, is none either is for the manifest's author to know.

    :param host: of an address, or one of a manifest's `hosts`
    """
    name = _PORT.sub("", host)  # with a value in it, too: a port is one of the same host
    values = list(_ANYTHING.finditer(name))
    return bool(values) and _DOMAIN.fullmatch(name, values[-1].end()) is None


def texts_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each text in JSON with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from texts_in(child, (*path, key))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from texts_in(child, (*path, number))
