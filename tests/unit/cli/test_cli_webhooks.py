"""`flowmate webhooks list`, `show` and `replay`: what was delivered, and delivered again."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Flowmate

from flowmate_airflow.cli import webhookreplay
from flowmate_airflow.cli.errors import CommandError
from flowmate_airflow.store import claims, deliveries
from flowmate_airflow.store.claims import Owner
from flowmate_airflow.store.deliveries import NewDelivery, Wanted
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store, close_stores, open_store
from flowmate_airflow.webhooks.directory import Directory
from flowmate_airflow.webhooks.endpoints import Endpoint

RUN = Owner("orders", "asset__1", "webhook")


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The store in Airflow's home."""
    yield open_store()
    close_stores()


@pytest.fixture(autouse=True)
def paused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The flows that are switched off."""
    flows: set[str] = set()
    monkeypatch.setattr(Directory, "paused", lambda self, wanted: frozenset(wanted) & flows)
    return flows


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An Airflow that knows the webhooks `orders` and `sales`, and the runs whose states are put in."""
    runs: dict[str, str] = {}

    def endpoints(self: Directory) -> Mapping[str, Endpoint]:
        return {name: Endpoint(name) for name in ("orders", "sales")}

    monkeypatch.setattr(Directory, "endpoints", endpoints)
    monkeypatch.setattr(webhookreplay, "run_state", lambda flow, run_id: runs.get(run_id, "gone"))
    return runs


def payload(data: Any) -> bytes:
    event = {"specversion": "1.0", "id": "e1", "source": "/webhooks/github/orders", "type": "github.push", "data": data}
    http = {"method": "POST", "path": "/orders", "query": {"x": "1"}, "headers": {"x-github-event": "push"}}
    return json.dumps({"event": event, "http": http}).encode()


def keep(store: Store, *names: str, data: Any = None, **values: Any) -> list[int]:
    new = [
        NewDelivery(
            **{"endpoint": "orders", "payload": payload(data), "event": "push", "delivery_id": name, **values},
            digest=hashlib.sha256(name.encode()).digest(),
        )
        for name in names
    ]
    return [stored.id for stored in deliveries.insert(store, new)]


def claimed(store: Store, *numbers: int, owner: Owner = RUN) -> None:
    assert claims.claim(store, owner, "orders", limit=10, ids=numbers) == list(numbers)


def finished(store: Store, *numbers: int, ok: bool) -> None:
    run_id = "asset__good" if ok else "asset__0"
    owner = Owner("orders", run_id)
    claimed(store, *numbers, owner=owner)
    claims.settle(store, owner, ok=ok, error=f"the run {run_id} failed", max_attempts=1)


def purged(store: Store, number: int) -> None:
    table = store.tables.deliveries
    with store.write() as connection:
        connection.execute(table.update().where(table.c.id == number).values(payload=None))


def statuses(store: Store, **wanted: Any) -> dict[int, str]:
    return {each.id: each.status for each in deliveries.find(store, Wanted(**wanted))}


def test_deliveries_are_listed_and_counted(flowmate: Flowmate, store: Store) -> None:
    one, two, three = keep(store, "a", "b", "c", event="pu\x1b[31msh")
    keep(store, "a")
    claimed(store, two)
    finished(store, three, ok=False)
    deliveries.reject(store, "sales", "no\x1b[2J signature\nmore")
    result = flowmate("webhooks", "list")
    assert (result.code, result.err) == (0, "")
    rejected, failed, taken, first, _, *counts = result.out.splitlines()
    assert rejected.endswith("sales  rejected  no\\x1b[2J signature")
    assert failed.endswith("orders  pu\\x1b[31msh  failed  the run asset__0 failed")
    assert taken.startswith(f"{two}  ")
    assert taken.endswith("claimed by asset__1")
    assert first.startswith(f"{one}  ")
    assert first.endswith("received  came 1 more time")
    assert counts == ["orders: 1 claimed, 1 failed, 1 received", "sales: 1 rejected"]
    assert "\x1b" not in result.out


def test_a_list_is_of_an_endpoint_a_status_and_a_time(flowmate: Flowmate, store: Store) -> None:
    old, new = keep(store, "old", received_at=now() - timedelta(hours=3)) + keep(store, "new")
    keep(store, "other", endpoint="sales")
    keep(store, "old")
    finished(store, new, ok=True)

    def listed(*arguments: str) -> list[int]:
        result = flowmate("webhooks", "list", *arguments, "--format", "json")
        assert result.code == 0, result.err
        return [each["id"] for each in json.loads(result.out)]

    assert listed("orders") == [new, old]
    assert listed("--status", "delivered") == [new]
    assert listed("orders", "--since", "2h") == [new]
    assert listed("orders", "--since", f"{now() - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}") == [new]
    assert listed("--status", "duplicate") == [old]
    assert listed("--limit", "1") == [max(statuses(store))]


