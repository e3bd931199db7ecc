"""The process runtime, with real components of a few lines: well-behaved ones and hostile ones."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from wheels import tiny_wheel

from flowmate_airflow.catalog.manifest import PythonProcess
from flowmate_airflow.runtimes.base import MIB, Job, Limits, OutputLimitExceeded, Running, RuntimeFailure
from flowmate_airflow.runtimes.process import ProcessRuntime

PATIENCE = 60
LABELS = {"flow": "orders", "step": "saved"}
SLEEP = "import time\nwhile True: time.sleep(60)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\n{SLEEP}"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@dataclass
class Result:
    stdout: list[bytes]
    stderr: list[bytes]
    code: int
    explained: str | None


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("venvs")


@pytest.fixture
def runtime(cache: Path) -> ProcessRuntime:
    return ProcessRuntime(log=logging.getLogger("test"), cache=cache)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def make(code: str, *arguments: str, **settings: object) -> Job:
        folder = tmp_path / "connector"
        folder.mkdir(exist_ok=True)
        (folder / "component.py").write_text(textwrap.dedent(code))
        limits = Limits(**{"stop_grace": 0.3, **settings})  # type: ignore[arg-type]
        return Job("acme/none:1", arguments, source=folder, process=PythonProcess(module="component"), limits=limits)

    return make


def collect(running: Running) -> Result:
    out: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    for stream, line in running.lines():
        out[stream].append(line)
    return Result(out["stdout"], out["stderr"], running.wait(), running.explain_exit())


def run(runtime: ProcessRuntime, job: Job, feed: Iterable[bytes] = ()) -> Result:
    with runtime.start(job, feed) as running:
        return collect(running)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ends(process: int) -> bool:
    """Wait for the end of a process that is not ours; one that is being killed may take a moment for it."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], PATIENCE)[0])
    finally:
        os.close(descriptor)


