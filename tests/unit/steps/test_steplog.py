"""What reaches the task log: bounded, and without anything that steers a terminal or forges a line."""

from __future__ import annotations

import logging

from flowmate_airflow.protocols.events import ErrorEvent, ProgressEvent
from flowmate_airflow.steps.steplog import MAX_ERRORS, MAX_LINE, StepLog


def _log(limit: int = 1 << 20) -> tuple[StepLog, list[str]]:
    lines: list[str] = []
    return StepLog(lambda level, text: lines.append(f"{logging.getLevelName(level)} {text}"), limit), lines


def test_lines_are_clean_and_short() -> None:
    log, lines = _log()
    log.text(logging.INFO, "a\x1b[31mb\tc\x9b2J\nd\r\n\n")
    log.text(logging.INFO, "x" * (MAX_LINE + 5))
    assert lines[0] == "INFO a\\x1b[31mb\tc\\x9b2J"
    assert lines[1] == "INFO d"
    assert len(lines[2]) < MAX_LINE + 50


def test_an_error_cannot_forge_a_line() -> None:
    log, lines = _log()
    log.message_error(ErrorEvent("bad\nERROR all is lost\x1b[0m", "system", "7"))
    assert lines == ["WARNING message 7 failed: bad\\x0aERROR all is lost\\x1b[0m"]


def test_too_much_is_dropped_and_counted() -> None:
    log, lines = _log(limit=25)
    for _ in range(5):
        log.text(logging.INFO, "0123456789")
    for number in range(MAX_ERRORS + 3):
        log.message_error(ErrorEvent("no", "system", str(number)))
    log.component_progress(ProgressEvent(5, 10, "rows"))
    log.finish()
    log.counts()
    assert len([line for line in lines if "0123456789" in line]) == 2
    assert "WARNING 3 lines of log were dropped: the component logs too much" in lines
    assert "WARNING 3 more messages failed" in lines
    assert lines[-1] == f"INFO 0 messages in, 0 out, {MAX_ERRORS + 3} failed, rows: 5 of 10"
