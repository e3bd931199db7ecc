"""Field maps that do not come from a flow file, and what each form of them means."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from flowmate_airflow.flows.fieldmaps import Choice, check_field_map, choice_of
from flowmate_airflow.flows.schema import flow_schema

GOOD: list[tuple[Any, Choice]] = [
    ("*", Choice(True, True)),
    (True, Choice(True, True)),
    (["*"], Choice(True, True)),
    (False, Choice(False, True)),
    (["id", "customer.email", "id"], Choice(True, False, ("id", "customer.email"))),
    (["*", "!secret", "!a.b"], Choice(True, True, (), ("secret", "a.b"))),
    ({"name": "Contact", "selected": ["Id"]}, Choice(True, False, ("Id",), (), "Contact")),
    ({"selected": ["*"]}, Choice(True, True)),
    ({"selected": []}, Choice(False)),
]
BAD: list[tuple[Any, str]] = [
    ("id", "write `[id]` for that field"),
    (None, "nothing is no choice of fields"),
    (3, "3 is no choice of fields"),
    ([], "at least 1"),
    ([1], "select.t.0: "),
    (["!x"], 'add `"*"` to it'),
    (["*", "!*"], "write `false` for the table"),
    (["id", ""], "select.t.1: "),
    ({"customer": ["id"]}, "such as `customer.id`"),
    ({"name": "t"}, "select.t.selected: "),
]


@pytest.mark.parametrize(("value", "choice"), GOOD, ids=[json.dumps(value) for value, _ in GOOD])
def test_each_form(value: Any, choice: Choice) -> None:
    assert check_field_map({"t": value}) == {"t": value}
    assert choice_of(value) == choice


@pytest.mark.parametrize(("value", "told"), BAD, ids=[json.dumps(value) for value, _ in BAD])
def test_what_is_none_is_told_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=r"^select\.t") as caught:
        check_field_map({"good": "*", "t": value})
    assert told in str(caught.value)


@pytest.mark.parametrize("value", ["*", [], {}, None])
def test_what_is_no_map_at_all(value: Any) -> None:
    with pytest.raises(ValueError, match="select"):
        check_field_map(value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"select\.a: .*; select\.b: "):
        check_field_map({"a": 1, "b": 2})


def _step(select: Any) -> dict[str, Any]:
    return {"flowmate": 1, "steps": [{"id": "a", "use": "shop/ping", "select": select}]}


def test_editors_are_told_the_same() -> None:
    check = jsonschema.Draft202012Validator(flow_schema())
    assert [value for value, _ in GOOD if not check.is_valid(_step({"t": value}))] == []
    # That `!` needs a `*` beside it is more than a schema says.
    wrong = [value for value, _ in BAD if value not in (["!x"], ["*", "!*"])]
    assert [value for value in wrong if check.is_valid(_step({"t": value}))] == []
