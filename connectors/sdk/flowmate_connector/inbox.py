"""What the host says after the CONFIG line: messages, and new credentials where they were asked for."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from flowmate_connector.errors import ConfigError, MessageError, TransientError
from flowmate_connector.message import Message


class Inbox:
    """Sorts the lines of the input by what they are. Threads may take from it at once: one reads for all.

    :param read: returns the next line, nothing at the end
    :param renews: whether the host gives new credentials, and tells the end of the messages by a line of its own
    """

    def __init__(self, read: Callable[[], bytes], *, renews: bool = False) -> None:
        self._read = read
        self._renews = renews
        self._changed = threading.Condition()
        # What came before the credentials that somebody waits for: as much as is under way in pipes, and no more,
        # since the host answers before it goes on with the messages.
        self._messages: deque[dict[str, Any]] = deque()
        self._credentials: deque[dict[str, Any]] = deque()
        self._failed: MessageError | None = None
        self._reading = self._no_more_messages = self._ended = False

    def messages(self) -> Iterator[Message]:
        """Yield the messages as they come.

        :raises MessageError: a line is none
        """
        while True:
            message = self._next_message() if self._renews else self._only_message()
            if message is None:
                return
            yield Message.from_json(message)

    def credentials(self) -> dict[str, Any]:
        """Return the credentials that come next, after they have been asked for.

        :raises TransientError: the host has ended the input instead
        """
        with self._changed:
            while not self._credentials and not self._ended:
                self._read_on()
            if not self._credentials:
                raise TransientError("no new credentials came: the host has ended the run")
            return self._credentials.popleft()

    def _next_message(self) -> dict[str, Any] | None:
        with self._changed:
            while not (self._messages or self._failed or self._no_more_messages or self._ended):
                self._read_on()
            if self._messages:
                return self._messages.popleft()
            if self._failed:
                raise self._failed
            return None

    def _only_message(self) -> dict[str, Any] | None:
        line = b"\n"
        while line.isspace():
            line = self._read()
        return _message_of(parse_line(line, "MESSAGE")) if line else None

    def _read_on(self) -> None:
        """Take in one line, or wait for the thread that is reading one."""
        if self._reading:
            self._changed.wait()
            return
        self._reading = True
        self._changed.release()
        line = b""
        try:
            line = self._read()
        finally:
            self._changed.acquire()
            self._reading = False
            self._take(line)
            self._changed.notify_all()

    def _take(self, line: bytes) -> None:
        if not line:
            self._ended = True
        elif not line.isspace():
            try:
                value = parse_line(line, "MESSAGE", "CREDENTIALS", "END")
                if value["type"] == "MESSAGE":
                    self._messages.append(_message_of(value))
                elif value["type"] == "CREDENTIALS":
                    self._credentials.append(_object(value, "credentials"))
                else:
                    self._no_more_messages = True
            except MessageError as error:
                self._failed, self._ended = error, True  # told to who reads the messages


def parse_line(line: bytes, *kinds: str) -> dict[str, Any]:
    """Return what a line of the input says.

    :param kinds: what it may be
    :raises ConfigError: it is no CONFIG line
    :raises MessageError: it is none of the others
    """
    # Nothing of the line goes into the text: it may hold credentials.
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and value.get("type") in kinds:
        return value
    if kinds == ("CONFIG",):
        raise ConfigError("the first line of the input must be a CONFIG line: " + _state_of(line, value))
    raise MessageError(f"a line of the input is no {kinds[0]} line: " + _state_of(line, value))


def _message_of(value: dict[str, Any]) -> dict[str, Any]:
    return _object(value, "message")


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise MessageError(f"a {value['type']} line of the input has no object `{key}`")
    return part


def _state_of(line: bytes, value: Any | None) -> str:
    if not line:
        return "the input is empty"
    return "it is not a JSON object" if not isinstance(value, dict) else "its `type` is another"
