"""The plugin that Airflow finds by its entry point, or in a plugins folder (plugins/flowmate_plugin.py)."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from flowmate_airflow.plugin.app import make_app


class FlowMatePlugin(AirflowPlugin):
    """FlowMate in Airflow's API server: the flows' JSON Schema at `/flowmate/schema/flow.json`."""

    name = "flowmate"
    fastapi_apps: list[Any] = [{"name": "FlowMate", "url_prefix": "/flowmate", "app": make_app()}]  # noqa: RUF012 - as AirflowPlugin declares it
