"""What the end-to-end tests stand on: one real Airflow, and a look at the Docker engine beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = os.environ.get("FLOWMATE_BASE_IMAGE", "flowmate-test/base:latest")
sys.path.insert(0, str(ROOT / "scripts"))

from airflow_rest import PATIENCE, AirflowTrouble, Client, wait_until  # noqa: E402
from local_airflow import COMPONENTS, LocalAirflow  # noqa: E402
from local_postgres import LocalPostgres  # noqa: E402

__all__ = [
    "PATIENCE",
    "ROOT",
    "AirflowTrouble",
    "Client",
    "LocalAirflow",
    "LocalPostgres",
    "build_image",
    "containers",
    "docker",
    "docker_is_required",
    "docker_answers",
    "labels_of",
    "new_airflow",
    "postgres_programs",
    "wants_postgres",
    "wait_until",
]


def new_airflow(
    home: Path,
    settings: Mapping[str, str] | None = None,
    *,
    database: str | None = None,
    components: Sequence[str] = COMPONENTS,
) -> LocalAirflow:
    """Return an Airflow, not started, whose dags folder holds the loader and no flow.

    :param home: an empty folder for it alone
    :param settings: environment variables of all its processes
    :param database: the SQLAlchemy URL of an empty database; SQLite in `home` by default
    :param components: the `airflow` commands to start, the API server among them
    """
    dags = home / "dags"
    dags.mkdir(parents=True)
    loader = ROOT / "dags" / "flowmate.py"
    if loader.exists():
        shutil.copy(loader, dags)
    return LocalAirflow(home, dags, settings=settings, database=database, components=components)


def wants_postgres() -> bool:
    """Whether Airflow shall have PostgreSQL, as in production, or SQLite, for machines without PostgreSQL."""
    return os.environ.get("FLOWMATE_E2E_DATABASE", "postgresql") != "sqlite"


def postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs, or None where there is no server."""
    answer = subprocess.run([ROOT / "scripts" / "postgres", "find"], capture_output=True, text=True, check=False)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


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


def labels_of(container: str) -> dict[str, str]:
    """Return the labels of a container, none when it is gone by now."""
    answer = subprocess.run(
        ["docker", "inspect", "--format", "{{json .Config.Labels}}", container],
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(answer.stdout) or {} if answer.returncode == 0 else {}


def docker_answers() -> bool:
    """Whether a Docker engine answers on this machine."""
    try:
        return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def docker_is_required() -> bool:
    """Whether a missing engine, or another missing part of the machine, is a failure, not a reason to skip."""
    return os.environ.get("CI") == "true" or os.environ.get("FLOWMATE_REQUIRE_DOCKER") == "1"
