"""The elements of a JSON array, without the whole array in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

LONGEST_VALUE = 64 * 1024 * 1024
"""The longest single value, in characters; more than this is no record but a broken file."""
_CHUNK = 256 * 1024
_SPACE = " \t\r\n"


class JsonStreamError(ValueError):
    """The text is not JSON.

    :param text: what is wrong
    :param line: the line it is on, from 1
    """

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


def iterate_array(file: TextIO, parse_constant: Callable[[str], Any]) -> Iterator[Any]:
    """Yield the elements of the array that a file holds; any other value is yielded as it is.

    :param parse_constant: called for NaN and Infinity, which are no JSON
    :raises JsonStreamError: the text is not JSON
    """
    buffer = _Buffer(file, json.JSONDecoder(parse_constant=parse_constant))
    if buffer.peek() != "[":
        if not buffer.peek():
            buffer.fail("the file is empty")
        yield buffer.value()
    else:
        buffer.skip()
        yield from _elements(buffer)
    if buffer.peek():
        buffer.fail("there is more text after the end of the JSON value")


def _elements(buffer: _Buffer) -> Iterator[Any]:
    if buffer.peek() == "]":
        buffer.skip()
        return
    while True:
        yield buffer.value()
        mark = buffer.peek()
        if mark not in (",", "]"):
            buffer.fail("the file ends inside the array" if not mark else "',' or ']' expected")
        buffer.skip()
        if mark == "]":
            return


class _Buffer:
    """The part of the text that is being read."""

    def __init__(self, file: TextIO, decoder: json.JSONDecoder) -> None:
        self._file = file
        self._decoder = decoder
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is not white space, or "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Go on by one character."""
        self._at += 1

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    self.fail(f"not JSON: {error.msg}", error.pos)
            except (ValueError, RecursionError) as error:
                self.fail(f"not JSON: {error}")
            else:
                # A number at the end of the buffer may go on behind it.
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value

    def fail(self, text: str, at: int | None = None) -> NoReturn:
        """Raise for what is wrong at a place of the buffer."""
        at = self._at if at is None else at
        raise JsonStreamError(text, self._line + self._text.count("\n", 0, at))

    def _more(self) -> bool:
        if self._ended:
            return False
        rest = len(self._text) - self._at
        if rest > LONGEST_VALUE:
            self.fail(f"not JSON, or one value of more than {LONGEST_VALUE} characters")
        # As much again as is there, so that a long value is not decoded from its start for each chunk.
        chunk = self._file.read(max(_CHUNK, rest))
        self._ended = not chunk
        self._line += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)
