"""From a connector's manifest to a runtime's job."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flowmate_airflow.catalog.manifest import Function, Manifest, size_in_bytes
from flowmate_airflow.flows.schemas import violations
from flowmate_airflow.protocols.base import Launch
from flowmate_airflow.runtimes.base import Job, Limits
from flowmate_airflow.runtimes.egress.rules import Egress
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.runtimes import RuntimeName, files_root

FILES_ROOT = "FLOWMATE_FILES_ROOT"
"""The environment variable that tells a connector of files where its files lie."""


def job_for(
    manifest: Manifest, launch: Launch, *, labels: Mapping[str, str], runtime: RuntimeName, egress: Egress | None
) -> Job:
    """Return the job that starts a connector.

    :param launch: how its protocol starts it
    :param runtime: where it will run, which decides where a connector of files finds them
    """
    limits = manifest.limits
    return Job(
        image=manifest.image,
        arguments=launch.arguments,
        entrypoint=launch.entrypoint or manifest.entrypoint,
        files=launch.files,
        read_back=launch.read_back,
        working_dir=manifest.node.folder if manifest.node else None,
        source=manifest.folder,
        process=manifest.process,
        labels=labels,
        limits=Limits(
            memory=size_in_bytes(limits.memory),
            cpus=limits.cpus,
            pids=limits.pids,
            line=size_in_bytes(limits.message),
        ),
        read_only=limits.read_only,
        # Files belong to the worker's user, whose rights the container needs, and no more than these.
        user=limits.user or (f"{os.getuid()}:{os.getgid()}" if manifest.files else None),
        egress=egress,
        environment={FILES_ROOT: files_root(runtime)} if manifest.files else {},
        keeps_stdin=launch.keeps_stdin,
    )


def check_config(function: Function, config: Mapping[str, Any], step: str) -> None:
    """Check a step's rendered `with` against the function's fields.

    :raises ConfigFailure: a field does not fit its schema
    """
    known = {name: value for name, value in config.items() if name in function.fields}
    found = [violation.message for violation in violations(function.fields, known)]
    if found:
        raise ConfigFailure(f"step `{step}`: after rendering, " + "; ".join(found[:5]))
