"""What the operators of all kinds of steps share: messages in, a batch out, failures as Airflow knows them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from flowmate_airflow.batches.batch import BatchError, BatchWriter, StorageFailure, read_batch
from flowmate_airflow.batches.message import Message
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.settings import SettingError, folder_setting, int_setting, setting
from flowmate_airflow.steps.errors import ConfigFailure, TransientFailure
from flowmate_airflow.steps.mapping import pick_messages

log = logging.getLogger(__name__)


def input_messages(context: Any, inputs: Iterable[str], when: str | None) -> Iterator[Message]:
    """Return the messages of the steps before this one, in their order, without those that `when` leaves out.

    :raises AirflowSkipException: there is none, so the step has nothing to do
    """
    task_instance = context["ti"]
    # All at once: the messages are read in a thread, from which a task must not talk to its supervisor.
    values = [task_instance.xcom_pull(task_ids=step) for step in inputs]
    # A mapped task has a batch for each of its instances.
    each = chain.from_iterable(value if isinstance(value, list) else [value] for value in values)
    batches = (read_batch(value) for value in each if value is not None)
    messages = pick_messages(when, chain.from_iterable(batches))
    first = next(messages, None)
    if first is None:
        raise AirflowSkipException("no messages: the step has nothing to do")
    return chain([first], messages)


def batch_writer(context: Any) -> BatchWriter:
    """Return the writer of the batch that this task hands on."""
    task_instance = context["ti"]
    base = setting("batch_url") or str(folder_setting("batch_url", "flowmate/batches"))
    parts = (task_instance.dag_id, task_instance.run_id, task_instance.task_id, str(task_instance.map_index))
    return BatchWriter(Storage(base, parts, task_instance.try_number), int_setting("inline_limit"))


def message_id_prefix(context: Any) -> str:
    """Return how the ids of a step's new messages begin: the same at every try, so that a repeated message is known."""
    task_instance = context["ti"]
    place = "\0".join((task_instance.dag_id, task_instance.run_id, task_instance.task_id, str(task_instance.map_index)))
    return hashlib.sha256(place.encode()).hexdigest()[:16]


@contextmanager
def airflow_failures(writer: BatchWriter) -> Iterator[None]:
    """Turn a step's failures into Airflow's, and forget the batch of a step that failed."""
    try:
        yield
    except BaseException as error:
        writer.abort()
        if isinstance(error, ConfigFailure | BatchError | SettingError):
            raise AirflowFailException(str(error)) from None
        if isinstance(error, TransientFailure | StorageFailure):
            raise AirflowException(str(error)) from None
        raise
