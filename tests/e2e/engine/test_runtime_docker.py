"""The docker runtime on a real engine: well-behaved components, hostile ones, and every way to reach an engine."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from docker.tls import TLSConfig

from flowmate_airflow.runtimes.base import MIB, Job, Limits, OutputLimitExceeded, Running, RuntimeFailure
from flowmate_airflow.runtimes.docker import DockerRuntime
from flowmate_airflow.runtimes.hardening import LEFTOVER_LABEL
from flowmate_airflow.runtimes.options import ContainerOptions

IMAGE = os.environ.get("FLOWMATE_BASE_IMAGE", "flowmate-test/base:latest")
SOCKET = "/var/run/docker.sock"
LOG = logging.getLogger("test")
# Of this session alone: others may run the same tests on the same engine.
LABELS = {"flowmate.test": f"runtime-docker-{uuid4().hex}", "step": "saved"}
OFFLINE = ContainerOptions(network="none")
PATIENCE = 60
SLEEP = "import time\nwhile True: time.sleep(60)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\n{SLEEP}"


@dataclass
class Result:
    stdout: list[bytes]
    stderr: list[bytes]
    code: int
    explained: str | None


@pytest.fixture(scope="module")
def client() -> docker.APIClient:
    try:
        found = docker.APIClient(base_url=os.environ.get("DOCKER_HOST", f"unix://{SOCKET}"))
        found.ping()
    except docker.errors.DockerException as error:
        pytest.fail(f"these tests need a Docker engine: {error}")
    if not found.images(IMAGE):
        pytest.fail(f"these tests need the image {IMAGE}, or another one with Python named by FLOWMATE_BASE_IMAGE")
    return found


@pytest.fixture
def runtime(client: docker.APIClient) -> Iterator[DockerRuntime]:
    yield DockerRuntime(client, log=LOG, options=OFFLINE)
    assert not ours(client)


def ours(client: docker.APIClient) -> list[dict[str, object]]:
    return list(client.containers(all=True, filters={"label": f"flowmate.test={LABELS['flowmate.test']}"}))


def job(code: str, **limits: object) -> Job:
    return Job(
        IMAGE,
        ("python3", "-c", code),
        labels=LABELS,
        limits=Limits(**{"stop_grace": 0.5, **limits}),  # type: ignore[arg-type]
    )


def collect(running: Running) -> Result:
    out: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    for stream, line in running.lines():
        out[stream].append(line)
    return Result(out["stdout"], out["stderr"], running.wait(), running.explain_exit())


def run(runtime: DockerRuntime, what: Job, feed: Iterable[bytes] = ()) -> Result:
    with runtime.start(what, feed) as running:
        return collect(running)


def test_input_output_log_and_exit_code(runtime: DockerRuntime) -> None:
    code = """
import sys
for line in sys.stdin: print("got", line.strip())
print("a note", file=sys.stderr)
sys.exit(75)"""
    assert run(runtime, job(code), [b"one\n", b"two\n"]) == Result([b"got one", b"got two"], [b"a note"], 75, None)


def test_stdin_that_is_kept_open_takes_more_while_the_output_goes_on(runtime: DockerRuntime) -> None:
    code = "import sys\nfor line in sys.stdin:\n    print(line.strip(), flush=True)\n    if 'more' in line: break"
    seen = []
    with runtime.start(replace(job(code), keeps_stdin=True), [b"all\n"]) as running:
        for _, line in running.lines():
            seen.append(line)
            if line == b"all":
                running.send(b"more\n")
        assert running.wait() == 0
    assert seen == [b"all", b"more"]


def test_one_that_waits_for_more_is_gone_with_its_context(runtime: DockerRuntime) -> None:
    code = "import sys\nprint('ready', flush=True)\nsys.stdin.read()"
    with runtime.start(replace(job(code), keeps_stdin=True), [b"all\n"]) as running:
        assert next(iter(running.lines())) == ("stdout", b"ready")


def test_the_container_is_hardened(runtime: DockerRuntime, client: docker.APIClient) -> None:
    locked = replace(job("print(input())", memory=64 * MIB, cpus=64.0, pids=17), read_only=True, user="1000:1000")
    go_on = threading.Event()

    def feed() -> Iterator[bytes]:
        go_on.wait(PATIENCE)
        yield b"done\n"

    with runtime.start(locked, feed()) as running:
        found = client.inspect_container(str(ours(client)[0]["Id"]))
        go_on.set()
        assert collect(running).stdout == [b"done"]
    host, config = found["HostConfig"], found["Config"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["LogConfig"]["Type"] == "none"
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (64 * MIB, 64 * MIB, 17)
    assert host["ReadonlyRootfs"]
    assert host["Tmpfs"].keys() == {"/tmp"}
    assert host["Init"]
    assert (config["User"], config["Tty"], config["StdinOnce"]) == ("1000:1000", False, True)


def test_a_read_only_root_leaves_a_small_tmp(runtime: DockerRuntime) -> None:
    code = """
