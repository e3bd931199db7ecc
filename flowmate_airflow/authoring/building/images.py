"""Building an image by the engine's own builder, from a folder that needs no network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowmate_airflow.authoring.building.packages import Package
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.runtimes.base import Log

if TYPE_CHECKING:
    from docker import APIClient

PYTHON_BASE = "python:3.12-slim"
NODE_BASE = "node:22-slim"
DOCKERFILE = "Dockerfile"
_USER = "65534:65534"
_SHOWN = 40

PYTHON_DOCKERFILE = """\
ARG BASE_IMAGE={base}
FROM ${{BASE_IMAGE}} AS build
COPY wheels /wheels
# --target also works where the distribution marks its Python as externally managed; pip compiles the bytecode.
RUN python3 -m pip install --no-index --no-deps --find-links /wheels --no-cache-dir --target /opt/connector \\
    -r /wheels/requirements.txt

FROM ${{BASE_IMAGE}}
COPY --from=build /opt/connector /opt/connector
ENV PYTHONPATH=/opt/connector PATH=/opt/connector/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
LABEL io.flowmate.package="{package}" io.flowmate.version="{version}"
WORKDIR /tmp
USER {user}
ENTRYPOINT ["/opt/connector/bin/{script}"]
"""

NODE_DOCKERFILE = """\
ARG BASE_IMAGE={base}
FROM ${{BASE_IMAGE}}
COPY . /usr/src/app
WORKDIR /usr/src/app
ENV NODE_ENV=production HOME=/tmp
USER {user}
ENTRYPOINT ["npm", "start"]
"""


def python_dockerfile(package: Package, script: str) -> str:
    """Return the Dockerfile of a package whose wheels lie in `wheels/`."""
    return PYTHON_DOCKERFILE.format(
        base=PYTHON_BASE, package=package.name, version=package.version, script=script, user=_USER
    )


def node_dockerfile() -> str:
    """Return the Dockerfile of a Node component with its packages."""
    return NODE_DOCKERFILE.format(base=NODE_BASE, user=_USER)


def copy_component(folder: Path, context: Path) -> None:
    """Copy a component's folder into a build's context, without what is no part of it.

    :raises AuthoringError: it cannot be copied
    """
    ignored = shutil.ignore_patterns(".git", "node_modules", "__pycache__", ".env", ".env.*")
    try:
        shutil.copytree(folder, context, dirs_exist_ok=True, ignore=ignored, symlinks=True)
    except (OSError, shutil.Error) as error:
        raise AuthoringError(f"{folder} cannot be copied: {error}") from None


def base_python(client: APIClient, base: str, log: Log) -> str:
    """Return the version of a base image's Python, such as 3.11.2.

    :raises AuthoringError: there is no such image, or no Python in it
    """
    from flowmate_airflow.authoring.images import look_at
    from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure

    look_at(client, base, log)
    code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        made = client.create_container(
            base, entrypoint=["python3"], command=["-c", code], network_disabled=True, stdin_open=False
        )
        try:
            client.start(made["Id"])
            client.wait(made["Id"], timeout=120)
            told = client.logs(made["Id"], stdout=True, stderr=False).decode(errors="replace").strip()
        finally:
            client.remove_container(made["Id"], force=True, v=True)
    except ENGINE_ERRORS as error:
        raise AuthoringError(str(engine_failure(error, f"ask {base} for its Python", str(client.base_url)))) from None
    if not re.fullmatch(r"3\.[0-9]+\.[0-9]+", told):
        raise AuthoringError(f"the base image {base} has no Python 3")
    return str(told)


def build_image(
    client: APIClient, context: Path, tag: str, *, log: Log, base: str | None = None, network: str | None = "none"
) -> None:
    """Build an image.

    :param context: the folder, with a Dockerfile
    :param base: handed over as the build argument BASE_IMAGE
    :param network: of the build; None: the engine's usual one
    :raises AuthoringError: it cannot be built; the text ends with what the build said
    """
    from flowmate_airflow.runtimes.engine import ENGINE_ERRORS, engine_failure

    log.info("building %s", tag)
    said: list[str] = []
    try:
        events = client.build(
            path=str(context),
            tag=tag,
            rm=True,
            forcerm=True,
            decode=True,
            network_mode=network,
            buildargs={"BASE_IMAGE": base} if base else {},
        )
        for event in events:
            _note(event, said, tag)
    except ENGINE_ERRORS as error:
        raise AuthoringError(str(engine_failure(error, f"build {tag}", str(client.base_url)))) from None


def _note(event: Mapping[str, Any], said: list[str], tag: str) -> None:
    text = str(event.get("stream") or "").rstrip()
    if text:
        said.append(text[:2000])
        del said[:-_SHOWN]
    if "error" in event:
        told = "\n".join([*said, str(event["error"]).strip()])
        raise AuthoringError(f"{tag} could not be built:\n{told[-4000:]}")
