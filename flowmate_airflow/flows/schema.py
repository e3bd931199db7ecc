"""The JSON Schema of a flow file, for editors; generated from the models."""

from __future__ import annotations

from typing import Any

from flowmate_airflow.flows.models import STEP_KINDS, Flow


def flow_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a flow file."""
    schema = Flow.model_json_schema(by_alias=True)
    schema["properties"]["params"]["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"A step is one of: {', '.join(STEP_KINDS)}.",
        **schema,
    }
