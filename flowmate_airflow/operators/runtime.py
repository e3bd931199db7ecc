"""The runtime `docker` with what DockerOperator's parameters say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flowmate_airflow.runtimes.base import Runtime
from flowmate_airflow.runtimes.docker import DockerRuntime
from flowmate_airflow.runtimes.options import ContainerOptions
from flowmate_airflow.settings import setting
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.runtimes import egress_image, files_mounts, pull_policy

if TYPE_CHECKING:
    from docker import APIClient

    from flowmate_airflow.operators.connector import ConnectorOperator


def container_runtime(operator: ConnectorOperator, client: APIClient, log: logging.Logger) -> Runtime:
    """Return the runtime `docker` with what the operator's parameters ask for."""
    given = operator.container_overrides
    mounts = [*operator.mounts, *files_mounts(operator.manifest)]
    options = ContainerOptions(
        environment=_environment(operator),
        network=operator.network_mode,
        default_network=setting("network"),
        egress_image=egress_image(operator.manifest),
        mounts=mounts,
        entrypoint=operator.format_command(operator.entrypoint),
        working_dir=operator.working_dir,
        name=operator.container_name,
        hostname=operator.hostname,
        user=None if operator.user is None else str(operator.user),
        memory=_memory(operator),
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
    pull = "always" if operator.force_pull else pull_policy()
    return DockerRuntime(client, log=log, pull=pull, options=options)


def _memory(operator: ConnectorOperator) -> int | None:
    from docker.errors import DockerException
    from docker.utils import parse_bytes

    if operator.mem_limit is None:
        return None
    try:
        return int(parse_bytes(operator.mem_limit))
    except (DockerException, ValueError) as error:
        raise ConfigFailure(f"step `{operator.task_id}`: `mem_limit` is no size: {error}") from None


def _environment(operator: ConnectorOperator) -> dict[str, str]:
    from_file = operator.unpack_environment_variables(operator.env_file) if operator.env_file else {}
    return {**from_file, **operator.environment, **operator._private_environment}
