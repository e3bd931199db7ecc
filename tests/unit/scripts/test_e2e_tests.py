"""The runner of the end-to-end tests: what it says of failures, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[3] / "scripts" / "e2e_tests"
PASSES = "def test_a(): pass\n"
FAILS = "def test_a():\n    assert 1 == 2, 'as ever'\n"
FAILS_ONCE = """
from pathlib import Path

def test_a():
    mark = Path(__file__).with_suffix('.mark')
    seen = mark.exists()
    mark.touch()
    assert seen, 'the first time'
"""
HANGS = """
import os, time
from pathlib import Path

def test_a():
    print(f'pid={os.getpid()}', flush=True)
    try:
        time.sleep(600)
    finally:
        (Path(__file__).parent / 'ended').touch()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one end-to-end test in each part."""
    for name in ("flows", "engine", "webhooks", "links", "tenants"):
        write(tmp_path, name, PASSES)
    (tmp_path / "scripts").mkdir()
    shutil.copy(RUNNER, tmp_path / "scripts")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return tmp_path


def write(project: Path, part: str, text: str) -> None:
    path = project / "tests" / "e2e" / part / f"test_{part}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def start(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(project / "scripts" / "e2e_tests"), "-p", "no:cacheprovider", "-s"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


def ran(project: Path) -> tuple[int, list[str]]:
    process = start(project)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output.splitlines()


def test_all_that_pass_are_run_once(project: Path) -> None:
    code, lines = ran(project)
    assert code == 0
    assert sum(" 1 passed in " in line for line in lines) == 5
    assert not [line for line in lines if line.startswith("e2e_tests: failed")]


def test_what_fails_once_is_told_as_unsteady(project: Path) -> None:
    write(project, "flows", FAILS_ONCE)
    code, lines = ran(project)
    assert code == 0
    assert lines[-2:] == [
        "e2e_tests: failed: tests/e2e/flows/test_flows.py::test_a: AssertionError: the first time",
        "e2e_tests: unsteady: what failed has succeeded when it was run again",
    ]


def test_what_fails_twice_fails_and_is_named_at_the_end(project: Path) -> None:
    write(project, "flows", FAILS_ONCE)
    write(project, "links", FAILS)
    code, lines = ran(project)
    assert code == 1
    assert lines[-3:] == [
        "e2e_tests: failed: tests/e2e/flows/test_flows.py::test_a: AssertionError: the first time",
        "e2e_tests: failed: tests/e2e/links/test_links.py::test_a: AssertionError: as ever",
        "e2e_tests: failed again: tests/e2e/links/test_links.py::test_a: AssertionError: as ever",
    ]


def test_many_failures_are_not_noise(project: Path) -> None:
    for part in ("flows", "engine", "webhooks", "links"):
        write(project, part, FAILS_ONCE)
    code, lines = ran(project)
    assert code == 1
    assert sum(line.startswith("e2e_tests: failed: ") for line in lines) == 4


def test_a_file_that_cannot_be_collected_fails(project: Path) -> None:
    write(project, "tenants", "import nothing_of_that_name\n")
    code, lines = ran(project)
    assert code == 1
    assert "tenants" in lines[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_its_tests_have_cleaned_up(project: Path, number: signal.Signals) -> None:
    write(project, "flows", HANGS)
    process = start(project)
    try:
        assert process.stdout is not None
        pid = next(line.partition("pid=")[2].strip() for line in process.stdout if "pid=" in line)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert (project / "tests" / "e2e" / "flows" / "ended").exists()
    assert not Path("/proc", pid).exists()
    assert not (project / ".cache" / "e2e" / "tenants.xml").exists()
