"""`flowmate schema`: the JSON Schemas for editors."""

from __future__ import annotations

from argparse import Namespace

from flowmate_airflow.cli.common import print_json


def schema(arguments: Namespace) -> int:
    """Print the schema of flows, or of connectors' manifests."""
    if arguments.connector:
        from flowmate_airflow.catalog.manifest import Manifest

        print_json(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema(by_alias=True)}
        )
    else:
        from flowmate_airflow.flows.schema import flow_schema

        print_json(flow_schema())
    return 0
