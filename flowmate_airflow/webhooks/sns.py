"""Amazon SNS: messages signed with a certificate of Amazon's.

Source of the facts: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flowmate_airflow.webhooks.certificates import Certificates
from flowmate_airflow.webhooks.proofs import NO_KEY, NoKey, Proof, Stamp, dummy_work, matches_one, secret_bytes
from flowmate_airflow.webhooks.requests import HookRequest, Rejected
from flowmate_airflow.webhooks.sources import body_json

CONFIRM = "SubscriptionConfirmation"
UNSUBSCRIBED = "UnsubscribeConfirmation"
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Mapping[str, tuple[str, ...]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRM: _CONFIRMATION,
    UNSUBSCRIBED: _CONFIRMATION,
}
STAMP = Stamp(path="Timestamp", unit="iso", tolerance=60 * 60)

CERTIFICATES = Certificates()
"""Those that this process has fetched."""


@dataclass(frozen=True, slots=True)
class AmazonSignature(Proof):
    """An RSA signature over a message's fields. The secret is the topic's ARN: Amazon signs anybody's topic.

    A message keeps its timestamp while it is tried again, which ends after an hour.

    :param certificates: where Amazon's certificates come from
    """

    stamp: Stamp = STAMP
    certificates: Certificates = field(default=CERTIFICATES, repr=False, compare=False)

    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> datetime:
        """See :meth:`Proof.check`."""
        dummy_work(request)
        if not secrets:
            raise NoKey(NO_KEY)
        if request.header("x-amz-sns-rawdelivery") == "true":
            raise Rejected("messages delivered raw are not signed; switch raw message delivery off")
        message = _message(request.body)
        if not matches_one(map(secret_bytes, secrets), message["TopicArn"].encode()):
            raise Rejected("the message is of another topic")
        sent_at = self.stamp.check(message["Timestamp"], now)
        certificate = self.certificates.certificate(message.get("SigningCertURL"))
        if not certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp():
            raise Rejected("the certificate is not valid now")
        if not _is_signed(message, certificate.public_key()):
            raise Rejected("no signature is right")
        return sent_at

    @property
    def blocks(self) -> bool:
        """See :attr:`Proof.blocks`: the certificate is fetched."""
        return True

    def within(self, tolerance: int) -> AmazonSignature:
        """See :meth:`Proof.within`."""
        return replace(self, stamp=replace(self.stamp, tolerance=tolerance))

    def told(self) -> tuple[str, ...]:
        """See :meth:`Proof.told`."""
        return ("body `Signature`", "body `SigningCertURL`")


def _message(body: bytes) -> dict[str, Any]:
    """Return a message that has what is signed of it."""
    message = body_json(body)
    names = _SIGNED.get(str(message.get("Type"))) if isinstance(message, dict) else None
    if names is None:
        raise Rejected("the body is no message of Amazon SNS")
    wanted = [name for name in names if name != "Subject" or message.get(name) is not None]
    if not all(isinstance(message.get(name), str) for name in wanted):
        raise Rejected("the message lacks a field that is signed")
    checked: dict[str, Any] = message
    return checked


def _is_signed(message: Mapping[str, Any], key: Any) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256

    # Version 1 is still what a topic has by default.
    digest = {"1": SHA1, "2": SHA256}.get(str(message.get("SignatureVersion")))
    signature = message.get("Signature")
    if digest is None or not isinstance(signature, str):
        return False
    names = [name for name in _SIGNED[message["Type"]] if message.get(name) is not None]
    signed = "".join(f"{name}\n{message[name]}\n" for name in names).encode()
    try:
        key.verify(base64.b64decode(signature, validate=True), signed, PKCS1v15(), digest())
    except (InvalidSignature, ValueError):
        return False
    return True
