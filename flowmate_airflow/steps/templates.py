"""Rendering a step's `with`: Airflow's Jinja, leaf by leaf, where a text that is one expression keeps its type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from enum import Enum
from math import isfinite
from typing import Any

from jinja2 import Environment, Undefined
from jinja2 import nodes as jinja_nodes
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError
from jinja2.sandbox import SandboxedEnvironment

from flowmate_airflow.flows.expressions import is_template
from flowmate_airflow.steps.errors import ConfigFailure

MAX_TEXT = 1024 * 1024
"""Characters that one text may become."""

_FAILURES = (
    *(TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, MemoryError),
)


def render(value: Any, context: Any, environment: Environment, place: str = "with") -> Any:
    """Return a value with every text in it rendered, as JSON.

    `"{{ params.limit }}"` gives the param itself (a number stays one), `"id-{{ params.limit }}"` a text. A date
    becomes its ISO form.

    :param environment: Airflow's sandboxed environment
    :param place: the value's path, for errors
    :raises ConfigFailure: a text cannot be rendered, becomes too long, or becomes what is no JSON
    """
    return _render(value, context, _bounded(environment), place)


def _render(value: Any, context: Any, environment: Environment, place: str) -> Any:
    if isinstance(value, dict):
        return {key: _render(child, context, environment, f"{place}.{key}") for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_render(child, context, environment, f"{place}.{number}") for number, child in enumerate(value)]
    try:
        if is_template(value):
            return _plain(_render_text(value, context, environment))
        # In a DAG written by hand another task's output may stand here.
        return _plain(value.resolve(context) if hasattr(value, "iter_references") else value)
    except _FAILURES as error:
        raise ConfigFailure(f"`{place}` cannot be rendered: {str(error)[:500]} (in {value!r:.200})") from None


def _render_text(text: str, context: Any, environment: Environment) -> Any:
    body = environment.parse(text).body
    if len(body) == 1 and isinstance(body[0], jinja_nodes.Output) and len(body[0].nodes) == 1:
        expression = text.strip()
        if not isinstance(body[0].nodes[0], jinja_nodes.TemplateData) and expression.startswith("{{"):
            source = expression[2:-2]
            # A dash right beside the braces is Jinja's sign for white space, any other belongs to the expression.
            source = source.removeprefix("-").removesuffix("-")
            result = environment.compile_expression(source.strip(), undefined_to_none=False)(**context)
            if isinstance(result, Undefined):
                raise UndefinedError(result._undefined_message)
            return result
    pieces: list[str] = []
    size = 0
    for piece in environment.from_string(text).generate(context):
        size += len(piece)
        _check_size(size)
        pieces.append(piece)
    return "".join(pieces)


def _plain(value: Any, depth: int = 0) -> Any:
    """Return what an expression gave as JSON: a component gets nothing else."""
    if depth > 100:
        raise ValueError("it is nested too deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and not isinstance(value, Enum):
        if not (-(2**63) <= value < 2**64 if isinstance(value, int) else isfinite(value)):
            raise ValueError("it is a number that JSON does not hold: make a text of it")
        return value
    if isinstance(value, str):
        _check_size(len(value))
        return str(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(child, depth + 1) for key, child in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        _check_size(len(value))
        return [_plain(child, depth + 1) for child in value]
    raise ValueError(f"it gives a {type(value).__name__}, which is no JSON: take a part of it, or make a text of it")


def _bounded(environment: Environment) -> Environment:
    """Return an environment for `with` only: it reads no other files, and a product stays small."""
    bounded = environment.overlay(loader=None)
    if isinstance(bounded, SandboxedEnvironment):
        bounded.intercepted_binops = frozenset({"*", "**"})
        bounded.call_binop = _call_binop  # type: ignore[method-assign]
    return bounded


def _call_binop(context: Any, operator: str, left: Any, right: Any) -> Any:
    if operator == "*":
        for many, factor in ((left, right), (right, left)):
            if isinstance(many, str | bytes | list | tuple) and isinstance(factor, int):
                _check_size(len(many) * factor)
        return left * right
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > 4096:
        raise SecurityError("the power is too large")
    return left**right


def _check_size(size: int) -> None:
    if size > MAX_TEXT:
        raise SecurityError(f"it becomes longer than {MAX_TEXT:,} characters")
