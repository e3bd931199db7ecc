"""Flows with components of the Open Integration Hub and elastic.io: the tests of one file run at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
from harness import AirflowTrouble, Client, LocalAirflow, containers
from local_airflow import PASSWORD, USER
from oih_images import build_node_images, build_python_images
from oih_service import Service
from oih_stage import Stage

AT_ONCE = 6
"""How many tests run at the same time; most of their time they wait for Airflow."""


Body = Callable[[Stage], None]


@pytest.fixture(scope="session")
def oih_images(engine: None) -> None:
    """The images of the components."""
    build_node_images()
    build_python_images()


@pytest.fixture(scope="session")
def service(engine: None) -> Iterator[Service]:
    """The web service that components read from and write to."""
    started = Service()
    yield started
    started.close()


@pytest.fixture(scope="module")
def together(
    request: pytest.FixtureRequest, airflow: Client, local_airflow: LocalAirflow, oih_images: None, service: Service
) -> Iterator[dict[str, Future[None]]]:
    """The tests of the file that are marked with :func:`at_once`, all started."""
    stages: list[Stage] = []

    def play(body: Body) -> None:
        stage = Stage(Client(airflow.url, airflow.dags, USER, PASSWORD), local_airflow, service)
        stages.append(stage)
        body(stage)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        mine = [item for item in request.session.items if getattr(item, "module", None) is request.module]
        bodies = {item.name: getattr(getattr(item, "function", None), "body", None) for item in mine}
        yield {name: pool.submit(play, body) for name, body in bodies.items() if body is not None}
        pool.shutdown(cancel_futures=True)
    for stage in stages:
        with suppress(AirflowTrouble):
            stage.clear()
    flows = [dag_id for stage in stages for dag_id in stage.flows]
    left = [container for dag_id in flows for container in containers(f"flowmate.flow={dag_id}")]
    assert left == [], "containers are left behind"
