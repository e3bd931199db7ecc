"""The way out of one step's container: a helper beside it, and the proxy that serves it here in the worker.

The helper has no network but a loopback interface, which it shares with the component's container. It listens there
and passes all on over its standard streams, which the worker holds: so this works wherever containers can be started
and attached to (an engine on another machine, a rootless one, a worker that is a container itself), and neither a
port of the host's nor another container can be reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import docker.errors  # noqa: TID253 - only the docker runtime imports this module
import docker.types  # noqa: TID253

from flowmate_airflow.runtimes.base import MIB, Log, RuntimeFailure
from flowmate_airflow.runtimes.connection import Connection
from flowmate_airflow.runtimes.egress.rules import Egress, is_address
from flowmate_airflow.runtimes.egress.wayout import WayOut
from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure, image_missing, pull
from flowmate_airflow.runtimes.options import ContainerOptions

if TYPE_CHECKING:
    from docker import APIClient

LABEL = "flowmate.egress"
"""Carries, on a helper, the digest of all labels of the job that it serves."""
PROXY = ("127.2.0.1", 3128)
"""Where the helper takes what clients send to a proxy."""
MAX_DIRECT = 200
"""Hosts that clients reach which know nothing of proxies."""
HELPER_MEMORY = 128 * MIB
HELPER_PIDS = 32
ENVIRONMENT: Mapping[str, str] = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
        f"http://{PROXY[0]}:{PROXY[1]}",
    ),
    "NO_PROXY": "",
    "no_proxy": "",
    "NODE_USE_ENV_PROXY": "1",  # Node's own client obeys the others from version 24 on, if this is set
}
"""What tells clients of the proxy."""


@dataclass(frozen=True, slots=True)
class Helped:
    """What a step's container is started with.

    :param wait: waits until its hosts can be reached; call it before the start
    """

    options: ContainerOptions
    wait: Callable[[], None] = field(default=lambda: None)


@contextmanager
def helper(
    client: APIClient, egress: Egress, options: ContainerOptions, *, digest: str | None, may_pull: bool, log: Log
) -> Iterator[Helped]:
    """Start the helper of a step's container, and end it with the context.

    :param digest: of the labels of the step's job, by which the next try finds what a killed worker left
    :raises RuntimeFailure: there is no image for it, or the options contradict what it is for
    """
    if (options.network or options.default_network) == "none":
        yield Helped(options)
        return
    _check(options, egress)
    log.info("the step reaches the hosts of %s's manifest only: %s", egress.connector, egress.listed())
    container = _created(client, egress, options.egress_image, digest, may_pull=may_pull, log=log)
    connection: Connection | None = None
    way_out: WayOut | None = None
    try:
        try:
            connection = Connection(client, container)
            client.start(container)
        except ENGINE_ERRORS as error:
            raise engine_failure(error, "start the helper of a step", str(client.base_url)) from error
        way_out = WayOut(connection, egress, log)
        way_out.start()
        environment = {**options.environment, **ENVIRONMENT}
        yield Helped(replace(options, network=f"container:{container}", environment=environment), way_out.wait)
    finally:
        if way_out:
            way_out.close()
        elif connection:
            connection.abort()
        _remove(client, container, log)
        if connection:
            connection.close()


def direct_hosts(egress: Egress) -> dict[str, str]:
    """Return the names that lead to an address of the helper's own, with that address.

    These are reached also by clients that know nothing of proxies. Names below another are not known beforehand.
    """
    names = dict.fromkeys(host.name for host in egress.hosts if not host.below and not is_address(host.name))
    return {name: f"127.1.{index // 250}.{1 + index % 250}" for index, name in enumerate(list(names)[:MAX_DIRECT])}


def listens(egress: Egress) -> list[tuple[str, int, str]]:
    """Return where the helper listens: address, port, and what a connection there is for."""
    found = {PROXY: ""}
    direct = direct_hosts(egress)
    for host in egress.hosts:
        address = host.name if _is_loopback(host.name) else direct.get(host.name)
        if address is not None and not host.below:
            for port in host.ports:
                found.setdefault((address, port), f"{host.name}:{port}")
    return [(address, port, target) for (address, port), target in found.items()]


def helper_command(egress: Egress) -> list[str]:
    """Return the command of the helper's container; nothing in it is secret."""
    source = files("flowmate_airflow.runtimes.egress").joinpath("tunnel.py").read_text(encoding="utf-8")
    return ["python3", "-I", "-c", source, json.dumps(listens(egress))]


def _check(options: ContainerOptions, egress: Egress) -> None:
    """Check that nothing is asked for that a container without a network of its own cannot have.

    :raises RuntimeFailure: there is
    """
    asked = {
        "network_mode": options.network,
        "hostname": options.hostname,
        "dns": options.dns,
        "dns_search": options.dns_search,
        "extra_hosts": options.extra_hosts,
        "port_bindings": options.port_bindings,
        "privileged": options.privileged,
    }
    found = [f"`{name}`" for name, value in asked.items() if value]
    if found:
        raise RuntimeFailure(
            f"{' and '.join(found)} cannot be set on a step whose connector lists the hosts that it reaches "
            f"({egress.connector}'s manifest): its container has no network of its own",
            retry=False,
        )


def _created(client: APIClient, egress: Egress, image: str, digest: str | None, *, may_pull: bool, log: Log) -> str:
    arguments = helper_arguments(client, egress, image, {} if digest is None else {LABEL: digest})
    try:
        _remove_left(client, digest, log)
        try:
            return str(client.create_container(**arguments)["Id"])
        except docker.errors.ImageNotFound:
            if not may_pull:
                raise image_missing(image) from None
        pull(client, image, log)
        return str(client.create_container(**arguments)["Id"])
    except ENGINE_ERRORS as error:
        raise engine_failure(error, "create the helper of a step", str(client.base_url)) from error
    except RuntimeFailure:
        raise
    except BaseException:
        # A kill in the middle of the call: the engine may have made the container all the same.
        with suppress(*ENGINE_ERRORS):
            _remove_left(client, digest, log)
        raise


def _remove_left(client: APIClient, digest: str | None, log: Log) -> None:
    """Remove what a killed worker left: a helper that was made and never started does not remove itself."""
    if digest is not None:
        for left in client.containers(all=True, filters={"label": f"{LABEL}={digest}"}):
            _remove(client, str(left["Id"]), log)


def _remove(client: APIClient, container: str, log: Log) -> None:
    try:
        client.remove_container(container, force=True, v=True)
    except ENGINE_ERRORS as error:
        # It removes itself when it ends; then it is gone, or just going.
        if getattr(error, "status_code", None) not in (404, 409):
            log.warning("could not remove the helper %.12s: %s", container, error)


def helper_arguments(client: APIClient, egress: Egress, image: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `client.create_container` for the helper."""
    command = helper_command(egress)
    return {
        "image": image,
        "entrypoint": command[:1],
        "command": command[1:],
        "user": "65534:65534",
        "labels": dict(labels),
        "stdin_open": True,
        "healthcheck": {"test": ["NONE"]},
        "host_config": client.create_host_config(
            auto_remove=True,  # its input ends with the worker, however that ends
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            log_config=docker.types.LogConfig(type="none"),
            mem_limit=HELPER_MEMORY,
            memswap_limit=HELPER_MEMORY,
            pids_limit=HELPER_PIDS,
            network_mode="none",
            extra_hosts=direct_hosts(egress) or None,
            sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        ),
    }


def _is_loopback(name: str) -> bool:
    return is_address(name) and ip_address(name).version == 4 and ip_address(name).is_loopback
