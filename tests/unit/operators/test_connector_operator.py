"""The operators as Airflow calls them: real rendering and `execute`, a stubbed task instance, a played component."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from flowmate_airflow.batches.batch import read_batch
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.operators import connector as connector_module
from flowmate_airflow.operators.connector import REFUSED, ConnectorOperator
from flowmate_airflow.operators.map import MapOperator
from flowmate_airflow.operators.runtime import container_runtime
from flowmate_airflow.runtimes.base import Job, Running, Runtime, Stream
from flowmate_airflow.runtimes.hardening import container_arguments, labels_digest

MANIFEST = Manifest.model_validate(
    {
        "connector": 1,
        "name": "acme",
        "version": "1.0.0",
        "title": "Acme",
        "image": "acme:1",
        "triggers": {"get": {"title": "Get", "fields": {"n": {"type": "integer"}, "any": {}}}},
        "actions": {"put": {"title": "Put"}},
        "limits": {"memory": "256m", "cpus": 2},
    }
)


class Script(Runtime, Running):
    """Plays a component that writes given messages; `meanwhile` is called before the last line."""

    def __init__(self, *messages: Any, code: int = 0, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.jobs: list[Job] = []
        self.fed: list[Any] = []
        self.stopped = 0
        self._messages = messages
        self._code = code
        self._meanwhile = meanwhile
        self._feed: Iterable[bytes] = ()

    @contextmanager
    def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
        self.jobs.append(job)
        self._feed = feed
        yield self

    def lines(self) -> Iterator[tuple[Stream, bytes]]:
        self.fed += map(json.loads, self._feed)
        for message in self._messages:
            yield "stdout", json.dumps({"type": "MESSAGE", "message": message}).encode()
        self._meanwhile()

    def wait(self) -> int:
        return self._code

    def explain_exit(self) -> str | None:
        return "it was stopped" if self.stopped else None

    def read_back(self) -> dict[str, bytes]:
        return {}

    def open_file(self, path: str) -> Any:
        raise AssertionError(path)

    def send(self, line: bytes) -> None:
        raise AssertionError("nothing was asked for")

    def stop_feeding(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__BATCH_URL", str(tmp_path / "batches"))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__FILES_FOLDER", str(tmp_path / "files"))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Script]:
    def use(script: Script) -> Script:
        monkeypatch.setattr(connector_module, "process_runtime", lambda log: script)
        return script

    return use


def _context(values: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """Return what a template and `execute` see of a run."""
    instance = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1, "dag_version_id": "v"}
    known = values or {}
    task_instance = SimpleNamespace(**{**instance, **facts}, xcom_pull=lambda task_ids: known.get(task_ids))
    return {"ti": task_instance, "run_id": task_instance.run_id, "params": facts.get("params", {})}


def _step(function: str = "get", **parameters: Any) -> ConnectorOperator:
    with DAG("d", schedule=None):
        return ConnectorOperator(**{"task_id": "t", "use": f"acme/{function}", "manifest": MANIFEST, **parameters})


def _run(step: Any, context: dict[str, Any]) -> Any:
    step.render_template_fields(context)
    return step.execute(context)


def _batch(*data: Any) -> dict[str, Any]:
    return {"count": len(data), "messages": [{"id": str(n), "data": each} for n, each in enumerate(data)]}


def test_messages_go_in_and_a_batch_comes_out(play: Callable[[Script], Script]) -> None:
    script = play(Script({"data": 1}, {"id": 0, "data": 2}))
    value = _run(_step("put", inputs=["a", "gone", "b"]), _context({"a": _batch(1), "b": [_batch(2), None, _batch(3)]}))
    assert [message["data"] for message in read_batch(value)] == [1, 2]
    assert [line["message"]["data"] for line in script.fed[1:]] == [1, 2, 3]


@pytest.mark.parametrize("values", [{}, {"a": None}, {"a": []}, {"a": _batch()}, {"a": [None, _batch()]}])
def test_no_message_is_no_work(play: Callable[[Script], Script], values: dict[str, Any]) -> None:
    script = play(Script())
    with pytest.raises(AirflowSkipException):
        _run(_step("put", inputs=["a"]), _context(values))
    assert not script.jobs


@pytest.mark.parametrize("value", ["text", 5, {"messages": 1}, [1], {"href": "/etc/passwd", "count": 1}])
def test_what_is_no_batch_fails_for_good(play: Callable[[Script], Script], value: Any) -> None:
    play(Script())
    with pytest.raises(AirflowFailException, match=r"not a batch|cannot be read"):
        _run(_step("put", inputs=["a"]), _context({"a": value}))


RUNS = [
    "r",
    "../../r",
    "r/",
    "/etc",
    "r\nx",
    "ü" * 250,
    "r" * 250,
    "r" * 249 + "s",
    "\0",
    "manual__2026-01-01T00:00:00+00:00",
]


def test_no_two_tasks_share_a_file_a_label_or_an_id(play: Callable[[Script], Script], tmp_path: Path) -> None:
    script = play(Script({"data": "x" * 100_000}))
    facts: list[dict[str, Any]] = [{"run_id": run} for run in RUNS] + [{"dag_id": run} for run in RUNS]
    facts += [{"map_index": 0}, {"map_index": 1}, {"task_id": "r"}, {"dag_version_id": "another Airflow"}]
    facts += [{"dag_id": "d/r", "run_id": "t"}, {"dag_id": "d", "run_id": "r/t"}]
    values = [_run(_step(), _context(**each)) for each in facts]
    files = {value["href"] for value in values}
    assert all(Path(file).resolve().is_relative_to(tmp_path / "batches") for file in files)
    assert len({labels_digest(job) for job in script.jobs}) == len(facts)
    assert len(files) == len(facts) - 1  # two Airflows have two folders
    assert len({next(read_batch(value))["id"] for value in values}) == len(facts) - 1


def test_a_retry_finds_what_it_left_but_writes_elsewhere(play: Callable[[Script], Script]) -> None:
    script = play(Script({"data": "x" * 100_000}))
    first, second = (_run(_step(), _context(try_number=number)) for number in (1, 2))
    assert first["href"] != second["href"]
    assert list(read_batch(first)) == list(read_batch(second))
    assert labels_digest(script.jobs[0]) == labels_digest(script.jobs[1])


def test_a_killed_step_fails_though_its_component_ended_well(play: Callable[[Script], Script], tmp_path: Path) -> None:
    """Airflow calls `on_kill` in the handler of the signal, and then goes on where it was."""
    step = _step()
    script = play(Script({"data": "x" * 100_000}, meanwhile=lambda: signal.raise_signal(signal.SIGTERM)))
    before = signal.signal(signal.SIGTERM, lambda *_: step.on_kill())
    try:
        with pytest.raises(AirflowException, match="it was stopped"):
            _run(step, _context())
    finally:
        signal.signal(signal.SIGTERM, before)
    step.on_kill()
    assert script.stopped == 2
    assert not [path for path in tmp_path.rglob("*.gz")]


def test_a_kill_before_the_start_stops_at_the_start(play: Callable[[Script], Script]) -> None:
    script = play(Script({"data": 1}))
    step = _step()
    step.on_kill()
    with pytest.raises(AirflowException, match="it was stopped"):
        _run(step, _context())
    assert script.stopped == 1


def test_a_timeout_leaves_no_file(play: Callable[[Script], Script], tmp_path: Path) -> None:
    def time_out() -> None:
        raise AirflowTaskTimeout("Timeout")

    play(Script({"data": "x" * 100_000}, meanwhile=time_out))
    with pytest.raises(AirflowTaskTimeout):
        _run(_step(), _context())
    assert not [path for path in tmp_path.rglob("*.gz")]


def test_templates_that_never_end_are_ended(play: Callable[[Script], Script], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_module, "RENDER_SECONDS", 0.2)
    play(Script())
    endless = "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(AirflowFailException, match=r"took more than 0\.2 seconds"):
        _run(_step(config={"any": endless}), _context())


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"n": "{{ params.n }}"}, "n"),
        ({"any": "{{ ti }}"}, "no JSON"),
        ({"any": "{{ nope.x }}"}, "undefined"),
        ({"any": 2**70}, "JSON"),
    ],
)
def test_a_field_that_cannot_be_fails_for_good(
    play: Callable[[Script], Script], config: dict[str, Any], told: str
) -> None:
    play(Script())
    with pytest.raises(AirflowFailException, match=f"(?s)step `t`.*{told}"):
        _run(_step(config=config), _context(params={"n": "many"}))


def test_mapping_over_configs_is_one_step_each(play: Callable[[Script], Script]) -> None:
    script = play(Script({"data": 1}))
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)):
        mapped = ConnectorOperator.partial(task_id="t", use="acme/get", manifest=MANIFEST).expand(
            config=[{"n": 1}, {"n": 2}]
        )
    for index, config in enumerate([{"n": 1}, {"n": 2}]):
        _run(mapped.unmap({"config": config}), _context(map_index=index))
    assert [line["config"]["n"] for line in script.fed] == [1, 2]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_parameters_that_would_do_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` cannot be set: "):
        _step(**dict[str, Any]({name: True}))


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"select": {"orders": "id"}}, "select.orders: .* write `.id.`"),
        ({"inputs": "orders"}, r"\['orders'\]"),
        ({"config": [1]}, "`config`.*list"),
        ({"on_error": "skipp"}, "'fail', 'skip' or 'dead_letter'"),
        ({"use": "acme/nope"}, "no function `nope`"),
        ({"use": "acme"}, "no function ``"),
        ({"use": "no_such/get", "manifest": None}, "no connector `no_such`"),
    ],
)
def test_careless_parameters_are_told_when_the_dag_is_read(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        _step(**parameters)


def _container(**parameters: Any) -> Any:
    """Return what the engine would be asked for; no engine is needed to say it."""
    step = _step(image="mine:2", **parameters)
    client = docker.APIClient(base_url="unix:///nowhere", version="1.41")
    runtime: Any = container_runtime(step, client, logging.getLogger("test"))
    return container_arguments(client, Job(step.image, ("run", "get")), runtime._options)


def test_dockers_own_parameters_reach_the_engine() -> None:
    asked = _container(
        mem_limit="128m",
        cpus=0.5,
        network_mode="host",
        environment={"A": "1", "B": "1"},
        private_environment={"B": "2"},
        mounts=[docker.types.Mount("/x", "/y", "bind")],
        extra_hosts={"db": "10.0.0.1"},
        user=1000,
    )
    host = asked["host_config"]
    assert (asked["image"], asked["user"], asked["environment"]) == ("mine:2", "1000", {"A": "1", "B": "2"})
    assert (host["Memory"], host["CpuQuota"], host["NetworkMode"]) == (128 * 2**20, 50_000, "host")
    assert host["Mounts"][0]["Target"] == "/x"
    assert host["ExtraHosts"] == ["db:10.0.0.1"]
    assert host["CapDrop"] == ["ALL"]


def test_a_limit_that_is_no_size_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "docker")
    client = docker.APIClient(base_url="unix:///nowhere", version="1.41")
    monkeypatch.setattr(ConnectorOperator, "cli", client)
    with pytest.raises(AirflowFailException, match="step `t`: `mem_limit` is no size"):
        _run(_step(mem_limit="much"), _context())


def test_an_engine_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "docker")
    with pytest.raises(AirflowException, match=r"no container engine answers at unix://.*DOCKER_HOST") as caught:
        _run(_step(docker_url=f"unix://{tmp_path}/no.sock"), _context())
    assert not isinstance(caught.value, AirflowFailException)


def test_a_map_step_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with DAG("d", schedule=None):
        step = MapOperator(task_id="t", expression="$error('no ' & data)", inputs=["a"])
    with pytest.raises(AirflowFailException, match="`map` failed for message 0"):
        _run(step, _context({"a": _batch("x")}))
    assert not [path for path in tmp_path.rglob("*.gz")]


@pytest.mark.parametrize(
    ("labels", "expected"), [({"team": "shop"}, {"team": "shop"}), (["team"], {"team": ""}), (None, {})]
)
def test_the_operators_own_labels_are_kept_beside_ours(
    play: Callable[[Script], Script], labels: Any, expected: dict[str, str]
) -> None:
    script = play(Script({"data": 1}))
    _run(_step(labels=labels), _context())
    given = script.jobs[0].labels
    assert given["flowmate.flow"] == "d"
    assert {name: value for name, value in given.items() if not name.startswith("flowmate.")} == expected
