"""The runtime `docker`: each component in a hardened container of its own."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any, Literal

import docker.errors  # noqa: TID253 - this module is the one place that talks to the engine
import docker.utils  # noqa: TID253
import requests

from flowmate_airflow.protocols.base import FILES
from flowmate_airflow.runtimes.archive import open_one, pack, unpack_one
from flowmate_airflow.runtimes.base import Job, Log, Running, Runtime, RuntimeFailure, Stream
from flowmate_airflow.runtimes.connection import Connection
from flowmate_airflow.runtimes.egress.helper import Helped, helper
from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure, image_missing, pull, reason
from flowmate_airflow.runtimes.feeder import Feeder
from flowmate_airflow.runtimes.frames import Frames
from flowmate_airflow.runtimes.lines import Output, lingering, show_size
from flowmate_airflow.runtimes.options import ContainerOptions

if TYPE_CHECKING:
    from docker import APIClient

LEFTOVER_LABEL = "flowmate.leftover"
"""Carries a digest of all labels of a job: only the very same labels match, never a superset of them."""

_CPU_PERIOD = 100_000
_FEEDER_JOIN_SECONDS = 5.0
_STOP_MARGIN_SECONDS = 10.0


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
        running: _Container | None = None
        try:
            try:
                if job.files:
                    self._client.put_archive(container, "/", pack(FILES, job.files))
                connection = Connection(self._client, container)
                helped.wait()
                self._client.start(container)
            except ENGINE_ERRORS as error:
                raise self._failure(error, f"start a container of {job.image}") from error
            running = _Container(self._client, container, connection, job, feed, self._log)
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


def read_files(client: APIClient, container: str, job: Job) -> dict[str, bytes]:
    """Return the files of :attr:`Job.read_back` of a container, as :meth:`Running.read_back` does."""
    found = {}
    for name in job.read_back:
        try:
            chunks, _ = client.get_archive(container, f"{FILES}/{name}")
            content = unpack_one(chunks, name, job.limits.file)
        except docker.errors.NotFound:
            continue
        except ENGINE_ERRORS as error:
            raise engine_failure(error, f"read the file {name}", str(client.base_url)) from error
        if content is not None:
            found[name] = content
    return found


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


class _Container(Running):
    """A started container."""

    def __init__(
        self,
        client: APIClient,
        container: str,
        connection: Connection,
        job: Job,
        feed: Iterable[bytes],
        log: Log,
    ) -> None:
        self._client = client
        self._id = container
        self._connection = connection
        self._job = job
        self._log = log
        self._stopper: threading.Thread | None = None
        self._code: int | None = None
        self._lingered = False
        self.feeder = Feeder(
            feed, write=connection.send, close=connection.close_stdin, failed=self._abandon, keep=job.keeps_stdin
        )

    def lines(self) -> Iterator[tuple[Stream, bytes]]:
        """See :meth:`Running.lines`."""
        output, frames = Output(self._job.limits), Frames()
        while chunk := self._receive():
            for stream, data in frames.feed(chunk):
                yield from output.feed(stream, data)
        self.feeder.finish()
        if self.feeder.error:
            raise self.feeder.error
        if self._stopper is None:
            frames.finish()
        yield from output.finish()

    def wait(self) -> int:
        """See :meth:`Running.wait`."""
        if self._code is None:
            try:
                self._code = self._wait_or_stop()
            except docker.errors.NotFound:
                raise RuntimeFailure("somebody removed the container while it ran", retry=True) from None
            except ENGINE_ERRORS as error:
                raise engine_failure(error, "wait for the container", str(self._client.base_url)) from error
        return self._code

    def explain_exit(self) -> str | None:
        """See :meth:`Running.explain_exit`."""
        code = self.wait()
        if self._lingered:
            return lingering(self._job.limits)
        if self._stopper is not None:
            return "it was stopped"
        if code == 0:
            return None
        with suppress(*ENGINE_ERRORS):
            facts = self._client.inspect_container(self._id)
            if facts["State"].get("OOMKilled"):
                limit = show_size(facts["HostConfig"]["Memory"])
                return f"it ran out of memory (limit {limit}): raise `limits.memory` in the manifest"
        return f"signal {code - 128} ended it" if 128 < code < 160 else None

    def read_back(self) -> dict[str, bytes]:
        """See :meth:`Running.read_back`."""
        return read_files(self._client, self._id, self._job)

    @contextmanager
    def open_file(self, path: str) -> Iterator[IO[bytes]]:
        """See :meth:`Running.open_file`."""
        try:
            chunks, _ = self._client.get_archive(self._id, path)
        except docker.errors.NotFound:
            raise RuntimeFailure(f"the component has no file {path}", retry=False) from None
        except ENGINE_ERRORS as error:
            raise engine_failure(error, f"read the file {path}", str(self._client.base_url)) from error
        with open_one(self._told(chunks, path), path) as file:
            yield file

    def _told(self, chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
        """Yield the chunks; a connection that breaks is no fault of the component's."""
        try:
            yield from chunks
        except ENGINE_ERRORS as error:
            raise engine_failure(error, f"read the file {path}", str(self._client.base_url)) from error

    def send(self, line: bytes) -> None:
        """See :meth:`Running.send`."""
        self.feeder.send(line)

    def stop_feeding(self) -> None:
        """See :meth:`Running.stop_feeding`."""
        self.feeder.stop()

    def stop(self) -> None:
        """See :meth:`Running.stop`."""
        if self._stopper is None:
            # A thread of its own: the handler of a signal must not use what the interrupted code may hold
            # locked.
            self._stopper = threading.Thread(target=self._end, name="flowmate-stop", daemon=True)
            self._stopper.start()
        self._stopper.join(self._job.limits.stop_grace + _STOP_MARGIN_SECONDS)

    def _wait_or_stop(self) -> int:
        linger: Any = self._job.limits.linger  # not whole seconds only, whatever its types say
        try:
            return int(self._client.wait(self._id, timeout=linger)["StatusCode"])
        except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
            self._lingered = self._client.inspect_container(self._id)["State"]["Running"] is True
            self.stop()
        return int(self._client.wait(self._id, timeout=_STOP_MARGIN_SECONDS)["StatusCode"])  # type: ignore[arg-type]

    def _receive(self) -> bytes:
        try:
            return self._connection.receive()
        except OSError as error:
            if self.feeder.error or self._stopper is not None:
                return b""
            raise RuntimeFailure(f"the connection to the engine broke ({error})", retry=True) from error

    def _end(self) -> None:
        grace: Any = self._job.limits.stop_grace  # not whole seconds only, whatever its types say
        try:
            self._client.kill(self._id, "SIGTERM")
            with suppress(*ENGINE_ERRORS):
                self._client.wait(self._id, timeout=grace)
                return
            self._client.kill(self._id, "SIGKILL")
        except docker.errors.APIError:
            return  # it is not running any more
        except ENGINE_ERRORS as error:
            self._log.warning("could not stop the container %.12s: %s", self._id, error)
            self._connection.abort()

    def _abandon(self) -> None:
        with suppress(*ENGINE_ERRORS):
            self._client.kill(self._id, "SIGKILL")
        self._connection.abort()
