"""The payload of a delivery as it is kept: compressed, encrypted where that was asked for, a large one in a file."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowmate_airflow.batches.storage import open_read, open_write, remove_file
from flowmate_airflow.store.encryption import decrypt, encrypt
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.values import MIB, compressed, expanded

if TYPE_CHECKING:
    from sqlalchemy import Row

MAX_PAYLOAD = 64 * MIB
SPILL_FROM = 256 * 1024
"""The compressed size from which a payload is kept in a file."""
FOLDER = "~webhooks"
"""Beside the folders of flows, none of which can be called that."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A payload as its row has it.

    :param data: empty when it is in a file
    """

    data: bytes = field(repr=False)
    href: str | None
    is_encrypted: bool


def seal(payload: bytes, what: str, *, must_encrypt: bool, spill: Callable[[bytes], str] | None) -> Sealed:
    """Return a payload as it is to be kept.

    :param payload: its JSON
    :param what: it is, for errors
    :param must_encrypt: whether it may not be kept readable
    :param spill: writes a large one to a file and returns where; without, all are kept in the database
    :raises StoreError: it is too large, or cannot be encrypted or written
    """
    if len(payload) > MAX_PAYLOAD:
        raise StoreError(f"{what} is too large to be stored: {len(payload):,} bytes; {MAX_PAYLOAD:,} are allowed")
    data, is_encrypted = compressed(payload), False
    is_large = len(data) > SPILL_FROM
    if must_encrypt:
        data, is_encrypted = encrypt(data, what, must=True)
    if spill is None or not is_large:
        return Sealed(data, None, is_encrypted)
    return Sealed(b"", spill(data), is_encrypted)


def opened(row: Row[Any], what: str) -> bytes:
    """Return the JSON of the payload of a row with `payload`, `href` and `is_encrypted`.

    :raises StoreError: it was removed, is damaged, or cannot be read or decrypted
    """
    if row.payload is None:
        raise StoreError(f"{what} is no longer kept")
    data = _read(row.href, what) if row.href else bytes(row.payload)
    return expanded(decrypt(data, row.is_encrypted, what), what)


def spill_to(url: str) -> Callable[[bytes], str]:
    """Return what writes payloads to files; each is there for good before its place is returned.

    :param url: a folder or the URL of an object storage, `[flowmate] batch_url`
    """

    def spill(data: bytes) -> str:
        href = f"{url.rstrip('/')}/{FOLDER}/{now():%Y-%m-%d}/{uuid.uuid4().hex}"
        try:
            _write(href, data)
        except Exception as error:  # an object storage has errors of its own
            # Not called transient: the store itself works, and takes the deliveries that are not large.
            raise StoreError(f"a large payload cannot be written to {url}: {_reason(error)}") from None
        return href

    return spill


def removed(href: str) -> bool:
    """Remove a payload's file, and return whether it is gone."""
    try:
        remove_file(href)
    except Exception:  # an object storage has errors of its own
        return False
    return True


def _write(href: str, data: bytes) -> None:
    is_local = "://" not in href
    with open_write(href) as file:
        file.write(data)
        if is_local:  # an object storage has it when the file is closed
            file.flush()
            os.fsync(file.fileno())
    for folder in list(Path(href).parents)[:3] if is_local else []:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # else the file's name could be lost with the power
        finally:
            os.close(descriptor)


def _read(href: str, what: str) -> bytes:
    try:
        with open_read(href) as file:
            return file.read()
    except FileNotFoundError:
        raise StoreError(f"the file of {what} is gone: {href}") from None
    except Exception as error:
        raise StoreError(f"the file of {what} cannot be read: {_reason(error)}", transient=True) from None


def _reason(error: Exception) -> str:
    # Errors of an object storage's client may repeat its credentials.
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
