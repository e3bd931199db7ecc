"""What the tests of the other worlds do: flows that run side by side, each test in a thread of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_rest import FINISHED
from harness import Client, LocalAirflow
from world_services import TOKEN, Account, Api, Warehouse


class Flow:
    """A flow in the dags folder."""

    def __init__(self, airflow: Client, dag_id: str, text: str) -> None:
        self.airflow = airflow
        self.id = dag_id
        self.path = airflow.drop_flow(f"{dag_id}.yaml", text)

    def start(self, conf: Mapping[str, Any] | None = None) -> Run:
        """Start a run, once Airflow lists the flow."""
        self.airflow.wait_for_dag(self.id)
        return Run(self.airflow, self.id, self.airflow.trigger(self.id, conf))

    def run(self, expected: str = "success", **conf: Any) -> Run:
        """Return a run that has ended in the expected state.

        :param conf: the run's params
        """
        return self.start(conf).end(expected)


@dataclass
class Run:
    """A run of a flow."""

    airflow: Client
    flow: str
    id: str

    def end(self, expected: str = "success") -> Run:
        """Wait for the end of the run, in the expected state."""
        state = self.airflow.wait_for_run(self.flow, self.id)
        assert state == expected, self._story(state)
        return self

    def value(self, step: str) -> Any:
        """Return the value of a step's batch."""
        return self.airflow.xcom(self.flow, self.id, step)

    def counts(self, step: str) -> dict[str, int]:
        """Return how many messages of each stream a step has made."""
        counts: dict[str, int] = (self.value(step) or {}).get("counts", {})
        return counts

    def state(self, step: str) -> str | None:
        """Return the state of a step's task."""
        return self.airflow.task_states(self.flow, self.id)[step]

    def tries(self, step: str) -> int:
        """Return how often a step was tried."""
        tries: int = self.airflow.task_instances(self.flow, self.id)[step]["try_number"]
        return tries

    def log(self, step: str, try_number: int = 1) -> str:
        """Return the log of one try of a step."""
        return self.airflow.logs(self.flow, self.id, step, try_number)

    def failure(self, step: str) -> str:
        """Return how the only try of a step failed: one that nothing heals is not repeated."""
        assert self.tries(step) == 1, self._story("failed")
        log = self.log(step)
        return next((line for line in log.splitlines() if line.startswith(("AirflowFail", "AirflowExc"))), log)

    def kill_worker(self, step: str) -> None:
        """End a step's process as the kernel does, without a chance to clean up."""
        os.kill(self.airflow.task_instances(self.flow, self.id)[step]["pid"], signal.SIGKILL)

    def _story(self, state: str) -> str:
        tasks = self.airflow.task_instances(self.flow, self.id)
        lines = [f"the run of {self.flow} is {state}"]
        for step, task in tasks.items():
            lines.append(f"-- {step}: {task['state']}, try {task['try_number']}")
            if task["state"] == "failed":
                lines.append(self.log(step, task["try_number"])[-3000:])
        return "\n".join(lines)


class World:
    """The Airflow of the tests and what its flows read and write; safe to be used by several tests at once."""

    def __init__(self, local: LocalAirflow, airflow: Client, api: Api, warehouse: Warehouse, files: Path) -> None:
        self._local = local
        self._airflow = airflow
        self.api = api
        self.warehouse = warehouse
        self.files = files
        self.flows: list[Flow] = []

    def airflow(self) -> Client:
        """Return a client of the caller's own."""
        copy = Client(self._airflow.url, self._airflow.dags, "", "")
        copy._login = self._airflow._login
        return copy

    def account(self, name: str, token: str = TOKEN, **extra: Any) -> Account:
        """Return a new account of the API, with a Connection `<name>_api`."""
        found = self.api.account(name)
        self.airflow().add_connection(f"{name}_api", host=found.url, password=token, extra=json.dumps(extra))
        return found

    def flow(self, dag_id: str, text: str, **names: str) -> Flow:
        """Add a flow.

        :param text: the YAML; `$flow` stands for the flow's id, and each of `names` likewise
        """
        for name, value in {"flow": dag_id, **names}.items():
            text = text.replace(f"${name}", value)
        flow = Flow(self.airflow(), dag_id, text)
        self.flows.append(flow)
        return flow

    def end_runs(self) -> None:
        """End what runs still, after a test that has failed."""
        airflow = self.airflow()
        for flow in self.flows:
            for run in airflow.get(f"dags/{flow.id}/dagRuns").get("dag_runs", ()):
                if run["state"] not in FINISHED:
                    airflow.set_run_state(flow.id, run["dag_run_id"], "failed")

    def stored(self, file: str, table: str = "items") -> list[dict[str, Any]]:
        """Return the records of a table that `airbyte-sqlite` has stored in a file."""
        with closing(sqlite3.connect(self.files / file)) as database:
            rows = database.execute(f'select data from "{table}"').fetchall()
        return [json.loads(data) for (data,) in rows]

    def kept_state(self, flow: Flow, step: str = "read") -> Any:
        """Return what a step remembers, as `flowmate state show` prints it; None for nothing."""
        code, shown = self.command("state", "show", flow.id, "--step", step, "--format", "json")
        if code:
            assert "no state" in shown, shown
            return None
        kept = [entry for entry in json.loads(shown) if not entry["held"]]
        return kept[0]["state"] if kept else None

    def command(self, *arguments: str) -> tuple[int, str]:
        """Return how the command `flowmate` ends and what it prints."""
        done = subprocess.run(
            [Path(sys.executable).with_name("flowmate"), *arguments],
            env=self._local.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout or done.stderr


def scenario(test: Callable[[World], None]) -> Callable[..., None]:
    """Make a test of a function that runs beside the others of its module; the test waits for it."""

    def waiting(scenarios: Mapping[str, Future[None]]) -> None:
        scenarios[test.__name__].result()

    waiting.__name__ = test.__name__
    waiting.__doc__ = test.__doc__
    waiting.__module__ = test.__module__
    waiting.scenario = test  # type: ignore[attr-defined]
    return waiting
