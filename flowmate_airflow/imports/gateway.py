"""A logic gateway of OIH as conditions: what its rule says becomes the `when` of the steps that follow."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.flows.expressions import check_jsonata

_PARTS = ("data", "metadata", "attachments", "passthrough")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = ("and", "or", "in", "true", "false", "null", "function")
_NEXT = "run-next-steps"


class NotConvertible(ValueError):
    """The rule says what a condition on one message cannot; the text says what."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Steps that run when a condition holds."""

    condition: str
    steps: list[str]


def is_gateway(node: dict[str, Any]) -> bool:
    """Whether a node is a logic gateway."""
    fields = node.get("fields")
    rule = fields.get("rule") if isinstance(fields, dict) else None
    if isinstance(rule, dict) and rule.get("type") in ("CONDITION", "BRANCHING"):
        return True
    return re.search(r"logic.?gateway", str(node.get("componentId")), re.IGNORECASE) is not None


def branches(rule: Any, before: str | None) -> list[Branch]:
    """Return what a rule lets run, and when.

    :param rule: the gateway's `fields.rule`
    :param before: id of the one node whose messages the gateway gets, None when there are several
    :raises NotConvertible: it cannot be said by conditions on the message at hand
    """
    kind, subtype = _get(rule, "type"), _get(rule, "subtype")
    if kind == "CONDITION":
        condition = _condition(rule, before)
        actions = _get(rule, "actions")
        return [
            Branch(condition, _steps(_get(actions, "positive"))),
            Branch(_not(condition), _steps(_get(actions, "negative"))),
        ]
    if kind == "BRANCHING" and subtype == "SWITCH" and isinstance(rule.get("options"), list):
        found: list[Branch] = []
        earlier: list[str] = []
        for option in rule["options"]:
            condition = _condition(option, before)
            found.append(Branch(_all([*map(_not, earlier), condition]), _steps(_get(option, "action"))))
            earlier.append(condition)
        default = _steps(_get(_get(rule, "default"), "action"))
        return [*found, Branch(_all([_not(one) for one in earlier]), default)]
    raise NotConvertible(f"a rule of the kind {kind} {subtype} is not known")


def either(conditions: list[str]) -> str:
    """Return the condition that one of several holds."""
    return conditions[0] if len(conditions) == 1 else " or ".join(f"({one})" for one in conditions)


def both(first: str | None, second: str | None) -> str | None:
    """Return the condition that two hold; None is no condition."""
    if first is None or second is None or first == second:
        return first or second
    return f"({first}) and ({second})"


def _all(conditions: list[str]) -> str:
    return " and ".join(f"({one})" if " or " in one else one for one in conditions) or "true"


def _not(condition: str) -> str:
    return f"$not({condition})"


def _condition(rule: Any, before: str | None) -> str:
    operands, subtype = _get(rule, "operands"), _get(rule, "subtype")
    if not isinstance(operands, list) or subtype not in ("AND", "OR"):
        raise NotConvertible(f"a condition joined by {subtype} is not known")
    tests = [_test(operand, before) for operand in operands]
    if not tests:
        return "true" if subtype == "AND" else "false"
    return f" {subtype.lower()} ".join(tests)


def _test(operand: Any, before: str | None) -> str:
    operation = _get(operand, "operation")
    key, value = _get(operand, "key"), _get(operand, "value")
    if operation == "EQUALS":
        return f"{_operand(key, before)} = {_operand(value, before)}"
    if operation == "CONTAINS" and _get(value, "type") == "regex":
        left, pattern = _operand(key, before), _regex(_get(value, "data"))
        return f'($type({left}) = "string" ? $contains({left}, {pattern}) : false)'
    if operation == "CONTAINS":
        raise NotConvertible("its CONTAINS has no regular expression; for OIH it was never true")
    raise NotConvertible(f"its operation {operation} is not known; OIH took it as true")


def _operand(value: Any, before: str | None) -> str:
    if _get(value, "type") == "ref":
        return _reference(_get(value, "data"), before)
    data = _get(value, "data")
    if data is None or isinstance(data, dict | list):
        raise NotConvertible("it compares with what is no text, number, true or false")
    return json.dumps(data, ensure_ascii=False)


def _reference(data: Any, before: str | None) -> str:
    step, path = _get(data, "stepId"), _get(data, "field")
    if before is None or str(step) != before:
        raise NotConvertible(f"it looks at the data of the step {step}, which are not in the message at hand")
    names = [name for name in re.split(r"[.\[\]'\"]", path) if name] if isinstance(path, str) else []
    if not names or any("`" in name for name in names):
        raise NotConvertible("it names no field")
    if names[0] not in _PARTS:
        names.insert(0, "data")
    made = names[0]
    for name in names[1:]:
        plain = _NAME.fullmatch(name) and name not in _WORDS
        made += f"[{name}]" if re.fullmatch("[0-9]{1,9}", name) else f".{name}" if plain else f".`{name}`"
    return made


def _regex(data: Any) -> str:
    pattern, flags = _get(data, "value"), _get(data, "flags") or ""
    if not isinstance(pattern, str) or not pattern or not isinstance(flags, str) or not set(flags) <= set("im"):
        raise NotConvertible("its regular expression cannot be written in JSONata")
    made = "/" + re.sub(r"\\?/", r"\\/", pattern) + "/" + flags
    if "\n" in pattern or check_jsonata(made) is not None:
        raise NotConvertible("its regular expression cannot be written in JSONata")
    return made


def _steps(action: Any) -> list[str]:
    """Return the ids of the steps that an action starts: OIH's orchestrator knows one command that starts any."""
    parameters = _get(action, "parameters")
    if _get(action, "command") != _NEXT:
        return []
    if not isinstance(parameters, list) or not all(isinstance(item, str) for item in parameters):
        raise NotConvertible("its action names no steps")
    return [item.rpartition(":")[2] for item in parameters]


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
