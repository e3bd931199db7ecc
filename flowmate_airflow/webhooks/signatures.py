"""Signatures over what was sent: the mechanism of which nearly every provider's scheme is a row of values."""

from __future__ import annotations

import base64
import binascii
import hmac
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from flowmate_airflow.webhooks.proofs import (
    NO_KEY,
    Headers,
    NoKey,
    Proof,
    Stamp,
    dummy_work,
    matches_one,
    secret_bytes,
)
from flowmate_airflow.webhooks.publickeys import ecdsa_key, ed25519_key, is_ecdsa, is_ed25519
from flowmate_airflow.webhooks.requests import HookRequest, Rejected
from flowmate_airflow.webhooks.signed import URL_FORMS, UrlForm, message
from flowmate_airflow.webhooks.sources import at, body_json

Encoding = Literal["hex", "base64"]
Digest = Literal["sha1", "sha256", "sha512"]

MAX_SIGNATURES = 16
"""Signatures in one header; a sender that changes its secret sends two."""
SECRET_PREFIX = "whsec_"  # noqa: S105
VERIFY_TOKEN = "verify:"  # noqa: S105
NO_HMAC_KEY = ("whpk_", "whsk_", VERIFY_TOKEN)
"""How secrets begin that are no keys of an HMAC: keys of ed25519, of which one is public, and Meta's verify token."""


class Algorithm(ABC):
    """How a signature is made of a key and a message."""

    @abstractmethod
    def key(self, secret: str) -> Any | None:
        """Return the key that a secret holds; None when it holds none of this algorithm."""

    @abstractmethod
    def fits(self, key: Any, signed: bytes, given: Sequence[str], encoding: Encoding) -> bool:
        """Return whether one of the given signatures is right, all of them looked at."""


@dataclass(frozen=True, slots=True)
class Hmac(Algorithm):
    """HMAC with a secret that both sides know: its text, or what it is the base64 of."""

    digest: Digest = "sha256"
    is_base64: bool = False

    def key(self, secret: str) -> bytes | None:
        """See :meth:`Algorithm.key`."""
        if secret.startswith(NO_HMAC_KEY):
            return None
        if not self.is_base64:
            return secret_bytes(secret)
        text = secret.removeprefix(SECRET_PREFIX).rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True) or None
        except ValueError:
            return None

    def fits(self, key: bytes, signed: bytes, given: Sequence[str], encoding: Encoding) -> bool:
        """See :meth:`Algorithm.fits`."""
        return matches_one((text.encode() for text in given), self.sign(key, signed, encoding).encode())

    def sign(self, key: bytes, signed: bytes, encoding: Encoding) -> str:
        """Return the signature as it is sent."""
        return _encoded(hmac.digest(key, signed, self.digest), encoding)


@dataclass(frozen=True, slots=True)
class PublicKey(Algorithm):
    """A signature by a private key that only the sender has."""

    kind: Literal["ed25519", "ecdsa"]

    def key(self, secret: str) -> Any | None:
        """See :meth:`Algorithm.key`."""
        return (ed25519_key if self.kind == "ed25519" else ecdsa_key)(secret)

    def fits(self, key: Any, signed: bytes, given: Sequence[str], encoding: Encoding) -> bool:
        """See :meth:`Algorithm.fits`."""
        is_right = is_ed25519 if self.kind == "ed25519" else is_ecdsa
        return any(is_right(key, signed, _decoded(text, encoding)) for text in given)


