"""A component that closes its output and goes on is stopped, so that no step hangs for ever."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from flowmate_airflow.catalog.manifest import PythonProcess
from flowmate_airflow.runtimes.base import Job, Limits
from flowmate_airflow.runtimes.process import ProcessRuntime

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

LINGER = """\
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("out", flush=True)
os.close(1)
os.close(2)
while True:
    time.sleep(60)
"""


def test_a_process_that_closed_its_output_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "component.py").write_text(LINGER)
    limits = Limits(linger=0.2, stop_grace=60)
    job = Job("acme:1", (), source=tmp_path, process=PythonProcess(module="component"), limits=limits)
    with ProcessRuntime(log=logging.getLogger("test"), cache=tmp_path / "venvs").start(job, []) as running:
        assert list(running.lines()) == [("stdout", b"out")]
        assert running.wait() == 0
        assert running.explain_exit() == "its output ended but it went on for 0.2 seconds, so it was stopped"
