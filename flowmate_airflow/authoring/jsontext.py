"""JSON files that people wrote, read so that what is wrong with them is told with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from flowmate_airflow.flows.errors import FlowFileError, Problem

MAX_BYTES = 8 * 1024 * 1024
"""A larger file is not read: no component describes itself at such length."""
MAX_PROBLEMS = 20
"""Repeated keys that are told."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')
_COLON = re.compile(r"[ \t\r\n]*:")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')


class JsonFileError(FlowFileError):
    """A file that is not the JSON it should be; carries every problem found in it."""


def read_json(path: Path, shown: str | None = None) -> Any:
    """Return the value in a JSON file.

    :param shown: the file's name in problems; default: its path
    :raises JsonFileError: it is not JSON, or no UTF-8, or too large
    :raises OSError: it cannot be read
    """
    name = shown or str(path)
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    return parse_json(content, name)


def parse_json(content: bytes, name: str) -> Any:
    """Return the value of a JSON text.

    :param name: the file's name in problems
    :raises JsonFileError: it is not JSON, or no UTF-8, or too large
    """
    if len(content) > MAX_BYTES:
        raise JsonFileError([Problem(f"the file is larger than {MAX_BYTES // 1024**2} MB", name)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonFileError([Problem("the file is not UTF-8", name, hint="save it as UTF-8")]) from None
    if text.startswith("\ufeff"):
        problem = "a byte order mark stands before the JSON"
        raise JsonFileError([_problem(name, text, 0, problem, "save the file as UTF-8 without byte order mark")])
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise JsonFileError([_syntax(name, text, error)]) from None
    except _NotANumber as error:
        place = max(0, text.find(str(error)))
        raise JsonFileError(
            [_problem(name, text, place, f"JSON has no {error}", "write null or leave it out")]
        ) from None
    except (RecursionError, ValueError) as error:
        told = "too deep" if isinstance(error, RecursionError) else str(error)
        raise JsonFileError([Problem(f"the JSON cannot be read: {told}", name)]) from None
    twice = [
        _problem(
            name, text, place, f"the key {key} stands twice in one object", f"the first is on line {first}; keep one"
        )
        for place, key, first in islice(_repeated_keys(text), MAX_PROBLEMS)
    ]
    if twice:
        raise JsonFileError(twice)
    return value


class _NotANumber(Exception):
    """NaN or Infinity."""


def _no_constant(word: str) -> Any:
    raise _NotANumber(word)


def _syntax(name: str, text: str, error: json.JSONDecodeError) -> Problem:
    """Return what is wrong in words of our own: Python's differ by version and speak of its parser."""
    place = min(error.pos, len(text))
    rest = text[place:].lstrip()
    at = len(text) - len(rest) if rest else len(text.rstrip())
    before = text[:at].rstrip()
    if before.endswith(",") and rest[:1] in ("}", "]"):
        return _problem(name, text, len(before) - 1, "a comma before the closing bracket", "delete the comma")
    if not rest:
        what = "the file is empty" if not text.strip() else "the JSON ends here, before it is complete"
        return _problem(name, text, at, what, "close every bracket and quote")
    if rest.startswith(("//", "/*", "#")):
        return _problem(name, text, at, "JSON has no comments", "delete the comment")
    if rest.startswith("'"):
        return _problem(name, text, at, "JSON has no single quotes", 'write texts in double quotes: "…"')
    if "delimiter" in error.msg and "','" in error.msg:
        return _problem(name, text, at, "a comma is missing before this")
    if "delimiter" in error.msg:
        return _problem(name, text, at, "a colon is missing before this")
    if "property name" in error.msg:
        return _problem(name, text, at, "a key in double quotes must stand here")
    return _problem(name, text, at, f"this is not JSON ({error.msg[:1].lower()}{error.msg[1:]})")


def _problem(name: str, text: str, place: int, message: str, hint: str | None = None) -> Problem:
    line = text.count("\n", 0, place) + 1
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    source = text[start : end if end >= 0 else len(text)].rstrip("\r")
    match = _STRING.match(text, place)
    width = len(match[0]) if match else 1
    return Problem(message, name, line, place - start + 1, source, width, hint)


def _repeated_keys(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield the place, the key and the first one's line of each key that an object has twice. The text is JSON."""
    seen: list[dict[str, int]] = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word in "{[":
            seen.append({})
        elif word in "}]":
            seen.pop()
        elif word != "," and seen and _COLON.match(text, match.end()):
            key = json.loads(word)
            if key in seen[-1]:
                yield match.start(), word, text.count("\n", 0, seen[-1][key]) + 1
            else:
                seen[-1][key] = match.start()
