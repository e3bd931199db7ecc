"""Linked Connections as a consent would have left them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from harness import LocalAirflow

_CODE = """
import json, sys
from flowmate_airflow.auth.connections import ANY, Stored, write
from flowmate_airflow.store import linked
from flowmate_airflow.store.store import open_store
for each in json.load(sys.stdin):
    assert write(Stored(**each), expect=ANY)
    mark = each["extra"].get("flowmate")
    if mark is not None:
        link = linked.Linked(mark["tenant"], mark["connector"], each["conn_id"], mark["method"])
        linked.save(open_store(), link)
"""


def store_connections(local_airflow: LocalAirflow, rows: Sequence[dict[str, Any]]) -> None:
    """Write Connections, and the links of those that are of tenants.

    :param rows: the parts of each, of which `extra` is a mapping
    """
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        env=local_airflow.environment,
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        cwd=local_airflow.home,
        check=False,
    )
    assert done.returncode == 0, done.stderr
