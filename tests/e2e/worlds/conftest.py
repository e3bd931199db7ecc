"""Fixtures of the tests with connectors of other worlds: packages from PyPI in images, and what they talk to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Client, LocalAirflow, containers, docker_is_required, postgres_programs
from world import World
from world_images import build_images
from world_services import Api, Warehouse

from flowmate_airflow.runtimes.hardening import LEFTOVER_LABEL

AT_ONCE = 8
"""Tests that run at the same time: more than the tasks that do, since most of a test is waiting."""


@pytest.fixture(scope="session")
def api() -> Iterator[Api]:
    """The API that taps and sources read."""
    with Api() as running:
        yield running


@pytest.fixture(scope="session")
def warehouse(airflow: Client) -> Iterator[Warehouse]:
    """The database that targets write, with the Connection `warehouse`."""
    programs = postgres_programs()
    if programs is None:
        reason = "there is no PostgreSQL; scripts/postgres installs it"
        if docker_is_required():
            pytest.fail(reason)
        pytest.skip(reason)
    with Warehouse(programs) as running:
        airflow.add_connection("warehouse", **running.connection)
        yield running


@pytest.fixture(scope="session")
def files(airflow: Client) -> Path:
    """The folder that connectors of files see as /data."""
    folder = airflow.dags.parent / "flowmate" / "files"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest,
    airflow: Client,
    local_airflow: LocalAirflow,
    api: Api,
    warehouse: Warehouse,
    files: Path,
) -> Iterator[World]:
    """All that a test of the module needs; its `IMAGES` names the images."""
    build_images(request.module.IMAGES)
    made = World(local_airflow, airflow, api, warehouse, files)
    yield made
    for flow in made.flows:
        flow.path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def scenarios(world: World, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[None]]]:
    """The module's tests that were chosen, all of them running."""
    before = set(containers(LEFTOVER_LABEL))  # what an earlier run of the tests left when it was killed
    chosen = [item.function.scenario for item in request.session.items if item.module is request.module]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {test.__name__: pool.submit(test, world) for test in chosen}
        yield started
        pool.shutdown(cancel_futures=True)
    if all(each.done() and not each.cancelled() and each.exception() is None for each in started.values()):
        left = [each for flow in world.flows for each in containers(f"flowmate.flow={flow.id}") if each not in before]
        assert not left, f"containers left behind: {left}"
    else:
        world.end_runs()
