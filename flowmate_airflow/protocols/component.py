"""Protocol `component`, FlowMate's own form: NDJSON on stdin and stdout.

In: one `CONFIG` line, then a `MESSAGE` line for each input message, then end of file.
Out: `MESSAGE`, `STREAM`, `STATE`, `RESULT`, `ERROR`, `CREDENTIALS`, `REPLY`, `LOG` and `PROGRESS` lines, and the
answers of the other verbs: `CHECK`, `CATALOG`, `DESCRIBE`, `SUBSCRIPTION`. Any other line is log text.

Where the context says `renews`, the component may ask for new credentials (`{"type":"CREDENTIALS"}`), which come as a
`CREDENTIALS` line on stdin. That stays open then, so that an `END` line tells the end of the messages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from flowmate_airflow.protocols.base import RENEWS, Conversation, Item, Launch, Request
from flowmate_airflow.protocols.component_subscription import parse_subscription
from flowmate_airflow.protocols.events import (
    FAILURE_TYPES,
    CatalogEvent,
    CheckEvent,
    CredentialsEvent,
    DescribeEvent,
    ErrorEvent,
    Event,
    FailureType,
    LogEvent,
    MessageEvent,
    ProgressEvent,
    ProtocolError,
    RenewalEvent,
    ReplyEvent,
    ResultEvent,
    StateEvent,
    StreamEvent,
)
from flowmate_airflow.protocols.streams import Stream, stream_from_json

EXIT_CONFIG = 78
"""Exit code of a component whose configuration is wrong (EX_CONFIG of sysexits.h)."""
EXIT_TRANSIENT = 75
"""Exit code of a component that a retry may heal (EX_TEMPFAIL of sysexits.h)."""

_END = b'{"type":"END"}\n'
_OF_FUNCTIONS = ("run", "subscribe", "unsubscribe")

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


class ComponentConversation(Conversation):
    """Talks to a component in FlowMate's own form.

    :param launch: instead of the start that the verb stands for, for images that need a runner
    """

    def __init__(self, request: Request, launch: Launch | None = None) -> None:
        self._request = request
        self._launch = launch
        self._renews = request.context.get(RENEWS) is True
        self._checked = False
        self._has_more = False
        self._remote_id: str | None = None

    def launch(self) -> Launch:
        """See :meth:`Conversation.launch`."""
        return self._launch or Launch(arguments=verb_arguments(self._request), keeps_stdin=self._renews)

    def feed(self, items: Iterable[Item]) -> Iterator[bytes]:
        """See :meth:`Conversation.feed`."""
        if self._request.verb != "describe":
            yield config_line(self._request)
        for item in items:
            self._has_more = True
            if isinstance(item, bytes):
                yield message_line(item)
        self._has_more = False
        if self._renews:
            yield _END

    def renewed(self, credentials: Mapping[str, Any]) -> bytes:
        """See :meth:`Conversation.renewed`."""
        line = {"type": "CREDENTIALS", "credentials": credentials}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def take(self, line: bytes) -> Iterable[Event]:
        """See :meth:`Conversation.take`."""
        event = parse_line(line)
        if isinstance(event, MessageEvent):
            metadata = event.message.get("metadata")
            if metadata and isinstance(metadata, dict):
                given = metadata.get("remote_id") or metadata.get("recordUid")
                self._remote_id = str(given) if isinstance(given, str | int) else None
        elif isinstance(event, ResultEvent):
            return self._results(event, line)
        elif isinstance(event, CheckEvent):
            self._checked = True
        elif isinstance(event, RenewalEvent) and not self._renews:
            raise ProtocolError("it asks for new credentials, and its context did not say `renews`: there are none")
        elif isinstance(event, LogEvent) and self._request.verb == "describe" and line[:1] == b"{":
            return (DescribeEvent(orjson.loads(line)),)  # a manifest, as the SDK prints it
        return (event,)

    def _results(self, event: ResultEvent, line: bytes) -> Iterable[Event]:
        """Return a result for each id; one that stands alone has the id that its output named."""
        remote_id, self._remote_id = self._remote_id, None
        if b'"ids"' in line:
            ids = orjson.loads(line).get("ids")
            if ids is not None:
                return [ResultEvent(str(each)) for each in ids]
        return (event if event.remote_id is not None else ResultEvent(event.message_id, remote_id),)

    def end(self, code: int, files: Mapping[str, bytes]) -> Iterable[Event]:
        """See :meth:`Conversation.end`."""
        if self._request.verb == "check" and not self._checked and code == 0:
            return (CheckEvent(ok=True),)
        if code == 0 and self._has_more:  # it may have been ended from within, by a library that exits
            return (ErrorEvent("it ended as if all were well, but had not read all of its input"),)
        return ()

    def failure_type(self, code: int) -> FailureType:
        """See :meth:`Conversation.failure_type`."""
        return failure_type_of_exit(code)


def verb_arguments(request: Request) -> Sequence[str]:
    """Return the arguments that ask a component for a verb."""
    return (request.verb, request.function) if request.verb in _OF_FUNCTIONS else (request.verb,)


def config_line(request: Request) -> bytes:
    """Return the first line of a component's stdin."""
    line: dict[str, Any] = {
        "type": "CONFIG",
        "config": request.config,
        "credentials": request.credentials,
        "state": request.state,
        "context": request.context,
    }
    if request.selected is not None:
        line["select"] = {
            each.stream.name: "*" if each.fields is None else sorted(each.fields) for each in request.selected
        }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def message_line(message: bytes) -> bytes:
    """Return the stdin line for one input message, which is a line of JSON."""
    # Put together by hand: a message may be nested as deep as the encoder goes, and this is one level more.
    return b'{"type":"MESSAGE","message":' + message + b"}\n"


