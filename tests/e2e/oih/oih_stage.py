"""What tests of flows with components work with, and the mark of those that run at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Client, LocalAirflow
from oih_service import Service, Space


class Stage:
    """What one test works with.

    :param airflow: a client of its own
    :param local: the processes behind it
    :param service: where its components read and write
    """

    def __init__(self, airflow: Client, local: LocalAirflow, service: Service) -> None:
        self.airflow = airflow
        self.flows: list[str] = []
        self._local = local
        self._service = service

    def space(self, name: str, *numbers: int) -> Space:
        """Return a part of the service, with records to read."""
        space = self._service.space(name)
        space.add(*numbers)
        return space

    def flow(self, dag_id: str, text: str) -> str:
        """Put a flow into the dags folder, wait until Airflow lists it, and return its id."""
        self.flows.append(dag_id)
        self.airflow.drop_flow(f"{dag_id}.yaml", f"flowmate: 1\n{text}")
        self.airflow.wait_for_dag(dag_id)
        return dag_id

    def run(self, dag_id: str, conf: dict[str, Any] | None = None) -> tuple[str, str]:
        """Run a flow; return the run's id and state."""
        return self.airflow.run(dag_id, conf)

    def flowmate(self, *arguments: str) -> str:
        """Return what a command of `flowmate` prints, on the machine of this Airflow."""
        ran = subprocess.run(
            [Path(sys.executable).with_name("flowmate"), *arguments],
            env=self._local.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def states(self, dag_id: str, *, held: bool = False) -> dict[str, Any]:
        """Return the states of a flow's steps, or those that are held for them."""
        found = json.loads(self.flowmate("state", "show", dag_id, "--format", "json"))
        return {entry["step"]: entry["state"] for entry in found if entry["held"] is held}

    def letters(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the dead letters of a flow."""
        found = json.loads(self.flowmate("dead-letters", "list", "--format", "json", "--limit", "0"))
        return [letter for letter in found if letter["flow"] == dag_id]

    def clear(self) -> None:
        """Take the test's flows out, and end what still runs."""
        for dag_id in self.flows:
            (self.airflow.dags / f"{dag_id}.yaml").unlink(missing_ok=True)
            for run in self.airflow.get(f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]:
                if run["state"] in ("running", "queued"):
                    self.airflow.set_run_state(dag_id, run["dag_run_id"], "failed")


def at_once(body: Callable[[Stage], None]) -> Callable[[dict[str, Future[None]], pytest.FixtureRequest], None]:
    """Return a test that waits for `body`, which began with the first such test: flows mostly wait."""

    def test(together: dict[str, Future[None]], request: pytest.FixtureRequest) -> None:
        together[request.node.name].result()

    test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
    test.__module__ = body.__module__
    test.body = body  # type: ignore[attr-defined]
    return test
