"""One try of a connector step with all that is around its component: what it remembers, selects, keeps and hands on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from flowmate_airflow.auth.credentials import Account, credentials_for, expires_at, secrets_of, texts_in
from flowmate_airflow.auth.masking import Masker
from flowmate_airflow.batches.batch import BatchValue, BatchWriter, depth_is_at_most
from flowmate_airflow.batches.message import Message
from flowmate_airflow.protocols.base import Conversation, Item
from flowmate_airflow.protocols.events import ProtocolError, RequestError
from flowmate_airflow.protocols.streams import SelectedStream, Stream
from flowmate_airflow.runtimes.base import Job, Runtime
from flowmate_airflow.steps.asking import discover
from flowmate_airflow.steps.bounds import MAX_CHANGED, MAX_CHANGES, MAX_KEPT_DEPTH, may_change
from flowmate_airflow.steps.calls import StepCall, function_name
from flowmate_airflow.steps.catalogs import catalog_digest
from flowmate_airflow.steps.connector import ConnectorRun
from flowmate_airflow.steps.conversations import conversation_for, has_streams, is_source
from flowmate_airflow.steps.errors import ConfigFailure, TransientFailure
from flowmate_airflow.steps.idlinks import IdLinks
from flowmate_airflow.steps.incoming import incoming_streams
from flowmate_airflow.steps.inputs import Input
from flowmate_airflow.steps.jobs import job_for
from flowmate_airflow.steps.letters import letters_of
from flowmate_airflow.steps.listener import Listener
from flowmate_airflow.steps.memory import Memory
from flowmate_airflow.steps.outcome import Failure, Outcome
from flowmate_airflow.steps.reading import Catalog, Reading
from flowmate_airflow.steps.renewing import Pace
from flowmate_airflow.steps.runtimes import RuntimeName
from flowmate_airflow.steps.sinks import BatchSink, Sink
from flowmate_airflow.steps.steplog import MAX_ID, Log, clean
from flowmate_airflow.steps.tries import Tries
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.links import LinkScope


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step's component runs.

    :param labels: as :class:`Job` has them
    :param image: instead of the manifest's
    """

    runtime: Runtime
    name: RuntimeName
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None


