"""What an image prints when it is started with some arguments: for options that no protocol knows, such as `--help`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.base import Launch
from flowmate_airflow.runtimes.base import Runtime, RuntimeFailure
from flowmate_airflow.steps.jobs import job_for
from flowmate_airflow.steps.runtimes import RuntimeName

MAX_TEXT = 2 * 1024 * 1024
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a program printed, cut off at a bound, and its exit code.

    :param late: it had to be stopped
    """

    code: int
    out: str
    err: str
    late: bool = False

    @property
    def last_line(self) -> str:
        """The last line of its log, else of its output."""
        lines = [line.strip() for line in (self.err if self.err.strip() else self.out).splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


def say(
    runtime: Runtime,
    manifest: Manifest,
    arguments: Sequence[str],
    *,
    runtime_name: RuntimeName = "docker",
    seconds: float = SECONDS,
) -> Said:
    """Start an image with arguments and without input, and return what it prints.

    :raises AuthoringError: it cannot be started
    """
    job = job_for(manifest, Launch(arguments=tuple(arguments)), labels={}, runtime=runtime_name, egress=None)
    texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
    size = 0
    late = threading.Event()
    try:
        with runtime.start(job, ()) as running:

            def end() -> None:
                late.set()
                running.stop()

            timer = threading.Timer(seconds, end)
            timer.start()
            try:
                for stream, line in running.lines():
                    size += len(line) + 1
                    if size <= MAX_TEXT:
                        texts[stream].append(line.decode("utf-8", errors="replace"))
                code = running.wait()
            finally:
                timer.cancel()
                timer.join()  # what it stops must not be closed under it
    except RuntimeFailure as error:
        raise AuthoringError(str(error)) from None
    return Said(code, "\n".join(texts["stdout"]), "\n".join(texts["stderr"]), late.is_set())
