"""One genuine delivery of each scheme, made here by hand from what the provider documents."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from flowmate_airflow.webhooks.certificates import Certificates
from flowmate_airflow.webhooks.requests import HookRequest
from flowmate_airflow.webhooks.schemes import SCHEMES, Scheme
from flowmate_airflow.webhooks.sns import AmazonSignature

NOW = 1_780_000_000
URL = "https://hooks.example.com/flowmate/hooks/orders?shop=1"
SECRET = "It's a secret to everybody"
BODY = b'{"id":"evt_1","type":"order.paid","event":{"id":"e1","type":"a"},"webhookTimestamp":1780000000000}'
FORM = "application/x-www-form-urlencoded"

TOPIC = "arn:aws:sns:eu-central-1:123456789012:orders"
CERTIFICATE_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"


@dataclass(frozen=True)
class Delivery:
    """A request that passes, the secret with which it does, and when."""

    request: HookRequest
    secret: str
    now: float = NOW

    def having(self, **headers: str) -> Delivery:
        """Return it with other texts of headers; `_` stands for `-`."""
        texts = {name.replace("_", "-"): text for name, text in headers.items()}
        kept = [(name, texts.get(name, text)) for name, text in self.request.headers]
        return replace(self, request=replace(self.request, headers=tuple(kept)))

    def with_body(self, body: bytes) -> Delivery:
        """Return it with another body."""
        return replace(self, request=replace(self.request, body=body))


def mac(key: str | bytes, message: str | bytes, digest: str = "sha256") -> bytes:
    """Return an HMAC."""
    raw = key.encode() if isinstance(key, str) else key
    return hmac.new(raw, message.encode() if isinstance(message, str) else message, digest).digest()


def b64(raw: bytes) -> str:
    """Return base64 as text."""
    return base64.b64encode(raw).decode()


def post(*headers: tuple[str, str], body: bytes = BODY, url: str = URL) -> HookRequest:
    """Return a POST."""
    return HookRequest("POST", url, (("user-agent", "test"), *headers), body)


def _signed(header: str, text: str, *more: tuple[str, str], body: bytes = BODY) -> Delivery:
    return Delivery(post((header, text), *more, body=body), SECRET)


def standard(body: bytes = BODY, prefix: str = "webhook-") -> Delivery:
    """Return a delivery of Standard Webhooks, or under the names of Svix."""
    key = b"0123456789abcdef0123456789abcdef"
    signature = b64(mac(key, b"msg_1.%d.%b" % (NOW, body)))
    headers = ((f"{prefix}id", "msg_1"), (f"{prefix}timestamp", str(NOW)), (f"{prefix}signature", f"v1,{signature}"))
    return Delivery(post(*headers, body=body), f"whsec_{b64(key)}")


def hubspot() -> Delivery:
    """Return a batch of HubSpot's."""
    body = b'[{"eventId":1,"subscriptionId":2,"occurredAt":3,"attemptNumber":0,"subscriptionType":"contact.creation"}]'
    stamp = f"{NOW}123"
    signature = b64(mac(SECRET, b"POST" + URL.encode() + body + stamp.encode()))
    headers = (("x-hubspot-signature-v3", signature), ("x-hubspot-request-timestamp", stamp))
    return Delivery(post(*headers, body=body), SECRET)


def twilio() -> Delivery:
    """Return a message of Twilio's, a form."""
    body = b"To=%2B18005551212&From=%2B14158675309&Body=a+b%C3%A9"
    signature = b64(mac(SECRET, f"{URL}Bodya béFrom+14158675309To+18005551212", "sha1"))
    headers = (("content-type", FORM), ("x-twilio-signature", signature), ("i-twilio-idempotency-token", "i1"))
    return Delivery(post(*headers, body=body), SECRET)


def zendesk() -> Delivery:
    """Return a delivery of Zendesk's."""
    stamp = datetime.fromtimestamp(NOW, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _signed(
        "x-zendesk-webhook-signature",
        b64(mac(SECRET, stamp.encode() + BODY)),
        ("x-zendesk-webhook-signature-timestamp", stamp),
        ("x-zendesk-webhook-invocation-id", "inv1"),
    )


def graph(*states: str) -> Delivery:
    """Return a notification of Microsoft Graph."""
    items = [{"subscriptionId": "s", "changeType": "created", "clientState": state} for state in states or (SECRET,)]
    return Delivery(post(body=json.dumps({"value": items}).encode()), SECRET)


def salesforce() -> Delivery:
    """Return an outbound message of Salesforce."""
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        b'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
        b'<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        b"<OrganizationId>00D000000000001EAA</OrganizationId><ActionId>04k1</ActionId>"
        b'<Notification><Id>04l1</Id><sObject xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>001</sf:Id>'
        b"</sObject></Notification></notifications></soapenv:Body></soapenv:Envelope>"
    )
    return Delivery(post(body=body), "00D000000000001EAA")


@lru_cache(maxsize=1)
def ed25519_pair() -> ed25519.Ed25519PrivateKey:
    """Return a private key."""
    return ed25519.Ed25519PrivateKey.generate()


@lru_cache(maxsize=1)
def ecdsa_pair() -> ec.EllipticCurvePrivateKey:
    """Return a private key."""
    return ec.generate_private_key(ec.SECP256R1())


