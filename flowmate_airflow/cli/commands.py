"""Every command and its arguments, once: `flowmate` and `airflow flowmate` are both made of them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. Help texts have no square brackets and no percent signs: Airflow's parser reads them as markup.

    :param options: what else `argparse` is told
    """

    flags: tuple[str, ...]
    help: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    :param handler: `module:function`, imported when the command runs, so that no command waits for another's imports
    :param examples: command lines without the program's name
    """

    name: str
    help: str
    handler: str
    arguments: Sequence[Argument] = ()
    examples: Sequence[str] = ()

    def load(self) -> Callable[[Namespace], int]:
        """Return the function that runs the command and gives its exit code."""
        module, _, name = self.handler.partition(":")
        function: Callable[[Namespace], int] = getattr(import_module(module), name)
        return function

    def epilog(self, program: str) -> str:
        """Return the examples, as the help shows them."""
        return "\n".join(["examples:", *(f"  {program} {example}" for example in self.examples)])


@dataclass(frozen=True, slots=True)
class Group:
    """Commands under one name."""

    name: str
    help: str
    commands: Sequence[Command]


Entry: TypeAlias = Command | Group

_FLOW = Argument(("flow",), "the flow's file", {"metavar": "FLOW.yaml"})
_CONNECTORS = Argument(
    ("--connectors",),
    "your own connectors: a folder with a folder for each (default: the option connectors_folder)",
    {"metavar": "DIR"},
)
_FORMAT = Argument(
    ("--format",),
    "for people or for programs (default: human)",
    {"choices": ["human", "json"], "default": "human"},
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

_RUN = (
    _FLOW,
    Argument(("--step",), "run this step only", {"metavar": "ID"}),
    Argument(
        ("--params",), "the run's params as a JSON object, or @ and the name of a file with one", {"metavar": "JSON"}
    ),
    Argument(
        ("--runtime",),
        "where connectors run: in containers, or as plain processes without isolation (default: the option runtime)",
        {"choices": ["docker", "process"]},
    ),
    Argument(
        ("--input",),
        "messages for the one step, as JSON Lines: whole messages or their data; - reads standard input",
        {"metavar": "FILE.jsonl"},
    ),
    Argument(("--output",), "keep the messages of each step, as DIR/STEP.jsonl", {"metavar": "DIR"}),
    Argument(("--full",), "print all messages of the last step, not the first five", {"action": "store_true"}),
    _CONNECTORS,
)

_YES = Argument(("--yes",), "do not ask", {"action": "store_true"})
_STEP = Argument(("--step",), "of this step only", {"metavar": "ID"})
_TENANT = Argument(("--tenant",), "of this tenant only", {"metavar": "NAME"})
_FLOW_ID = Argument(("flow",), "the flow's id", {"metavar": "FLOW"})
_ANY_FLOW = Argument(("flow",), "the flow's id (default: all flows)", {"metavar": "FLOW", "nargs": "?"})
_LETTER_IDS = Argument(
    ("--id",), "these dead letters only", {"metavar": "ID", "type": int, "nargs": "+", "action": "extend"}
)

COMMANDS: tuple[Entry, ...] = (
    Command(
        "lint",
        "Check flow files",
        "flowmate_airflow.cli.lint:lint",
        (
            Argument(("paths",), "files and folders (default: this folder)", {"nargs": "*", "metavar": "PATH"}),
            _FORMAT,
            _CONNECTORS,
        ),
        ("lint", "lint dags/flows/orders.yaml", "lint dags --format json"),
    ),
    Command(
        "run",
        "Run a flow here: no scheduler, no database, no retries",
        "flowmate_airflow.cli.run:run",
        _RUN,
        (
            "run orders.yaml",
            """run orders.yaml --params '{"since": "2026-01-31"}' --runtime process""",
            "run orders.yaml --step saved --input orders.jsonl",
            "run orders.yaml --full | jq .data",
        ),
    ),
    Command(
        "show",
        "Show a flow's steps and how they hang together",
        "flowmate_airflow.cli.show:show",
        (
            _FLOW,
            Argument(("--format",), "default: text", {"choices": ["text", "mermaid"], "default": "text"}),
            _CONNECTORS,
        ),
        ("show orders.yaml", "show orders.yaml --format mermaid"),
    ),
    Group(
        "connectors",
        "Show, add, build and check the connectors that flows may use",
        (
            Command(
                "list",
                "List all connectors",
                "flowmate_airflow.cli.connectors:list_connectors",
                (_FORMAT, _CONNECTORS),
                ("connectors list", "connectors list --format json"),
            ),
            Command(
                "show",
                "Show a connector: credentials, functions, fields",
                "flowmate_airflow.cli.connectors:show_connector",
                (Argument(("name",), "the connector's name", {"metavar": "NAME"}), _FORMAT, _CONNECTORS),
                ("connectors show http",),
            ),
            Command(
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
            ),
        ),
    ),
    Group(
        "new",
        "Start a flow or a connector of your own",
        (
            Command(
                "flow",
                "Write a small flow that runs, to be changed",
                "flowmate_airflow.cli.new:new_flow",
                (
                    Argument(("name",), "the flow's id, and its file's name", {"metavar": "NAME"}),
                    Argument(("--folder",), "where to (default: this folder)", {"metavar": "DIR", "default": "."}),
                ),
                ("new flow orders", "new flow orders --folder dags/flows"),
            ),
            Command(
                "connector",
                "Write a small connector with a test, to be changed",
                "flowmate_airflow.cli.new:new_connector",
                (
                    Argument(("name",), "the connector's name", {"metavar": "NAME"}),
                    Argument(
                        ("--folder",),
                        "the folder for the connector's folder (default: the option connectors_folder)",
                        {"metavar": "DIR"},
                    ),
                ),
                ("new connector shop", "new connector shop --folder connectors"),
            ),
        ),
    ),
    Group(
        "import",
        "Turn flows of other tools into flow files",
        (
            Command(
                "oih",
                "Write flow files for flows of the Open Integration Hub (FlowMate, elastic.io)",
                "flowmate_airflow.cli.importing:import_oih",
                (
                    Argument(
                        ("file",), "one flow, a list of flows, or an answer of the flows API", {"metavar": "FILE.json"}
                    ),
                    Argument(("--out",), "where to (default: this folder)", {"metavar": "DIR", "default": "."}),
                    Argument(
                        ("--connectors",),
                        "names of connectors by componentId, in YAML (default: made of the nodes' names)",
                        {"metavar": "MAP.yaml"},
                    ),
                    Argument(("--force",), "write over files that are there", {"action": "store_true"}),
                    _FORMAT,
                ),
                (
                    "import oih flows.json --out dags/flows",
                    "import oih flow.json --connectors components.yaml --format json",
                ),
            ),
        ),
    ),
    Group(
        "state",
        "What steps remember between runs",
        (
            Command(
                "show",
                "Show states, and those that a run asked for and that are not valid yet",
                "flowmate_airflow.cli.state:show_state",
                (_ANY_FLOW, _STEP, _TENANT, _FORMAT),
                ("state show", "state show orders --step read", "state show orders --format json"),
            ),
            Command(
                "set",
                "Make a JSON value the state of a step",
                "flowmate_airflow.cli.state:set_state",
                (
                    _FLOW_ID,
                    Argument(("step",), "the step's id", {"metavar": "STEP"}),
                    Argument(("file",), "a file with the state as JSON; - reads standard input", {"metavar": "FILE"}),
                    Argument(("--tenant",), "for this tenant", {"metavar": "NAME"}),
                    Argument(
                        ("--force",), "also when no such step is found in the dags folder", {"action": "store_true"}
                    ),
                ),
                ("state set orders read state.json", "state set orders read - --tenant acme < state.json"),
            ),
            Command(
                "reset",
                "Forget states: the next run reads from the start",
                "flowmate_airflow.cli.state:reset_state",
                (_FLOW_ID, _STEP, _TENANT, _YES),
                ("state reset orders", "state reset orders --step read --yes"),
            ),
        ),
    ),
    Group(
        "dead-letters",
        "Messages that failed and were kept",
        (
            Command(
                "list",
                "List dead letters, and how many each step has",
                "flowmate_airflow.cli.deadletters:list_letters",
                (
                    *(_ANY_FLOW, _STEP, _TENANT),
                    Argument(("--run-id",), "of this run only", {"metavar": "RUN"}),
                    Argument(("--limit",), "at most so many; 0 is all (default: 50)", {"type": int, "default": 50}),
                    _FORMAT,
                ),
                ("dead-letters list", "dead-letters list orders --limit 0 --format json"),
            ),
            Command(
                "show",
                "Show one dead letter with its message and error",
                "flowmate_airflow.cli.deadletters:show_letter",
                (Argument(("id",), "the dead letter's id", {"metavar": "ID", "type": int}), _FORMAT),
                ("dead-letters show 17", "dead-letters show 17 --format json"),
            ),
            Command(
                "replay",
                "Start a run of the flow for what waits, one for each step",
                "flowmate_airflow.cli.replay:replay",
                (_FLOW_ID, _STEP, _LETTER_IDS),
                ("dead-letters replay orders", "dead-letters replay orders --step saved --id 17 18"),
            ),
            Command(
                "release",
                "Let wait again what a replay took and never finished, as it was killed",
                "flowmate_airflow.cli.deadletters:release_letters",
                (
                    Argument(("run_id",), "the run of the replay", {"metavar": "RUN"}),
                    Argument(("--flow",), "of this flow only", {"metavar": "FLOW"}),
                ),
                ("dead-letters release manual__2026-01-31T08:00:00+00:00",),
            ),
            Command(
                "drop",
                "Remove dead letters; those being replayed stay",
                "flowmate_airflow.cli.deadletters:drop_letters",
                (
                    *(_ANY_FLOW, _STEP, _TENANT, _LETTER_IDS),
                    Argument(("--older-than",), "kept before that, such as 30d or 12h", {"metavar": "AGE"}),
                    _YES,
                ),
                ("dead-letters drop orders --step saved", "dead-letters drop --older-than 30d --yes"),
            ),
        ),
    ),
    Command(
        "schema",
        "Print the JSON Schema of flow files, for editors",
        "flowmate_airflow.cli.schema:schema",
        (
            Argument(
                ("--connector",), "of the connectors' manifests (connector.yaml) instead", {"action": "store_true"}
            ),
        ),
        ("schema > flow.schema.json", "schema --connector"),
    ),
)
