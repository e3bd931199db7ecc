"""Replays: a run that gives a step its dead letters again, and goes on from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from flowmate_airflow.batches.batch import decoded
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.steps.inputs import Input
from flowmate_airflow.steps.memory import StoreMemory
from flowmate_airflow.store.deadletters import DeadLetter, find
from flowmate_airflow.store.replays import NewFailure, claim, claim_waiting, release, settled
from flowmate_airflow.store.store import open_store

KEY = "flowmate_replay"
"""The key of a run's conf that makes it a replay: `{"step": …, "letters": [ids] or null for all of the step}`."""

SPLIT = ".batches"
"""What follows a step's id in the id of the task that cuts its input into batches."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a run's conf says about a replay."""

    step: str
    ids: tuple[int, ...] | None

    def is_at(self, context: Any) -> bool:
        """Whether the running task is the one whose dead letters are replayed, or cuts them into batches."""
        return str(context["ti"].task_id).removesuffix(SPLIT) == self.step

    def letters(self, context: Any) -> Input:
        """Return the messages of the dead letters, which this run has now for itself.

        :raises AirflowSkipException: there is none
        """
        store, flow, run_id = open_store(), context["ti"].dag_id, context["ti"].run_id
        tenant = tenant_of(context)
        if self.ids is None:
            count = claim_waiting(store, flow, self.step, run_id, tenant)
        else:
            mine = [letter.id for letter in find(store, flow, self.step, tenant, ids=self.ids)]
            count = len(claim(store, mine, run_id))
        if not count:
            raise AirflowSkipException(f"there are no dead letters of `{self.step}` to replay")

        def read() -> Iterator[bytes]:
            for letter in find(store, flow, self.step, tenant, claimed_by=run_id):
                yield orjson.dumps(letter.message)

        return Input(read)

    def settle(self, context: Any) -> int:
        """Remove the letters that the step has succeeded with, and return how many these are."""
        store, flow, run_id = open_store(), context["ti"].dag_id, context["ti"].run_id
        letters = find(store, flow, self.step, tenant_of(context), claimed_by=run_id)
        done = [letter.id for letter in letters]
        settled(store, run_id, done)
        return len(done)


class ReplayMemory(StoreMemory):
    """The memory of a step whose dead letters are replayed: those that fail again stay the letters they were.

    :param settles: whether those that succeed are removed at once; else the run has them until it commits
    """

    def __init__(self, run: StepRun, map_index: int, *, settles: bool = True) -> None:
        super().__init__(run, map_index)
        self._settles = settles
        self._failed: dict[str, DeadLetter] = {}
        self._part: set[int] | None = None

    def take_part(self, source: Input) -> Input:
        """Return the messages of a mapped task whose letters this run has, without those that others have by now.

        :param source: the task's part of the replay; a try that failed has let its letters go
        """
        run = self._run
        wanted = {decoded(line)["id"] for line in source.read()}
        letters = find(self._store, run.flow, run.step, run.tenant)
        ids = [letter.id for letter in letters if letter.message["id"] in wanted]
        self._part = set(claim(self._store, ids, run.run_id))
        mine = {letter.message["id"] for letter in self._letters()}
        return Input(lambda: (line for line in source.read() if decoded(line)["id"] in mine), source.streams)

    def keep_letters(self, letters: Iterable[DeadLetter]) -> None:
        """See :meth:`Memory.keep_letters`."""
        self._failed = {str(letter.message["id"]): letter for letter in letters}

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Settle the letters that succeed in the body; let those wait that fail again: all of them, if it raises."""
        try:
            yield
        except BaseException:
            self._give_up()
            raise
        self._settle()

    def _settle(self) -> None:
        done, failed = [], []
        known = {str(letter.message["id"]) for letter in self._letters()} if self._failed else set()
        # A failure that names none of the letters may be that of any: rather twice than never.
        any_of_them = next((each for name, each in self._failed.items() if name not in known), None)
        for letter in self._letters():
            again = self._failed.get(str(letter.message["id"]), any_of_them)
            if again is not None:
                failed.append(NewFailure(letter.id, again.error, again.failure_type))
            elif self._settles:
                done.append(letter.id)
        settled(self._store, self._run.run_id, done, failed)

    def _give_up(self) -> None:
        if self._part is None:
            release(self._store, self._run.run_id, self._run.flow)
            return
        # Only its own: the others are those of the tasks beside this one.
        mine = [NewFailure(letter.id, letter.error, letter.failure_type) for letter in self._letters()]
        settled(self._store, self._run.run_id, failed=mine)

    def _letters(self) -> Iterator[DeadLetter]:
        run, part = self._run, self._part
        found = find(self._store, run.flow, run.step, run.tenant, claimed_by=run.run_id)
        return (letter for letter in found if part is None or letter.id in part)


def tenant_of(context: Any) -> str:
    """Return the tenant that the run is for, as its conf says; an empty text for none."""
    conf = getattr(context.get("dag_run"), "conf", None)
    tenant = conf.get("tenant") if isinstance(conf, Mapping) else None
    return tenant if isinstance(tenant, str) else ""


def replay_of(context: Any) -> Replay | None:
    """Return what the run replays, None for an ordinary run.

    :raises AirflowFailException: the run's conf says it in a form that is none
    """
    dag_run = context.get("dag_run")
    conf = getattr(dag_run, "conf", None)
    asked = conf.get(KEY) if isinstance(conf, Mapping) else None
    if asked is None:
        return None
    step = asked.get("step") if isinstance(asked, Mapping) else None
    ids = asked.get("letters") if isinstance(asked, Mapping) else None
    good_ids = ids is None or (isinstance(ids, list) and all(type(each) is int and 0 < each < 2**63 for each in ids))
    if not isinstance(step, str) or not good_ids:
        raise AirflowFailException(f"conf `{KEY}` must be an object with `step` and `letters` (a list of ids, or null)")
    known = _steps(context)
    if known and step not in known:
        raise AirflowFailException(f"conf `{KEY}`: the flow has no step `{step}`")
    return Replay(step, None if ids is None else tuple(ids))


def _steps(context: Any) -> set[str]:
    """Return the ids of the flow's steps; the first of a pair is in its task."""
    dag = getattr(context.get("task"), "dag", None)
    tasks = getattr(dag, "tasks", ())
    firsts = {task.first.task_id for task in tasks if hasattr(task, "first")}
    return firsts | {task.task_id for task in tasks}
