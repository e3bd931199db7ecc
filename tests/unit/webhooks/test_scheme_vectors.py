"""The vectors that providers publish, each with its forged twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone

import pytest

from flowmate_airflow.webhooks.requests import HookRequest, Rejected
from flowmate_airflow.webhooks.schemes import SCHEMES, scheme_named, sign, verify

FORM = ("content-type", "application/x-www-form-urlencoded")
TWILIO = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_DIGEST = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
ZENDESK = datetime(2021, 7, 25, 10, tzinfo=timezone.utc).timestamp()


@dataclass(frozen=True)
class Vector:
    """A signed request as a provider publishes it."""

    scheme: str
    secret: str
    now: float
    signature: tuple[str, str]
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    url: str = "https://hooks.example.com/x"

    @property
    def request(self) -> HookRequest:
        """The request."""
        return HookRequest("POST", self.url, (*self.headers, self.signature), self.body)


VECTORS = [
    Vector(
        "standard",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        1614265330,
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        b'{"test": 2432232314}',
        (("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("webhook-timestamp", "1614265330")),
    ),
    Vector(
        "github",
        "It's a Secret to Everybody",
        0,
        ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
        b"Hello, World!",
    ),
    Vector(
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        1531420618,
        ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        (("x-slack-request-timestamp", "1531420618"),),
    ),
    Vector(
        "twilio",
        "12345",
        0,
        ("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&Caller=%2B14158675309&To=%2B18005551212",
        (FORM,),
        TWILIO,
    ),
    Vector(
        "twilio",
        "12345",
        0,
        ("x-twilio-signature", "a9nBmqA0ju/hNViExpshrM61xv4="),
        b'{"property": "value", "boolean": true}',
        (("content-type", "application/json"),),
        f"{TWILIO}&bodySHA256={TWILIO_DIGEST}",
    ),
    Vector(
        "hubspot",
        "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        1693657560,
        ("x-hubspot-signature-v3", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        b"{'example_field':'example_value'}",
        (("x-hubspot-request-timestamp", "1693657560000"),),
        "https://www.example.com/webhook_uri",
    ),
    Vector(
        "zendesk",
        "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=",
        ZENDESK,
        ("x-zendesk-webhook-signature", "Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk="),
        b'{"say": "hello"}',
        (("x-zendesk-webhook-signature-timestamp", "2021-07-25T10:00:00Z"),),
    ),
]
IDS = [f"{place}-{vector.scheme}" for place, vector in enumerate(VECTORS)]


def refused(vector: Vector, secret: str | None = None, now: float | None = None) -> None:
    with pytest.raises(Rejected):
        verify(
            SCHEMES[vector.scheme],
            vector.request,
            [vector.secret if secret is None else secret],
            vector.now if now is None else now,
        )


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_what_the_provider_published_is_let_in(vector: Vector) -> None:
    verify(SCHEMES[vector.scheme], vector.request, [vector.secret], vector.now)


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_its_twins_are_not(vector: Vector) -> None:
    name, signature = vector.signature
    for place in range(len(vector.body)):
        body = vector.body
        refused(replace(vector, body=body[:place] + bytes([body[place] ^ 0x01]) + body[place + 1 :]))
    for place in range(len(signature)):
        other = "B" if signature[place] != "B" else "C"
        refused(replace(vector, signature=(name, signature[:place] + other + signature[place + 1 :])))
    refused(vector, secret=f"{vector.secret}x")
    refused(vector, secret=vector.secret[:-1])
    refused(replace(vector, signature=(name.upper(), signature)))
    refused(replace(vector, headers=(*vector.headers, vector.signature)))


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.now], ids=[v.scheme for v in VECTORS if v.now])
def test_its_time_counts(vector: Vector) -> None:
    refused(vector, now=vector.now + 301)
    refused(vector, now=vector.now - 301)
    later = tuple((name, text.replace("1", "2", 1)) for name, text in vector.headers if "timestamp" in name)
    kept = tuple(each for each in vector.headers if "timestamp" not in each[0])
    refused(replace(vector, headers=(*kept, *later)))
    refused(replace(vector, headers=kept))


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_we_sign_as_the_provider_did(vector: Vector) -> None:
    made = sign(
        SCHEMES[vector.scheme],
        vector.body,
        vector.secret,
        vector.now,
        url=vector.url,
        headers=tuple(each for each in vector.headers if each[0] == "content-type"),
        delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
    )
    assert vector.signature in made


def test_the_signature_that_standard_webhooks_calls_invalid_is() -> None:
    name, _ = VECTORS[0].signature
    refused(replace(VECTORS[0], signature=(name, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=")))


def test_zendesks_obsolete_sample_is_refused() -> None:
    vector = next(each for each in VECTORS if each.scheme == "zendesk")
    name, _ = vector.signature
    refused(replace(vector, signature=(name, "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw=")))


@pytest.mark.parametrize(
    "old",
    [
        "4fe4e3a7d3cf09db53be39d0a58130e2aaba074ec123a9e355b876a689a1c383",
        "69fc6631a867edd4f9e9e627fc5c1148e3fbdd8b21837b6d2b8901c1fa57f750",
    ],
)
def test_hubspots_signatures_of_versions_1_and_2_are_refused(old: str) -> None:
    vector = next(each for each in VECTORS if each.scheme == "hubspot")
    refused(replace(vector, signature=("x-hubspot-signature", old)))
    refused(replace(vector, signature=("x-hubspot-signature-v3", old)))


def test_a_plain_hmac_reads_the_same_vectors() -> None:
    github = VECTORS[1]
    options = {"header": "X-Hub-Signature-256", "prefix": "sha256="}
    verify(scheme_named("hmac", options), github.request, [github.secret], github.now)
    slack = VECTORS[2]
    options = {
        "header": "X-Slack-Signature",
        "prefix": "v0=",
        "timestamp_header": "X-Slack-Request-Timestamp",
        "signed": "v0:{timestamp}:{body}",
    }
    verify(scheme_named("hmac", options), slack.request, [slack.secret], slack.now)
