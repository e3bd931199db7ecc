"""YAML text to plain values, safely: no tags, no YAML 1.1 surprises, no duplicate keys, no bombs.

The C loader of PyYAML recurses on the C stack and dies of a segmentation fault on deep nesting, so the depth is
bounded before it runs. Scalars follow the YAML 1.2 core schema: `no`, `12:30` and `2026-01-01` stay strings.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 200_000
"""How many values a file may have once its aliases are expanded."""


@dataclass(frozen=True, slots=True)
class TextProblem:
    """Something wrong with the YAML itself. Lines and columns are 1-based."""

    message: str
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    width: int = 1


@dataclass(slots=True)
class YamlResult:
    """The value of a text and what is wrong with the text; `value` is None when nothing could be read."""

    value: Any = None
    problems: list[TextProblem] = field(default_factory=list)


class Loader(yaml.CSafeLoader):
    """CSafeLoader with the YAML 1.2 core schema that remembers duplicate keys."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.duplicates: list[TextProblem] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        if len(node.value) > 1:
            self._note_duplicates(node)
        return super().construct_mapping(node, deep=deep)

    def _note_duplicates(self, node: yaml.MappingNode) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            mark = key.start_mark
            if key.value in seen:
                self.duplicates.append(
                    TextProblem(
                        f"the key `{key.value}` is given twice (first in line {seen[key.value]})",
                        mark.line + 1,
                        mark.column + 1,
                        "keep one of the two",
                        len(key.value),
                    )
                )
            else:
                seen[key.value] = mark.line + 1


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)$", list("-+0123456789.")),
    ("merge", r"^(?:<<)$", ["<"]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _construct_int(loader: Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if digits.startswith("0o"):
        return sign * int(digits[2:], 8)
    return sign * (int(digits, 16) if digits.startswith("0x") else int(digits))


Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse(text: str) -> YamlResult:
    """Return the value of a YAML text, with every problem that the text as YAML has."""
    guard = _depth_problem(text)
    if guard:
        return YamlResult(problems=[guard])
    loader: Loader | None = None
    try:
        loader = Loader(text)
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        return YamlResult(problems=[*(loader.duplicates if loader else ()), _from_yaml(error)])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return YamlResult(problems=[_unreadable(error)])
    finally:
        if loader is not None:
            loader.dispose()
    result = YamlResult(value, loader.duplicates)
    if "&" in text and "*" in text and _expanded_size(value) > MAX_VALUES:
        return YamlResult(
            problems=[
                TextProblem(
                    f"its aliases expand to more than {MAX_VALUES:,} values or to themselves",
                    hint="write the parts out, or use fewer aliases",
                )
            ]
        )
    return result


def compose(text: str) -> yaml.Node | None:
    """Return the node tree of a text that :func:`parse` could read, for finding places in it."""
    return yaml.compose(text, Loader=Loader)


def _depth_problem(text: str) -> TextProblem | None:
    """Bound the nesting: cheaply from the text's brackets and indentation, exactly only when that is suspicious."""
    brackets = text.count("[") + text.count("{")
    indentation = max(
        (len(line) - len(line.lstrip(" ")) + 2 * (line.count("- ") + line.count("? ")) for line in text.splitlines()),
        default=0,
    )
    if brackets + indentation < 4 * MAX_DEPTH:
        return None
    depth = 0
    try:
        for event in yaml.parse(text, Loader=Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                return TextProblem(f"nested more than {MAX_DEPTH} levels deep", *_place(event.start_mark), "flatten it")
    except yaml.MarkedYAMLError as error:
        return _from_yaml(error)
    except yaml.YAMLError as error:
        return _unreadable(error)
    return None


def _place(mark: Any) -> tuple[int | None, int | None]:
    return (None, None) if mark is None else (mark.line + 1, mark.column + 1)


def _from_yaml(error: yaml.MarkedYAMLError) -> TextProblem:
    mark = error.problem_mark or error.context_mark
    what = " ".join(part for part in (error.context, error.problem) if part)
    hint = _SYNTAX_HINTS.get(str(error.problem).split(" '")[0])
    if "could not determine a constructor" in what:
        hint = "YAML tags (`!…`) are not allowed: nothing in a flow is executed or imported"
    return TextProblem(f"not valid YAML: {what}", *_place(mark), hint)


_SYNTAX_HINTS = {
    "mapping values are not allowed in this context": "put quotes around a value that holds `: `",
    "found character that cannot start any token": "indent with spaces, not tabs; quote a value that begins with @ or `",
    "did not find expected key": "check the indentation of this line and the one above",
    "did not find expected ',' or '}'": "quote `{{ … }}` expressions; close the braces",
    "did not find expected": "check the quotes, brackets and indentation above this line",
}


def _unreadable(error: Exception) -> TextProblem:
    reason = getattr(error, "reason", None) or str(error).splitlines()[0]
    return TextProblem(f"not valid YAML: {reason}")


def _expanded_size(value: Any) -> int:
    """Return how many values a value has with its aliases written out; more than MAX_VALUES for a cycle."""
    sizes: dict[int, int] = {}
    open_ids: set[int] = set()

    def size(node: Any) -> int:
        if not isinstance(node, dict | list):
            return 1
        key = id(node)
        if key in open_ids:
            return MAX_VALUES + 1
        if key not in sizes:
            open_ids.add(key)
            children = node.values() if isinstance(node, dict) else node
            sizes[key] = 1 + sum(size(child) for child in children)
            open_ids.remove(key)
        return sizes[key]

    return size(value)