import pathlib
try: pathlib.Path("/var/x").touch()
except OSError as error: print(error.strerror)
pathlib.Path("/tmp/x").write_text("x")
try: pathlib.Path("/tmp/x").write_bytes(bytes(60_000_000))
except OSError as error: print(error.strerror)"""
    result = run(runtime, replace(job(code, memory=100 * MIB), read_only=True))
    assert result.stdout == [b"Read-only file system", b"No space left on device"]


def test_options_reach_the_container(client: docker.APIClient) -> None:
    options = replace(
        OFFLINE,
        environment={"B": "stronger"},
        working_dir="/var",
        hostname="somewhere",
        memory="96m",
        entrypoint=["python3"],
        user="7",
        cap_add=["NET_ADMIN"],
    )
    code = "import os; print(os.getcwd(), os.uname().nodename, os.getuid(), os.environ['A'], os.environ['B'])"
    what = replace(job(code), arguments=("-c", code), environment={"A": "a", "B": "b"})
    with DockerRuntime(client, log=LOG, options=options).start(what, []) as running:
        host = client.inspect_container(str(ours(client)[0]["Id"]))["HostConfig"]
        assert collect(running).stdout == [b"/var somewhere 7 a stronger"]
    assert (host["Memory"], host["CapAdd"]) == (96 * MIB, ["NET_ADMIN"])


def test_a_terminal_is_refused() -> None:
    with pytest.raises(ValueError, match="`tty` can't be true"):
        ContainerOptions(tty=True)


def test_a_hundred_thousand_lines_go_through(runtime: DockerRuntime) -> None:
    lines = [b"%06d %s\n" % (number, b"x" * 200) for number in range(100_000)]
    result = run(runtime, job("import sys\nfor line in sys.stdin: sys.stdout.write(line)"), lines)
    assert result.stdout == [line[:-1] for line in lines]


def test_lines_flushed_one_by_one_go_through(runtime: DockerRuntime) -> None:
    result = run(runtime, job("for number in range(50_000): print(number, flush=True)"))
    assert result.stdout == [b"%d" % number for number in range(50_000)]


def test_binary_output_and_a_last_line_without_newline(runtime: DockerRuntime) -> None:
    result = run(runtime, job("import sys; sys.stdout.buffer.write(bytes(range(256)))"))
    assert result.stdout == [bytes(range(10)), bytes(range(11, 256))]


def test_a_line_of_a_gigabyte_stops_early(runtime: DockerRuntime) -> None:
    code = "import sys\nfor _ in range(1024): sys.stdout.write('x' * 1024 * 1024)"
    with pytest.raises(OutputLimitExceeded, match="a line of more than 1m"):
        run(runtime, job(code, line=MIB))


def test_endless_output_stops_at_the_limit(runtime: DockerRuntime) -> None:
    with pytest.raises(OutputLimitExceeded, match="more than 1m in all"):
        run(runtime, job("while True: print('x' * 100)", output=MIB))


def test_a_flood_on_stderr_is_cut_and_loses_no_message(runtime: DockerRuntime) -> None:
    code = """
