"""What the end-to-end tests stand on: one real Airflow, and a look at the Docker engine beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = os.environ.get("FLOWMATE_BASE_IMAGE", "flowmate-test/base:latest")
sys.path.insert(0, str(ROOT / "scripts"))

from airflow_rest import AirflowTrouble, Client, wait_until  # noqa: E402
from local_airflow import LocalAirflow  # noqa: E402

__all__ = [
    "ROOT",
    "AirflowTrouble",
    "Client",
    "LocalAirflow",
    "build_image",
    "containers",
    "docker",
    "docker_is_required",
    "docker_answers",
    "new_airflow",
    "wait_until",
]


def new_airflow(home: Path, settings: Mapping[str, str] | None = None) -> LocalAirflow:
    """Return an Airflow, not started, whose dags folder holds the loader and no flow.

    :param home: an empty folder for it alone
    :param settings: environment variables of all its processes
    """
    dags = home / "dags"
    dags.mkdir(parents=True)
    loader = ROOT / "dags" / "flowmate.py"
    if loader.exists():
        shutil.copy(loader, dags)
    return LocalAirflow(home, dags, settings=settings)


def docker(*arguments: str) -> str:
    """Return what a docker command printed.

    :raises AssertionError: it failed
    """
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    answer = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment
    )
    assert answer.returncode == 0, f"docker {' '.join(arguments)}: {answer.stderr}"
    return answer.stdout


def build_image(folder: Path, tag: str) -> None:
    """Build a test's image on the base image made of Debian's packages."""
    docker(
        "build", "--quiet", "--network", "none", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--tag", tag, str(folder)
    )


def containers(label: str | None = None) -> list[str]:
    """Return the ids of all containers, running or not, or of those with a label (`name` or `name=value`)."""
    chosen = ("--filter", f"label={label}") if label else ()
    return docker("ps", "--all", "--quiet", "--no-trunc", *chosen).split()


def docker_answers() -> bool:
    """Whether a Docker engine answers on this machine."""
    try:
        return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def docker_is_required() -> bool:
    """Whether a missing engine is a failure, not a reason to skip."""
    return os.environ.get("CI") == "true" or os.environ.get("FLOWMATE_REQUIRE_DOCKER") == "1"
