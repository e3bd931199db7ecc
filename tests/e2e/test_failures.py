"""Flows that fail, and how: the message, the retry, and nothing left behind."""

from __future__ import annotations

import os
import signal
import zlib
from contextlib import suppress

import pytest
from harness import Client, LocalAirflow, containers, docker, wait_until
from sqlalchemy import MetaData, create_engine, select

pytestmark = pytest.mark.usefixtures("no_container_left")

MISBEHAVE = """
flowmate: 1
params: {how: {type: string, default: silent}}
defaults: {retries: 0}
steps:
  - {id: bad, use: probe/misbehave, with: {how: "{{ params.how }}"}}
"""


@pytest.fixture(scope="module")
def misbehave(airflow: Client):
    path = airflow.drop_flow("misbehave.yaml", MISBEHAVE)
    airflow.wait_for_dag("misbehave")
    yield "misbehave"
    path.unlink()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("half_json", "broken JSON"),
        ("giant_line", "32"),
        ("crash", "exit code 1"),
        ("out_of_memory", "memory"),
        ("config", "the field `how` is wrong"),
    ],
)
def test_a_component_that_breaks_the_rules_fails_with_a_clear_message(airflow: Client, misbehave, how, said):
    run, state = airflow.run(misbehave, {"how": how})
    assert state == "failed"
    log = airflow.logs(misbehave, run, "bad")
    failure = next(line for line in log.splitlines() if "step `bad` (probe/misbehave)" in line)
    assert said in failure
    assert airflow.xcom(misbehave, run, "bad") is None


@pytest.mark.parametrize(
    ("how", "data"), [("binary", ["after the noise"]), ("no_newline", ["the last line"]), ("silent", []), ("flood", [])]
)
def test_a_component_that_is_only_noisy_or_silent_succeeds(airflow: Client, misbehave, how, data):
    run, state = airflow.run(misbehave, {"how": how})
    assert state == "success"
    value = airflow.xcom(misbehave, run, "bad")
    assert [message["data"] for message in value["messages"]] == data


def test_a_retry_heals_what_is_transient(airflow: Client, flow):
    flow.add(
        "healing",
        """
flowmate: 1
defaults: {retries: 3, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: healed, use: probe/heal, with: {failures: 2}}
""",
    )
    run, state = airflow.run("healing")
    assert state == "success"
    assert airflow.task_instances("healing", run)["healed"]["try_number"] == 3
    assert "the other side is not there yet" in airflow.logs("healing", run, "healed", 1)
    assert airflow.xcom("healing", run, "healed")["messages"][0]["data"] == {"try": 3}


@pytest.mark.parametrize(
    ("dag_id", "step", "said"),
    [
        ("wrong_password", "{id: tried, use: probe/check, connection: wrong_login}", "refused the login"),
        ("no_connection", "{id: tried, use: probe/check, connection: nowhere}", "airflow connections add nowhere"),
        ("half_connection", "{id: tried, use: probe/check, connection: half_login}", "login needs login, password"),
        ("bad_rendering", "{id: tried, use: probe/check, when: data.number}", "not true or false"),
    ],
)
def test_what_the_author_must_change_fails_at_once_without_a_retry(airflow: Client, flow, dag_id, step, said):
    airflow.add_connection("wrong_login", login="ann", password="not-the-password")
    airflow.add_connection("half_login", login="ann", extra='{"auth": "login"}')
    flow.add(
        dag_id,
        f"""
flowmate: 1
defaults: {{retries: 5, retry_delay: 1s}}
steps:
  - {{id: one, use: probe/emit, with: {{count: 1}}}}
  - {step}
""",
    )
    run, state = airflow.run(dag_id)
    assert state == "failed"
    assert airflow.task_instances(dag_id, run)["tried"]["try_number"] == 1
    assert said in airflow.logs(dag_id, run, "tried")


def test_an_image_that_cannot_be_had_is_named(airflow: Client, flow):
    flow.add("ghost", "flowmate: 1\ndefaults: {retries: 0}\nsteps:\n  - {id: boo, use: ghost/appear}\n")
    run, state = airflow.run("ghost")
    assert state == "failed"
    log = airflow.logs("ghost", run, "boo")
    assert "localhost:1/flowmate-test/ghost:1.0.0" in log
    assert "make images" in log