def raw_public(key: ed25519.Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of its public part."""
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def der_public(key: ec.EllipticCurvePrivateKey) -> str:
    """Return its public part as SendGrid shows it."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return b64(der)


def discord(body: bytes = BODY) -> Delivery:
    """Return a delivery of Discord's."""
    signature = ed25519_pair().sign(str(NOW).encode() + body).hex()
    headers = (("x-signature-ed25519", signature), ("x-signature-timestamp", str(NOW)))
    return Delivery(post(*headers, body=body), raw_public(ed25519_pair()).hex())


def sendgrid() -> Delivery:
    """Return a batch of SendGrid's."""
    body = b'[{"sg_event_id":"a","event":"open"},{"sg_event_id":"b","event":"click"}]\r\n'
    signature = b64(ecdsa_pair().sign(str(NOW).encode() + body, ec.ECDSA(hashes.SHA256())))
    headers = (
        ("x-twilio-email-event-webhook-signature", signature),
        ("x-twilio-email-event-webhook-timestamp", str(NOW)),
    )
    return Delivery(post(*headers, body=body), der_public(ecdsa_pair()))


@lru_cache(maxsize=1)
def rsa_pair() -> rsa.RSAPrivateKey:
    """Return a private key."""
    return rsa.generate_private_key(65537, 2048)


def certificate(key: rsa.RSAPrivateKey, *, since: float = NOW - 86_400, until: float = NOW + 86_400) -> bytes:
    """Return a certificate in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(since, timezone.utc))
        .not_valid_after(datetime.fromtimestamp(until, timezone.utc) + timedelta(seconds=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def sns(version: str = "1", **more: str | None) -> Delivery:
    """Return a message of Amazon SNS.

    :param more: fields; None leaves one out
    """
    message: dict[str, str | None] = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Subject": "Paid",
        "Message": '{"order": 1}\nsecond line',
        "Timestamp": datetime.fromtimestamp(NOW, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.123Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=x",
        **more,
    }
    fields = {name: text for name, text in message.items() if text is not None}
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    signed = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    digest = hashes.SHA1() if version == "1" else hashes.SHA256()
    fields["Signature"] = b64(rsa_pair().sign(signed.encode(), padding.PKCS1v15(), digest))
    header = ("x-amz-sns-message-type", fields["Type"])
    return Delivery(post(header, body=json.dumps(fields).encode()), TOPIC)


def sns_scheme(fetch: Callable[[str], bytes] | None = None) -> Scheme:
    """Return the scheme of SNS with certificates of ours."""
    proof = AmazonSignature(certificates=Certificates(fetch or (lambda _url: certificate(rsa_pair()))))
    return replace(SCHEMES["sns"], proof=proof)


def scheme_of(name: str) -> Scheme:
    """Return a scheme that fetches nothing."""
    return sns_scheme() if name == "sns" else SCHEMES[name]


def plain(name: str, value: str) -> Delivery:
    """Return a delivery that has the secret in a header."""
    return Delivery(post((name, value)), SECRET)


def _hex(message: bytes) -> str:
    return mac(SECRET, message).hex()


_STAMP = str(NOW).encode()

DELIVERIES: dict[str, Delivery] = {
    "standard": standard(),
    "github": _signed(
        "x-hub-signature-256", f"sha256={_hex(BODY)}", ("x-github-delivery", "d1"), ("x-github-event", "push")
    ),
    "gitlab": plain("x-gitlab-token", SECRET),
    "stripe": _signed("stripe-signature", f"t={NOW},v1={_hex(_STAMP + b'.' + BODY)},v0=00"),
    "shopify": _signed("x-shopify-hmac-sha256", b64(mac(SECRET, BODY)), ("x-shopify-webhook-id", "w1")),
    "slack": _signed(
        "x-slack-signature",
        f"v0={_hex(b'v0:' + _STAMP + b':' + BODY)}",
        ("x-slack-request-timestamp", str(NOW)),
    ),
    "hubspot": hubspot(),
    "zendesk": zendesk(),
    "xero": _signed("x-xero-signature", b64(mac(SECRET, BODY))),
    "woocommerce": _signed("x-wc-webhook-signature", b64(mac(SECRET, BODY)), ("x-wc-webhook-topic", "order.created")),
    "typeform": _signed("typeform-signature", f"sha256={b64(mac(SECRET, BODY))}"),
    "twilio": twilio(),
    "meta": _signed("x-hub-signature-256", f"sha256={_hex(BODY)}"),
    "microsoft_graph": graph(),
    "atlassian": _signed("x-hub-signature", f"sha256={_hex(BODY)}", ("x-atlassian-webhook-identifier", "a1")),
    "notion": _signed("x-notion-signature", f"sha256={_hex(BODY)}"),
    "linear": _signed("linear-signature", _hex(BODY), ("linear-delivery", "l1"), ("linear-event", "Issue")),
    "pagerduty": _signed("x-pagerduty-signature", f"v1={'0' * 64},v1={_hex(BODY)}"),
    "zoom": _signed(
        "x-zm-signature", f"v0={_hex(b'v0:' + _STAMP + b':' + BODY)}", ("x-zm-request-timestamp", str(NOW))
    ),
    "calendly": _signed("calendly-webhook-signature", f"t={NOW},v1={_hex(_STAMP + b'.' + BODY)}"),
    "paddle": _signed("paddle-signature", f"ts={NOW};h1={_hex(_STAMP + b':' + BODY)}"),
    "customerio": _signed("x-cio-signature", _hex(b"v0:" + _STAMP + b":" + BODY), ("x-cio-timestamp", str(NOW))),
    "salesforce": salesforce(),
    "salesforce_mc": _signed("x-sfmc-ens-signature", b64(mac(SECRET, BODY))),
    "discord": discord(),
    "sendgrid": sendgrid(),
    "sns": sns(),
    "hotglue": _signed("x-hub-signature", hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest()),
    "hmac": _signed("x-signature", _hex(BODY)),
    "bearer": plain("authorization", f"Bearer {SECRET}"),
    "basic": plain("authorization", f"Basic {b64(SECRET.encode())}"),
    "token_header": plain("x-webhook-token", SECRET),
    "token": Delivery(post(), ""),
}
"""A genuine delivery of each scheme."""
