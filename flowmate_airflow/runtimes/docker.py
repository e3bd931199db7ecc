"""The runtime `docker`: each component in a hardened container of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Literal

import docker.errors  # noqa: TID253 - only a step in a container imports this

from flowmate_airflow.protocols.base import FILES
from flowmate_airflow.runtimes.archive import pack
from flowmate_airflow.runtimes.base import Job, Log, Running, Runtime, RuntimeFailure
from flowmate_airflow.runtimes.connection import Connection
from flowmate_airflow.runtimes.container import Container, read_files
from flowmate_airflow.runtimes.egress.helper import Helped, helper
from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure, image_missing, pull, reason
from flowmate_airflow.runtimes.hardening import LEFTOVER_LABEL, container_arguments, labels_digest
from flowmate_airflow.runtimes.options import ContainerOptions

if TYPE_CHECKING:
    from docker import APIClient

_FEEDER_JOIN_SECONDS = 5.0


class DockerRuntime(Runtime):
    """Run components on a container engine.

    :param client: the engine's API; it isn't closed here
    :param log: where pulls and removed leftovers are told
    :param pull: when to pull the image: if it is `missing`, `always`, or `never`
    :param options: settings for every container beside the job's own
    """

    def __init__(
        self,
        client: APIClient,
        *,
        log: Log,
        pull: Literal["missing", "always", "never"] = "missing",
        options: ContainerOptions | None = None,
    ) -> None:
        self._client = client
        self._log = log
        self._pull = pull
        self._options = options or ContainerOptions()

    @contextmanager
    def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
        """See :meth:`Runtime.start`."""
        with self._helped(job) as helped, self._started(job, feed, helped) as running:
            yield running

    @contextmanager
    def _started(self, job: Job, feed: Iterable[bytes], helped: Helped) -> Iterator[Running]:
        container = self._prepare(job, helped.options)
        connection: Connection | None = None
        running: Container | None = None
        try:
            try:
                if job.files:
                    self._client.put_archive(container, "/", pack(FILES, job.files))
                connection = Connection(self._client, container)
                helped.wait()
                self._client.start(container)
            except ENGINE_ERRORS as error:
                raise self._failure(error, f"start a container of {job.image}") from error
            running = Container(self._client, container, connection, job, feed, self._log)
            running.feeder.start()
            yield running
        finally:
            if connection:
                connection.abort()
            self._remove(container)
            if running and not running.feeder.join(_FEEDER_JOIN_SECONDS):
                self._log.warning("the step's input is still waiting for its next message; it is left behind")
            if connection:
                connection.close()

    def _helped(self, job: Job) -> AbstractContextManager[Helped]:
        if job.egress is None:
            return nullcontext(Helped(self._options))
        digest = labels_digest(job) if job.labels else None
        may_pull = self._pull != "never"
        return helper(self._client, job.egress, self._options, digest=digest, may_pull=may_pull, log=self._log)

    def left_behind(self, job: Job) -> list[dict[str, bytes]]:
        """See :meth:`Runtime.left_behind`."""
        found = []
        with suppress(*ENGINE_ERRORS):  # the start, which comes next, tells what is wrong
            for leftover in self._leftovers(job):
                with suppress(docker.errors.APIError):  # it has ended by itself
                    self._client.kill(leftover, "SIGKILL")
                with suppress(RuntimeFailure):
                    found.append(read_files(self._client, leftover, job))
        return found

    def _leftovers(self, job: Job) -> list[str]:
        if not job.labels:
            return []
        label = f"{LEFTOVER_LABEL}={labels_digest(job)}"
        return [str(found["Id"]) for found in self._client.containers(all=True, filters={"label": label})]

    def _prepare(self, job: Job, options: ContainerOptions) -> str:
        """Return the id of a new container, after what an earlier try left was removed."""
        try:
            self._remove_leftovers(job)
            if self._pull == "always":
                pull(self._client, job.image, self._log)
            return self._create(job, options)
        except ENGINE_ERRORS as error:
            raise self._failure(error, f"create a container of {job.image}") from error
        except RuntimeFailure:
            raise
        except BaseException:
            # A timeout or a kill in the middle of the call: the engine may have made the container all the
            # same.
            with suppress(*ENGINE_ERRORS):
                self._remove_leftovers(job)
            raise

    def _create(self, job: Job, options: ContainerOptions) -> str:
        arguments = container_arguments(self._client, job, options)
        try:
            return str(self._client.create_container(**arguments)["Id"])
        except docker.errors.ImageNotFound:
            # Asking first whether the image is there would cost every start a call.
            if self._pull == "never":
                raise image_missing(job.image) from None
        pull(self._client, job.image, self._log)
        return str(self._client.create_container(**arguments)["Id"])

    def _remove_leftovers(self, job: Job) -> None:
        for leftover in self._leftovers(job):
            self._log.warning("removing the container %.12s, which an earlier try left", leftover)
            self._remove(leftover)

    def _remove(self, container: str) -> None:
        try:
            self._client.remove_container(container, force=True, v=True)
        except docker.errors.NotFound:
            return
        except ENGINE_ERRORS as error:
            if getattr(error, "status_code", None) == 409:  # somebody else is removing it
                return
            self._log.warning("could not remove the container %.12s (%s); the next try does", container, reason(error))

    def _failure(self, error: Exception, doing: str) -> RuntimeFailure:
        return engine_failure(error, doing, str(self._client.base_url))