def parse_line(line: bytes) -> Event:
    """Return the event that a stdout line (without its newline) stands for.

    :raises ProtocolError: the line is meant as an event but is cut off or malformed; treating it as log text
        would lose a message silently
    """
    if line[:1] != b"{":
        return LogEvent(logging.INFO, _text(line))
    raw = _raw_message(line)
    if raw is not None:
        return raw
    try:
        value: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if _looks_like_event(line):
            raise ProtocolError(f"a line of its output is broken JSON ({error}): {_excerpt(line)}") from None
        return LogEvent(logging.INFO, _text(line))
    kind = value.get("type")
    if kind == "MESSAGE":
        return MessageEvent(_checked_message(value.get("message")))
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    return parse(value) if parse else LogEvent(logging.INFO, _text(line))


def failure_type_of_exit(code: int) -> FailureType:
    """Return who must act on an exit code other than zero."""
    return {EXIT_CONFIG: "config", EXIT_TRANSIENT: "transient"}.get(code, "system")  # type: ignore[return-value]


_NO_ID = (dict, list, bool)  # made once: this is asked for each message
_HEADS = (b'{"type":"MESSAGE","message":', b'{"type": "MESSAGE", "message": ')
"""How the line of a message begins as most encoders write it."""


def _raw_message(line: bytes) -> MessageEvent | None:
    """Return the message of a line that is nothing but the usual head and one object; None for all other lines."""
    for head in _HEADS:
        if line.startswith(head) and line.endswith(b"}}"):
            # Parsed by itself: a line with keys twice may be good JSON while what is cut out of it is none.
            raw = line[len(head) : -1]
            try:
                message = orjson.loads(raw)
            except orjson.JSONDecodeError:
                return None
            # It goes on as it stands, without being encoded anew; what begins with a blank does not.
            return MessageEvent(_checked_message(message), raw if raw[:1] == b"{" else None)
    return None


def _checked_message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or "data" not in message:
        raise ProtocolError("a MESSAGE line of its output has no object `message` with the key `data`")
    if isinstance(message.get("id"), _NO_ID):
        raise ProtocolError("the `id` of a message of its output is neither a text nor a number")
    return message


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


def _result(value: dict[str, Any]) -> Event:
    ids = value.get("ids", [value.get("id")])
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str | int) for each in ids):
        raise ProtocolError("a RESULT line of its output needs the `id` of an input message, or several as `ids`")
    remote = value.get("remote_id")
    return ResultEvent(str(ids[0]), None if remote is None else str(remote))


def _credentials(value: dict[str, Any]) -> Event:
    if "credentials" not in value:
        return RenewalEvent(value.get("rejected") is True)
    return CredentialsEvent(_object(value, "credentials"))


def _reply(value: dict[str, Any]) -> Event:
    return ReplyEvent(_object(value, "reply"))


def _check(value: dict[str, Any]) -> Event:
    return CheckEvent(value.get("ok") is True, str(value.get("message", "")))


def _stream(value: dict[str, Any]) -> Event:
    return StreamEvent(_one_stream(_object(value, "stream"), "STREAM"))


def _catalog(value: dict[str, Any]) -> Event:
    streams = value.get("streams")
    if not isinstance(streams, list) or not all(isinstance(each, dict) for each in streams):
        raise ProtocolError("a CATALOG line of its output needs a list `streams` of objects with a `name`")
    return CatalogEvent([_one_stream(each, "CATALOG") for each in streams])


def _one_stream(value: dict[str, Any], kind: str) -> Stream:
    if not isinstance(value.get("name"), str):
        raise ProtocolError(f"a {kind} line of its output has a stream without a `name`")
    key = value.get("primary_key") or []
    good = (
        isinstance(key, list)
        and all(isinstance(field, str) for field in key)
        and isinstance(value.get("schema"), dict | None)
        and all(isinstance(value.get(part), str | None) for part in ("cursor", "namespace"))
    )
    if not good:
        raise ProtocolError(
            f"a {kind} line of its output describes a stream wrongly: `schema` is an object, `primary_key` a list of "
            "texts, `cursor` and `namespace` are texts"
        )
    return stream_from_json(value)


def _describe(value: dict[str, Any]) -> Event:
    return DescribeEvent(value)


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise ProtocolError(f"a {value['type']} line of its output has no object `{key}`")
    return part


_PARSERS: Mapping[str, Callable[[dict[str, Any]], Event]] = {
    "STREAM": _stream,
    "STATE": _state,
    "RESULT": _result,
    "ERROR": _error,
    "CREDENTIALS": _credentials,
    "REPLY": _reply,
    "LOG": _log,
    "PROGRESS": _progress,
    "CHECK": _check,
    "CATALOG": _catalog,
    "DESCRIBE": _describe,
    "SUBSCRIPTION": parse_subscription,
}


def _looks_like_event(line: bytes) -> bool:
    head = line[:64].replace(b" ", b"")
    return head.startswith(b'{"type":') or head == b'{"type":'[: len(head)]


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="backslashreplace")


def _excerpt(line: bytes) -> str:
    return _text(line[:120]) + ("…" if len(line) > 120 else "")
