"""Questions before a delivery: each is answered as its provider wants it, and only when it is genuine."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from senders import (
    BODY,
    DELIVERIES,
    NOW,
    SECRET,
    Delivery,
    b64,
    discord,
    mac,
    post,
    scheme_of,
    sns,
    sns_scheme,
    standard,
)

from flowmate_airflow.webhooks.requests import HookRequest, Rejected, Reply
from flowmate_airflow.webhooks.schemes import SCHEMES, handshake, scheme_named, verify

URL = "https://hooks.example.com/flowmate/hooks/orders"
CONFIRM_URL = (
    "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"
    "&TopicArn=arn:aws:sns:eu-central-1:123456789012:orders&Token=51b2ff3edb475b7d"
)


def ask(name: str, request: HookRequest, *secrets: str, now: float = NOW) -> Reply | None:
    return handshake(scheme_of(name), request, secrets, now)


def answer(name: str, request: HookRequest, *secrets: str) -> Reply:
    reply = ask(name, request, *secrets)
    assert reply is not None
    return reply


def refusal(name: str, request: HookRequest, *secrets: str) -> Rejected:
    with pytest.raises(Rejected) as caught:
        ask(name, request, *secrets)
    return caught.value


def get(query: str, *headers: tuple[str, str], method: str = "GET") -> HookRequest:
    return HookRequest(method, f"{URL}?{query}", headers, b"")


def is_safe_echo(reply: Reply) -> bool:
    return str(reply.content_type).startswith("text/plain") and ("x-content-type-options", "nosniff") in reply.headers


@pytest.mark.parametrize("name", SCHEMES)
def test_a_delivery_is_no_handshake(name: str) -> None:
    assert ask(name, DELIVERIES[name].request, DELIVERIES[name].secret) is None


# --- CloudEvents


@pytest.mark.parametrize("name", SCHEMES)
def test_cloudevents_abuse_protection_is_answered_for_every_scheme(name: str) -> None:
    headers = (("webhook-request-origin", "events.example.com"), ("webhook-request-rate", "120"))
    reply = answer(name, get("", *headers, method="OPTIONS"))
    assert reply.status == 200
    assert dict(reply.headers)["webhook-allowed-origin"] == "events.example.com"
    assert dict(reply.headers)["webhook-allowed-rate"] == "120"
    assert "POST" in dict(reply.headers)["allow"]


@pytest.mark.parametrize("rate", ["", "0", "-1", "1.5", "*", "9" * 10, "x"])
def test_any_rate_is_allowed_where_none_is_asked_for(rate: str) -> None:
    headers = (("webhook-request-origin", "a.example"), ("webhook-request-rate", rate))
    assert dict(answer("github", get("", *headers, method="OPTIONS")).headers)["webhook-allowed-rate"] == "*"


@pytest.mark.parametrize("origin", ["", "*", "a b", "a\r\nset-cookie: x", "https://a", "-a", "x" * 254, "é"])
def test_an_origin_is_a_host_name(origin: str) -> None:
    assert refusal("github", get("", ("webhook-request-origin", origin), method="OPTIONS")).reason


def test_options_without_an_origin_is_no_handshake() -> None:
    assert ask("github", get("", method="OPTIONS"), SECRET) is None


# --- Slack, Zoom, Discord, Xero: signed questions


def slack(body: bytes, secret: str = SECRET) -> HookRequest:
    signature = f"v0={mac(secret, b'v0:%d:%b' % (NOW, body)).hex()}"
    return post(("x-slack-signature", signature), ("x-slack-request-timestamp", str(NOW)), body=body)


def test_slacks_challenge_is_repeated_when_it_is_signed() -> None:
    body = b'{"type":"url_verification","challenge":"3eZbrw1aB"}'
    reply = answer("slack", slack(body), SECRET)
    assert (reply.status, reply.body) == (200, b"3eZbrw1aB")
    assert is_safe_echo(reply)
    assert refusal("slack", slack(body, "forged"), SECRET).reason
    assert refusal("slack", post(body=body), SECRET).reason
    assert "no secret" in refusal("slack", slack(body)).reason


@pytest.mark.parametrize("challenge", ["null", "1", '""', '"a b"', '"<b>\\n"', '"é"', "{}"])
def test_odd_challenges_are_not_repeated(challenge: str) -> None:
    body = b'{"type":"url_verification","challenge":%b}' % challenge.encode()
    assert refusal("slack", slack(body), SECRET).reason


def test_a_question_is_short() -> None:
    body = b'{"type":"url_verification","challenge":"%b"}' % (b"x" * 4096)
    assert ask("slack", slack(body), SECRET) is None


def zoom(body: bytes, secret: str = SECRET) -> HookRequest:
    signature = f"v0={mac(secret, b'v0:%d:%b' % (NOW, body)).hex()}"
    return post(("x-zm-signature", signature), ("x-zm-request-timestamp", str(NOW)), body=body)


def test_zooms_token_is_encrypted_with_the_secret_that_signed() -> None:
    body = b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}'
    reply = answer("zoom", zoom(body), "new secret", "", SECRET)
    assert reply.status == 200
    assert json.loads(reply.body) == {
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": mac(SECRET, "qgg8vlvZRS6UYooatFL8Aw").hex(),
    }


def test_zoom_cannot_be_used_to_sign_deliveries() -> None:
    token = f"v0:{NOW}:{{}}"
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": token}}).encode()
    assert refusal("zoom", zoom(body), SECRET).reason
    unsigned = body.replace(token.encode(), b"abc")
    assert refusal("zoom", post(body=unsigned), SECRET).reason
    assert refusal("zoom", zoom(unsigned, "forged"), SECRET).reason


def test_discords_pings_are_answered() -> None:
    key = discord().secret
    interaction = answer("discord", discord(b'{"type": 1, "id": "1"}').request, key)
    assert (interaction.status, json.loads(interaction.body)) == (200, {"type": 1})
    assert answer("discord", discord(b'{"type":0,"version":1}').request, key).status == 204
    assert ask("discord", discord(b'{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}').request, key) is None
    forged = discord(b'{"type":1}').with_body(b'{"type": 1}')
    assert refusal("discord", forged.request, key).reason


def test_xeros_question_is_answered_with_nothing_but_a_status() -> None:
    body = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}'
    right = post(("x-xero-signature", b64(mac(SECRET, body))), body=body)
    assert answer("xero", right, SECRET) == Reply(200)
    wrong = post(("x-xero-signature", b64(mac("other", body))), body=body)
    assert refusal("xero", wrong, SECRET).reason
    event = body.replace(b"[]", b'[{"tenantId":"t"}]')
    assert ask("xero", post(("x-xero-signature", b64(mac(SECRET, event))), body=event), SECRET) is None


# --- Meta, Graph, WooCommerce


def test_metas_challenge_is_repeated_for_the_right_token_only() -> None:
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    reply = answer("meta", get(f"{query}meat%20y"), "app secret", "verify:meat y")
    assert (reply.status, reply.body) == (200, b"1158201444")
    assert is_safe_echo(reply)
    assert answer("meta", get(f"{query}b"), "verify:a", "verify:b").status == 200
    for secrets in ([], ["meat y"], ["verify:"], ["verify:other"], ["app secret"]):
        assert refusal("meta", get(f"{query}meat%20y"), *secrets).reason
    assert refusal("meta", get(query), "verify:").reason
    assert refusal("meta", get("hub.mode=subscribe&hub.challenge=1"), "verify:a").reason
    assert refusal("meta", get("hub.mode=subscribe&hub.verify_token=a"), "verify:a").reason


@pytest.mark.parametrize("query", ["", "hub.mode=unsubscribe&hub.verify_token=a&hub.challenge=1", "x=1"])
def test_other_gets_of_meta_are_no_handshake(query: str) -> None:
    assert ask("meta", get(query), "verify:a") is None


def test_graphs_token_is_repeated_decoded_as_plain_text() -> None:
    request = get("validationToken=Validation%3A+Testing%20%3Cb%3E%C3%A9", method="POST")
    reply = answer("microsoft_graph", request)
    assert (reply.status, reply.body.decode()) == (200, "Validation: Testing <b>é")
    assert is_safe_echo(reply)
    assert ask("microsoft_graph", get("validationToken=x")) is None
    assert refusal("microsoft_graph", get(f"validationToken={'x' * 4097}", method="POST")).reason
    assert refusal("microsoft_graph", get("validationToken=%ff", method="POST")).reason


def test_woocommerces_ping_is_answered_and_an_order_without_signature_is_not() -> None:
    assert answer("woocommerce", post(body=b"webhook_id=17"), SECRET) == Reply(200)
    for body in (b"webhook_id=17&x=1", b"webhook_id=", b"webhook_id=x", b'{"id":1}', b"webhook_id=1\n"):
        assert ask("woocommerce", post(body=body), SECRET) is None
    signed = post(("x-wc-webhook-signature", "x"), body=b"webhook_id=17")
    assert ask("woocommerce", signed, SECRET) is None


# --- secrets that a handshake brings


BRINGING = [
    ("notion", {}, post(body=b'{"verification_token":"secret_tMrl"}')),
    ("salesforce_mc", {}, post(body=b'{"callbackId":"c","verificationKey":"secret_tMrl"}')),
    ("hmac", {"handshake": "asana"}, post(("x-hook-secret", "secret_tMrl"), body=b"")),
]


@pytest.mark.parametrize(("name", "options", "request_"), BRINGING, ids=[name for name, *_ in BRINGING])
def test_a_secret_is_learned_while_there_is_none(name: str, options: dict[str, str], request_: HookRequest) -> None:
    scheme = scheme_named(name, options)
    reply = handshake(scheme, request_, [""], NOW)
    assert reply is not None
    assert (reply.status, reply.learned) == (200, "secret_tMrl")
    assert "secret_tMrl" not in repr(replace(reply, headers=()))
    assert handshake(scheme, request_, ["known"], NOW) is None
    with pytest.raises(Rejected):
        verify(scheme, request_, ["known"], NOW)


@pytest.mark.parametrize("token", ["", "a b", "x" * 513, "é"])
def test_what_is_no_secret_is_not_learned(token: str) -> None:
    assert refusal("notion", post(body=json.dumps({"verification_token": token}).encode())).reason


@pytest.mark.parametrize("body", [b'{"verification_token":1}', b'["verification_token"]', b"verification_token", b"{"])
def test_other_bodies_bring_no_secret(body: bytes) -> None:
    assert ask("notion", post(body=body)) is None


# --- options of hmac


def test_dropbox_okta_and_trello_are_answered_where_the_flow_says_so() -> None:
    dropbox = handshake(scheme_named("hmac", {"handshake": "dropbox"}), get("challenge=abc"), [SECRET], NOW)
    assert dropbox is not None
    assert dropbox.body == b"abc"
    assert is_safe_echo(dropbox)
    okta = scheme_named("hmac", {"handshake": "okta"})
    reply = handshake(okta, get("", ("x-okta-verification-challenge", "abc")), [SECRET], NOW)
    assert reply is not None
    assert json.loads(reply.body) == {"verification": "abc"}
    trello = scheme_named("hmac", {"handshake": "trello"})
    assert handshake(trello, get("", method="HEAD"), [SECRET], NOW) == Reply(200)
    for scheme in (SCHEMES["hmac"], okta, trello):
        assert handshake(scheme, get("challenge=abc"), [SECRET], NOW) is None


# --- SNS


def confirmation(**more: str | None) -> Delivery:
    return sns(
        **{"Type": "SubscriptionConfirmation", "Token": "51b2", "Subject": None, "SubscribeURL": CONFIRM_URL, **more}
    )


def test_a_subscription_to_sns_is_confirmed_at_amazon() -> None:
    delivery = confirmation()
    reply = answer("sns", delivery.request, delivery.secret)
    assert (reply.status, reply.confirm_url) == (200, CONFIRM_URL)


def test_the_end_of_a_subscription_is_not_confirmed() -> None:
    delivery = confirmation(Type="UnsubscribeConfirmation")
    reply = answer("sns", delivery.request, delivery.secret)
    assert (reply.status, reply.confirm_url) == (200, None)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-central-1.amazonaws.com.evil.example/?Action=ConfirmSubscription&Token=a",
        "https://evil.example/?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-central-1.amazonaws.com@evil.example/?Action=ConfirmSubscription&Token=a",
        "https://sns.s3.amazonaws.com/?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-central-1.amazonaws.com:8443/?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-central-1.amazonaws.com/?Action=DeleteTopic&Token=a",
        "https://sns.eu-central-1.amazonaws.com/x?Action=ConfirmSubscription&Token=a",
        "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=a\r\nHost: x",
        "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=a#x",
        "",
    ],
)
def test_only_amazon_is_called_to_confirm(url: str) -> None:
    delivery = confirmation(SubscribeURL=url)
    assert "SubscribeURL" in refusal("sns", delivery.request, delivery.secret).reason


def test_a_confirmation_must_be_signed_and_of_the_topic() -> None:
    delivery = confirmation()
    body = delivery.request.body.replace(b"51b2ff3edb475b7d", b"51b2ff3edb475b7e")
    assert "signature" in refusal("sns", delivery.with_body(body).request, delivery.secret).reason
    assert "topic" in refusal("sns", delivery.request, "arn:aws:sns:eu-central-1:1:other").reason
    assert "no secret" in refusal("sns", delivery.request).reason


def test_the_header_of_a_message_must_not_lie_about_its_type() -> None:
    delivery = sns().having(x_amz_sns_message_type="SubscriptionConfirmation")
    assert "another type" in refusal("sns", delivery.request, delivery.secret).reason


def test_svix_names_do_not_make_a_handshake() -> None:
    delivery = standard(BODY, prefix="svix-")
    assert ask("standard", delivery.request, delivery.secret) is None
    assert sns_scheme().handshakes == SCHEMES["sns"].handshakes
