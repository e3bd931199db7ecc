"""The JSON Schema for editors and the checks say the same, where a schema can say it at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from flowmate_airflow.flows.models import Flow
from flowmate_airflow.flows.schema import flow_schema
from flowmate_airflow.flows.yamltext import parse

FLOWS = Path(__file__).resolve().parents[2] / "flows"
GOOD = sorted((FLOWS / "good").glob("*.yaml"))
_NAMES = (
    "keys_unknown types_wrong values_out_of_bounds steps_missing steps_empty steps_null steps_not_steps "
    "steps_too_many step_without_id ids_wrong on_error_unknown params_name format_2 format_text"
)
STRUCTURE = [FLOWS / "bad" / f"{name}.yaml" for name in _NAMES.split()]


def _validator() -> Any:
    return jsonschema.Draft202012Validator(flow_schema())


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(flow_schema())


def _patterns(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["pattern"]] if isinstance(value.get("pattern"), str) else []
        return own + [found for part in value.values() for found in _patterns(part)]
    return [found for part in value for found in _patterns(part)] if isinstance(value, list) else []


def test_editors_can_read_its_patterns() -> None:
    patterns = _patterns(flow_schema())
    assert patterns
    assert not [pattern for pattern in patterns if re.search(r"\(\?P|\\[AZ]|\(\?[aiLmsux]", pattern)]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_both_take_what_is_good(path: Path) -> None:
    value = parse(path.read_text(encoding="utf-8")).value
    assert not list(_validator().iter_errors(value))
    Flow.model_validate(value)


@pytest.mark.parametrize("path", STRUCTURE, ids=lambda path: path.stem)
def test_both_refuse_what_is_bad(path: Path) -> None:
    value = parse(path.read_text(encoding="utf-8")).value
    assert list(_validator().iter_errors(value))
    with pytest.raises(ValidationError):
        Flow.model_validate(value)


@pytest.mark.parametrize("kind", ["10m", "1h30m", "2d", "", "m", "10", "10m ", "5x", "\u0661m", "1m1h"])
def test_both_read_the_same_durations(kind: str) -> None:
    value = {"flowmate": 1, "timeout": kind, "steps": [{"id": "a", "map": "b"}]}
    by_schema = not list(_validator().iter_errors(value))
    try:
        Flow.model_validate(value)
    except ValidationError:
        by_model = False
    else:
        by_model = True
    assert by_schema == by_model == (kind in ("10m", "1h30m", "2d"))
