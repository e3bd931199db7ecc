"""For those who mount a plugins folder and the package as plain files, without installing it."""

from importlib.metadata import entry_points

# Airflow reads the plugins folder before the entry points and lists the second plugin of a name as an import error, so
# where the installed package brings the plugin by its entry point, this file must stay empty.
if not entry_points(group="airflow.plugins", name="flowmate"):
    from flowmate_airflow.plugin.plugin import FlowMatePlugin  # noqa: F401
