"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from harness import (
    PATIENCE,
    Client,
    LocalAirflow,
    LocalPostgres,
    build_image,
    containers,
    docker_answers,
    docker_is_required,
    labels_of,
    new_airflow,
    postgres_programs,
    wants_postgres,
)

from flowmate_airflow.runtimes.hardening import LEFTOVER_LABEL

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
def database() -> Iterator[str | None]:
    """The URL of an empty PostgreSQL database, or None for SQLite; skipped or failed where there is no PostgreSQL."""
    if not wants_postgres():
        yield None
        return
    programs = postgres_programs()
    if programs is None:
        reason = "there is no PostgreSQL; scripts/postgres installs it, FLOWMATE_E2E_DATABASE=sqlite does without"
        if docker_is_required():
            pytest.fail(reason)
        pytest.skip(reason)
    with LocalPostgres(programs) as url:
        yield url


@pytest.fixture(scope="session")
def airflow(
    engine: None, database: str | None, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Client]:
    """A real Airflow with the loader and no flows, for the whole session, seen through REST."""
    connectors = Path(__file__).parent / "connectors"
    build_image(connectors / "probe", "flowmate-test/probe:1.0.0")
    folder = tmp_path_factory.mktemp("airflow")
    settings = {
        "AIRFLOW__FLOWMATE__EMBEDDING_KEYS": str(folder / "embedding.pem"),
        "AIRFLOW__FLOWMATE__CONNECTORS_FOLDER": str(connectors),
        "AIRFLOW__FLOWMATE__NETWORK": "host",  # containers reach the tests' servers, which listen on the loopback
        "AIRFLOW__API__EXPOSE_CONFIG": "True",
        "AIRFLOW__SECRETS__BACKEND": "flowmate_airflow.auth.backend.FlowMateBackend",
    }
    started = new_airflow(folder / "home", settings, database=database)
    pytestconfig.stash[_RUNNING] = started
    with started as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, in which nobody has signed in."""
    from playwright.sync_api import expect, sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        if docker_is_required():
            pytest.fail("there is no chromium; scripts/browser installs it")
        pytest.skip("there is no chromium; scripts/browser installs it")
    # No connections of its own, and no sandbox, which root cannot have.
    flags = [
        *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    ]
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield started
        started.close()


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

    def add(self, dag_id: str, text: str) -> str:
        """Put a flow there as `<dag_id>.yaml`, wait until Airflow lists it, and return `dag_id`."""
        self.drop(f"{dag_id}.yaml", text)
        self._airflow.wait_for_dag(dag_id)
        return dag_id

    def clear(self) -> None:
        """Take all of them out."""
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()


@pytest.fixture(scope="session")
def local_airflow(airflow: Client, pytestconfig: pytest.Config) -> LocalAirflow:
    """The processes behind `airflow`, and their environment."""
    return pytestconfig.stash[_RUNNING]


@pytest.fixture
def no_container_left(airflow: Client) -> Iterator[None]:
    """Fails when the test leaves a container of one of its runs behind; the engine may have others' containers too."""
    before = set(containers(LEFTOVER_LABEL))
    yield
    new = set(containers(LEFTOVER_LABEL)) - before
    left = [container for container in sorted(new) if _is_of(airflow, labels_of(container))]
    assert not left, f"containers left behind: {left}"


def _is_of(airflow: Client, labels: Mapping[str, str]) -> bool:
    """Whether a container with these labels runs a step of this Airflow: another one does not know the run."""
    run = f"dags/{quote(labels.get('flowmate.flow', ''))}/dagRuns/{quote(labels.get('flowmate.run', ''))}"
    return "flowmate.run" in labels and airflow.request("GET", run).status_code == 200


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what Airflow's processes printed last below a test that failed."""
    report = yield
    started = item.config.stash.get(_RUNNING, None)
    if report.failed and started is not None:
        report.sections.append(("Airflow's processes", started.log_tails()))
    return report
