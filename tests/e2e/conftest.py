"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from harness import (
    Client,
    LocalAirflow,
    build_image,
    containers,
    docker_answers,
    docker_is_required,
    new_airflow,
)

_RUNNING = pytest.StashKey[LocalAirflow]()


def pytest_configure() -> None:
    """Let fixtures clean up however the run is ended; a shell's background job would ignore SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers; without one the test is skipped, or fails where one is required."""
    if docker_answers():
        return
    if docker_is_required():
        pytest.fail("no Docker engine answers, and this run requires one; scripts/docker_engine starts one")
    pytest.skip("no Docker engine answers; scripts/docker_engine starts one")


@pytest.fixture(scope="session")
def airflow(engine: None, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Client]:
    """A real Airflow with the loader and no flows, for the whole session, seen through REST."""
    connectors = Path(__file__).parent / "connectors"
    build_image(connectors / "probe", "flowmate-test/probe:1.0.0")
    settings = {"AIRFLOW__FLOWMATE__CONNECTORS_FOLDER": str(connectors)}
    started = new_airflow(tmp_path_factory.mktemp("airflow") / "home", settings)
    pytestconfig.stash[_RUNNING] = started
    with started as client:
        yield client


@pytest.fixture
def flow(airflow: Client) -> Iterator[FlowFolder]:
    """A way to drop flows into the dags folder; the test's files are taken out again at its end."""
    folder = FlowFolder(airflow)
    yield folder
    folder.clear()


class FlowFolder:
    """The files that one test puts into the dags folder.

    :param airflow: whose dags folder it is
    """

    def __init__(self, airflow: Client) -> None:
        self._airflow = airflow
        self._files: list[Path] = []

    def drop(self, name: str, text: str) -> Path:
        """Put a file there and return its path."""
        path = self._airflow.drop_flow(name, text)
        self._files.append(path)
        return path

    def add(self, dag_id: str, text: str, timeout: float = 60) -> str:
        """Put a flow there as `<dag_id>.yaml`, wait until Airflow lists it, and return `dag_id`."""
        self.drop(f"{dag_id}.yaml", text)
        self._airflow.wait_for_dag(dag_id, timeout)
        return dag_id

    def clear(self) -> None:
        """Take all of them out."""
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()


@pytest.fixture
def no_container_left(engine: None) -> Iterator[None]:
    """Fails when the test leaves a container behind."""
    before = set(containers())
    yield
    left = set(containers()) - before
    assert not left, f"containers left behind: {sorted(left)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what Airflow's processes printed last below a test that failed."""
    report = yield
    started = item.config.stash.get(_RUNNING, None)
    if report.failed and started is not None:
        report.sections.append(("Airflow's processes", started.log_tails()))
    return report
