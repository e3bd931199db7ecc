"""Our proofs against what providers publish for Python: theirs signs, ours verifies, and the other way round."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from discord_interactions import verify_key
from gidgethub import ValidationFailure
from gidgethub.sansio import validate_event
from hubspot.utils.signature import Signature as HubSpotSignature
from senders import (
    NOW,
    TOPIC,
    b64,
    certificate,
    discord,
    ed25519_pair,
    post,
    raw_public,
    rsa_pair,
    sendgrid,
    sns,
    sns_scheme,
)
from sendgrid.helpers.eventwebhook import EventWebhook
from slack_sdk.signature import SignatureVerifier
from sns_message_validator import SNSMessageValidator
from standardwebhooks.webhooks import Webhook as StandardWebhook
from stripe import SignatureVerificationError, WebhookSignature
from svix.webhooks import Webhook as SvixWebhook
from svix.webhooks import WebhookVerificationError
from twilio.request_validator import RequestValidator

from flowmate_airflow.webhooks.requests import HookRequest, Rejected
from flowmate_airflow.webhooks.schemes import SCHEMES, sign, verify

BODIES = [
    b'{"id":"evt_1","type":"order.paid"}',
    b"{}",
    b"",
    '{"name":"Zoë \U0001f600","escaped":"\\u00eb"}\r\n'.encode(),
    b" \t[1 , 2]\n",
    b"x" * 100_000,
]
BODY_IDS = ["json", "small", "empty", "unicode", "spaces", "large"]
URL = "https://hooks.example.com/flowmate/hooks/orders"
TEXT = "It's a secret"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

Headers = dict[str, str]


@dataclass(frozen=True)
class Sender:
    """A provider's package: how it signs a body, and whether it takes what was signed.

    :param signs: of body and the seconds since 1970; None where it only verifies
    """

    scheme: str
    secret: str
    signs: Callable[[bytes, int], Headers] | None
    takes: Callable[[bytes, Headers], Any]


def passes(error: type[Exception], call: Callable[[], Any]) -> bool:
    """Return whether a call does not raise."""
    try:
        call()
    except error:
        return False
    return True


def _stripe_signs(body: bytes, now: int) -> Headers:
    return {"stripe-signature": WebhookSignature.generate_signature_header(body.decode(), TEXT, now)}


def _stripe_takes(body: bytes, headers: Headers) -> bool:
    header = headers["stripe-signature"]
    return passes(SignatureVerificationError, lambda: WebhookSignature.verify_header(body, header, TEXT, 300))


def _slack_signs(body: bytes, now: int) -> Headers:
    signature = SignatureVerifier(TEXT).generate_signature(timestamp=str(now), body=body)
    return {"x-slack-signature": str(signature), "x-slack-request-timestamp": str(now)}


def _slack_takes(body: bytes, headers: Headers) -> bool:
    return SignatureVerifier(TEXT).is_valid_request(body, headers)


def _standard_signs(body: bytes, now: int) -> Headers:
    # The package takes the clock's reading for one of UTC.
    signature = StandardWebhook(STANDARD).sign("msg_1", datetime.fromtimestamp(now, timezone.utc), body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}


def _standard_takes(body: bytes, headers: Headers) -> bool:
    webhook = StandardWebhook(STANDARD)
    return passes(WebhookVerificationError, lambda: webhook.verify(body, headers, json_parse=False))


def _svix_signs(body: bytes, now: int) -> Headers:
    signature = SvixWebhook(STANDARD).sign("msg_1", datetime.fromtimestamp(now, timezone.utc), body.decode())
    return {"svix-id": "msg_1", "svix-timestamp": str(now), "svix-signature": signature}


def _svix_takes(body: bytes, headers: Headers) -> bool:
    return passes(WebhookVerificationError, lambda: SvixWebhook(STANDARD).verify(body, headers))


def _hubspot_signs(body: bytes, now: int) -> Headers:
    stamp = f"{now}000"
    signature = HubSpotSignature.get_signature(TEXT, body.decode(), "v3", URL, "POST", stamp)
    return {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": stamp}


def _hubspot_takes(body: bytes, headers: Headers) -> bool:
    return HubSpotSignature.is_valid(
        headers["x-hubspot-signature-v3"],
        TEXT,
        body.decode(),
        URL,
        "POST",
        "v3",
        headers["x-hubspot-request-timestamp"],
    )


def _github_takes(body: bytes, headers: Headers) -> bool:
    signature = headers["x-hub-signature-256"]
    return passes(ValidationFailure, lambda: validate_event(body, signature=signature, secret=TEXT))


def _paddle_takes(body: bytes, headers: Headers) -> bool:
    notifications = pytest.importorskip("paddle_billing.Notifications", reason="wants Python 3.11")
    request = SimpleNamespace(body=body, headers={"Paddle-Signature": headers["paddle-signature"]})
    return bool(notifications.Verifier(300).verify(request, notifications.Secret(TEXT)))


SENDERS = {
    "stripe": Sender("stripe", TEXT, _stripe_signs, _stripe_takes),
    "slack_sdk": Sender("slack", TEXT, _slack_signs, _slack_takes),
    "standardwebhooks": Sender("standard", STANDARD, _standard_signs, _standard_takes),
    "svix": Sender("standard", STANDARD, _svix_signs, _svix_takes),
    "hubspot": Sender("hubspot", TEXT, _hubspot_signs, _hubspot_takes),
    "gidgethub": Sender("github", TEXT, None, _github_takes),
    "paddle": Sender("paddle", TEXT, None, _paddle_takes),
}


def request_of(body: bytes, headers: Headers) -> HookRequest:
    return HookRequest("POST", URL, tuple(headers.items()), body)


def opens(sender: Sender, body: bytes, headers: Headers, *secrets: str) -> bool:
    request, known = request_of(body, headers), secrets or (sender.secret,)
    return passes(Rejected, lambda: verify(SCHEMES[sender.scheme], request, known, time.time()))


@pytest.mark.parametrize("body", BODIES, ids=BODY_IDS)
@pytest.mark.parametrize("name", [name for name, sender in SENDERS.items() if sender.signs])
def test_what_the_providers_package_signs_is_let_in(name: str, body: bytes) -> None:
    sender = SENDERS[name]
    assert sender.signs is not None
    headers = sender.signs(body, int(time.time()))
    assert opens(sender, body, headers)
    assert opens(sender, body, headers, "whsec_AAAA", sender.secret)
    assert not opens(sender, body + b" ", headers)
    assert not opens(sender, body, headers, "whsec_AAAA")
    for late in (-400, 400):
        assert not opens(sender, body, sender.signs(body, int(time.time()) + late))


@pytest.mark.parametrize("body", BODIES, ids=BODY_IDS)
@pytest.mark.parametrize("name", SENDERS)
def test_the_providers_package_takes_what_we_sign(name: str, body: bytes) -> None:
    sender = SENDERS[name]
    made = sign(SCHEMES[sender.scheme], body, sender.secret, time.time(), url=URL, delivery_id="msg_1")
    headers = dict(made)
    assert opens(sender, body, headers)
    assert sender.takes(body, headers)
    assert not sender.takes(body + b" ", headers)


@pytest.mark.parametrize("name", SENDERS)
def test_both_refuse_the_same_forgeries(name: str) -> None:
    sender = SENDERS[name]
    made = dict(sign(SCHEMES[sender.scheme], BODIES[0], sender.secret, time.time(), url=URL, delivery_id="msg_1"))
    signature = next(header for header in made if "signature" in header)
    wrong = made[signature][:-2] + ("AA" if not made[signature].endswith("AA") else "BB")
    assert not sender.takes(BODIES[0], {**made, signature: wrong})
    assert not opens(sender, BODIES[0], {**made, signature: wrong})


@pytest.mark.parametrize("url", [URL, f"{URL}?a=1&b=%20c", "https://a.example:8443/x", "http://a.example/"])
@pytest.mark.parametrize(
    ("form", "parameters"),
    [
        (b"", {}),
        (
            b"To=%2B1800&From=%2B1415&Body=a+b%C3%A9&Empty=",
            {"To": "+1800", "From": "+1415", "Body": "a bé", "Empty": ""},
        ),
    ],
    ids=["empty", "form"],
)
def test_twilios_package_and_ours_agree(url: str, form: bytes, parameters: dict[str, str]) -> None:
    validator = RequestValidator(TEXT)
    content_type = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
    theirs = validator.compute_signature(url, parameters)
    request = post(content_type, ("x-twilio-signature", theirs), body=form, url=url)
    verify(SCHEMES["twilio"], request, ["other", TEXT], 0)
    with pytest.raises(Rejected):
        verify(SCHEMES["twilio"], request, ["other"], 0)
    with pytest.raises(Rejected):
        verify(SCHEMES["twilio"], post(*request.headers[1:], body=form + b"&x=1", url=url), [TEXT], 0)
    ours = dict(sign(SCHEMES["twilio"], form, TEXT, 0, url=url, headers=(content_type,)))
    assert validator.validate(url, parameters, ours["x-twilio-signature"])


def test_twilios_package_and_ours_agree_on_json() -> None:
    body, validator = b'{"a": 1}', RequestValidator(TEXT)
    url = f"{URL}?bodySHA256={validator.compute_hash(body.decode())}"
    json_type = ("content-type", "application/json")
    theirs = validator.compute_signature(url, {})
    verify(SCHEMES["twilio"], post(json_type, ("x-twilio-signature", theirs), body=body, url=url), [TEXT], 0)
    ours = dict(sign(SCHEMES["twilio"], body, TEXT, 0, url=url, headers=(json_type,)))["x-twilio-signature"]
    assert validator.validate(url, body.decode(), ours)
    with pytest.raises(Rejected):
        verify(SCHEMES["twilio"], post(json_type, ("x-twilio-signature", ours), body=b'{"a": 2}', url=url), [TEXT], 0)


def test_discords_package_takes_what_opens_here() -> None:
    delivery = discord()
    request = delivery.request
    signature, stamp = request.header("x-signature-ed25519"), request.header("x-signature-timestamp")
    verify(SCHEMES["discord"], request, [delivery.secret], delivery.now)
    assert verify_key(request.body, str(signature), str(stamp), delivery.secret)
    assert not verify_key(request.body + b" ", str(signature), str(stamp), delivery.secret)


def test_sendgrids_package_takes_what_opens_here() -> None:
    delivery = sendgrid()
    request, package = delivery.request, EventWebhook(delivery.secret)
    signature = str(request.header("x-twilio-email-event-webhook-signature"))
    stamp = str(request.header("x-twilio-email-event-webhook-timestamp"))
    verify(SCHEMES["sendgrid"], request, [delivery.secret], delivery.now)
    assert package.verify_signature(request.body.decode(), signature, stamp)
    assert not package.verify_signature(request.body.decode() + " ", signature, stamp)


def test_a_package_for_sns_takes_what_opens_here(monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(rsa_pair())
    package = SNSMessageValidator()
    monkeypatch.setattr(package, "_cert_session", SimpleNamespace(get=lambda _url: SimpleNamespace(content=pem)))
    for delivery in (
        sns(),
        sns(Subject=None),
        sns(Type="SubscriptionConfirmation", Token="t", Subject=None, SubscribeURL="https://x"),
    ):
        verify(sns_scheme(), delivery.request, [TOPIC], delivery.now)
        package.validate_message(json.loads(delivery.request.body))


def test_standard_webhooks_with_a_public_key() -> None:
    signed = b"msg_1.%d.%b" % (NOW, BODIES[0])
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": f"v1,AAAA v1a,{b64(ed25519_pair().sign(signed))}",
    }
    key = f"whpk_{b64(raw_public(ed25519_pair()))}"
    request = request_of(BODIES[0], headers)
    assert verify(SCHEMES["standard"], request, [STANDARD, key], NOW).delivery_id == "msg_1"
    for secrets in ([STANDARD], [key[5:]], ["whpk_AAAA"]):
        with pytest.raises(Rejected):
            verify(SCHEMES["standard"], request, secrets, NOW)
    with pytest.raises(Rejected):
        verify(SCHEMES["standard"], request_of(BODIES[1], headers), [key], NOW)
    hmac_made = {**headers, "webhook-signature": headers["webhook-signature"].replace("v1a,", "v1,")}
    with pytest.raises(Rejected):
        verify(SCHEMES["standard"], request_of(BODIES[0], hmac_made), [key], NOW)