def test_a_step_over_its_time_is_ended_with_its_container(airflow: Client, flow):
    flow.add(
        "endless",
        "flowmate: 1\ndefaults: {retries: 0, timeout: 5s}\nsteps:\n  - {id: stuck, use: probe/hang}\n",
    )
    _run, state = airflow.run("endless")
    assert state == "failed"
    assert containers("flowmate.flow=endless") == []


def test_a_run_that_is_marked_failed_ends_its_container(airflow: Client, flow):
    flow.add("stopped", "flowmate: 1\nsteps:\n  - {id: stuck, use: probe/hang}\n")
    run = airflow.trigger("stopped")
    airflow.wait_for_log("stopped", run, "stuck", "hanging now")
    assert len(containers("flowmate.flow=stopped")) == 1
    airflow.set_run_state("stopped", run, "failed")
    wait_until("the end of the container", lambda: not containers("flowmate.flow=stopped") or None)


def test_what_a_killed_worker_left_is_removed_at_the_retry(airflow: Client, flow):
    flow.add(
        "killed",
        """
flowmate: 1
defaults: {retries: 2, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: stuck, use: probe/hang, with: {tries: 1}}
""",
    )
    run = airflow.trigger("killed")
    airflow.wait_for_log("killed", run, "stuck", "hanging now")
    (left,) = containers("flowmate.flow=killed")
    os.kill(airflow.task_instances("killed", run)["stuck"]["pid"], signal.SIGKILL)
    assert airflow.wait_for_run("killed", run) == "success"
    assert left not in containers()
    assert "which an earlier try left" in airflow.logs("killed", run, "stuck", 2)


def test_no_secret_turns_up_anywhere(airflow: Client, local_airflow: LocalAirflow, flow):
    secrets = ["sw0rdf1sh-in-the-sea", "k3y-in-the-extra-field", "n0te-that-nobody-calls-secret"]
    extra = f'{{"api_key": "{secrets[1]}", "note": "{secrets[2]}"}}'
    airflow.add_connection("whispers", login="ann", password=secrets[0], extra=extra)
    flow.add(
        "whisper",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: one, use: probe/emit, with: {count: 1}}
  - {id: said, use: probe/greet, connection: whispers}
  - {id: waits, use: probe/hang, needs: [], connection: whispers}
""",
    )
    run = airflow.trigger("whisper")
    airflow.wait_for_log("whisper", run, "waits", "hanging now")
    (waiting,) = containers("flowmate.step=waits")
    inspected = docker("inspect", waiting) + docker("top", waiting, "-eo", "pid,args")
    airflow.wait_for_task("whisper", run, "said", {"success"})
    airflow.set_run_state("whisper", run, "failed")
    wait_until("the end of the container", lambda: not containers("flowmate.flow=whisper") or None)
    log = airflow.raw_logs("whisper", run, "said")
    assert "stdout has" in log
    assert "the log has ***" in log
    home = airflow.dags.parent
    written = {path: path.read_bytes() for path in (home / "logs").rglob("*") if path.is_file()}
    database = _database_without_connections(local_airflow.database)
    for secret in secrets:
        assert secret not in inspected
        assert secret not in log
        assert secret not in str(airflow.xcom("whisper", run, "said"))
        assert secret not in str(airflow.rendered_fields("whisper", run, "said"))
        assert [path for path, content in written.items() if secret.encode() in content] == []
        assert [line[:200] for line in database if secret in line] == []


def _database_without_connections(url: str) -> list[str]:
    engine = create_engine(url)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as database:
        rows = [
            f"{table.name}: {[_text_of(value) for value in row]}"
            for table in tables.tables.values()
            if table.name != "connection"
            for row in database.execute(select(table))
        ]
    engine.dispose()
    assert any("whisper" in row for row in rows)
    return rows


def _text_of(value: object) -> object:
    """Return what can be searched: some tables compress what they hold."""
    if not isinstance(value, bytes):
        return value
    for unpacked in (zlib.decompress, bytes):
        with suppress(zlib.error):
            return unpacked(value)
    return value
