"""The loader in a real Airflow: what the dag processor gets, and what a starting task reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOADER = (ROOT / "dags" / "flowmate.py").read_text(encoding="utf-8")

ORDERS = """\
flowmate: 1
title: Shop orders
description: New orders.
owner: integrations
tags: [shop, erp]
schedule: "*/15 * * * *"
timezone: Europe/Berlin
start_date: 2026-01-31
max_active_runs: 2
timeout: 2h
params:
  table: {enum: [orders, customers], default: orders, description: Which}
  limit: {type: integer, minimum: 1, default: 10}
defaults: {retries: 3, retry_delay: 10s, max_retry_delay: 5m, timeout: 1h, pool: shop, pool_slots: 2, priority: 5}
steps:
  - id: orders
    title: Orders
    use: shop/list@1.4
    with: {table: "{{ params.table }}", limit: "{{ params.limit }}"}
  - {id: small, group: making, when: data.total > 0, map: "data.{'id': id}"}
  - {id: customers, use: shop/list, needs: [], retries: 0, with: {table: customers}}
  - {id: saved, use: shop/save, needs: [small, customers], on_error: skip}
"""
GOOD = "flowmate: 1\nsteps:\n  - {id: a, use: shop/ping}\n"
BROKEN = "flowmate: 1\nsteps:\n  - {id: a, use: shop/pingg}\n"

_PARSE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.processor import DagFileParseRequest, _parse_file
import structlog
folder = Path(sys.argv[1])
request = DagFileParseRequest(file=str(folder / "flowmate.py"), bundle_path=folder, bundle_name="dags-folder")
result = _parse_file(request, structlog.get_logger())
Path(sys.argv[2]).write_text(json.dumps(
    {"dags": {dag.dag_id: dag.data for dag in result.serialized_dags}, "errors": result.import_errors}, default=str))
"""
_TASK = """
import sys
from pathlib import Path
import flowmate_airflow.flows.load as load
from flowmate_airflow.build.loader import load_flows
opened = []
real = load.read_flow
load.read_flow = lambda raw, path, *rest, **named: (opened.append(path.name), real(raw, path, *rest, **named))[1]
print(sorted(load_flows(sys.argv[1])), opened)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


def _env(home: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "false",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__FLOWMATE__CONNECTORS_FOLDER": str(ROOT / "tests" / "flows" / "connectors"),
        **more,
    }


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "flowmate.py").write_text(LOADER)
    return folder


def _parse(home: Path, dags: Path, **env: str) -> dict[str, Any]:
    out = dags.parent / f"out{env.get('PYTHONHASHSEED', '')}.json"
    command = [sys.executable, "-c", _PARSE, str(dags), str(out)]
    done = subprocess.run(command, env=_env(home, **env), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def _plain(value: Any) -> Any:
    """Serialised values without Airflow's marks of their types."""
    if isinstance(value, dict):
        return _plain(value["__var"]) if "__var" in value else {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def test_good_flows_are_dags_and_broken_ones_import_errors_of_their_own(home: Path, dags: Path) -> None:
    (dags / "sub").mkdir()
    (dags / "orders.yaml").write_text(ORDERS)
    (dags / "sub" / "broken.yaml").write_text(BROKEN)
    (dags / "sub" / "syntax.yml").write_text("flowmate: 1\nsteps: [\n")
    (dags / "twice_a.yaml").write_text(GOOD + "id: twice\n")
    (dags / "twice_b.yaml").write_text(GOOD + "id: twice\n")
    (dags / "compose.yaml").write_text("services: {flowmate: {image: x}}\n")
    (dags / "ignored.yaml").write_text(BROKEN)
    (dags / ".airflowignore").write_text("ignored.yaml\n")
    os.mkfifo(dags / "pipe.yaml")
    result = _parse(home, dags)
    assert list(result["dags"]) == ["orders"]
    errors = {Path(name).name: text for name, text in result["errors"].items()}
    assert sorted(errors) == ["broken.yaml", "syntax.yml", "twice_a.yaml", "twice_b.yaml"]
    assert "sub/broken.yaml" in result["errors"]
    assert "sub/broken.yaml:3:18: `shop` has no function `pingg`" in errors["broken.yaml"]
    assert "did you mean `ping`?" in errors["broken.yaml"]
    assert "not valid YAML" in errors["syntax.yml"]
    assert "the flow id `twice` is taken twice, also in twice_b.yaml" in errors["twice_a.yaml"]
    assert "also in twice_a.yaml" in errors["twice_b.yaml"]


def test_every_good_flow_becomes_a_dag(home: Path, dags: Path) -> None:
    flows = sorted((ROOT / "tests" / "flows" / "good").glob("*.yaml"))
    for path in flows:
        (dags / path.name).write_bytes(path.read_bytes())
    result = _parse(home, dags)
    assert result["errors"] == {}
    assert "flowmate_subscriptions" in result["dags"]  # one of them has its address registered
    starting = {name for name in result["dags"] if name.endswith("__tenants")}
    assert starting == {"orders_to_erp__tenants", "tenants_linked__tenants", "tenants_listed__tenants"}
    assert len(result["dags"]) == len(flows) + len(starting) + 1
    timetables = {name: data["dag"]["timetable"]["__type"].rpartition(".")[2] for name, data in result["dags"].items()}
    assert timetables["schedule_none"] == timetables["minimal"] == "NullTimetable"
    assert timetables["schedule_cron"] == timetables["schedule_preset"] != timetables["schedule_interval"]
    assert "Delta" in timetables["schedule_interval"]


def test_the_dag_is_the_same_at_every_parse(home: Path, dags: Path) -> None:
    (dags / "orders.yaml").write_text(ORDERS)
    with ThreadPoolExecutor() as pool:
        first, *others = pool.map(lambda seed: _parse(home, dags, PYTHONHASHSEED=seed), ("0", "1", "random"))
    # Airflow sorts the keys of objects before it compares, too: they come from its own sets.
    assert all(json.dumps(first, sort_keys=True) == json.dumps(other, sort_keys=True) for other in others)
    dag = _plain(first["dags"]["orders"]["dag"])
    assert dag["dag_display_name"] == "Shop orders"
    assert dag["description"] == "New orders."
    assert dag["timezone"] == "Europe/Berlin"
    assert set(dag["tags"]) == {"shop", "erp"}
    assert dag["max_active_runs"] == 2
    assert dag["dagrun_timeout"] == timedelta(hours=2).total_seconds()
    assert not dag.get("catchup")
    assert dag["fileloc"] == str(dags / "orders.yaml")
    assert dag["relative_fileloc"] == "flowmate.py"
    assert ORDERS.rstrip() in dag["doc_md"]
    assert [name for name, _ in dag["params"]] == ["table", "limit"]
    tasks = {task["task_id"]: task for task in dag["tasks"]}
    assert set(tasks) == {"orders", "small", "customers", "saved"}
    assert sorted(tasks["small"]["downstream_task_ids"]) == ["saved"]
    assert tasks["orders"]["retries"] == 3
    assert tasks["customers"].get("retries", 0) == 0
    assert tasks["orders"]["pool"] == "shop"
    assert tasks["orders"]["pool_slots"] == 2
    assert tasks["orders"]["priority_weight"] == 5
    assert tasks["orders"]["owner"] == "integrations"
    assert tasks["saved"]["trigger_rule"] == "none_failed_min_one_success"
    assert "making" in json.dumps(dag["task_group"])


@pytest.mark.parametrize("name", ["wanted.yaml", "another_name.yaml"])
def test_a_starting_task_reads_its_own_flow_only(home: Path, dags: Path, name: str) -> None:
    for number in range(20):
        (dags / f"flow_{number:02}.yaml").write_text(GOOD)
    (dags / "broken.yaml").write_text(BROKEN)
    (dags / "huge.yaml").write_text("flowmate: 1\ntitle: '" + "x" * 3_000_000 + "'\n")
    (dags / name).write_text(GOOD + "id: wanted\n")
    env = _env(home, _AIRFLOW_PARSING_CONTEXT_DAG_ID="wanted", _AIRFLOW_PARSING_CONTEXT_TASK_ID="a")
    command = [sys.executable, "-c", _TASK, str(dags / "flowmate.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip().splitlines()[-1:] == [f"['wanted'] ['{name}']"], done.stderr[-2000:]


@pytest.mark.parametrize("wanted", ["wanted", "wanted__tenants"])
def test_a_starting_task_of_a_flow_with_tenants_reads_that_flow_only(home: Path, dags: Path, wanted: str) -> None:
    for number in range(5):
        (dags / f"flow_{number:02}.yaml").write_text(GOOD)
    text = "flowmate: 1\nid: wanted\ntenants: linked\nsteps:\n  - {id: a, use: shop/ping}\n"
    (dags / "other_name.yaml").write_text(text + "  - {id: b, use: erp/upsert, with: {table: x}}\n")
    env = _env(home, _AIRFLOW_PARSING_CONTEXT_DAG_ID=wanted, _AIRFLOW_PARSING_CONTEXT_TASK_ID="a")
    command = [sys.executable, "-c", _TASK, str(dags / "flowmate.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip().splitlines()[-1:] == [f"['{wanted}'] ['other_name.yaml']"], done.stderr[-2000:]


_WITHOUT_AIRFLOW = """
import importlib, pkgutil, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("airflow", "docker"):
            raise ImportError(f"{name} is asked for")
sys.meta_path.insert(0, Refuse())
for package in ("flows", "catalog", "protocols", "batches", "steps", "auth"):
    module = importlib.import_module(f"flowmate_airflow.{package}")
    for inner in pkgutil.iter_modules(module.__path__):
        if (package, inner.name) == ("auth", "backend"):
            continue  # the class that Airflow loads is one of Airflow's
        importlib.import_module(f"flowmate_airflow.{package}.{inner.name}")
import flowmate_airflow.build.graph
from flowmate_airflow.provider_info import get_provider_info
get_provider_info()
"""


def test_the_lower_layers_do_without_airflow() -> None:
    command = [sys.executable, "-c", _WITHOUT_AIRFLOW]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
