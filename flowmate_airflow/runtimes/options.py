"""What a container may be given beside its job: the parameters of DockerOperator that reach the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOptions:
    """Settings for every container of one runtime. What is None or empty is left to the job or the engine.

    :param environment: added to the job's own and stronger than it; values may be private, so no repr shows
        them
    :param network: a network's name, `bridge`, `host`, `none` or `container:<name>`
    :param default_network: the one where `network` names none; not for steps that reach listed hosts only
    :param egress_image: an image with Python, for the helper through which such a step reaches its hosts
    :param memory: stronger than the job's limit: bytes, or a string such as `512m`
    :param cpus: stronger than the job's limit
    :param user: stronger than the job's user
    :param cap_add: capabilities given back after all were dropped
    :param privileged: all of the machine's rights; switches the hardening off
    :param tty: refused: a terminal mixes stdout with stderr and rewrites line ends
    :raises ValueError: `tty` is asked for
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    network: str | None = None
    default_network: str | None = None
    egress_image: str = ""
    mounts: Sequence[Any] = ()
    entrypoint: str | Sequence[str] | None = None
    working_dir: str | None = None
    name: str | None = None
    hostname: str | None = None
    user: str | None = None
    memory: int | float | str | None = None
    cpus: float | None = None
    shm_size: int | None = None
    dns: Sequence[str] = ()
    dns_search: Sequence[str] = ()
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    cap_add: Sequence[str] = ()
    privileged: bool = False
    ipc_mode: str | None = None
    ulimits: Sequence[Any] = ()
    device_requests: Sequence[Any] = ()
    port_bindings: Mapping[Any, Any] = field(default_factory=dict)
    tty: bool = False

    def __post_init__(self) -> None:
        if self.tty:
            raise ValueError(
                "`tty` can't be true: a terminal would mix the connector's output with its log; leave it out"
            )
