"""YAML text to plain values, safely: no tags, no YAML 1.1 surprises, no duplicate keys, no bombs.

The C loader of PyYAML recurses on the C stack and dies of a segmentation fault on deep nesting, so the depth is
bounded before it runs. Scalars follow the YAML 1.2 core schema: `no`, `12:30` and `2026-01-01` stay strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 50_000
"""How many values a file may have, with its aliases written out."""
_NUMBERS = range(-(2**63), 2**64)
"""The whole numbers that JSON goes through our hands with."""
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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


class Refused(yaml.constructor.ConstructorError):
    """Valid YAML that no flow may hold."""

    def __init__(self, problem: str, mark: Any, hint: str | None = None) -> None:
        super().__init__(None, None, problem, mark)
        self.hint = hint


class Loader(yaml.CSafeLoader):
    """CSafeLoader with the YAML 1.2 core schema that remembers doubtful keys and bounds merges."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in PyYAML

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.problems: list[TextProblem] = []
        self._merged: dict[int, list[Any] | None] = {}
        self._left = MAX_VALUES

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        self._check_keys(node)
        return super().construct_mapping(node, deep=deep)

    def flatten_mapping(self, node: Any) -> None:
        """Put the pairs that `<<` names before the node's own, as PyYAML does, but not without end."""
        if any(key.tag == _MERGE for key, _ in node.value):
            node.value = self._with_merged(node)

    def _with_merged(self, node: Any) -> list[Any]:
        known = self._merged.get(id(node), [])
        if known is None:
            raise Refused("`<<` merges a mapping into itself", node.start_mark)
        if known:
            return known
        self._merged[id(node)] = None
        merged: list[Any] = []
        for source in reversed([part for key, value in node.value if key.tag == _MERGE for part in _sources(value)]):
            pairs = self._with_merged(source)
            self._left -= len(pairs)
            if self._left < 0:
                raise Refused(f"its merges (`<<`) make more than {MAX_VALUES:,} values", source.start_mark)
            merged.extend(pairs)
        merged.extend(pair for pair in node.value if pair[0].tag != _MERGE)
        self._merged[id(node)] = merged
        return merged

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            mark = key.start_mark
            if not isinstance(key, yaml.ScalarNode):
                raise Refused("a key must be text, not a list or a mapping", mark, "put quotes around `{{ … }}`")
            if key.tag == _MERGE:
                continue
            place = (mark.line + 1, mark.column + 1)
            width = max(1, len(key.value))
            if key.tag != "tag:yaml.org,2002:str":
                text = f"the key `{key.value}` is not text"
                self.problems.append(TextProblem(text, *place, "put quotes around it", width))
            if key.value in seen:
                text = f"the key `{key.value}` is given twice (first in line {seen[key.value]})"
                self.problems.append(TextProblem(text, *place, "keep one of the two", width))
            else:
                seen[key.value] = mark.line + 1


class _NulRefusingLoader(Loader):
    """For the rare text that escapes a NUL: PostgreSQL takes none, and a DAG with one ends Airflow's dag processor."""

    def construct_scalar(self, node: Any) -> str:
        value: str = super().construct_scalar(node)
        if "\0" in value:
            raise Refused(r"the character NUL (`\0`) is not allowed", node.start_mark, "remove it")
        return value


_NUL_ESCAPE = re.compile(r"\\(?:0|x00|u0000|U00000000)")
_MERGE = "tag:yaml.org,2002:merge"