import sys
for number in range(1000): sys.stderr.write("noise " * 1000 + "\\n")
print("the message")"""
    result = run(runtime, job(code, log=10_000, log_line=100))
    assert result.stdout == [b"the message"]
    assert sum(map(len, result.stderr)) < 1000
    assert b"more bytes of the component's log were dropped" in result.stderr[-1]


@pytest.mark.parametrize("code", ["import os; os.close(0); print('y' * 300_000)", "print('y' * 300_000)"])
def test_input_that_nobody_reads_is_no_error(runtime: DockerRuntime, code: str) -> None:
    result = run(runtime, job(code), (b"x" * 100_000 + b"\n" for _ in range(1000)))
    assert (result.stdout, result.code) == ([b"y" * 300_000], 0)


@pytest.mark.parametrize("code", [STUBBORN, f"print('ready', flush=True)\n{SLEEP}"], ids=["ignores", "obeys"])
def test_stop_ends_it_also_from_the_handler_of_a_signal(runtime: DockerRuntime, code: str) -> None:
    grace = 0.5 if code == STUBBORN else PATIENCE  # one that obeys may be slow
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
        assert running.wait() == (137 if code == STUBBORN else 143)
        assert running.explain_exit() == "it was stopped"


def test_one_that_never_ends_is_gone_with_its_context(runtime: DockerRuntime, client: docker.APIClient) -> None:
    with runtime.start(job(STUBBORN), []) as running:
        assert next(running.lines()) == ("stdout", b"ready")
    assert not ours(client)


def test_a_child_that_keeps_the_output_open_is_not_waited_for(runtime: DockerRuntime) -> None:
    code = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("done")"""
    result = run(runtime, job(code))
    assert (result.stdout, result.code) == ([b"done"], 0)


def test_an_error_of_the_feed_is_raised(runtime: DockerRuntime) -> None:
    def feed() -> Iterator[bytes]:
        yield b"half\n"
        raise ValueError("the other half is unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        run(runtime, job("import sys; sys.stdin.read(); print('took half for all')"), feed())


def test_stop_feeding_lets_it_end_by_itself(runtime: DockerRuntime) -> None:
    go_on = threading.Event()

    def feed() -> Iterator[bytes]:
        yield b"one\n"
        go_on.wait(PATIENCE)

    code = "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)\nprint('end')"
    with runtime.start(job(code), feed()) as running:
        lines = running.lines()
        assert next(lines) == ("stdout", b"one")
        running.stop_feeding()
        assert list(lines) == [("stdout", b"end")]
        assert running.wait() == 0
        go_on.set()


def test_out_of_memory_is_explained(runtime: DockerRuntime) -> None:
    result = run(runtime, job("x = bytearray(1024 ** 3)", memory=64 * MIB))
    assert result.code == 137
    assert result.explained == "it ran out of memory (limit 64m): raise `limits.memory` in the manifest"


def test_a_killed_worker_s_container_is_removed_at_the_retry_and_no_other(
    runtime: DockerRuntime, client: docker.APIClient
) -> None:
    worker = f"""
import os, docker, logging
from flowmate_airflow.runtimes.base import Job
from flowmate_airflow.runtimes.docker import DockerRuntime
from flowmate_airflow.runtimes.options import ContainerOptions
runtime = DockerRuntime(docker.APIClient(base_url={client_url()!r}), log=logging.getLogger(),
                        options=ContainerOptions(network="none"))
with runtime.start(Job({IMAGE!r}, ("python3", "-c", {STUBBORN!r}), labels={LABELS!r}), []) as running:
    for _, line in running.lines():
        print(line.decode(), flush=True)
"""
    started = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE)
    assert started.stdout
    with started:
        assert started.stdout.readline() == b"ready\n"
        started.kill()
    [left] = ours(client)
    # More labels than the other task's, and all of them: the other one must not take it for its own.
    other = replace(job(STUBBORN), labels={**LABELS, "map_index": "1"})
    with runtime.start(other, []) as running:
        assert {found["Id"] for found in ours(client)} > {left["Id"]}
        assert run(runtime, job("print('again')")).stdout == [b"again"]
        [kept] = ours(client)
        assert kept["Id"] != left["Id"]
        assert next(running.lines()) == ("stdout", b"ready")


