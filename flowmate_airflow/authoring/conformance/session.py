"""Running a component for the suite: everything it does is seen, bounded, and searched for secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import orjson

from flowmate_airflow.authoring.conformance.seen import MAX_KEPT, MAX_RECORDS, Seen, record_of
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.base import Conversation, Item, Request
from flowmate_airflow.protocols.events import (
    CatalogEvent,
    CheckEvent,
    CredentialsEvent,
    DescribeEvent,
    ErrorEvent,
    Event,
    LogEvent,
    MessageEvent,
    ProtocolError,
    RejectedEvent,
    RenewalEvent,
    RequestError,
    ResultEvent,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.protocols.streams import OPEN_SCHEMA
from flowmate_airflow.runtimes.base import MIB, Limits, Running, Runtime, RuntimeFailure
from flowmate_airflow.steps.conversations import conversation_for
from flowmate_airflow.steps.jobs import job_for
from flowmate_airflow.steps.runtimes import RuntimeName

Cut: TypeAlias = Callable[[Seen], bool]

_OUTPUT = 512 * MIB
_TOLD = 60


@dataclass(slots=True)
class Session:
    """Starts one connector, again and again.

    :param log: told each line of the component's log
    :param leaks: where a secret was seen, in words
    """

    manifest: Manifest
    runtime: Runtime
    runtime_name: RuntimeName
    log: Callable[[str], None] = lambda text: None
    secrets: dict[bytes, str] = field(default_factory=dict, repr=False)
    leaks: dict[str, str] = field(default_factory=dict)
    runs: list[Seen] = field(default_factory=list)

    def run(
        self, what: str, request: Request, items: Iterable[Item] = (), *, seconds: float, cut: Cut | None = None
    ) -> Seen:
        """Run the component once.

        :param what: the run in words, for reasons
        :param cut: asked after each state and message whether enough was seen
        """
        # A Singer program answers other questions than `run` in any form.
        seen = Seen(what, lines=request.verb == "run" or self.manifest.protocol != "singer")
        self.runs.append(seen)
        started = time.monotonic()
        try:
            conversation = conversation_for(self.manifest, request)
            job = job_for(
                self.manifest, conversation.launch(), labels={}, runtime=self.runtime_name, egress=request.egress
            )
            job = replace(job, limits=_bounded(job.limits))
            with self.runtime.start(job, conversation.feed(items)) as running:
                self._watch(running, conversation, seen, request, seconds, cut)
                if not seen.cut and not seen.full and seen.broken is None:
                    files = running.read_back() if job.read_back else {}
                    for event in conversation.end(-1 if seen.code is None else seen.code, files):
                        self._note(seen, event)
        except ProtocolError as error:
            seen.broken = seen.broken or str(error)
        except (RuntimeFailure, RequestError, ValueError) as error:
            seen.failure = str(error)
        seen.seconds = time.monotonic() - started
        return seen

    def _watch(
        self,
        running: Running,
        conversation: Conversation,
        seen: Seen,
        request: Request,
        seconds: float,
        cut: Cut | None,
    ) -> None:
        def end() -> None:
            seen.late = True
            running.stop()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            for stream, line in running.lines():
                if seen.cut or seen.full or seen.broken is not None:
                    continue
                asked = seen.renewals
                self._take(conversation, stream, line, seen)
                if seen.renewals > asked:  # there are no others here
                    running.send(conversation.renewed(request.credentials))
                seen.full = len(seen.records) >= MAX_RECORDS
                if cut is not None and not seen.full:
                    seen.cut = cut(seen)
                if seen.cut or seen.full or seen.broken is not None:
                    running.stop()
            code = running.wait()
            if not (seen.late or seen.cut or seen.full):
                seen.code, seen.reason = code, running.explain_exit()
        finally:
            timer.cancel()
            timer.join()  # what it stops must not be closed under it

    def _take(self, conversation: Conversation, stream: str, line: bytes, seen: Seen) -> None:
        if stream == "stderr":
            self._search(line, seen.what, "log")
            self._note(seen, conversation.take_log(line))
            return
        if not line.strip():
            return
        if seen.lines and not _is_said(line):
            seen.noise += 1
        try:
            events = list(conversation.take(line))
        except ProtocolError as error:
            seen.broken = str(error)
            return
        if not any(isinstance(event, CredentialsEvent) for event in events):
            told = all(isinstance(event, LogEvent) for event in events)
            self._search(line, seen.what, "log" if events and told else "output")
        if any(isinstance(event, MessageEvent) for event in events):
            # What stands for a schema that was never told comes together with the record that needed it.
            guessed = (event.stream for event in events if isinstance(event, StreamEvent))
            seen.undeclared.update(stream.name for stream in guessed if stream.schema == OPEN_SCHEMA)
        for event in events:
            self._note(seen, event)

    def masked(self, text: str) -> str:
        """Return a text without the secrets that the component was given."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret.decode(errors="replace"), "***")
        return text

    def _search(self, line: bytes, what: str, where: str) -> None:
        for secret, name in self.secrets.items():
            if secret in line:
                self.leaks.setdefault(f"`{name}` in the {where} of: {what}", line[:_TOLD].decode(errors="replace"))

    def _note(self, seen: Seen, event: Event) -> None:
        note = _NOTES.get(type(event))
        if note is not None:
            note(seen, event)
        if isinstance(event, LogEvent):
            seen.last_line = event.text.strip()[:500] or seen.last_line
            self.log(self.masked(event.text))


def _bounded(limits: Limits) -> Limits:
    return replace(limits, output=min(limits.output, _OUTPUT))


def _is_said(line: bytes) -> bool:
    """Whether a line is meant for the protocol at all."""
    if line.lstrip()[:1] != b"{":
        return False
    if len(line) > MIB:
        return True
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _message(seen: Seen, event: MessageEvent) -> None:
    record = record_of(event.message, keep=len(seen.records) < MAX_KEPT)
    seen.records.append(record)
    if record.stream is not None and record.stream not in seen.streams:
        seen.undeclared.add(record.stream)


def _state(seen: Seen, event: StateEvent) -> None:
    seen.state, seen.has_state = event.state, True
    seen.state_at, seen.states = len(seen.records), seen.states + 1


def _stream(seen: Seen, event: StreamEvent) -> None:
    seen.streams[event.stream.name] = event.stream


def _check(seen: Seen, event: CheckEvent) -> None:
    seen.check = event


def _catalog(seen: Seen, event: CatalogEvent) -> None:
    seen.catalog = list(event.streams)


def _renewal(seen: Seen, event: RenewalEvent) -> None:
    seen.renewals += 1


def _describe(seen: Seen, event: DescribeEvent) -> None:
    seen.description = event.description


_NOTES: Mapping[type, Callable[[Seen, Any], None]] = {
    MessageEvent: _message,
    StateEvent: _state,
    StreamEvent: _stream,
    CheckEvent: _check,
    CatalogEvent: _catalog,
    DescribeEvent: _describe,
    ErrorEvent: lambda seen, event: seen.errors.append(event),
    RejectedEvent: lambda seen, event: seen.rejected.append(event),
    ResultEvent: lambda seen, event: seen.results.append(event.message_id),
    RenewalEvent: _renewal,
}
