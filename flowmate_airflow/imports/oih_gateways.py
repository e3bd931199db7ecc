"""The logic gateways of a graph: no steps here, but conditions on the steps that follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowmate_airflow.imports.gateway import Branch, NotConvertible, branches, either
from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.oih_graph import Way, ways_to
from flowmate_airflow.imports.report import ImportProblem, Path, printable

Edge = tuple[str, str]


class Gateways:
    """All gateways of a flow.

    :param places: where each stands among the graph's nodes, by its id
    """

    def __init__(self, ledger: Ledger, places: Mapping[str, int]) -> None:
        self.places = places
        self._ledger = ledger

    def further_edges(self, edges: Sequence[Edge], nodes: Mapping[str, int]) -> list[Edge]:
        """Return the edges that only the gateways' rules speak of."""
        known = dict.fromkeys(edges)
        found: dict[Edge, None] = {}
        for gateway in self.places:
            for name in _named_steps(self._ledger.get(self._rule(gateway))):
                if name in nodes and name != gateway and (gateway, name) not in known:
                    found[(gateway, name)] = None
        return list(found)

    def ways(self, ordered: Sequence[str], edges: Sequence[Edge]) -> dict[str, list[Way]]:
        """Return for each node the ways that lead to it, with the conditions of the gateways on them.

        :raises ImportProblem: a gateway gets no messages
        """
        targets: dict[str, dict[str, str | None]] = {gateway: {} for gateway in self.places}
        for source, target in edges:
            if source in targets:
                targets[source][target] = None
        plain = ways_to(ordered, edges, targets)
        for gateway in self.places:
            sources = sorted({way.source for way in plain[gateway]})
            if not sources:
                raise ImportProblem(
                    f"/graph/nodes/{self.places[gateway]}: the logic gateway {printable(gateway)} comes first, "
                    "and has no messages to look at; let it follow another node"
                )
            self._convert(gateway, sources[0] if len(sources) == 1 else None, targets[gateway])
        return ways_to(ordered, edges, targets)

    def _rule(self, gateway: str) -> Path:
        return ("graph", "nodes", self.places[gateway], "fields", "rule")

    def _convert(self, gateway: str, before: str | None, targets: dict[str, str | None]) -> None:
        """Fill in the condition of each node after a gateway."""
        path = self._rule(gateway)
        rule = self._ledger.get(path)
        self._tell_rest(path[:3])
        try:
            found = branches(rule, before)
        except NotConvertible as error:
            # Without its condition a step must not run: both branches would.
            text = f"the condition of the logic gateway {gateway!a} is missing here"[:200].replace('"', "'")
            targets.update(dict.fromkeys(targets, '$error("' + text.replace("\\", "/") + '")'))
            self._ledger.todo(
                path, f"{printable(str(error))}; the steps after it fail until their `when` is written by hand"
            )
            return
        for target in targets:
            targets[target] = _condition(target, found)
        self._tell(path, found, targets)

    def _tell(self, path: Path, found: list[Branch], targets: Mapping[str, str | None]) -> None:
        message = "it became the `when` of the steps after it; they get the message itself, in OIH it was empty"
        never = [name for name, condition in targets.items() if condition == "false"]
        if never:
            message += f"; nothing starts {', '.join(never)}"
        unknown = sorted({name for branch in found for name in branch.steps} - set(targets))
        if unknown:
            message += f"; there is no step {', '.join(unknown)} here, perhaps in another flow"
        self._ledger.todo_if(never or unknown, path, printable(message))

    def _tell_rest(self, path: Path) -> None:
        node: dict[str, Any] = self._ledger.get(path)
        for key in node:
            if key != "fields":
                self._ledger.info((*path, key), "a logic gateway is no step here, but the `when` of others")
        if "rule" not in (node["fields"] if isinstance(node.get("fields"), dict) else {}):
            self._ledger.take((*path, "fields", "rule"))


def _condition(target: str, found: list[Branch]) -> str | None:
    """Return when a node runs, None for always."""
    conditions = list(dict.fromkeys(branch.condition for branch in found if target in branch.steps))
    if "true" in conditions or any(f"$not({one})" in conditions for one in conditions):
        return None
    conditions = [one for one in conditions if one != "false"]
    return either(conditions) if conditions else "false"


def _named_steps(rule: Any) -> list[str]:
    """Return the steps that any action in a rule names."""
    if not isinstance(rule, dict):
        return []
    options = rule.get("options")
    holders = [rule.get("actions"), rule.get("default"), *(options if isinstance(options, list) else [])]
    actions = [action for holder in holders if isinstance(holder, dict) for action in holder.values()]
    lists = [action.get("parameters") for action in actions if isinstance(action, dict)]
    names = [name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)]
    return [name.rpartition(":")[2] for name in names]
