"""Every command and its arguments, once: `flowmate` and `airflow flowmate` are both made of them."""

from __future__ import annotations

from flowmate_airflow.cli.connectorcommands import ADD, BUILD, CHECK
from flowmate_airflow.cli.declarations import FORMAT, Argument, Command, Entry, Group
from flowmate_airflow.cli.linkcommands import LINKS, TENANTS
from flowmate_airflow.cli.storecommands import DEAD_LETTERS, STATE
from flowmate_airflow.cli.webhookcommands import WEBHOOKS

__all__ = ["COMMANDS", "Argument", "Command", "Entry", "Group"]

_FLOW = Argument(("flow",), "the flow's file", {"metavar": "FLOW.yaml"})
_CONNECTORS = Argument(
    ("--connectors",),
    "your own connectors: a folder with a folder for each (default: the option connectors_folder)",
    {"metavar": "DIR"},
)
_PARAMS = Argument(
    ("--params",), "the run's params as a JSON object, or @ and the name of a file with one", {"metavar": "JSON"}
)
_RUNTIME = Argument(
    ("--runtime",),
    "where connectors run: in containers, or as plain processes without isolation (default: the option runtime)",
    {"choices": ["docker", "process"]},
)

_TENANT = Argument(("--tenant",), "the tenant whose links are used, for a flow with tenants", {"metavar": "TENANT"})

_RUN = (
    _FLOW,
    Argument(("--step",), "run this step only", {"metavar": "ID"}),
    _TENANT,
    _PARAMS,
    _RUNTIME,
    Argument(
        ("--input",),
        "messages for the one step, or events for the flow's webhook, as JSON Lines: whole messages or their data; "
        "- reads standard input",
        {"metavar": "FILE.jsonl"},
    ),
    Argument(("--output",), "keep the messages of each step, as DIR/STEP.jsonl", {"metavar": "DIR"}),
    Argument(("--full",), "print all messages of the last step, not the first five", {"action": "store_true"}),
    _CONNECTORS,
)

COMMANDS: tuple[Entry, ...] = (
    Command(
        "lint",
        "Check flow files",
        "flowmate_airflow.cli.lint:lint",
        (
            Argument(("paths",), "files and folders (default: this folder)", {"nargs": "*", "metavar": "PATH"}),
            FORMAT,
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
            "run orders.yaml --tenant acme",
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
    Command(
        "discover",
        "Show which tables and fields a step's source has, and what the step reads of them",
        "flowmate_airflow.cli.discover:discover",
        (
            _FLOW,
            Argument(("step",), "the step's id", {"metavar": "STEP"}),
            Argument(("--refresh",), "ask the source again, and tell what has changed", {"action": "store_true"}),
            Argument(("--table",), "list the fields of this table only", {"metavar": "NAME"}),
            Argument(
                ("--write-select",),
                "write a select block with all there is, to be cut down; - prints it",
                {"metavar": "FILE"},
            ),
            _TENANT,
            _PARAMS,
            _RUNTIME,
            FORMAT,
            _CONNECTORS,
        ),
        (
            "discover orders.yaml orders",
            "discover orders.yaml orders --refresh --table customers",
            "discover orders.yaml orders --write-select -",
        ),
    ),
    Group(
        "connectors",
        "Show, add, build and check the connectors that flows may use",
        (
            Command(
                "list",
                "List all connectors",
                "flowmate_airflow.cli.connectors:list_connectors",
                (FORMAT, _CONNECTORS),
                ("connectors list", "connectors list --format json"),
            ),
            Command(
                "show",
                "Show a connector: credentials, functions, fields",
                "flowmate_airflow.cli.connectors:show_connector",
                (Argument(("name",), "the connector's name", {"metavar": "NAME"}), FORMAT, _CONNECTORS),
                ("connectors show http",),
            ),
            ADD,
            BUILD,
            CHECK,
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
                    FORMAT,
                ),
                (
                    "import oih flows.json --out dags/flows",
                    "import oih flow.json --connectors components.yaml --format json",
                ),
            ),
        ),
    ),
    LINKS,
    TENANTS,
    STATE,
    DEAD_LETTERS,
    WEBHOOKS,
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
