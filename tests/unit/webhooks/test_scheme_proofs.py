"""Every scheme lets its genuine delivery in, and no twin of it that differs in anything the proof covers."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from senders import (
    BODY,
    DELIVERIES,
    FORM,
    NOW,
    SECRET,
    Delivery,
    b64,
    der_public,
    graph,
    mac,
    post,
    scheme_of,
    sns,
    standard,
)

from flowmate_airflow.webhooks.requests import HookRequest, Rejected, Verified
from flowmate_airflow.webhooks.schemes import SCHEMES, verify
from flowmate_airflow.webhooks.signatures import Signature

IN_BODY = {"microsoft_graph", "salesforce", "sns"}
BY_TOKEN = {"gitlab", "bearer", "basic", "token_header", "token"}
SIGNS_BODY = sorted(set(SCHEMES) - IN_BODY - BY_TOKEN)
PROVEN = sorted(set(SCHEMES) - {"token"})
TIMED = sorted(name for name, scheme in SCHEMES.items() if scheme.tolerance is not None)
OTHER_SECRETS = {
    "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "discord": "00" * 32,
    "sns": "arn:aws:sns:eu-central-1:999999999999:orders",
    "salesforce": "00D000000000009EAA",
    "sendgrid": der_public(ec.generate_private_key(ec.SECP256R1())),
}


def accept(name: str, delivery: Delivery, *more: str, now: float | None = None) -> Verified:
    scheme = scheme_of(name)
    return verify(scheme, delivery.request, [*more, delivery.secret], delivery.now if now is None else now)


def reason(name: str, delivery: Delivery, *secrets: str, now: float | None = None) -> Rejected:
    known = secrets or (delivery.secret,)
    with pytest.raises(Rejected) as caught:
        verify(scheme_of(name), delivery.request, known, delivery.now if now is None else now)
    return caught.value


def proof_headers(name: str) -> list[str]:
    told = [each.strip("`").partition(":")[0] for each in SCHEMES[name].proof.told()]
    return [each for each in told if any(each == header for header, _ in DELIVERIES[name].request.headers)]


HEADERS = [(name, header) for name in SCHEMES for header in proof_headers(name)]


def test_there_is_a_delivery_of_every_scheme() -> None:
    assert set(DELIVERIES) == set(SCHEMES)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_genuine_one_is_let_in(name: str) -> None:
    assert isinstance(accept(name, DELIVERIES[name]), Verified)


@pytest.mark.parametrize("name", SIGNS_BODY)
def test_no_byte_of_the_body_can_be_changed(name: str) -> None:
    delivery = DELIVERIES[name]
    body = delivery.request.body
    for place in {0, len(body) // 3, len(body) // 2, len(body) - 3}:
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        reason(name, delivery.with_body(changed))
    for other in (b"", body + b" ", body[:-1], b" " + body):
        reason(name, delivery.with_body(other))


@pytest.mark.parametrize("name", PROVEN)
def test_another_secret_does_not_open(name: str) -> None:
    delivery = DELIVERIES[name]
    other = OTHER_SECRETS.get(name, f"{SECRET}!")
    reason(name, delivery, other)
    if name not in ("sendgrid", "standard", "salesforce"):  # whose secrets have two ways to be written
        reason(name, delivery, delivery.secret[:-1])


@pytest.mark.parametrize("name", PROVEN)
def test_without_a_secret_nobody_is_let_in(name: str) -> None:
    delivery = DELIVERIES[name]
    for secrets in ([], [""], ["", ""]):
        with pytest.raises(Rejected, match="no secret"):
            verify(scheme_of(name), delivery.request, secrets, delivery.now)


@pytest.mark.parametrize("name", PROVEN)
def test_of_two_secrets_either_opens(name: str) -> None:
    delivery = DELIVERIES[name]
    other = OTHER_SECRETS.get(name, "another secret")
    accept(name, delivery, other)
    verify(scheme_of(name), delivery.request, [delivery.secret, other, ""], delivery.now)
    reason(name, delivery, other, other)


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_a_header_of_the_proof_must_be_there_once(name: str, header: str) -> None:
    delivery = DELIVERIES[name]
    headers = delivery.request.headers
    text = delivery.request.header(header)
    assert text is not None
    without = tuple(each for each in headers if each[0] != header)
    for wrong in (without, (*headers, (header, text)), (*without, (header.title(), text)), (*without, (header, ""))):
        reason(name, replace(delivery, request=replace(delivery.request, headers=wrong)))


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_no_character_of_a_header_of_the_proof_can_be_changed(name: str, header: str) -> None:
    delivery = DELIVERIES[name]
    text = delivery.request.header(header)
    assert text is not None
    tail = text.rpartition(",v0=")[0] or text  # Stripe's old signature is not looked at
    for wrong in (tail[:-1], f"{tail[:-3]}{'0' if tail[-3] != '0' else '1'}{tail[-2:]}", "é", f"{tail}\x00"):
        reason(name, delivery.having(**{header: wrong}))
    if tail.upper() != tail and not tail.startswith(("Bearer", "Basic")):
        reason(name, delivery.having(**{header: tail.upper()}))


@pytest.mark.parametrize("name", TIMED)
def test_what_is_stale_or_of_the_future_is_refused(name: str) -> None:
    delivery, tolerance = DELIVERIES[name], SCHEMES[name].tolerance
    assert tolerance is not None
    for now in (NOW + tolerance - 1, NOW - tolerance + 1):
        assert accept(name, delivery, now=now).sent_at is not None
    assert "too old" in reason(name, delivery, now=NOW + tolerance + 2).reason
    assert "future" in reason(name, delivery, now=NOW - tolerance - 2).reason


@pytest.mark.parametrize("name", TIMED)
def test_the_moment_of_signing_is_told(name: str) -> None:
    sent_at = accept(name, DELIVERIES[name]).sent_at
    assert sent_at is not None
    assert sent_at.utcoffset() is not None
    assert int(sent_at.timestamp()) == NOW


@pytest.mark.parametrize("name", SCHEMES)
def test_other_methods_are_refused(name: str) -> None:
    for method in {"GET", "HEAD", "OPTIONS", "TRACE", "post"} - set(SCHEMES[name].methods):
        request = replace(DELIVERIES[name].request, method=method)
        with pytest.raises(Rejected, match="the method is not"):
            verify(scheme_of(name), request, [DELIVERIES[name].secret], NOW)


@pytest.mark.parametrize("name", PROVEN)
def test_a_refusal_tells_no_secret(name: str) -> None:
    delivery = DELIVERIES[name].with_body(b'{"value":[{"clientState":"x"}]}')
    if name in BY_TOKEN:
        delivery = replace(delivery, request=replace(delivery.request, headers=()))
    assert delivery.secret not in reason(name, delivery).reason
    assert SECRET not in repr(delivery.request)


# --- ids and events


EXPECTED = {
    "standard": ("msg_1", "order.paid"),
    "github": ("d1", "push"),
    "stripe": ("evt_1", "order.paid"),
    "shopify": ("w1", None),
    "hubspot": ("1:2:3", "contact.creation"),
    "zendesk": ("inv1", "order.paid"),
    "twilio": ("i1", None),
    "microsoft_graph": (None, "created"),
    "atlassian": ("a1", None),
    "linear": ("l1", "Issue"),
    "pagerduty": ("e1", None),
    "sendgrid": ("a,b", None),
    "sns": ("m-1", "Paid"),
    "salesforce": (None, None),
    "hmac": (None, None),
    "token": (None, None),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_ids_and_events_come_from_where_the_provider_puts_them(name: str) -> None:
    verified = accept(name, DELIVERIES[name])
    assert (verified.delivery_id, verified.event) == EXPECTED[name]


def test_a_batch_that_is_tried_again_has_the_same_id() -> None:
    first = DELIVERIES["hubspot"]
    again = first.request.body.replace(b'"attemptNumber":0', b'"attemptNumber":1')
    stamp = str(NOW * 1000)
    signature = b64(mac(SECRET, b"POST" + first.request.url.encode() + again + stamp.encode()))
    second = first.with_body(again).having(x_hubspot_signature_v3=signature, x_hubspot_request_timestamp=stamp)
    assert accept("hubspot", second).delivery_id == accept("hubspot", first).delivery_id


def test_woocommerce_is_known_by_topic_and_body() -> None:
    created = accept("woocommerce", DELIVERIES["woocommerce"])
    updated = accept("woocommerce", DELIVERIES["woocommerce"].having(x_wc_webhook_topic="order.updated"))
    assert created.event == "order.created"
    assert created.delivery_id != updated.delivery_id


def github(*headers: tuple[str, str], body: bytes = BODY) -> Delivery:
    signature = f"sha256={mac(SECRET, body).hex()}"
    return Delivery(post(("x-hub-signature-256", signature), *headers, body=body), SECRET)


@pytest.mark.parametrize("odd", ["x" * 256, "a\x00b", "tab\t"])
def test_an_id_that_no_database_keeps_becomes_its_digest(odd: str) -> None:
    verified = accept("github", github(("x-github-delivery", odd), ("x-github-event", odd)))
    assert verified.delivery_id is not None
    assert verified.delivery_id.startswith("sha256:")
    assert verified.event is not None
    assert verified.event.isprintable()
    assert len(verified.event) <= 255


def test_an_id_there_twice_is_refused() -> None:
    assert reason("github", github(("x-github-delivery", "a"), ("x-github-delivery", "b"))).reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"id":NaN}',
        b'{"id":{}}',
        b'{"id":1.5}',
        b'{"id":true}',
        b'{"id":""}',
        b"[]",
        b'{"id":"e","x":' + b"[" * 64 + b"]" * 64 + b"}",
    ],
    ids=range(10),
)
def test_a_signed_body_that_tells_no_id_is_let_in_without_one(body: bytes) -> None:
    signature = f"t={NOW},v1={mac(SECRET, b'%d.%b' % (NOW, body)).hex()}"
    verified = accept("stripe", Delivery(post(("stripe-signature", signature), body=body), SECRET))
    assert verified.delivery_id is None


def test_a_number_is_an_id_when_it_is_exact() -> None:
    body = b'{"id":18446744073709551615}'
    signature = f"t={NOW},v1={mac(SECRET, b'%d.%b' % (NOW, body)).hex()}"
    assert accept("stripe", Delivery(post(("stripe-signature", signature), body=body), SECRET)).delivery_id == str(
        2**64 - 1
    )


# --- one provider's own


def test_svix_names_work_and_are_not_mixed_with_others() -> None:
    delivery = standard(prefix="svix-")
    assert accept("standard", delivery).delivery_id == "msg_1"
    mixed = replace(delivery.request, headers=(*delivery.request.headers, ("webhook-id", "another")))
    assert accept("standard", replace(delivery, request=mixed)).delivery_id == "msg_1"


@pytest.mark.parametrize("signature", ["v1", "v1,", "v1,a,b", "v2,{}", "v1a,{}", "V1,{}", "v1,{}x", "{}", "v1, {}"])
def test_odd_signatures_of_standard_webhooks_are_refused(signature: str) -> None:
    right = str(DELIVERIES["standard"].request.header("webhook-signature")).removeprefix("v1,")
    reason("standard", DELIVERIES["standard"].having(webhook_signature=signature.format(right)))


def test_one_right_signature_of_many_opens_but_not_of_too_many() -> None:
    right = str(DELIVERIES["standard"].request.header("webhook-signature"))
    for count in (1, 15):
        many = " ".join(["v1,AAAA"] * count + [right])
        accept("standard", DELIVERIES["standard"].having(webhook_signature=many))
    many = " ".join(["v1,AAAA"] * 16 + [right])
    assert "more than" in reason("standard", DELIVERIES["standard"].having(webhook_signature=many)).reason


def test_a_public_key_never_becomes_the_secret_of_an_hmac() -> None:
    for secret in ("whpk_AAAA", "verify:token"):
        delivery = github()
        forged = f"sha256={mac(secret, BODY).hex()}"
        assert "no secret" in reason("github", delivery.having(x_hub_signature_256=forged), secret).reason


def test_stripe_takes_a_secret_as_it_is_and_no_old_signature() -> None:
    text = str(DELIVERIES["stripe"].request.header("stripe-signature"))
    reason("stripe", DELIVERIES["stripe"].having(stripe_signature=text.replace("v1=", "v0=")))
    reason("stripe", DELIVERIES["stripe"].having(stripe_signature=f"t={NOW + 1},{text}"))
    reason("stripe", DELIVERIES["stripe"].having(stripe_signature=text.replace(f"t={NOW},", "")))


@pytest.mark.parametrize(
    "stamp", ["", "now", "1e9", f"{NOW}.0", f" {NOW}", f"+{NOW}", "1_780_000_000", "\u0661", "9" * 400]
)
def test_a_timestamp_is_digits(stamp: str) -> None:
    signature = f"v0={mac(SECRET, f'v0:{stamp}:'.encode() + BODY).hex()}"
    reason(
        "slack",
        Delivery(post(("x-slack-signature", signature), ("x-slack-request-timestamp", stamp)), SECRET),
    )


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"x", b'{"webhookTimestamp":"soon"}', b'{"webhookTimestamp":true}', b'{"webhookTimestamp":null}'],
)
def test_linear_without_its_timestamp_is_refused(body: bytes) -> None:
    delivery = Delivery(post(("linear-signature", mac(SECRET, body).hex()), body=body), SECRET)
    assert "timestamp" in reason("linear", delivery).reason


def test_hubspots_older_versions_are_refused() -> None:
    old = hashlib.sha256(SECRET.encode() + BODY).hexdigest()
    for version in ("v1", "v2"):
        headers = (("x-hubspot-signature", old), ("x-hubspot-signature-version", version))
        assert "x-hubspot-signature-v3" in reason("hubspot", Delivery(post(*headers), SECRET)).reason


def test_hubspot_signs_the_address_with_some_escapes_decoded() -> None:
    request = HookRequest("POST", "https://a.example/x?q=%2Fa%3A%26%20#top", (), b"{}")
    signed = b"POST" + b"https://a.example/x?q=/a:%26%20" + b"{}" + f"{NOW}000".encode()
    headers = (
        ("x-hubspot-signature-v3", b64(mac(SECRET, signed))),
        ("x-hubspot-request-timestamp", f"{NOW}000"),
    )
    accept("hubspot", Delivery(replace(request, headers=headers), SECRET))


def test_the_address_that_was_signed_is_part_of_the_proof() -> None:
    for name in ("twilio", "hubspot"):
        delivery = DELIVERIES[name]
        for url in ("https://hooks.example.com/flowmate/hooks/other?shop=1", f"{delivery.request.url}&more=1"):
            reason(name, replace(delivery, request=replace(delivery.request, url=url)))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("text/plain", b"a=b"),
        (None, b"a=b"),
        (FORM, b"%ff=1"),
        (FORM, b"\xff"),
        (FORM, b"&a=b" * 300),
    ],
)
def test_a_body_that_twilio_did_not_sign_is_refused(content_type: str | None, body: bytes) -> None:
    url = "https://hooks.example.com/x"
    signature = b64(mac(SECRET, url, "sha1"))
    accept("twilio", Delivery(post(("x-twilio-signature", signature), body=b"", url=url), SECRET))
    headers = [("x-twilio-signature", signature), *([("content-type", content_type)] if content_type else [])]
    reason("twilio", Delivery(post(*headers, body=body, url=url), SECRET))


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://a.example:8443/x", "https://a.example:8443/x"),
        ("https://a.example:8443/x", "https://a.example/x"),
        ("https://a.example/x", "https://a.example:443/x"),
        ("http://a.example/x?y#z", "http://a.example:80/x?y#z"),
        ("mailto:x", "mailto:x"),
    ],
)
def test_twilio_signs_with_or_without_the_port(url: str, signed: str) -> None:
    signature = b64(mac(SECRET, signed, "sha1"))
    accept("twilio", Delivery(post(("x-twilio-signature", signature), body=b"", url=url), SECRET))


def test_graph_wants_the_state_in_every_item() -> None:
    accept("microsoft_graph", graph(SECRET, SECRET))
    assert "1 of 2" in reason("microsoft_graph", graph(SECRET, "guessed")).reason
    for body in (b'{"value":[]}', b'{"value":{}}', b'{"value":[1]}', b'{"value":[{}]}', b"[]", b"{", b"", b"[" * 9000):
        reason("microsoft_graph", graph().with_body(body))


def test_graph_with_resource_data_is_refused_with_the_reason() -> None:
    body = graph().request.body.replace(b'{"value"', b'{"validationTokens":["eyJ"],"value"')
    assert "validationTokens" in reason("microsoft_graph", graph().with_body(body)).reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a/>",
        b"<a><OrganizationId>00D000000000001EAA</OrganizationId><OrganizationId>x</OrganizationId></a>",
        b"<a><OrganizationId>00D0000<b/>00000001EAA</OrganizationId></a>",
        b"<a><OrganizationId>00D000000000001</a>",
        b'<!DOCTYPE a [<!ENTITY o "00D000000000001EAA">]><a><OrganizationId>&o;</OrganizationId></a>',
        b"<a>" * 5000,
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b"<OrganizationId>" + b"0" * 100_000 + b"</OrganizationId>",
        b"\xff\xfe\x00",
    ],
    ids=range(10),
)
def test_odd_messages_of_salesforce_are_refused(body: bytes) -> None:
    reason("salesforce", DELIVERIES["salesforce"].with_body(body))


def test_salesforces_id_has_a_short_and_a_long_form() -> None:
    accept("salesforce", replace(DELIVERIES["salesforce"], secret="00D000000000001"))
    assert "no secret" in reason("salesforce", DELIVERIES["salesforce"], "00D").reason


def test_bearer_is_written_in_any_case_and_its_token_is_not() -> None:
    accept("bearer", DELIVERIES["bearer"].having(authorization=f"bearer {SECRET}"))
    reason("bearer", DELIVERIES["bearer"].having(authorization=f"Bearer  {SECRET}"))
    reason("bearer", DELIVERIES["bearer"].having(authorization="Bearer "))
    reason("bearer", DELIVERIES["bearer"].having(authorization=f"Basic {SECRET}"))


@pytest.mark.parametrize("name", ["discord", "sendgrid"])
@pytest.mark.parametrize("secret", ["", "x", "AAAA", "00" * 31, "-----BEGIN PUBLIC KEY-----", "é", "\ud800"])
def test_what_is_no_public_key_opens_nothing(name: str, secret: str) -> None:
    assert "no secret" in reason(name, DELIVERIES[name], secret).reason


def test_only_what_needs_it_wants_the_token_in_the_url() -> None:
    assert {name for name, scheme in SCHEMES.items() if scheme.needs_url_token} == {"token", "salesforce"}
    assert {name for name, scheme in SCHEMES.items() if scheme.blocks} == {"sns"}


def test_every_signature_covers_the_body() -> None:
    for name, scheme in SCHEMES.items():
        if isinstance(scheme.proof, Signature):
            assert "{body}" in scheme.proof.signed or name == "twilio"


def test_both_versions_of_amazons_signature_are_taken() -> None:
    for version in ("1", "2"):
        accept("sns", sns(version))
    reason("sns", sns("3"))
