"""Starting the processes that are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.materials import ROOT


class ChildFailed(Exception):
    """A measured process did not do what it was started for."""


def run_child(module: str, *arguments: str | Path, home: Path) -> dict[str, Any]:
    """Run a module of this package in a fresh Python and return the JSON it prints last.

    :param home: its AIRFLOW_HOME
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # A timer that never fires, for all contenders: a slow one is measured, not broken off.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise ChildFailed(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}") from None
    if answer.get("errors"):
        raise ChildFailed(f"{' '.join(command)}: {answer['errors']}")
    return answer
