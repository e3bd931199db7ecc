"""`flowmate links magic`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import Flowmate
from links_harness import World, world

from flowmate_airflow.store import magiclinks


@pytest.fixture
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Airflow in the home of the command, with the connectors `crm` and `shop`."""
    with world(home / "airflow", monkeypatch) as made:
        for name in ("crm", "shop"):
            made.add_connector(name, {"key": {"type": "api_key"}})
        monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://flowmate.example")
        yield made


def test_a_magic_link_is_printed_once(there: World, flowmate: Flowmate) -> None:
    done = flowmate("links", "magic", "acme")
    assert done.code == 0, done.err
    url, told = done.out.splitlines()
    assert url.startswith("https://flowmate.example/flowmate/connect/")
    assert "one browser" in told
    found = magiclinks.find(there.store, url.rpartition("/")[2])
    assert found is not None
    assert (found.tenant, found.connectors, found.made_by) == ("acme", None, "cli")


def test_it_is_for_some_connectors_and_for_a_time(there: World, flowmate: Flowmate) -> None:
    asked = ("links", "magic", "acme", "--connector", "crm", "--connector", "shop", "--expires-in", "2h")
    done = flowmate(*asked, "--format", "json")
    assert done.code == 0, done.err
    made = json.loads(done.out)
    found = magiclinks.find(there.store, made["url"].rpartition("/")[2])
    assert found is not None
    assert found.connectors == ("crm", "shop")
    assert (found.expires_at - found.created_at).total_seconds() == 7200
    assert made["expires_at"] == found.expires_at.isoformat()


def test_a_tenants_links_are_taken_back(there: World, flowmate: Flowmate) -> None:
    flowmate("links", "magic", "acme")
    assert flowmate("links", "magic", "acme", "--revoke").out == "1 magic link can no longer be used\n"
    assert flowmate("links", "magic", "acme", "--revoke").out == "0 magic links can no longer be used\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a/b"], "cannot be a tenant's id"),
        (["acme", "--connector", "cmr"], "did you mean `crm`"),
        (["acme", "--expires-in", "soon"], '--expires-in: "soon" is not a duration'),
        (["acme", "--expires-in", "60d"], "30 days at most"),
        (["acme", "--return-to", "https://evil.example/"], "return_urls"),
        (["acme", "--revoke", "--connector", "crm"], "--revoke takes back all"),
    ],
)
def test_what_cannot_be_is_told(there: World, flowmate: Flowmate, arguments: list[str], reason: str) -> None:
    done = flowmate("links", "magic", *arguments)
    assert done.code == 2
    assert reason in done.err
    assert not done.out


def test_without_a_public_address_there_is_none(
    there: World, flowmate: Flowmate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "")
    assert "public_url" in flowmate("links", "magic", "acme").err
