"""What is wrong with a flow file, and how it is told.

FlowError
└── FlowFileError    the author must change a file; carries every problem found in it
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class FlowError(Exception):
    """Base of all errors about flows."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to change in a file.

    :param message: what is wrong
    :param file: the file, as it should be shown
    :param line: 1-based, `None` when the problem has no place in the text
    :param column: 1-based, in characters
    :param source: the text of that line
    :param width: how many characters the caret underlines
    :param hint: what to do
    """

    message: str
    file: str
    line: int | None = None
    column: int | None = None
    source: str | None = None
    width: int = 1
    hint: str | None = None

    @property
    def place(self) -> str:
        """`file:line:column`, as far as known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def report(self) -> str:
        """Return the problem as an editor-clickable line, the source line with a caret, and what to do."""
        lines = [f"{self.place}: {self.message}"]
        if self.source is not None and self.line is not None and self.column is not None:
            source, column = _window(self.source, self.column)
            number = str(self.line)
            underline = "^" * max(1, min(self.width, len(source) - column + 1))
            lines.append(f"  {number} | {source}")
            lines.append(f"  {' ' * len(number)} | {' ' * (column - 1)}{underline}")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the problem for machines (`flowmate lint --format json`)."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "message": self.message,
            "hint": self.hint,
        }


class FlowFileError(FlowError):
    """A file that cannot become a DAG.

    :param problems: all that is wrong with it, in the order of the text
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.file, p.line or 0, p.column or 0, p.message)))
        super().__init__(self.report())

    def report(self) -> str:
        """Return all problems as text."""
        count = len(self.problems)
        head = f"{count} {'problem' if count == 1 else 'problems'} in {self.problems[0].file}"
        return "\n\n".join([head, *(problem.report() for problem in self.problems)])


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a hint naming the known words nearest to `word`, or all of them when they are few, or None."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"`{candidate}`" for candidate in near) + "?"
    if words and len(words) <= 12:
        return "known: " + ", ".join(words)
    return None


def shown(value: Any) -> str:
    """Return a value as its author wrote it, shortened: JSON's words for scalars, only the kind of the rest."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"


_CONTROL = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")


def _window(source: str, column: int, width: int = 120) -> tuple[str, int]:
    """Cut a long source line around the column; tabs become spaces so that the caret stays in its place.

    Control characters, which could steer the reader's terminal, are shown as what they are: unreadable.
    """
    source = source.replace("\t", " ").translate(_CONTROL)
    if len(source) <= width:
        return source, column
    start = max(0, column - 1 - width // 2)
    cut = source[start : start + width]
    prefix = "…" if start else ""
    suffix = "…" if start + width < len(source) else ""
    return f"{prefix}{cut}{suffix}", column - start + len(prefix)
