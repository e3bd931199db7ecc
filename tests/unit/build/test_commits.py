"""The tasks that keep what a step remembers, once all that got its messages have succeeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from played import manifest

from flowmate_airflow.build.dag import build_dag
from flowmate_airflow.build.graph import build_graph
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.load import read_flow
from flowmate_airflow.operators.state import CommitStateOperator

READ = "  - {id: read, use: acme/get}\n"
PLAIN = "  - {id: read, use: plain/get}\n"
SAVED = "  - {id: saved, use: acme/put, on_error: dead_letter}\n"
AFTER = "  - {id: after, use: acme/put}\n"


class _Catalog:
    def get(self, name: str) -> Manifest:
        more: dict[str, Any] = {"triggers": {"get": {"title": "Get"}}} if name == "plain" else {}
        return manifest(name=name, auth={}, **more)


def _dag(steps: str) -> DAG:
    catalog: Any = _Catalog()
    loaded = read_flow(f"flowmate: 1\nid: x\nsteps:\n{steps}".encode(), Path("x.yaml"), catalog)
    assert loaded is not None
    return build_dag(build_graph(loaded, catalog))


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        pytest.param(READ + SAVED, {"read.state": ([], {"saved"})}, id="nobody gets its messages"),
        pytest.param(READ + SAVED + AFTER, {"read.state": (["saved"], {"after"})}, id="with the state before it"),
        pytest.param(PLAIN + SAVED + AFTER, {"saved.letters": (["saved"], {"after"})}, id="without any state"),
        pytest.param(
            READ + SAVED + "  - {id: two, use: acme/put, stream: true, on_error: dead_letter}\n" + AFTER,
            {"read.state": (["saved", "two"], {"after"})},
            id="a pair",
        ),
        pytest.param(
            READ + SAVED + "  - {id: other, use: acme/put, needs: [read]}\n" + AFTER.replace("}", ", needs: [saved]}"),
            {"read.state": (["saved"], {"after", "other"})},
            id="a fork",
        ),
    ],
)
def test_letters_are_settled_with_the_state_or_on_their_own(
    steps: str, found: dict[str, tuple[list[str], set[str]]]
) -> None:
    dag = _dag(steps)
    commits = [task for task in dag.tasks if isinstance(task, CommitStateOperator)]
    assert {task.task_id: (task.letters, set(task.upstream_task_ids)) for task in commits} == found


def test_a_step_whose_messages_nobody_gets_settles_its_letters_itself() -> None:
    alone, followed = _dag(READ + SAVED), _dag(READ + SAVED + AFTER)
    assert getattr(alone.get_task("saved"), "settles_letters", None) is True
    assert getattr(followed.get_task("saved"), "settles_letters", None) is False


def test_a_step_that_keeps_no_letters_any_more_settles_those_it_has_itself() -> None:
    """No task after it would, and the letters would be replayed for ever."""
    followed = _dag(READ + SAVED.replace("dead_letter", "skip") + AFTER)
    assert getattr(followed.get_task("saved"), "settles_letters", None) is True
