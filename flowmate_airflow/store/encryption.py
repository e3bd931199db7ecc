"""Encryption with the key that Airflow encrypts its Connections with."""

from __future__ import annotations

from typing import Any

from flowmate_airflow.store.errors import StoreError

SAME_KEY = "use the same on all machines"


def encrypt(data: bytes, what: str, *, must: bool = False) -> tuple[bytes, bool]:
    """Return bytes as they are to be stored, and whether they are encrypted: Airflow may have no key.

    :param what: they are, for errors
    :param must: whether they may not be stored without
    :raises StoreError: they cannot be encrypted; nothing of them is in it
    """
    fernet = _fernet()
    if must and not fernet.is_encrypted:
        raise StoreError(f"{what} must be stored encrypted, but [core] fernet_key is empty; give Airflow a key")
    try:
        return bytes(fernet.encrypt(data)), bool(fernet.is_encrypted)
    except Exception as error:
        raise StoreError(f"{what} cannot be encrypted: {type(error).__name__}") from None


def decrypt(data: bytes, is_encrypted: bool, what: str, advice: str = SAME_KEY) -> bytes:
    """Return the bytes that :func:`encrypt` was given.

    :param what: they are, for errors
    :param advice: what one can do when Airflow's key is another one now
    :raises StoreError: they cannot be decrypted
    """
    if not is_encrypted:
        return data
    fernet = _fernet()
    if not fernet.is_encrypted:
        raise StoreError(f"{what} cannot be decrypted: [core] fernet_key is empty; {advice}")
    try:
        return bytes(fernet.decrypt(data))
    except Exception:
        raise StoreError(
            f"{what} cannot be decrypted: [core] fernet_key is not the one that they were stored with; {advice}"
        ) from None


def _fernet() -> Any:
    try:
        from airflow.models.crypto import get_fernet

        return get_fernet()
    except Exception as error:
        # Its text may repeat the key.
        raise StoreError(
            f"Airflow's encryption cannot be used ({type(error).__name__}); check [core] fernet_key"
        ) from None
