"""What becomes of events when the run that took them has ended."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from flowmate_airflow.store.claims import Owner, settle
from flowmate_airflow.store.store import open_store
from flowmate_airflow.triggers.looking import taken_events, warn

log = logging.getLogger(__name__)

DELAY = timedelta(seconds=30)
"""How long an event rests after a run has failed with it; doubled with each run."""
_ENDED: dict[str | None, bool] = {"success": True, "failed": False}


async def settle_runs(endpoint: str, attempts: int) -> None:
    """Settle the events that ended runs have taken at an endpoint: delivered, or released for another run.

    :param attempts: how many runs may fail with an event before it is left as `failed`
    """
    for owner in (await taken_events.seen()).get(endpoint, ()):
        try:
            ended = await _is_well(owner)
            if ended is not None:
                await asyncio.to_thread(_settle, owner, ended, attempts)
        except Exception as error:  # it would end the trigger, and what waits would start no run
            warn(f"What became of {owner} is looked at again", error)


async def _is_well(owner: Owner) -> bool | None:
    """Whether a run has ended well, or not well; None while it has not ended."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.comms import GetDagRunState, GetDRCount
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        answer = await SUPERVISOR_COMMS.asend(GetDagRunState(dag_id=owner.flow, run_id=owner.run_id))
        state = getattr(answer, "state", None)
        return _ENDED.get(getattr(state, "value", state))  # the text of an enumeration is another one
    except AirflowRuntimeError:
        # It is an error whether the run is gone or Airflow is ill; only a count of none means that it is gone.
        counted = await SUPERVISOR_COMMS.asend(GetDRCount(dag_id=owner.flow, run_ids=[owner.run_id]))
        return False if getattr(counted, "count", None) == 0 else None


def _settle(owner: Owner, ok: bool, attempts: int) -> None:
    error = "" if ok else f"the run {owner.run_id} failed"
    settled = settle(open_store(), owner, ok=ok, error=error, max_attempts=attempts, delay=DELAY)
    log.info("Events of %s in the run %s: %s", owner.flow, owner.run_id, settled)
