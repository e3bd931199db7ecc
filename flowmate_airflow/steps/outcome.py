"""What a run of a component came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.protocols.events import FailureType
from flowmate_airflow.steps.donelog import DoneLog
from flowmate_airflow.steps.steplog import Progress


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that failed while the step goes on.

    :param message_id: None where the component did not say which message it was
    :param external_id: the record's own id, where that is what the component told
    """

    text: str
    failure_type: FailureType
    message_id: str | None
    external_id: str | None = None


@dataclass(slots=True)
class Outcome:
    """What is known after a component has ended, also when it failed.

    :param state: what it last asked to keep, `None` when `has_state` is false
    :param failures: messages that failed, of a step that goes on without them
    :param done: ids of the messages it has reported as done
    :param undone: those of messages it has reported as failed, whatever else it said of them
    """

    progress: Progress
    state: Any = None
    has_state: bool = False
    failures: list[Failure] = field(default_factory=list)
    done: DoneLog = field(default_factory=DoneLog)
    undone: set[str] = field(default_factory=set)
