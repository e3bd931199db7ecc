"""The commands for those who bring connectors: `connectors add`, `build` and `check`."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import FORMAT, Argument, Command

_CONNECTORS = Argument(
    ("--connectors",),
    "your own connectors: a folder with a folder for each (default: the option connectors_folder)",
    {"metavar": "DIR"},
)
_RUNTIME = Argument(
    ("--runtime",),
    "where the connector runs: in containers, or as plain processes without isolation (default: the option runtime)",
    {"choices": ["docker", "process"]},
)
_PROTOCOL = Argument(
    ("--protocol",),
    "what the image speaks (default: found out)",
    {"choices": ["auto", "component", "singer", "airbyte"], "default": "auto"},
)
_OUT = Argument(
    ("--out",),
    "the folder for the connector's folder (default: the option connectors_folder)",
    {"metavar": "DIR"},
)
_FORCE = Argument(("--force",), "replace a manifest that is there", {"action": "store_true"})

ADD = Command(
    "add",
    "Write the manifest of a connector that exists: of OIH, elastic.io, Singer or Airbyte, or of ours",
    "flowmate_airflow.cli.connector_add:add_connector",
    (
        Argument(
            ("--image",),
            "ask this image what it is; with --component-json or --repo only its name is used",
            {"metavar": "IMAGE"},
        ),
        Argument(("--component-json",), "read this component.json, and run nothing", {"metavar": "FILE"}),
        Argument(("--repo",), "read the component in this folder, and run nothing", {"metavar": "DIR"}),
        Argument(("--name",), "the connector's name (default: the image's)", {"metavar": "NAME"}),
        _PROTOCOL,
        Argument(
            ("--entrypoint",),
            "what is started in the image instead of its own entry point",
            {"metavar": "COMMAND"},
        ),
        _OUT,
        _FORCE,
    ),
    (
        "connectors add --image airbyte/source-faker:6.2.21",
        "connectors add --repo petstore-component --name petstore",
    ),
)

BUILD = Command(
    "build",
    "Build the image of a component that has none, and write its manifest",
    "flowmate_airflow.cli.connector_build:build_connector",
    (
        Argument(
            ("what",),
            "a folder with a Dockerfile or a package.json, or a package of PyPI as pypi:NAME==VERSION",
            {"metavar": "FOLDER"},
        ),
        Argument(("--tag",), "the image's name and tag (default: made of name and version)"),
        Argument(
            ("--base-image",),
            "what the image starts from (default: python:3.12-slim or node:22-slim)",
            {"metavar": "IMAGE"},
        ),
        Argument(
            ("--with",),
            "a further requirement of a package; may be given several times",
            {"metavar": "REQUIREMENT", "action": "append", "dest": "with_"},
        ),
        Argument(("--entrypoint",), "the package's command to start, if it has several", {"metavar": "COMMAND"}),
        Argument(("--name",), "the connector's name (default: the image's)", {"metavar": "NAME"}),
        _PROTOCOL,
        _OUT,
        _FORCE,
    ),
    (
        "connectors build petstore-component",
        "connectors build pypi:tap-csv==1.2.0 --with 'setuptools<81'",
    ),
)

CHECK = Command(
    "check",
    "Examine a connector: what it says, reads and writes, and how it behaves",
    "flowmate_airflow.cli.connector_check:check_connector",
    (
        Argument(("connector",), "a connector's name, or an image with its tag", {"metavar": "NAME-OR-IMAGE"}),
        Argument(("--connection",), "the Connection with good credentials", {"metavar": "ID"}),
        Argument(
            ("--config",),
            "JSON that works: a tap's or source's own configuration; for components `credentials` and "
            "`functions`, which has `config` and `messages` for each",
            {"metavar": "FILE"},
        ),
        Argument(
            ("--bad-config",),
            "the same with what must not work (default: the good one with wrong secrets)",
            {"metavar": "FILE"},
        ),
        Argument(("--only",), "ids of checks with commas between them", {"metavar": "CHECKS"}),
        Argument(
            ("--timeout",),
            "seconds that one run of the connector may take (default: 600)",
            {"type": float, "default": 600.0, "metavar": "SECONDS"},
        ),
        _PROTOCOL,
        Argument(
            ("--entrypoint",),
            "what is started in the image instead of its own entry point",
            {"metavar": "COMMAND"},
        ),
        _RUNTIME,
        Argument(("--verbose",), "show the connector's log", {"action": "store_true"}),
        Argument(("--out",), "write the report as JSON to this file, too", {"metavar": "FILE"}),
        FORMAT,
        _CONNECTORS,
    ),
    (
        "connectors check shop --connection shop_main",
        "connectors check acme/tap-shop:1.0.0 --config config.json --format json",
    ),
)
