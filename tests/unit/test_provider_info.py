"""What Airflow is told about the provider."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from flowmate_airflow.provider_info import OPTIONS, get_provider_info


def run(code: str, home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"AIRFLOW_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_the_entry_point_imports_nothing_of_airflow(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom importlib.metadata import entry_points\n"
        "found = [p for p in entry_points(group='apache_airflow_provider') if p.value.startswith('flowmate_airflow')]\n"
        "found[0].load()()\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('airflow', 'pydantic', 'yaml')))"
    )
    assert run(code, tmp_path) == "[]"


def test_it_fits_airflows_schema() -> None:
    import airflow
    from jsonschema import Draft7Validator

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(get_provider_info())] == []


def test_airflow_lists_the_provider_its_options_and_its_commands(tmp_path: Path) -> None:
    code = """
import json
from airflow.providers_manager import ProvidersManager
from airflow.configuration import conf
manager = ProvidersManager()
conf.load_providers_configuration()
print(json.dumps([
    "airflow-provider-flowmate" in manager.providers,
    sorted(dict(manager.provider_configs)["airflow-provider-flowmate"]["flowmate"]["options"]),
    conf.get("flowmate", "runtime"),
    [command.name for function in manager.cli_command_functions for command in function()].count("flowmate"),
]))
"""
    assert json.loads(run(code, tmp_path)) == [True, sorted(OPTIONS), "docker", 1]


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_is_documented_and_its_default_is_text(option: str) -> None:
    facts = OPTIONS[option]
    assert facts["description"].endswith(".")
    assert isinstance(facts["default"], str)


def test_what_it_names_exists() -> None:
    info = get_provider_info()
    for module in info["operators"][0]["python-modules"]:
        import_module(module)
    for name in info["cli"]:
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(module), function))
    points = entry_points(group="apache_airflow_provider")
    assert [point.load()() for point in points if point.value.startswith("flowmate_airflow")] == [info]
