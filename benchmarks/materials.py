"""The folders that are loaded: the same flows as YAML, as Python written by hand, and for dag-factory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONNECTORS = ROOT / "benchmarks" / "connectors"

_EXPRESSION = (
    '{ "shop": %d, "externalId": data.id, "amount": $number(data.total), "buyer": data.customer.email, '
    '"lines": data.items.{ "sku": sku, "quantity": qty } }'
)

_FLOW = """\
flowmate: 1
id: {id}
title: Orders of shop {number}
description: New paid orders of shop {number} become sales orders.
owner: integrations
tags: [shop, erp]
schedule: "{minute} {hours} * * *"
timezone: Europe/Berlin
defaults: {{retries: 3, retry_delay: 1m, timeout: 10m}}
steps:
  - id: orders
    use: http/get
    connection: shop_{number}
    with:
      url: /admin/orders.json
      query: {{status: paid, since: "{{{{ data_interval_start }}}}"}}
      records: orders
      paging: {{type: page, param: page, size: 250}}
  - id: sales_orders
    map: |
      {expression}
  - id: saved
    use: http/post
    connection: erp
    with: {{url: /api/sales-orders}}
"""

_HEAD = '''\
"""New paid orders become sales orders."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow.sdk import DAG

from shop_connectors import HTTP

from flowmate_airflow.operators.connector import ConnectorOperator
from flowmate_airflow.operators.map import MapOperator

'''

_CONNECTORS = '''\
"""The connector, read once for all files: without `manifest` each operator would read it for itself."""

from flowmate_airflow.catalog.catalog import configured_catalog

HTTP = configured_catalog().get("http")
'''

_DAG = """\
with DAG(
    dag_id={id},
    dag_display_name={title},
    description={description},
    schedule={schedule},
    start_date=datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    catchup=False,
    max_active_runs=1,
    tags=["shop", "erp"],
    default_args={{
        "owner": "integrations",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(minutes=10),
    }},
    doc_md=__doc__,
){name}:
    orders = ConnectorOperator(
        task_id="orders",
        use="http/get",
        manifest=HTTP,
        connection={connection},
        config={{
            "url": "/admin/orders.json",
            "query": {{"status": "paid", "since": "{{{{ data_interval_start }}}}"}},
            "records": "orders",
            "paging": {{"type": "page", "param": "page", "size": 250}},
        }},
    )
    sales_orders = MapOperator(
        task_id="sales_orders",
        inputs=["orders"],
        expression={expression},
    )
    saved = ConnectorOperator(
        task_id="saved",
        use="http/post",
        manifest=HTTP,
        connection="erp",
        inputs=["sales_orders"],
        config={{"url": "/api/sales-orders"}},
    )
    orders >> sales_orders >> saved
"""

_FACTORY = """\
{id}:
  description: New paid orders of shop {number} become sales orders.
  schedule: "{minute} {hours} * * *"
  start_date: 2024-01-01
  catchup: false
  max_active_runs: 1
  tags: [shop, erp]
  default_args:
    owner: integrations
    retries: 3
    retry_delay_sec: 60
  tasks:
    - task_id: orders
      operator: airflow.providers.docker.operators.docker.DockerOperator
      image: flowmate/http:1.0.0
      command: ["run", "get"]
    - task_id: sales_orders
      operator: airflow.providers.docker.operators.docker.DockerOperator
      image: flowmate/http:1.0.0
      command: ["run", "map"]
      dependencies: [orders]
    - task_id: saved
      operator: airflow.providers.docker.operators.docker.DockerOperator
      image: flowmate/http:1.0.0
      command: ["run", "post"]
      dependencies: [sales_orders]
"""

_FACTORY_LOADER = """\
from pathlib import Path

from dagfactory import load_yaml_dags

# airflow DAG: the words by which Airflow finds a file with DAGs
load_yaml_dags(globals(), dags_folder=str(Path(__file__).parent), defaults_config_path=str(Path(__file__).parent))
"""


def flow_id(number: int) -> str:
    """Return the id of one of the flows."""
    return f"orders_{number:04}"


def _expression(number: int) -> str:
    return _EXPRESSION % number


def _names(number: int) -> dict[str, object]:
    """Return what makes each flow another, so that no cache answers for a thousand equal texts."""
    return {
        "id": flow_id(number),
        "number": number,
        "minute": number % 60,
        "hours": f"{number % 7}-{12 + number % 11}",
        "expression": _expression(number),
    }


def write_flows(folder: Path, count: int) -> Path:
    """Write flows as YAML and the loader; return the loader's file."""
    flows = folder / "flows"
    flows.mkdir(parents=True)
    for number in range(count):
        text = _FLOW.format(**_names(number))
        (flows / f"{flow_id(number)}.yaml").write_text(text, encoding="utf-8")
    return Path(shutil.copy(ROOT / "dags" / "flowmate.py", folder))


def write_dags(folder: Path, count: int) -> Path:
    """Write the same as Python, a file each; return the folder."""
    _write_connectors(folder)
    for number in range(count):
        text = _HEAD + _DAG.format(
            id=f'"{flow_id(number)}"',
            title=f'"Orders of shop {number}"',
            description=f'"New paid orders of shop {number} become sales orders."',
            schedule='"{minute} {hours} * * *"'.format(**_names(number)),
            connection=f'"shop_{number}"',
            expression="'" + _expression(number) + "'",
            name="",
        )
        (folder / f"{flow_id(number)}.py").write_text(text, encoding="utf-8")
    return folder


def _write_connectors(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "shop_connectors.py").write_text(_CONNECTORS, encoding="utf-8")


def write_dag_loop(folder: Path, count: int) -> Path:
    """Write the same as one Python file with a loop; return that file."""
    _write_connectors(folder)
    body = _DAG.format(
        id='f"orders_{number:04}"',
        title='f"Orders of shop {number}"',
        description='f"New paid orders of shop {number} become sales orders."',
        schedule='f"{number % 60} {number % 7}-{12 + number % 11} * * *"',
        connection='f"shop_{number}"',
        expression="'" + _EXPRESSION + "' % number",
        name=" as dag",
    )
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    text = f"{_HEAD}for number in range({count}):\n{indented}    globals()[dag.dag_id] = dag\n"
    (folder / "orders.py").write_text(text, encoding="utf-8")
    return folder / "orders.py"


def write_factory(folder: Path, count: int) -> Path:
    """Write the like of it for dag-factory, whose tasks are of its Docker operator; return its loader's file."""
    folder.mkdir(parents=True)
    for number in range(count):
        text = _FACTORY.format(**_names(number))
        (folder / f"{flow_id(number)}.yaml").write_text(text, encoding="utf-8")
    (folder / "factory.py").write_text(_FACTORY_LOADER, encoding="utf-8")
    return folder / "factory.py"


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "flows": write_flows,
    "files": write_dags,
    "loop": write_dag_loop,
    "factory": write_factory,
}
