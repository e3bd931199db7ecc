"""Rendering a step's `with`: Airflow's Jinja, leaf by leaf, where a text that is one expression keeps its type."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, Undefined
from jinja2 import nodes as jinja_nodes
from jinja2.exceptions import TemplateError, UndefinedError

from flowmate_airflow.flows.expressions import is_template
from flowmate_airflow.steps.errors import ConfigFailure


def render(value: Any, context: Any, environment: Environment, place: str = "with") -> Any:
    """Return a value with every text in it rendered.

    `"{{ params.limit }}"` gives the param itself (a number stays one), `"id-{{ params.limit }}"` a text.

    :param environment: Airflow's sandboxed environment
    :param place: the value's path, for errors
    :raises ConfigFailure: a text cannot be rendered
    """
    if isinstance(value, dict):
        return {key: render(child, context, environment, f"{place}.{key}") for key, child in value.items()}
    if isinstance(value, list):
        return [render(child, context, environment, f"{place}.{number}") for number, child in enumerate(value)]
    if not is_template(value):
        return value
    try:
        return _render_text(value, context, environment)
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise ConfigFailure(f"`{place}` cannot be rendered: {error} (in {value!r:.200})") from None


def _render_text(text: str, context: Any, environment: Environment) -> Any:
    body = environment.parse(text).body
    if len(body) == 1 and isinstance(body[0], jinja_nodes.Output) and len(body[0].nodes) == 1:
        expression = text.strip()
        if not isinstance(body[0].nodes[0], jinja_nodes.TemplateData) and expression.startswith("{{"):
            result = environment.compile_expression(expression[2:-2].strip("-+ \n"), undefined_to_none=False)(**context)
            if isinstance(result, Undefined):
                raise UndefinedError(result._undefined_message)
            return result
    return environment.from_string(text).render(context)
