"""JSON as Singer programs write it: with NaN where a number should stand, or between lines of chatter."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of a catalog or of what a program says about itself."""
_MAX_TRIES = 1000


class Flaw(NamedTuple):
    """What no JSON can hold.

    :param path: where it stands, with dots
    """

    path: str
    text: str


class _Odd(str):
    """A number that JSON cannot hold, as it was written."""

    __slots__ = ()


def read_leniently(line: bytes) -> Any:
    """Return what a line means that is no strict JSON, with the flaws that :func:`find_flaw` finds still in it.

    :raises ValueError: it is not even nearly JSON
    """
    try:
        return json.loads(line.decode("utf-8", errors="surrogateescape"), parse_constant=_Odd, parse_float=_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def find_flaw(value: Any) -> Flaw | None:
    """Return the first part of a value of :func:`read_leniently` that JSON cannot hold."""
    places: list[tuple[str, Any]] = [("", value)]
    while places:
        path, part = places.pop()
        flaw = _flaw(part)
        if flaw:
            return Flaw(path, flaw)
        children = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        places += reversed([(f"{path}.{name}" if path else str(name), child) for name, child in children])
    return None


def _flaw(part: Any) -> str | None:
    if isinstance(part, _Odd):
        return f"is {str(part)[:40]}"
    if isinstance(part, str) and not _encodes(part):
        return "is text that is not valid Unicode"
    if isinstance(part, dict) and not all(map(_encodes, part)):
        return "has a name that is not valid Unicode"
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else _Odd(text)


# A database's catalog bounds its columns by numbers of any length. As they only bound, the nearest that fits will do.
def _whole(text: str) -> int | float:
    return int(text) if len(text) < 19 else _finite(text)


def _finite(text: str) -> float:
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


def _nothing(text: str) -> None:
    return None


class Answer:
    """Keeps all of a program's stdout, and finds the JSON object in it that was asked for."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        """Keep one more line.

        :raises ValueError: it becomes too much
        """
        self._size += len(line) + 1
        if self._size > MAX_ANSWER:
            raise ValueError(f"it printed more than {MAX_ANSWER // 1024**2} MiB, which is no answer")
        self._lines.append(line)

    def text(self) -> str:
        """Return all that was kept."""
        return b"\n".join(self._lines).decode("utf-8", errors="replace")

    def find(self, wanted: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any] | None:
        """Return the first JSON object that starts a line and is the wanted one."""
        return next((value for value in _objects(self.text()) if wanted(value)), None)


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    decoder, place = json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_nothing), 0
    for _ in range(_MAX_TRIES):
        place = _next_start(text, place)
        if place < 0:
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        yield value


def _next_start(text: str, place: int) -> int:
    if text.startswith("{", place) and (place == 0 or text[place - 1] == "\n"):
        return place
    found = text.find("\n{", place)
    return found + 1 if found >= 0 else -1