def _decoded(text: str, encoding: Encoding) -> bytes:
    """Return what a signature's text stands for; nothing when it is not written as its sender would."""
    try:
        raw = binascii.unhexlify(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if _encoded(raw, encoding) == text else b""


def _encoded(raw: bytes, encoding: Encoding) -> str:
    return raw.hex() if encoding == "hex" else base64.b64encode(raw).decode()


@dataclass(frozen=True, slots=True)
class Signature(Proof):
    """A signature in a header: the values of a provider's row.

    :param header: where the signature stands
    :param signed: what it is over, with fields such as `{timestamp}.{body}`
    :param prefix: what stands before the signature; of a list only the items that begin so are signatures
    :param separator: what stands between the items, where the header is a list
    :param stamp: when it was signed
    :param url: how the address is written of which the signature is
    """

    header: str
    signed: str = "{body}"
    algorithm: Algorithm = Hmac()
    encoding: Encoding = "hex"
    prefix: str = ""
    separator: str | None = None
    stamp: Stamp | None = None
    url: UrlForm = "plain"

    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> datetime | None:
        """See :meth:`Proof.check`."""
        try:
            keys = self._keys(secrets)
            items = self._items(request)
            given = self._signatures(items)
            timestamp = self._timestamp(request, items)
            messages = [message(self.signed, request, url, timestamp) for url in URL_FORMS[self.url](request.url)]
        except Rejected:
            dummy_work(request)
            raise
        found = False
        for key in keys:
            for each in messages:
                found |= self.algorithm.fits(key, each, given, self.encoding)
        if not found:
            raise Rejected("no signature is right")
        return self._moment(request, timestamp, now)

    def told(self) -> tuple[str, ...]:
        """See :meth:`Proof.told`."""
        stamp = self.stamp.header if self.stamp else None
        return tuple(f"`{name}`" for name in (self.header, stamp) if name)

    def within(self, tolerance: int) -> Proof:
        """See :meth:`Proof.within`."""
        if self.stamp is None:
            return super(Signature, self).within(tolerance)
        return replace(self, stamp=replace(self.stamp, tolerance=tolerance))

    def sign(self, request: HookRequest, secret: str, now: float) -> Headers:
        """See :meth:`Proof.sign`."""
        key = self.algorithm.key(secret)
        if not isinstance(self.algorithm, Hmac):
            return super(Signature, self).sign(request, secret, now)
        if key is None:
            raise ValueError(NO_KEY)
        written = self.stamp.written(now) if self.stamp else ""
        try:
            signed = message(self.signed, request, URL_FORMS[self.url](request.url)[0], written)
        except Rejected as rejected:
            raise ValueError(f"this cannot be signed: {rejected.reason}") from None
        items = [f"{self.prefix}{self.algorithm.sign(key, signed, self.encoding)}"]
        if self.stamp and self.stamp.item:
            items.insert(0, f"{self.stamp.item}{written}")
        headers = [(self.header, (self.separator or "").join(items))]
        if self.stamp and self.stamp.header:
            headers.append((self.stamp.header, written))
        return tuple(headers)

    def _keys(self, secrets: Sequence[str]) -> list[Any]:
        keys = [key for secret in secrets if (key := self.algorithm.key(secret)) is not None]
        if not keys:
            raise NoKey(NO_KEY)
        return keys

    def _items(self, request: HookRequest) -> list[str]:
        text = request.header(self.header)
        if not text:
            raise Rejected(f"the header {self.header} is missing")
        return [item.strip(" ") for item in text.split(self.separator)] if self.separator else [text]

    def _signatures(self, items: list[str]) -> list[str]:
        found = [item.removeprefix(self.prefix) for item in items if item.startswith(self.prefix)]
        if not found:
            raise Rejected(f"the header {self.header} has no signature that begins with {self.prefix}")
        if len(found) > MAX_SIGNATURES:
            raise Rejected(f"the header {self.header} has more than {MAX_SIGNATURES} signatures")
        return found

    def _timestamp(self, request: HookRequest, items: list[str]) -> str:
        """Return the timestamp that is part of what was signed; one in the body is part of that."""
        if self.stamp is None or self.stamp.path:
            return ""
        if self.stamp.header:
            return request.header(self.stamp.header) or ""
        found = [item.removeprefix(self.stamp.item or "") for item in items if item.startswith(self.stamp.item or "")]
        if len(found) > 1:
            raise Rejected(f"the header {self.header} has more than one timestamp")
        return found[0] if found else ""

    def _moment(self, request: HookRequest, timestamp: str, now: float) -> datetime | None:
        if self.stamp is None:
            return None
        if self.stamp.path:
            timestamp = str(at(body_json(request.body), self.stamp.path))
        return self.stamp.check(timestamp, now)
