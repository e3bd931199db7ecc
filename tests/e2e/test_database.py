"""Text that PostgreSQL's JSON cannot hold must fail clearly or come through unharmed."""

from __future__ import annotations

import pytest
from harness import Client

pytestmark = pytest.mark.usefixtures("no_container_left")

ODD = """
flowmate: 1
params:
  how: {type: string, default: nul}
  size: {type: integer, default: 0}
defaults: {retries: 0}
steps:
  - {id: made, use: probe/odd_text, with: {how: "{{ params.how }}", size: "{{ params.size }}"}}
  - {id: passed, use: probe/pass, when: '$contains(data.text, "b")'}
  - {id: measured, map: '{"length": $length(data.text), "keys": $count($keys(data))}'}
"""


@pytest.fixture(scope="module")
def odd(airflow: Client):
    path = airflow.drop_flow("odd.yaml", ODD)
    airflow.wait_for_dag("odd")
    yield "odd"
    path.unlink()


@pytest.mark.parametrize("size", [0, 100_000], ids=["small", "large"])
def test_a_nul_character_in_a_message_comes_through(airflow: Client, odd, size):
    run, state = airflow.run(odd, {"how": "nul", "size": size})
    assert state == "success"
    (measured,) = airflow.xcom(odd, run, "measured")["messages"]
    assert measured["data"] == {"length": 3, "keys": 3}
    for step in ("made", "passed"):
        value = airflow.xcom(odd, run, step)
        assert value["count"] == 1
        assert "\0" not in str(value)


def test_a_nul_character_in_an_id_comes_through(airflow: Client, odd):
    run, state = airflow.run(odd, {"how": "nul_id"})
    assert state == "success"
    for step in ("made", "passed", "measured"):
        value = airflow.xcom(odd, run, step)
        assert value["count"] == 1
        assert [shown["id"] for shown in value["preview"]] == ["a\ufffdb"]  # whole in the file, shown without it


def test_half_a_surrogate_pair_is_a_clear_failure(airflow: Client, odd):
    run, state = airflow.run(odd, {"how": "surrogate"})
    assert state == "failed"
    log = airflow.logs(odd, run, "made")
    failure = next(line for line in log.splitlines() if "step `made` (probe/odd_text)" in line)
    assert "broken JSON" in failure
    assert "surrogate" in failure


def test_a_nul_character_in_a_rendered_field_harms_nothing(airflow: Client, flow):
    flow.add(
        "odd_field",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: made, use: probe/odd_text, with: {how: nul, note: '{{ "a\\x00b" }}'}}
""",
    )
    run, state = airflow.run("odd_field")
    assert state == "success"
    assert airflow.rendered_fields("odd_field", run, "made")["config"]["how"] == "nul"
