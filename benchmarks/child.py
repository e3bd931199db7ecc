"""A process that loads DAGs once and says what that cost, as JSON; its parent starts one for each repetition.

    python -m benchmarks.child load PATH BUNDLE
    python -m benchmarks.child start LOADER BUNDLE DAG_ID

`load` does what the dag processor does with a file (or with each file of a folder, all in this one process);
`start` what a worker does between the start of its process and the first line of `execute`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any


class Clock:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return both, in seconds."""
        return {"wall": time.perf_counter() - self._wall, "cpu": time.process_time() - self._cpu}


def load(path: str, bundle: str) -> dict[str, Any]:
    """Load a file or a folder, with Airflow and the operators imported beforehand."""
    clock = Clock()
    from airflow.dag_processing.dagbag import BundleDagBag

    airflow_import = clock.read()
    clock = Clock()
    import flowmate_airflow.operators.connector
    import flowmate_airflow.operators.map  # noqa: F401

    operators_import = clock.read()
    logging.disable(logging.WARNING)
    clock = Clock()
    bag = BundleDagBag(dag_folder=path, bundle_path=Path(bundle), bundle_name="bench", load_op_links=False)
    built = clock.read()
    return {
        "airflow_import": airflow_import,
        "operators_import": operators_import,
        "built": built,
        "dags": len(bag.dags),
        "tasks": sum(len(dag.tasks) for dag in bag.dags.values()),
        "errors": list(bag.import_errors.values())[:3],
    }


def start(path: str, bundle: str, dag_id: str) -> dict[str, Any]:
    """Find one task as Airflow's task runner does, in the parsing context that the supervisor sets."""
    import airflow.sdk.execution_time.task_runner  # noqa: F401 - what a worker's process has loaded by then
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager

    logging.disable(logging.WARNING)
    clock = Clock()
    with _airflow_parsing_context_manager(dag_id=dag_id, task_id="orders"):
        bag = BundleDagBag(
            dag_folder=path, bundle_path=Path(bundle), bundle_name="bench", safe_mode=False, load_op_links=False
        )
    task = bag.dags[dag_id].task_dict["orders"]
    # The processor time of a process counts from its start.
    return {"parse": clock.read(), "whole": {"cpu": time.process_time()}, "dags": len(bag.dags), "task": task.task_id}


def main(arguments: list[str]) -> None:
    """Do what the arguments say and print the result as the last line."""
    verb, *rest = arguments
    print(json.dumps(load(*rest) if verb == "load" else start(*rest)))


if __name__ == "__main__":
    main(sys.argv[1:])
