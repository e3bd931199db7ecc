"""Which runtime a step gets: what Airflow's configuration and DockerOperator's parameters say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, cast

from docker.types import Mount

from flowmate_airflow.catalog.catalog import shipped_folder
from flowmate_airflow.runtimes.base import Runtime
from flowmate_airflow.runtimes.docker import DockerRuntime
from flowmate_airflow.runtimes.options import ContainerOptions
from flowmate_airflow.runtimes.process import ProcessRuntime
from flowmate_airflow.settings import folder_setting, setting
from flowmate_airflow.steps.errors import ConfigFailure

if TYPE_CHECKING:
    from docker import APIClient

    from flowmate_airflow.operators.connector import ConnectorOperator

CONTAINER_FILES = "/data"


def runtime_name() -> Literal["docker", "process"]:
    """Return the runtime that `[flowmate] runtime` names.

    :raises ConfigFailure: there is none of that name
    """
    name = setting("runtime")
    if name not in ("docker", "process"):
        raise ConfigFailure(f"[flowmate] runtime is {name!r}; it can be `docker` or `process`")
    return cast("Literal['docker', 'process']", name)


def files_root(runtime: str) -> str:
    """Return where a connector of files finds them; the folder is made."""
    folder = folder_setting("files_folder", "flowmate/files")
    folder.mkdir(parents=True, exist_ok=True)
    return CONTAINER_FILES if runtime == "docker" else str(folder)


def process_runtime(log: logging.Logger) -> Runtime:
    """Return the runtime `process`."""
    return ProcessRuntime(log=log, sdk_path=shipped_folder() / "sdk")


def container_runtime(operator: ConnectorOperator, client: APIClient, log: logging.Logger) -> Runtime:
    """Return the runtime `docker` with what the operator's parameters ask for."""
    given = operator.container_overrides
    pull = "always" if operator.force_pull else setting("pull")
    if pull not in ("missing", "always", "never"):
        raise ConfigFailure(f"[flowmate] pull is {pull!r}; it can be `missing`, `always` or `never`")
    mounts: list[Any] = list(operator.mounts)
    if operator.manifest.files:
        mounts.append(Mount(CONTAINER_FILES, str(folder_setting("files_folder", "flowmate/files")), "bind"))
    options = ContainerOptions(
        environment=_environment(operator),
        network=operator.network_mode or setting("network"),
        mounts=mounts,
        entrypoint=operator.format_command(operator.entrypoint),
        working_dir=operator.working_dir,
        name=operator.container_name,
        hostname=operator.hostname,
        user=None if operator.user is None else str(operator.user),
        memory=operator.mem_limit,
        cpus=operator.cpus if "cpus" in given else None,
        shm_size=operator.shm_size,
        dns=operator.dns or (),
        dns_search=operator.dns_search or (),
        extra_hosts=operator.extra_hosts or {},
        cap_add=tuple(operator.cap_add or ()),
        privileged=operator.privileged,
        ipc_mode=operator.ipc_mode,
        ulimits=operator.ulimits,
        device_requests=operator.device_requests or (),
        port_bindings=operator.port_bindings,
    )
    return DockerRuntime(client, log=log, pull=cast("Literal['missing', 'always', 'never']", pull), options=options)


def _environment(operator: ConnectorOperator) -> dict[str, str]:
    from_file = operator.unpack_environment_variables(operator.env_file) if operator.env_file else {}
    return {**from_file, **operator.environment, **operator._private_environment}
