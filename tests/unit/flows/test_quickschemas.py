"""The quick answers about schemas must never say yes where jsonschema says no."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from flowmate_airflow.flows.quickschemas import surely_fits, surely_schema

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "a", "ab", "string", "integer"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)
TYPES = st.sampled_from(["string", "boolean", "integer", "number", "array", "object", "null"])
SIZES = st.integers(0, 3)


def _schemas(inner: Any) -> Any:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "enum": st.lists(VALUES, max_size=3),
            "default": VALUES,
            "minLength": SIZES,
            "maxLength": SIZES,
            "minItems": SIZES,
            "maxItems": SIZES,
            "minimum": SIZES,
            "maximum": SIZES,
            "exclusiveMinimum": SIZES,
            "exclusiveMaximum": SIZES,
            "required": st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2),
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "items": inner,
            "additionalProperties": inner,
            "pattern": st.just("a"),
            "not": inner,
        },
    )


SCHEMAS = st.recursive(st.booleans() | st.just({}), _schemas, max_leaves=4)


@given(SCHEMAS, VALUES)
def test_a_value_that_surely_fits_is_valid(schema: Any, value: Any) -> None:
    if surely_fits(schema, value):
        assert Draft202012Validator(schema).is_valid(value)


@given(
    st.dictionaries(st.sampled_from(["type", "enum", "minLength", "required", "properties", "items", "title"]), VALUES)
)
def test_a_sure_schema_is_one(schema: Any) -> None:
    if surely_schema(schema):
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "minLength": 1}, "a"),
        ({"enum": ["csv", "json"]}, "csv"),
        ({"type": "object", "additionalProperties": {"enum": ["integer"]}}, {"a": "integer"}),
        ({"type": ["string", "null"]}, None),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}, {"a": 1}),
    ],
)
def test_common_schemas_need_no_library(schema: Any, value: Any) -> None:
    assert surely_schema(schema)
    assert surely_fits(schema, value)
