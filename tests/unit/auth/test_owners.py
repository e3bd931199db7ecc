"""Who renews, and whether others on this machine can tell that the process is no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowmate_airflow.auth import owners
from flowmate_airflow.auth.owners import is_gone, new_owner
from flowmate_airflow.store.columns import MAX_NAME

_OTHER = "from flowmate_airflow.auth.owners import new_owner; print(new_owner(), flush=True); input()"


@pytest.fixture
def other() -> subprocess.Popen[str]:
    """Another process, which has told its name as `stdout`'s first line and ends with its standard input."""
    return subprocess.Popen([sys.executable, "-c", _OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_process_that_lives_is_not_gone(other: subprocess.Popen[str]) -> None:
    with other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert not is_gone(name)
        assert not is_gone(new_owner())
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken notice
        assert is_gone(name)
        other.wait()
        assert is_gone(name)


def test_another_process_of_the_same_number_is_not_it() -> None:
    own = new_owner()
    process, started = own.split("/")[2].split(".")
    assert process == str(os.getpid())
    assert is_gone(own.replace(f"{process}.{started}", f"{process}.{int(started) + 1}"))


@pytest.mark.parametrize("changed", ["host", "place", "form", "empty"])
def test_nothing_is_known_of_processes_elsewhere(changed: str) -> None:
    host, place, process, name = new_owner().split("/")
    gone = f"{2**22 + 1}.{process.split('.')[1]}"  # more than a kernel has
    assert is_gone(f"{host}/{place}/{gone}/{name}")
    elsewhere = {
        "host": f"another/{place}/{gone}/{name}",
        "place": f"{host}/{'0' * 16}/{gone}/{name}",
        "form": f"{host}/{gone}/{name}",
        "empty": "",
    }
    assert not is_gone(elsewhere[changed])


def test_a_machine_that_tells_nothing_is_asked_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(owners, "_PROC", tmp_path)
    owners._place.cache_clear()
    try:
        name = new_owner()
        assert name.split("/")[1:3] == ["", str(os.getpid())]
        assert not is_gone(name)
    finally:
        owners._place.cache_clear()


def test_it_fits_into_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 255)
    assert len(new_owner()) <= MAX_NAME
    assert not is_gone(new_owner())
