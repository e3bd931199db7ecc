"""The connector step: one component run over one batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from flowmate_airflow.batches.batch import BatchError, StorageFailure
from flowmate_airflow.batches.message import canonical, stream_in_line
from flowmate_airflow.protocols.base import Conversation, Item, Request
from flowmate_airflow.protocols.events import (
    CredentialsEvent,
    ErrorEvent,
    Event,
    FailureType,
    FilesEvent,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    ProtocolError,
    RejectedEvent,
    RenewalEvent,
    ReplyEvent,
    RequestError,
    ResultEvent,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.runtimes.base import Job, OutputLimitExceeded, Running, Runtime, RuntimeFailure
from flowmate_airflow.runtimes.lines import show_size
from flowmate_airflow.steps.bounds import MAX_KEPT_ID, Bounds
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.filelines import lines_of
from flowmate_airflow.steps.held import Held
from flowmate_airflow.steps.listener import Listener
from flowmate_airflow.steps.outcome import Failure, Outcome
from flowmate_airflow.steps.projection import Projection
from flowmate_airflow.steps.sinks import Sink
from flowmate_airflow.steps.steplog import MAX_ID, Log, StepLog, clean, clean_failure

OnError: TypeAlias = Literal["fail", "skip", "dead_letter"]

TICK = 64
"""After so many messages the clock is looked at, whether it is time to tell the counts."""
MAX_UNDONE = 10_000
"""Ids of messages that failed, kept to be sure that they are sent again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One step's use of a component.

    :param step: the step's id
    :param use: connector and function, for texts
    :param id_prefix: how the ids of messages begin that the component gave none
    :param on_error: what becomes of the others when one message fails
    :param projection: cuts messages to what the step asked for
    """

    step: str
    use: str
    request: Request
    id_prefix: str = "m"
    on_error: OnError = "fail"
    projection: Projection | None = None


class ConnectorRun:
    """One run of one component. :attr:`outcome` is right also after a failure."""

    def __init__(
        self, conversation: Conversation, call: Call, sink: Sink, log: Log, job: Job, listener: Listener | None = None
    ) -> None:
        self._listener = listener or Listener()
        self._log = StepLog(log, job.limits.log, self._listener.progress, self._listener.mask)
        self.outcome = Outcome(self._log.progress)
        self._conversation = conversation
        self._call = call
        self._sink = sink
        self._job = job
        self._stop = threading.Event()
        self._failed: ErrorEvent | None = None
        self._held = Held(sink)
        self._holds = True
        self._line_bytes = 0
        self._file_bytes = 0
        self._bounds = Bounds()
        self._running: Running | None = None
        self._ended = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            MessageEvent: self._write,
            LogEvent: self._take_log,
            ResultEvent: self._take_result,
            StreamEvent: self._take_stream,
            StateEvent: self._take_state,
            FilesEvent: self._take_files,
            ProgressEvent: self._log.component_progress,
            ErrorEvent: self._take_error,
            RejectedEvent: self._take_rejected,
            CredentialsEvent: lambda event: self._listener.credentials(event.changed),
            RenewalEvent: self._renew,
            ReplyEvent: self._take_reply,
        }

    def run(self, runtime: Runtime, items: Iterable[Item], *, number_from: int = 0) -> Outcome:
        """Run the component over its input.

        :param number_from: how many messages of this step's batch are there already, from an earlier try
        :raises ConfigFailure: the step failed and would fail again
        :raises TransientFailure: the step failed; a retry may heal it
        """
        self._number = number_from
        try:
            self._run(runtime, items)
        except BaseException:
            self.tell()
            raise
        return self.outcome

    def tell(self) -> None:
        """Tell the last counts: after a success, when all else has been said."""
        self._log.counts()

    def _run(self, runtime: Runtime, items: Iterable[Item]) -> None:
        try:
            with runtime.start(self._job, self._conversation.feed(self._counted(items))) as running:
                self._running = running
                if self._ended:
                    running.stop()
                self._listener.start(running)
                try:
                    self._read(running)
                    code = running.wait()
                    reason = running.explain_exit()
                except BaseException:
                    self._salvage(running)
                    raise
                self._end(running, code)
        except RequestError as error:
            raise self._failure("config", str(error)) from None
        except RuntimeFailure as error:
            failure = TransientFailure if error.retry else ConfigFailure
            raise failure(f"step `{self._call.step}` ({self._call.use}): {error}") from error
        finally:
            self._log.finish()
        self._judge(code, reason)

    def stop(self) -> None:
        """End the component, also one that is only being started."""
        self._ended = True
        if self._running is not None:
            self._running.stop()

    def _counted(self, items: Iterable[Item]) -> Iterator[Item]:
        progress = self._log.progress
        for item in items:
            if self._stop.is_set():
                return
            if isinstance(item, bytes):
                progress.messages_in += 1
                name = stream_in_line(item)
                if name is not None:
                    progress.streams_in[name] = progress.streams_in.get(name, 0) + 1
            yield item

    def _read(self, running: Running) -> None:
        for stream, line in running.lines():
            try:
                if stream == "stderr":
                    event = self._conversation.take_log(line)
                    self._log.text(event.level, event.text)
                elif line:
                    self._line_bytes = len(line)
                    for each in self._conversation.take(line):
                        self._handle(each)
            except RecursionError:
                raise self._failure("config", "a line of its output is nested too deep") from None
            except (ProtocolError, BatchError) as error:
                raise self._failure("config", self._said(str(error))) from None
            except StorageFailure as error:
                raise self._failure("transient", str(error)) from None

    def _end(self, running: Running, code: int) -> None:
        try:
            for event in self._conversation.end(code, running.read_back() if self._job.read_back else {}):
                self._handle(event)
            if self._failed is None and code == 0:
                self._held.flush()
        except (ProtocolError, BatchError, RecursionError) as error:
            if self._failed is None and code == 0:  # else this is what came of it
                raise self._failure("config", self._said(str(error))) from None
        except StorageFailure as error:
            raise self._failure("transient", str(error)) from None

    def _salvage(self, running: Running) -> None:
        """Save changed credentials of a component that is being ended: a rotated token cannot be had again."""
        if not self._job.read_back:
            return
        with suppress(RuntimeFailure, ProtocolError):
            running.stop()
            running.wait()
            for changed in self._conversation.changed_credentials(running.read_back()):
                self._listener.credentials(changed)

    def _judge(self, code: int, reason: str | None) -> None:
        if self._failed is not None:
            number = self._failed.message_id
            fed = "" if number is None else f"message {clean(number, MAX_ID)}: "
            text = f"{fed}{self._said(self._failed.text)}"
            raise self._component_failure(self._failed.failure_type, text, code or None)
        if code != 0 or reason:  # one that was stopped may end with 0, and has not done its work
            told = f" ({reason})" if reason else ""
            said = self._said(self._conversation.explain()) or self._log.last_line
            last = f": {said}" if said else ""
            text = f"its component ended with exit code {code}{told}{last}"
            raise self._component_failure(self._conversation.failure_type(code), text, code)

    def _component_failure(self, failure_type: FailureType, text: str, code: int | None) -> StepError:
        if self._listener.is_over():  # so that its credentials were refused is nobody's fault
            text = f"{text} (its access token was over by then; a retry gets a new one)"
            return self._failure("transient", text, code)
        return self._failure(failure_type, text, code)

    def _handle(self, event: Event) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _take_result(self, event: ResultEvent) -> None:
        self._held.flush()
        done = self.outcome.done
        # No more can be done than were fed: the list of what is done goes to the store.
        if len(event.message_id) <= MAX_KEPT_ID and done.count < self._log.progress.messages_in:
            done.add(event.message_id)
        if event.remote_id is not None:
            self._listener.result(event.message_id, self._bounds.remote_id(event.remote_id))

    def _take_stream(self, event: StreamEvent) -> None:
        self._bounds.described(event.stream.key, self._line_bytes)
        self._sink.declare(event.stream)

    def _take_state(self, event: StateEvent) -> None:
        self._held.flush()
        self.outcome.state, self.outcome.has_state = event.state, True
        self._sink.state(event)

    def _take_log(self, event: LogEvent) -> None:
        self._log.text(event.level, event.text)

    def _renew(self, event: RenewalEvent) -> None:
        if self._running is not None:
            self._running.send(self._conversation.renewed(self._listener.renew(event.rejected)))

    def _take_reply(self, event: ReplyEvent) -> None:
        waits = self._listener.reply(event.reply)
        who = "the caller" if waits else "the caller; nobody waits for one"
        self._log.text(logging.INFO, f"the component has a reply for {who}")

    def _write(self, event: MessageEvent) -> None:
        call, progress, message, line = self._call, self._log.progress, event.message, event.line
        metadata = message.get("metadata")
        stream = metadata.get("stream") if isinstance(metadata, dict) else None
        if not isinstance(stream, str):
            stream = None
        if call.projection is not None:
            namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
            wanted, data = call.projection.cut(stream, namespace, message["data"])
            if not wanted:
                return
            if data is not message["data"]:
                message, line = {**message, "data": data}, None
        self._number = number = self._number + 1
        progress.messages_out += 1
        if stream is not None:
            progress.streams_out[stream] = count = progress.streams_out.get(stream, 0) + 1
            if count == 1:
                self._bounds.new_stream(stream, len(progress.streams_out))
        message, line = canonical(message, line, call.id_prefix, number)
        if self._holds and progress.messages_in:
            if not self._held.add(message, line, stream, self._line_bytes):
                self._held.flush()
                self._holds = self.outcome.done.count > 0  # else it reports nothing
        else:
            self._sink.write(message, line, stream)
        if not number % TICK:
            self._log.tick()

    def _take_files(self, event: FilesEvent) -> None:
        """Take in the records of a component's own files as if it had written them."""
        if self._running is None:
            return
        for path in event.paths:
            with self._running.open_file(path) as raw:
                for line in lines_of(
                    raw, gzipped=event.gzip, limit=self._job.limits.line, name=path, spend=self._spend
                ):
                    for each in self._conversation.take(event.head + line + b"}"):
                        if isinstance(each, FilesEvent):
                            raise ProtocolError(f"the component's file {path} has no records, it names other files")
                        self._handle(each)

    def _spend(self, size: int) -> None:
        """Count what is read of a component's files, which may be as much as its output."""
        self._file_bytes += size
        if self._file_bytes > self._job.limits.output:
            raise OutputLimitExceeded(
                f"the component's files have more than {show_size(self._job.limits.output)} in all, which is its "
                "limit; let it read less at a time"
            )

    def _take_error(self, event: ErrorEvent) -> None:
        if event.message_id is None:
            self._failed = self._failed or event
            return
        self._log.message_error(event)
        self._note_undone(event.message_id)
        if self._call.on_error != "fail":
            self._held.flush()
            self._keep(Failure(event.text, event.failure_type, event.message_id))
            return
        self._held.clear()
        self._failed = self._failed or event
        self._stop.set()
        if self._running is not None:
            self._running.stop_feeding()

    def _note_undone(self, message_id: str) -> None:
        """Keep that a message failed, should the component say that it is done as well: a retry must send it again."""
        undone = self.outcome.undone
        if len(message_id) <= MAX_KEPT_ID and len(undone) < MAX_UNDONE:
            undone.add(message_id)

    def _take_rejected(self, event: RejectedEvent) -> None:
        self._log.rejected(event)
        if self._call.on_error != "fail":
            self._keep(Failure(event.text, "system", None, event.external_id))
        elif self._failed is None:
            which = f"the record {clean(event.external_id, MAX_ID)} failed: " if event.external_id else ""
            self._failed = ErrorEvent(f"{which}{event.text}", "system")

    def _keep(self, failure: Failure) -> None:
        if self._call.on_error != "dead_letter":
            return
        kept = self._bounds.failed(failure)
        if kept is None:
            count = len(self.outcome.failures)
            raise self._failure("config", f"more than {count:,} messages failed: {self._said(failure.text)}")
        self.outcome.failures.append(kept)

    def _said(self, text: str) -> str:
        """Return what the component says, fit for the text of a failure."""
        return clean_failure(self._listener.mask(text))

    def _failure(self, failure_type: FailureType, text: str, code: int | None = None) -> StepError:
        failure = ConfigFailure if failure_type == "config" else TransientFailure
        return failure(f"step `{self._call.step}` ({self._call.use}) failed: {text}", code)
