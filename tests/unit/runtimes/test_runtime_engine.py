"""What people read when the engine or a registry says no, and whether another try is worth it."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
import requests

from flowmate_airflow.runtimes.base import RuntimeFailure
from flowmate_airflow.runtimes.engine import engine_failure, pull

LOG = logging.getLogger("test")


class Registry:
    """The part of the engine's client that pulls, with answers as the engine gives them."""

    base_url = "http+docker://localhost"

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = events

    def pull(self, image: str, *, stream: bool, decode: bool) -> Any:
        assert stream
        assert decode
        return iter(self.events)


@pytest.mark.parametrize(
    ("answer", "retry"),
    [
        ("pull access denied for acme/erp, repository does not exist or may require 'docker login'", False),
        ("manifest for acme/erp:9 not found: manifest unknown: manifest unknown", False),
        ("Head https://registry.example/v2/: unauthorized: incorrect username or password", False),
        ("Get https://registry.example/v2/: dial tcp: lookup registry.example: no such host", True),
        ("Get https://registry.example/v2/: net/http: TLS handshake timeout", True),
        ("toomanyrequests: You have reached your pull rate limit", True),
    ],
)
def test_a_pull_that_fails_names_image_reason_and_what_to_do(answer: str, retry: bool) -> None:
    registry: Any = Registry({"status": "Pulling from acme/erp", "id": "9"}, {"error": answer})
    with pytest.raises(RuntimeFailure) as failure:
        pull(registry, "acme/erp:9", LOG)
    for part in ("acme/erp:9", answer, "make images", "docker login", "docker_conn_id", "check its name"):
        assert part in str(failure.value)
    assert failure.value.retry is retry


def test_a_pull_is_told_at_its_start_and_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    layers = [{"status": "Downloading", "id": f"layer{number % 7}"} for number in range(10_000)]
    registry: Any = Registry(*layers, {"status": "Pull complete", "id": "layer0"})
    pull(registry, "acme/erp:9", LOG)
    assert caplog.messages[0] == "pulling the image acme/erp:9"
    assert caplog.messages[-1] == "pulled the image acme/erp:9"
    assert len(caplog.messages) < 100


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (PermissionError(13, "Permission denied"), "group `docker`"),
        (FileNotFoundError(2, "No such file or directory"), "systemctl start docker"),
        (ConnectionRefusedError(111, "Connection refused"), "DOCKER_HOST"),
    ],
)
def test_an_engine_out_of_reach_says_what_to_do(cause: OSError, advice: str) -> None:
    error = requests.exceptions.ConnectionError(f"('Connection aborted.', {cause!r})")
    error.__cause__ = cause
    failure = engine_failure(error, "start the container", "http+docker://localhost")
    assert "no container engine answers at its unix socket" in str(failure)
    assert str(cause) in str(failure)
    assert advice in str(failure)
    assert "runtime = process" in str(failure)
    assert failure.retry


def test_runtimes_import_no_airflow_and_the_process_runtime_no_docker() -> None:
    code = (
        "import sys, flowmate_airflow.runtimes.process; assert 'docker' not in sys.modules; "
        "import flowmate_airflow.runtimes.docker; assert 'airflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
