"""What a flow may refine of a scheme, and what is told when it is wrong; and signing as a sender would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from senders import BODY, DELIVERIES, NOW, SECRET, b64, mac, post

from flowmate_airflow.webhooks.requests import HookRequest, Rejected, Verified
from flowmate_airflow.webhooks.schemes import SCHEMES, SchemeOptions, option_names, scheme_named, sign, verify


def accept(options: dict[str, Any], request: HookRequest, scheme: str = "hmac", now: float = NOW) -> Verified:
    return verify(scheme_named(scheme, options), request, [SECRET], now)


def refuse(options: dict[str, Any], request: HookRequest, scheme: str = "hmac", now: float = NOW) -> None:
    with pytest.raises(Rejected):
        accept(options, request, scheme, now)


def wrong(scheme: str, options: Any) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        scheme_named(scheme, options)
    assert type(caught.value) is ValueError
    return str(caught.value)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_an_hmac_is_written_as_the_flow_says(algorithm: str, encoding: str) -> None:
    digest = mac(SECRET, BODY, algorithm)
    text = f"sig={digest.hex() if encoding == 'hex' else b64(digest)}"
    options = {"header": "X-My-Signature", "algorithm": algorithm, "encoding": encoding, "prefix": "sig="}
    accept(options, post(("x-my-signature", text)))
    refuse(options, post(("x-my-signature", text.removeprefix("sig="))))
    refuse({**options, "algorithm": "sha1" if algorithm != "sha1" else "sha512"}, post(("x-my-signature", text)))


def test_a_timestamp_is_signed_before_the_body_unless_the_flow_says_otherwise() -> None:
    options = {"timestamp_header": "X-Time"}
    request = post(("x-signature", mac(SECRET, b"%d.%b" % (NOW, BODY)).hex()), ("x-time", str(NOW)))
    assert accept(options, request).sent_at is not None
    refuse(options, request, now=NOW + 301)
    accept({**options, "tolerance": "10m"}, request, now=NOW + 301)
    refuse({**options, "tolerance": "10s"}, request, now=NOW + 11)


def test_what_is_signed_can_hold_address_and_headers() -> None:
    options = {"signed": "{method} {url}\n{header:x-nonce}\n{body}"}
    for method in ("POST", "GET", "DELETE"):
        signed = f"{method} https://hooks.example.com/x?a=1\nn1\n".encode() + BODY
        headers = (("x-signature", mac(SECRET, signed).hex()), ("x-nonce", "n1"))
        request = HookRequest(method, "https://hooks.example.com/x?a=1", headers, BODY)
        accept(options, request)
        refuse(options, replace(request, url="https://hooks.example.com/x?a=2"))
        refuse(options, replace(request, headers=(headers[0], ("x-nonce", "n2"))))
        refuse(options, replace(request, headers=headers[:1]))


def test_a_get_is_taken_only_where_its_address_is_signed() -> None:
    request = HookRequest("GET", "https://hooks.example.com/x?a=1", (("x-signature", mac(SECRET, b"").hex()),), b"")
    refuse({}, request)
    refuse({"signed": "{url}{body}"}, request)


def test_ids_and_events_come_from_where_the_flow_says() -> None:
    headers = (("x-signature", mac(SECRET, BODY).hex()), ("x-id", "h1"), ("x-event", "made"))
    verified = accept({"id_header": "X-Id", "event_header": "X-Event"}, post(*headers))
    assert (verified.delivery_id, verified.event) == ("h1", "made")
    verified = accept({"id_path": "event.id", "event_path": "type"}, post(*headers))
    assert (verified.delivery_id, verified.event) == ("e1", "order.paid")
    assert accept({"id_path": "event.nothing.0.*"}, post(*headers)).delivery_id is None
    body = b'{"items":[{"id":1},{"id":"b"}]}'
    signed = post(("x-signature", mac(SECRET, body).hex()), body=body)
    assert accept({"id_path": "items.*.id"}, signed).delivery_id == "1,b"
    assert accept({"id_path": "items.1.id"}, signed).delivery_id == "b"
    assert accept({"id_path": "items.2.id"}, signed).delivery_id is None


def test_every_scheme_can_be_told_where_its_id_stands() -> None:
    for name, delivery in DELIVERIES.items():
        if name != "sns":
            scheme = scheme_named(name, {"id_header": "User-Agent"})
            assert verify(scheme, delivery.request, [delivery.secret], NOW).delivery_id == "test"


def test_a_token_stands_in_the_header_that_the_flow_names() -> None:
    options = {"header": "X-Api-Key", "prefix": "Key "}
    accept(options, post(("x-api-key", f"Key {SECRET}")), "token_header")
    refuse(options, post(("x-api-key", SECRET)), "token_header")
    refuse(options, post(("x-webhook-token", SECRET)), "token_header")


def test_twilios_newer_hash_can_be_chosen() -> None:
    delivery = DELIVERIES["twilio"]
    form = "Bodya béFrom+14158675309To+18005551212"
    newer = delivery.having(x_twilio_signature=b64(mac(SECRET, f"{delivery.request.url}{form}")))
    accept({"algorithm": "sha256"}, newer.request, "twilio")
    refuse({"algorithm": "sha256"}, delivery.request, "twilio")
    refuse({}, newer.request, "twilio")


@pytest.mark.parametrize("name", ["standard", "stripe", "linear"])
def test_tolerance_can_be_set_wherever_a_time_is_proven(name: str) -> None:
    delivery = DELIVERIES[name]
    scheme = scheme_named(name, {"tolerance": "1h"})
    assert scheme.tolerance == 3600
    verify(scheme, delivery.request, [delivery.secret], NOW + 3500)
    with pytest.raises(Rejected):
        verify(scheme, delivery.request, [delivery.secret], NOW + 3601)


def test_amazons_tolerance_can_be_set() -> None:
    assert scheme_named("sns", {"tolerance": "2h"}).tolerance == 7200


@pytest.mark.parametrize(
    ("scheme", "options", "told"),
    [
        ("nothing", {}, '"nothing" is no scheme of webhooks; there are standard, github'),
        ("stripe", {"header": "x"}, "`header` is no option of the scheme stripe; there are tolerance, id_header"),
        ("github", {"tolerance": "5m"}, "`tolerance` is no option of the scheme github; there are id_header"),
        ("hmac", {"hedder": "x"}, '"hedder" is no option of the scheme hmac; there are header, algorithm'),
        ("hmac", {"algorithm": "md5"}, "the option `algorithm` of the scheme hmac is wrong: input should be 'sha1'"),
        ("hmac", {"header": "x y"}, "the option `header`"),
        ("hmac", {"header": 1}, "the option `header`"),
        ("hmac", {"prefix": "é"}, "the option `prefix`"),
        ("hmac", {"tolerance": 300}, "is not a duration; write for example 30s"),
        ("hmac", {"timestamp_header": "t", "tolerance": "8d"}, "`tolerance` is at most 7d"),
        ("hmac", {"tolerance": "1m"}, "its proof tells no time"),
        ("hmac", {"signed": "{timestamp}.{body}"}, "`timestamp_header` and {timestamp}"),
        ("hmac", {"signed": "{body}", "timestamp_header": "t"}, "`timestamp_header` and {timestamp}"),
        ("hmac", {"signed": "{url}"}, "must have {body}"),
        ("hmac", {"signed": "{form}{body}"}, "must have {body}"),
        ("hmac", {"signed": "{bodyy}"}, "{bodyy} is unknown; there are {body}"),
        ("hmac", {"signed": "{header:X Y}{body}"}, "is unknown"),
        ("hmac", {"signed": ""}, "the option `signed`"),
        ("hmac", {"handshake": "slack"}, "the option `handshake`"),
        ("hmac", {"id_header": "a", "id_path": "b"}, "`id_header` and `id_path` cannot both be set"),
        ("hmac", {"id_path": "a..b"}, "the option `id_path`"),
        ("hmac", {"id_path": ".".join("a" * 17)}, "the option `id_path`"),
        ("hmac", {1: 2}, "of the scheme hmac"),
        ("hmac", {"header": ["x"], "algorithm": {}}, "; the option `algorithm`"),
    ],
)
def test_a_wrong_option_is_told_with_what_there_is(scheme: str, options: Any, told: str) -> None:
    assert told in wrong(scheme, options)


def test_no_options_are_the_row_itself() -> None:
    for name, scheme in SCHEMES.items():
        assert scheme_named(name, {}) is scheme


def test_every_option_is_one_of_the_model_and_used_by_a_scheme() -> None:
    used = {option for scheme in SCHEMES.values() for option in option_names(scheme)}
    assert used == set(SchemeOptions.model_fields)
    assert SchemeOptions.model_json_schema()["additionalProperties"] is False


# --- signing


UNSIGNABLE = {"microsoft_graph", "salesforce", "sns", "discord", "sendgrid"}


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - UNSIGNABLE))
def test_what_we_sign_is_let_in(name: str) -> None:
    scheme, delivery = SCHEMES[name], DELIVERIES[name]
    form = tuple(each for each in delivery.request.headers if each[0] == "content-type")
    body, url = delivery.request.body, delivery.request.url
    made = sign(scheme, body, delivery.secret, NOW, url=url, headers=form, delivery_id="d-1", event="e-1")
    request = HookRequest("POST", url, (*form, *made), body)
    verified = verify(scheme, request, ["another", delivery.secret], NOW)
    if "d-1" in dict(made).values():
        assert verified.delivery_id == "d-1"
    if name != "token":
        with pytest.raises(Rejected):
            verify(scheme, replace(request, headers=form), [delivery.secret], NOW)


@pytest.mark.parametrize("name", sorted(UNSIGNABLE))
def test_what_only_the_provider_can_sign_is_not_signed(name: str) -> None:
    with pytest.raises(ValueError, match="only the provider"):
        sign(SCHEMES[name], BODY, DELIVERIES[name].secret, NOW)


def test_each_delivery_that_we_sign_has_an_id_of_its_own() -> None:
    secret = DELIVERIES["standard"].secret
    ids = {dict(sign(SCHEMES["standard"], BODY, secret, NOW))["webhook-id"] for _ in range(3)}
    assert len(ids) == 3


def test_signing_tells_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no secret to sign with as github"):
        sign(SCHEMES["github"], BODY, "", NOW)
    with pytest.raises(ValueError, match="no secret that is a key"):
        sign(SCHEMES["standard"], BODY, "not base64!", NOW)
    with pytest.raises(ValueError, match="the header x-nonce is missing"):
        sign(scheme_named("hmac", {"signed": "{header:x-nonce}{body}"}), BODY, SECRET, NOW)
    with pytest.raises(ValueError, match="bodySHA256"):
        sign(SCHEMES["twilio"], b"{}", SECRET, NOW, url="https://a.example/x")
