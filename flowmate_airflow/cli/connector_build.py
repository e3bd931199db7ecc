"""`flowmate connectors build`: makes the image of a component that has none, and its manifest."""

from __future__ import annotations

from argparse import Namespace

from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.cli.connector_add import out_folder, read_image, stderr_log, tell
from flowmate_airflow.cli.engines import Engines
from flowmate_airflow.cli.errors import CommandError
from flowmate_airflow.flows.errors import FlowFileError
from flowmate_airflow.steps.errors import ConfigFailure


def build_connector(arguments: Namespace) -> int:
    """Build an image, and write the manifest of what it says it is."""
    from flowmate_airflow.authoring.building.build import Order, build
    from flowmate_airflow.authoring.write_manifest import write_connector
    from flowmate_airflow.catalog.catalog import MANIFEST

    order = Order(arguments.what, arguments.tag, arguments.base_image, arguments.with_ or (), arguments.entrypoint)
    log = stderr_log()
    try:
        with Engines("docker", log) as engines:
            built = build(engines.client(), order, log)
        print(f"Built {built.tag}")
        if built.manifest is not None:
            print(f"  {built.manifest} describes it")
            return 0
        draft = read_image(built.tag, name=arguments.name, protocol=arguments.protocol)
        there = out_folder(arguments.out) / draft.values["name"] / MANIFEST
        if there.exists() and not arguments.force:
            print(f"  {there} is there already and was left as it is; --force writes it anew")
            return 0
        origin = f"Made from what the image {built.tag} says about itself."
        path = write_connector(draft, out_folder(arguments.out), origin, force=arguments.force)
    except (AuthoringError, FlowFileError, ConfigFailure) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}") from None
    tell(draft, path, arguments.out)
    return 0
