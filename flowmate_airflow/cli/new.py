"""`flowmate new`: writes a flow or a connector to start from. Never overwrites."""

from __future__ import annotations

import re
import shutil
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from flowmate_airflow.catalog.catalog import MANIFEST as MANIFEST_FILE
from flowmate_airflow.catalog.catalog import shipped_folder
from flowmate_airflow.cli import skeletons
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.folder import SUFFIXES
from flowmate_airflow.flows.values import FLOW_ID
from flowmate_airflow.settings import folder_setting
from flowmate_airflow.steps.runtimes import files_folder

_CONNECTOR_NAME = r"^[a-z][a-z0-9_-]{0,63}$"
_SDK = "flowmate_connector"


def new_flow(arguments: Namespace) -> int:
    """Write a flow, and the sample that it reads into the folder of files."""
    name = arguments.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    if not re.match(FLOW_ID, name):
        raise UsageError(f"`{name}` cannot be a flow's id; use letters, digits, `_`, `-` and `.`")
    flow = Path(arguments.folder) / f"{name}.yaml"
    sample = files_folder() / f"{name}_orders.csv"
    _write({flow: skeletons.FLOW, sample: skeletons.SAMPLE}, name)
    print(f"Wrote {flow}\nWrote {sample}, which it reads\n\nNow try: flowmate run {flow}")
    return 0


def new_connector(arguments: Namespace) -> int:
    """Write a connector's folder, with the SDK in it, so that its image builds from the folder alone."""
    name = arguments.name
    if not re.match(_CONNECTOR_NAME, name):
        raise UsageError(f"`{name}` cannot be a connector's name; use lower case letters, digits, `_` and `-`")
    known = folder_setting("connectors_folder", "connectors")
    parent = known if arguments.folder is None else Path(arguments.folder)
    folder = parent / name
    if folder.exists():
        raise CommandError(f"{folder} is there already; nothing was written")
    files = {
        MANIFEST_FILE: skeletons.MANIFEST,
        "connector.py": skeletons.CODE,
        "Dockerfile": skeletons.DOCKERFILE,
        "test_connector.py": skeletons.TEST,
    }
    _write({folder / file: text for file, text in files.items()}, name)
    try:
        shutil.copytree(shipped_folder() / "sdk" / _SDK, folder / _SDK, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise CommandError(f"the SDK could not be copied to {folder}: {error}") from None
    elsewhere = "" if parent.resolve() == known.resolve() else f" --connectors {parent}"
    print(f"Wrote {folder}\n\nNow try: flowmate connectors show {name}{elsewhere}")
    return 0


def _write(files: Mapping[Path, str], name: str) -> None:
    """Write new files; none of them when one is there already."""
    there = [str(path) for path in files if path.exists() or path.is_symlink()]
    if there:
        raise CommandError(f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already; nothing written")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text.replace("NAME", name))
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}") from None
