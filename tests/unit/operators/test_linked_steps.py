"""Steps in the runs of tenants: whose Connection they get, what they read, and what their templates know."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseHook, Connection
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from played import Played, manifest, message

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.refusals import split_name
from flowmate_airflow.batches.batch import read_batch
from flowmate_airflow.operators import connector as connector_module
from flowmate_airflow.operators import tenancy
from flowmate_airflow.operators.connector import ConnectorOperator
from flowmate_airflow.operators.map import MapOperator
from flowmate_airflow.operators.replay import ReplayMemory
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.steps.inputs import Input
from flowmate_airflow.steps.links import dates_in
from flowmate_airflow.steps.memory import StoreMemory
from flowmate_airflow.store import deadletters, linked, tenants
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.store import Store, close_stores, open_store

FIELDS = {"limit": {"type": "integer"}, "start_date": {"type": "string"}, "any": {}}
ACME = manifest(triggers={"get": {"title": "Get", "state": True, "fields": FIELDS}})


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__BATCH_URL", str(tmp_path / "batches"))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    yield open_store()
    close_stores()


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(conn_id: str) -> Connection:
        conn_id = split_name(conn_id)[0]
        return Connection(conn_id=conn_id, conn_type="flowmate", password=f"key of {conn_id}")

    monkeypatch.setattr(BaseHook, "get_connection", get)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    component = Played(lambda stdin: iter([*map(message, [{"a": 1, "b": 2}] if next(stdin) else [])]))
    monkeypatch.setattr(connector_module, "process_runtime", lambda log: component)
    return component


def _link(store: Store, *names: str, **options: Any) -> None:
    for name in names:
        linked.save(store, linked.Linked(name, "acme", f"flowmate.acme.{name}", "key", **options))


def _context(conf: Any = None, run_after: datetime | None = None, **facts: Any) -> Any:
    task_instance = SimpleNamespace(dag_id="orders", run_id="r", task_id="t", map_index=-1, try_number=1, **facts)
    return {
        "ti": task_instance,
        "run_id": "r",
        "params": {},
        "dag_run": SimpleNamespace(conf=conf, run_after=run_after),
    }


def _run(conf: Any, use: str = "acme/get", *, run_after: datetime | None = None, **options: Any) -> list[Any]:
    with DAG("orders", schedule=None):
        step = ConnectorOperator(task_id="t", use=use, manifest=ACME, **{"linked": True, **options})
    context = _context(conf, run_after)
    step.render_template_fields(context)
    return list(read_batch(step.execute(context)))


def _config(played: Played) -> dict[str, Any]:
    config: dict[str, Any] = next(line for line in played.fed if line["type"] == "CONFIG")
    return config


def test_a_step_gets_the_connection_of_its_runs_tenant(store: Store, played: Played) -> None:
    _link(store, "acme", "globex")
    _run({"tenant": "globex"})
    config = _config(played)
    assert config["credentials"]["key"] == "key of flowmate.acme.globex"
    assert config["context"]["tenant"] == "globex"


def test_a_symlink_leads_to_the_credentials_of_another(store: Store, played: Played) -> None:
    _link(store, "acme")
    _link(store, "branch", symlink=("acme", "acme"))
    _run({"tenant": "branch"})
    assert _config(played)["credentials"]["key"] == "key of flowmate.acme.acme"


def test_a_step_with_a_connection_has_that_for_all_tenants(played: Played) -> None:
    _run({"tenant": "acme"}, linked=False, connection="shared")
    assert _config(played)["credentials"]["key"] == "key of shared"
    with pytest.raises(ValueError, match="not both"):
        ConnectorOperator(task_id="t", use="acme/get", manifest=ACME, linked=True, connection="shared")


@pytest.mark.parametrize(
    ("conf", "told"),
    [(None, "the run is for none"), ({"tenant": "nobody"}, "the tenant `nobody` has not linked `acme`")],
)
def test_without_a_link_it_fails_for_good(played: Played, conf: Any, told: str) -> None:
    with pytest.raises(AirflowFailException, match=told):
        _run(conf)
    assert not played.jobs


def test_templates_know_the_tenant_and_the_dates_that_the_run_is_for(store: Store, played: Played) -> None:
    _link(store, "acme")
    tenants.save_config(store, "acme", {"shop": {"limit": 7}})
    tenants.set_flow(store, "default", "orders", mapping={"Contact/customers": {"email": "Email"}})
    dates = dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end"), "2026-11-27T12:00:00+00:00")
    config = {
        "limit": "{{ tenant.config.shop.limit }}",
        "any": ["{{ tenant.id }}", "{{ tenant.mapping }}", "{{ ds }}", "{{ data_interval_end }}", "{{ tenant }}"],
    }
    _run({"tenant": "acme", "flowmate_dates": dates}, config=config)
    given = _config(played)["config"]
    assert given["limit"] == 7
    (mapping,) = given["any"][1]
    assert mapping["fields"] == {"email": "Email"}
    whole = {"id": "acme", "config": {"shop": {"limit": 7}}, "mapping": [mapping]}
    assert given["any"] == ["acme", [mapping], "2026-11-27", "2026-11-27T12:00:00+00:00", whole]


def test_a_run_that_was_started_by_hand_is_for_the_time_at_which_it_was(store: Store, played: Played) -> None:
    _link(store, "acme")
    _run({"tenant": "acme"}, run_after=datetime(2026, 11, 27, 12, tzinfo=timezone.utc), config={"any": "{{ ds }}"})
    assert _config(played)["config"]["any"] == "2026-11-27"


def test_a_store_that_is_down_is_tried_again(monkeypatch: pytest.MonkeyPatch, played: Played) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", "postgresql+psycopg2://me:geheim@127.0.0.1:1/none")
    with pytest.raises(AirflowException, match="the store") as caught:
        _run({"tenant": "acme"}, linked=False, config={"any": "{{ tenant.config.x }}"})
    assert not isinstance(caught.value, AirflowFailException)
    assert "geheim" not in str(caught.value)


def test_a_job_gives_fields_and_a_window(store: Store, played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    _link(store, "acme")
    body = {
        "override_start_date": "2024-01-01",
        "override_connector_config": {"limit": 3, "any": "{{ conn.secret }}", "colour": "red"},
        "override_target_config": {"limit": 4},
    }
    _run({"tenant": "acme", **body}, config={"limit": 1})
    assert _config(played)["config"] == {"limit": 3, "any": "{{ conn.secret }}", "start_date": "2024-01-01"}
    assert "acme/get has no field colour" in capsys.readouterr().out


def test_a_field_of_a_job_must_fit_the_function(store: Store, played: Played) -> None:
    _link(store, "acme")
    with pytest.raises(AirflowFailException, match="limit"):
        _run({"tenant": "acme", "override_source_config": {"limit": "many"}})


@pytest.mark.parametrize(
    ("own", "template", "conf", "expected"),
    [
        (None, None, {}, {"a": 1, "b": 2}),
        ({"things": ["a"]}, None, {}, {"a": 1}),
        (None, {"things": ["b"]}, {}, {"b": 2}),
        ({"things": ["a"]}, {"things": ["b"]}, {}, {"a": 1}),
        ({"things": ["a"]}, None, {"override_field_map": {"things": {"selected": ["b"]}}}, {"b": 2}),
        ({"things": ["a"]}, None, {"override_selected_tables": ["things"]}, {"a": 1}),
        ({"things": "*"}, None, {"connector_id": "erp", "override_field_map": {"things": ["b"]}}, {"a": 1, "b": 2}),
    ],
)
def test_field_maps_of_job_tenant_and_template(
    store: Store, played: Played, own: Any, template: Any, conf: dict[str, Any], expected: Any
) -> None:
    _link(store, "acme", field_map=own)
    _link(store, "default", field_map=template)
    (found,) = _run({"tenant": "acme", **conf}, select={"things": "*", "others": "*"} if own or template else None)[:1]
    assert found["data"] == expected


def test_an_action_is_not_narrowed(store: Store, played: Played) -> None:
    _link(store, "acme", field_map={"things": ["a"]})
    with DAG("orders", schedule=None):
        step = ConnectorOperator(task_id="t", use="acme/put", manifest=ACME, linked=True, inputs=["x"])
    context = _context(
        {"tenant": "acme"}, xcom_pull=lambda task_ids: {"count": 1, "messages": [{"id": "1", "data": 5}]}
    )
    step.render_template_fields(context)
    (found,) = read_batch(step.execute(context))
    assert found["data"] == {"a": 1, "b": 2}


def test_a_map_knows_the_tenant(store: Store) -> None:
    tenants.set_flow(store, "acme", "orders", mapping={"Contact/customers": {"mail": "Email"}})
    fields = "$tenant.mapping[0].fields"
    expression = (
        f"$merge([{{'of': $tenant.id}}, $each({fields}, function($of, $to) {{ {{ $to: $lookup($$.data, $of) }} }})])"
    )
    step = MapOperator(task_id="t", expression=expression, inputs=["x"])
    batch = {"count": 1, "messages": [{"id": "1", "data": {"Email": "me"}}]}
    (found,) = read_batch(step.execute(_context({"tenant": "acme"}, xcom_pull=lambda task_ids: batch)))
    assert found["data"] == {"mail": "me", "of": "acme"}


def test_a_failure_leaves_a_word_without_secrets(store: Store, played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: dict[str, Any] = {}
    context = _context({"tenant": "acme"}, xcom_push=lambda key, value: pushed.update({key: value}))
    monkeypatch.setattr(tenancy, "get_current_context", lambda: context)
    monkeypatch.setattr(tenancy, "redact", lambda text: text.replace("hunter2", "***"))
    _link(store, "acme")
    played.behaviour = lambda stdin: iter(
        [{"type": "ERROR", "message": "hunter2 " + "x" * 900, "failure_type": "config"}]
    )
    with pytest.raises(AirflowFailException):
        _run({"tenant": "acme"})
    assert "***" in pushed["flowmate_error"]
    assert "hunter2" not in pushed["flowmate_error"]
    assert len(pushed["flowmate_error"]) <= 500


def test_a_replay_takes_the_letters_of_its_tenant_only(store: Store) -> None:
    letters = [
        DeadLetter("orders", "t", "r0", "1", {"id": "1", "data": 1}, "bad", tenant=name) for name in ("acme", "globex")
    ]
    deadletters.keep(store, letters)
    memory = ReplayMemory(StepRun("orders", "r", "t", tenant="acme"), 0)
    source = Input(lambda: iter([b'{"id": "1", "data": 1}']))
    assert len(list(memory.take_part(source).read())) == 1
    assert [letter.tenant for letter in deadletters.find(store, claimed_by="r")] == ["acme"]


def test_credentials_that_a_component_changed_are_those_of_the_connection(store: Store) -> None:
    account = Account("flowmate.acme.acme", password="first")
    for tenant in ("acme", "branch"):  # one of them uses the other's credentials
        memory = StoreMemory(StepRun("orders", "r", "t", tenant=tenant), -1)
        memory.keep_credentials(account, "acme", {tenant: "new"})
    assert memory.changed_credentials(account, "acme") == {"acme": "new", "branch": "new"}


def test_no_dates_are_given_to_a_run_that_has_its_own() -> None:
    assert dates_in({}) == {}
