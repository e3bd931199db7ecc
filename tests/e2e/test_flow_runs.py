"""Flows that do what they should: dropped as YAML, started by REST, run in containers, seen by REST."""

from __future__ import annotations

import json

import pytest
from harness import AirflowTrouble, Client, docker

pytestmark = pytest.mark.usefixtures("no_container_left")

CHAIN = """
flowmate: 1
title: A chain of steps
params:
  count: {type: integer, minimum: 0, default: 10}
  size: {type: integer, default: 0}
defaults: {retries: 0}
steps:
  - id: made
    use: probe/emit
    with: {count: "{{ params.count }}", size: "{{ params.size }}"}
  - id: mapped
    map: '{"number": data.number, "double": data.number * 2, "text": data.text}'
  - id: passed
    use: probe/pass@1
    on_error: skip
"""


def test_a_dropped_flow_is_listed_and_runs_with_the_params_of_rest(airflow: Client, flow):
    flow.add("chain", CHAIN)
    run, state = airflow.run("chain", {"count": 5})
    assert state == "success"
    made = airflow.xcom("chain", run, "made")
    assert made["count"] == 5
    assert [message["data"]["number"] for message in made["messages"]] == [0, 1, 2, 3, 4]
    passed = airflow.xcom("chain", run, "passed")
    assert passed["count"] == 4
    assert passed["errors"] == 1  # number 3 fails, and `on_error: skip` goes on
    assert [message["data"]["double"] for message in passed["messages"]] == [0, 2, 4, 8]
    assert "number 3 is bad" in airflow.logs("chain", run, "passed")
    assert "5 messages in, 4 out, 1 failed" in airflow.logs("chain", run, "passed")


def test_the_yaml_is_shown_with_the_dag_and_with_each_task(airflow: Client, flow):
    flow.add("shown", CHAIN)
    details = airflow.get("dags/shown/details")
    assert details["dag_display_name"] == "A chain of steps"
    assert "use: probe/emit" in details["doc_md"]
    assert airflow.request("GET", "dagSources/shown").json()["content"] == CHAIN
    run, _ = airflow.run("shown", {"count": 1})
    rendered = airflow.rendered_fields("shown", run, "made")
    assert rendered["config"] == {"count": 1, "size": 0}  # numbers stay numbers
    assert "use: probe/emit" in rendered["source"]
    assert "probe 1.0.0" in rendered["connector"]


def test_params_are_checked_by_rest(airflow: Client, flow):
    flow.add("checked", CHAIN)
    with pytest.raises(AirflowTrouble, match="400"):
        airflow.trigger("checked", {"count": "many"})


def test_a_message_of_ten_megabytes(airflow: Client, flow):
    flow.add("large", CHAIN)
    run, state = airflow.run("large", {"count": 1, "size": 10_000_000})
    assert state == "success"
    value = airflow.xcom("large", run, "passed")
    assert value["count"] == 1
    assert value["bytes"] > 10_000_000
    assert "messages" not in value
    assert value["href"].endswith(".jsonl.gz")
    assert len(str(value)) < 10_000


def test_a_hundred_thousand_messages(airflow: Client, flow):
    flow.add("many", CHAIN)
    run, state = airflow.run("many", {"count": 100_000})
    assert state == "success"
    value = airflow.xcom("many", run, "passed")
    assert (value["count"], value["errors"]) == (99_998, 2)
    assert len(value["preview"]) == 5
    assert "made: " in airflow.logs("many", run, "made")  # the component's own progress


def test_no_messages_skip_what_follows_and_the_run_succeeds(airflow: Client, flow):
    flow.add("nothing", CHAIN)
    run, state = airflow.run("nothing", {"count": 0})
    assert state == "success"
    assert airflow.task_states("nothing", run) == {"made": "success", "mapped": "skipped", "passed": "skipped"}


def test_several_needs_are_put_together_in_their_order_and_a_skipped_one_is_no_matter(airflow: Client, flow):
    flow.add(
        "joined",
        """
flowmate: 1
steps:
  - {id: two, use: probe/emit, with: {count: 2}}
  - {id: none, use: probe/emit, needs: [], with: {count: 0}}
  - {id: nothing, map: data, needs: [none]}
  - {id: three, use: probe/emit, needs: [], with: {count: 3}}
  - id: all
    map: data.number
    needs: [three, nothing, two]
    when: data.number < 2
""",
    )
    run, state = airflow.run("joined")
    assert state == "success"
    assert airflow.task_states("joined", run)["nothing"] == "skipped"
    assert [message["data"] for message in airflow.xcom("joined", run, "all")["messages"]] == [0, 1, 0, 1]


def test_a_container_is_locked_down_and_gets_nothing_by_its_environment(airflow: Client, flow):
    flow.add(
        "locked",
        """
flowmate: 1
steps:
  - {id: one, use: probe/emit, with: {count: 1}}
  - {id: seen, use: probe/look, connection: locked_login}
""",
    )
    airflow.add_connection("locked_login", login="ann", password="pass-by-environment")
    run, state = airflow.run("locked")
    assert state == "success"
    data = airflow.xcom("locked", run, "seen")["messages"][0]["data"]
    assert int(data["capabilities"], 16) == 0
    assert data["no_new_privileges"] == "1"
    assert data["arguments"][1:] == ["run", "look"]
    own = docker("image", "inspect", "--format", "{{json .Config.Env}}", "flowmate-test/probe:1.0.0")
    names = {setting.partition("=")[0] for setting in json.loads(own) or []}
    assert set(data["environment"]) <= names | {"PATH", "HOME", "HOSTNAME"}
