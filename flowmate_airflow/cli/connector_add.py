"""`flowmate connectors add`: writes the manifest of a connector that exists already."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from flowmate_airflow.authoring.draft import Draft
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.cli.engines import Engines
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.errors import FlowFileError
from flowmate_airflow.settings import folder_setting
from flowmate_airflow.steps.errors import ConfigFailure

_NAME = r"^[a-z][a-z0-9_-]{0,63}$"


def add_connector(arguments: Namespace) -> int:
    """Write a connector's manifest from an image, a component.json or a component's folder."""
    if arguments.name is not None and not re.match(_NAME, arguments.name):
        raise UsageError(
            f"`{arguments.name}` cannot be a connector's name; use lower case letters, digits, `_` and `-`"
        )
    given = [each for each in (arguments.component_json, arguments.repo) if each is not None]
    if len(given) == 2 or (not given and arguments.image is None):
        raise UsageError("say what the connector is made of: --image, --component-json or --repo")
    from flowmate_airflow.authoring.write_manifest import write_connector

    try:
        draft, origin = _draft(arguments)
        path = write_connector(draft, out_folder(arguments.out), origin, force=arguments.force)
    except (AuthoringError, FlowFileError, ConfigFailure) as error:
        raise CommandError(str(error)) from None
    tell(draft, path, arguments.out)
    return 0


def _draft(arguments: Namespace) -> tuple[Draft, str]:
    from flowmate_airflow.authoring.from_repo import draft_of_file, draft_of_repo

    if arguments.component_json is not None:
        draft = draft_of_file(Path(arguments.component_json), name=arguments.name, image=arguments.image)
        return draft, "Made from the component's own description, component.json."
    if arguments.repo is not None:
        draft = draft_of_repo(Path(arguments.repo), name=arguments.name, image=arguments.image)
        return draft, "Made from the component's own description, component.json."
    draft = read_image(
        arguments.image, name=arguments.name, protocol=arguments.protocol, entrypoint=arguments.entrypoint
    )
    return draft, f"Made from what the image {arguments.image} says about itself."


def read_image(image: str, *, name: str | None = None, protocol: str = "auto", entrypoint: str | None = None) -> Draft:
    """Return the manifest of an image that the engine has or can pull.

    :raises AuthoringError: it cannot be one
    :raises ConfigFailure: no engine answers
    """
    from flowmate_airflow.authoring.from_image import ImageReader, Wanted
    from flowmate_airflow.catalog.manifest import Function, Manifest
    from flowmate_airflow.steps.runtimes import pull_policy

    try:
        words = tuple(shlex.split(entrypoint or ""))
    except ValueError as error:
        raise UsageError(f"--entrypoint cannot be read: {error}") from None
    log = stderr_log()
    nothing = Manifest(connector=1, name="x", version="0", title="x", image=image, triggers={"x": Function(title="x")})
    with Engines("docker", log) as engines:
        reader = ImageReader(engines.client(), engines.runtime(nothing), log, pull_missing=pull_policy() != "never")
        return reader.draft(image, Wanted(protocol, name, words))  # type: ignore[arg-type]


def tell(draft: Draft, path: Path, out: str | None) -> None:
    """Print what was written and what to do next."""
    from flowmate_airflow.authoring.draft import readable

    name = draft.values["name"]
    print(f"Wrote {path}")
    for line in readable(draft):
        print(f"  {line}")
    for note in draft.notes:
        print(f"  note: {note}")
    elsewhere = f" --connectors {out}" if out is not None and out_folder(out) != out_folder(None) else ""
    print(
        f"\nNow try: flowmate connectors show {name}{elsewhere}\n         flowmate connectors check {name}{elsewhere}"
    )


def out_folder(given: str | None) -> Path:
    """Return the folder of connectors that is written to."""
    return folder_setting("connectors_folder", "connectors") if given is None else Path(given)


def stderr_log() -> logging.Logger:
    """Return a log whose lines go to standard error."""
    log = logging.getLogger("flowmate.authoring")
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
    log.addHandler(logging.StreamHandler(sys.stderr))
    return log
