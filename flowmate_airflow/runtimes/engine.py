"""What the container engine says when it fails, in words that help; and pulling an image."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import docker.errors  # noqa: TID253 - only the docker runtime imports this module
import requests

from flowmate_airflow.runtimes.base import Log, RuntimeFailure

if TYPE_CHECKING:
    from docker import APIClient

ENGINE_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
"""All that a call of the engine's API may raise."""

PULL_LOG_SECONDS = 5.0
"""How often a pull says how far it is."""

_FINAL_PULL_ERRORS = (
    "not found",
    "manifest unknown",
    "does not exist",
    "denied",
    "unauthorized",
    "authentication required",
    "invalid reference",
    "no matching manifest",
    "no basic auth",
    "incorrect username",
)
_FETCHED = ("Pull complete", "Already exists")


def engine_failure(error: Exception, doing: str, url: str = "") -> RuntimeFailure:
    """Return the failure to raise for an error of the engine's API.

    :param error: one of :data:`ENGINE_ERRORS`
    :param doing: what was tried, such as "start the container"
    :param url: the engine's address
    """
    if isinstance(error, docker.errors.APIError):
        # 409 is a conflict with something that may go away; other client errors would come again.
        status = error.status_code or 500
        return RuntimeFailure(
            f"the container engine could not {doing}: {reason(error)}", retry=status >= 500 or status == 409
        )
    text = str(error)
    where = f" at {url.replace('http+docker://localhost', 'its unix socket')}" if url else ""
    if "Permission denied" in text or isinstance(error, PermissionError):
        advice = "this user may not use its socket: add the user to the group `docker` and log in again"
    else:
        advice = "start it (`systemctl start docker`) or say where it is (DOCKER_HOST or docker_conn_id)"
    return RuntimeFailure(
        f"could not {doing}: no container engine answers{where} ({_innermost(error)}); {advice}. On a "
        "machine without an engine set `[flowmate] runtime = process`",
        retry=True,
    )


def reason(error: Exception) -> str:
    """Return the engine's own words for an error."""
    explanation = getattr(error, "explanation", None)
    return str(explanation or error).strip()


def pull(client: APIClient, image: str, log: Log) -> None:
    """Pull an image, with its progress in the log every few seconds.

    :raises RuntimeFailure: it can't be had; the message says what to do
    """
    log.info("pulling the image %s", image)
    layers: dict[str, bool] = {}
    said = time.monotonic()
    try:
        for event in client.pull(image, stream=True, decode=True):
            if "error" in event:
                raise pull_failure(image, str(event["error"]))
            _note_layer(layers, event)
            if time.monotonic() - said > PULL_LOG_SECONDS:
                said = time.monotonic()
                log.info("pulling the image %s: %d of %d layers", image, sum(layers.values()), len(layers))
    except docker.errors.APIError as error:
        raise pull_failure(image, reason(error)) from error
    except ENGINE_ERRORS as error:
        raise engine_failure(error, f"pull the image {image}", str(client.base_url)) from error
    log.info("pulled the image %s", image)


def pull_failure(image: str, why: str) -> RuntimeFailure:
    """Return the failure for an image that can't be pulled; it is final when the registry said no."""
    final = any(sign in why.lower() for sign in _FINAL_PULL_ERRORS)
    return RuntimeFailure(
        f"there is no image {image} on the container engine, and it could not be pulled: {why}. Build it "
        "(`make images` for the connectors that come with FlowMate), or check its name, or log in to its registry "
        "(`docker login` on the engine's machine, or docker_conn_id on the step)",
        retry=not final,
    )


def image_missing(image: str) -> RuntimeFailure:
    """Return the failure for an image that is missing and must not be pulled."""
    return RuntimeFailure(
        f"there is no image {image} on the container engine, and pulling is switched off; build it (`make "
        "images` for the connectors that come with FlowMate) or pull it there",
        retry=False,
    )


def _note_layer(layers: dict[str, bool], event: dict[str, Any]) -> None:
    status = str(event.get("status", ""))
    if "id" in event and not status.startswith("Pulling from"):
        layers[str(event["id"])] = status in _FETCHED


def _innermost(error: BaseException) -> str:
    """Return the system's own words: HTTP libraries wrap them several times."""
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return str(seen)
