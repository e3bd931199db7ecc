"""A container that runs: its output, its end, and the files in it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import docker.errors  # noqa: TID253 - only a step in a container imports this
import requests

from flowmate_airflow.protocols.base import FILES
from flowmate_airflow.runtimes.archive import open_one, unpack_one
from flowmate_airflow.runtimes.base import Job, Log, Running, RuntimeFailure, Stream
from flowmate_airflow.runtimes.connection import Connection
from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure
from flowmate_airflow.runtimes.feeder import Feeder
from flowmate_airflow.runtimes.frames import Frames
from flowmate_airflow.runtimes.lines import Output, lingering, show_size

if TYPE_CHECKING:
    from docker import APIClient

_STOP_MARGIN_SECONDS = 10.0


class Container(Running):
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
