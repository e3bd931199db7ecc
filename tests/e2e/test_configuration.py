"""FlowMate's options as Airflow knows them: on its config page, and by its environment variables."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from harness import Client, LocalAirflow

from flowmate_airflow.provider_info import OPTIONS

FLOW = """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: one, use: probe/emit, with: {count: 1}}
  - {id: seen, use: probe/look}
"""


def test_the_config_page_shows_every_option_with_its_default(airflow: Client):
    (section,) = airflow.get("config", section="flowmate")["sections"]
    shown = {option["key"]: option["value"] for option in section["options"]}
    assert shown.keys() == OPTIONS.keys()
    assert shown["connectors_folder"].endswith("tests/e2e/connectors")  # as this Airflow's environment has it
    assert shown["embedding_keys"].endswith("/embedding.pem")
    assert shown["network"] == "host"
    for name in OPTIONS.keys() - {"connectors_folder", "embedding_keys", "network"}:
        assert shown[name] == (OPTIONS[name]["default"] or "")


@pytest.mark.usefixtures("no_container_left")
def test_the_runtime_process_is_chosen_by_an_environment_variable(airflow: Client, local_airflow: LocalAirflow, flow):
    flow.add("without_engine", FLOW)
    environment = {
        **local_airflow.environment,
        "AIRFLOW__FLOWMATE__RUNTIME": "process",
        "DOCKER_HOST": "tcp://127.0.0.1:1",  # there is no engine at all
    }
    command = [sys.executable, "-m", "airflow", "dags", "test", "without_engine"]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "without isolation" in done.stdout + done.stderr
    (run,) = airflow.get("dags/without_engine/dagRuns")["dag_runs"]
    assert run["state"] == "success"
    (message,) = airflow.xcom("without_engine", run["dag_run_id"], "seen")["messages"]
    assert "FLOWMATE_PROCESS" in message["data"]["environment"], json.dumps(message)
