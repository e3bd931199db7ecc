"""Flows with components of the Open Integration Hub and elastic.io: their tests run at the same time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from harness import AirflowTrouble, Client, LocalAirflow, containers, docker_is_required
from local_airflow import PASSWORD, USER
from oih_images import Missing, build_node_images, build_python_images
from oih_service import Service
from oih_stage import Stage

sys.path.append(str(Path(__file__).resolve().parent.parent / "worlds"))  # `world_images`, also when run alone

AT_ONCE = 8
"""How many tests run at the same time; most of their time they wait for Airflow."""


Body = Callable[[Stage], None]


@pytest.fixture(scope="session")
def oih_images(engine: None) -> None:
    """The images of the components; skipped or failed where the machine has no npm."""
    try:
        build_node_images()
    except Missing as missing:
        if docker_is_required():
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    build_python_images()
    from world_images import build_images

    build_images(["airbyte"])  # all tests begin at once, the one with an Airbyte source among them


@pytest.fixture(scope="session")
def service(engine: None) -> Iterator[Service]:
    """The web service that components read from and write to."""
    started = Service()
    yield started
    started.close()


@pytest.fixture(scope="session")
def together(
    request: pytest.FixtureRequest, airflow: Client, local_airflow: LocalAirflow, oih_images: None, service: Service
) -> Iterator[dict[str, Future[None]]]:
    """The tests that are marked with :func:`oih_stage.at_once`, all started."""
    stages: list[Stage] = []

    def play(body: Body) -> None:
        stage = Stage(Client(airflow.url, airflow.dags, USER, PASSWORD, poll=2), local_airflow, service)
        stages.append(stage)
        body(stage)

    found = [getattr(getattr(item, "function", None), "body", None) for item in request.session.items]
    bodies = {body.__name__: body for body in found if body is not None}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(play, body) for name, body in bodies.items()}
        pool.shutdown(cancel_futures=True)
    for stage in stages:
        with suppress(AirflowTrouble):
            stage.clear()
    flows = [dag_id for stage in stages for dag_id in stage.flows]
    left = [container for dag_id in flows for container in containers(f"flowmate.flow={dag_id}")]
    assert left == [], "containers are left behind"
