"""A flow run here: each step after those it needs, in this process, with batches in a temporary folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import orjson

from flowmate_airflow.auth.credentials import secrets_of
from flowmate_airflow.batches.batch import BatchError, BatchValue, BatchWriter, read_batch
from flowmate_airflow.batches.message import Message
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.build.graph import FlowGraph, Node
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.cli.accounts import find_account
from flowmate_airflow.cli.display import Display
from flowmate_airflow.cli.engines import Engines
from flowmate_airflow.cli.runcontext import RunFacts, context_of, environment
from flowmate_airflow.flows.models import MapStep, UseStep
from flowmate_airflow.settings import SettingError, int_setting
from flowmate_airflow.steps.calls import StepRun, make_call
from flowmate_airflow.steps.connector import run_connector
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.jobs import job_for
from flowmate_airflow.steps.mapping import map_messages, pick_messages
from flowmate_airflow.steps.steplog import Progress
from flowmate_airflow.steps.templates import render


class StepFailed(Exception):
    """A step of a local run failed; the text says which, why and what to do, without secrets."""


@dataclass(slots=True)
class Masker:
    """Hides the secrets of the Connections in use."""

    secrets: set[str] = field(default_factory=set, repr=False)

    def __call__(self, text: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


class LocalRun:
    """One local run of a flow.

    :param folder: for batches; the caller removes it
    :param output: keeps the messages of each step, as STEP.jsonl
    """

    def __init__(
        self, graph: FlowGraph, facts: RunFacts, engines: Engines, display: Display, folder: Path, output: Path | None
    ) -> None:
        self.values: dict[str, BatchValue] = {}
        self._graph = graph
        self._facts = facts
        self._engines = engines
        self._display = display
        self._folder = folder
        self._output = output
        self._mask = Masker()

    def run(self) -> None:
        """Run the whole flow, up to the first step that fails.

        :raises StepFailed: that step
        """
        for node in self._graph.in_order():
            batches = [read_batch(self.values[need]) for need in node.needs if need in self.values]
            if node.needs and not batches:
                self._display.skipped(node.id)
                continue
            self.step(node, chain.from_iterable(batches))

    def step(self, node: Node, messages: Iterable[Message]) -> None:
        """Run one step. One that gets no messages but needs some is skipped.

        :raises StepFailed: it failed
        """
        writer = BatchWriter(Storage(str(self._folder), (node.id,), 1), int_setting("inline_limit"))
        self._display.started(node.id)
        try:
            if node.needs:
                picked = pick_messages(node.step.when, messages)
                first = next(picked, None)
                if first is None:
                    self._display.skipped(node.id)
                    return
                messages = chain([first], picked)
            self._work(node, messages, writer)
            value = writer.finish()
            self.values[node.id] = value
            if self._output is not None:
                _keep(value, self._output / f"{node.id}.jsonl")
        except (StepError, BatchError, SettingError, OSError) as error:
            self._display.failed(node.id)
            text = self._mask(str(error))
            raise StepFailed(text if text.startswith("step `") else f"step `{node.id}`: {text}") from None
        finally:
            if node.id not in self.values:
                writer.abort()
        self._display.done(node.id, value["count"], value["errors"])

    def log(self, step: str) -> Callable[[int, str], None]:
        """Return where a step's log goes: to the display, with secrets masked."""
        return lambda level, text: self._display.log(step, level, self._mask(text))

    def _work(self, node: Node, messages: Iterable[Message], writer: BatchWriter) -> None:
        step = node.step
        if isinstance(step, MapStep):
            progress = Progress()
            self._display.progress(node.id, progress)
            for message in map_messages(step.map, _counted(messages, progress)):
                writer.write(message)
                progress.messages_out += 1
                self._display.progress(node.id, progress)
        elif isinstance(step, UseStep) and node.connector is not None:
            self._use(step, node.connector, messages, writer)

    def _use(self, step: UseStep, manifest: Manifest, messages: Iterable[Message], writer: BatchWriter) -> None:
        config = render(step.with_, context_of(self._facts), environment())
        account = find_account(step.connection, step.id, step.use) if step.connection else None
        self._mask.secrets.update(secrets_of(account))
        run = StepRun(self._facts.flow_id, self._facts.run_id, step.id)
        call = make_call(
            manifest, step.use, run, config=config, account=account, on_error=step.on_error, id_prefix=step.id
        )
        job = job_for(
            manifest,
            step.function,
            labels={"flowmate.flow": run.flow, "flowmate.run": run.run_id, "flowmate.step": run.step},
            runtime=self._engines.name,
        )
        run_connector(
            self._engines.runtime(manifest),
            job,
            call,
            messages,
            writer,
            self.log(step.id),
            on_progress=lambda progress: self._display.progress(step.id, progress),
        )


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


def _counted(messages: Iterable[Message], progress: Progress) -> Iterator[Message]:
    for message in messages:
        progress.messages_in += 1
        yield message


def _keep(value: BatchValue, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        for message in read_batch(value):
            file.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
    shutil.move(part, path)
