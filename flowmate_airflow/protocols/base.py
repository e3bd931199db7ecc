"""The seam between a step and the protocol its component speaks."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flowmate_airflow.protocols.events import (
    CredentialsEvent,
    Event,
    FailureType,
    LogEvent,
    ProtocolError,
    StateEvent,
)
from flowmate_airflow.protocols.streams import Load, SelectedStream, Stream

if TYPE_CHECKING:
    from flowmate_airflow.runtimes.egress.rules import Egress

Verb: TypeAlias = Literal["run", "check", "discover", "describe", "subscribe", "unsubscribe"]

FILES = "/flowmate"
"""The folder in the container where a component finds the files of its :class:`Launch`."""

RENEWS = "renews"
"""The key of a request's context that says whether the component may ask for new credentials while it runs."""

Item: TypeAlias = bytes | Stream | StateEvent
"""What a component is fed: a message as a line of JSON without newline, what its stream looks like, or how far the
source is when all that came before is stored."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one start of a component is asked.

    :param function: the function's name, as the image knows it
    :param config: the rendered `with`
    :param credentials: under the names the manifest declares
    :param state: what the component stored at its last successful run
    :param context: facts about the run
    :param selected: the streams a source shall read; None: it decides itself
    :param incoming: the streams of the messages that a target will get, as far as they are known before the start
    :param load: how a target shall store
    :param egress: the hosts that the credentials may be sent to; it is not told, but seen to. None: any
    """

    verb: Verb = "run"
    function: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Any] = field(default_factory=dict, repr=False)
    state: Any = None
    context: Mapping[str, Any] = field(default_factory=dict)
    selected: Sequence[SelectedStream] | None = None
    incoming: Sequence[Stream] = ()
    load: Load = field(default_factory=Load)
    egress: Egress | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """How the component is started.

    :param arguments: what follows the entry point
    :param entrypoint: instead of the image's own
    :param files: put into the folder :data:`FILES` before the start, by name; the component may change them
    :param read_back: files of that folder that are read when the component has ended
    :param keeps_stdin: whether stdin stays open after the input, for :meth:`Conversation.renewed`
    """

    arguments: Sequence[str]
    entrypoint: Sequence[str] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    read_back: Sequence[str] = ()
    keeps_stdin: bool = False


class Conversation(ABC):
    """Talks with one started component. It remembers what was said, so each start has its own."""

    @abstractmethod
    def launch(self) -> Launch:
        """Return how the component is started."""

    @abstractmethod
    def feed(self, items: Iterable[Item]) -> Iterator[bytes]:
        """Yield the lines of the component's stdin, each with its newline.

        Called in another thread than the rest.

        :param items: the input, read only as fast as the component takes it; none for a trigger
        """

    @abstractmethod
    def take(self, line: bytes) -> Iterable[Event]:
        """Return what a line of stdout, without its newline, means.

        :raises ProtocolError: it is meant as an event but cannot be one
        """

    def renewed(self, credentials: Mapping[str, Any]) -> bytes:
        """Return the line of stdin that answers a :class:`RenewalEvent`.

        :raises ProtocolError: there is none in this protocol
        """
        raise ProtocolError("it asks for new credentials, which its protocol does not know")

    def take_log(self, line: bytes) -> LogEvent:
        """Return what a line of stderr means."""
        return LogEvent(logging.INFO, line.decode("utf-8", errors="backslashreplace"))

    def end(self, code: int, files: Mapping[str, bytes]) -> Iterable[Event]:
        """Return what is known only now that the component has ended.

        :param code: its exit code
        :param files: the files of :attr:`Launch.read_back` that were there
        :raises ProtocolError: what it did cannot be trusted
        """
        return ()

    def changed_credentials(self, files: Mapping[str, bytes]) -> Iterator[Mapping[str, Any]]:
        """Yield what a component that was ended from outside has changed in its configuration.

        :param files: as :meth:`end` takes them
        :raises ProtocolError: they cannot be trusted
        """
        for event in self.end(1, files):
            if isinstance(event, CredentialsEvent):
                yield event.changed

    def failure_type(self, code: int) -> FailureType:
        """Return who must act on an exit code other than zero."""
        return "system"

    def explain(self) -> str:
        """Return the line of its log that says best why it failed; an empty text where the last line is as good."""
        return ""
