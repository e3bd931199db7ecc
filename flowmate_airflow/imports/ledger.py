"""Keeping account of a source: what nobody took is reported, so that nothing is dropped in silence."""

from __future__ import annotations

from typing import Any

from flowmate_airflow.imports.report import MASK, Finding, Level, Path, is_secret, masked, pointer

UNKNOWN = "the importer does not know it; nothing was made of it"


class Ledger:
    """The account of one flow's source.

    :param source: the flow as it was read
    :param place: where it stands in its file
    """

    def __init__(self, source: dict[str, Any], place: Path = ()) -> None:
        self.source = source
        self.findings: list[Finding] = []
        self.nodes: dict[int, str] = {}
        """The ids of the graph's nodes by their place, for the findings about them."""
        self._place = place
        self._taken: set[Path] = set()
        self._above: set[Path] = set()

    def get(self, path: Path) -> Any:
        """Return the value at a path, or None."""
        value: Any = self.source
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                return None
        return value

    def take(self, path: Path) -> None:
        """Say that a value, with all in it, is in the flow file now."""
        self._taken.add(path)
        self._above.update(path[:length] for length in range(len(path)))

    def text(self, path: Path) -> str | None:
        """Take a text and return it; what is there but no text is reported, nothing and an empty text are None."""
        value = self.get(path)
        if isinstance(value, str) and value and "\0" not in value:
            if is_secret(str(path[-1]), value):
                self.todo(path, "it looks like a secret and was left out")
                return None
            self.take(path)
            return value
        if value is not None and value != "":
            self.todo(path, "it is not a text that a flow file could hold; it was left out")
        elif self._has(path):
            self.info(path, "it is empty")
        return None

    def todo(self, path: Path, message: str) -> None:
        """Report a value that somebody has to look after by hand."""
        self._report(path, message, "todo")

    def todo_if(self, condition: object, path: Path, message: str) -> None:
        """Report a value that somebody has to look after only on a condition."""
        self._report(path, message, "todo" if condition else "info")

    def info(self, path: Path, message: str) -> None:
        """Report what became of a value."""
        self._report(path, message, "info")

    def secret(self, path: Path, message: str) -> None:
        """Report a secret: its value is masked whatever its key is."""
        self.take(path)
        self._add(path, MASK, message, "todo")

    def close(self) -> None:
        """Report all that was not taken."""
        self._rest((), self.source)

    def _has(self, path: Path) -> bool:
        above = self.get(path[:-1])
        return isinstance(above, dict) and path[-1] in above

    def _report(self, path: Path, message: str, level: Level) -> None:
        self.take(path)
        key = next((part for part in reversed(path) if isinstance(part, str)), None)
        self._add(path, masked(self.get(path), key), message, level)

    def _add(self, path: Path, value: Any, message: str, level: Level) -> None:
        index = path[2] if path[:2] == ("graph", "nodes") and len(path) > 2 else None
        node = self.nodes.get(index) if isinstance(index, int) else None
        self.findings.append(Finding(pointer((*self._place, *path)), node, value, message, level))

    def _rest(self, path: Path, value: Any) -> None:
        if path in self._taken:
            return
        if path not in self._above:
            self.todo(path, UNKNOWN)
            return
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            self._rest((*path, key), child)
