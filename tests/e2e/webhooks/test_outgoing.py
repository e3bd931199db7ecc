"""An application is told what becomes of runs: by the scheduler, and by the API server when somebody marks a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness import Client, LocalPostgres, new_airflow, postgres_programs, wait_until
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
FINE = """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: made, use: probe/emit, with: {count: 3}}
  - {id: small, map: '{"number": 1}'}
"""
BROKEN = """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: made, use: probe/emit, with: {count: 1}}
  - {id: small, map: '$error("a secret of a customer")'}
"""


class Told:
    """The application: refuses what is not signed, and the first notice of a failure once."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self._refuses = True
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                Webhook(SECRET).verify(body, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(told.take(str(self.headers["webhook-id"]), json.loads(body)))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, message_id: str, body: dict[str, Any]) -> int:
        """Keep a notice and return the answer's status."""
        self.ids.append(message_id)
        if body["type"] == "run.failed" and self._refuses:
            self._refuses = False
            return 500
        self.bodies.append(body)
        return 204

    def wait_for(self, event: str, run_id: str) -> dict[str, Any]:
        """Return the data of a run's notice once it is there."""

        def look() -> dict[str, Any] | None:
            found = (each for each in list(self.bodies) if each["type"] == event and each["data"]["run_id"] == run_id)
            return next((each["data"] for each in found), None)

        return wait_until(f"{event} of {run_id}", look)

    def __enter__(self) -> Told:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Told]]:
    """An Airflow of its own on PostgreSQL that tells an application, with the two flows."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL; scripts/postgres installs it")
    home = tmp_path_factory.mktemp("telling") / "home"
    with LocalPostgres(programs) as database, Told() as told:
        settings = {
            "AIRFLOW__FLOWMATE__OUTGOING": "my_app",
            "AIRFLOW__FLOWMATE__STORE_URL": database,
            "AIRFLOW__FLOWMATE__RUNTIME": "process",
            "AIRFLOW__FLOWMATE__CONNECTORS_FOLDER": str(Path(__file__).parents[1] / "connectors"),
        }
        local = new_airflow(home, settings, database=database)
        with local as client:
            extra = json.dumps({"allow_private": True, "flows": ["fine", "broken"]})
            client.add_connection("my_app", host=told.url, password=SECRET, extra=extra)
            for name, text in (("fine", FINE), ("broken", BROKEN)):
                client.drop_flow(f"{name}.yaml", text)
                client.wait_for_dag(name)
            client.wait_for_dag("flowmate_outgoing")
            yield client, told


def test_runs_that_start_succeed_and_fail_are_told_signed(telling: tuple[Client, Told]) -> None:
    client, told = telling
    fine, state = client.run("fine", {"tenant": "acme"})
    assert state == "success"
    assert told.wait_for("run.started", fine)["state"] == "running"
    data = told.wait_for("run.succeeded", fine)
    assert (data["flow"], data["tenant"], data["state"], data["error"]) == ("fine", "acme", "success", None)
    steps = [(step["id"], step["state"], step["count"], step["errors"]) for step in data["steps"]]
    assert steps == [("made", "success", 3, 0), ("small", "success", 3, 0)]

    broken, state = client.run("broken")
    assert state == "failed"
    data = told.wait_for("run.failed", broken)  # after it was refused once
    assert data["error"] == "the step `small` failed"
    assert [(step["id"], step["state"], step["count"]) for step in data["steps"]] == [
        ("made", "success", 1),
        ("small", "failed", None),
    ]
    assert "customer" not in json.dumps(told.bodies)
    assert len(told.ids) == len(set(told.ids)) + 1, "the refused one came again with its id, all others once"


def test_a_run_that_is_marked_is_told_by_the_api_server(telling: tuple[Client, Told]) -> None:
    client, told = telling
    run, _ = client.run("fine")
    told.wait_for("run.succeeded", run)
    client.set_run_state("fine", run, "failed")
    data = told.wait_for("run.failed", run)
    assert data["error"] == "the run was marked as failed"


def test_the_dag_that_sends_is_not_told_of_and_does_not_run_for_nothing(telling: tuple[Client, Told]) -> None:
    client, told = telling
    assert {body["data"]["flow"] for body in told.bodies} <= {"fine", "broken"}
    runs = client.get("dags/flowmate_outgoing/dagRuns", limit=100)["dag_runs"]
    assert 0 < len(runs) <= len(told.ids)
