"""Events that a step in the middle of a flow has taken, and whose run has ended since: others may wait for them.

Those that start runs are settled by :mod:`flowmate_airflow.triggers.settling`, which counts the runs that fail with
them. A step that waits has nothing beside it that would look: its run may be marked, deleted or out of time, or its
worker may have been killed for the last time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from flowmate_airflow.webhooks.inbox import Inbox

Run: TypeAlias = tuple[str, str]
"""A DAG and the id of one of its runs."""


class Runs(Protocol):
    """What is asked of Airflow, :class:`flowmate_airflow.webhooks.directory.Directory`."""

    def starting(self) -> frozenset[str]:
        """Return the endpoints whose events start runs."""

    def ended(self, runs: Collection[Run]) -> Mapping[Run, bool]:
        """Return of some runs those that are over, and whether they went well; one that is gone did not."""


def release(inbox: Inbox, runs: Runs) -> int:
    """Let go of what ended runs have, and return how many of them had something.

    :raises StoreError: the store cannot be written
    """
    taken = inbox.owners()
    if not taken:
        return 0
    starting = runs.starting()
    waiting = {owner for endpoint, found in taken.items() if endpoint not in starting for owner in found}
    ended = runs.ended({(owner.flow, owner.run_id) for owner in waiting}) if waiting else {}
    over = [(owner, ended[run]) for owner in waiting if (run := (owner.flow, owner.run_id)) in ended]
    for owner, is_well in over:
        inbox.settle(owner, ok=is_well)
    return len(over)
