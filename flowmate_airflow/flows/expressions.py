"""The two expression languages of a flow, checked before anything runs: Jinja for a run, JSONata for a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jlens

from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.flows.filters import FILTERS

JINJA = re.compile(r"\{\{|\{%|\{#")

RUN_NAMES = frozenset(
    {
        "dag",
        "dag_run",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "inlets",
        "logical_date",
        "macros",
        "outlets",
        "params",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "run_id",
        "start_date",
        "task",
        "task_instance",
        "task_instance_key_str",
        "ti",
        "triggering_asset_events",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "var",
    }
)
"""What a template may name: Airflow's template variables, but for `conn` (credentials come by `connection:`)."""
TENANT_NAMES = RUN_NAMES | {"tenant"}
"""What it may name in a flow with tenants: `tenant.id`, `tenant.config` and `tenant.mapping`, too."""


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """What is wrong with an expression; `offset` is its place in the expression's text, when known."""

    message: str
    hint: str | None = None
    offset: int | None = None


def is_template(value: Any) -> bool:
    """Whether a value of `with` is text that Jinja will render."""
    return isinstance(value, str) and JINJA.search(value) is not None


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield each leaf of nested dicts and lists with its path."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from leaves(child, (*path, index))
    else:
        yield path, value


def check_jsonata(source: str) -> ExpressionProblem | None:
    """Return what is wrong with a JSONata expression, or None."""
    try:
        compile_jsonata(source)
    except jlens.JlensError as error:
        position = getattr(error, "position", None)
        offset = max(0, min(position - 1, len(source) - 1)) if isinstance(position, int) else None
        return ExpressionProblem(f"not valid JSONata: {error}", "the language is described at docs.jsonata.org", offset)
    return None


@lru_cache(maxsize=4096)
def compile_jsonata(source: str) -> jlens.Expression:
    """Return a compiled expression.

    :raises jlens.JlensError: its syntax is wrong
    """
    return jlens.Expression(source)


def check_jinja(source: str, params: Mapping[str, Any], *, tenants: bool = False) -> ExpressionProblem | None:
    """Return what is wrong with a Jinja text, or None.

    :param params: the flow's params, which `params.NAME` may refer to
    :param tenants: whether the flow has tenants, so that `tenant` is known
    """
    known = TENANT_NAMES if tenants else RUN_NAMES
    if _is_surely_right(source, params, known):
        return None
    from jinja2 import TemplateSyntaxError

    try:
        return _jinja_problem(source, params, known)
    except TemplateSyntaxError as error:
        message = str(error.message).rstrip(".")
    except RecursionError:
        message = "it is nested too deep"
    except ValueError as error:  # Jinja reads numbers with int()
        message = str(error).partition(";")[0]
    return ExpressionProblem(f"not valid Jinja: {message}", "text in `{{ … }}` is rendered when the step starts")


_SIMPLE = re.compile(r"[^{}]*(?:\{\{-?\s*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\s*-?\}\}[^{}]*)+", re.ASCII)
_SIMPLE_NAME = re.compile(r"\{\{-?\s*(\w+)(?:\.(\w+))?", re.ASCII)


def _is_surely_right(source: str, params: Mapping[str, Any], known: frozenset[str]) -> bool:
    """Whether a text names only what is known, such as `{{ params.since }}`: most do, and then Jinja is not asked."""
    return _SIMPLE.fullmatch(source) is not None and all(
        name in known and (name != "params" or not part or part in params)
        for name, part in _SIMPLE_NAME.findall(source)
    )


def _jinja_problem(source: str, params: Mapping[str, Any], known: frozenset[str]) -> ExpressionProblem | None:
    from jinja2 import meta, nodes

    tree = _environment().parse(source)
    if next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None) is not None:
        return ExpressionProblem("a text of a flow cannot take in other files", "write the text out")
    names = meta.find_undeclared_variables(tree)
    if "conn" in names:
        return ExpressionProblem(
            "`conn` may not be used in a flow: rendered texts are shown in Airflow's UI",
            "name the Connection under `connection:`; its credentials reach the connector safely",
            _offset_of("conn", source),
        )
    for name in sorted(names - known):
        hint = did_you_mean(name, known) or "Airflow's template variables can be used, such as `ds` or `params.NAME`"
        return ExpressionProblem(f"`{name}` is not known in a template", hint, _offset_of(name, source))
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        param = _param_name(node)
        if param is not None and param not in params:
            hint = did_you_mean(param, params) or "declare it under `params:`"
            return ExpressionProblem(f"the flow has no param `{param}`", hint, _offset_of(param, source))
    return None


def _offset_of(name: str, source: str) -> int:
    match = re.search(rf"\b{re.escape(name)}\b", source)
    return match.start() if match else 0


def _param_name(node: Any) -> str | None:
    from jinja2 import nodes

    if not (isinstance(node.node, nodes.Name) and node.node.name == "params"):
        return None
    if isinstance(node, nodes.Getattr):
        return None if node.attr in {"get", "items", "keys", "values", "dump"} else node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else None


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2.sandbox import SandboxedEnvironment

    # `do` and the filters are what Airflow's own environment adds; templates see nothing else at check time.
    environment = SandboxedEnvironment(extensions=["jinja2.ext.do"])
    environment.filters.update(FILTERS)
    return environment
