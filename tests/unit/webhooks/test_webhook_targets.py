"""What of a request a flow gets to see, and what counts as a secret of a Connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowmate_airflow.sensors.webhook import WebhookSensor
from flowmate_airflow.webhooks.directory import secrets_in
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.targets import is_secret, target_of


@pytest.mark.parametrize(
    "name",
    [
        *(
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "apikey",
            "x-csrf-token",
            "x-auth",
            "auth-key",
        ),
        *(
            "sig",
            "x-sig",
            "x_sig_v2",
            "jwt",
            "x-jwt-assertion",
            "pwd",
            "password",
            "key",
            "code",
            "hmac",
            "client_secret",
        ),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)
    assert is_secret(name.upper())


@pytest.mark.parametrize(
    "name", ["x-event-key", "issue_key", "author", "design", "postal_code", "keys", "signal", "id"]
)
def test_names_of_others(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("referer", "x-original-uri", "x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-path"),
        *("x-replaced-path", "x-envoy-original-path", "x-request-uri", "x-waws-unencoded-url", "x-ms-original-url"),
    ],
)
def test_headers_that_repeat_the_address_with_its_token_are_not_told(name: str) -> None:
    assert not target_of(Endpoint("a", scheme="token")).keeps_header(name)


@pytest.mark.parametrize(
    "name", ["x-request-id", "x-forwarded-for", "x-event-key", "content-type", "x-wc-webhook-source"]
)
def test_headers_that_are_told(name: str) -> None:
    assert target_of(Endpoint("a", scheme="token")).keeps_header(name)


@pytest.mark.parametrize("name", ["a", "_a.b-c", "flow~step", "x" * 200, "a" * 140 + "~" + "b" * 99])
def test_names_of_endpoints(name: str) -> None:
    assert Endpoint(name).checked().name == name


@pytest.mark.parametrize(
    "name", ["", "-", "a\n", "a b", "a/b", "..", "~a", "a~", "a~b~c", "é", "x" * 201, "a" * 199 + "~" + "b" * 60]
)
def test_names_that_no_endpoint_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a webhook's endpoint"):
        Endpoint(name).checked()
    with pytest.raises(ValueError, match="cannot be the name of a webhook's endpoint"):
        WebhookSensor(task_id="wait", webhook=Endpoint(name))


@pytest.mark.parametrize(
    "values",
    [
        *({"scheme": []}, {"scheme": None}, {"options": 5}, {"connection": 7}, {"max_body": "1m"}, {"max_body": 0}),
        *(
            {"rate": True},
            {"rate": -1},
            {"encrypt": 1},
            {"keep": "7d"},
            {"reply": "20s"},
            {"order_by": ["a"]},
            {"debounce": None},
        ),
    ],
)
def test_values_that_no_endpoint_can_have(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(values))}` of the endpoint a "):
        Endpoint.from_json("a", values)


def test_an_endpoint_goes_through_json() -> None:
    endpoint = Endpoint("a", "hmac", {"header": "x"}, "c", 5, 6, True, 7, 8.5, "data.a", 1.5)
    assert Endpoint.from_json("a", json.loads(json.dumps(endpoint.as_json()))) == endpoint


@pytest.mark.parametrize(
    ("login", "password", "extra", "secrets"),
    [
        ("", "s", {}, ("s",)),
        ("u", "s", {"secrets": ["t", "s"]}, ("s", "u:s", "t")),
        (None, None, {"secrets": ["t"]}, ("t",)),
        ("u", "  ", {}, ()),
        ("u", "\n", {"secrets": ["", " ", "\t"]}, ()),
        (None, "", {"secrets": "t"}, ()),
        (None, "", {"secrets": [1, None, {}]}, ()),
        (None, "", [], ()),
        (None, " s ", {}, (" s ",)),
    ],
)
def test_what_is_blank_is_no_secret(login: str | None, password: str | None, extra: Any, secrets: Any) -> None:
    assert secrets_in(login, password, extra) == secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("keep", -1), ("keep", 10**30), ("reply", float("nan")), ("reply", 301), ("debounce", float("inf"))],
        *[("debounce", -0.5), ("rate", 0), ("rate", 10**400), ("max_body", 0), ("max_body", 2**40)],
    ],
)
def test_an_endpoint_by_hand_has_the_bounds_of_flows(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"`{name}` of the endpoint orders is .*; it must be from [01] to ") as caught:
        Endpoint("orders", **{name: value}).checked()
    assert len(str(caught.value)) < 300