def test_a_long_list_is_cut_and_says_so(flowmate: Flowmate, store: Store) -> None:
    keep(store, *map(str, range(60)))
    out = flowmate("webhooks", "list").out
    assert "50 are shown, the newest first; --limit 0 shows all" in out
    assert "orders: 60 received" in out
    assert len(flowmate("webhooks", "list", "--limit", "0").out.splitlines()) == 62


def test_a_list_says_whose_flow_is_switched_off(
    flowmate: Flowmate, store: Store, paused: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, "a")
    keep(store, "b", endpoint="sales~paid")
    paused |= {"orders", "sales", "others"}
    off = "switched off in Airflow: {}; what is received waits until that is on"
    assert flowmate("webhooks", "list").out.splitlines()[-1] == off.format("orders, sales")
    assert flowmate("webhooks", "list", "orders").out.splitlines()[-1] == off.format("orders")
    finished(store, 1, ok=True)
    assert "switched off" not in flowmate("webhooks", "list", "orders").out

    def unreachable(self: Directory, flows: object) -> frozenset[str]:
        raise OSError("postgresql://user:hush@db is not there")

    monkeypatch.setattr(Directory, "paused", unreachable)
    result = flowmate("webhooks", "list")
    assert (result.code, "hush" in result.out + result.err) == (0, False)


def test_without_any_delivery(flowmate: Flowmate, store: Store) -> None:
    assert flowmate("webhooks", "list").out == "0 deliveries\n"
    assert flowmate("webhooks", "list", "--format", "json").out == "[]\n"
    result = flowmate("webhooks", "list", "orders")
    assert (result.code, result.err) == (2, "there are no deliveries to `orders`; there are none\n")


def test_one_delivery_is_shown_whole(flowmate: Flowmate, store: Store) -> None:
    data = {"text": "ü\x1b[31m\x9b\u202e", "long": "x" * 5000}
    (number,) = keep(store, "a", data=data, event="pu\x1bsh", order_key="17")
    keep(store, "a")
    finished(store, number, ok=False)
    result = flowmate("webhooks", "show", str(number))
    assert result.code == 0
    for part in (
        f"{number}: orders, failed",
        "event pu\\x1bsh, id a, key 17",
        "came 1 more time",
        "taken by the run asset__0 of orders",
        "1 run failed with it",
        "the run asset__0 failed",
        "POST /orders",
        "  ?x: 1",
        "  x-github-event: push",
        "type=github.push",
        "ü\\u001b[31m\\u009b\\u202e",
        "--payload prints all",
    ):
        assert part in result.out
    shown = flowmate("webhooks", "show", str(number), "--format", "json").out
    assert json.loads(shown)["payload"]["event"]["data"] == data
    assert json.loads(shown)["status"] == "failed"
    whole = flowmate("webhooks", "show", str(number), "--payload").out
    assert json.loads(whole) == json.loads(payload(data))
    for out in (result.out, shown, whole):
        assert not {"\x1b", "\x9b", "\u202e"} & set(out)


def test_what_has_no_payload_says_so(flowmate: Flowmate, store: Store) -> None:
    deliveries.reject(store, "orders", "no signature is right")
    (number,) = keep(store, "a")
    purged(store, number)
    result = flowmate("webhooks", "show", str(number - 1))
    assert "no signature is right" in result.out
    assert "no payload: the request was not taken" in result.out
    assert "no payload: it is no longer kept" in flowmate("webhooks", "show", str(number)).out
    result = flowmate("webhooks", "show", str(number), "--payload")
    assert (result.code, result.err) == (1, f"the payload of the delivery {number} is no longer kept\n")


def test_what_failed_is_replayed(flowmate: Flowmate, store: Store) -> None:
    one, two, three = keep(store, "a", "b", "c")
    finished(store, one, ok=True)
    finished(store, two, ok=False)
    result = flowmate("webhooks", "replay", "orders", "--failed")
    assert (result.code, result.err) == (0, "")
    assert result.out == "1 delivery waits for a run\n"
    assert statuses(store) == {one: "delivered", two: "received", three: "received"}
    found = deliveries.get(store, two)
    assert found is not None
    assert (found.attempts, found.error, found.claim_run) == (0, None, None)


