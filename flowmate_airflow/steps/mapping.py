"""JSONata over messages: the `map` step and `when`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jlens

from flowmate_airflow.batches.batch import decoded
from flowmate_airflow.batches.message import Message, derived
from flowmate_airflow.flows.expressions import compile_jsonata
from flowmate_airflow.steps.errors import ConfigFailure

TIMEOUT = 10.0
"""Seconds that one evaluation may take."""
MAX_RESULT = 64 * 1024 * 1024
"""Bytes of JSON that one evaluation may make."""
MAX_DEPTH = 500
"""Nested calls in one evaluation."""


def map_lines(expression: str, lines: Iterable[bytes], names: dict[str, Any] | None = None) -> Iterator[Message]:
    """Yield the messages that an expression makes: none for no result, one for each element of a list, else one.

    :param names: what the expression knows as `$name`
    :raises ConfigFailure: the expression fails for a message
    """
    compiled = compile_jsonata(expression)
    for line in lines:
        message = decoded(line)
        result = evaluate(compiled, message, "map", names)
        if isinstance(result, list):
            for number, item in enumerate(result):
                yield derived(message, item, f".{number}")
        elif result is not None:
            yield derived(message, result)


def pick_lines(condition: str | None, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the messages, as lines of JSON, for which a condition is true; all of them when there is none.

    :raises ConfigFailure: the condition fails for a message, or is neither true nor false
    """
    if condition is None:
        yield from lines
        return
    for line in lines:
        if is_picked(condition, line):
            yield line


def is_picked(condition: str, line: bytes) -> bool:
    """Whether a condition is true for a message, which is a line of JSON.

    :raises ConfigFailure: the condition fails for the message, or is neither true nor false
    """
    message = decoded(line)
    result = evaluate(compile_jsonata(condition), message, "when")
    if result is not None and not isinstance(result, bool):
        raise ConfigFailure(
            f"`when` gave {result!r:.80} for message {message['id']}, not true or false; "
            "write a comparison, or $boolean(…) or $exists(…) around it"
        )
    return bool(result)


def evaluate(expression: jlens.Expression, message: Message, key: str, names: dict[str, Any] | None = None) -> object:
    """Return what an expression gives for a message, within limits of time and size.

    :param key: the flow's key that has the expression, for the error
    :param names: what the expression knows as `$name`
    :raises ConfigFailure: it fails
    """
    try:
        return expression.evaluate(
            message,
            names,
            timeout=TIMEOUT,
            max_depth=MAX_DEPTH,
            max_result_size=MAX_RESULT,
            max_string_length=MAX_RESULT,
        )
    except jlens.JlensError as error:
        raise ConfigFailure(f"`{key}` failed for message {message.get('id')}: {error}") from None
