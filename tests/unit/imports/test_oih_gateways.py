"""Logic gateways: which messages reach which steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jlens
import pytest
from imports_harness import Import, ImportOih, flow, loaded, node


def ref(field: str, step: str = "pulled") -> dict[str, Any]:
    return {"type": "ref", "data": {"flowId": 123, "stepId": step, "field": field}}


def equals(field: str, value: Any, step: str = "pulled") -> dict[str, Any]:
    literal = {"type": "string", "data": value}
    return {"type": "operation", "operation": "EQUALS", "key": ref(field, step), "value": literal}


def matches(field: str, pattern: str, flags: str = "") -> dict[str, Any]:
    value = {"type": "regex", "data": {"value": pattern, "flags": flags}}
    return {"type": "operation", "operation": "CONTAINS", "key": ref(field), "value": value}


def run(*steps: str) -> dict[str, Any]:
    return {"command": "run-next-steps", "parameters": [f"123:{step}" for step in steps]}


VOID = {"command": "void", "parameters": []}


def condition(subtype: str, *operands: Any, yes: Any = None, no: Any = None) -> dict[str, Any]:
    actions = {"positive": yes or run("one"), "negative": no or run("two")}
    return {"type": "CONDITION", "subtype": subtype, "operands": list(operands), "actions": actions}


def gateway(rule: Any, id_: str = "gate") -> dict[str, Any]:
    return node(id_, "exec", fields={"rule": rule}, componentId="logicGateway", nodeSettings={"devMode": True})


def branching(rule: Any, *more: str) -> dict[str, Any]:
    nodes = [node("pulled", "pull"), gateway(rule), node("one"), node("two")]
    return flow(nodes, "pulled gate", "gate one", "gate two", *more)


def reaching(result: Import, step: str, *data: Any) -> list[Any]:
    """Return the data of the messages that a step gets."""
    when = jlens.Expression(result.steps()[step].get("when", "true"))
    return [each for each in data if when.evaluate({"id": "1", "data": each})]


A, B, C = {"kind": "a", "size": 1}, {"kind": "b", "size": 1}, {"other": True}


@pytest.mark.parametrize(
    ("rule", "one", "two"),
    [
        (condition("AND", equals("kind", "a")), [A], [B, C]),
        (condition("AND", equals("kind", "b"), equals("size", 1)), [B], [A, C]),
        (condition("OR", equals("kind", "a"), equals("kind", "b")), [A, B], [C]),
        (condition("AND", equals("data.kind", "a")), [A], [B, C]),
        (condition("AND", equals("size", "1")), [], [A, B, C]),
        (condition("AND", equals("other", True)), [C], [A, B]),
        (condition("AND", matches("kind", "^A", "i")), [A], [B, C]),
        (condition("AND", matches("size", "1")), [], [A, B, C]),
        (condition("AND"), [A, B, C], []),
        (condition("OR"), [], [A, B, C]),
        (condition("AND", equals("kind", "a"), no=VOID), [A], []),
        (condition("AND", equals("kind", "a"), yes=run("one", "two"), no=run("two")), [A], [A, B, C]),
        (
            {
                "type": "BRANCHING",
                "subtype": "SWITCH",
                "options": [
                    {**condition("AND", equals("size", 1), equals("kind", "a")), "action": run("one")},
                    {**condition("OR", equals("size", 1)), "action": run("two")},
                ],
                "default": {"action": run("one")},
            },
            [A, C],
            [B],
        ),
    ],
)
def test_messages_take_the_branch_that_the_rule_says(
    import_oih: ImportOih, tmp_path: Path, rule: Any, one: list[Any], two: list[Any]
) -> None:
    result = import_oih(branching(rule))
    assert list(result.steps()) == ["pulled", "one", "two"]
    assert reaching(result, "one", A, B, C) == one
    assert reaching(result, "two", A, B, C) == two
    loaded(result.text(), tmp_path / "catalog")


def test_odd_names_of_fields(import_oih: ImportOih) -> None:
    fields = ["first name", "a.b[1].c", "in", "x-y", "größe", "1st"]
    result = import_oih(branching(condition("AND", *(equals(field, 1) for field in fields))))
    data = {"first name": 1, "a": {"b": [0, {"c": 1}]}, "in": 1, "x-y": 1, "größe": 1, "1st": 1}
    assert reaching(result, "one", data, {**data, "x-y": 2}) == [data]


@pytest.mark.parametrize("field", ["a`) or true or (`b", "`", "", "...", "a\\"])
def test_a_field_cannot_break_out(import_oih: ImportOih, field: str) -> None:
    result = import_oih(branching(condition("AND", equals(field, 'x" or true or "'))))
    with_field = result.steps()["one"]["when"]
    jlens.Expression(with_field)
    if "$error" not in with_field:
        assert reaching(result, "one", A) == []


@pytest.mark.parametrize(
    "rule",
    [
        condition("AND", equals("kind", "a", step="elsewhere")),
        condition("XOR", equals("kind", "a")),
        condition("AND", {**equals("kind", "a"), "operation": "IS_TRUTHY"}),
        condition("AND", {**equals("kind", "a"), "operation": "CONTAINS"}),
        condition("AND", equals("kind", {"x": 1})),
        condition("AND", matches("kind", "(?<=x)[", "")),
        condition("AND", matches("kind", "a", "g")),
        condition("AND", "text"),
        {"type": "BRANCHING", "subtype": "JOIN", "options": []},
        {"type": "CONDITION"},
        "text",
        None,
    ],
)
def test_a_rule_that_cannot_be_written_lets_no_message_by(import_oih: ImportOih, tmp_path: Path, rule: Any) -> None:
    result = import_oih(branching(rule))
    for step in ("one", "two"):
        with pytest.raises(jlens.JlensError, match="condition of the logic gateway 'gate' is missing"):
            reaching(result, step, A)
    assert "gate /graph/nodes/1/fields/rule" in result.err
    assert "fail until their `when` is written by hand" in result.err
    loaded(result.text(), tmp_path / "catalog")


def test_messages_that_also_come_another_way(import_oih: ImportOih, tmp_path: Path) -> None:
    result = import_oih(branching(condition("AND", equals("kind", "a")), "pulled two"))
    steps = result.steps()
    assert steps["two"]["needs"] == ["two_if", "pulled"]
    assert reaching(result, "two_if", A, B) == [B]
    assert "when" not in steps["two"]
    loaded(result.text(), tmp_path / "catalog")


def test_a_gateway_after_a_gateway(import_oih: ImportOih, tmp_path: Path) -> None:
    outer = condition("AND", equals("size", 1), yes=run("inner"), no=VOID)
    inner = condition("AND", equals("kind", "a"))
    nodes = [node("pulled", "pull"), gateway(outer, "outer"), gateway(inner, "inner"), node("one"), node("two")]
    result = import_oih(flow(nodes, "pulled outer", "outer inner", "inner one", "inner two"))
    assert reaching(result, "one", A, B, C, {"kind": "a"}) == [A]
    assert reaching(result, "two", A, B, C) == [B]
    loaded(result.text(), tmp_path / "catalog")


def test_a_step_that_only_the_rule_names(import_oih: ImportOih) -> None:
    nodes = [node("pulled", "pull"), gateway(condition("AND", equals("kind", "a"))), node("one"), node("two")]
    result = import_oih(flow(nodes, "pulled gate", "gate one"))
    assert result.steps()["two"]["needs"] == ["pulled"]
    assert reaching(result, "two", A, B) == [B]


def test_steps_that_are_not_there_and_that_nothing_starts(import_oih: ImportOih) -> None:
    result = import_oih(branching(condition("AND", equals("kind", "a"), yes=run("gone"), no=VOID)))
    assert reaching(result, "one", A, B, C) == reaching(result, "two", A, B, C) == []
    assert "there is no step gone here" in result.err
    assert "nothing starts one, two" in result.err


def test_the_condition_stands_before_the_transform(import_oih: ImportOih) -> None:
    source = branching(condition("AND", equals("kind", "a")))
    source["graph"]["nodes"][2]["nodeSettings"] = {"applyTransform": "before", "transformFunction": '{"data": {}}'}
    steps = import_oih(source).steps()
    assert "when" in steps["one_before"]
    assert "when" not in steps["one"]


def test_a_gateway_with_nothing_before_it(import_oih: ImportOih) -> None:
    result = import_oih(flow([gateway(condition("AND")), node("one"), node("two")], "gate one", "gate two"))
    assert result.code == 1
    assert "the logic gateway gate comes first" in result.err
    assert result.files == {}
