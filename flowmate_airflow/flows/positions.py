"""Where a key or a value stands in the text. Built only for files with problems: it costs as much as reading."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from flowmate_airflow.flows.errors import Problem
from flowmate_airflow.flows.yamltext import TextProblem, compose

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of text: 1-based line and column, and how many characters it covers on that line."""

    line: int
    column: int
    width: int


class SourceMap:
    """Finds the places of a flow file's parts and makes problems of them.

    :param file: the file, as problems should name it
    :param text: its text
    """

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._lines = text.splitlines()
        self._root: yaml.Node | None = None

    def problem(
        self, message: str, path: Path, hint: str | None = None, *, at: str = "value", offset: int | None = None
    ) -> Problem:
        """Return a problem at a path such as `("steps", 2, "use")`.

        :param at: `key` or `value` of the path's last part
        :param offset: 0-based offset in characters into the value's text, for an error inside an expression
        """
        place = self._place(path, at, offset)
        source = self._line(place.line)
        return Problem(message, self._file, place.line, place.column, source, place.width, hint)

    def text_problem(self, problem: TextProblem) -> Problem:
        """Return a problem of the YAML itself."""
        source = self._line(problem.line) if problem.line is not None else None
        return Problem(problem.message, self._file, problem.line, problem.column, source, problem.width, problem.hint)

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def _place(self, path: Path, at: str, offset: int | None) -> Place:
        if self._root is None:
            self._root = compose(self._text)
        node, key = self._find(path)
        if node is None:
            return Place(1, 1, 1)
        if offset is not None and isinstance(node, yaml.ScalarNode):
            return self._inside(node, offset)
        return _of_node(key if key is not None and (at == "key" or not isinstance(node, yaml.ScalarNode)) else node)

    def _find(self, path: Path) -> tuple[yaml.Node | None, yaml.Node | None]:
        """Return the node of the path (or of as much of it as exists) and its key's node."""
        node, key = self._root, None
        for part in path:
            if isinstance(node, yaml.MappingNode):
                found = _pair(node, str(part))
                if found is None:
                    break
                key, node = found
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                key, node = None, node.value[part]
            else:
                break
        return node, key

    def _inside(self, node: yaml.ScalarNode, offset: int) -> Place:
        before = node.value[:offset]
        row, rest = before.count("\n"), len(before) - (before.rfind("\n") + 1)
        start = node.start_mark
        if node.style == "|":
            line = start.line + 2 + row
            written, read = self._line(line), [*node.value.split("\n"), ""][row]
            return Place(line, len(written) - len(read.rstrip("\n")) + rest + 1, 1)
        quote = 1 if node.style in ("'", '"') else 0
        written = self._line(start.line + 1)[start.column + quote : node.end_mark.column - quote]
        if start.line != node.end_mark.line or written != node.value:
            return _of_node(node)  # folded or escaped: what was read is not what stands there
        return Place(start.line + 1, start.column + 1 + quote + rest, 1)


def _pair(node: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and value of that name (the last, when it is given twice), merged ones included."""
    own = [(key, value) for key, value in node.value if key.value == name]
    if own:
        return own[-1]
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            found = [_pair(source, name) for source in sources if isinstance(source, yaml.MappingNode)]
            return next((pair for pair in found if pair is not None), None)
    return None


def _of_node(node: yaml.Node) -> Place:
    start, end = node.start_mark, node.end_mark
    width = end.column - start.column if end.line == start.line else 1
    return Place(start.line + 1, start.column + 1, max(1, width))
