"""Which runtime a step gets, and what FlowMate's options say about it: the same for the operators and the command
line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from flowmate_airflow.catalog.catalog import shipped_folder
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import read_manifest
from flowmate_airflow.runtimes.base import Log, Runtime
from flowmate_airflow.settings import folder_setting, setting
from flowmate_airflow.steps.errors import ConfigFailure

if TYPE_CHECKING:
    from pathlib import Path

RuntimeName: TypeAlias = Literal["docker", "process"]
Pull: TypeAlias = Literal["missing", "always", "never"]

CONTAINER_FILES = "/data"
"""Where a container sees the files folder."""


def runtime_name() -> RuntimeName:
    """Return the runtime that `[flowmate] runtime` names.

    :raises ConfigFailure: there is none of that name
    """
    name = setting("runtime")
    if name not in ("docker", "process"):
        raise ConfigFailure(f"[flowmate] runtime is {name!r}; it can be `docker` or `process`")
    return cast("RuntimeName", name)


def pull_policy() -> Pull:
    """Return when images are pulled, `[flowmate] pull`.

    :raises ConfigFailure: it is none of the policies
    """
    pull = setting("pull")
    if pull not in ("missing", "always", "never"):
        raise ConfigFailure(f"[flowmate] pull is {pull!r}; it can be `missing`, `always` or `never`")
    return cast("Pull", pull)


def files_folder() -> Path:
    """Return the folder of files, `[flowmate] files_folder`."""
    return folder_setting("files_folder", "flowmate/files")


def files_root(runtime: RuntimeName) -> str:
    """Return where a connector of files finds them; the folder is made."""
    folder = files_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return CONTAINER_FILES if runtime == "docker" else str(folder)


def files_mounts(manifest: Manifest) -> list[Any]:
    """Return the mount of the files folder where the connector reads or writes files."""
    from docker.types import Mount

    return [Mount(CONTAINER_FILES, str(files_folder()), "bind")] if manifest.files else []


def egress_image(manifest: Manifest) -> str:
    """Return the image of the helper of steps that reach listed hosts only, `[flowmate] egress_image`.

    Empty where the connector lists none.
    """
    if not any(method.hosts for method in manifest.auth.values()):
        return ""
    return setting("egress_image") or read_manifest(shipped_folder() / "http" / "connector.yaml").image


def process_runtime(log: Log) -> Runtime:
    """Return the runtime `process`."""
    from flowmate_airflow.runtimes.process import ProcessRuntime

    return ProcessRuntime(log=log, sdk_path=shipped_folder() / "sdk")
