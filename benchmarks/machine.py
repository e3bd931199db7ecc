"""What the numbers were measured on and with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "apache-airflow-core",
    "apache-airflow-task-sdk",
    "apache-airflow-providers-docker",
    "airflow-provider-flowmate",
    "dag-factory",
    "jlens",
    "jsonata-python",
    "orjson",
    "pydantic",
    "PyYAML",
)


def facts() -> dict[str, Any]:
    """Return the machine and the versions."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "docker": docker_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def docker_version() -> str | None:
    """Return the version of the engine that answers, or None."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
