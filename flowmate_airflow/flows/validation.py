"""Pydantic's errors as problems with a place and a hint, in the words of this project."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from flowmate_airflow.flows.errors import Problem, did_you_mean, shown
from flowmate_airflow.flows.positions import Path, SourceMap


def problems_of(error: ValidationError, source: SourceMap, known_keys: Any) -> list[Problem]:
    """Return a problem for each error.

    :param known_keys: function from an error's path to the keys known there, for "did you mean"
    """
    items = [item for item in error.errors(include_url=False) if not _is_told_by_the_reader(item)]
    return [_problem(item, source, known_keys) for item in items]


def clean_path(location: tuple[int | str, ...]) -> Path:
    """Return a pydantic location without the tags of unions and the marks of dict keys."""
    return tuple(part for part in location if not (isinstance(part, str) and (part.startswith("$") or part == "[key]")))


def _is_told_by_the_reader(item: Any) -> bool:
    """Whether a key is not text: reading the YAML found it, with its place."""
    return item["type"] == "invalid_key" or ("[key]" in item["loc"] and item["type"] == "string_type")


def _problem(item: Any, source: SourceMap, known_keys: Any) -> Problem:
    path, kind = clean_path(item["loc"]), item["type"]
    name = str(path[-1]) if path else "the file"
    if kind == "extra_forbidden":
        hint = did_you_mean(name, known_keys(item["loc"][:-1]))
        return source.problem(f"`{name}` is not known here", path, hint, at="key")
    if kind == "missing":
        return source.problem(f"`{name}` is missing", path[:-1], f"add `{name}:`", at="key")
    if "[key]" in item["loc"]:
        hint = "letters, digits and `_`; begin with a letter"
        if kind == "literal_error":
            hint = did_you_mean(name, str(item["ctx"]["expected"]).split("'")[1::2]) or hint
        return source.problem(f"`{name}` cannot be a name here", path, hint, at="key")
    if kind == "step_kind":
        return _not_a_step(item, path, source)
    if kind == "auth_type":
        return _not_a_method(item, path, source)
    message, hint = _told(item)
    return source.problem(f"{_named(path)} {message}", path, hint or _pattern_hint(item, path))


def _named(path: Path) -> str:
    """Return what a problem calls the value at a path."""
    if not path:
        return "the file"
    if isinstance(path[-1], int):
        keys = [part for part in path if isinstance(part, str)]
        return f"item {path[-1] + 1} of `{keys[-1]}`" if keys else f"item {path[-1] + 1}"
    return f"`{path[-1]}`"


def _not_a_step(item: Any, path: Path, source: SourceMap) -> Problem:
    step, kinds = item["input"], item["ctx"]["kinds"].split(",")
    if not isinstance(step, dict):
        return source.problem(f"a step must be a mapping, not {shown(step)}", path, "write `- id: …` and what it does")
    given = [kind for kind in kinds if kind in step]
    listed = " or ".join(f"`{kind}`" for kind in kinds)
    if given:
        both = " and ".join(f"`{kind}`" for kind in given)
        return source.problem(f"a step has one of {listed}, this one has {both}", path, "make two steps of it")
    for key in step:
        hint = did_you_mean(str(key), kinds)
        if hint is not None and hint.startswith("did you mean"):
            return source.problem(f"`{key}` is not known here", (*path, key), hint, at="key")
    return source.problem(f"a step needs {listed}", path, "`use: CONNECTOR/FUNCTION`, or `map: |` with JSONata")


def _not_a_method(item: Any, path: Path, source: SourceMap) -> Problem:
    method, types = item["input"], item["ctx"]["types"].split(",")
    if not isinstance(method, dict):
        return source.problem(f"{_named(path)} must be a mapping of keys to values, not {shown(method)}", path)
    if "type" not in method:
        return source.problem("`type` is missing", path, f"add `type:`, one of {', '.join(types)}", at="key")
    given = method["type"]
    hint = did_you_mean(given, types) if isinstance(given, str) else None
    return source.problem(f"`type` cannot be {shown(given)}", (*path, "type"), hint or f"one of {', '.join(types)}")


_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}


_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
}


def _told(item: Any) -> tuple[str, str | None]:
    """Return what is wrong and what to do."""
    kind, value, limits = item["type"], item["input"], item.get("ctx", {})
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {shown(value)}", _type_hint(kind, value)
    if kind == "literal_error":
        words = str(limits["expected"]).replace("'", "`")
        return f"must be {words}, not {shown(value)}", _nearest(value, words)
    if kind == "value_error":
        message, _, hint = str(item["msg"]).removeprefix("Value error, ").partition("; ")
        return f"is wrong: {message}", hint or None
    if kind == "string_pattern_mismatch":
        return f"cannot be {shown(value)}", None
    if kind in ("too_short", "string_too_short"):
        return "is empty", "fill it in, or remove the line"
    if kind == "too_long":
        return f"may have {limits['max_length']} items, not {len(value):,}", "split it"
    if kind == "string_too_long":
        return f"may have {limits['max_length']} characters, not {len(value):,}", "shorten it"
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return f"must be {word} {limits[key]}, not {shown(value)}", None
    return f"is wrong: {str(item['msg']).removeprefix('Input ')}", None


def _type_hint(kind: str, value: Any) -> str | None:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put quotes around it"
    if kind == "list_type" and isinstance(value, str):
        return f"write `[{value:.60}]`" if value.isidentifier() else f"write `[{shown(value)}]`"
    if kind == "int_type" and isinstance(value, str) and value.strip().isdecimal():
        return "remove the quotes"
    if kind == "bool_type":
        return "write true or false"
    return None


def _nearest(value: Any, words: str) -> str | None:
    hint = did_you_mean(value, words.split("`")[1::2]) if isinstance(value, str) else None
    return hint if hint is not None and hint.startswith("did you mean") else None


_TENANT_HINT = "a tenant's id: up to 100 letters, digits and `_ . : @ -`; begin with a letter or a digit"
_PATTERN_HINTS = {
    "use": "write CONNECTOR/FUNCTION, for example `http/get` or `http/get@1.0`",
    "id": "letters, digits, `_` and `-`; begin with a letter (a flow's id may also hold `.`)",
    "needs": "letters, digits, `_` and `-`; begin with a letter",
    "group": "letters, digits, `_` and `-`; begin with a letter",
    "connection": "a conn_id: letters, digits, `_`, `.` and `-`",
    "max_body": "a size such as `512k` or `4m`",
    "order_by": "a path into an event, such as `data.order.id`",
    "scheme": "a scheme's name, such as `github`",
    "tenants": _TENANT_HINT,
    "who": _TENANT_HINT,
}


def _pattern_hint(item: Any, path: Path) -> str | None:
    if item["type"] != "string_pattern_mismatch":
        return None
    keys = [part for part in path if isinstance(part, str)]
    return _PATTERN_HINTS.get(keys[-1]) if keys else None
