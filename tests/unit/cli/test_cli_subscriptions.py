"""`flowmate webhooks subscriptions` and `sync`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from airflow.models import crypto
from airflow.models.crypto import _RealFernet
from cli_harness import Flowmate
from cryptography.fernet import Fernet, MultiFernet

from flowmate_airflow.store.store import Store, close_stores, open_store
from flowmate_airflow.store.subscriptions import ACTIVE, ENDED, FAILED, MADE, Registration, Subscription, save

URL = "https://hooks.example.com/flowmate/hooks/orders/hidden-token"
MADE_ONE = Registration(
    *("flowmate-1", "aa", "shop/order_created", "orders", URL),
    connection="shop",
    secret="hidden-secret",
    subscription={"id": 17, "key": "hidden-key"},
    state=MADE,
)


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)
    yield open_store()
    close_stores()


def save_all(store: Store) -> None:
    ends, renewed = datetime(2026, 2, 3, tzinfo=timezone.utc), datetime(2026, 2, 2, tzinfo=timezone.utc)
    save(
        store,
        Subscription(
            "orders", "created", status=ACTIVE, current=MADE_ONE, earlier=(MADE_ONE,), expires_at=ends, next_at=renewed
        ),
    )
    refused = replace(MADE_ONE, use="crm/changed", connection=None, subscription=None, state="refused")
    save(store, Subscription("people", "changed", status=FAILED, current=refused, error="401\x1b[2J", next_at=renewed))
    save(store, Subscription("gone", "changed", status=ENDED))


def test_each_is_listed_with_what_became_of_it(flowmate: Flowmate, store: Store) -> None:
    assert flowmate("webhooks", "subscriptions").out == "nothing is registered with another system\n"
    save_all(store)
    done = flowmate("webhooks", "subscriptions")
    assert done.code == 0
    lines = [line for line in done.out.splitlines() if not line.startswith(("gone", "orders", "people"))]
    assert lines == [
        "  address: https://hooks.example.com/flowmate/hooks/orders/…",
        "  its id there: 17",
        "  ends 2026-02-03 00:00:00 UTC, renewed 2026-02-02 00:00:00 UTC",
        "  earlier ones that are still to be taken back: 1",
        "  address: https://hooks.example.com/flowmate/hooks/orders/…",
        "  failed: 401\\u001b[2J; tried again 2026-02-02 00:00:00 UTC",
    ]
    assert "orders created: active, shop/order_created with the Connection `shop`, 20" in done.out
    assert "people changed: failed, crm/changed, 20" in done.out
    assert "gone changed: ended, 20" in done.out
    assert "hidden" not in done.out


def test_programs_get_json(flowmate: Flowmate, store: Store) -> None:
    save_all(store)
    (found,) = json.loads(flowmate("webhooks", "subscriptions", "orders", "--format", "json").out)
    assert (found["status"], found["external_id"], found["earlier"], found["error"]) == ("active", "17", 1, None)
    assert "hidden" not in json.dumps(found)


def test_a_flow_without_one_is_told(flowmate: Flowmate, store: Store) -> None:
    save_all(store)
    done = flowmate("webhooks", "subscriptions", "order")
    assert (done.code, "did you mean `orders`" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "conf"), [((), {"force": True}), (("orders",), {"force": True, "flow": "orders"})]
)
def test_sync_starts_a_run(
    flowmate: Flowmate,
    store: Store,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    conf: dict[str, object],
) -> None:
    program = home / "python"
    answer = """print('[{"dag_id": "flowmate_subscriptions", "dag_run_id": "manual__1"}]')"""
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(home / 'call')!r}, 'w'))\n{answer}\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    done = flowmate("webhooks", "sync", *arguments)
    assert (done.code, done.out.startswith("the run manual__1 does it")) == (0, True)
    call = json.loads((home / "call").read_text())
    assert call[:5] == ["-m", "airflow", "dags", "trigger", "flowmate_subscriptions"]
    assert json.loads(call[call.index("--conf") + 1]) == conf


def test_without_the_dag_it_says_when_that_is_there(
    flowmate: Flowmate, store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = home / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('Dag id flowmate_subscriptions not found')\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    done = flowmate("webhooks", "sync")
    assert done.code == 1
    assert "not found; the DAG is there when a flow's webhook has a trigger that subscribes" in done.err
