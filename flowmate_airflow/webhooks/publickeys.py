"""Signatures that a sender makes with a private key, of which we have the public one."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Any

STANDARD_PREFIX = "whpk_"
"""How a public key of Standard Webhooks begins."""


@lru_cache(maxsize=64)
def ed25519_key(text: str) -> Any | None:
    """Return an ed25519 public key: `whpk_` and base64, or hex as Discord shows it; None if it is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        if text.startswith(STANDARD_PREFIX):
            raw = base64.b64decode(text.removeprefix(STANDARD_PREFIX), validate=True)
        else:
            raw = binascii.unhexlify(text)
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        return None


@lru_cache(maxsize=64)
def ecdsa_key(text: str) -> Any | None:
    """Return an ECDSA public key on the curve P-256: base64 as SendGrid shows it, or PEM; None if it is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    lines = [line.strip() for line in text.strip().splitlines()]
    if lines[:1] == ["-----BEGIN PUBLIC KEY-----"]:
        lines = lines[1:-1]
    try:
        key = load_der_public_key(base64.b64decode("".join(lines), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None


def is_ed25519(key: Any, message: bytes, signature: bytes) -> bool:
    """Return whether a message was signed with the private part of an ed25519 key."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def is_ecdsa(key: Any, message: bytes, signature: bytes) -> bool:
    """Return whether a message was signed with the private part of an ECDSA key, over SHA-256."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
