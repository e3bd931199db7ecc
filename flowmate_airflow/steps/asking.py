"""Asking a component a question: does it work, which streams has it, what is it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.events import (
    CatalogEvent,
    CheckEvent,
    CredentialsEvent,
    DescribeEvent,
    ErrorEvent,
    Event,
    FailureType,
    LogEvent,
    ProtocolError,
    RequestError,
    SubscriptionEvent,
)
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.runtimes.base import Running, Runtime, RuntimeFailure
from flowmate_airflow.steps.conversations import conversation_for
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.jobs import job_for
from flowmate_airflow.steps.runtimes import RuntimeName
from flowmate_airflow.steps.steplog import Log, Mask, StepLog, clean_failure

SECONDS = 300.0
"""How long a component may take to answer."""


@dataclass(slots=True)
class Answer:
    """What a component answered.

    :param code: its exit code
    :param reason: why it ended, where the runtime knows more
    :param last_line: the last line of its log
    :param failure_type: who must act on its exit code
    """

    code: int
    reason: str | None = None
    check: CheckEvent | None = None
    streams: Sequence[Stream] | None = None
    description: Mapping[str, Any] | None = None
    subscription: SubscriptionEvent | None = None
    error: ErrorEvent | None = None
    last_line: str = ""
    failure_type: FailureType = "system"
    changed: dict[str, Any] = field(default_factory=dict, repr=False)


def ask(
    runtime: Runtime,
    manifest: Manifest,
    request: Request,
    *,
    runtime_name: RuntimeName,
    log: Log,
    labels: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    on_start: Callable[[Running], None] = lambda running: None,
    mask: Mask = lambda text: text,
) -> Answer:
    """Start a component with a verb other than `run` and return what it answers.

    :param request: with the verb
    :param mask: hides secrets in what the component says
    :raises ConfigFailure: it cannot be started, or breaks its protocol
    :raises TransientFailure: the runtime failed, or the component took too long; a retry may help
    """
    answer = Answer(code=-1)
    late = threading.Event()
    try:
        conversation = conversation_for(manifest, request)
        job = job_for(manifest, conversation.launch(), labels=labels or {}, runtime=runtime_name, egress=request.egress)
        step_log = StepLog(log, job.limits.log, lambda progress: None, mask)
        with runtime.start(job, conversation.feed(())) as running:
            on_start(running)
            timer = threading.Timer(seconds, _end, (late, running))
            timer.start()
            try:
                for stream, line in running.lines():
                    if stream == "stderr":
                        event = conversation.take_log(line)
                        step_log.text(event.level, event.text)
                    elif line:
                        _note_all(answer, conversation.take(line), step_log)
                answer.code = running.wait()
            finally:
                timer.cancel()
                timer.join()  # what it stops must not be closed under it
            answer.reason = running.explain_exit()
            files = running.read_back() if job.read_back else {}
            _note_all(answer, conversation.end(answer.code, files), step_log)
    except RequestError as error:
        raise ConfigFailure(f"{manifest.name} {request.verb}: {error}") from None
    except RecursionError:
        raise ConfigFailure(f"{manifest.name} {request.verb}: a line of its output is nested too deep") from None
    except ProtocolError as error:
        raise ConfigFailure(f"{manifest.name} {request.verb}: {clean_failure(mask(str(error)))}") from None
    except RuntimeFailure as error:
        raise (TransientFailure if error.retry else ConfigFailure)(f"{manifest.name}: {error}") from error
    if late.is_set():
        raise TransientFailure(f"{manifest.name} did not answer `{request.verb}` within {seconds:g} seconds")
    if answer.error is not None:
        answer.error = replace(answer.error, text=mask(answer.error.text))
    answer.last_line = step_log.last_line
    answer.failure_type = conversation.failure_type(answer.code)
    return answer


def discover(
    runtime: Runtime,
    manifest: Manifest,
    request: Request,
    *,
    on_changed: Callable[[Mapping[str, Any]], None] = lambda changed: None,
    **options: Any,
) -> Answer:
    """Return an answer with the streams of a source.

    :param on_changed: takes the credentials that the source changed, also when it fails then
    :raises StepError: it gave none; the text says why
    """
    answer = ask(runtime, manifest, request, **options)
    if answer.changed:
        on_changed(answer.changed)
    if answer.streams is None:
        raise failure_of(manifest, answer, "could not say which streams it has", "no catalog")
    return answer


def _end(late: threading.Event, running: Running) -> None:
    late.set()
    running.stop()


def failure_of(manifest: Manifest, answer: Answer, what: str, missing: str) -> StepError:
    """Return the failure of a component that did not answer as it should have.

    :param what: it did not do
    :param missing: in its answer, where it did not say why
    """
    kind = answer.failure_type
    if answer.error is not None:
        kind, text = answer.error.failure_type, clean_failure(answer.error.text)
    else:
        told = answer.reason or answer.last_line
        text = f"it ended with exit code {answer.code} and {missing}" + (f": {told}" if told else "")
    failure = ConfigFailure if kind == "config" else TransientFailure
    return failure(f"{manifest.name} {what}: {text}", answer.code)


def _note_all(answer: Answer, events: Any, log: StepLog) -> None:
    for event in events:
        _note(answer, event, log)


def _note(answer: Answer, event: Event, log: StepLog) -> None:
    if isinstance(event, CheckEvent):
        answer.check = event
    elif isinstance(event, CatalogEvent):
        answer.streams = event.streams
    elif isinstance(event, DescribeEvent):
        answer.description = event.description
    elif isinstance(event, SubscriptionEvent):
        answer.subscription = event
    elif isinstance(event, ErrorEvent):
        answer.error = answer.error or event
    elif isinstance(event, CredentialsEvent):
        answer.changed.update(event.changed)
    elif isinstance(event, LogEvent):
        log.text(event.level, event.text)