def test_several_are_asked_for(flowmate: Flowmate, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = keep(store, "a", "b")
    finished(store, one, ok=True)
    finished(store, two, ok=False)
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        result = flowmate("webhooks", "replay", "orders")
    assert (result.code, result.out) == (2, "")
    assert "Replay 2 deliveries (1 delivered, 1 failed)?" in result.err
    assert statuses(store) == {one: "delivered", two: "failed"}
    assert flowmate("webhooks", "replay", "orders", "--yes").code == 0
    assert set(statuses(store).values()) == {"received"}


def test_a_time_is_replayed(flowmate: Flowmate, store: Store) -> None:
    numbers = [keep(store, str(hours), received_at=now() - timedelta(hours=hours))[0] for hours in (5, 3, 1)]
    finished(store, *numbers, ok=True)
    assert flowmate("webhooks", "replay", "--since", "4h", "--until", "2h").code == 0
    assert list(statuses(store).values()) == ["delivered", "received", "delivered"]


def test_what_a_run_has_is_left_to_it(flowmate: Flowmate, store: Store, airflow: dict[str, str]) -> None:
    (number,) = keep(store, "a")
    claimed(store, number)
    airflow["asset__1"] = "running"
    result = flowmate("webhooks", "replay", "--id", str(number))
    assert (result.code, result.out) == (1, "")
    assert f"the delivery {number} is being dealt with by the run asset__1 of orders (running); --force" in result.err
    assert (
        "nothing is there that could be replayed; there are 1 claimed" in flowmate("webhooks", "replay", "orders").err
    )
    assert statuses(store) == {number: "claimed"}
    assert flowmate("webhooks", "replay", "--id", str(number), "--force").code == 0
    assert statuses(store) == {number: "received"}


@pytest.mark.parametrize("state", ["failed", "gone"])
def test_what_a_run_had_that_is_over_comes_back(
    flowmate: Flowmate, store: Store, airflow: dict[str, str], state: str
) -> None:
    (number,) = keep(store, "a")
    claimed(store, number)
    airflow["asset__1"] = state
    assert flowmate("webhooks", "replay", "--id", str(number)).code == 0
    assert statuses(store) == {number: "received"}


def test_nothing_is_taken_from_a_run_when_airflow_does_not_answer(
    flowmate: Flowmate, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(flow: str, run_id: str) -> str:
        raise CommandError("Airflow could not be asked")

    monkeypatch.setattr(webhookreplay, "run_state", fails)
    (number,) = keep(store, "a")
    claimed(store, number)
    assert flowmate("webhooks", "replay", "--id", str(number)).code == 1
    assert statuses(store) == {number: "claimed"}


def test_a_renamed_flow_gets_what_waits_and_what_failed(
    flowmate: Flowmate, store: Store, airflow: dict[str, str]
) -> None:
    one, two, three = keep(store, "a", "b", "c")
    finished(store, one, ok=True)
    finished(store, two, ok=False)
    result = flowmate("webhooks", "replay", "orders", "--failed", "--to", "sales", "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out == "2 deliveries wait for a run of sales\n"
    assert statuses(store, endpoint="sales") == {two: "received", three: "received"}
    assert statuses(store, endpoint="orders") == {one: "delivered"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "ordrs"], "there are no deliveries to `ordrs`; did you mean `orders`?"),
        (["list", "--limit", "-1"], "--limit cannot be -1"),
        (["list", "--since", "yester\x1bday"], "--since: yester\\x1bday is neither a time ago"),
        (["list", "--status", "lost"], "--status cannot be `lost`"),
        (["show", "99"], "there is no delivery 99; `flowmate webhooks list` names them"),
        (["replay"], "say which deliveries"),
        (["replay", "ordrs"], "did you mean `orders`?"),
        (["replay", "--id", "1", "99"], "there is no delivery 99"),
        (["replay", "--id", *map(str, range(1001))], "--id: at most 1,000 at once"),
        (["replay", "orders", "--until", "soon"], "--until: soon is neither"),
        (["replay", "orders", "--to", "a/b"], "--to: `a/b` cannot be an endpoint's name"),
        (["replay", "orders", "--to", "orders"], "--to: they are at orders already"),
        (["replay", "orders", "--to", "salse"], "Airflow knows no webhook `salse`; did you mean `sales`?"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_changes_nothing(
    flowmate: Flowmate, store: Store, airflow: dict[str, str], arguments: list[str], told: str
) -> None:
    (number,) = keep(store, "a")
    finished(store, number, ok=True)
    result = flowmate("webhooks", *arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert len(result.err.splitlines()) == 1
    assert statuses(store) == {number: "delivered"}


def test_what_was_rejected_or_purged_cannot_come_back(flowmate: Flowmate, store: Store) -> None:
    deliveries.reject(store, "orders", "no signature")
    (number,) = keep(store, "a")
    finished(store, number, ok=True)
    purged(store, number)
    assert "was rejected: nothing of it was kept" in flowmate("webhooks", "replay", "--id", str(number - 1)).err
    assert "is no longer kept" in flowmate("webhooks", "replay", "--id", str(number)).err
    result = flowmate("webhooks", "replay", "orders")
    assert (result.code, result.err) == (1, "nothing is there that could be replayed\n")
