"""What an import has to tell: everything that the flow file does not say by itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from flowmate_airflow.flows.secrets import looks_like_secret

Path: TypeAlias = tuple[str | int, ...]
Level: TypeAlias = Literal["todo", "info"]

MASK = "***"
SHOWN = 300
"""Characters of a value in a line of the report; the JSON report has all of it."""
_TEMPLATE_SIGNS = re.compile(r"\{[{%#]")


class ImportProblem(Exception):
    """A flow, or a whole file, that cannot be imported; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found in the source.

    :param pointer: its place, a JSON pointer into the file
    :param node: the graph's node it belongs to
    :param value: its value, secrets masked
    :param message: what became of it, or what to do by hand
    :param level: `todo` when there is something to do by hand, else `info`
    """

    pointer: str
    node: str | None
    value: Any
    message: str
    level: Level

    def line(self) -> str:
        """Return the finding as one line of printable text."""
        value = json.dumps(self.value, ensure_ascii=False)
        if len(value) > SHOWN:
            value = f"{value[: SHOWN - 1]}…"
        node = f"{self.node} " if self.node is not None else ""
        return printable(f"{node}{self.pointer} = {value}: {self.message}")

    def as_dict(self) -> dict[str, Any]:
        """Return the finding for programs."""
        return {
            "level": self.level,
            "node": self.node,
            "pointer": self.pointer,
            "value": self.value,
            "message": self.message,
        }


def pointer(path: Path) -> str:
    """Return a path as a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def printable(text: str) -> str:
    """Return text that steers no terminal and stays on its line: other characters are written as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def is_secret(key: str | None, value: Any) -> bool:
    """Whether a value of the source is likely a secret.

    Stricter than the check of flow files: `{{` is no template in the source, and a number may be a password too.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return looks_like_secret(key, _TEMPLATE_SIGNS.sub("", str(value)))


def key_for(value: dict[str, Any], key: str) -> str:
    """Return what a child of a mapping is called: of `{key: X-Api-Key, value: …}` the value goes by `X-Api-Key`."""
    if key == "value":
        name = value.get("key", value.get("name"))
        if isinstance(name, str):
            return name
    return key


def masked(value: Any, key: str | None = None) -> Any:
    """Return a value with its secrets masked.

    :param key: the key that the value is under
    """
    if isinstance(value, dict):
        return {name: masked(child, key_for(value, name)) for name, child in value.items()}
    if isinstance(value, list):
        return [masked(child, key) for child in value]
    return MASK if is_secret(key, value) else value
