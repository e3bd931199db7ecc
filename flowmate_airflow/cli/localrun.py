"""A flow run here: each step after those it needs, in this process, with batches in a temporary folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from flowmate_airflow.auth.credentials import Account, secrets_of, texts_in
from flowmate_airflow.auth.masking import Masker
from flowmate_airflow.batches.batch import BatchError, BatchValue, BatchWriter, read_batch
from flowmate_airflow.batches.message import Message
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.build.graph import FlowGraph, Node
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.cli.accounts import find_account
from flowmate_airflow.cli.display import Display
from flowmate_airflow.cli.engines import Engines
from flowmate_airflow.cli.runcontext import RunFacts, context_of, environment
from flowmate_airflow.flows.fieldmaps import FieldMap
from flowmate_airflow.flows.models import MapStep, UseStep, WaitStep
from flowmate_airflow.flows.webhookmodels import WEBHOOK
from flowmate_airflow.protocols.streams import Load
from flowmate_airflow.settings import SettingError, int_setting
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.errors import ConfigFailure, StepError
from flowmate_airflow.steps.inputs import NOTHING, Input, input_of
from flowmate_airflow.steps.links import TenantFacts
from flowmate_airflow.steps.listener import Listener
from flowmate_airflow.steps.mapping import map_lines
from flowmate_airflow.steps.memory import NoMemory
from flowmate_airflow.steps.reading import Reading
from flowmate_airflow.steps.session import Place, Session
from flowmate_airflow.steps.steplog import Progress
from flowmate_airflow.steps.templates import render
from flowmate_airflow.store.errors import StoreError


class StepFailed(Exception):
    """A step of a local run failed; the text says which, why and what to do, without secrets."""


class LocalRun:
    """One local run of a flow.

    :param folder: for batches; the caller removes it
    :param output: keeps the messages of each step, as STEP.jsonl
    :param field_maps: which tables and fields are read for the run's tenant, by step
    """

    def __init__(
        self,
        graph: FlowGraph,
        facts: RunFacts,
        engines: Engines,
        display: Display,
        folder: Path,
        output: Path | None,
        *,
        field_maps: Mapping[str, FieldMap] | None = None,
    ) -> None:
        self.values: dict[str, BatchValue] = {}
        self._graph = graph
        self._facts = facts
        self._engines = engines
        self._display = display
        self._folder = folder
        self._output = output
        self._field_maps = field_maps or {}
        self._mask = Masker()

    def run(self, events: Iterable[Message] = ()) -> None:
        """Run the whole flow, up to the first step that fails.

        :param events: what the flow's webhook takes
        :raises StepFailed: that step
        """
        if self._graph.webhook is not None:
            self.values[WEBHOOK] = self._batch(WEBHOOK, events)
        for node in self._graph.in_order():
            batches = [self.values[need] for need in node.needs if need in self.values]
            if node.needs and not batches:
                self._display.skipped(node.id)
                continue
            self.step(node, input_of(batches, node.step.when) if node.needs else NOTHING)

    def step(self, node: Node, source: Input) -> None:
        """Run one step. One that gets no messages but needs some is skipped.

        :raises StepFailed: it failed
        """
        writer = BatchWriter(Storage(str(self._folder), (node.id,), 1), int_setting("inline_limit"))
        self._display.started(node.id)
        try:
            if node.needs and source.is_empty():
                self._display.skipped(node.id)
                return
            value = self._work(node, source, writer)
            self.values[node.id] = value
            if self._output is not None:
                _keep(value, self._output / f"{node.id}.jsonl")
        except (StepError, BatchError, SettingError, StoreError, OSError) as error:
            self._display.failed(node.id)
            text = self._mask(str(error))
            raise StepFailed(text if text.startswith("step `") else f"step `{node.id}`: {text}") from None
        finally:
            if node.id not in self.values:
                writer.abort()
        self._display.done(node.id, value["count"], value["errors"])

    def given(self, node: Node, messages: Iterable[Message]) -> Input:
        """Return messages from elsewhere as a step's input: standard input can be read once, a step may read twice."""
        return input_of([self._batch(node.id, messages)], node.step.when)

    def _batch(self, name: str, messages: Iterable[Message]) -> BatchValue:
        writer = BatchWriter(Storage(str(self._folder), (name, "input"), 1), int_setting("inline_limit"))
        for message in messages:
            writer.write(message)
        return writer.finish()

    def log(self, step: str) -> Callable[[int, str], None]:
        """Return where a step's log goes: to the display, with secrets masked."""
        return lambda level, text: self._display.log(step, level, self._mask(text))

    def _work(self, node: Node, source: Input, writer: BatchWriter) -> BatchValue:
        step = node.step
        if isinstance(step, UseStep) and node.connector is not None:
            return self._use(step, node.connector, source, writer)
        if isinstance(step, MapStep):
            progress = Progress()
            self._display.progress(node.id, progress)
            for message in map_lines(step.map, _counted(source.read(), progress), self._names(step.map)):
                writer.write(message)
                progress.messages_out += 1
                self._display.progress(node.id, progress)
        if isinstance(step, WaitStep):
            raise ConfigFailure(
                "it waits for a call of another system, which comes to Airflow only; run the steps after it one by "
                "one, with --step and --input"
            )
        return writer.finish()

    def _names(self, expression: str) -> dict[str, Any] | None:
        if not self._facts.tenant or "$tenant" not in expression:
            return None
        return {"tenant": dict(TenantFacts(self._facts.tenant, self._facts.flow_id))}

    def _use(self, step: UseStep, manifest: Manifest, source: Input, writer: BatchWriter) -> BatchValue:
        config = render(step.with_, context_of(self._facts), environment())
        account = None if step.connection is None else self._account(step, manifest)
        run = StepRun(self._facts.flow_id, self._facts.run_id, step.id, tenant=self._facts.tenant)
        call = StepCall(
            manifest,
            step.use,
            run,
            config,
            account=account,
            load=Load(step.load.mode, step.load.table, tuple(step.load.key)),
            on_error=step.on_error,
            id_prefix=step.id,
        )
        labels = {"flowmate.flow": run.flow, "flowmate.run": run.run_id, "flowmate.step": run.step}
        session = Session(
            call,
            Place(self._engines.runtime(manifest), self._engines.name, labels),
            NoMemory(),
            self.log(step.id),
            reading=self._reading(step),
            external_id=step.external_id,
            renew=None if account is None else lambda refused: self._account(step, manifest, refused),
            listener=Listener(
                progress=lambda progress: self._display.progress(step.id, progress),
                credentials=lambda changed: self._mask.add(texts_in(changed)),
            ),
        )
        return session.run(source, writer)

    def _reading(self, step: UseStep) -> Reading:
        reading = Reading(step.select, step.sync.mode, step.sync.cursors)
        return reading.narrowed(self._field_maps[step.id]) if step.id in self._field_maps else reading

    def _account(self, step: UseStep, manifest: Manifest, refused: Account | None = None) -> Account:
        account = find_account(str(step.connection), step.id, step.use, manifest=manifest, refused=refused)
        self._mask.add(secrets_of(account))
        return account


class LogToDisplay(logging.Handler):
    """Shows what a runtime tells. What it tells for every step (that `process` isolates nothing) is shown once."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        text = record.getMessage()
        if text not in self._told:
            self._told.add(text)
            self._display.log(None, record.levelno, text)


def _counted(lines: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for line in lines:
        progress.messages_in += 1
        yield line


def _keep(value: BatchValue, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        for message in read_batch(value):
            file.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
    shutil.move(part, path)
