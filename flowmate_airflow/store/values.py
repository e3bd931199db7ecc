"""JSON as the store keeps it: compressed above a size, bounded."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

from flowmate_airflow.store.errors import StoreError

MIB = 1024 * 1024
COMPRESS_FROM = 1024
_PLAIN, _COMPRESSED = b"\0", b"\1"


def pack(value: Any, what: str, limit: int, *, nan: bool = False) -> bytes:
    """Return a JSON value as bytes.

    :param what: it is, for errors
    :param limit: the size of its JSON in bytes up to which it is taken
    :param nan: whether numbers that JSON does not know may be in it
    :raises StoreError: it is not JSON, or too large
    """
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=nan).encode()
    except RecursionError:
        raise StoreError(f"{what} is nested too deep to be stored") from None
    except (TypeError, ValueError) as error:
        raise StoreError(f"{what} is not JSON: {error}") from None
    if len(text) > limit:
        raise StoreError(f"{what} is too large to be stored: {len(text):,} bytes of JSON; {limit:,} are allowed")
    return compressed(text)


def compressed(text: bytes) -> bytes:
    """Return JSON as the store keeps it."""
    return _PLAIN + text if len(text) < COMPRESS_FROM else _COMPRESSED + zlib.compress(text, 3)


def expanded(data: bytes, what: str) -> bytes:
    """Return the JSON of bytes that :func:`compressed` made.

    :param what: it is, for errors
    :raises StoreError: they are damaged
    """
    try:
        return zlib.decompress(data[1:]) if data[:1] == _COMPRESSED else data[1:]
    except zlib.error:
        raise StoreError(f"{what} in the store is damaged") from None


def unpack(data: bytes, what: str) -> Any:
    """Return the value of bytes that :func:`pack` made.

    :param what: it is, for errors
    :raises StoreError: they are damaged
    """
    try:
        return json.loads(expanded(data, what))
    except (ValueError, RecursionError):
        raise StoreError(f"{what} in the store is damaged") from None


def digest(*parts: str) -> bytes:
    """Return what stands for some texts as a key; which part a character belongs to makes a difference."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()
