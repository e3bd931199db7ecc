"""What several commands need: the catalog, and one flow."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowmate_airflow.catalog.catalog import Catalog, configured_catalog
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.errors import FlowFileError
from flowmate_airflow.flows.load import LoadedFlow, load_flow


def catalog_of(arguments: Namespace) -> Catalog:
    """Return the catalog that `--connectors` asks for, else the configured one.

    :raises UsageError: its folder does not exist
    """
    if arguments.connectors is None:
        return configured_catalog()
    folder = Path(arguments.connectors)
    if not folder.is_dir():
        raise UsageError(f"--connectors: there is no folder {folder}")
    return Catalog(folder)


def load_one(path: Path, catalog: Catalog) -> LoadedFlow:
    """Return the flow of a file.

    :raises UsageError: there is no such file
    :raises CommandError: it is no flow, or has problems
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a flow's file in it")
    try:
        loaded = load_flow(path, catalog)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except FlowFileError as error:
        raise CommandError(str(error)) from None
    if loaded is None:
        raise CommandError(f"{path} is not a flow: it has no top-level key `flowmate`; begin it with `flowmate: 1`")
    return loaded


def print_json(value: Any) -> None:
    """Print a value for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_list(values: Iterable[Any], indent: int | None = None) -> None:
    """Print a list for programs, a value at a time: there may be many, and each may be large."""
    separator = "["
    for value in values:
        print(f"{separator}\n{json.dumps(value, indent=indent)}", end="")
        separator = ","
    print("[]" if separator == "[" else "\n]")


def count(number: int, what: str) -> str:
    """Return a number with its noun, such as `1 flow` or `2 flows`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
