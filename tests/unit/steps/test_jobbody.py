"""A run's conf in the words of hotglue's jobs."""

from __future__ import annotations

from typing import Any

import pytest

from flowmate_airflow.catalog.manifest import Function
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.jobbody import JobBody, job_body

READ = Function.model_validate({"title": "Read", "fields": {"limit": {"type": "integer"}, "region": {}}})


def _body(**conf: Any) -> JobBody:
    return job_body({"tenant": "acme", **conf})


def test_the_body_of_the_documentation_is_taken() -> None:
    body = _body(
        connector_id="salesforce",
        job_type="read",
        job_name="nightly",
        override_start_date="2024-01-01T00:00:00Z",
        override_end_date=None,
        reset_source_state=True,
        override_selected_tables={"Vendors": True, "Bills": False},
        override_source_config={},
        override_target_config={},
        override_connector_config={},
        override_field_map={},
        environment_variables={},
        state={},
        streaming_job=False,
        ignore_parallel_jobs=False,
    )
    assert (body.start, body.end, body.full, body.connector) == ("2024-01-01T00:00:00Z", None, True, "salesforce")
    assert body.tables == {"Vendors": "*", "Bills": False}
    assert body.field_map is None
    assert body.queues is None
    assert not body.ignores_turn
    assert body.ignored == ("job_type", "job_name", "streaming_job")


def test_tables_may_be_a_list_and_a_field_map_is_hotglues() -> None:
    field_map = {"Contact": {"name": "Contact", "selected": ["Id", "Email"]}, "Account": {"selected": ["*"]}}
    body = _body(override_selected_tables=["Contact"], override_field_map=field_map)
    assert body.tables == {"Contact": "*"}
    assert body.field_map == field_map


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({"override_start_date": 5}, "`override_start_date` must be a time"),
        ({"override_start_date": "x" * 101}, "must be a time"),
        ({"reset_source_state": "yes"}, "must be true or false"),
        ({"connector_id": ["a"]}, "must be a connector's name"),
        ({"override_selected_tables": "orders"}, "must be a list of tables"),
        ({"override_selected_tables": {"orders": 1}}, "must be a list of tables"),
        ({"override_field_map": {"orders": []}}, "`override_field_map`"),
        ({"override_field_map": {"orders": "id"}}, "no choice of fields"),
        ({"override_source_config": [1]}, "must be an object"),
        ({"override_connector_config": {"api_key": "abc"}}, "looks like a secret"),
        ({"override_connector_config": {"a": [{"x": "Bearer abcdefgh12345678"}]}}, "a.0.x"),
        ({"override_strat_date": "2024"}, "did you mean `override_start_date`"),
        ({"environment_variables": {"K": "V"}}, "connectors get no environment"),
        ({"state": {"Contact": [{}]}}, "`state` cannot be"),
        ({"queue_if_active_job": 1}, "must be true or false"),
    ],
)
def test_what_cannot_be_is_named(conf: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigFailure, match="the run's conf: ") as caught:
        _body(**conf)
    assert told in str(caught.value)
    assert "abcdefgh" not in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigFailure, match=r"override_a.*override_b"):
        _body(override_a=1, override_b=2)


def test_a_config_nested_too_deep_is_refused() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(ConfigFailure, match="nested too deep"):
        _body(override_connector_config=deep)


def test_the_flows_own_params_mean_what_the_flow_says() -> None:
    conf = {"tenant": "acme", "state": "open", "override_price": 3}
    assert job_body(conf, ["state", "override_price"]) == JobBody()


@pytest.mark.parametrize("conf", [None, "text", [], {}, {"state": {"a": 1}, "connector_id": 5}])
def test_another_conf_is_no_body(conf: Any) -> None:
    assert job_body(conf) == JobBody()


def test_a_step_gets_the_fields_that_it_knows() -> None:
    body = _body(
        connector_id="shop",
        override_connector_config={"limit": 1, "region": "eu", "colour": "red"},
        override_source_config={"limit": 2},
        override_target_config={"limit": 3},
    )
    assert body.config_for("shop", READ, reads=True) == ({"limit": 2, "region": "eu"}, ["colour"])
    assert body.config_for("shop", READ, reads=False) == ({"limit": 3, "region": "eu"}, ["colour"])
    assert body.config_for("erp", READ, reads=True) == ({}, [])


def test_a_run_may_wait_or_go_beside_another() -> None:
    assert _body(queue_if_active_job=True).queues is True
    assert _body(queue_if_active_job=False).queues is False
    assert _body(ignore_parallel_jobs=True).ignores_turn
