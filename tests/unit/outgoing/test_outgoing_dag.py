"""FlowMate's own DAG that sends, what wakes it, and the listener that gives it work."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from outgoing_harness import SECRET, Application, Tell

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.build.system import OUTGOING, system_dags
from flowmate_airflow.operators import outgoing as operators
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.outgoing import NewNotice, Wanted, find, put
from flowmate_airflow.store.store import Store
from flowmate_airflow.triggers import outgoing as triggers
from flowmate_airflow.triggers.outgoing import AGAIN, OutgoingTrigger, Told

ROOT = Path(__file__).resolve().parents[3]
MOMENT = datetime(2026, 1, 31, 8, tzinfo=timezone.utc)


# --- the DAG


def test_the_dag_is_there_when_somebody_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", "")
    assert OUTGOING not in system_dags(None, tmp_path)
    assert OUTGOING not in system_dags(OUTGOING, tmp_path)
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", "app")
    assert OUTGOING in system_dags(None, tmp_path)
    assert list(system_dags(OUTGOING, tmp_path)) == [OUTGOING]
    assert system_dags("orders", tmp_path) == {}
    dag = system_dags(None, tmp_path)[OUTGOING]
    assert dag.is_paused_upon_creation is False
    assert (dag.max_active_runs, [task.task_id for task in dag.tasks]) == (1, ["send"])


def test_airflow_takes_the_dag_and_its_watcher_beside_the_flows(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "flowmate.py").write_text((ROOT / "dags" / "flowmate.py").read_text())
    code = """
import json, sys
from pathlib import Path
from airflow.dag_processing.processor import DagFileParseRequest, _parse_file
import structlog
folder = Path(sys.argv[1])
request = DagFileParseRequest(file=str(folder / "flowmate.py"), bundle_path=folder, bundle_name="dags-folder")
result = _parse_file(request, structlog.get_logger())
print(json.dumps([{dag.dag_id: dag.data["dag"] for dag in result.serialized_dags}, result.import_errors], default=str))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "dags")],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__FLOWMATE__OUTGOING": "app"},
        capture_output=True,
        text=True,
    )
    dags, errors = json.loads(done.stdout.splitlines()[-1])
    assert not errors
    text = json.dumps(dags[OUTGOING])
    assert "flowmate://outgoing" in text
    assert "flowmate_airflow.triggers.outgoing.OutgoingTrigger" in text


@pytest.mark.parametrize(("outgoing", "listeners"), [("", 0), ("app", 1)])
def test_airflow_has_our_listener_only_where_somebody_is_told(tmp_path: Path, outgoing: str, listeners: int) -> None:
    code = (
        "from airflow.listeners.listener import get_listener_manager\n"
        "found = get_listener_manager().pm.get_plugins()\n"
        "names = [getattr(each, '__name__', '') for each in found]\n"
        "print(names.count('flowmate_airflow.outgoing.listener'))\n"
        "calls = get_listener_manager().hook.on_dag_run_failed.get_hookimpls()\n"
        "print(len([each for each in calls if 'flowmate' in each.function.__module__]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "AIRFLOW__FLOWMATE__OUTGOING": outgoing},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-2:] == [str(listeners)] * 2, done.stderr


# --- the operator


def test_the_task_sends_what_is_due(
    store: Store, app: Application, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell("app", app)
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", "app,wrong,nowhere")
    accounts = {
        "app": Account("app", None, SECRET, app.url, None, None, {"allow_private": True}),
        "wrong": Account("wrong", None, None, app.url, None, None, {}),
    }

    def connection(conn_id: str) -> Account:
        if conn_id not in accounts:
            raise AirflowNotFoundException(conn_id)
        return accounts[conn_id]

    monkeypatch.setattr(BaseHook, "get_connection", connection)
    monkeypatch.setattr(operators, "account_of", lambda account: account)
    masked: list[str] = []
    monkeypatch.setattr(operators, "mask_secret", masked.append)
    put(store, [NewNotice(target, "run.failed", "msg_1", b"{}") for target in ("app", "wrong", "nowhere")])
    answer = operators.SendOutgoingOperator(task_id="send").execute({})
    assert answer == {"sent": 1, "again": 2, "failed": 0}
    assert [request.body for request in app.received] == [b"{}"]
    errors = {each.target: each.error or "" for each in find(store, Wanted())}
    assert "must begin with https://" in errors["wrong"] or "is no secret" in errors["wrong"]
    assert "`nowhere`, which does not exist" in errors["nowhere"]
    assert SECRET in masked


# --- the trigger


def test_what_was_said_is_said_again_only_for_more_or_after_a_while() -> None:
    told = Told()
    assert not told.is_news(None, 0)
    assert told.is_news(MOMENT, 1)
    assert not told.is_news(MOMENT, 2)
    assert told.is_news(MOMENT + timedelta(seconds=1), 3)
    assert not told.is_news(MOMENT, 4)
    assert not told.is_news(None, 40)
    assert told.is_news(MOMENT, 3 + AGAIN)
    assert not told.is_news(MOMENT, 4 + AGAIN)


def test_the_trigger_is_made_of_what_it_says_about_itself() -> None:
    path, options = OutgoingTrigger().serialize()  # type: ignore[no-untyped-call]
    module, _, name = path.rpartition(".")
    assert getattr(sys.modules[module], name) is OutgoingTrigger
    assert options == {}


def test_the_trigger_fires_when_something_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "POLL", 0)
    looked = threading.Event()
    real = triggers._newest_due

    def look() -> datetime | None:
        looked.set()
        return real()

    monkeypatch.setattr(triggers, "_newest_due", look)

    async def first() -> object:
        events = OutgoingTrigger().run()  # type: ignore[no-untyped-call]
        task = asyncio.ensure_future(anext(events))
        assert await asyncio.to_thread(looked.wait, 20)
        assert not task.done()
        await asyncio.to_thread(put, store, [NewNotice("app", "run.failed", "msg_1", b"{}")])
        return await asyncio.wait_for(task, 20)

    assert asyncio.run(first()) is not None


def test_the_trigger_outlives_a_store_that_is_down(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[datetime | Exception] = [StoreError("down"), StoreError("down"), RuntimeError("odd"), MOMENT]

    def look() -> datetime:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(triggers, "POLL", 0)
    monkeypatch.setattr(triggers, "_newest_due", look)

    async def first() -> object:
        return await asyncio.wait_for(anext(OutgoingTrigger().run()), 20)  # type: ignore[no-untyped-call]

    assert asyncio.run(first()) is not None
    assert caplog.text.count("Outgoing webhooks wait until the store can be read again: down") == 1
