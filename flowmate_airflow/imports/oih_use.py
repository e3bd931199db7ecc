"""Which connector and which function a node of an OIH graph uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.catalog.names import connector_slug, function_slug
from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.oih_models import plain_id
from flowmate_airflow.imports.report import Path

_COMMAND = re.compile(r"(?P<component>[^:]+):(?P<function>[^@:]+)(?:@(?P<version>.*))?")
"""elastic.io's `team/component:function@version`."""
_COMPONENTS = ("componentId", "component_id", "command")


@dataclass(frozen=True, slots=True)
class Used:
    """The connector and the function that a node names.

    :param is_guess: whether the connector's name was made of other names
    :param name: the function as a flow file may have it, empty when nothing was left of it
    :param is_command: whether elastic.io's `command` says it
    """

    connector: str
    is_guess: bool
    name: str
    function: Any
    is_command: bool

    @property
    def use(self) -> str:
        """What a step says under `use`."""
        return f"{self.connector}/{self.name or 'function'}"


def used_by(node: Mapping[str, Any], connectors: Mapping[str, str]) -> Used:
    """Return what a node uses.

    :param connectors: names of connectors by componentId
    """
    component, function = plain_id(node.get("componentId", node.get("component_id"))), node.get("function")
    command = _COMMAND.fullmatch(node["command"]) if isinstance(node.get("command"), str) else None
    if command is not None:
        component, function = component or command["component"], function or command["function"]
    known = connectors.get(component) if isinstance(component, str) else None
    texts = [node.get("name"), str(component).rpartition("/")[2] if command else None, component]
    guesses = (connector_slug(text) for text in texts if isinstance(text, str))
    connector = known or next((name for name in guesses if name), "connector")
    name = function_slug(function) if isinstance(function, str) and function else ""
    return Used(connector, known is None, name or "", function, command is not None)


def take_use(ledger: Ledger, path: Path, connectors: Mapping[str, str]) -> str:
    """Take what a node uses, and return what its step says under `use`."""
    node = ledger.get(path)
    used = used_by(node, connectors)
    guess = "; this is a guess: give its name by --connectors" if used.is_guess else ""
    for key in _COMPONENTS:
        if key in node:
            ledger.todo_if(guess, (*path, key), f"it became the connector `{used.connector}`{guess}")
    if used.name and used.name == used.function and "function" in node:
        ledger.take((*path, "function"))
    elif not used.name or used.name != used.function:
        key = "function" if "function" in node or not used.is_command else "command"
        ledger.todo((*path, key), f"it cannot be a function's name; the step has `{used.use}`")
    if not any(key in node for key in _COMPONENTS):
        ledger.todo((*path, "componentId"), f"the node names no component; `{used.connector}`{guess}")
    return used.use
