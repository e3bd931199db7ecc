"""How the engine is asked for a container: with no more rights than its component needs."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import docker.types  # noqa: TID253 - only a step in a container imports this
import docker.utils  # noqa: TID253 - likewise

from flowmate_airflow.runtimes.base import Job
from flowmate_airflow.runtimes.options import ContainerOptions

if TYPE_CHECKING:
    from docker import APIClient

LEFTOVER_LABEL = "flowmate.leftover"
"""Carries a digest of all labels of a job: only the very same labels match, never a superset of them."""

_CPU_PERIOD = 100_000


def labels_digest(job: Job) -> str:
    """Return what stands for exactly these labels."""
    return hashlib.sha256(json.dumps(dict(job.labels), sort_keys=True).encode()).hexdigest()[:32]


def container_arguments(client: APIClient, job: Job, options: ContainerOptions) -> dict[str, Any]:
    """Return the arguments of `client.create_container` for a job, hardened."""
    labels = {**job.labels, LEFTOVER_LABEL: labels_digest(job)} if job.labels else {}
    return {
        "image": job.image,
        "command": list(job.arguments),
        "entrypoint": options.entrypoint or (list(job.entrypoint) if job.entrypoint else None),
        "environment": {**job.environment, **options.environment},
        "user": options.user or job.user,
        "labels": labels,
        "name": options.name,
        "hostname": options.hostname,
        "working_dir": options.working_dir or job.working_dir,
        "ports": list(options.port_bindings),
        "stdin_open": True,  # the client sets StdinOnce with it
        "tty": False,
        # One that the image declares would run in the container, and count as its processes.
        "healthcheck": {"test": ["NONE"]},
        "host_config": _host_config(client, job, options),
    }


def _host_config(client: APIClient, job: Job, options: ContainerOptions) -> dict[str, Any]:
    memory = memory_limit(job, options)
    hardening: dict[str, Any] = {}
    if not options.privileged:
        hardening = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
    if job.read_only:
        # What is written to /tmp counts as the container's memory, too.
        hardening["tmpfs"] = {"/tmp": f"rw,noexec,nosuid,nodev,mode=1777,size={memory // 2}"}  # noqa: S108
    config: dict[str, Any] = client.create_host_config(
        **hardening,
        read_only=job.read_only,
        init=True,
        # Any other driver writes all output to the engine's disk and is three times slower.
        log_config=docker.types.LogConfig(type="none"),
        mem_limit=memory,
        memswap_limit=memory,
        # A quota, not nano_cpus: those the engine refuses when the machine has fewer.
        cpu_period=_CPU_PERIOD,
        cpu_quota=max(1000, int((options.cpus or job.limits.cpus) * _CPU_PERIOD)),
        pids_limit=job.limits.pids,
        network_mode=options.network or options.default_network,
        mounts=list(options.mounts),
        privileged=options.privileged,
        cap_add=list(options.cap_add) or None,
        dns=list(options.dns) or None,
        dns_search=list(options.dns_search) or None,
        extra_hosts=dict(options.extra_hosts) or None,
        shm_size=options.shm_size,
        ipc_mode=options.ipc_mode,
        ulimits=list(options.ulimits) or None,
        device_requests=list(options.device_requests) or None,
        port_bindings=dict(options.port_bindings) or None,
    )
    return config


def memory_limit(job: Job, options: ContainerOptions) -> int:
    """Return the memory a container may use, in bytes."""
    if options.memory is None:
        return job.limits.memory
    return int(docker.utils.parse_bytes(options.memory))
