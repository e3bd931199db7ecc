"""What Airbyte sources and destinations have in common: the verbs, the log, traces and changed configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from flowmate_airflow.protocols.airbyte_catalog import streams_of_catalog
from flowmate_airflow.protocols.airbyte_lines import parse, text_of
from flowmate_airflow.protocols.airbyte_names import StreamKey, descriptor_key
from flowmate_airflow.protocols.base import FILES, Conversation, Launch, Request
from flowmate_airflow.protocols.config import changed_values, merged_config
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
)

CONFIG_FILE = "config.json"
CATALOG_FILE = "catalog.json"
STATE_FILE = "state.json"

MAX_TEXT = 2000
"""Characters of a message for people; a destination may put a whole SQL statement there."""
MAX_INTERNAL = 400
"""Characters of what the connector's developers say beside it."""
MAX_LOG = 16_000
"""Characters of a line for the log, or of a stack trace."""

_LEVELS: Mapping[str, int] = {
    "FATAL": logging.ERROR,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": logging.DEBUG,
}
_FAILURE_TYPES: Mapping[str, FailureType] = {
    "config_error": "config",
    "transient_error": "transient",
    "system_error": "system",
}
_ANSWERS = {"check": "CONNECTION_STATUS", "discover": "CATALOG", "describe": "SPEC"}


class AirbyteConversation(Conversation):
    """Talks to an Airbyte connector, whichever kind it is."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._config = merged_config(request)
        self._failed = False
        self._answered = False
        self._takers: dict[str, Callable[[dict[str, Any]], Iterable[Event]]] = {
            "LOG": _log,
            "TRACE": self._trace,
            "CONTROL": self._control,
            "SPEC": self._spec,
            "CONNECTION_STATUS": self._check,
            "CATALOG": self._catalog,
        }

    def take(self, line: bytes) -> Iterable[Event]:
        """See :meth:`Conversation.take`."""
        value = parse(line)
        if value is None:
            return (LogEvent(logging.INFO, text_of(line)),)
        kind = value.get("type")
        taker = self._takers.get(kind) if isinstance(kind, str) else None
        return taker(value) if taker is not None else (LogEvent(logging.INFO, text_of(line)),)

    def end(self, code: int, files: Mapping[str, bytes]) -> Iterable[Event]:
        """See :meth:`Conversation.end`.

        :raises ProtocolError: it ended well without the answer it was asked for
        """
        verb = self._request.verb
        if verb in _ANSWERS and code == 0 and not self._answered and not self._failed:
            raise ProtocolError(f"it ended without the {_ANSWERS[verb]} message that `{verb}` asks for")
        return ()

    def _verb_launch(self) -> Launch:
        """Return the start for a verb other than `run`."""
        if self._request.verb == "describe":
            return Launch(arguments=("spec",))
        return self._start(self._request.verb, {})

    def _start(self, command: str, files: Mapping[str, Any]) -> Launch:
        """Return the start for a command that takes the configuration and further files.

        :param files: what is in each, by option
        """
        arguments = [command, "--config", f"{FILES}/{CONFIG_FILE}"]
        contents = {CONFIG_FILE: orjson.dumps(self._config)}
        for option, content in files.items():
            name = f"{option}.json"
            arguments += [f"--{option}", f"{FILES}/{name}"]
            contents[name] = orjson.dumps(content)
        return Launch(arguments=tuple(arguments), files=contents)

    def _estimated(self, key: StreamKey, rows: int) -> Iterable[Event]:
        """Return what it means that a stream will have about that many records."""
        return ()

    def _stream_status(self, key: StreamKey, status: str, reasons: str) -> Iterable[Event]:
        """Return what a stream's status means."""
        return (LogEvent(logging.DEBUG, f"stream {key.text}: {status.lower()}{reasons}"),)

    def _spec(self, value: dict[str, Any]) -> Iterable[Event]:
        self._answered = True
        return (DescribeEvent(_part(value, "spec")),)

    def _check(self, value: dict[str, Any]) -> Iterable[Event]:
        status = _part(value, "connectionStatus")
        self._answered = True
        return (CheckEvent(status.get("status") == "SUCCEEDED", _short(status.get("message"))),)

    def _catalog(self, value: dict[str, Any]) -> Iterable[Event]:
        streams = streams_of_catalog(_part(value, "catalog"))
        self._answered = True
        return (CatalogEvent(streams),)

    def _control(self, value: dict[str, Any]) -> Iterable[Event]:
        control = _part(value, "control")
        if control.get("type") != "CONNECTOR_CONFIG":
            return (LogEvent(logging.DEBUG, f"a CONTROL message of type {control.get('type')} was left out"),)
        given = _part(_part(control, "connectorConfig"), "config")
        # Connectors out of a manifest hand that back too, under a name with underscores.
        config = {name: part for name, part in given.items() if not name.startswith("__")}
        changed = changed_values(self._config, config)
        self._config = config
        return (CredentialsEvent(changed),) if changed else ()

    def _trace(self, value: dict[str, Any]) -> Iterable[Event]:
        trace = _part(value, "trace")
        kind = trace.get("type")
        if kind == "ERROR":
            return self._error(_part(trace, "error"))
        if kind == "STREAM_STATUS":
            status = _part(trace, "stream_status")
            key = descriptor_key(status.get("stream_descriptor"))
            return self._stream_status(key, str(status.get("status")), _reasons(status.get("reasons")))
        if kind == "ESTIMATE":
            estimate = _part(trace, "estimate")
            rows = estimate.get("row_estimate")
            if isinstance(rows, int) and isinstance(estimate.get("name"), str):
                return self._estimated(descriptor_key(estimate), rows)
        return ()

    def _error(self, error: dict[str, Any]) -> Iterable[Event]:
        kind = _FAILURE_TYPES.get(str(error.get("failure_type")), "system")
        text = _error_text(error)
        details = _stack(error.get("stack_trace"))
        if self._request.verb == "check" and kind == "config":
            self._answered = True
            return (*details, CheckEvent(False, text))
        if self._failed:  # the first one tells why; what follows is mostly that the whole has failed too
            return (*details, LogEvent(logging.ERROR, text))
        self._failed = True
        return (*details, ErrorEvent(text, kind))