def _sources(node: Any) -> list[Any]:
    """Return the mappings that a `<<` names."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for part in nodes:
        if not isinstance(part, yaml.MappingNode):
            raise Refused(
                "`<<` merges mappings only", part.start_mark, "name an anchor of a mapping, such as `*common`"
            )
    return list(nodes)


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)$", list("-+0123456789.")),
    ("merge", r"^(?:<<)$", ["<"]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _construct_int(loader: Loader, node: Any) -> int:
    text = str(loader.construct_scalar(node))
    digits = text.lstrip("+-")
    base = {"0o": 8, "0x": 16}.get(digits[:2], 10)
    try:
        number = int(digits if base == 10 else digits[2:], base) if len(digits) <= 24 else 2**64
    except ValueError:
        raise Refused(f"`{text}` is not a whole number", node.start_mark) from None
    number = -number if text.startswith("-") else number
    if number not in _NUMBERS:
        raise Refused("the number is too large: whole numbers have 64 bits", node.start_mark, "put quotes around it")
    return number


def _construct_float(loader: Loader, node: Any) -> float:
    text = str(loader.construct_scalar(node))
    try:
        number = float(text)
    except ValueError:
        raise Refused(f"`{text:.80}` is not a number", node.start_mark) from None
    if not math.isfinite(number):
        raise Refused("the number is too large", node.start_mark, "put quotes around it")
    return number


def _construct_bool(loader: Loader, node: Any) -> bool:
    text = str(loader.construct_scalar(node)).lower()
    if text not in ("true", "false"):
        raise Refused(f"`{text:.80}` is neither true nor false", node.start_mark)
    return text == "true"


# Only what JSON has, too: `!!binary`, `!!timestamp`, `!!set` and the like are refused as any other tag is.
Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.CSafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "str", "seq", "map")
}
Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
Loader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)


def parse(text: str) -> YamlResult:
    """Return the value of a YAML text, with every problem that the text as YAML has."""
    guard = _guard(text)
    if guard:
        return YamlResult(problems=[guard])
    loader: Loader | None = None
    try:
        loader = (_NulRefusingLoader if _NUL_ESCAPE.search(text) else Loader)(text)
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        return YamlResult(problems=[*(loader.problems if loader else ()), _from_yaml(error, text)])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return YamlResult(problems=[_unreadable(error, text)])
    finally:
        if loader is not None:
            loader.dispose()
    size, depth = _measure(value)
    if size > MAX_VALUES:
        what = f"with its aliases written out the file has more than {MAX_VALUES:,} values, or never ends"
        return YamlResult(problems=[TextProblem(what, hint="write the parts out, or use fewer aliases")])
    if depth > MAX_DEPTH:
        return YamlResult(problems=[TextProblem(f"nested more than {MAX_DEPTH} levels deep", hint="flatten it")])
    return YamlResult(value, loader.problems)


def compose(text: str) -> yaml.Node | None:
    """Return the node tree of a text that :func:`parse` could read, for finding places in it."""
    return yaml.compose(text, Loader=Loader)


def _guard(text: str) -> TextProblem | None:
    """Bound nesting and size: cheaply from the text's punctuation, exactly only when that is suspicious."""
    brackets = text.count("[") + text.count("{")
    indentation = max(
        (len(line) - len(line.lstrip(" ")) + 2 * (line.count("- ") + line.count("? ")) for line in text.splitlines()),
        default=0,
    )
    values = brackets + text.count(",") + text.count(":") + text.count("-") + text.count("?")
    if brackets + indentation < 4 * MAX_DEPTH and values < MAX_VALUES // 2:
        return None
    try:
        return _exactly(text)
    except yaml.MarkedYAMLError as error:
        return _from_yaml(error, text)
    except (yaml.YAMLError, ValueError) as error:
        return _unreadable(error, text)


def _exactly(text: str) -> TextProblem | None:
    depth = values = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            return TextProblem(f"nested more than {MAX_DEPTH} levels deep", *_place(event.start_mark), "flatten it")
        if values > MAX_VALUES:
            what = f"the file has more than {MAX_VALUES:,} values"
            return TextProblem(what, *_place(event.start_mark), "split the flow, and keep data out of it")
    return None


def _place(mark: Any) -> tuple[int | None, int | None]:
    return (None, None) if mark is None else (mark.line + 1, mark.column + 1)


