"""The seam between a step and the place where its component runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from flowmate_airflow.catalog.manifest import PythonProcess
    from flowmate_airflow.runtimes.egress.rules import Egress

Stream: TypeAlias = Literal["stdout", "stderr"]

MIB = 1024 * 1024


class Log(Protocol):
    """What a runtime needs of a logger: the standard library's and Airflow's own both fit."""

    def info(self, msg: str, /, *args: object) -> object: ...
    def warning(self, msg: str, /, *args: object) -> object: ...


class RuntimeFailure(Exception):
    """The runtime could not do its part (no engine, no image, no environment).

    :param message: what happened, where, and what to do, for the task log
    :param retry: whether another try may succeed
    """

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class OutputLimitExceeded(RuntimeFailure):
    """The component wrote more than it may. Not retried: it would do so again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one component may use. Sizes in bytes."""

    memory: int = 512 * MIB
    cpus: float = 1.0
    pids: int = 256
    line: int = 32 * MIB
    """The longest line of stdout: one event. A longer one ends the step."""
    output: int = 16 * 1024 * MIB
    """All of stdout. More ends the step."""
    file: int = 16 * MIB
    """A file that is read back. A larger one is an error."""
    log: int = 4 * MIB
    """All of stderr. More is dropped (and counted), not an error."""
    log_line: int = 16 * 1024
    """The longest stderr line; a longer one is cut."""
    linger: float = 60.0
    """Seconds that a component may go on after both stdout and stderr ended; then it is stopped.

    In a container the init process holds them open, so there they end only with the connection to the engine.
    """
    stop_grace: float = 2.0
    """Seconds between the request to end and the kill. Airflow kills a task five seconds after it asked it to end."""


@dataclass(frozen=True, slots=True)
class Job:
    """One start of a component.

    :param image: the Docker image
    :param arguments: what follows the image's entry point, such as `("run", "get")`
    :param entrypoint: instead of the image's own
    :param files: put into the folder :data:`~flowmate_airflow.protocols.base.FILES` before the start, by name. They
        may hold secrets, and go away with the component
    :param read_back: names of files that :meth:`Running.read_back` returns
    :param source: the connector's folder, for runtimes that run its code without an image
    :param process: how to run that code; None: the connector needs an image
    :param labels: find what a killed worker left behind; the same for every try of one task of one run, and
        for nothing else. Without labels nothing is looked for
    :param read_only: whether the component works with a read-only root file system
    :param user: the numeric user to run as, `None` for the image's own
    :param working_dir: the folder in the image to start in, `None` for the image's own
    :param environment: plain settings, never a secret
    :param keeps_stdin: whether stdin stays open when the feed has ended, for :meth:`Running.send`, until the output
        has ended
    :param egress: the hosts that the component may reach, where a runtime can see to it; None: any
    """

    image: str
    arguments: Sequence[str]
    entrypoint: Sequence[str] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    read_back: Sequence[str] = ()
    source: Path | None = None
    process: PythonProcess | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    read_only: bool = False
    user: str | None = None
    working_dir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    keeps_stdin: bool = False
    egress: Egress | None = None


class Running(ABC):
    """A started component. It ends, and everything of it is removed, when its context ends."""

    @abstractmethod
    def lines(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield each line of stdout and stderr, without the newline, as it comes, until both are closed.

        A last line without a newline counts as a line. Memory stays bounded by :class:`Limits`.

        :raises OutputLimitExceeded: a stdout line or all of stdout is over its limit
        :raises RuntimeFailure: the output broke off although the component did not end
        """

    @abstractmethod
    def wait(self) -> int:
        """Return the exit code; call it after :meth:`lines` is exhausted.

        A component whose output has ended and that goes on is stopped after :attr:`Limits.linger`.

        :raises RuntimeFailure: the runtime no longer knows how the component ended
        """

    @abstractmethod
    def explain_exit(self) -> str | None:
        """Return why the component ended, for the task log, where the runtime knows more than the code.

        Call it after :meth:`wait`. Known are: out of memory, a signal, :meth:`stop`. None: nothing to add.
        """

    @abstractmethod
    def read_back(self) -> Mapping[str, bytes]:
        """Return the files of :attr:`Job.read_back` as the component left them; those that are gone are left out.

        Call it after :meth:`wait`.

        :raises OutputLimitExceeded: one is larger than :attr:`Limits.file`
        :raises RuntimeFailure: they cannot be read
        """

    @abstractmethod
    def open_file(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Return a file of the component opened for reading, from the beginning to the end only, while it runs.

        :param path: as the component knows it
        :raises RuntimeFailure: there is no such file, or it cannot be read
        """

    @abstractmethod
    def send(self, line: bytes) -> None:
        """Write a line to stdin that the feed has not, soon; nothing where stdin is closed already."""

    @abstractmethod
    def stop_feeding(self) -> None:
        """Close stdin after the line being written: the component sees the end of its input. Safe twice."""

    @abstractmethod
    def stop(self) -> None:
        """End the component: ask, wait `stop_grace`, kill. Then :meth:`lines` ends.

        Returns when the component has ended. Safe from another thread or a signal handler, and twice.
        """


class Runtime(ABC):
    """A place to run components in."""

    def left_behind(self, job: Job) -> Sequence[Mapping[str, bytes]]:
        """Return the files of :attr:`Job.read_back` of what an earlier try of the same task left, ended now.

        Only a runtime whose components outlive a killed worker has any.
        """
        return ()

    @abstractmethod
    def start(self, job: Job, feed: Iterable[bytes]) -> AbstractContextManager[Running]:
        """Start a component, feed it from `feed` in the background until that ends, then close its stdin (or
        later: :attr:`Job.keeps_stdin`).

        What an earlier try of the same task left behind (same labels) is removed first. A component that
        closes its stdin early is no error. An exception raised by `feed` is raised by :meth:`Running.lines`.
        When `feed` raises, the component is killed, so that it can't take half its input for all of it.
        The component is gone when the context ends, however it ends.

        :raises RuntimeFailure: the component could not be started
        """
