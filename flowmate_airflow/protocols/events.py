"""What a running component can tell us, whatever protocol it speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from flowmate_airflow.protocols.streams import Stream

FailureType: TypeAlias = Literal["config", "transient", "system"]
"""Who must act: `config` the flow's author (no retry), `transient` nobody (a retry heals), `system` the component's."""

FAILURE_TYPES: tuple[FailureType, ...] = ("config", "transient", "system")


@dataclass(slots=True)  # not frozen, which takes twice as long to make: there is one for each message
class MessageEvent:
    """One message the component emitted.

    :param line: the message as JSON without a newline, where the component wrote it as it will be kept
    """

    message: dict[str, Any]
    line: bytes | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """What the component says about a stream whose records follow. A later one replaces it."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class FilesEvent:
    """Records that the component has put into files of its own instead of its output.

    :param paths: of the files in its container, a record a line
    :param gzip: whether they are compressed
    :param head: what makes a line of output of a record, before it, and after it comes a closing brace
    """

    paths: Sequence[str]
    gzip: bool
    head: bytes


@dataclass(frozen=True, slots=True)
class StateEvent:
    """What the component wants to be told at its next start: the whole of it. The last one wins."""

    state: Any


@dataclass(frozen=True, slots=True)
class ResultEvent:
    """An input message has done its work, and all that came of it was emitted before.

    :param remote_id: the id that the other system gave
    """

    message_id: str
    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """Records of the input failed, and the component did not say by message id which.

    :param external_id: the record's own id, where the component told it
    :param count: how many
    """

    text: str
    external_id: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class CredentialsEvent:
    """The component changed its credentials or configuration (a rotated token): only what changed, by name."""

    changed: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RenewalEvent:
    """The component asks for new credentials: those it has are over.

    :param rejected: the other system has refused them, so that the clock alone does not tell that they are
    """

    rejected: bool = False


@dataclass(frozen=True, slots=True)
class ReplyEvent:
    """What the component answers to the caller of a webhook: status, headers and body."""

    reply: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckEvent:
    """Whether the credentials and the configuration work."""

    ok: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class CatalogEvent:
    """The streams that a source can read."""

    streams: Sequence[Stream]


@dataclass(frozen=True, slots=True)
class DescribeEvent:
    """What a component says about itself, in its protocol's own form."""

    description: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SubscriptionEvent:
    """The other system sends its events from now on.

    :param subscription: what the component wants to be told when it renews the subscription or takes it back
    :param expires_at: when it ends by itself, with its zone
    :param secret: with which the other system signs, where it was that system that chose it
    """

    subscription: Any = field(repr=False)
    expires_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


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


Event: TypeAlias = (
    MessageEvent
    | StreamEvent
    | FilesEvent
    | StateEvent
    | ResultEvent
    | RejectedEvent
    | ErrorEvent
    | LogEvent
    | ProgressEvent
    | CredentialsEvent
    | RenewalEvent
    | ReplyEvent
    | CheckEvent
    | CatalogEvent
    | DescribeEvent
    | SubscriptionEvent
)


class ProtocolError(Exception):
    """The component broke the protocol, so that nothing it says can be trusted any more."""


class RequestError(Exception):
    """A component cannot be started as the step asks for it: the flow, its state or its `select` must be changed.

    The text says what, where and what to do.
    """