def _from_yaml(error: yaml.MarkedYAMLError, text: str) -> TextProblem:
    mark = error.problem_mark or error.context_mark
    line, column = _place(mark)
    if isinstance(error, Refused):
        return TextProblem(str(error.problem), line, column, error.hint)
    what = str(error.problem or error.context)
    if "could not determine a constructor" in what:
        return TextProblem(
            "a YAML tag (`!…`) is not allowed",
            line,
            column,
            "put quotes around it if it is text, else remove it: nothing in a flow is executed or imported",
        )
    if line is not None and column is not None and _is_tab(text, line, column):
        return TextProblem("a tab cannot indent in YAML", line, column, "indent with spaces")
    if what.startswith("but found another document"):
        return TextProblem("the file holds a second document", line, column, "move what follows `---` to its own file")
    hint = next((hint for start, hint in _SYNTAX_HINTS if what.startswith(start)), None)
    began = error.context_mark
    if began is not None and error.context and began.line + 1 != line:
        what = f"{what}, {error.context} that begins in line {began.line + 1}"
    return TextProblem(f"not valid YAML: {what}", line, column, hint)


def _is_tab(text: str, line: int, column: int) -> bool:
    lines = text.splitlines()
    return line <= len(lines) and lines[line - 1][column - 1 : column] == "\t"


_SYNTAX_HINTS = (
    ("mapping values are not allowed", "put quotes around a value that holds `: `, and check the indentation"),
    (
        "found character that cannot start any token",
        "put quotes around a value that begins with `@`, `%` or a backtick",
    ),
    ("did not find expected key", "check the indentation of this line and the one above"),
    ("did not find expected ',' or '}'", "put quotes around `{{ … }}`, and close the braces"),
    ("did not find expected ',' or ']'", "close the brackets"),
    ("did not find expected '-' indicator", "begin each item of the list with `- `, all at the same indentation"),
    ("found unexpected end of stream", "close the quotes"),
    (
        "found undefined alias",
        "an alias (`*name`) needs its anchor (`&name`) above it; quote text that begins with `*`",
    ),
    ("could not find expected ':'", "write `key: value`, with a space after the colon"),
    ("did not find expected", "check the quotes, brackets and indentation of this line and the one above"),
)
"""How libyaml's texts begin, and what to do."""


def _unreadable(error: Exception, text: str) -> TextProblem:
    bad = _UNPRINTABLE.search(text) if isinstance(error, yaml.reader.ReaderError) else None
    if bad:
        before = text[: bad.start()]
        line, column = len(before.splitlines()) + before.endswith("\n"), bad.start() - before.rfind("\n")
        return TextProblem(
            f"the control character U+{ord(bad[0]):04X} is not allowed", max(1, line), column, "remove it"
        )
    if isinstance(error, RecursionError):
        return TextProblem("its aliases are nested too deep", hint="write the parts out")
    return TextProblem(f"not valid YAML: {str(error).splitlines()[0]}")


def _measure(value: Any) -> tuple[int, int]:
    """Return how many values a value has with its aliases written out, and its depth; no recursion.

    A value that holds itself has more than MAX_VALUES.
    """
    known: dict[int, tuple[int, int]] = {}
    open_ids: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        node, done = stack.pop()
        key = id(node)
        if not isinstance(node, dict | list) or key in known:
            continue
        children = [child for child in (node.values() if isinstance(node, dict) else node)]
        nested = [child for child in children if isinstance(child, dict | list)]
        if not done:
            if key in open_ids:
                return MAX_VALUES + 1, 0
            open_ids.add(key)
            stack.append((node, True))
            stack.extend((child, False) for child in nested)
            continue
        open_ids.discard(key)
        sizes = [known[id(child)] for child in nested]
        size = 1 + len(children) - len(nested) + sum(size for size, _ in sizes)
        known[key] = (min(size, MAX_VALUES + 1), 1 + max((depth for _, depth in sizes), default=0))
    return known.get(id(value), (1, 0))
