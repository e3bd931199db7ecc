"""The runtime `process`: a Python connector in a virtual environment, for machines without an engine."""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import uuid4

from flowmate_airflow.protocols.base import FILES
from flowmate_airflow.runtimes import launcher
from flowmate_airflow.runtimes.base import Job, Log, OutputLimitExceeded, Running, Runtime, RuntimeFailure, Stream
from flowmate_airflow.runtimes.feeder import Feeder
from flowmate_airflow.runtimes.leftovers import MARK, kill_marked
from flowmate_airflow.runtimes.lines import Output, lingering, show_size
from flowmate_airflow.runtimes.venvs import environment_for

if TYPE_CHECKING:
    from flowmate_airflow.catalog.manifest import PythonProcess

DEFAULT_CACHE = Path("~/.cache/flowmate/venvs")

_CHUNK = 256 * 1024
_FEEDER_JOIN_SECONDS = 5.0
_KILL_SECONDS = 10.0


class ProcessRuntime(Runtime):
    """Run Python connectors as child processes. They can read and write whatever the worker's user can.

    :param log: where the warning and the making of environments are told
    :param sdk_path: the folder that holds the package `flowmate_connector`; None: the connectors don't need
        it
    :param cache: where the virtual environments are kept
    """

    def __init__(self, *, log: Log, sdk_path: Path | None = None, cache: Path = DEFAULT_CACHE) -> None:
        self._log = log
        self._sdk_path = sdk_path
        self._cache = cache

    @contextmanager
    def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
        """See :meth:`Runtime.start`. The thread that calls it must live as long as the context."""
        self._log.warning(
            "this step runs as a plain process, without isolation: its connector can reach all that this "
            "worker can%s. Use it for connectors that you trust, and the docker runtime for all others",
            "" if job.egress is None else ", also other hosts than its manifest lists",
        )
        if job.process is None or job.source is None:
            raise RuntimeFailure(
                f"the connector of the image {job.image} runs in a container only (its manifest has no "
                "`process`): install a container engine and set `[flowmate] runtime = docker`",
                retry=False,
            )
        mark = _mark(job)
        if job.labels and (killed := kill_marked(mark)):
            self._log.warning("killed %d processes, which an earlier try of this task left", killed)
        python = environment_for(job.process.requirements, self._cache.expanduser(), self._log)
        with tempfile.TemporaryDirectory(prefix="flowmate-", ignore_cleanup_errors=True) as home:
            files = Path(home) / "flowmate-files"
            running = _Process(self._open(job, python, home, files, mark), job, files, feed)
            try:
                running.feeder.start()
                yield running
            finally:
                running.close()
                kill_marked(mark)
                if not running.feeder.join(_FEEDER_JOIN_SECONDS):
                    self._log.warning("the step's input still waits for its next message; it is left behind")
                running.release()

    def _open(self, job: Job, python: Path, home: str, files: Path, mark: str) -> subprocess.Popen[bytes]:
        assert job.process is not None
        files.mkdir(mode=0o700)
        for name, content in job.files.items():
            (files / name).write_bytes(content)
        folders = [str(folder.absolute()) for folder in (self._sdk_path, job.source) if folder]
        environment = {
            "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(folders),
            **job.environment,
            MARK: mark,
        }
        ours = (python, launcher.__file__, os.getpid(), job.limits.memory)
        try:
            return subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                [*map(str, ours), _program(job.process, python), *_with_folder(job.arguments, files)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=home,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise RuntimeFailure(f"could not start the code in {job.source}: {error}", retry=True) from error


def _program(process: PythonProcess, python: Path) -> str:
    """Return the module, or the path of the command, that the launcher shall run."""
    return str(python.parent / process.command) if process.command else str(process.module)


def _with_folder(arguments: Sequence[str], files: Path) -> list[str]:
    """Return the arguments with the folder of the job's files as it is here."""
    return [str(files) + word[len(FILES) :] if word.startswith(f"{FILES}/") else word for word in arguments]


def _mark(job: Job) -> str:
    if not job.labels:
        return uuid4().hex
    return hashlib.sha256(json.dumps(dict(job.labels), sort_keys=True).encode()).hexdigest()[:32]


class _Process(Running):
    """A started process and its group."""

    def __init__(self, process: subprocess.Popen[bytes], job: Job, files: Path, feed: Iterable[bytes]) -> None:
        assert process.stdin
        self._files = files
        self._process = process
        self._job = job
        self._stopped = False
        self._lingered = False
        self._reaped = False
        self._stdin = process.stdin.fileno()
        # Becomes readable when the process has ended: something to wait for beside its output, which a child
        # that it left behind may keep open. Also safe to wait for in the handler of a signal, unlike a lock.
        self._ended, self._end = os.pipe()
        self.feeder = Feeder(
            feed, write=self._write, close=process.stdin.close, failed=self._kill, keep=job.keeps_stdin
        )
        threading.Thread(target=self._watch, name="flowmate-watch", daemon=True).start()

    def lines(self) -> Iterator[tuple[Stream, bytes]]:
        """See :meth:`Running.lines`."""
        output = Output(self._job.limits)
        for stream, chunk in self._chunks():
            yield from output.feed(stream, chunk)
        self.feeder.finish()
        if self.feeder.error:
            raise self.feeder.error
        yield from output.finish()

    def wait(self) -> int:
        """See :meth:`Running.wait`. A signal counts as 128 and its number, as in a container."""
        if not self._wait_for_end(self._job.limits.linger):
            self._lingered = True
            self.stop()
        code = self._reap()
        return code if code >= 0 else 128 - code

    def explain_exit(self) -> str | None:
        """See :meth:`Running.explain_exit`."""
        if self._lingered:
            return lingering(self._job.limits)
        if self._stopped:
            return "it was stopped"
        code = self._reap()
        if code >= 0:
            return None
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", maybe because the machine ran out of memory" if name == "SIGKILL" else ""
        return f"{name} ended it{hint}"

    def read_back(self) -> dict[str, bytes]:
        """See :meth:`Running.read_back`."""
        found = {}
        for name in self._job.read_back:
            path, limit = self._files / name, self._job.limits.file
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                content = file.read(limit + 1)
            if len(content) > limit:
                raise OutputLimitExceeded(f"the component's file {name} is larger than {show_size(limit)}")
            found[name] = content
        return found

    @contextmanager
    def open_file(self, path: str) -> Iterator[IO[bytes]]:
        """See :meth:`Running.open_file`."""
        try:
            file = Path(path).open("rb")  # noqa: SIM115
        except OSError as error:
            raise RuntimeFailure(f"the component's file {path} cannot be read: {error.strerror}", retry=False) from None
        with file:
            yield file

    def send(self, line: bytes) -> None:
        """See :meth:`Running.send`."""
        self.feeder.send(line)

    def stop_feeding(self) -> None:
        """See :meth:`Running.stop_feeding`."""
        self.feeder.stop()

    def stop(self) -> None:
        """See :meth:`Running.stop`."""
        if self._reaped:
            return
        self._stopped = True
        self._signal(signal.SIGTERM)
        if not self._wait_for_end(self._job.limits.stop_grace):
            self._kill()
            self._wait_for_end(_KILL_SECONDS)

    def close(self) -> None:
        """Kill what is left of the group."""
        self._kill()
        self._reap()

    def release(self) -> None:
        """Give the pipes back, when the feeder no longer uses its own."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe and (pipe is not self._process.stdin or self.feeder.join(0)):
                with suppress(OSError):
                    pipe.close()
        os.close(self._ended)

    def _chunks(self) -> Iterator[tuple[Stream, bytes]]:
        assert self._process.stdout
        assert self._process.stderr
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ, "stdout")
            selector.register(self._process.stderr, selectors.EVENT_READ, "stderr")
            selector.register(self._ended, selectors.EVENT_READ, "ended")
            streams = 2
            while streams:
                ready = {key.data: key for key, _ in selector.select()}
                ended = ready.pop("ended", None)
                if ended and not ready:
                    return  # all that it wrote has been read; what else holds its output open is not its own
                for stream, key in ready.items():
                    chunk = os.read(key.fd, _CHUNK)
                    if chunk:
                        yield stream, chunk
                    else:
                        selector.unregister(key.fileobj)
                        streams -= 1

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._stdin, view) :]

    def _watch(self) -> None:
        # WNOWAIT leaves a zombie, which keeps the group's number from being given to another one.
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self._signal(signal.SIGKILL)  # like the end of a container's first process
        os.close(self._end)

    def _reap(self) -> int:
        if not self._reaped:
            self._wait_for_end(None)
            self._reaped = True
        return self._process.wait()

    def _wait_for_end(self, timeout: float | None) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ended, selectors.EVENT_READ)
            return bool(selector.select(timeout))

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self._reaped:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
