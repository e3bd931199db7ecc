"""What follows a link: what its account has is asked for, kept and told; credentials that change are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from links_harness import World, world

from flowmate_airflow.auth import connections, linkchecks, linkkeeping, links
from flowmate_airflow.auth.credentials import account_of
from flowmate_airflow.auth.links import LinkError
from flowmate_airflow.steps.catalogs import catalog_digest
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.memory import account_digest
from flowmate_airflow.store.catalogs import CatalogKey, cached_catalog
from flowmate_airflow.store.secrets import changed

CODE = """
import json, pathlib, sys

line = json.loads(sys.stdin.readline())
said = json.loads((pathlib.Path(__file__).parent / "said.json").read_text())
with (pathlib.Path(__file__).parent / "asked.jsonl").open("a") as file:
    file.write(json.dumps([sys.argv[1], line["credentials"], line["context"]]) + "\\n")
for each in said.get(sys.argv[1], []):
    print(json.dumps(each).replace("TOKEN", line["credentials"]["key"]))
sys.exit(said.get("code", 0))
"""
ORDERS = {"name": "orders", "primary_key": ["id"], "schema": {"type": "object", "properties": {"id": {}}}}
GOOD = {"type": "CHECK", "ok": True}
SECRET = "hunter22-hunter22"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An Airflow with the connector `desk`."""
    with world(tmp_path, monkeypatch) as made:
        made.add_connector("desk", {"key": {"type": "api_key"}}, CODE)
        yield made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is announced."""
    news: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(linkkeeping, "announce", lambda event, data: news.append((event, data)))
    return news


def say(there: World, **said: Any) -> None:
    (there.folder / "desk" / "said.json").write_text(json.dumps(said))


def asked(there: World) -> list[Any]:
    path = there.folder / "desk" / "asked.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def link(there: World) -> None:
    links.link(there.catalog, "acme", "desk", "key", {"key": SECRET}, store=there.store)


def test_what_an_account_has_is_kept_and_told(there: World, told: list[tuple[str, dict[str, Any]]]) -> None:
    say(there, check=[GOOD], discover=[{"type": "CATALOG", "streams": [ORDERS]}])
    link(there)
    assert linkchecks.after_link(there.catalog, "acme", "desk", is_checked=True, store=there.store) is None
    manifest = links.manifest_in(there.catalog, "desk")
    key = CatalogKey("desk", "flowmate.desk.acme", catalog_digest(manifest, {}), "acme")
    found = cached_catalog(there.store, key)
    assert found is not None
    assert [stream["name"] for stream in found[0]] == ["orders"]
    assert told[-1] == (
        "discover.finished",
        {"tenant": "acme", "connector": "desk", "method": "key", "ok": True, "streams": 1},
    )
    assert [each[0] for each in asked(there)] == ["check", "discover"]
    assert [each[2]["tenant"] for each in asked(there)] == ["acme", "acme"]


def test_a_connector_of_ours_that_cannot_say_what_it_has_is_left_alone(
    there: World, told: list[tuple[str, dict[str, Any]]]
) -> None:
    say(there, check=[GOOD])
    link(there)
    assert linkchecks.after_link(there.catalog, "acme", "desk", is_checked=True, store=there.store) is None
    assert [event for event, _ in told] == ["link.created"]


def test_a_source_that_cannot_say_what_it_has_is_told_without_a_secret(
    there: World, told: list[tuple[str, dict[str, Any]]]
) -> None:
    say(there, check=[GOOD])
    link(there)
    path = there.folder / "desk" / "connector.yaml"
    path.write_text(path.read_text().replace("triggers:\n  records:", "protocol: airbyte\ntriggers:\n  read:"))
    (there.folder / "desk" / "connector.py").write_text(f"import sys\nsys.exit('no entry with {SECRET}')\n")
    there.catalog = type(there.catalog)(there.folder)
    with pytest.raises(StepError, match=r"desk .*no entry with \*\*\*"):
        linkchecks.discover(there.catalog, "acme", "desk", store=there.store)
    event, data = told[-1]
    assert (event, data["ok"]) == ("discover.finished", False)
    assert SECRET not in json.dumps(data)
    text = linkchecks.after_link(there.catalog, "acme", "desk", is_checked=True, store=there.store)
    assert text is not None
    assert SECRET not in text


def test_credentials_that_a_check_changed_are_kept_for_the_steps(there: World) -> None:
    rotated = {"type": "CREDENTIALS", "credentials": {"key": "rotated-TOKEN"}}
    say(there, check=[rotated, GOOD])
    link(there)
    stored = connections.read("flowmate.desk.acme")
    assert stored is not None
    from airflow.models.connection import Connection

    view = {"flowmate": {"connector": "desk", "method": "key", "tenant": "acme", "view": True}, "auth": "key"}
    account = account_of(Connection(conn_id=stored.conn_id, password=SECRET, extra=json.dumps(view)))
    kept = changed(there.store, stored.conn_id, "desk", account_digest(account))
    assert kept == {"key": f"rotated-{SECRET}"}
    say(there, check=[GOOD])
    linkchecks.check(there.catalog, "acme", "desk", store=there.store)
    assert asked(there)[-1][1]["key"] == f"rotated-{SECRET}"


def test_nothing_is_asked_for_a_link_that_is_not_there(there: World) -> None:
    with pytest.raises(LinkError, match="the tenant acme has not linked desk"):
        linkchecks.discover(there.catalog, "acme", "desk", store=there.store)
    text = linkchecks.after_link(there.catalog, "acme", "desk", store=there.store)
    assert text == "the tenant acme has not linked desk"
