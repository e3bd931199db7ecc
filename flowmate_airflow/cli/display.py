"""How a local run shows how far it is: a live table in a terminal, plain lines elsewhere. All of it on standard error;
standard output is for messages."""

from __future__ import annotations

import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from flowmate_airflow.steps.steplog import INTERVAL, Progress

if TYPE_CHECKING:
    from rich.table import Table

State: TypeAlias = Literal["waiting", "running", "done", "skipped", "failed", "not run"]


@dataclass(slots=True)
class Row:
    """One step's line."""

    state: State = "waiting"
    progress: Progress = field(default_factory=Progress)
    started: float | None = None
    ended: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long the step has taken, None before its start."""
        return None if self.started is None else (self.ended or time.monotonic()) - self.started


class Display(AbstractContextManager["Display"], ABC):
    """Shows a run.

    :param steps: the ids of the steps, in the order they run
    """

    def __init__(self, steps: Sequence[str]) -> None:
        self.rows = {step: Row() for step in steps}

    def started(self, step: str) -> None:
        """Show that a step runs."""
        self.rows[step].started = time.monotonic()
        self._enter(step, "running")

    def progress(self, step: str, progress: Progress) -> None:
        """Show a step's counts. Called for each message."""
        self.rows[step].progress = progress

    def skipped(self, step: str) -> None:
        """Show that a step had nothing to do."""
        self._end(step, "skipped")

    def failed(self, step: str) -> None:
        """Show that a step failed, and that those after it do not run."""
        self._end(step, "failed")
        for row in self.rows.values():
            if row.state == "waiting":
                row.state = "not run"

    def done(self, step: str, messages: int, errors: int) -> None:
        """Show that a step has succeeded, and what it made."""
        progress = self.rows[step].progress
        progress.messages_out, progress.errors = messages, errors
        self._end(step, "done")

    @abstractmethod
    def log(self, step: str | None, level: int, text: str) -> None:
        """Show a line of a step's log, or of no step's."""

    @abstractmethod
    def _enter(self, step: str, state: State) -> None: ...

    def _end(self, step: str, state: State) -> None:
        self.rows[step].ended = time.monotonic()
        self._enter(step, state)


class PlainDisplay(Display):
    """A line for each change, and for a step's counts now and then."""

    def __init__(self, steps: Sequence[str]) -> None:
        super().__init__(steps)
        self._told = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        pass

    def progress(self, step: str, progress: Progress) -> None:
        """See :meth:`Display.progress`."""
        super().progress(step, progress)
        if time.monotonic() - self._told >= INTERVAL:
            self._told = time.monotonic()
            self._say(f"{step}: {progress}")

    def log(self, step: str | None, level: int, text: str) -> None:
        """See :meth:`Display.log`."""
        warning = f"{logging.getLevelName(level).lower()}: " if level >= logging.WARNING else ""
        self._say(f"  {step} | {warning}{text}" if step else f"  {warning}{text}")

    def _enter(self, step: str, state: State) -> None:
        row = self.rows[step]
        row.state = state
        self._told = time.monotonic()
        if state == "running":
            self._say(f"{step}: running")
        elif state == "skipped":
            self._say(f"{step}: skipped, no messages")
        else:
            self._say(f"{step}: {state}, {row.progress}, {row.seconds:.1f} s")

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class LiveDisplay(Display):
    """A table that stays below the log and moves with the run."""

    def __init__(self, steps: Sequence[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(steps)
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=8)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def log(self, step: str | None, level: int, text: str) -> None:
        """See :meth:`Display.log`."""
        from rich.text import Text

        style = "yellow" if level >= logging.WARNING else "dim"
        self._console.print(Text(f"{step} | {text}" if step else text, style))

    def _enter(self, step: str, state: State) -> None:
        self.rows[step].state = state

    def _table(self) -> Table:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("step", "state"):
            table.add_column(name, header_style="dim")
        for name in ("in", "out", "failed", "time"):
            table.add_column(name, justify="right", header_style="dim")
        for step, row in self.rows.items():
            progress, seconds = row.progress, row.seconds
            ran = row.state not in ("waiting", "skipped", "not run")
            running = row.state == "running"
            table.add_row(
                step,
                Spinner("dots", _running(progress)) if running else Text(row.state, _STYLES[row.state]),
                f"{progress.messages_in:,}" if ran else "",
                f"{progress.messages_out:,}" if ran else "",
                Text(f"{progress.errors:,}", "red") if progress.errors else "",
                f"{seconds:.1f} s" if ran and seconds is not None else "",
            )
        return table


_STYLES: dict[State, str] = {
    "waiting": "dim",
    "running": "",
    "done": "green",
    "skipped": "dim",
    "failed": "red",
    "not run": "dim",
}


def _running(progress: Progress) -> str:
    if progress.done is None:
        return "running"
    of = f" of {progress.total:,}" if progress.total is not None else ""
    return f"{progress.text or 'done'} {progress.done:,}{of}"


def make_display(steps: Sequence[str]) -> Display:
    """Return the display that fits where the output goes."""
    live = sys.stderr.isatty() and sys.stdout.isatty()
    return LiveDisplay(steps) if live else PlainDisplay(steps)