def client_url() -> str:
    return os.environ.get("DOCKER_HOST", f"unix://{SOCKET}")


def test_without_labels_nothing_is_looked_for(client: docker.APIClient) -> None:
    named = f"import socket\nprint(socket.gethostname(), flush=True)\n{SLEEP}"
    bare = replace(job(named), labels={})
    with DockerRuntime(client, log=LOG, options=OFFLINE).start(bare, []) as running:
        _, container = next(running.lines())
        assert LEFTOVER_LABEL not in (client.inspect_container(container.decode())["Config"]["Labels"] or {})


def test_a_missing_image_that_cannot_be_pulled(runtime: DockerRuntime) -> None:
    missing = replace(job("pass"), image="localhost:1/acme/erp:9")
    with pytest.raises(RuntimeFailure, match=r"no image localhost:1/acme/erp:9 .*make images.*docker login") as failure:
        run(runtime, missing)
    assert failure.value.retry  # nobody answers there: that may change


def test_a_missing_image_that_must_not_be_pulled(client: docker.APIClient) -> None:
    missing = replace(job("pass"), image="acme/erp:9")
    with pytest.raises(RuntimeFailure, match=r"acme/erp:9 .* pulling is switched off") as failure:
        run(DockerRuntime(client, log=LOG, pull="never", options=OFFLINE), missing)
    assert not failure.value.retry


def test_a_command_that_is_missing(runtime: DockerRuntime) -> None:
    result = run(runtime, replace(job("pass"), arguments=("/no-such-command",)))
    assert result.code == 127
    assert b"/no-such-command" in result.stderr[0]


def test_a_container_that_cannot_start_says_why_and_is_gone(client: docker.APIClient, runtime: DockerRuntime) -> None:
    unknown = DockerRuntime(client, log=LOG, options=ContainerOptions(network="no-such-network"))
    with pytest.raises(RuntimeFailure, match=r"could not start a container of .*no-such-network") as failure:
        run(unknown, job("pass"))
    assert not failure.value.retry


def test_no_engine_answers(tmp_path: Path) -> None:
    nobody = docker.APIClient(base_url=f"unix://{tmp_path}/none.sock", version="1.41")
    with pytest.raises(RuntimeFailure, match=r"no container engine answers.*DOCKER_HOST.*runtime = process") as failure:
        run(DockerRuntime(nobody, log=LOG), job("pass"))
    assert failure.value.retry


def certificates(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost, which signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@contextmanager
def engine_by_tcp(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Pass a TCP port of this machine, with or without TLS, on to the engine's socket."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            else:
                writer.close()
        except (OSError, RuntimeError):
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(SOCKET)
        await asyncio.gather(copy(reader, engine_writer), copy(engine_reader, writer))
        engine_writer.close()
        writer.close()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "localhost", 0, ssl=context), loop).result(
        PATIENCE
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)


@pytest.fixture(params=["tcp", "tls"])
def remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[docker.APIClient]:
    # The HTTP library prefers these to the certificate that the client was given.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    if request.param == "tcp":
        with engine_by_tcp() as port:
            yield docker.APIClient(base_url=f"tcp://localhost:{port}")
        return
    certificate, key = certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with engine_by_tcp(context) as port:
        yield docker.APIClient(
            base_url=f"https://localhost:{port}", tls=TLSConfig(ca_cert=str(certificate), verify=True)
        )


@pytest.mark.usefixtures("runtime")
def test_input_ends_and_output_goes_on_over_the_network(remote: docker.APIClient) -> None:
    code = "import sys\nlines = sys.stdin.readlines()\nfor line in lines: sys.stdout.write(line)\nprint('end')"
    lines = [b"%06d %s\n" % (number, b"x" * 200) for number in range(20_000)]
    result = run(DockerRuntime(remote, log=LOG, options=OFFLINE), job(code), lines)
    assert result.stdout == [*(line[:-1] for line in lines), b"end"]


