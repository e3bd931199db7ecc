"""From a folder or a package's name to an image."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowmate_airflow.authoring.building import images, packages
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.from_repo import COMPONENT, LOCAL
from flowmate_airflow.authoring.jsontext import read_json
from flowmate_airflow.authoring.names import connector_name, version
from flowmate_airflow.catalog.catalog import MANIFEST
from flowmate_airflow.catalog.reader import read_manifest
from flowmate_airflow.runtimes.base import Log

if TYPE_CHECKING:
    from docker import APIClient

PYPI = "pypi:"


@dataclass(frozen=True, slots=True)
class Order:
    """What shall be built.

    :param what: a folder, or `pypi:name==version`
    :param more: further requirements of a package
    :param script: the command of a package, when it has several
    """

    what: str
    tag: str | None = None
    base: str | None = None
    more: Sequence[str] = ()
    script: str | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built.

    :param manifest: the manifest that its folder has already
    """

    tag: str
    manifest: Path | None = None


def build(client: APIClient, order: Order, log: Log) -> Built:
    """Build an image and return its tag.

    :raises AuthoringError: it cannot be built
    :raises FlowFileError: package.json is not JSON, or the folder's manifest has problems
    """
    with tempfile.TemporaryDirectory(prefix="flowmate-build-") as temporary:
        if order.what.startswith(PYPI):
            return _build_package(client, order, Path(temporary), log)
        return _build_folder(client, order, Path(temporary), log)


def _build_package(client: APIClient, order: Order, context: Path, log: Log) -> Built:
    package = packages.read_package(order.what.removeprefix(PYPI))
    more = packages.check_more(order.more)
    base = order.base or images.PYTHON_BASE
    python_version = images.base_python(client, base, log)
    log.info("fetching %s and what it needs for Python %s", package.requirement, python_version)
    wheels = context / "wheels"
    pinned = packages.fetch_wheels(package, more, python_version, wheels)
    script = packages.console_script(package, wheels, order.script)
    (wheels / "requirements.txt").write_text("".join(f"{each}\n" for each in pinned), encoding="utf-8")
    (context / images.DOCKERFILE).write_text(images.python_dockerfile(package, script), encoding="utf-8")
    tag = order.tag or f"{LOCAL}/{package.name.lower()}:{package.version.replace('+', '-').replace('!', '-')}"
    images.build_image(client, context, tag, log=log, base=base)
    return Built(tag)


def _build_folder(client: APIClient, order: Order, context: Path, log: Log) -> Built:
    folder = Path(order.what)
    if not folder.is_dir():
        raise AuthoringError(f"there is no folder {folder}; a package is named like pypi:tap-csv==1.2.0")
    manifest = folder / MANIFEST if (folder / MANIFEST).is_file() else None
    tag = order.tag or (read_manifest(manifest).image if manifest else None)
    if (folder / images.DOCKERFILE).is_file():
        tag = tag or f"{LOCAL}/{connector_name(folder.resolve().name)}:latest"
        if manifest is not None:
            images.copy_component(folder, context)
            # For connectors on the SDK, which describe themselves by it where there is no YAML reader.
            told = read_manifest(manifest).model_dump_json(by_alias=True, exclude_unset=True)
            (context / "connector.json").write_text(told, encoding="utf-8")
        images.build_image(client, context if manifest else folder, tag, log=log, base=order.base, network=None)
        return Built(tag, manifest)
    if not (folder / "package.json").is_file():
        raise AuthoringError(
            f"{folder} has neither a Dockerfile nor a package.json: FlowMate can make a Dockerfile for a Node "
            "component, and for a package of PyPI that is named like pypi:tap-csv==1.2.0"
        )
    package = read_json(folder / "package.json")
    package = package if isinstance(package, dict) else {}
    images.copy_component(folder, context)
    log.info("installing the packages of %s with npm", folder)
    packages.node_modules(context)
    (context / ".npmrc").unlink(missing_ok=True)  # npm has read it; the tokens in it are none of the image's
    (context / images.DOCKERFILE).write_text(images.node_dockerfile(), encoding="utf-8")
    name = str(package.get("name") or "").rpartition("/")[2]
    stated = version(package.get("version"), _component_version(folder))
    tag = tag or f"{LOCAL}/{connector_name(name, folder.resolve().name)}:{stated}"
    images.build_image(client, context, tag, log=log, base=order.base or images.NODE_BASE)
    return Built(tag, manifest)


def _component_version(folder: Path) -> Any:
    if not (folder / COMPONENT).is_file():
        return None
    component = read_json(folder / COMPONENT)
    return component.get("version") if isinstance(component, dict) else None