class Session:
    """One try of one connector step.

    :param step: what the flow says, rendered; its state and changed credentials are added from the memory
    :param external_id: JSONata that gives a message's own id
    :param log: where the component's log goes
    :param renew: asks for the step's Connection again; gets the one whose token was refused, None when it is only over
    """

    def __init__(
        self,
        step: StepCall,
        place: Place,
        memory: Memory,
        log: Log,
        *,
        reading: Reading | None = None,
        external_id: str | None = None,
        listener: Listener | None = None,
        renew: Callable[[Account | None], Account] | None = None,
    ) -> None:
        self._place = place
        self._memory = memory
        self._log = log
        self._reading = reading or Reading()
        self._given = listener or Listener()
        self._changes = 0
        self._renew = renew
        self._pace = Pace()
        self._step = self._with_memory(replace(step, renews=renew is not None))
        self._mask = Masker([*secrets_of(step.account), *texts_in(self._step.changed)])
        self._links = self._id_links(external_id)
        self._listener = replace(
            self._given,
            credentials=self._keep_credentials,
            result=self._note_result,
            renew=self._renewed,
            mask=self._mask,
            is_over=self._is_over,
        )
        self.selected: list[SelectedStream] | None = None

    @property
    def runtime(self) -> Runtime:
        """Where the component runs."""
        return self._place.runtime

    @property
    def passes_state_on(self) -> bool:
        """Whether the component tells, as its own state, how far it has stored what came before the states it got."""
        return self._step.manifest.protocol != "component"

    def run(self, source: Input, writer: BatchWriter) -> BatchValue:
        """Run the component over its input and return the batch it makes.

        :raises ConfigFailure: the step failed and would fail again
        :raises TransientFailure: the step failed; a retry may heal it
        """
        tries = Tries(self._memory, self._log)
        items = self.items(tries.resume(source, writer))
        run = self.prepare(BatchSink(writer), self._incoming(source))
        try:
            run.run(self._place.runtime, items, number_from=writer.count)
            self.finish(run.outcome, source)
        except BaseException:
            self.keep_ids()
            tries.keep(run.outcome, source, writer)
            raise
        take_counts(writer, run.outcome)
        value = writer.finish()
        tries.forget()
        run.tell()
        return value

    def prepare(self, sink: Sink, incoming: Sequence[Stream] = ()) -> ConnectorRun:
        """Return the run of the component, ready to start.

        :param incoming: the streams of the messages that it will get
        :raises ConfigFailure: it cannot be asked for what the step says
        """
        self._take_over_credentials()
        self.selected = self._selected()
        request = self._step.request(self.selected, incoming)
        try:
            conversation = conversation_for(self._step.manifest, request)
            job = self._job(conversation)
        except RequestError as error:
            raise ConfigFailure(f"step `{self._step.run.step}`: {error}") from None
        call = self._step.call(request)
        if self._reading.select is None:
            call = replace(call, projection=None)  # everything was asked for, also what the source did not announce
        return ConnectorRun(conversation, call, sink, self._log, job, self._listener)

    def items(self, items: Iterable[Item]) -> Iterable[Item]:
        """Return the items as the component gets them, with the ids that the other system gave."""
        return items if self._links is None else self._links.hand_over(items)

    def finish(self, outcome: Outcome, source: Input, *, acknowledged: Any = None) -> None:
        """Keep what the step shall remember now that its component has succeeded.

        :param acknowledged: the state up to which the next component has stored all, for a streamed pair
        """
        if self._links is not None:
            self._remembered(self._links.flush)
        if outcome.failures:
            letters = letters_of(self._without_secrets(outcome.failures), source, self._step.run, self._external_id)
            self._remembered(lambda: self._memory.keep_letters(letters))
            self._log(logging.WARNING, f"{len(outcome.failures):,} failed messages are kept as dead letters")
        state = outcome.state if acknowledged is None else acknowledged
        if outcome.has_state and not self._step.window.is_override:
            if not self._step.manifest.keeps_state(function_name(self._step.use)):
                if self.passes_state_on:  # a target's, which is about what its source has read
                    return
                self._log(
                    logging.WARNING,
                    f"the state that {self._step.use} gave is not kept: its manifest does not say `state: true`",
                )
                return
            if not depth_is_at_most(state, MAX_KEPT_DEPTH):
                raise ConfigFailure(
                    f"step `{self._step.run.step}`: the state that it gave is nested too deep to be kept"
                )
            self._remembered(lambda: self._memory.keep_state(state))

    def keep_ids(self) -> None:
        """Keep the ids that the other system has given so far, also when the step fails: what it made is there."""
        if self._links is None:
            return
        try:
            self._links.flush()
        except StoreError as error:
            self._log(logging.WARNING, f"ids that the other system gave are not kept: {error}")

    def _without_secrets(self, failures: Iterable[Failure]) -> Iterator[Failure]:
        return (replace(failure, text=self._mask(failure.text)) for failure in failures)

    def _job(self, conversation: Conversation) -> Job:
        place = self._place
        job = job_for(
            self._step.manifest,
            conversation.launch(),
            labels=place.labels,
            runtime=place.name,
            egress=self._step.egress,
        )
        return job if place.image is None else replace(job, image=place.image)

    def _with_memory(self, step: StepCall) -> StepCall:
        changed: dict[str, Any] = {}
        if step.account is not None and step.manifest.is_foreign:
            account = step.account
            changed = self._remembered(lambda: self._memory.changed_credentials(account, step.manifest.name))
            self._given.credentials(changed)
        state = None
        if step.manifest.keeps_state(function_name(step.use)) and not step.window.is_override:
            state = self._remembered(self._memory.state)  # also for a full sync: it must notice a reset meanwhile
        return replace(step, changed=changed, state=state)

    def _selected(self) -> list[SelectedStream] | None:
        step, reading = self._step, self._reading
        if not has_streams(step.manifest):
            return None if reading.select is None else reading.chosen(None)
        conn_id = "" if step.account is None else step.account.conn_id
        key = (step.manifest.name, conn_id, catalog_digest(step.manifest, step.config))
        catalog = Catalog(self._memory, key, self._ask_for_streams, self._log)
        selected: list[SelectedStream] = self._remembered(lambda: catalog.chosen(reading))
        return selected

    def _ask_for_streams(self) -> list[Stream]:
        manifest = self._step.manifest
        self._log(logging.INFO, f"asking {manifest.name} which streams it has")
        answer = discover(
            self._place.runtime,
            manifest,
            self._step.request(verb="discover"),
            runtime_name=self._place.name,
            log=self._log,
            labels=self._place.labels,
            on_start=self._listener.start,
            mask=self._mask,
            on_changed=self._keep_credentials,
        )
        return list(answer.streams or ())

    def _incoming(self, source: Input) -> Sequence[Stream]:
        manifest = self._step.manifest
        if manifest.protocol != "airbyte" or is_source(manifest):
            return source.streams
        return incoming_streams(source, self._step.load.table or self._step.run.step)

    def _id_links(self, expression: str | None) -> IdLinks | None:
        if expression is None:
            return None
        step = self._step
        conn_id = "" if step.account is None else step.account.conn_id
        return IdLinks(expression, self._memory, LinkScope(step.manifest.name, conn_id, tenant=step.run.tenant))

    def _external_id(self, message: Message) -> str | None:
        if self._links is not None:
            return self._links.external_id(message)
        data = message.get("data")
        value = data.get("externalId") if isinstance(data, dict) else None
        return None if value is None else str(value)

    def _note_result(self, message_id: str, remote_id: str) -> None:
        if self._links is not None:
            self._links.note(message_id, remote_id)

    def _renewed(self, rejected: bool) -> Mapping[str, Any]:
        step = self._step
        assert self._renew is not None  # else its context did not say that it may ask
        self._pace.step(step.run.step)
        account = self._renew(step.account if rejected else None)
        self._mask.add(secrets_of(account))
        self._step = replace(step, account=account)
        return credentials_for(step.manifest, account, step.run.step)

    def _is_over(self) -> bool:
        end = expires_at(self._step.account)
        return end is not None and time.time() >= end

    def _keep_credentials(self, changed: Mapping[str, Any]) -> None:
        step = self._step
        if all(name in step.changed and step.changed[name] == value for name, value in changed.items()):
            return
        everything = {**step.changed, **changed}
        self._changes += 1
        if not may_change(everything, self._changes):
            raise ConfigFailure(
                f"step `{step.run.step}`: its component changes its credentials more than {MAX_CHANGES:,} times, "
                f"or to what is nested too deep or longer than {MAX_CHANGED:,} bytes"
            )
        self._mask.add(texts_in(changed))
        self._step = replace(step, changed=everything)  # for the next start, when this only asked
        self._given.credentials(changed)
        if step.account is None:
            self._log(logging.WARNING, "changed credentials are not kept: the step has no connection")
            return
        account = step.account
        self._remembered(lambda: self._memory.keep_credentials(account, step.manifest.name, changed))
        names = clean(", ".join(sorted(changed)), MAX_ID)
        self._log(logging.INFO, f"the connector changed {names}; the new values are kept")

    def _take_over_credentials(self) -> None:
        """Save what a killed try's component had changed: it may be in the container that the worker left."""
        step = self._step
        if step.run.try_number <= 1 or step.account is None or not step.manifest.is_foreign:
            return
        try:
            conversation = conversation_for(step.manifest, step.request([]))
            job = self._job(conversation)
        except RequestError:
            return  # the start, which comes next, tells it
        if not job.read_back:
            return
        for files in self._place.runtime.left_behind(job):
            with suppress(ProtocolError):
                for changed in conversation.changed_credentials(files):
                    self._keep_credentials(changed)

    def _remembered(self, do: Any) -> Any:
        try:
            return do()
        except StoreError as error:
            failure = TransientFailure if error.transient else ConfigFailure
            raise failure(f"step `{self._step.run.step}`: {error}") from None


def take_counts(writer: BatchWriter, outcome: Outcome) -> None:
    """Let a batch's value tell what its step got, and what failed."""
    progress = outcome.progress
    writer.errors += progress.errors
    writer.received, writer.received_counts = progress.messages_in, progress.streams_in