@pytest.mark.usefixtures("runtime")
def test_both_directions_at_once_over_the_network(remote: docker.APIClient) -> None:
    lines = [b"%06d %s\n" % (number, b"x" * 200) for number in range(20_000)]
    echo = "import sys\nfor line in sys.stdin: sys.stdout.write(line)"
    result = run(DockerRuntime(remote, log=LOG, options=OFFLINE), job(echo), lines)
    assert result.stdout == [line[:-1] for line in lines]


@pytest.mark.usefixtures("runtime")
def test_stop_over_the_network(remote: docker.APIClient) -> None:
    start: Callable[..., object] = DockerRuntime(remote, log=LOG, options=OFFLINE).start
    with start(job(STUBBORN), iter([b"x" * 3_000_000])) as running:  # type: ignore[attr-defined]
        for _, line in running.lines():
            assert line == b"ready"
            running.stop()
        assert running.wait() == 137


REWRITES = """
import json, pathlib, sys
path = pathlib.Path("/flowmate/config.json")
config = json.loads(path.read_text())
path.write_text(json.dumps({**config, "token": "new"}))
path.with_name("big").write_text("x" * 300_000)
path.with_name("folder").mkdir()
path.with_name("linked").symlink_to("/etc/hostname")
print(config["token"], flush=True)
input()
"""


@pytest.mark.parametrize("user", [None, "1000:1000"])
def test_files_go_in_and_come_back_as_the_component_left_them(runtime: DockerRuntime, user: str | None) -> None:
    names = ("config.json", "gone.json", "folder", "linked")
    files = {"config.json": b'{"token": "old"}'}
    what = replace(job(REWRITES), files=files, read_back=names, user=user)
    with runtime.start(what, [b"go on\n"]) as running:
        assert [line for _, line in running.lines()] == [b"old"]
        assert running.wait() == 0
        assert running.read_back() == {"config.json": b'{"token": "new"}'}


def test_a_file_that_comes_back_has_a_limit(runtime: DockerRuntime) -> None:
    what = replace(job(REWRITES, file=1000), files={"config.json": b'{"token": 1}'}, read_back=("big",))
    with runtime.start(what, [b"\n"]) as running:
        list(running.lines())
        running.wait()
        with pytest.raises(OutputLimitExceeded, match="big is larger"):
            running.read_back()


def test_a_file_can_be_read_while_the_component_runs(runtime: DockerRuntime) -> None:
    go_on = threading.Event()

    def feed() -> Iterator[bytes]:
        go_on.wait(PATIENCE)
        yield b"\n"

    with runtime.start(replace(job(REWRITES), files={"config.json": b'{"token": 1}'}), feed()) as running:
        lines = (line for _, line in running.lines())
        next(lines)
        with running.open_file("/flowmate/big") as file:
            assert sum(map(len, iter(lambda: file.read(7), b""))) == 300_000
        for wrong in ("/flowmate/none", "/flowmate/folder", "/flowmate/linked"):
            with pytest.raises(RuntimeFailure), running.open_file(wrong):
                pass
        go_on.set()
        list(lines)


def test_what_a_killed_worker_left_can_be_looked_at_and_is_ended(
    runtime: DockerRuntime, client: docker.APIClient
) -> None:
    what = replace(job(REWRITES), files={"config.json": b'{"token": "old"}'}, read_back=("config.json",))
    abandoned = runtime.start(what, iter(lambda: threading.Event().wait(PATIENCE) and b"", b""))
    running = abandoned.__enter__()
    assert next(running.lines()) == ("stdout", b"old")
    assert runtime.left_behind(what) == [{"config.json": b'{"token": "new"}'}]
    assert [each["State"] for each in ours(client)] == ["exited"]
    assert runtime.left_behind(replace(what, labels={})) == []
    abandoned.__exit__(None, None, None)
