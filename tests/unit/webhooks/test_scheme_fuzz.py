"""Whatever is sent, the answer is a refusal or a result, and nothing forged gets in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from senders import DELIVERIES, NOW, SECRET, scheme_of

from flowmate_airflow.webhooks.requests import HookRequest, Rejected, Reply, Verified
from flowmate_airflow.webhooks.schemes import SCHEMES, dummy_work, handshake, scheme_named, verify

NAMES = sorted({name for delivery in DELIVERIES.values() for name, _ in delivery.request.headers})
KNOWN_NAMES = [
    *NAMES,
    *("x-hook-secret", "x-okta-verification-challenge", "webhook-request-origin", "svix-signature", "svix-id"),
]
PARTS = [
    "v1,",
    "v1=",
    "t=",
    "ts=",
    "h1=",
    "v0=",
    "sha256=",
    "Bearer ",
    "Basic ",
    ",",
    ";",
    " ",
    str(NOW),
    "é",
    "\ud800",
]
texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from([*PARTS, "0" * 64, "AAAA"])).map("".join))
headers = st.lists(st.tuples(st.one_of(st.sampled_from(KNOWN_NAMES), st.text(max_size=8)), texts), max_size=8)
bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([delivery.request.body for delivery in DELIVERIES.values()]),
    st.sampled_from(
        [
            b"[" * 5000,
            b'{"a":' * 5000,
            b"<a>" * 5000,
            b'{"type":"url_verification"}',
            b'{"event":"endpoint.url_validation","payload":{"plainToken":"a"}}',
            b'{"verification_token":"a","verificationKey":"b"}',
            b'{"events":[]}',
            b"webhook_id=1",
            b"NaN",
            b"",
        ]
    ),
)
urls = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "https://[",
            "https://a.example/?validationToken=%ff",
            "https://a.example/?hub.mode=subscribe&hub.verify_token=a",
            "https://a.example/?challenge=a",
            f"https://a.example/?{'a&' * 500}",
            f"https://a.example/?{'a' * 20_000}",
        ]
    ),
)
methods = st.one_of(st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "PUT", "post", ""]), st.text(max_size=5))
secret_lists = st.lists(
    st.one_of(st.text(max_size=40), st.sampled_from([each.secret for each in DELIVERIES.values()])), max_size=3
)
nows = st.one_of(st.just(float(NOW)), st.floats())
requests = st.builds(HookRequest, methods, urls, headers.map(tuple), bodies)


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=40, deadline=None)
@given(request=requests, secrets=secret_lists, now=nows)
def test_only_refusals_or_results_come_out(name: str, request: HookRequest, secrets: list[str], now: float) -> None:
    scheme = scheme_of(name)
    for check, results in ((verify, Verified), (handshake, (Reply, type(None)))):
        try:
            assert isinstance(check(scheme, request, secrets, now), results)
        except Rejected as rejected:
            assert rejected.reason  # noqa: PT017
    dummy_work(request)


@pytest.mark.parametrize("handshake_of", ["dropbox", "okta", "asana", "trello"])
@settings(max_examples=40, deadline=None)
@given(request=requests, secrets=secret_lists)
def test_handshakes_that_a_flow_chooses_neither(handshake_of: str, request: HookRequest, secrets: list[str]) -> None:
    scheme = scheme_named("hmac", {"handshake": handshake_of})
    try:
        reply = handshake(scheme, request, secrets, NOW)
    except Rejected as rejected:
        assert rejected.reason  # noqa: PT017
    else:
        assert reply is None or all("\n" not in text and "\r" not in text for _, text in reply.headers)


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {"token"}))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_random_headers_and_secrets_open_nothing(name: str, data: st.DataObject) -> None:
    genuine = DELIVERIES[name]
    known = {each.secret for each in DELIVERIES.values()}
    drawn = data.draw(headers.map(tuple))
    request = replace(genuine.request, headers=drawn)
    secrets = data.draw(st.lists(st.text(min_size=1, max_size=20).filter(lambda text: text not in known), max_size=3))
    if any(text.strip() and secret in text for secret in secrets for _, text in drawn):
        return  # the secret itself was drawn into a header
    with pytest.raises(Rejected):
        verify(scheme_of(name), request, secrets, NOW)
    assert SECRET not in secrets


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {"token"}))
def test_a_header_of_a_megabyte_is_refused(name: str) -> None:
    genuine = DELIVERIES[name]
    for header in [each for each in SCHEMES[name].proof.told() if each.startswith("`")]:
        known = header.strip("`").partition(":")[0]
        kept = [each for each in genuine.request.headers if each[0] != known]
        request = replace(genuine.request, headers=(*kept, (known, "v1=" + "a," * 500_000)))
        with pytest.raises(Rejected):
            verify(scheme_of(name), request, [genuine.secret], NOW)
