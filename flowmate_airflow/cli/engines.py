"""The runtimes of a local run."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.runtimes.base import Runtime
from flowmate_airflow.settings import setting
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.runtimes import RuntimeName, egress_image, files_mounts, process_runtime, pull_policy

if TYPE_CHECKING:
    from docker import APIClient

_TIMEOUT = 60


class Engines:
    """Makes the runtime of each step; a context, which closes the connection to the container engine.

    :param name: the runtime's name
    :param log: where the runtimes tell what they do
    """

    def __init__(self, name: RuntimeName, log: logging.Logger) -> None:
        self.name = name
        self._log = log
        self._client: APIClient | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def runtime(self, manifest: Manifest) -> Runtime:
        """Return the runtime for a connector.

        :raises ConfigFailure: no container engine answers
        """
        if self.name == "process":
            return process_runtime(self._log)
        from flowmate_airflow.runtimes.docker import DockerRuntime
        from flowmate_airflow.runtimes.options import ContainerOptions

        options = ContainerOptions(
            default_network=setting("network"), egress_image=egress_image(manifest), mounts=files_mounts(manifest)
        )
        try:
            client = self.client()
        except ConfigFailure as failure:
            raise ConfigFailure(f"{failure}, or give --runtime process") from None
        return DockerRuntime(client, log=self._log, pull=pull_policy(), options=options)

    def client(self) -> APIClient:
        """Return the connection to the container engine.

        :raises ConfigFailure: none answers
        """
        if self._client is None:
            from docker import APIClient
            from docker.utils import kwargs_from_env

            from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure

            try:
                self._client = APIClient(version="auto", timeout=_TIMEOUT, **kwargs_from_env())
            except ENGINE_ERRORS as error:
                raise ConfigFailure(str(engine_failure(error, "start containers"))) from None
            self._stack.callback(self._client.close)
        return self._client
