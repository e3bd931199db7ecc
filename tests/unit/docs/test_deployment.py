"""The deployment with Docker Compose says what the program and its examples know."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from pages import ROOT

from flowmate_airflow.cli.main import make_parser
from flowmate_airflow.provider_info import OPTIONS

TEXT = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
EXAMPLE = (ROOT / "docs" / "deploy" / "env.example").read_text(encoding="utf-8")


def test_every_variable_is_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    assert wanted == set(re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE, re.MULTILINE))


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "command" in service])
def test_every_service_has_the_same_options_and_a_command_that_exists(name: str) -> None:
    service = SERVICES[name]
    prefix = "AIRFLOW__FLOWMATE__"
    options = {key.removeprefix(prefix).lower() for key in service["environment"] if key.startswith(prefix)}
    assert {"public_url", "store_url", "batch_url"} <= options <= set(OPTIONS)
    program, *arguments = shlex.split(service["command"])
    if program == "flowmate":  # the image puts `airflow` before it
        make_parser().parse_args(arguments)
