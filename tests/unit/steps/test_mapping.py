"""JSONata over messages: what results become, and that no expression runs or grows without end."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from flowmate_airflow.steps import mapping
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.mapping import map_lines, pick_lines

MESSAGE: dict[str, Any] = {
    "id": "m",
    "data": {"a": 1, "list": [1, 2], "none": None, "big": 2**60},
    "metadata": {"s": 1},
}


def _mapped(expression: str, data: Any = None) -> list[tuple[str, Any]]:
    message = {**MESSAGE, "data": data} if data is not None else MESSAGE
    return [(made["id"], made["data"]) for made in map_lines(expression, [orjson.dumps(message)])]


@pytest.mark.parametrize(
    ("expression", "made"),
    [
        ('{"b": data.a}', [("m", {"b": 1})]),
        ("data.list", [("m.0", 1), ("m.1", 2)]),
        ("[data.a]", [("m.0", 1)]),
        ("[1, [2], null]", [("m.0", 1), ("m.1", [2]), ("m.2", None)]),
        ("[]", []),
        ("data.missing", []),
        ("data.none", []),
        ("function($x){$x}", []),
        ("data.a + 1", [("m", 2)]),
        ('"text"', [("m", "text")]),
        ("data.big", [("m", 2**60)]),
        ('"ü😀"', [("m", "ü😀")]),
        ("id", [("m", "m")]),
        ("metadata.s", [("m", 1)]),
    ],
)
def test_results_become_messages(expression: str, made: list[Any]) -> None:
    assert _mapped(expression) == made


def test_the_rest_of_the_message_stays() -> None:
    assert [made["metadata"] for made in map_lines("data.list", [orjson.dumps(MESSAGE)])] == [{"s": 1}, {"s": 1}]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ('$error("no good")', "no good"),
        ('$number("x")', "number"),
        ("1/0", "range"),
        ("($f := function($x){$f($x)}; $f(1))", "timeout"),
        ("($f := function($x){1 + $f($x)}; $f(1))", "overflow"),
        ('$match("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", /^(a+)+$/)', "timeout"),
        ('$pad("", 100000000)', "must not exceed"),
        ("[1..10000000].{}", "limit"),
        ('($g := function($s, $n){$n = 0 ? $s : $g($s & $s, $n - 1)}; $g("a", 40))', "limit"),
        ("$sum([1..100000000])", "must not exceed"),
    ],
)
def test_expressions_are_bounded(monkeypatch: pytest.MonkeyPatch, expression: str, told: str) -> None:
    monkeypatch.setattr(mapping, "TIMEOUT", 0.5)
    monkeypatch.setattr(mapping, "MAX_RESULT", 1024 * 1024)
    with pytest.raises(ConfigFailure, match="failed for message m") as caught:
        _mapped(expression)
    assert told in str(caught.value) or "timeout" in str(caught.value)


def test_when_picks() -> None:
    lines = [orjson.dumps({"id": str(n), "data": {"n": n} if n != 3 else {}}) for n in range(5)]
    assert list(pick_lines("data.n > 1", lines)) == [lines[2], lines[4]]
    assert list(pick_lines(None, lines)) == lines
    assert list(pick_lines("data.missing", lines)) == []


@pytest.mark.parametrize("condition", ["data.n", '"yes"', "[true]", "{}"])
def test_when_is_true_or_false(condition: str) -> None:
    with pytest.raises(ConfigFailure, match="not true or false"):
        list(pick_lines(condition, [b'{"id":"1","data":{"n":1}}']))
