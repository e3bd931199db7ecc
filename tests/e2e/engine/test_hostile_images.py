"""Images that declare what harms, on a real engine, and the files connector against the folder it is given."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.types import Mount
from harness import build_image
from harness import docker as run_docker

from flowmate_airflow.catalog.reader import read_manifest
from flowmate_airflow.runtimes.base import Job, Limits, Running
from flowmate_airflow.runtimes.docker import DockerRuntime
from flowmate_airflow.runtimes.options import ContainerOptions

IMAGE = "flowmate-test/hostile:1.0.0"
ROOT = Path(__file__).resolve().parents[3]

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
VOLUME ["/var/evil", "/data2"]
USER 0:0
STOPSIGNAL SIGKILL
HEALTHCHECK --interval=1s CMD touch /var/evil/healthy
EXPOSE 80
ONBUILD RUN touch /onbuild
LABEL flowmate.leftover=all
ENTRYPOINT ["python3", "-c"]
"""


@pytest.fixture(scope="module")
def client(engine: None, tmp_path_factory: pytest.TempPathFactory) -> docker.APIClient:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    build_image(folder, IMAGE)
    return docker.APIClient(base_url=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))


@pytest.fixture(autouse=True)
def nothing_is_left(client: docker.APIClient) -> Iterator[None]:
    """Fails when a test leaves a container behind."""
    yield
    assert not client.containers(all=True, filters={"label": "flowmate.test=hostile"})


@contextmanager
def _running(client: docker.APIClient, code: str, **limits: Any) -> Iterator[Running]:
    job = Job(IMAGE, (code,), labels={"flowmate.test": "hostile"}, limits=Limits(**{"stop_grace": 0.5, **limits}))
    runtime = DockerRuntime(
        client, log=logging.getLogger("test"), pull="never", options=ContainerOptions(network="none")
    )
    with runtime.start(job, []) as running:
        yield running


def _volumes() -> set[str]:
    return set(run_docker("volume", "ls", "--quiet").split())


def test_what_an_image_declares_does_no_harm(client: docker.APIClient) -> None:
    before = _volumes()
    with _running(client, "print(open('/proc/self/status').read())\nimport time; time.sleep(2.5)") as running:
        (found,) = client.containers(all=True, filters={"label": "flowmate.test=hostile"})
        facts = client.inspect_container(found["Id"])
        status = b"\n".join(line for _, line in running.lines()).decode()
        assert running.wait() == 0
        assert "Health" not in client.inspect_container(found["Id"])["State"]
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert facts["Config"]["Labels"]["flowmate.leftover"] != "all"
    assert not facts["HostConfig"]["PortBindings"]
    assert _volumes() <= before


def test_a_container_whose_output_breaks_off_is_stopped_and_has_failed(client: docker.APIClient) -> None:
    code = "import os, signal, time\nsignal.signal(15, lambda *_: os._exit(0))\nprint(1, flush=True)\ntime.sleep(99)"
    with _running(client, code, linger=0.5) as running:
        lines = running.lines()
        assert next(lines) == ("stdout", b"1")
        running._connection.abort()  # type: ignore[attr-defined]  # as when the engine restarts
        assert list(lines) == []
        running.wait()
        assert running.explain_exit() == "its output ended but it went on for 0.5 seconds, so it was stopped"


def test_a_daemon_of_a_component_ends_with_it(client: docker.APIClient) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(600)\n os._exit(0)\n"
        "print('done', flush=True)"
    )
    with _running(client, code) as running:
        assert [line for _, line in running.lines()] == [b"done"]
        assert running.wait() == 0
        assert running.explain_exit() is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files folder: with all that an enemy, or an accident, may put there."""
    files = tmp_path / "files"
    files.mkdir()
    (tmp_path / "x.json").write_text('[{"secret": 1}]')
    (files / "outside.json").symlink_to(tmp_path / "x.json")
    (files / "etc").symlink_to("/etc")
    (files / "folder.json").mkdir()
    (files / "empty.csv").touch()
    (files / "good.jsonl").write_text('{"a": 1}\n')
    os.mkfifo(files / "pipe.json")
    return files


def _files(
    client: docker.APIClient, folder: Path, function: str, config: dict[str, Any], *messages: Any
) -> tuple[int, list[Any]]:
    """Run the files connector, and return its exit code and its events."""
    manifest = read_manifest(ROOT / "connectors" / "files" / "connector.yaml")
    job = Job(
        manifest.image,
        ("run", function),
        labels={"flowmate.test": "hostile"},
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"FLOWMATE_FILES_ROOT": "/data"},
        read_only=manifest.limits.read_only,
    )
    lines = [{"type": "CONFIG", "config": config, "credentials": {}, "state": None, "context": {}}]
    lines += [{"type": "MESSAGE", "message": {"id": str(n), "data": data}} for n, data in enumerate(messages)]
    options = ContainerOptions(network="none", mounts=[Mount("/data", str(folder), "bind")])
    runtime = DockerRuntime(client, log=logging.getLogger("test"), pull="never", options=options)
    with runtime.start(job, [json.dumps(line).encode() + b"\n" for line in lines]) as running:
        events = [json.loads(line) for stream, line in running.lines() if stream == "stdout"]
        return running.wait(), events


@pytest.mark.parametrize(
    "path",
    ["../x.json", "outside.json", "etc/passwd", "/etc/passwd", "a/../../x.json", "folder.json", "pipe.json", "a\0b"],
)
def test_nothing_but_files_of_the_folder_is_read(client: docker.APIClient, folder: Path, path: str) -> None:
    code, events = _files(client, folder, "read", {"path": path, "format": "json"})
    assert code != 0
    assert [event["type"] for event in events if event["type"] in ("MESSAGE", "ERROR")] == ["ERROR"]
    assert "secret" not in json.dumps(events)


def test_files_that_are_fine_are_read(client: docker.APIClient, folder: Path) -> None:
    assert _files(client, folder, "read", {"path": "empty.csv"})[0] == 0
    code, events = _files(client, folder, "read", {"path": "good.jsonl"})
    assert code == 0
    assert [event["message"]["data"] for event in events if event["type"] == "MESSAGE"] == [{"a": 1}]


def test_what_is_written_belongs_to_the_workers_user_and_stays_inside(client: docker.APIClient, folder: Path) -> None:
    code, _ = _files(client, folder, "write", {"path": "new/out.jsonl"}, {"a": 1})
    assert code == 0
    assert json.loads((folder / "new" / "out.jsonl").read_text()) == {"a": 1}
    assert (folder / "new" / "out.jsonl").stat().st_uid == os.getuid()
    for path in ("../x.json", "outside.json", "etc/evil.json", "pipe.json"):
        _files(client, folder, "write", {"path": path}, {"a": 1})
    assert (folder.parent / "x.json").read_text() == '[{"secret": 1}]'
    assert not Path("/etc/evil.json").exists()


def test_a_folder_that_may_not_be_written_to_is_told(client: docker.APIClient, folder: Path) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    code, events = _files(client, folder, "write", {"path": "locked/out.jsonl"}, {"a": 1})
    assert code != 0
    assert "locked/out.jsonl" in json.dumps(events)
