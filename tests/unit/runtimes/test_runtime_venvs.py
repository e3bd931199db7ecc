"""The cache of virtual environments: built once, never used half-built."""

from __future__ import annotations

import logging
import subprocess
import threading
from pathlib import Path

import pytest
from wheels import tiny_wheel

from flowmate_airflow.runtimes.base import RuntimeFailure
from flowmate_airflow.runtimes.venvs import environment_for

LOG = logging.getLogger("test")


@pytest.fixture
def wheel(tmp_path: Path) -> str:
    return tiny_wheel(tmp_path)


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def answer(python: Path) -> str:
    code = "import tiny_thing; print(tiny_thing.ANSWER)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_requirements_are_installed_once(tmp_path: Path, wheel: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    python = environment_for([wheel], tmp_path / "cache", LOG)
    assert answer(python) == "42"
    assert environment_for([wheel], tmp_path / "cache", LOG) == python
    assert caplog.text.count("making a virtual environment") == 1


@pytest.mark.usefixtures("no_uv")
def test_an_environment_without_uv_has_a_pip_of_its_own(tmp_path: Path, wheel: str) -> None:
    assert answer(environment_for([wheel], tmp_path / "cache", LOG)) == "42"


def test_other_requirements_get_another_environment(tmp_path: Path, wheel: str) -> None:
    assert environment_for([], tmp_path, LOG) != environment_for([wheel], tmp_path, LOG)


def test_a_half_built_environment_is_built_again(tmp_path: Path, wheel: str) -> None:
    python = environment_for([wheel], tmp_path, LOG)
    folder = python.parent.parent
    (folder / ".flowmate-complete").unlink()
    for module in folder.rglob("tiny_thing.py"):
        module.unlink()
    assert answer(environment_for([wheel], tmp_path, LOG)) == "42"


def test_an_environment_whose_python_is_gone_is_built_again(tmp_path: Path) -> None:
    python = environment_for([], tmp_path, LOG)
    python.unlink()
    python.symlink_to(tmp_path / "removed")
    assert environment_for([], tmp_path, LOG).resolve().exists()


def test_what_cannot_be_installed_says_why_and_is_not_used(tmp_path: Path) -> None:
    missing = f"nowhere @ {(tmp_path / 'nowhere-1.0-py3-none-any.whl').as_uri()}"
    for _ in range(2):
        with pytest.raises(RuntimeFailure, match="could not install the connector's requirements nowhere"):
            environment_for([missing], tmp_path / "cache", LOG)


def test_tasks_that_start_together_build_it_once(tmp_path: Path, wheel: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(environment_for([wheel], tmp_path / "cache", LOG)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert caplog.text.count("making a virtual environment") == 1
