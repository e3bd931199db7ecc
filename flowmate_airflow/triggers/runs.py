"""The trigger that waits until runs are over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from flowmate_airflow.triggers.looking import POLL_BROKEN, rest, warn

ACTIVE = ("queued", "running")
"""The states of runs that are not over."""
GROUP = 50
"""How many runs are asked after at once: their ids are in an address, which must not be too long."""
POLL = 1.0
"""Seconds between two looks, twice as many each time, up to the next."""
LONGEST_POLL = 8.0


class RunsOverTrigger(BaseTrigger):
    """Fires when runs of a DAG are over, or gone. It asks after a group of them at a time.

    :param dag_id: the DAG
    :param run_ids: the runs
    """

    def __init__(self, *, dag_id: str, run_ids: Sequence[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dag_id = dag_id
        self.run_ids = list(run_ids)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        kwargs = {"dag_id": self.dag_id, "run_ids": self.run_ids}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event."""
        await rest()
        for start in range(0, len(self.run_ids), GROUP):
            pause = POLL
            while await self._are_active(self.run_ids[start : start + GROUP]):
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_POLL)
        yield TriggerEvent({"over": len(self.run_ids)})  # type: ignore[no-untyped-call]

    async def _are_active(self, run_ids: list[str]) -> bool:
        from airflow.sdk.execution_time.comms import GetDRCount
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        try:
            asked = GetDRCount(dag_id=self.dag_id, run_ids=run_ids, states=list(ACTIVE))
            count = getattr(await SUPERVISOR_COMMS.asend(asked), "count", None)
        except Exception as error:  # it would end the trigger, and fail the task that waits
            warn(f"Runs of {self.dag_id} are asked after again", error)
            await asyncio.sleep(POLL_BROKEN)
            return True
        return count != 0