def _log(value: dict[str, Any]) -> Iterable[Event]:
    log = _part(value, "log")
    text, _, trace = str(log.get("message", "")).partition("\nTraceback (most recent call last):")
    level = _LEVELS.get(str(log.get("level")).upper(), logging.INFO)
    return (LogEvent(level, text[:MAX_LOG]), *_stack(trace), *_stack(log.get("stack_trace")))


def _stack(trace: Any) -> list[Event]:
    """Return a stack trace for the log, where only developers look for it."""
    return [LogEvent(logging.DEBUG, str(trace).strip()[-MAX_LOG:])] if trace else []


def _error_text(error: Mapping[str, Any]) -> str:
    text, internal = _short(error.get("message")), _short(error.get("internal_message"), MAX_INTERNAL)
    if internal and internal not in text:
        text = f"{text} ({internal})" if text else internal
    stream = error.get("stream_descriptor")
    where = f"stream {descriptor_key(stream).text}: " if isinstance(stream, dict) else ""
    return where + (text or "it failed and did not say why")


def _reasons(reasons: Any) -> str:
    told = [each for each in reasons if isinstance(each, dict)] if isinstance(reasons, list) else []
    return "".join(f", {str(each.get('type')).lower().replace('_', ' ')}" for each in told)


def _short(text: Any, most: int = MAX_TEXT) -> str:
    plain = "" if text is None else str(text).strip()
    return plain if len(plain) <= most else plain[:most] + "…"


def _part(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise ProtocolError(f"a {value.get('type', 'message')} line of its output has no object `{key}`")
    return part
