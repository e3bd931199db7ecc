"""From a manifest's hosts and a Connection to what a step's component may reach."""

from __future__ import annotations

from typing import Any

import pytest

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.egress import egress_of
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.runtimes import egress_image


def _manifest(*hosts: str, **more: Any) -> Manifest:
    method = {
        "type": "bearer",
        "optional": {"shop": "extra.shop", "instance": "extra.instance", "region": "extra.region"},
        "hosts": list(hosts),
        **more,
    }
    return Manifest.model_validate(
        {
            "connector": 1,
            "name": "shop",
            "title": "Shop",
            "version": "1.0.0",
            "image": "example/shop:1",
            "auth": {"token": method},
            "triggers": {"get": {"title": "Get"}},
        }
    )


def _account(**extra: Any) -> Account:
    return Account("mine", password="a-secret-token", extra=extra)


def _hosts(*patterns: str, **extra: Any) -> list[str]:
    egress = egress_of(_manifest(*patterns), _account(**extra), "get")
    assert egress is not None
    return [str(host) for host in egress.hosts]


def test_values_of_the_connection_fill_in_hosts() -> None:
    assert _hosts(
        "api.shop.example", "{shop}.shop.example", "*.{region}.shop.example:8443", shop="acme", region="eu-1"
    ) == ["api.shop.example", "acme.shop.example", "*.eu-1.shop.example:8443"]


@pytest.mark.parametrize(
    ("instance", "host"),
    [
        ("https://na1.shop.example/services", "na1.shop.example"),
        ("https://na1.shop.example:8443", "na1.shop.example:8443"),
        ("http://na1.shop.example", "na1.shop.example"),
        ("na1.shop.example", "na1.shop.example"),
        ("na1.shop.example:9", "na1.shop.example:9"),
        ("https://[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_a_whole_address_may_say_the_host(instance: str, host: str) -> None:
    assert _hosts("{instance}", instance=instance) == [host]


@pytest.mark.parametrize("pattern", ["{shop}.shop.example", "*.{shop}", "{shop}.{region}.example", "{shop}:8443"])
@pytest.mark.parametrize(
    "value",
    ["evil.example/", "evil.example#", "evil.example:1", "a@evil.example", "*", "*.a", "a..b", ".", "-", "a b", "ä"],
)
def test_a_value_cannot_lead_elsewhere(pattern: str, value: str) -> None:
    with pytest.raises(ConfigFailure, match=r"hosts of shop's manifest makes no host's name") as failure:
        _hosts(pattern, shop=value, region="eu")
    assert value not in str(failure.value).replace(pattern, "") or len(value) == 1


@pytest.mark.parametrize(
    "value", ["*.example", "*", "https://u:p@a.example", "ftp://a.example", "file:///etc", "https://", "a.example/x"]
)
def test_a_whole_address_is_one_host(value: str) -> None:
    with pytest.raises(ConfigFailure):
        _hosts("{instance}", instance=value)


def test_a_host_whose_value_is_not_set_is_left_out_and_does_not_open_all() -> None:
    assert _hosts("{shop}.shop.example", "api.shop.example") == ["api.shop.example"]
    assert _hosts("{shop}.shop.example") == []


def test_without_hosts_or_without_a_connection_all_is_as_ever() -> None:
    assert egress_of(_manifest(), _account(), "get") is None
    assert egress_of(_manifest("api.shop.example"), None, "get") is None


def test_the_secret_itself_names_no_host() -> None:
    # It would stand in the log, and be looked up.
    assert _hosts("{token}.shop.example", "{token}") == []


@pytest.mark.parametrize("verb", ["run", "check", "discover", "subscribe"])
def test_whatever_a_component_is_asked_its_hosts_go_with_its_credentials(verb: str) -> None:
    manifest = _manifest("api.shop.example", private=True)
    call = StepCall(manifest, "shop/get", StepRun("flow", "run", "get"), {}, account=_account())
    request = call.request(verb=verb)
    assert request.credentials["token"] == "a-secret-token"
    assert request.egress is not None
    assert [str(host) for host in request.egress.hosts] == ["api.shop.example"]
    assert request.egress.private is True


def test_the_helper_has_an_image_where_hosts_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert egress_image(_manifest()) == ""
    assert egress_image(_manifest("api.shop.example")).startswith("flowmate/http:")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__EGRESS_IMAGE", "mine/python:3")
    assert egress_image(_manifest("api.shop.example")) == "mine/python:3"
