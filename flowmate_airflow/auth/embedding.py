"""Who calls the API for embedding: a tenant, by a JWT that the application around it has signed (RS256).

Every answer to a bad token is one sentence. The algorithm is never the token's to choose.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowmate_airflow.auth.names import DEFAULT_TENANT, check_tenant
from flowmate_airflow.settings import SECTION, SettingError, setting
from flowmate_airflow.webhooks.addresses import public_url

OPTION = "embedding_keys"
ALGORITHM = "RS256"
MAX_LIFE = 3600
"""Seconds that a token may be valid."""
LEEWAY = 60
"""Seconds that clocks may differ."""
MAX_TOKEN = 8 * 1024
MAX_KEYS = 20
_MAX_FILE = 1024 * 1024
_MIN_BITS = 2048
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


class TokenRefused(Exception):
    """A token proves nothing; the text says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class _Key:
    number: str | None
    key: Any = field(repr=False)


def tenant_of(token: str) -> str:
    """Return the tenant that a token is for, its `sub`.

    :raises TokenRefused: it proves nothing
    :raises SettingError: the keys cannot be read
    """
    import jwt

    keys = _configured()
    if not keys:
        raise TokenRefused(f"no token is taken here: [{SECTION}] {OPTION} is empty")
    claims: dict[str, Any] | None = None
    for key in _candidates(token, keys):
        try:
            claims = _claims(token, key)
            break
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            name = "InvalidAudienceError" if getattr(error, "claim", "") == "aud" else type(error).__name__
            raise TokenRefused(_WHY.get(name, "the token is not valid")) from None
    if claims is None:
        raise TokenRefused("the token's signature is not right")
    _check_life(claims)
    try:
        tenant = check_tenant(claims["sub"])
    except ValueError:
        raise TokenRefused("the token's `sub` cannot be a tenant's id") from None
    if tenant == DEFAULT_TENANT:
        raise TokenRefused(f"the token's `sub` is `{DEFAULT_TENANT}`, which is the template of all tenants")
    return tenant


_WHY = {
    "ExpiredSignatureError": "the token is over",
    "ImmatureSignatureError": "the token is not valid yet: compare the clocks",
    "MissingRequiredClaimError": "the token needs the claims `exp` and `sub`",
    "InvalidAudienceError": f"the token's `aud` is not [{SECTION}] public_url",
    "InvalidSubjectError": "the token's `sub` cannot be a tenant's id",
    "InvalidIssuedAtError": "the token's `iat` is no number",
}


def _claims(token: str, key: Any) -> dict[str, Any]:
    import jwt

    # Only whether it says for whom it is: that is compared below, with the signature and all else.
    has_audience = "aud" in jwt.decode(token, options={"verify_signature": False})
    found: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        audience=public_url() if has_audience else None,
        leeway=LEEWAY,
        options={"require": ["exp", "sub"], "verify_aud": has_audience},
    )
    return found


def _check_life(claims: dict[str, Any]) -> None:
    end, begin = int(claims["exp"]), claims.get("iat")
    is_long = end - time.time() > MAX_LIFE + LEEWAY or (begin is not None and end - int(begin) > MAX_LIFE)
    if is_long:
        raise TokenRefused(f"the token is valid for longer than {MAX_LIFE:,} seconds")


def _candidates(token: str, keys: Sequence[_Key]) -> list[Any]:
    """Return the keys that may have signed a token: the one that it names, else all."""
    import jwt

    if len(token) > MAX_TOKEN:
        raise TokenRefused(f"the token has more than {MAX_TOKEN:,} characters")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenRefused("the token is no JWT") from None
    if header.get("alg") != ALGORITHM:
        raise TokenRefused(f"the token must be signed by {ALGORITHM}")
    named = header.get("kid")
    if named is None or not any(each.number for each in keys):
        return [each.key for each in keys]
    found = [each.key for each in keys if each.number == named]
    if not found:
        raise TokenRefused("the token is signed with a key that is not known here (`kid`)")
    return found


_read: tuple[tuple[str, int, int], tuple[_Key, ...]] | None = None


def _configured() -> tuple[_Key, ...]:
    """Return the keys of the file that the option names, which is read again when it has changed.

    :raises SettingError: it cannot be read
    """
    global _read
    name = setting(OPTION).strip()
    if not name:
        return ()
    path = Path(name).expanduser()
    try:
        status = path.stat()
        seen = (name, status.st_mtime_ns, status.st_size)
        if _read is None or _read[0] != seen:
            if status.st_size > _MAX_FILE:
                raise ValueError("is too large")
            _read = seen, tuple(_keys_in(path.read_text("utf-8")))
    except OSError as error:
        raise SettingError(f"[{SECTION}] {OPTION}: the file cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingError(f"[{SECTION}] {OPTION}: the file {error}") from None
    return _read[1]


def _keys_in(text: str) -> list[_Key]:
    """Return the public keys in a file: PEM, one after the other, or a JWKS.

    :raises ValueError: it has none, or something else
    """
    found = _of_jwks(text) if text.lstrip().startswith("{") else _of_pem(text)
    if not found or len(found) > MAX_KEYS:
        raise ValueError(f"must have 1 to {MAX_KEYS} public RSA keys, as PEM or JWKS")
    if any(each.key.key_size < _MIN_BITS for each in found):
        raise ValueError(f"has a key with less than {_MIN_BITS:,} bits")
    return found


def _of_pem(text: str) -> list[_Key]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found = []
    for match in _PEM.finditer(text):
        if "PRIVATE" in match[1]:
            raise ValueError("has a private key, which only the application may have; put the public one there")
        try:
            key = load_pem_public_key(match[0].encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError(f"has a {match[1]} that is no public key") from None
        if not isinstance(key, RSAPublicKey):
            raise ValueError("has a key that is not RSA")
        found.append(_Key(None, key))
    return found


def _of_jwks(text: str) -> list[_Key]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt.algorithms import RSAAlgorithm
    from jwt.exceptions import PyJWTError

    try:
        listed = json.loads(text)["keys"]
        found = []
        for each in listed:
            if each.get("kty") != "RSA" or each.get("use", "sig") != "sig" or each.get("alg", ALGORITHM) != ALGORITHM:
                continue
            key = RSAAlgorithm.from_jwk(each)
            if not isinstance(key, RSAPublicKey):
                raise ValueError("has a private key, which only the application may have; put the public one there")
            number = each.get("kid")
            found.append(_Key(number if isinstance(number, str) else None, key))
    except (PyJWTError, KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError):
        raise ValueError("is no JWKS") from None
    return found


__all__ = ["SettingError", "TokenRefused", "tenant_of"]
