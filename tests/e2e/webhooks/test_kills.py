"""Nothing acknowledged is lost: each part is killed under load, again and again, and every event gets through.

`FLOWMATE_KILLS` says how often each part is killed; ten times takes some ten minutes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from harness import (
    PATIENCE,
    AirflowTrouble,
    Client,
    LocalAirflow,
    LocalPostgres,
    new_airflow,
    postgres_programs,
    wait_until,
)
from senders import SECRET, GithubSender, KeyedService, hook_url, wait_for_endpoint

KILLS = int(os.environ.get("FLOWMATE_KILLS", "1"))
FLOW = "under_fire"
TEXT = """
flowmate: 1
webhook: {{scheme: github, connection: hub_hooks, batch: 200, attempts: 50}}
defaults: {{retries: 3, retry_delay: 1s, max_retry_delay: 2s}}
steps:
  - id: records
    map: '{{"key": data.key}}'
  - id: saved
    use: http/post
    with: {{url: "{url}/records"}}
"""

# A killed process is noticed by its silence, for which Airflow waits minutes where nobody is in a hurry.
HASTY = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
    # No container is needed to show it, and starting them would take most of the time.
    "AIRFLOW__FLOWMATE__RUNTIME": "process",
}


class Load:
    """Posts events until it is told to stop, and remembers which of them were acknowledged."""

    def __init__(self, url: str) -> None:
        self.acknowledged: set[str] = set()
        self.refused: Counter[Any] = Counter()
        self._sender = GithubSender(url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        name, number = uuid4().hex[:8], 0
        while not self._stop.is_set():
            number += 1
            key = f"{name}-{number}"
            try:
                answer = self._sender.send({"key": key}, delivery=key)
            except requests.RequestException as error:
                self.refused[type(error).__name__] += 1
            else:
                if answer.ok:
                    self.acknowledged.add(key)
                else:
                    self.refused[answer.status_code] += 1
            self._stop.wait(0.05)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def wait_for_more(self, count: int) -> None:
        """Return when so many more events were acknowledged."""
        goal = len(self.acknowledged) + count
        wait_until(f"{goal} acknowledged events", lambda: len(self.acknowledged) >= goal or None)


@pytest.fixture(scope="module")
def fired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAirflow, Client, KeyedService]]:
    """An Airflow of its own on PostgreSQL, which notices soon that a part of it is gone, with the flow in it."""
    programs = postgres_programs()
    assert programs is not None, "there is no PostgreSQL; scripts/postgres installs it"
    home = tmp_path_factory.mktemp("fired") / "home"
    with LocalPostgres(programs) as database, KeyedService() as service:
        store = database if database.startswith("postgresql") else f"sqlite:///{Path(home) / 'store.db'}"
        local = new_airflow(home, {**HASTY, "AIRFLOW__FLOWMATE__STORE_URL": store}, database=database)
        with local as client:
            client.add_connection("hub_hooks", password=SECRET)
            client.drop_flow(f"{FLOW}.yaml", TEXT.format(url=service.url))
            client.wait_for_dag(FLOW)
            client.send("PATCH", f"dags/{FLOW}", {"is_paused": False})
            wait_for_endpoint(hook_url(client, FLOW))
            yield local, client, service


def kill_component(local: LocalAirflow, client: Client, component: str) -> None:
    local.restart(component)
    wait_until(f"the {component} to be back", lambda: _answers(client) or None)


def kill_task(local: LocalAirflow, client: Client, component: str) -> None:
    """Kill the process of a task that runs, whichever runs next."""

    def look() -> bool | None:
        found = client.get("dags/~/dagRuns/~/taskInstances", state="running", limit=10)["task_instances"]
        for instance in found:
            if instance["pid"] and instance["hostname"]:
                with suppress(ProcessLookupError):
                    os.kill(instance["pid"], signal.SIGKILL)
                    return True
        return None

    wait_until("a task that runs", look, poll=0.1)


def _answers(client: Client) -> bool:
    try:
        return bool(client.get("monitor/health"))
    except (requests.RequestException, AirflowTrouble):
        return False


@pytest.mark.parametrize(
    ("component", "kill"),
    [
        pytest.param("api-server", kill_component, id="the receiver"),
        pytest.param("triggerer", kill_component, id="the triggerer"),
        pytest.param("scheduler", kill_component, id="the scheduler"),
        pytest.param("worker", kill_task, id="a worker"),
    ],
)
def test_what_was_acknowledged_gets_through(fired: Any, component: str, kill: Any) -> None:
    local, client, service = fired
    service.records.clear()
    service.times.clear()
    with Load(hook_url(client, FLOW)) as load:
        for _ in range(KILLS):
            load.wait_for_more(20)
            kill(local, client, component)
    sent = set(load.acknowledged)
    assert len(sent) >= 20 * KILLS
    started = time.monotonic()
    wait_until(
        f"all {len(sent)} events after {KILLS} kills of {component}",
        lambda: sent <= service.records.keys() or None,
        poll=1,
    )
    print(
        f"{component}: {KILLS} kills, {len(sent)} acknowledged, {sum(load.refused.values())} refused, all there "
        f"{time.monotonic() - started:.0f} s after the last, {sum(service.times.values()) - len(sent)} came twice"
    )
    assert sent <= service.records.keys()  # by its key each is there once
