"""Pydantic's errors as problems with a place and a hint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from flowmate_airflow.flows.errors import Problem, did_you_mean
from flowmate_airflow.flows.positions import Path, SourceMap

KnownKeys = Mapping[tuple[str, ...], Iterable[str]]
"""The keys a model knows, by the path of the model without list indexes and dict keys that are the author's."""


def problems_of(error: ValidationError, source: SourceMap, known_keys: Any) -> list[Problem]:
    """Return a problem for each error.

    :param known_keys: function from an error's path to the keys known there, for "did you mean"
    """
    return [_problem(item, source, known_keys) for item in error.errors(include_url=False)]


def clean_path(location: tuple[int | str, ...]) -> Path:
    """Return a pydantic location without the tags of unions and the marks of dict keys."""
    return tuple(part for part in location if not (isinstance(part, str) and (part.startswith("$") or part == "[key]")))


def _problem(item: Any, source: SourceMap, known_keys: Any) -> Problem:
    path, kind = clean_path(item["loc"]), item["type"]
    name = str(path[-1]) if path else "the file"
    if kind == "extra_forbidden":
        hint = did_you_mean(name, known_keys(item["loc"][:-1]))
        return source.problem(f"`{name}` is not known here", path, hint, at="key")
    if kind == "missing":
        return source.problem(f"`{name}` is missing", path[:-1], f"add `{name}:`", at="key")
    if "[key]" in item["loc"]:
        return source.problem(f"`{name}` cannot be a name here: {_text(item)}", path, None, at="key")
    return source.problem(_message(item, name), path, _hint(item, path))


def _message(item: Any, name: str) -> str:
    if item["type"] == "step_kind":
        return str(item["msg"])
    if item["type"] == "string_pattern_mismatch":
        return f"`{name}`: {item['input']!r:.80} is not allowed here"
    if item["type"].endswith("_type") and not isinstance(item["input"], dict | list):
        return f"`{name}`: {_text(item)}, not {item['input']!r:.60}"
    return f"`{name}`: {_text(item)}"


def _text(item: Any) -> str:
    text = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return text.replace("valid dictionary", "mapping of keys to values").replace("valid string", "text")


_PATTERN_HINTS = {
    "use": "write CONNECTOR/FUNCTION, for example `http/get` or `http/get@1.0`",
    "id": "letters, digits, `_` and `-`; begin with a letter (a flow's id may also hold `.`)",
    "needs": "letters, digits, `_` and `-`; begin with a letter",
    "group": "letters, digits, `_` and `-`; begin with a letter",
    "connection": "a conn_id: letters, digits, `_`, `.` and `-`",
}


def _hint(item: Any, path: Path) -> str | None:
    if item["type"] == "string_pattern_mismatch":
        keys = [part for part in path if isinstance(part, str)]
        return _PATTERN_HINTS.get(keys[-1]) if keys else None
    if item["type"] == "string_type" and isinstance(item["input"], bool | int | float):
        return "put quotes around it"
    return None
