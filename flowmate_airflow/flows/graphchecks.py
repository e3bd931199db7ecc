"""Checks of the steps as a graph: ids once, needs that exist, no circle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowmate_airflow.flows.errors import Problem, did_you_mean
from flowmate_airflow.flows.models import effective_needs
from flowmate_airflow.flows.positions import SourceMap


def check_graph(written: list[Any], source: SourceMap, above: str | None = None) -> Iterator[Problem]:
    """Yield the problems of ids and needs.

    :param written: the `steps` as the file has them
    :param above: what stands above the first step
    """
    ids = [step.get("id") if isinstance(step, dict) else None for step in written]
    if above in ids:
        hint = "the events of the flow's `webhook` have this id; rename the step"
        yield source.problem(f"the id `{above}` is taken", ("steps", ids.index(above), "id"), hint)
    first: dict[str, int] = {}
    for index, id_ in enumerate(ids):
        if not isinstance(id_, str):
            continue
        if id_ in first:
            hint = f"step {first[id_] + 1} has it already; give this one its own"
            yield source.problem(f"the id `{id_}` is taken", ("steps", index, "id"), hint)
        first.setdefault(id_, index)
    yield from _unknown_needs(written, first if above is None else {**first, above: -1}, source)
    yield from _group_clashes(written, first, source)
    cycle = _find_cycle(written, ids, first)
    if cycle:
        index = first[cycle[0]]
        place = ("steps", index, "needs") if "needs" in written[index] else ("steps", index)
        yield source.problem("the steps wait for each other: " + " → ".join(cycle), place, "remove one of these needs")


def _unknown_needs(written: list[Any], known: dict[str, int], source: SourceMap) -> Iterator[Problem]:
    for index, step in enumerate(written):
        needs = step.get("needs") if isinstance(step, dict) else None
        if not isinstance(needs, list):
            continue
        for number, need in enumerate(needs):
            if not isinstance(need, str):
                continue
            if need not in known:
                hint = did_you_mean(need, known)
                yield source.problem(f"there is no step `{need}`", ("steps", index, "needs", number), hint)
            elif need in needs[:number]:
                yield source.problem(f"`{need}` is named twice", ("steps", index, "needs", number), "name it once")


def _group_clashes(written: list[Any], known: dict[str, int], source: SourceMap) -> Iterator[Problem]:
    for index, step in enumerate(written):
        group = step.get("group") if isinstance(step, dict) else None
        if isinstance(group, str) and group in known:
            yield source.problem(
                f"`{group}` is the id of a step and cannot be a group as well", ("steps", index, "group"), "rename it"
            )


def _find_cycle(written: list[Any], ids: list[Any], known: dict[str, int]) -> list[str] | None:
    """Return the ids of a circle, its first id again at the end, or None. No recursion: there may be many steps."""
    pairs = [
        (str(id_), step["needs"] if isinstance(step, dict) and isinstance(step.get("needs"), list) else None)
        for id_, step in zip(ids, written, strict=True)
    ]
    needs = {
        name: [need for need in effective_needs(pairs, index) if isinstance(need, str) and need in known]
        for name, index in known.items()
    }
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        stack = [(start, iter(needs[start]))] if start not in done else []
        while stack:
            name, rest = stack[-1]
            if name not in trail:
                trail.append(name)
            following = next((need for need in rest if need not in done), None)
            if following is None:
                done.add(name)
                trail.pop()
                stack.pop()
            elif following in trail:
                return [*trail[trail.index(following) :], following]
            else:
                stack.append((following, iter(needs[following])))
    return None
