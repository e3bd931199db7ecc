"""What a step tells while it runs: the component's lines, its errors, and counts at a human pace."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from flowmate_airflow.protocols.events import ErrorEvent, ProgressEvent, RejectedEvent

Log: TypeAlias = Callable[[int, str], None]
"""Takes a level of :mod:`logging` and a line."""
Mask: TypeAlias = Callable[[str], str]
"""Returns a text without secrets. It comes before all that shortens a text: half a secret would not be known."""

INTERVAL = 10.0
"""Seconds between two lines of counts in the log."""
MAX_LINE = 16 * 1024
"""Characters of one line of log."""
MAX_LINES = 200_000
"""Lines of log: each is a record of Airflow's, which is much longer than a short line."""
MAX_TEXT = 256 * 1024
"""Characters of one log event, which may have many lines."""
MAX_LAST_LINE = 500
"""Characters of a component's last line, which stands in the text of its failure."""
MAX_ID = 200
"""Characters of a message's id, or of what a component says about its progress, in the log."""
MAX_FAILURE = 4 * 1024
"""Characters of the text with which a step fails."""
MAX_STREAMS = 20
"""How many streams are counted one by one in a line of log."""
MAX_ERRORS = 50
"""How many failed messages are told one by one; the rest is counted."""

# What steers a terminal, and what makes a line read otherwise than it is: marks that turn the direction of writing.
_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if chr(code) != "\t"} | {
    code: f"\\u{code:04x}" for code in [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
}
_FAILURE = {code: text for code, text in _CONTROL.items() if chr(code) != "\n"}


def clean(text: str, limit: int = MAX_LINE) -> str:
    """Return a component's text as one line for a log: short, and without what steers a terminal or Airflow's log view.

    :param limit: of characters
    """
    line = _shortened(text, limit).translate(_CONTROL)
    return line.replace("::group::", r"\x3a:group::").replace("::endgroup::", r"\x3a:endgroup::")


def clean_failure(text: str) -> str:
    """Return the text with which a step fails: as :func:`clean`, but of several lines."""
    return _shortened(text, MAX_FAILURE).translate(_FAILURE)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


@dataclass(slots=True)
class Progress:
    """Counts of one run of a step, also by stream where messages have streams."""

    messages_in: int = 0
    messages_out: int = 0
    errors: int = 0
    done: int | None = None
    total: int | None = None
    text: str | None = None
    streams_in: dict[str, int] = field(default_factory=dict)
    streams_out: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [
            f"{self.messages_in:,} messages in{_by_stream(self.streams_in)}",
            f"{self.messages_out:,} out{_by_stream(self.streams_out)}",
        ]
        if self.errors:
            parts.append(f"{self.errors:,} failed")
        if self.done is not None:
            of = f" of {self.total:,}" if self.total is not None else ""
            parts.append(f"{self.text or 'done'}: {self.done:,}{of}")
        return ", ".join(parts)


def _by_stream(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    shown = [f"{clean(name, MAX_ID)} {count:,}" for name, count in sorted(counts.items())[:MAX_STREAMS]]
    if len(counts) > MAX_STREAMS:
        shown.append(f"{len(counts) - MAX_STREAMS} more streams")
    return f" ({', '.join(shown)})"


class StepLog:
    """Passes a component's lines on, bounded and cleaned, and says how far it is.

    :param log: where lines go
    :param limit: bytes of component log after which the rest is dropped
    :param on_progress: told the counts instead of the log
    :param mask: hides secrets in what the component says
    """

    def __init__(
        self,
        log: Log,
        limit: int,
        on_progress: Callable[[Progress], None] | None = None,
        mask: Mask = lambda text: text,
    ) -> None:
        self.progress = Progress()
        self.last_line = ""
        self._log = log
        self._left = limit
        self._lines_left = MAX_LINES
        self._dropped = 0
        self._on_progress = on_progress
        self._mask = mask
        self._told = time.monotonic()

    def text(self, level: int, text: str) -> None:
        """Log what the component says."""
        for line in _shortened(self._mask(text), MAX_TEXT).splitlines():
            if not line.strip():
                continue
            self._left -= min(len(line), MAX_LINE)
            self._lines_left -= 1
            if self._left < 0 or self._lines_left < 0:
                self._dropped += 1
                continue
            line = clean(line)
            self.last_line = line[:MAX_LAST_LINE]
            self._log(level, line)

    def message_error(self, event: ErrorEvent) -> None:
        """Count a message that failed and log why."""
        self.progress.errors += 1
        if self.progress.errors <= MAX_ERRORS:
            self._log(
                logging.WARNING,
                f"message {clean(event.message_id or '?', MAX_ID)} failed: {clean(self._mask(event.text))}",
            )

    def rejected(self, event: RejectedEvent) -> None:
        """Count records that failed without a message's id and log why."""
        before, self.progress.errors = self.progress.errors, self.progress.errors + event.count
        if before < MAX_ERRORS:
            which = (
                f"the record {clean(event.external_id, MAX_ID)}" if event.external_id else f"{event.count:,} records"
            )
            self._log(logging.WARNING, f"{which} failed: {clean(self._mask(event.text))}")

    def component_progress(self, event: ProgressEvent) -> None:
        """Note how far the component says it is."""
        self.progress.done, self.progress.total = event.done, event.total
        self.progress.text = None if event.text is None else clean(self._mask(event.text), MAX_ID)
        self.tick()

    def tick(self) -> None:
        """Tell the counts if it is time."""
        if self._on_progress is not None:
            self._on_progress(self.progress)
        elif time.monotonic() - self._told >= INTERVAL:
            self._told = time.monotonic()
            self._log(logging.INFO, str(self.progress))

    def finish(self) -> None:
        """Tell what was left out."""
        if self._dropped:
            self._log(logging.WARNING, f"{self._dropped:,} lines of log were dropped: the component logs too much")
        if self.progress.errors > MAX_ERRORS:
            self._log(logging.WARNING, f"{self.progress.errors - MAX_ERRORS:,} more messages failed")

    def counts(self) -> None:
        """Tell the last counts."""
        if self._on_progress is None:
            self._log(logging.INFO, str(self.progress))
        else:
            self._on_progress(self.progress)
