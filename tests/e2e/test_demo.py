"""`make demo`, as somebody sees it who tries the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from harness import ROOT
from local_airflow import free_ports


@pytest.mark.usefixtures("engine")
def test_the_demo_runs_its_flow_and_prints_what_came_of_it(tmp_path):
    (port,) = free_ports(1)
    settings = {"DEMO_EXIT": "1", "DEMO_PORT": str(port), "DEMO_HOME": str(tmp_path / "demo")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    follow = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
    done = subprocess.run(
        [*follow, sys.executable, ROOT / "scripts" / "demo"],
        env={**environment, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The run ended: success." in done.stdout
    steps = re.findall(r"^  (\w+) +(\w+) +(\d+) (read|mapped|written)$", done.stdout, re.MULTILINE)
    assert [(step, state, verb) for step, state, _, verb in steps] == [
        ("countries", "success", "read"),
        ("records", "success", "mapped"),
        ("saved", "success", "written"),
    ]
    read, mapped, written = (int(count) for _, _, count, _ in steps)
    assert read >= mapped == written > 0
    assert f"the service's database has {written} countries" in done.stdout
