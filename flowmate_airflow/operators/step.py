"""What the operators of all kinds of steps share: messages in, a batch out, failures as Airflow knows them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from flowmate_airflow.batches.batch import BatchError, BatchValue, BatchWriter, StorageFailure
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.operators.replay import replay_of
from flowmate_airflow.operators.tenancy import leave_word
from flowmate_airflow.settings import SettingError, folder_setting, int_setting, setting
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.inputs import Input, input_of
from flowmate_airflow.store.errors import StoreError

log = logging.getLogger(__name__)


def step_input(context: Any, inputs: Iterable[str], when: str | None) -> Input:
    """Return the messages of the steps before this one, in their order, without those that `when` leaves out.

    In the run of a replay the messages are the dead letters, for the step that had them.

    :raises AirflowSkipException: there is none, so the step has nothing to do
    """
    replay = replay_of(context)
    if replay is not None and replay.is_at(context):
        return replay.letters(context)
    source = input_of((value for value in _batches_of(context, inputs) if value is not None), when)
    if source.is_empty():
        raise AirflowSkipException("no messages: the step has nothing to do")
    return source


def empty_in_replay(context: Any, inputs: Sequence[str], part: Mapping[str, Any] | None = None) -> BatchValue | None:
    """Return an empty batch for the steps before the one that a replay is for; None for the others.

    They must not be skipped, which would skip all that follow.

    :param part: the batch that a mapped task gets instead of those of `inputs`
    """
    replay = replay_of(context)
    if replay is None or replay.is_at(context):
        return None
    values = _batches_of(context, inputs) if part is None else [part]
    if any(isinstance(value, Mapping) and value.get("count") for value in values):
        return None
    return {"count": 0, "errors": 0, "bytes": 0, "messages": []}


def _batches_of(context: Any, inputs: Iterable[str]) -> Iterator[Any]:
    """Return what the steps before this one have handed on, in their order."""
    # All at once: the messages are read in a thread, from which a task must not talk to its supervisor.
    values = [context["ti"].xcom_pull(task_ids=step) for step in inputs]
    # A mapped task has a batch for each of its instances.
    return chain.from_iterable(value if isinstance(value, list) else [value] for value in values)


def batch_writer(context: Any) -> BatchWriter:
    """Return the writer of the batch that this task hands on."""
    storage = Storage(batch_url(), batch_parts(context), context["ti"].try_number)
    return BatchWriter(storage, int_setting("inline_limit"))


def batch_url() -> str:
    """Return where batches lie."""
    return setting("batch_url") or str(folder_setting("batch_url", "flowmate/batches"))


def batch_parts(context: Any) -> tuple[str, ...]:
    """Return what makes the place of a task's batch unique."""
    task_instance = context["ti"]
    return (task_instance.dag_id, task_instance.run_id, task_instance.task_id, str(task_instance.map_index))


def message_id_prefix(context: Any) -> str:
    """Return how the ids of a step's new messages begin: the same at every try, so that a repeated message is known."""
    return hashlib.sha256("\0".join(batch_parts(context)).encode()).hexdigest()[:16]


@contextmanager
def airflow_failures(writer: BatchWriter | None) -> Iterator[None]:
    """Turn a step's failures into Airflow's, and forget the batch of a step that failed."""
    try:
        yield
    except BaseException as error:
        if writer is not None:
            writer.abort()
        if isinstance(
            error, StepError | BatchError | SettingError | StorageFailure | StoreError | AirflowFailException
        ):
            leave_word(str(error))
        if isinstance(error, ConfigFailure | BatchError | SettingError):
            raise AirflowFailException(str(error)) from None
        if isinstance(error, TransientFailure | StorageFailure):
            raise AirflowException(str(error)) from None
        if isinstance(error, StoreError):
            raise (AirflowException if error.transient else AirflowFailException)(str(error)) from None
        raise
