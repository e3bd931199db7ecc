"""A transform of OIH and the `map` made of it give the same messages."""

from __future__ import annotations

from typing import Any

import jlens
import pytest

from flowmate_airflow.imports.transforms import BadTransform, as_map, identity

MESSAGES: list[dict[str, Any]] = [
    {"id": "1", "data": {"a": 1, "list": [1, 2], "one": [7], "deep": {"x": "y"}}, "metadata": {"recordUid": "r1"}},
    {"id": "2", "data": {"list": [], "name": 'q"u{o}t(e', "date": "2024/01/02"}},
    {"id": "3", "data": {}},
]
TRANSFORMS = [
    '{"data": {"n": data.a, "m": data.name}, "metadata": metadata}',
    "{'data': {'n': data.a}, 'metadata': $.metadata}",
    '{"data": data, "metadata": metadata}',
    '{"data": data.list, "metadata": metadata}',
    '{"data": data.one, "metadata": metadata}',
    '{"data": [data.one], "metadata": metadata}',
    '{"data": data.deep.x, "metadata": metadata}',
    '{"data": data.a ? {"yes": data.a} : {"no": true}, "metadata": metadata}',
    '{"metadata": metadata, "data": {"half": data.a / 2, "third": (data.a)/3, "last": data.list[1]/2}}',
    '{ /* a } in "words" */ "data": {"t": "}, \\"x\\": {", "u": \'{"\'} , "metadata": metadata }',
    '{"data": {"parts": $split(data.date, /[\\/,{}]/)}, "metadata": metadata}',
    '{"data": $contains(data.name, /", "x": \\{\\}"/) ? {"a": 1} : {"b": /"/}, "metadata": metadata}',
    '{"data": {"back": data.`deep`.`x`, "all": data.*}, "metadata": metadata}',
    '{"data": data ~> |$|{"new": 1}|, "metadata": metadata}',
    "$merge([$, {'data': {'n': data.a}}])",
    "(\n  $x := data.a;\n  {'data': {'n': $x}}\n)",
    "data.a = 1 ? {'data': {'one': true}}",
    "{'data': {'n': data.a}}.{'data': data}",
    "{'metadata': {'oihUid': 'x'}}",
    "{}",
    "{'da' & 'ta': {'n': data.a}}",
    '{"data": $map([1, 2], function($v, $i) {{"v": $v, "i": $i}})}',
    '{"data": {"root": $$.data.a, "in": data.deep.($$.data.a)}}',
]


def by_oih(transform: str, message: dict[str, Any]) -> list[Any]:
    """Return the data of the messages that go on in OIH: one, for whatever is not there at all is an error there."""
    result = jlens.Expression(transform).evaluate(message)
    if result is None:
        return []
    return [result["data"] if isinstance(result, dict) and "data" in result else {}]


def by_map(expression: str, message: dict[str, Any]) -> list[Any]:
    """Return the data of the messages that a `map` step makes: of a list one for each element, else one or none."""
    result = jlens.Expression(expression).evaluate(message)
    return result if isinstance(result, list) else [] if result is None else [result]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_map_gives_what_the_transform_gave(transform: str) -> None:
    made = as_map(transform).map
    for message in MESSAGES:
        mapped = [message["data"]] if made is None else by_map(made, message)
        assert mapped == by_oih(transform, message)


@pytest.mark.parametrize(
    ("transform", "map_"),
    [
        ('{"data": {"n": data.a}, "metadata": metadata}', '{"n": data.a}'),
        ('{ "metadata": $$.metadata , "data": { "n": [1, {"x": 2}] } }', '{ "n": [1, {"x": 2}] }'),
        ('{"data": $.data, "metadata": metadata}', None),
    ],
)
def test_a_plain_transform_becomes_plain(transform: str, map_: str | None) -> None:
    made = as_map(transform)
    assert (made.map, made.warnings) == (map_, [])


@pytest.mark.parametrize(
    ("transform", "warning"),
    [
        ('{"data": {}, "metadata": {"recordUid": data.id}}', "own metadata: those that it makes are lost"),
        ('$merge([$, {"metadata": {"x": 1}}])', "metadata that it changes are lost"),
        ('{"data": {}, "headers": {}}', "`headers` is lost"),
        ('{"data": {"n": body.a}, "metadata": metadata}', "it reads `body`"),
    ],
)
def test_what_is_lost_is_told(transform: str, warning: str) -> None:
    (told,) = as_map(transform).warnings
    assert warning in told


@pytest.mark.parametrize("transform", ["{", '{"data": }', "/unclosed", "data.", "(" * 5000])
def test_what_is_no_jsonata(transform: str) -> None:
    with pytest.raises(BadTransform, match="JSONata"):
        as_map(transform)


@pytest.mark.parametrize("data", [{"a": 1}, [1, [2]], [], "text", 0, False])
def test_a_step_in_between_changes_nothing(data: Any) -> None:
    message = {"id": "1", "data": data, "metadata": {"m": 1}}
    assert by_map(identity(), message) == [data]
