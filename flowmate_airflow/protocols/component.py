"""Protocol `component`, FlowMate's own form: NDJSON on stdin and stdout.

In: one `CONFIG` line, then a `MESSAGE` line for each input message, then end of file.
Out: `MESSAGE`, `STATE`, `ERROR`, `LOG` and `PROGRESS` lines. Any other line is log text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from flowmate_airflow.protocols.events import (
    FAILURE_TYPES,
    ErrorEvent,
    Event,
    FailureType,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    ProtocolError,
    StateEvent,
)

EXIT_CONFIG = 78
"""Exit code of a component whose configuration is wrong (EX_CONFIG of sysexits.h)."""
EXIT_TRANSIENT = 75
"""Exit code of a component that a retry may heal (EX_TEMPFAIL of sysexits.h)."""

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.ERROR,
    "critical": logging.ERROR,
}


def config_line(
    config: Mapping[str, Any], credentials: Mapping[str, Any], state: Any, context: Mapping[str, Any]
) -> bytes:
    """Return the first line of a component's stdin.

    :param config: the step's `with`, rendered
    :param credentials: the credentials under the names that the manifest declares
    :param state: what the component stored at its last successful run, or None
    :param context: facts about the run: flow, step, function, run_id, try_number, on_error
    """
    line = {"type": "CONFIG", "config": config, "credentials": credentials, "state": state, "context": context}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def message_line(message: Mapping[str, Any]) -> bytes:
    """Return the stdin line for one input message."""
    # Put together by hand: a message may be nested as deep as the encoder goes, and this is one level more.
    return b'{"type":"MESSAGE","message":' + orjson.dumps(message) + b"}\n"


def parse_line(line: bytes) -> Event:
    """Return the event that a stdout line (without its newline) stands for.

    :raises ProtocolError: the line is meant as an event but is cut off or malformed; treating it as log text
        would lose a message silently
    """
    if line[:1] != b"{":
        return LogEvent(logging.INFO, _text(line))
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if _looks_like_event(line):
            raise ProtocolError(f"a line of its output is broken JSON ({error}): {_excerpt(line)}") from None
        return LogEvent(logging.INFO, _text(line))
    kind = value.get("type")
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    return parse(value) if parse else LogEvent(logging.INFO, _text(line))


def failure_type_of_exit(code: int) -> FailureType:
    """Return who must act on an exit code other than zero."""
    return {EXIT_CONFIG: "config", EXIT_TRANSIENT: "transient"}.get(code, "system")  # type: ignore[return-value]


_NO_ID = (dict, list, bool)  # made once: this is asked for each message


def _message(value: dict[str, Any]) -> Event:
    message = value.get("message")
    if not isinstance(message, dict) or "data" not in message:
        raise ProtocolError("a MESSAGE line of its output has no object `message` with the key `data`")
    if isinstance(message.get("id"), _NO_ID):
        raise ProtocolError("the `id` of a message of its output is neither a text nor a number")
    return MessageEvent(message)


def _state(value: dict[str, Any]) -> Event:
    if "state" not in value:
        raise ProtocolError("a STATE line of its output has no key `state`")
    return StateEvent(value["state"])


def _error(value: dict[str, Any]) -> Event:
    failure_type = value.get("failure_type", "system")
    if failure_type not in FAILURE_TYPES:
        raise ProtocolError(f"an ERROR line has the failure_type {failure_type!r}, not one of {FAILURE_TYPES}")
    message_id = value.get("id")
    return ErrorEvent(
        str(value.get("message", "no reason given")), failure_type, None if message_id is None else str(message_id)
    )


def _log(value: dict[str, Any]) -> Event:
    return LogEvent(_LEVELS.get(str(value.get("level", "info")).lower(), logging.INFO), str(value.get("message", "")))


def _progress(value: dict[str, Any]) -> Event:
    done, total = value.get("done"), value.get("total")
    if not isinstance(done, int) or not isinstance(total, int | None):
        raise ProtocolError("a PROGRESS line of its output needs whole numbers `done` and (optional) `total`")
    text = value.get("text")
    return ProgressEvent(done, total, None if text is None else str(text))


_PARSERS = {"MESSAGE": _message, "STATE": _state, "ERROR": _error, "LOG": _log, "PROGRESS": _progress}


def _looks_like_event(line: bytes) -> bool:
    head = line[:64].replace(b" ", b"")
    return head.startswith(b'{"type":') or head == b'{"type":'[: len(head)]


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="backslashreplace")


def _excerpt(line: bytes) -> str:
    return _text(line[:120]) + ("…" if len(line) > 120 else "")