def test_input_arguments_output_log_and_exit_code(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    code = """
        import sys
        print("arguments", *sys.argv[1:])
        for line in sys.stdin:
            print("got", line.strip())
        print("a note", file=sys.stderr)
        sys.exit(75)
    """
    result = run(runtime, job(code, "run", "get"), [b"one\n", b"two\n"])
    assert result == Result([b"arguments run get", b"got one", b"got two"], [b"a note"], 75, None)


def test_a_hundred_thousand_lines_go_through(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    lines = [b"%06d %s\n" % (number, b"x" * 200) for number in range(100_000)]
    result = run(runtime, job("import sys\nfor line in sys.stdin: sys.stdout.write(line)"), lines)
    assert result.stdout == [line[:-1] for line in lines]


def test_the_environment_is_clean_and_the_home_is_temporary(
    runtime: ProcessRuntime, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://secret")
    code = "import json, os, sys\nprint(json.dumps([dict(os.environ), os.getcwd(), sys.path]))"
    environment, folder, path = json.loads(run(runtime, job(code)).stdout[0])
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "FLOWMATE_PROCESS", "LC_CTYPE"}
    assert set(environment) <= allowed
    assert folder == environment["HOME"]
    assert not Path(folder).exists()
    assert not any(entry.endswith("flowmate_airflow/runtimes") for entry in path)


def test_it_says_that_it_does_not_isolate(
    runtime: ProcessRuntime, job: Callable[..., Job], caplog: pytest.LogCaptureFixture
) -> None:
    run(runtime, job("pass"))
    assert [record.levelname for record in caplog.records if "without isolation" in record.message] == ["WARNING"]


def test_a_connector_that_needs_an_image_is_refused(runtime: ProcessRuntime, tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeFailure, match=r"acme/erp:2 runs in a container only .* container engine") as failure,
        runtime.start(Job("acme/erp:2", (), source=tmp_path), []),
    ):
        pass
    assert not failure.value.retry


def test_a_missing_module_is_told_on_stderr(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    wrong = job("pass")
    (wrong.source / "component.py").unlink()  # type: ignore[operator]
    result = run(runtime, wrong)
    assert result.code == 1
    assert b"No module named component" in result.stderr[-1]


def test_a_last_line_without_newline_counts(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    assert run(runtime, job("import sys; sys.stdout.write('a\\nb')")).stdout == [b"a", b"b"]


def test_binary_output_arrives_as_it_is(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    result = run(runtime, job("import sys; sys.stdout.buffer.write(bytes(range(256)) + b'\\r\\n')"))
    assert result.stdout == [bytes(range(10)), bytes(range(11, 256)) + b"\r"]


def test_a_line_of_a_gigabyte_stops_early(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    code = """
        import sys
        for _ in range(1024):
            sys.stdout.write("x" * 1024 * 1024)
    """
    with pytest.raises(OutputLimitExceeded, match="a line of more than 1m"):
        run(runtime, job(code, line=MIB))


def test_endless_output_stops_at_the_limit(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    with pytest.raises(OutputLimitExceeded, match="more than 1m in all"):
        run(runtime, job("while True: print('x' * 100)", output=MIB))


def test_a_flood_on_stderr_is_cut_and_loses_no_message(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    code = """
        import sys
        for number in range(1000):
            sys.stderr.write("noise " * 1000 + "\\n")
        print("the message")
    """
    result = run(runtime, job(code, log=10_000, log_line=100))
    assert result.stdout == [b"the message"]
    assert sum(map(len, result.stderr)) < 1000
    assert b"more bytes of the component's log were dropped" in result.stderr[-1]


ASKS = """
    import sys
    for line in sys.stdin:
        print(line.strip(), flush=True)
        if line == "more\\n":
            break
"""


def test_stdin_that_is_kept_open_takes_more_while_the_output_goes_on(
    runtime: ProcessRuntime, job: Callable[..., Job]
) -> None:
    seen = []
    with runtime.start(replace(job(ASKS), keeps_stdin=True), [b"all\n"]) as running:
        for _, line in running.lines():
            seen.append(line)
            if line == b"all":
                running.send(b"more\n")
        assert running.wait() == 0
    assert seen == [b"all", b"more"]


def test_stdin_that_is_kept_open_ends_with_the_output(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    code = """
        import os, sys
        os.close(1)
        os.close(2)
        sys.stdin.read()
        sys.exit(3)
    """
    assert run(runtime, replace(job(code), keeps_stdin=True), [b"all\n"]) == Result([], [], 3, None)


def test_one_that_waits_for_more_is_gone_with_its_context(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    code = "import os, sys\nprint(os.getpid(), flush=True)\nsys.stdin.read()"
    with runtime.start(replace(job(code), keeps_stdin=True), [b"all\n"]) as running:
        process = int(next(iter(running.lines()))[1])
    assert ends(process)


@pytest.mark.parametrize("code", ["import os; os.close(0); print('done')", "print('done')"])
def test_input_that_nobody_reads_is_no_error(runtime: ProcessRuntime, job: Callable[..., Job], code: str) -> None:
    result = run(runtime, job(code), (b"x" * 100_000 + b"\n" for _ in range(1000)))
    assert (result.stdout, result.code) == ([b"done"], 0)


@pytest.mark.parametrize(
    ("code", "grace", "exit_code"),
    [(STUBBORN, 0.3, 137), (f"print('ready', flush=True)\n{SLEEP}", PATIENCE, 143)],
    ids=["ignores", "obeys"],
)
def test_stop_ends_it_also_from_the_handler_of_a_signal(
    runtime: ProcessRuntime, job: Callable[..., Job], code: str, grace: float, exit_code: int
) -> None:
    with runtime.start(job(code, stop_grace=grace), []) as running:

        def stop(*_: object) -> None:
            running.stop()
            running.stop()

        before = signal.signal(signal.SIGUSR1, stop)
        try:
            seen = []
            for _, line in running.lines():
                seen.append(line)
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert seen == [b"ready"]
        assert running.wait() == exit_code
        assert running.explain_exit() == "it was stopped"
    running.stop()


def test_one_that_never_ends_is_gone_with_its_context(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    code = f"import os\nprint(os.getpid(), flush=True)\n{STUBBORN}"
    with runtime.start(job(code), []) as running:
        process = int(next(running.lines())[1])
        assert is_alive(process)
    assert ends(process)


@pytest.mark.parametrize("new_session", [False, True])
def test_a_child_that_keeps_the_output_open_is_not_waited_for(
    runtime: ProcessRuntime, job: Callable[..., Job], new_session: bool
) -> None:
    code = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                                 start_new_session={new_session})
        print(child.pid)
    """
    result = run(runtime, job(code))
    assert result.code == 0
    assert ends(int(result.stdout[0]))


def test_an_error_of_the_feed_is_raised_and_kills_the_component(
    runtime: ProcessRuntime, job: Callable[..., Job], tmp_path: Path
) -> None:
    done = tmp_path / "took-half-for-all"

    def feed() -> Iterator[bytes]:
        yield b"half\n"
        raise ValueError("the other half is unreadable")

    code = f"import sys, pathlib\nsys.stdin.read()\npathlib.Path({str(done)!r}).touch()"
    with pytest.raises(ValueError, match="unreadable"):
        run(runtime, job(code), feed())
    assert not done.exists()


def test_stop_feeding_lets_it_end_by_itself(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    never = threading.Event()

    def feed() -> Iterator[bytes]:
        yield b"one\n"
        never.wait(PATIENCE)

    code = "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)\nprint('end')"
    with runtime.start(job(code), feed()) as running:
        lines = running.lines()
        assert next(lines) == ("stdout", b"one")
        running.stop_feeding()
        assert list(lines) == [("stdout", b"end")]
        assert running.wait() == 0
        never.set()


def test_a_signal_is_explained(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    result = run(runtime, job("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert (result.code, result.explained) == (139, "SIGSEGV ended it")


def test_memory_over_the_limit_is_refused(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    result = run(runtime, job("x = bytearray(1024 ** 3)", memory=256 * MIB))
    assert result.code == 1
    assert result.stderr[-1] == b"MemoryError"


def test_a_killed_worker_leaves_nothing(cache: Path, job: Callable[..., Job], tmp_path: Path) -> None:
    source = job(f"import os\nprint(os.getpid(), flush=True)\n{STUBBORN}").source
    worker = f"""
import logging, pathlib
from flowmate_airflow.catalog.manifest import PythonProcess
from flowmate_airflow.runtimes.base import Job
from flowmate_airflow.runtimes.process import ProcessRuntime
runtime = ProcessRuntime(log=logging.getLogger(), cache=pathlib.Path({str(cache)!r}))
job = Job("none", (), source=pathlib.Path({str(source)!r}), process=PythonProcess(module="component"))
with runtime.start(job, []) as running:
    for _, line in running.lines():
        print(line.decode(), flush=True)
"""
    started = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert started.stdout
    with started:
        process = int(started.stdout.readline())
        started.kill()
    assert ends(process)


def test_what_an_earlier_try_left_is_killed_and_no_other(
    runtime: ProcessRuntime, job: Callable[..., Job], caplog: pytest.LogCaptureFixture
) -> None:
    sleeper = job(f"import os\nprint(os.getpid(), flush=True)\n{SLEEP}")
    first, other = replace(sleeper, labels=LABELS), replace(sleeper, labels={**LABELS, "map_index": "1"})
    with runtime.start(first, []) as left, runtime.start(other, []) as kept:
        left_process, kept_process = int(next(left.lines())[1]), int(next(kept.lines())[1])
        with runtime.start(first, []) as again:
            assert int(next(again.lines())[1]) != left_process
            assert left.wait() == 137
            assert is_alive(kept_process)
    assert "killed 1 processes" in caplog.text


REWRITES = """
import json, pathlib, sys
path = pathlib.Path(sys.argv[2])
config = json.loads(path.read_text())
path.write_text(json.dumps({**config, "token": "new"}))
print(config["token"], path.parent.stat().st_mode & 0o77, flush=True)
big = path.with_name("big"); big.write_text("x" * int(sys.argv[3]))
path.with_name("linked").symlink_to("/etc/passwd")
print(big, flush=True)
input()
"""


def test_files_go_in_and_come_back_as_the_component_left_them(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    files = {"config.json": b'{"token": "old"}'}
    what = replace(
        job(REWRITES, "--config", "/flowmate/config.json", "10"),
        files=files,
        read_back=("config.json", "gone.json", "linked", "big"),
    )
    with runtime.start(what, [b"go on\n"]) as running:
        lines = [line for _, line in running.lines()]
        assert lines[0] == b"old 0"  # nobody else may read them
        assert running.wait() == 0
        assert running.read_back() == {"config.json": b'{"token": "new"}', "big": b"x" * 10}
        folder = Path(lines[1].decode()).parent
    assert not folder.exists()


def test_a_file_that_comes_back_has_a_limit(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    what = replace(
        job(REWRITES, "--config", "/flowmate/config.json", "5000", file=1000),
        files={"config.json": b'{"token": 1}'},
        read_back=("big",),
    )
    with runtime.start(what, [b"\n"]) as running:
        list(running.lines())
        running.wait()
        with pytest.raises(OutputLimitExceeded, match="big is larger"):
            running.read_back()


def test_a_file_can_be_read_while_the_component_runs(runtime: ProcessRuntime, job: Callable[..., Job]) -> None:
    go_on = threading.Event()

    def feed() -> Iterator[bytes]:
        go_on.wait(PATIENCE)
        yield b"\n"

    what = replace(job(REWRITES, "-", "/flowmate/config.json", "300000"), files={"config.json": b'{"token": 1}'})
    with runtime.start(what, feed()) as running:
        lines = (line for _, line in running.lines())
        next(lines)
        with running.open_file(next(lines).decode()) as file:
            assert len(file.read()) == 300_000
        with pytest.raises(RuntimeFailure, match="No such file"), running.open_file("/none/such"):
            pass
        go_on.set()
        list(lines)


def test_a_command_of_a_requirement_can_be_the_program(
    runtime: ProcessRuntime, job: Callable[..., Job], tmp_path: Path
) -> None:
    process = PythonProcess(command="tiny", requirements=[tiny_wheel(tmp_path)])
    ended = run(runtime, replace(job(""), process=process))
    assert (ended.code, ended.stdout) == (0, [b"42"])
