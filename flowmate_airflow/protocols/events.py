"""What a running component can tell us, whatever protocol it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

FailureType: TypeAlias = Literal["config", "transient", "system"]
"""Who must act: `config` the flow's author (no retry), `transient` nobody (a retry heals), `system` the component's."""

FAILURE_TYPES: tuple[FailureType, ...] = ("config", "transient", "system")


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """One message the component emitted."""

    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StateEvent:
    """What the component wants to be told at its next start. The last one wins."""

    state: Any


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """A failure. With `message_id` one input message failed, without it the whole step did."""

    text: str
    failure_type: FailureType = "system"
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line for the task log, at a level of :mod:`logging`."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far the component is: `done` of `total` (when it knows the total), in its own unit."""

    done: int
    total: int | None = None
    text: str | None = None


Event: TypeAlias = MessageEvent | StateEvent | ErrorEvent | LogEvent | ProgressEvent


class ProtocolError(Exception):
    """The component broke the protocol, so that nothing it says can be trusted any more."""
