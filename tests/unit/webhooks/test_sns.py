"""Amazon's certificates: fetched from Amazon only, once, and refused when they are not what they should be."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from senders import CERTIFICATE_URL, NOW, TOPIC, Delivery, certificate, der_public, rsa_pair, sns, sns_scheme

from flowmate_airflow.webhooks import certificates
from flowmate_airflow.webhooks.certificates import Certificates, fetch, is_confirm_url
from flowmate_airflow.webhooks.requests import Rejected
from flowmate_airflow.webhooks.scheme import Scheme, verify


class Amazon:
    """Gives a certificate, and counts."""

    def __init__(self, pem: bytes | None) -> None:
        self.pem = pem
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if self.pem is None:
            raise OSError("down")
        return self.pem


def reason(scheme: Scheme, delivery: Delivery, now: float = NOW) -> str:
    with pytest.raises(Rejected) as caught:
        verify(scheme, delivery.request, [delivery.secret], now)
    return caught.value.reason


FOREIGN = [
    "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://evil.example/SimpleNotificationService-1.pem",
    "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem",
    "https://evil.example/sns.eu-central-1.amazonaws.com/a.pem",
    "https://sns.eu-central-1.amazonaws.com@evil.example/a.pem",
    "https://evil.example#sns.eu-central-1.amazonaws.com/a.pem",
    "https://sns.s3.amazonaws.com/a.pem",
    "https://sns.s3-us-west-2.amazonaws.com/a.pem",
    "https://sns.amazonaws.com/a.pem",
    "https://sns..amazonaws.com/a.pem",
    "https://xsns.eu-central-1.amazonaws.com/a.pem",
    "https://sns.eu-central-1.amazonaws.com:444/a.pem",
    "https://sns.eu-central-1.amazonaws.com/../a.pem",
    "https://sns.eu-central-1.amazonaws.com/a.pem?x=1",
    "https://sns.eu-central-1.amazonaws.com/a.pem\n",
    "https://sns.eu-central-1.amazonaws.com/a",
    "https://SNS.eu-central-1.amazonaws.com/a.pem",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", FOREIGN)
def test_no_certificate_is_fetched_from_elsewhere(url: str) -> None:
    amazon = Amazon(certificate(rsa_pair()))
    assert "address" in reason(sns_scheme(amazon), sns(SigningCertURL=url))
    assert amazon.asked == []


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "ap-southeast-4", "eu-isoe-west-1", "mx-central-1"])
@pytest.mark.parametrize("end", ["", ".cn"])
def test_every_region_has_its_certificates(region: str, end: str) -> None:
    amazon = Amazon(certificate(rsa_pair()))
    url = f"https://sns.{region}.amazonaws.com{end}/SimpleNotificationService-1.pem"
    verify(sns_scheme(amazon), sns(SigningCertURL=url).request, [TOPIC], NOW)
    assert amazon.asked == [url]


def test_a_certificate_is_fetched_once_for_a_day() -> None:
    amazon, seconds = Amazon(certificate(rsa_pair())), [0.0]
    kept = Certificates(amazon, lambda: seconds[0])
    for now in (0.0, 60.0, 86_399.0):
        seconds[0] = now
        kept.certificate(CERTIFICATE_URL)
    assert len(amazon.asked) == 1
    seconds[0] = 86_401.0
    kept.certificate(CERTIFICATE_URL)
    assert len(amazon.asked) == 2


def test_amazon_is_not_asked_again_at_once_when_it_is_down() -> None:
    amazon, seconds = Amazon(None), [0.0]
    kept = Certificates(amazon, lambda: seconds[0])
    for now in (0.0, 59.0):
        seconds[0] = now
        with pytest.raises(Rejected, match="could not be had"):
            kept.certificate(CERTIFICATE_URL)
    assert len(amazon.asked) == 1
    amazon.pem = certificate(rsa_pair())
    seconds[0] = 61.0
    assert kept.certificate(CERTIFICATE_URL) is not None


def test_only_so_many_certificates_are_kept() -> None:
    amazon = Amazon(certificate(rsa_pair()))
    kept = Certificates(amazon)
    urls = [f"https://sns.eu-central-1.amazonaws.com/{place}.pem" for place in range(certificates.MAX_KEPT + 1)]
    for url in [*urls, urls[-1], urls[0]]:
        kept.certificate(url)
    assert amazon.asked == [*urls, urls[0]]


def test_nothing_is_fetched_for_a_message_that_is_refused_anyway() -> None:
    amazon = Amazon(certificate(rsa_pair()))
    scheme = sns_scheme(amazon)
    reason(scheme, sns(TopicArn="arn:aws:sns:eu-central-1:1:attackers"))
    reason(scheme, sns(Timestamp="2001-01-01T00:00:00Z"))
    reason(scheme, sns(Type="Other"))
    reason(scheme, sns().with_body(b"{}"))
    assert amazon.asked == []


def test_another_key_opens_nothing() -> None:
    other = certificate(rsa.generate_private_key(65537, 2048))
    assert "signature" in reason(sns_scheme(Amazon(other)), sns())


def test_a_certificate_must_be_valid_now() -> None:
    for since, until in ((NOW - 20, NOW - 10), (NOW + 10, NOW + 20)):
        pem = certificate(rsa_pair(), since=since, until=until)
        assert "not valid" in reason(sns_scheme(Amazon(pem)), sns())


def test_what_is_no_certificate_with_a_good_key_is_none() -> None:
    weak = certificate(rsa.generate_private_key(65537, 1024))
    for pem in (b"", b"x", weak, der_public(ec.generate_private_key(ec.SECP256R1())).encode()):
        assert "could not be had" in reason(sns_scheme(Amazon(pem)), sns())


@pytest.mark.parametrize(
    "field", ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type", "Signature", "SignatureVersion"]
)
def test_every_field_that_is_signed_counts(field: str) -> None:
    fields = json.loads(sns().request.body)
    for other in (None, 7, [], "", f"{fields[field]} ", {"a": 1}):
        changed = {**fields, field: other}
        reason(sns_scheme(), sns().with_body(json.dumps(changed).encode()))
    del fields[field]
    reason(sns_scheme(), sns().with_body(json.dumps(fields).encode()))


def test_a_message_without_subject_is_signed_without_it() -> None:
    delivery = sns(Subject=None)
    verify(sns_scheme(), delivery.request, [TOPIC], NOW)
    fields = {**json.loads(delivery.request.body), "Subject": "added"}
    reason(sns_scheme(), delivery.with_body(json.dumps(fields).encode()))


def test_raw_delivery_is_refused_with_what_to_do() -> None:
    request = sns().request
    raw = Delivery(type(request)("POST", request.url, (("x-amz-sns-rawdelivery", "true"),), b"hello"), TOPIC)
    assert "raw message delivery off" in reason(sns_scheme(), raw)


@pytest.mark.parametrize("url", [None, 1, [], "https://sns.eu-central-1.amazonaws.com/", CERTIFICATE_URL])
def test_what_confirms_is_a_url_of_amazon(url: object) -> None:
    assert not is_confirm_url(url)


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/moved": 302, "/gone": 404}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/small")
        self.end_headers()
        self.wfile.write(b"x" * (certificates.MAX_BYTES + 1 if self.path == "/large" else 10))

    def log_message(self, *_: object) -> None:
        pass


def test_a_fetch_follows_nothing_and_takes_only_so_much() -> None:
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert fetch(f"{address}/small") == b"x" * 10
        for path in ("/moved", "/gone", "/large"):
            with pytest.raises(OSError, match=r"answer was|larger"):
                fetch(f"{address}{path}")
        server.shutdown()
    with pytest.raises(requests.ConnectionError):
        fetch(f"{address}/small")
