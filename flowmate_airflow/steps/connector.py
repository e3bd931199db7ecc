"""The connector step: one component run over one batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flowmate_airflow.batches.batch import BatchError, BatchWriter, StorageFailure
from flowmate_airflow.batches.message import Message, envelope
from flowmate_airflow.protocols.component import config_line, failure_type_of_exit, message_line, parse_line
from flowmate_airflow.protocols.events import (
    ErrorEvent,
    FailureType,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    ProtocolError,
    StateEvent,
)
from flowmate_airflow.runtimes.base import Job, Running, Runtime, RuntimeFailure
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.steplog import MAX_ID, Log, Progress, StepLog, clean, clean_failure

OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Call:
    """What one step asks of a component.

    :param step: the step's id
    :param use: connector and function, for texts
    :param config: the rendered `with`
    :param credentials: under the names the manifest declares
    :param state: what the component stored at its last successful run
    :param context: facts about the run
    :param id_prefix: how the ids of messages begin that the component gave none
    :param skip_errors: whether a message that fails is left out instead of failing the step
    """

    step: str
    use: str
    config: Mapping[str, Any]
    credentials: Mapping[str, Any] = field(default_factory=dict, repr=False)
    state: Any = None
    context: Mapping[str, Any] = field(default_factory=dict)
    id_prefix: str = "m"
    skip_errors: bool = False


def run_connector(
    runtime: Runtime,
    job: Job,
    call: Call,
    messages: Iterable[Message],
    writer: BatchWriter,
    log: Log,
    *,
    on_start: Callable[[Running], None] = lambda running: None,
    on_progress: OnProgress | None = None,
) -> Progress:
    """Run a component over a batch and write what it emits.

    :param on_start: told the running component, so that a kill from outside can stop it
    :param on_progress: told the counts now and then; default: they go to the log
    :raises ConfigFailure: the step failed and would fail again
    :raises TransientFailure: the step failed; a retry may heal it
    """
    run = _Run(call, writer, StepLog(log, job.limits.log, on_progress))
    try:
        with runtime.start(job, run.feed(messages)) as running:
            on_start(running)
            run.read(running)
            code = running.wait()
            reason = running.explain_exit()
    except RuntimeFailure as error:
        failure = TransientFailure if error.retry else ConfigFailure
        raise failure(f"step `{call.step}` ({call.use}): {error}") from error
    run.finish(code, reason)
    return run.log.progress


class _Run:
    """The state of one run of one component."""

    def __init__(self, call: Call, writer: BatchWriter, log: StepLog) -> None:
        self.log = log
        self._call = call
        self._writer = writer
        self._stop = threading.Event()
        self._failed: ErrorEvent | None = None

    def feed(self, messages: Iterable[Message]) -> Iterator[bytes]:
        """Yield the lines of the component's stdin."""
        call = self._call
        yield config_line(call.config, call.credentials, call.state, call.context)
        for message in messages:
            if self._stop.is_set():
                return
            self.log.progress.messages_in += 1
            yield message_line(message)

    def read(self, running: Running) -> None:
        """Take in everything that the component writes."""
        for stream, line in running.lines():
            if stream == "stderr":
                self.log.text(logging.INFO, line.decode("utf-8", errors="backslashreplace"))
            elif line:
                self._take(line, running)

    def finish(self, code: int, reason: str | None) -> None:
        """Raise if the step failed."""
        self.log.finish()
        progress = self.log.progress
        self._writer.errors = progress.errors
        if self._failed is not None:
            number = self._failed.message_id
            fed = "" if number is None else f"message {clean(number, MAX_ID)}: "
            raise self._failure(self._failed.failure_type, f"{fed}{clean_failure(self._failed.text)}", code or None)
        if code != 0 or reason:  # one that was stopped may end with 0, and has not done its work
            told = f" ({reason})" if reason else ""
            last = f": {self.log.last_line}" if self.log.last_line else ""
            text = f"its component ended with exit code {code}{told}{last}"
            raise self._failure(failure_type_of_exit(code), text, code)

    def _take(self, line: bytes, running: Running) -> None:
        try:
            event = parse_line(line)
            if isinstance(event, MessageEvent):
                self._write(event.message)
            elif isinstance(event, LogEvent):
                self.log.text(event.level, event.text)
            elif isinstance(event, ProgressEvent):
                self.log.component_progress(event)
            elif isinstance(event, ErrorEvent):
                self._take_error(event, running)
            elif isinstance(event, StateEvent):
                self.log.progress.state = event.state
        except (ProtocolError, BatchError) as error:
            raise self._failure("config", clean_failure(str(error))) from None
        except StorageFailure as error:
            raise self._failure("transient", str(error)) from None

    def _write(self, message: dict[str, Any]) -> None:
        progress = self.log.progress
        progress.messages_out += 1
        self._writer.write(envelope(message, f"{self._call.id_prefix}-{progress.messages_out}"))
        self.log.tick()

    def _take_error(self, event: ErrorEvent, running: Running) -> None:
        if event.message_id is None:
            self._failed = self._failed or event
            return
        self.log.message_error(event)
        if not self._call.skip_errors:
            self._failed = self._failed or event
            self._stop.set()
            running.stop_feeding()

    def _failure(self, failure_type: FailureType, text: str, code: int | None = None) -> StepError:
        failure = ConfigFailure if failure_type == "config" else TransientFailure
        return failure(f"step `{self._call.step}` ({self._call.use}) failed: {text}", code)
