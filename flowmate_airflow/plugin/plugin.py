"""The plugin that Airflow finds by its entry point, or in a plugins folder (plugins/flowmate_plugin.py)."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from flowmate_airflow.plugin.app import MOUNTED, make_app
from flowmate_airflow.settings import setting
from flowmate_airflow.webhooks.mount import Mounted

_HOOKS = f"{MOUNTED}/hooks"


def _listeners() -> list[Any]:
    """Return the listener that tells other applications about runs, if any is told.

    Where there is a listener, whosoever, Airflow refuses DAGs with tasks that end in the triggerer.
    """
    if not setting("outgoing").strip():
        return []
    from flowmate_airflow.outgoing import listener

    return [listener]


def _apps() -> list[Any]:
    # The first whose prefix fits is asked. Whoever posts to the hooks proves by each request who it is.
    hooks = Mounted(_HOOKS)
    return [
        {"name": "FlowMate webhooks", "url_prefix": _HOOKS, "app": hooks},
        {"name": "FlowMate", "url_prefix": MOUNTED, "app": make_app(hooks)},
    ]


class FlowMatePlugin(AirflowPlugin):
    """FlowMate in Airflow's API server, and its listener."""

    name = "flowmate"
    fastapi_apps: list[Any] = _apps()
    listeners: list[Any] = _listeners()
