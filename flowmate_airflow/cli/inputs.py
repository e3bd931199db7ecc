"""What the user gives to a local run: params, and messages for one step."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from flowmate_airflow.batches.message import PARTS, Message, envelope
from flowmate_airflow.cli.errors import UsageError
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.flows.models import Flow
from flowmate_airflow.flows.schemas import violations


def read_params(flow: Flow, given: str | None) -> dict[str, Any]:
    """Return the run's params: those given over the defaults of the flow.

    :param given: a JSON object, or `@` and the name of a file with one
    :raises UsageError: it is none, or it does not fit the flow's params
    """
    values = _object(given) if given else {}
    problems = []
    for name in values:
        if name not in flow.params:
            hint = did_you_mean(name, flow.params) or "the flow has no params"
            problems.append(f"the flow has no param `{name}`; {hint}")
    params: dict[str, Any] = {}
    for name, schema in flow.params.items():
        if name in values:
            params[name] = values[name]
        elif "default" in schema:
            params[name] = schema["default"]
        else:
            problems.append(f"the param `{name}` has no default: give it as --params '{{\"{name}\": …}}'")
    problems += [violation.message for violation in violations(flow.params, params)]
    if problems:
        raise UsageError("\n".join(f"--params: {problem}" for problem in problems))
    return params


def read_messages(source: str) -> Iterator[Message]:
    """Yield the messages of a JSON Lines file, or of standard input for `-`.

    A line is a message (an object with `data` and nothing but the parts of a message), or the data of one.

    :raises UsageError: the file cannot be read, or a line is not JSON
    """
    try:
        with ExitStack() as stack:
            lines = sys.stdin.buffer if source == "-" else stack.enter_context(Path(source).open("rb"))
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _message(line, number, source)
    except OSError as error:
        raise UsageError(f"--input: {source} cannot be read: {error.strerror}") from None


def _message(line: bytes, number: int, source: str) -> Message:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"--input: {source}:{number} is not JSON: {error}") from None
    whole = isinstance(value, Mapping) and "data" in value and value.keys() <= set(PARTS)
    return envelope(value if whole else {"data": value}, f"input-{number}")


def _object(given: str) -> dict[str, Any]:
    text: str | bytes = given
    if given.startswith("@"):
        try:
            text = Path(given[1:]).read_bytes()
        except OSError as error:
            raise UsageError(f"--params: {given[1:]} cannot be read: {error.strerror}") from None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f'--params is not JSON: {error}; write for example \'{{"name": "value"}}\'') from None
    if not isinstance(value, dict):
        raise UsageError('--params is not a JSON object; write for example \'{"name": "value"}\'')
    return value
